"""The benchmarks run, at sizes too small to measure anything, and compare what they say they compare."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def from_their_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_of_the_graphics_processor_runs_on_a_processor(tmp_path: Path) -> None:
    """Every part of it; that PyTorch's network answers as ours is checked by it before anything is timed."""
    pytest.importorskip("torch")
    command = "--filters 2 --side 32 --batches 1 2 --image 64 --product 64 --seconds 0 --feeding 0"
    answer = subprocess.run(
        [sys.executable, str(BENCHMARKS / "gpu.py"), *command.split(), "--precision", "float32",
         "--json", str(tmp_path / "gpu.json")],
        env={**os.environ, "KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr[-2000:]
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["backend"].endswith("on torch")
    rows = [(row["program"], row["batch"]) for row in found["inference"]]
    assert rows == [("ours", 1), ("PyTorch", 1), ("ours", 2), ("PyTorch", 2)]
    limit = found["matrix product (TFLOP/s)"]
    for row in found["inference"]:
        assert row["of the matrix product"] == pytest.approx(row["TFLOP/s"] / limit)
    assert [row["program"] for row in found["training"]] == ["ours", "PyTorch"]
    assert found["large image"]["tiles"] == 9  # 64 pixels by tiles of 32 that overlap by 16


def test_programs_take_turns_in_processes_of_their_own() -> None:
    from side_by_side.turns import contenders, ratios, take_turns

    rows = {"one": (_adder, (1,), (2,)), "ten": (_adder, (10,), (2,))}
    with contenders(rows) as programs:
        assert [p.first for p in programs] == [3, 12]
        processes = {p.process.pid for p in programs}
        take_turns(programs, 2)
        assert [len(p.seconds) for p in programs] == [2, 2]
        assert all(s > 0 for p in programs for s in p.seconds)
        assert [p.last for p in programs] == [3, 12]
    assert len(processes | {os.getpid()}) == 3
    assert not any(p.process.is_alive() for p in programs)
    programs[0].seconds, programs[1].seconds = [1.0, 2.0], [2.0, 3.0]
    assert ratios(programs[0], programs[1]) == [2.0, 1.5]


def _adder(given: int) -> object:
    return lambda more: given + more


def test_what_fails_in_its_process_is_told() -> None:
    from side_by_side.turns import contenders

    with (
        pytest.raises(SystemExit, match=r"broken failed:[\s\S]*ZeroDivisionError"),
        contenders({"broken": (_breaker, (), (0,))}),
    ):
        pass


def _breaker() -> object:
    return lambda zero: 1 / zero


def test_nothing_is_timed_where_answers_differ(capsys: pytest.CaptureFixture[str]) -> None:
    from side_by_side.parts import compare
    from side_by_side.turns import Contender

    draw = np.random.default_rng(0).random((1, 8, 8, 1))
    ours = Contender("ours, computed by Keras", None, None, first=draw)
    near = Contender("near", None, None, first=draw + 5e-4)
    far = Contender("far", None, None, first=draw + 2e-3)
    assert compare([ours, near], 1e-3)["near"] == pytest.approx(5e-4)
    assert "near 5.0e-04" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="do not compute the same network: far"):
        compare([ours, near, far], 1e-3)
    with pytest.raises(SystemExit, match="far"):
        compare([ours, Contender("far", None, None, first=draw * np.nan)], 1e-3)


@pytest.mark.parametrize(("dimensions", "shape"), [("2d", (2, 32, 48, 1)), ("3d", (1, 16, 16, 32, 1))])
def test_network_and_loss_in_pytorch_are_ours(
    tmp_path: Path, dimensions: Literal["2d", "3d"], shape: tuple[int, ...]
) -> None:
    torch = pytest.importorskip("torch")
    from napari_unet.networks.registry import build_network
    from napari_unet.settings import TrainingSettings
    from napari_unet.training.losses import make_loss
    from side_by_side.case import Case, network_settings, settle, write_arrays
    from side_by_side.torch_unet import fused, torch_loss, torch_unet
    from support.tiny_models import without_graphs

    case = Case("tiny", 2, shape[0], dimensions=dimensions)
    without_graphs()
    try:
        draw = np.random.default_rng(0)
        images = draw.standard_normal(shape).astype(np.float32)
        network = build_network(network_settings(case), 0)
        settle(network, images)
        write_arrays(network, tmp_path / "arrays.npz")
        wanted = np.asarray(network(images, training=False))
        given = torch.from_numpy(images).permute(case.first)
        theirs = torch_unet(tmp_path / "arrays.npz", case).eval()
        with torch.inference_mode():
            found = theirs(given)
            folded = fused(theirs)(given)
        assert wanted.std() > 1
        for logits in (found, folded):
            np.testing.assert_allclose(logits.permute(case.last).numpy(), wanted, atol=1e-4)
        targets = draw.random((*shape[:-1], 2)).astype(np.float32)
        targets[..., 0] = targets[..., 0] > 0.5
        loss = make_loss(network_settings(case), TrainingSettings())(targets, wanted)
        theirs_too = torch_loss(found, torch.from_numpy(targets).permute(case.first))
        assert float(theirs_too) == pytest.approx(float(loss), rel=1e-4)
    finally:
        without_graphs(False)


def test_tables_say_median_lowest_and_highest() -> None:
    from side_by_side.tables import markdown

    row = {
        "case": "a case", "row": "them", "precision": "float32", "ms": 12.4, "gflops": 100.6,
        "ours is times as fast": [1.0, 3.0, 2.0], "building and first call (s)": 0.25,
        "of the matrix product": [0.5, 0.6, 0.55],
    }  # fmt: skip
    text = markdown({"inference-64": [row]})
    assert "| them | float32 | 12 | 101 | 2.00 (1.00 to 3.00) | 0.2 | 0.55 (0.50 to 0.60) |" in text
    assert text.startswith("## Inference")


def test_one_page_says_what_each_benchmark_printed_and_which_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bench

    for name, code in {
        "fast": "print('| a |')",
        "slow": "import time; time.sleep(60)",
        "bad": "1 / 0",
    }.items():
        (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.setattr(bench, "HERE", tmp_path)
    limits = {"fast": 60, "slow": 2, "bad": 60}
    parts = {name: (name.title(), (f"{name}.py", "--rounds", "2"), limit) for name, limit in limits.items()}
    monkeypatch.setattr(bench, "PARTS", parts)
    monkeypatch.setattr(sys, "argv", ["bench.py", "--page", str(tmp_path / "bench.md")])
    bench.main()
    said = (tmp_path / "bench.md").read_text()
    assert "## Fast\n\n    python benchmarks/fast.py --rounds 2\n\n| a |\n" in said
    assert "stopped after 2 s" in said
    assert "failed: ZeroDivisionError: division by zero" in said
    assert list(json.loads((tmp_path / "bench.json").read_text())["found"]) == ["fast", "slow", "bad"]


def test_a_run_of_all_that_was_interrupted_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import bench

    (tmp_path / "note.py").write_text("import sys; print('| measured', sys.argv[1])")
    parts = {name: (name, ("note.py", name), 60) for name in ("one", "two", "three")}
    monkeypatch.setattr(bench, "HERE", tmp_path)
    monkeypatch.setattr(bench, "PARTS", parts)
    arguments = ["bench.py", "--page", str(tmp_path / "bench.md")]
    ran: list[str] = []
    interrupted: list[str] = []
    true = bench.run

    def noted(given: tuple[str, ...], limit: int) -> str:
        if given[1] == "two" and not interrupted:
            interrupted.append("two")
            raise RuntimeError
        ran.append(given[1])
        return true(given, limit)

    monkeypatch.setattr(bench, "run", noted)
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(RuntimeError):  # as if somebody had ended it
        bench.main()
    ran.append("interrupted")
    bench.main()
    assert ran == ["one", "interrupted", "two", "three"]
    said = (tmp_path / "bench.md").read_text()
    assert all(f"| measured {name}" in said for name in parts)
    ran.clear()
    bench.main()  # the last one came to its end
    assert ran == ["one", "two", "three"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--only", "two"])
    bench.main()
    assert ran == ["one", "two", "three", "two"]


def test_cores_that_fail_say_why_and_the_others_are_compared() -> None:
    import cores

    one, two = [[100.0, 20.0, 8.0], [120.0, 30.0, 8.0]], [[50.0, 20.0, 4.0], [60.0, 15.0, 5.0]]
    rows = cores.table("cores", {1: one, 2: two, 4: ["no", "no"]})
    assert rows[2:] == [
        "| 1 | 110 ms | 1.00 | 25 ms | 1.00 | 8 ms | 1.00 |",
        "| 2 | 55 ms | 2.00 | 18 ms | 1.50 | 4 ms | 1.80 |",
        "| 4 | no |  | no |  | no |  |",
    ]


def test_the_makefile_runs_scripts_that_are_there() -> None:
    import bench

    for _, arguments, limit in bench.PARTS.values():
        assert (BENCHMARKS / arguments[0]).is_file()
        assert limit <= 900
    assert sum(limit for *_, limit in bench.PARTS.values()) <= 50 * 60
