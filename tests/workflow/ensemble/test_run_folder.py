"""A finished ensemble stays until the next one is whole, and runs keep out of each other's way."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.data.catalog import open_dataset
from napari_unet.data.split import Split
from napari_unet.engine.inline import run_inline
from napari_unet.errors import Cancelled, ModelError, SettingsError
from napari_unet.models.ensemble import load_any
from napari_unet.models.model import load_model
from napari_unet.progress import CancelToken, ignore_progress
from napari_unet.workflow.ensemble.cluster_training import WhileRunning, _Member, _train
from napari_unet.workflow.ensemble.ensemble_task import EnsembleTask
from napari_unet.workflow.ensemble.run_folder import RUNNING, earlier_run, home_of, run_folder
from napari_unet.workflow.ensemble.train_members import TrainMembersTask
from napari_unet.workflow.evaluate.cluster_evaluation import divided
from napari_unet.workflow.train.recipes import recipe
from napari_unet.workflow.train.train_task import TrainTask
from support.errors import raises_code
from support.folders import contents
from support.tiny_models import provenance_of, write_tiny_model

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

QUICK = ("epochs=1", "steps_per_epoch=2", "filters=2", "depth=2", "batch_size=2", "patch=32")
SPLIT = Split(("a", "b"), ("c",), ("d",))
NAMES = ("01-seed", "02-seed")


def fine(folder: Path) -> None:
    assert (folder / RUNNING).exists()


def begun(out: Path) -> Path:
    """A run that was killed when one member was finished and one begun."""
    with pytest.raises(Cancelled), run_folder(out, SPLIT, NAMES, None, fine) as folder:
        for name, files in {
            "01-seed": ("settings.json", "model.weights.h5"),
            "02-seed": ("training-state.npz",),
        }.items():
            (folder / name).mkdir()
            for file in files:
                (folder / name / file).write_text(f"first {file}")
        raise Cancelled
    assert not (folder / RUNNING).exists()
    (folder / RUNNING).touch()
    return folder


def test_a_run_goes_on_in_a_folder_that_workers_of_the_earlier_one_do_not_know(tmp_path: Path) -> None:
    out = tmp_path / "many"
    first = begun(out)
    assert earlier_run(out) == first
    with run_folder(out, SPLIT, NAMES, first, fine) as second:
        assert second.name.partition("-")[0] == "0002"
        assert not (first / RUNNING).exists()
        # A worker that has not heard of it.
        (first / "02-seed" / "training-state.npz").write_text("late")
        assert contents(second) == {
            "split.json": (first / "split.json").read_bytes(),
            "running": b"",
            "01-seed/settings.json": b"first settings.json",
            "01-seed/model.weights.h5": b"first model.weights.h5",
            "02-seed/training-state.npz": b"first training-state.npz",
        }
    assert not home_of(out).exists()


def test_earlier_runs_stay_until_there_is_something_better(tmp_path: Path) -> None:
    def refuse(folder: Path) -> None:
        raise SettingsError("no workers", code="settings.value")

    out = tmp_path / "many"
    first = begun(out)
    before = contents(first)
    with pytest.raises(SettingsError), run_folder(out, SPLIT, NAMES, first, refuse):
        pytest.fail("it was refused")
    assert contents(home_of(out)) == {f"{first.name}/{name}": content for name, content in before.items()}
    with pytest.raises(ModelError), run_folder(out, SPLIT, NAMES, None, fine):
        raise ModelError("nothing was learned", code="model.channels.count")
    assert earlier_run(out) == first
    assert set(contents(first)) == set(before) - {RUNNING}
    with pytest.raises(ModelError), run_folder(out, SPLIT, NAMES, None, fine) as second:
        (second / "01-seed").mkdir()
        (second / "01-seed" / "training-state.npz").touch()
        raise ModelError("something was learned", code="model.channels.count")
    assert list(home_of(out).iterdir()) == [second]
    # What a worker writes late is in nobody's way.
    (first / "02-seed").mkdir(parents=True)
    (first / "02-seed" / "training-state.npz").touch()
    assert earlier_run(out) == second
    with run_folder(out, SPLIT, NAMES, None, fine) as third:
        assert set(contents(third)) == {"split.json", RUNNING}
    assert not home_of(out).exists()


def test_a_worker_of_a_run_that_is_over_stops_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "running"
    mark.touch()
    clock = [100.0]
    monkeypatch.setattr("napari_unet.workflow.ensemble.cluster_training.time.monotonic", lambda: clock[0])
    going = WhileRunning(mark)
    assert not going.cancelled
    mark.unlink()
    clock[0] += 0.5
    assert not going.cancelled
    clock[0] += 0.6
    with pytest.raises(Cancelled):
        going.check()
    task = TrainTask(tmp_path / "data", tmp_path / "01-seed", recipe("fast", QUICK))
    with pytest.raises(Cancelled):
        _train(_Member(task, mark))
    assert list(tmp_path.iterdir()) == []


def test_a_finished_ensemble_stays_until_the_new_one_is_whole(
    salt_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_unet.engine.cluster.PATIENCE", 1.0)
    dataset = open_dataset(salt_folder)
    ids = [s.id for s in dataset.samples]
    about = provenance_of(dataset, ids[:8], ids[16:])
    made = tuple(write_tiny_model(tmp_path / name, provenance=about, seed=s) for s, name in enumerate("abc"))
    out, cancel, members = tmp_path / "many", CancelToken(), []
    run_inline(EnsembleTask(made, out))
    (out / "split.json").write_text("of the three")
    before = contents(out)
    train = TrainTask(salt_folder, out, recipe("fast", QUICK), overwrite=True)
    task = TrainMembersTask(train, "seeds", 2)
    untold = recipe("fast", [*QUICK, "network.name=unet", "pretrained=imagenet"])
    for wrong, said in (
        (replace(task, cluster="tcp://127.0.0.1:9"), ("settings.cluster.missing",)),
        (replace(task, kind="folds", count=25), ("settings.folds.many", "into 25")),
        (replace(task, train=replace(train, init=tmp_path / "nowhere")), ("model.missing", "nowhere")),
        (replace(task, train=replace(train, recipe=untold)), ("settings.pretrained.unsupported",)),
    ):
        with raises_code(*said):
            run_inline(wrong)
        assert contents(out) == before
        assert not home_of(out).exists()

    def stop_at_the_second(number: int) -> None:
        members.append(number)
        if members == [1, 2]:
            cancel.cancel()

    task = replace(task, on_member=stop_at_the_second)
    with pytest.raises(Cancelled):
        task.run(ignore_progress, cancel)
    assert contents(out) == before
    many = run_inline(replace(task, train=replace(train, resume=True)))
    assert members == [1, 2, 2]
    assert not home_of(out).exists()
    assert set(contents(out)) == {
        "settings.json",
        "split.json",
        *(
            f"members/{name}/{file}"
            for name in NAMES
            for file in ("settings.json", "split.json", "metrics.csv", "model.weights.h5")
        ),
    }
    split = Split.load(out / "split.json")
    assert len(split.train) + len(split.validation) + len(split.held_out) == 24
    assert all(Split.load(out / "members" / name / "split.json") == split for name in NAMES)
    # What is handed back is what was written.
    image = np.random.default_rng(0).random((1, 64, 64, 1)).astype(np.float32)
    for (_, ours), (_, read) in zip(many.models(), load_any(out, many.precision).models(), strict=True):
        np.testing.assert_array_equal(ours.probabilities(image), read.probabilities(image))
    assert load_model(out / "members" / "01-seed").provenance["parent"] == ""


def test_images_are_divided_by_their_number_and_the_workers() -> None:
    ids = [str(n) for n in range(1000)]
    # 24 / (4 turns of 2 workers) = 3 in each of 8 tasks.
    assert [len(part) for part in divided(ids[:24], 2)] == [3] * 8
    # 25 / 8 = 3.1, so 4 in each, and one is left.
    assert [len(part) for part in divided(ids[:25], 2)] == [4] * 6 + [1]
    # 1000 / 8 = 125 is more than 16: 62 * 16 = 992, and 8 are left.
    assert [len(part) for part in divided(ids, 2)] == [16] * 62 + [8]
    assert divided(ids[:3], 100) == [("0",), ("1",), ("2",)]
    assert divided([], 2) == []
