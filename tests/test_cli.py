"""The command line is a contract: what is written, what is printed, the exit codes."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from napari_unet.cli import main
from napari_unet.data.masks.mask_pixels import decode_labels
from napari_unet.models.rehearsal import read_rehearsal
from support.errors import cli_error

pytestmark = pytest.mark.slow

QUICK = ["--set", "epochs=2", "--set", "steps_per_epoch=4", "--set", "filters=2", "--set", "batch_size=4"]


@pytest.fixture(scope="module")
def model(salt_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "model"
    assert main(["train", str(salt_folder), "--out", str(out), "--rehearsal", "3", *QUICK]) == 0
    return out


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run what must fail: exit 2 and one sentence on stderr, which is given back."""
    assert main([str(a) for a in arguments]) == 2
    text = capsys.readouterr().err
    sentences = [line for line in text.splitlines() if line.startswith("napari-unet: ")]
    assert len(sentences) == 1
    assert "Traceback" not in text
    return sentences[0]


def test_train_leaves_a_model_a_split_and_metrics(model: Path, salt_folder: Path) -> None:
    assert sorted(p.name for p in model.iterdir()) == [
        "metrics.csv",
        "model.weights.h5",
        "rehearsal.npz",
        "settings.json",
        "split.json",
    ]
    with (model / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    settings = json.loads((model / "settings.json").read_text())
    assert settings["recipe"]["network"]["filters"] == 2
    assert settings["provenance"]["data"]["format"] == "tgs-salt"
    split = json.loads((model / "split.json").read_text())
    parts = [split["train"], split["validation"], split["held_out"]]
    assert sum(map(len, parts)) == 24
    assert all(parts)
    rehearsal = read_rehearsal(model)
    assert rehearsal is not None
    assert len(rehearsal) == 3
    assert {crop.id for crop in rehearsal.crops} < set(split["train"])
    assert settings["provenance"]["data"]["path"] == str(salt_folder.resolve())


def test_the_recipe_of_a_known_set_is_offered_where_none_was_chosen(
    salt_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hint = "tgs-salt has a recipe of its own"
    fast = ["train", str(salt_folder), "--out", str(tmp_path / "fast"), *QUICK]
    assert main([*fast, "--set", "epochs=1"]) == 0
    assert hint in capsys.readouterr().err
    own = ["train", str(salt_folder), "--out", str(tmp_path / "own"), "--recipe", "tgs-salt", *QUICK]
    assert main([*own, "--set", "epochs=1", "--set", "schedule=cosine"]) == 0
    assert hint not in capsys.readouterr().err
    settings = json.loads((tmp_path / "own" / "settings.json").read_text())
    assert settings["recipe"]["name"] == "tgs-salt"
    assert settings["recipe"]["training"]["loss"] == "cross_entropy_lovasz"


def test_inspect(salt_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(salt_folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["format"] == "tgs-salt"
    assert found["labelled"] == 24
    assert found["unlabelled"] == 6
    assert main(["inspect", str(salt_folder)]) == 0
    assert "24 images with masks" in capsys.readouterr().out
    assert main(["inspect", str(salt_folder), "--pairs"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 24


def test_segment_takes_files_folders_zips_and_data_sets(
    model: Path, salt_folder: Path, tmp_path: Path
) -> None:
    images = sorted((salt_folder / "test" / "images").iterdir())
    run = ["segment", "--model", str(model), "--out", str(tmp_path / "a"), str(images[0]), "--probabilities"]
    assert main(run) == 0
    stem = images[0].stem
    assert {p.name for p in (tmp_path / "a").iterdir()} == {f"{stem}.png", f"{stem}_probabilities.tif"}
    mask = decode_labels((tmp_path / "a" / f"{stem}.png").read_bytes(), "m.png")
    assert mask.shape == (101, 101)
    assert set(np.unique(mask)) <= {0, 255}
    assert main(["segment", str(images[0].parent), "--model", str(model), "--out", str(tmp_path / "b")]) == 0
    assert {p.stem for p in (tmp_path / "b").iterdir()} == {p.stem for p in images}
    assert main(["segment", str(salt_folder), "--model", str(model), "--out", str(tmp_path / "c")]) == 0
    assert len(list((tmp_path / "c").iterdir())) == 30
    archive = Path(shutil.make_archive(str(tmp_path / "images"), "zip", images[0].parent))
    assert main(["segment", str(archive), "--model", str(model), "--out", str(tmp_path / "d")]) == 0
    assert len(list((tmp_path / "d").iterdir())) == len(images)
    one, two = ((tmp_path / d / f"{stem}.png").read_bytes() for d in "bd")
    assert one == two


def test_a_stack_gives_a_mask_a_page(model: Path, tmp_path: Path) -> None:
    import tifffile

    stack = np.random.default_rng(0).integers(0, 255, (3, 40, 50)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    assert (
        main(["segment", str(tmp_path / "stack.tif"), "--model", str(model), "--out", str(tmp_path / "o")])
        == 0
    )
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == [f"stack_00{n}.png" for n in range(3)]


def test_evaluate_a_model_and_its_masks_agree(
    model: Path, salt_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_model = ["evaluate", str(salt_folder), "--model", str(model), "--out", str(tmp_path / "r")]
    assert main(by_model) == 0
    assert "mean IoU" in capsys.readouterr().out
    report = json.loads((tmp_path / "r" / "report.json").read_text())
    split = json.loads((model / "split.json").read_text())
    parts = {row["image"]: row["part"] for row in report["images"]}
    assert {i for i, part in parts.items() if part == "held-out"} <= set(split["held_out"])
    assert report["overall"]["images"] == sum(p in {"held-out", "unseen"} for p in parts.values())
    assert main(["segment", str(salt_folder), "--model", str(model), "--out", str(tmp_path / "m")]) == 0
    by_masks = ["evaluate", str(salt_folder), "--masks", str(tmp_path / "m"), "--out", str(tmp_path / "s")]
    assert main(by_masks) == 0
    again = json.loads((tmp_path / "s" / "report.json").read_text())
    ious = {row["image"]: row["iou"] for row in report["images"]}
    assert ious == {row["image"]: row["iou"] for row in again["images"]}
    with (tmp_path / "r" / "iou.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    values = [float(row["iou"]) for row in rows]
    assert values == sorted(values)


def test_the_same_command_gives_the_same_model(model: Path, salt_folder: Path, tmp_path: Path) -> None:
    assert main(["train", str(salt_folder), "--out", str(tmp_path / "m"), *QUICK]) == 0
    one, two = ((p / "metrics.csv").read_text().splitlines() for p in (model, tmp_path / "m"))
    without_seconds = [
        [[c for i, c in enumerate(r.split(",")) if i != 2] for r in rows] for rows in (one, two)
    ]
    assert without_seconds[0] == without_seconds[1]


def test_training_can_start_from_a_model_and_a_split(model: Path, salt_folder: Path, tmp_path: Path) -> None:
    more = ["--init", str(model), "--split", str(model / "split.json")]
    assert main(["train", str(salt_folder), "--out", str(tmp_path / "m"), *QUICK, *more]) == 0
    settings = json.loads((tmp_path / "m" / "settings.json").read_text())
    assert settings["provenance"]["parent"] == str(model)
    assert json.loads((tmp_path / "m" / "split.json").read_text()) == json.loads(
        (model / "split.json").read_text()
    )


def test_a_model_of_another_network_is_not_started_from(
    model: Path, salt_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sentence = refused(
        capsys, "train", salt_folder, "--out", tmp_path / "m", *QUICK, "--set", "filters=4", "--init", model
    )
    assert "expected filters 4, got filters 2" in sentence
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--set", "colour=red"], "no setting 'colour'"),
        (["--set", "filters=0"], "filters needs a whole number from 1 to 512"),
        (["--set", "filters"], "expected key=value"),
        (["--recipe", "slow"], "no recipe 'slow'"),
        (["--network", "vnet"], "no network called 'vnet'"),
        (["--set", "learning_rat=1"], "did you mean 'learning_rate'?"),
        (["--layout", "nifti"], "no layout 'nifti'"),
    ],
)
def test_wrong_settings(
    arguments: list[str], says: str, salt_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert says in refused(capsys, "train", salt_folder, "--out", tmp_path / "m", *arguments)
    assert not (tmp_path / "m").exists()


def test_wrong_places(
    model: Path, salt_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli_error("inspect", tmp_path / "nowhere").code == "data.file.missing"
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("x")
    assert "notes" in refused(capsys, "train", tmp_path / "notes", "--out", tmp_path / "m")
    assert "notes" in refused(
        capsys, "segment", tmp_path / "notes", "--model", model, "--out", tmp_path / "o"
    )
    assert (
        cli_error("segment", salt_folder, "--model", tmp_path / "notes", "--out", tmp_path / "o").code
        == "model.missing"
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes"]


def copy_of(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def broken_png(folder: Path) -> None:
    image = sorted((folder / "train" / "images").iterdir())[3]
    image.write_bytes(image.read_bytes()[:200])


def broken_mask_size(folder: Path) -> None:
    from PIL import Image

    mask = sorted((folder / "train" / "masks").iterdir())[3]
    Image.fromarray(np.ones((50, 60), np.uint8)).save(mask)


def change_table(folder: Path, change: str) -> None:
    table = folder / "train.csv"
    rows = table.read_text().splitlines()
    place = next(i for i, row in enumerate(rows) if row.count(" ") > 2)
    identifier, runs = rows[place].split(",")
    rows[place] = {"range": f"{identifier},10201 50", "sly": f"../../{identifier},{runs}"}[change]
    table.write_text("\n".join(rows))


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (broken_png, "data.image.unreadable"),
        (broken_mask_size, "data.mask.size"),
        (lambda folder: change_table(folder, "range"), "data.runs.outside"),
    ],
    ids=["truncated image", "mask of another size", "run length out of range"],
)
def test_a_damaged_image_is_left_out_of_training_and_named(
    damage: object, expected: str, salt_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copy_of(salt_folder, tmp_path)
    damage(folder)  # type: ignore[operator]
    assert main(["train", str(folder), "--out", str(tmp_path / "m"), *QUICK]) == 3
    about = json.loads((tmp_path / "m" / "settings.json").read_text())["provenance"]
    ((name, sentence, code),) = about["left_out"]
    assert code == expected
    assert capsys.readouterr().err.splitlines()[-1] == f"1 image left out: {name}"
    assert Path(name).stem in sentence
    used = {i for part in ("train", "validation", "held_out") for i in about["split"][part]}
    assert len(used) == 23
    assert Path(name).stem not in used


def test_an_id_that_leads_out_of_the_folder_is_refused_and_nothing_is_written(
    salt_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copy_of(salt_folder, tmp_path)
    change_table(folder, "sly")
    refused(capsys, "train", folder, "--out", tmp_path / "m", *QUICK)
    assert not (tmp_path / "m").exists()


def test_a_cut_off_zip_and_a_bomb_are_refused(salt_folder: Path, tmp_path: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "data"), "zip", salt_folder))
    cut = tmp_path / "cut.zip"
    cut.write_bytes(archive.read_bytes()[:-2000])
    error = cli_error("train", cut, "--out", tmp_path / "m")
    assert error.code == "data.archive.unreadable"
    assert "cut.zip" in error.sentence
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("images/a.png", bytes(80 * 1024**2))
        file.writestr("masks/a.png", bytes(80 * 1024**2))
    tracemalloc.start()
    error = cli_error("train", bomb, "--out", tmp_path / "m")
    assert error.code == "data.archive.bomb"
    assert "bomb.zip" in error.sentence
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6  # neither file was unpacked
    assert not (tmp_path / "m").exists()


def test_training_does_not_write_archives(salt_folder: Path, tmp_path: Path) -> None:
    assert cli_error("train", salt_folder, "--out", tmp_path / "m.zip", *QUICK).code == "output.name.archive"
    assert list(tmp_path.iterdir()) == []


def test_masks_without_foreground_are_refused(tmp_path: Path) -> None:
    from PIL import Image

    for part in ("images", "masks"):
        (tmp_path / "d" / part).mkdir(parents=True)
        for n in range(4):
            Image.fromarray(np.zeros((40, 40), np.uint8)).save(tmp_path / "d" / part / f"{n}.png")
    assert cli_error("train", tmp_path / "d", "--out", tmp_path / "m", *QUICK).code == "training.masks.empty"


def test_a_single_image_is_trained_on_and_the_split_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    mask = np.zeros((60, 70), np.uint8)
    mask[20:40, 20:50] = 255
    for part, pixels in (("images", rng.integers(0, 90, mask.shape) + mask // 2), ("masks", mask)):
        (tmp_path / "d" / part).mkdir(parents=True)
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "d" / part / "one.png")
    assert main(["train", str(tmp_path / "d"), "--out", str(tmp_path / "m"), *QUICK]) == 0
    assert "too few to keep any aside" in capsys.readouterr().out
    run = ["evaluate", str(tmp_path / "d"), "--model", str(tmp_path / "m"), "--out", str(tmp_path / "r")]
    assert main(run) == 0
    assert "flatter" in capsys.readouterr().out


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["backend"]["backend"] == "tensorflow"
    assert found["versions"]["keras"]
    assert found["system"]["cores"] >= 1


def test_wrong_use_ends_with_two() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["evaluate", "x", "--out", "y"])
    assert caught.value.code == 2


@pytest.mark.skipif(sys.platform == "win32", reason="signals are different on Windows")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_training_goes_on(how: signal.Signals, salt_folder: Path, tmp_path: Path) -> None:
    from PIL import Image

    out, folder = tmp_path / "m", copy_of(salt_folder, tmp_path)
    command = [sys.executable, "-m", "napari_unet.cli", "train", str(folder), "--out", str(out)]
    for setting in ("filters=2", "depth=1", "steps_per_epoch=3", "batch_size=4", "epochs=400"):
        command += ["--set", setting]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=os.environ)
    deadline = time.monotonic() + 120
    while not (out / "metrics.csv").exists() or len((out / "metrics.csv").read_text().splitlines()) < 4:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(how)
    assert process.wait(60) == (130 if how == signal.SIGINT else -9)
    assert not (out / "settings.json").exists()
    done = len((out / "metrics.csv").read_text().splitlines()) - 1
    command[-1] = f"epochs={done + 2}"
    if how == signal.SIGKILL:
        # Another picture under the name of one that it was trained on.
        first = json.loads((out / "split.json").read_text())["train"][0]
        image = folder / "train" / "images" / f"{first}.png"
        content, state = image.read_bytes(), (out / "training-state.npz").read_bytes()
        Image.fromarray(np.asarray(Image.open(image))[::-1].copy()).save(image)
        refusal = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=False)
        assert refusal.returncode == 2
        assert "made with other images or masks under the same names" in refusal.stderr
        assert (out / "training-state.npz").read_bytes() == state
        image.write_bytes(content)
    subprocess.run([*command, "--resume"], check=True, stderr=subprocess.DEVNULL)
    with (out / "metrics.csv").open() as file:
        epochs = [int(row["epoch"]) for row in csv.DictReader(file)]
    assert epochs == list(range(1, done + 3))
    assert (out / "settings.json").exists()


def test_finetune_writes_a_new_model_and_says_how_it_compares(
    model: Path, salt_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from napari_unet.data.synthetic import write_synthetic

    corrections = write_synthetic("salt", tmp_path / "corrected", 8, seed=3)
    before = (model / "model.weights.h5").read_bytes()
    out = tmp_path / "new"
    run = ["finetune", "--model", str(model), "--corrections", str(corrections), "--out", str(out)]
    assert main([*run, "--replay", str(salt_folder), "--minutes", "0.1"]) == 0
    text = capsys.readouterr().out
    verdicts = ("better", "no clear difference", "worse")
    assert sum(line.startswith(verdicts) for line in text.splitlines()) == 1
    assert "replayed training data" in text
    assert (model / "model.weights.h5").read_bytes() == before
    provenance = json.loads((out / "settings.json").read_text())["provenance"]
    assert provenance["parent"] == str(model)
    assert len(provenance["corrections"]) == 8
    assert main(["segment", str(corrections), "--model", str(out), "--out", str(tmp_path / "masks")]) == 0


def test_a_new_model_that_is_worse_is_written_and_said_to_be_worse(
    model: Path,
    salt_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from napari_unet.evaluation.compare import compare
    from napari_unet.workflow.finetune import held_out_gate

    def spoiled(images: list[str], old: object, new: object, *rest: object, **more: object) -> object:
        ids = [str(n) for n in range(6)]
        return compare(ids, np.full(6, 0.9), np.full(6, 0.5))

    monkeypatch.setattr(held_out_gate, "compare", spoiled)
    out = tmp_path / "new"
    run = ["finetune", "--model", str(model), "--corrections", str(salt_folder), "--out", str(out)]
    assert main([*run, "--minutes", "0.05"]) == 0
    text = capsys.readouterr().out
    assert "worse: mean IoU 0.900 before, 0.500 now on 6 held-out images" in text
    assert "is worse than" in text
    assert (out / "settings.json").exists()


def test_finetune_refuses_in_one_sentence(
    model: Path, salt_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["finetune", "--model", model, "--corrections", salt_folder, "--out"]
    assert cli_error(*run, model).code == "output.input"
    assert cli_error(*run, tmp_path / "a", "--minutes", "0").code == "settings.minutes.range"
    assert cli_error(*run, tmp_path / "a", "--unverified", 9).code == "data.masks.unverified"
    (tmp_path / "empty").mkdir()
    refused(
        capsys, "finetune", "--model", model, "--corrections", tmp_path / "empty", "--out", tmp_path / "a"
    )
