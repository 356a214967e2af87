from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from napari_unet.data.catalog import open_dataset
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.engine.inline import InlineEngine, run_inline
from napari_unet.engine.task import Job
from napari_unet.errors import Cancelled, DataError
from napari_unet.inference import predict
from napari_unet.models import cache
from napari_unet.models.card import ModelCard
from napari_unet.models.ensemble import load_any
from napari_unet.progress import CancelToken, Progress
from napari_unet.session.images.collection import Collection
from napari_unet.session.session import Session
from napari_unet.settings import InferenceSettings
from napari_unet.workflow.inputs.image_reference import CallReference, FileReference, References, refer
from napari_unet.workflow.segment import predict_task
from napari_unet.workflow.segment.predict_task import PredictTask, WarmTask
from napari_unet.workflow.segment.prediction import Prediction, Region, mask_file
from napari_unet.workflow.segment.rescore_task import RescoreTask
from support.errors import raises_code
from support.tiny_models import provenance_of, write_tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_unet.data.dataset import Dataset

pytestmark = pytest.mark.usefixtures("step_by_step")

SIDE = 24


@pytest.fixture(scope="module")
def salt(salt_tiles: Callable[[int], Path]) -> Path:
    return salt_tiles(8)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, salt: Path) -> dict[str, Path]:
    """grey: trained on the first four of the salt set; other, two: of no known data."""
    folder = tmp_path_factory.mktemp("models")
    dataset = open_dataset(salt)
    ids = [s.id for s in dataset.samples]
    return {
        "grey": write_tiny_model(folder / "grey", provenance=provenance_of(dataset, ids[:4], ids[4:])),
        "other": write_tiny_model(folder / "other", seed=3),
        "two": write_tiny_model(folder / "two", classes=("one", "two"), seed=1),
        "wide": write_tiny_model(folder / "wide", 5),
    }


class Told:
    """Everything a session said."""

    def __init__(self, session: Session) -> None:
        self.failures: list[tuple[str, str]] = []
        self.masks: list[str] = []
        self.rows: list[str] = []
        session.runner.failed.connect(lambda sentence, details: self.failures.append((sentence, details)))
        session.workspace.mask_changed.connect(self.masks.append)
        session.workspace.rows_changed.connect(self.rows.extend)


class Waiting:
    """A dispatcher that keeps what other threads hand over until it is asked to run it."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def __call__(self, function: Callable[[], None]) -> None:
        self.waiting.append(function)

    def run_scores(self, session: Session) -> None:
        """Until the overall score is there, whatever else runs."""
        until = time.monotonic() + 10
        while session.workspace.scores_pending:
            while self.waiting:
                self.waiting.pop(0)()
            assert time.monotonic() < until
            time.sleep(0.001)

    def run(self, session: Session) -> None:
        """Until nothing is worked out aside any more."""

        def pump() -> None:
            while self.waiting:
                self.waiting.pop(0)()

        session.wait_idle(pump)


@pytest.fixture
def dispatch() -> Waiting:
    return Waiting()


@pytest.fixture
def session(dispatch: Waiting, no_pause: None) -> Iterator[Session]:
    session = Session(InlineEngine(), dispatch)
    yield session
    folder = session.workspace.collection._folder if session.workspace.collection is not None else None
    session.close()
    assert folder is None or not Path(folder.name).exists()
    assert not [t for t in threading.enumerate() if t.name.startswith("session")]


def picture(seed: int, shape: tuple[int, int] = (SIDE, SIDE)) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 255, (*shape, 1), np.uint8)


def square(shape: tuple[int, int] = (SIDE, SIDE)) -> ReferenceMask:
    labels = np.zeros(shape, np.uint8)
    labels[4:12, 6:18] = 1
    return ReferenceMask(labels)


def made_up(count: int = 4, masks: bool = True) -> Collection:
    """Images that only this process has."""
    images = [picture(n) for n in range(count)]
    return Collection("made up", [
        Sample(f"image {n}", lambda image=image: image, square if masks else None, f"group {n}")
        for n, image in enumerate(images)
    ])  # fmt: skip


def of_dataset(dataset: Dataset) -> Collection:
    return Collection(dataset.name, (*dataset.samples, *dataset.unlabelled), dataset)


def use(session: Session, collection: Collection, model: Path) -> Collection:
    session.workspace.choose_model(ModelCard.read(model))
    session.workspace.show(collection)
    return collection


def counted_by_hand(truth: np.ndarray[Any, Any], mask: np.ndarray[Any, Any]) -> float:
    inside, either = ((truth > 0) & (mask > 0)).sum(), ((truth > 0) | (mask > 0)).sum()
    return 1.0 if not either else float(inside / either)


# segmenting


def test_all_images_of_a_data_set_are_segmented_and_scored(
    session: Session, dispatch: Waiting, salt: Path, models: dict[str, Path]
) -> None:
    dataset = open_dataset(salt)
    collection = use(session, of_dataset(dataset), models["grey"])
    assert {r.status for r in session.workspace.rows()} == {"new"}
    assert {r.iou for r in session.workspace.rows()} == {None}
    told = Told(session)
    job = session.segment(collection.ids)
    assert job is not None
    assert job.state == "done"
    assert job.result == len(collection)
    assert not session.runner.busy
    assert told.failures == []
    assert told.masks == list(collection.ids)
    for sample, row in zip(dataset.samples, session.workspace.rows(), strict=False):
        mask = session.workspace.mask(row.id)
        assert mask is not None
        assert mask.shape == (101, 101)
        assert 0.05 < mask.mean() < 0.95
        assert row.status == "segmented"
        assert row.iou == pytest.approx(counted_by_hand(sample.read_mask().labels, mask))
    for row in session.workspace.rows()[len(dataset) :]:
        assert (row.status, row.iou, row.has_reference, row.part) == ("segmented", None, False, "unseen")
    dispatch.run(session)
    assert session.workspace.overall is not None
    # The second half alone is unseen by the model.
    unseen = [r.iou for r in session.workspace.rows() if r.part == "held-out"]
    assert len(unseen) == session.workspace.overall.images == 4
    assert session.workspace.overall.mean_iou == pytest.approx(np.mean(np.array(unseen, float)))
    assert session.workspace.overall.left_out == 4
    assert not session.workspace.overall.seen
    assert np.isnan(session.workspace.overall.low)
    assert session.workspace.overall.no_interval == "no interval: 4 groups, at least 5 are needed"


def test_threshold_and_minimum_size_need_no_network(
    session: Session, dispatch: Waiting, models: dict[str, Path]
) -> None:
    collection = use(session, made_up(), models["other"])
    session.segment(collection.ids)
    tasks: list[Any] = []
    submit = session.runner.engine.submit
    session.runner.engine.submit = lambda task, *more: (tasks.append(type(task)), submit(task, *more))[1]  # type: ignore[method-assign]
    before = {i: session.workspace.row(i).iou for i in collection.ids}
    told = Told(session)
    session.workspace.set_postprocessing(0.8, 0)
    assert told.masks == ["image 0"]
    prediction = collection.entries["image 0"].prediction
    assert prediction is not None
    kept = np.asarray(prediction.probabilities(), np.float32)[..., 0]
    np.testing.assert_array_equal(session.workspace.mask("image 0"), kept > np.float32(0.8))
    session.workspace.set_postprocessing(0.8, 10_000)
    assert not session.workspace.mask("image 0").any()  # type: ignore[union-attr]
    session.rescore()
    assert tasks == [RescoreTask]
    # The current image is scored by whoever shows it.
    assert session.workspace.row("image 0").iou == before["image 0"]
    session.workspace.score_mask("image 0", session.workspace.mask("image 0"))  # type: ignore[arg-type]
    assert {session.workspace.row(i).iou for i in collection.ids} == {0.0}
    session.workspace.set_postprocessing(0.5, 0)
    session.rescore()
    assert {i: session.workspace.row(i).iou for i in collection.ids[1:]} == {
        i: before[i] for i in collection.ids[1:]
    }
    dispatch.run(session)


def test_a_mask_is_made_and_scored_once_where_it_is_segmented(
    session: Session, dispatch: Waiting, models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_unet.session.images import collection as shown
    from napari_unet.workflow.segment import prediction as predictions
    from napari_unet.workflow.segment import segment_samples

    calls: Counter[str] = Counter()
    places = {"worker": (segment_samples, predictions), "window": (shown, shown)}
    for place, modules in places.items():
        for module, name in zip(modules, ("mask_from_probabilities", "count_overlap"), strict=True):
            original = getattr(module, name)

            def counting(
                *args: Any, original: Any = original, key: str = f"{place} {name}", **more: Any
            ) -> Any:
                calls[key] += 1
                return original(*args, **more)

            monkeypatch.setattr(module, name, counting)
    images = use(session, made_up(), models["other"])

    def show(identifier: str) -> np.ndarray[Any, Any]:
        mask = session.workspace.mask(identifier)
        assert mask is not None
        session.workspace.score_mask(identifier, mask)
        return mask

    session.segment(images.ids)
    masks = {i: show(i) for i in images.ids}
    count = len(images.ids)
    assert calls == {"worker mask_from_probabilities": count, "worker count_overlap": count}
    for identifier, mask in masks.items():
        prediction = images.entries[identifier].prediction
        assert prediction is not None
        kept = np.asarray(prediction.probabilities(), np.float32)[..., 0]
        np.testing.assert_array_equal(mask, kept > np.float32(session.workspace.inference.threshold))
    first = images.ids[0]
    before = session.workspace.postprocessing
    session.workspace.set_postprocessing(0.9, 0)
    show(first)
    assert (calls["window mask_from_probabilities"], calls["window count_overlap"]) == (1, 1)
    session.workspace.set_postprocessing(*before)  # as it was segmented: nothing is made again
    np.testing.assert_array_equal(session.workspace.mask(first), masks[first])
    assert calls["window mask_from_probabilities"] == 1
    dispatch.run(session)


def test_regions_of_two_thresholds_are_made_into_one_mask_of_the_newest(
    session: Session, models: dict[str, Path]
) -> None:
    collection = use(session, made_up(1), models["other"])
    session.segment(["image 0"], Region(0, 0, SIDE, 12), (SIDE, SIDE))
    session.workspace.set_postprocessing(0.8, 0)
    session.segment(["image 0"], Region(0, 12, SIDE, SIDE), (SIDE, SIDE))
    prediction = collection.entries["image 0"].prediction
    assert prediction is not None
    assert prediction.made_with is None
    kept = np.asarray(prediction.probabilities(), np.float32)[..., 0]
    np.testing.assert_array_equal(session.workspace.mask("image 0"), kept > np.float32(0.8))


def test_a_broken_image_has_its_problem_and_does_not_stop_the_rest(
    session: Session, models: dict[str, Path]
) -> None:
    def broken() -> Any:
        raise DataError("this image is torn", code="data.image.unreadable", remedy="mend it")

    good = made_up(2)
    samples = [e.sample for e in good.entries.values()]
    samples.insert(1, Sample("torn", broken))
    samples.insert(2, Sample("empty", lambda: np.zeros((0, 8, 1), np.uint8)))
    samples.append(
        Sample("mask too small", lambda: picture(5), lambda: ReferenceMask(np.ones((3, 3), np.uint8)))
    )
    collection = use(session, Collection("some broken", samples), models["other"])
    job = session.segment(collection.ids)
    assert job is not None
    assert job.state == "done"
    rows = {r.id: r for r in session.workspace.rows()}
    assert rows["torn"].problem == "this image is torn; mend it"
    assert rows["torn"].status == "new"
    assert "is empty" in rows["empty"].problem
    assert [rows[f"image {n}"].status for n in range(2)] == ["segmented"] * 2
    assert rows["mask too small"].status == "segmented"
    assert rows["mask too small"].iou is None
    assert "another size" in rows["mask too small"].problem


def test_a_model_that_is_gone_is_told(session: Session, models: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(models["other"], tmp_path / "gone")
    collection = use(session, made_up(1), tmp_path / "gone")
    shutil.rmtree(tmp_path / "gone")
    told = Told(session)
    job = session.segment(collection.ids)
    assert job is not None
    assert job.state == "failed"
    assert "there is no model" in told.failures[0][0]
    assert "Traceback" in told.failures[0][1]
    assert not session.runner.busy
    assert session.runner.progress is None


@pytest.mark.parametrize(("wanted", "expected"), [(0, 64), (4, 16), (16, 16), (256, 256)])
def test_a_preferred_tile_is_taken_instead_of_the_models(
    session: Session, models: dict[str, Path], wanted: int, expected: int
) -> None:
    collection = use(session, made_up(1), models["other"])
    session.workspace.tile = wanted
    job = session.segment(collection.ids)
    assert job is not None
    assert job.state == "done"
    assert job.task.settings.tile == expected  # type: ignore[attr-defined]
    assert session.workspace.row("image 0").status == "segmented"
    assert session.workspace.inference == ModelCard.read(models["other"]).recipe.inference


def test_nothing_to_do_is_no_job(session: Session, models: dict[str, Path]) -> None:
    assert session.segment(["a"]) is None
    session.workspace.choose_model(ModelCard.read(models["other"]))
    assert session.segment(["a"]) is None
    session.workspace.show(made_up(1))
    assert session.segment([]) is None


def test_cancel_keeps_what_is_finished(session: Session, models: dict[str, Path]) -> None:
    sizes = [(24, 24), (40, 24), (24, 40), (40, 40)]  # of several shapes, so that they come one by one
    samples = [Sample(str(n), lambda n=n, s=s: picture(n, s)) for n, s in enumerate(sizes * 20)]
    collection = use(session, Collection("many", samples), models["other"])
    first: list[str] = []

    class Stopped(InlineEngine):
        def submit(self, task: Any, on_progress: Any = None, on_end: Any = None) -> Job:
            token = CancelToken()

            def progress(told: Progress) -> None:
                on_progress(told)
                if isinstance(told.piece, Prediction):
                    first.append(told.piece.id)
                    token.cancel()

            job = Job(task, progress, on_end)
            try:
                task.run(progress, token)
            except Cancelled:
                job.end("cancelled")
            on_end(job)
            return job

    session.runner.engine = Stopped()
    job = session.segment(collection.ids)
    assert job is not None
    assert job.state == "cancelled"
    done = [r.id for r in session.workspace.rows() if r.status == "segmented"]
    assert done == first
    assert 0 < len(done) < len(samples)
    assert all(session.workspace.mask(i) is not None for i in done)


def test_probabilities_deleted_from_disk_are_told(session: Session, models: dict[str, Path]) -> None:
    collection = use(session, made_up(2), models["other"])
    session.segment(collection.ids)
    prediction = collection.entries["image 0"].prediction
    assert prediction is not None
    assert prediction.file is not None
    prediction.file.unlink()
    told = Told(session)
    session.workspace.set_postprocessing(0.4, 0)
    assert session.workspace.mask("image 0") is None
    assert session.workspace.row("image 0").status == "new"
    assert "segment it again" in session.workspace.row("image 0").problem
    session.rescore()
    session.segment(["image 0"])
    assert session.workspace.row("image 0").status == "segmented"
    assert session.workspace.row("image 0").problem == ""
    assert told.failures == []


def test_a_threshold_that_was_moved_while_something_ran_is_scored_at_its_end(
    session: Session, dispatch: Waiting, models: dict[str, Path]
) -> None:
    images = use(session, made_up(), models["other"])
    ids = images.ids
    session.segment(ids)
    dispatch.run(session)
    session.runner.job = cast("Any", SimpleNamespace(task=None, cancel=lambda: None))
    session.workspace.set_postprocessing(0.9, 0)
    session.rescore()
    dispatch.run_scores(session)
    others = [i for i in ids if i != session.workspace.current]
    assert session.workspace.overall is None  # no score is of the threshold as it is
    assert all(images.entries[i].scored_with != (0.9, 0) for i in others)
    session.runner.job = None
    session.runner.job_changed.emit()
    dispatch.run(session)
    for identifier in others:
        mask, reference = session.workspace.mask(identifier), images.reference(identifier)
        assert mask is not None
        assert reference is not None
        assert images.entries[identifier].iou == pytest.approx(counted_by_hand(reference.labels, mask))


def test_rescoring_without_the_files_does_not_break_off(session: Session, models: dict[str, Path]) -> None:
    collection = use(session, made_up(3), models["other"])
    session.segment(collection.ids)
    before = session.workspace.row("image 2").iou
    gone = collection.entries["image 1"].prediction
    assert gone is not None
    assert gone.file is not None
    gone.file.unlink()
    session.workspace.set_postprocessing(1.0, 0)
    session.rescore()
    assert session.workspace.row("image 2").iou == 0.0 != before


def test_a_region_is_written_into_the_whole(session: Session, models: dict[str, Path]) -> None:
    collection = use(session, made_up(1), models["other"])
    session.segment(["image 0"], Region(4, 6, 20, 18), (SIDE, SIDE))
    prediction = collection.entries["image 0"].prediction
    assert prediction is not None
    assert prediction.shape == (SIDE, SIDE)
    part = np.array(prediction.probabilities())[..., 0]
    assert part.shape == (SIDE, SIDE)
    assert part[4:20, 6:18].all()
    outside = np.ones((SIDE, SIDE), bool)
    outside[4:20, 6:18] = False
    assert not part[outside].any()
    session.segment(["image 0"])
    whole = np.array(collection.entries["image 0"].prediction.probabilities())[..., 0]  # type: ignore[union-attr]
    assert whole[outside].all()
    session.segment(["image 0"], Region(4, 6, 20, 18), (SIDE, SIDE))
    both = np.array(collection.entries["image 0"].prediction.probabilities())[..., 0]  # type: ignore[union-attr]
    np.testing.assert_array_equal(both[4:20, 6:18], part[4:20, 6:18])
    np.testing.assert_array_equal(both[outside], whole[outside])


def test_ids_that_look_alike_as_files_are_kept_apart(session: Session, models: dict[str, Path]) -> None:
    """Whether they are segmented together or one after the other."""
    images = {"a/b": picture(1), "a:b": picture(2), "A/b": picture(3)}
    collection = use(
        session, Collection("alike", [Sample(i, lambda v=v: v) for i, v in images.items()]), models["other"]
    )
    session.segment(collection.ids)
    together = [session.workspace.mask(i) for i in collection.ids]
    for identifier in reversed(collection.ids):
        session.segment([identifier])
    for identifier, mask in zip(collection.ids, together, strict=True):
        np.testing.assert_array_equal(session.workspace.mask(identifier), mask)


def test_probabilities_that_are_mapped_survive_a_new_prediction(
    session: Session, models: dict[str, Path]
) -> None:
    """A file cut short under a mapping would end the window with a bus error."""
    collection = use(session, made_up(1), models["other"])
    session.segment(collection.ids)
    mapped = collection.entries["image 0"].prediction.probabilities()  # type: ignore[union-attr]
    before = np.array(mapped)
    session.segment(collection.ids, Region(0, 0, 4, 4))
    session.segment(collection.ids)
    np.testing.assert_array_equal(mapped[8:], before[8:])
    file = collection.entries["image 0"].prediction.file  # type: ignore[union-attr]
    assert file is not None
    inode = file.stat().st_ino
    session.segment(collection.ids)
    assert file.stat().st_ino != inode
    assert set(file.parent.iterdir()) == {file, mask_file(file)}


# corrections


def test_corrections_survive_a_new_segmentation_and_another_model(
    session: Session, dispatch: Waiting, models: dict[str, Path]
) -> None:
    collection = use(session, made_up(2), models["other"])
    session.segment(collection.ids)
    painted = session.workspace.mask("image 0").copy()  # type: ignore[union-attr]
    painted[:4] = 1
    session.painting.correct("image 0", painted)
    expected = counted_by_hand(square().labels, painted)
    for change in (
        lambda: None,
        lambda: session.segment(collection.ids),
        lambda: (session.workspace.set_postprocessing(0.9, 50), session.rescore()),
        lambda: session.workspace.choose_model(ModelCard.read(models["grey"])),
        lambda: session.segment(collection.ids),
    ):
        change()
        painted_again = session.workspace.mask("image 0")
        assert session.workspace.row("image 0").status == "corrected"
        assert session.workspace.row("image 0").iou == pytest.approx(expected)
        np.testing.assert_array_equal(painted_again, painted)
    told = Told(session)
    session.painting.revert("image 0")
    assert told.masks == ["image 0"]
    assert session.workspace.row("image 0").status == "segmented"
    predicted = collection.predicted_mask("image 0", session.workspace.inference)
    assert predicted is not None
    assert session.workspace.row("image 0").iou == pytest.approx(counted_by_hand(square().labels, predicted))
    dispatch.run(session)


def test_what_is_painted_back_is_no_correction(session: Session, models: dict[str, Path]) -> None:
    collection = use(session, made_up(1), models["other"])
    session.segment(collection.ids)
    predicted = session.workspace.mask("image 0").copy()  # type: ignore[union-attr]
    session.painting.correct("image 0", 1 - predicted)
    assert session.workspace.row("image 0").status == "corrected"
    session.painting.correct("image 0", predicted)
    assert session.workspace.row("image 0").status == "segmented"


def test_painting_without_a_prediction_counts_too(session: Session, dispatch: Waiting) -> None:
    session.workspace.show(made_up(1))
    mask = square().labels.copy()
    session.painting.correct("image 0", mask)
    assert session.workspace.row("image 0").status == "corrected"
    assert session.workspace.row("image 0").iou == 1.0
    session.painting.revert("image 0")
    assert session.workspace.row("image 0").status == "new"
    assert session.workspace.row("image 0").iou is None
    dispatch.run(session)


def test_what_was_vouched_for_stays_as_it_was(session: Session, models: dict[str, Path]) -> None:
    collection = use(session, made_up(2), models["other"])
    session.painting.set_done(["image 0"])
    assert session.workspace.row("image 0").status == "new"  # there is nothing to verify yet
    session.segment(collection.ids)
    mask = session.workspace.mask("image 0").copy()  # type: ignore[union-attr]
    session.painting.set_done(["image 0"])
    assert session.workspace.row("image 0").status == "done"
    session.workspace.set_postprocessing(0.9, 0)
    np.testing.assert_array_equal(session.workspace.mask("image 0"), mask)
    session.workspace.choose_model(ModelCard.read(models["grey"]))
    session.segment(collection.ids)
    np.testing.assert_array_equal(session.workspace.mask("image 0"), mask)
    assert session.workspace.row("image 0").status == "done"
    session.painting.set_done(["image 0"], False)
    assert session.workspace.row("image 0").status in ("corrected", "segmented")


# parts and scores


def test_parts_are_told_by_pixels_not_by_names(session: Session, salt: Path, models: dict[str, Path]) -> None:
    dataset = open_dataset(salt)
    train, held_out = dataset.samples[0], dataset.samples[5]
    samples = [
        Sample("renamed", train.load_image),
        Sample(train.id, lambda: picture(0)),
        Sample("renamed too", held_out.load_image),
    ]
    use(session, Collection("renamed", samples), models["grey"])
    assert [r.part for r in session.workspace.rows()] == ["", "", ""]
    session.segment(["renamed", train.id, "renamed too"])
    assert [r.part for r in session.workspace.rows()] == ["train", "unseen", "held-out"]


def test_the_parts_of_the_models_own_data_are_known_at_once(
    session: Session, salt: Path, models: dict[str, Path]
) -> None:
    dataset = open_dataset(salt)
    use(session, of_dataset(dataset), models["grey"])
    assert [r.part for r in session.workspace.rows()][:8] == ["train"] * 4 + ["held-out"] * 4
    assert session.workspace.rows()[0].group
    session.workspace.choose_model(ModelCard.read(models["other"]))
    assert {r.part for r in session.workspace.rows()} == {""}


def test_scores_of_seen_images_say_so_and_one_group_has_no_interval(
    session: Session, dispatch: Waiting, salt: Path, models: dict[str, Path]
) -> None:
    dataset = open_dataset(salt)
    use(session, of_dataset(dataset), models["grey"])
    seen, unseen = dataset.samples[0].id, dataset.samples[6].id
    session.segment([seen])
    dispatch.run(session)
    assert session.workspace.overall is not None
    assert session.workspace.overall.seen
    assert session.workspace.overall.images == 1
    session.segment([unseen])
    dispatch.run(session)
    assert session.workspace.overall.images == 1
    assert not session.workspace.overall.seen
    assert session.workspace.overall.left_out == 1
    assert session.workspace.overall.mean_iou == session.workspace.row(unseen).iou
    assert np.isnan(session.workspace.overall.low)
    assert np.isnan(session.workspace.overall.high)


def test_another_model_forgets_what_the_last_one_said(
    session: Session, dispatch: Waiting, models: dict[str, Path]
) -> None:
    collection = use(session, made_up(2), models["other"])
    session.segment(collection.ids)
    dispatch.run(session)
    folder = collection.folder
    assert session.workspace.overall is not None
    session.workspace.set_postprocessing(0.7, 5)
    session.workspace.choose_model(ModelCard.read(models["two"]))
    dispatch.run(session)
    assert {r.status for r in session.workspace.rows()} == {"new"}
    assert {r.iou for r in session.workspace.rows()} == {None}
    assert session.workspace.overall is None
    assert not folder.exists()
    assert collection.classes == ("one", "two")
    assert session.workspace.inference == ModelCard.read(models["two"]).recipe.inference
    session.segment(collection.ids)
    assert session.workspace.mask("image 0").max() <= 2


def test_a_model_says_which_channels_it_wants(session: Session, models: dict[str, Path]) -> None:
    assert session.workspace.mismatch(3) == ""
    session.workspace.choose_model(ModelCard.read(models["wide"]))
    assert "5 channels, this one has 3" in session.workspace.mismatch(3)
    assert session.workspace.mismatch(5) == ""
    assert session.workspace.mismatch(None) == ""


def test_models_are_found_in_folders_and_what_is_none_is_told(
    session: Session, models: dict[str, Path], tmp_path: Path
) -> None:
    told = Told(session)
    session.workspace.load_model(tmp_path)
    assert "there is no model in" in told.failures[0][0]
    (tmp_path / "no.zip").write_bytes(b"PK nothing")
    session.workspace.load_model(tmp_path / "no.zip")
    assert len(told.failures) == 2
    with raises_code("model.missing"):
        session.workspace.add_models(tmp_path)
    session.workspace.load_model(models["grey"].parent)
    assert set(session.workspace.models) == set(models.values())
    assert session.workspace.model is not None


def test_another_collection_starts_afresh_and_the_first_is_as_it_was(
    session: Session, dispatch: Waiting, models: dict[str, Path]
) -> None:
    first, second = made_up(2), made_up(3)
    use(session, first, models["other"])
    session.segment(first.ids)
    session.workspace.show(second)
    dispatch.run(session)
    assert session.workspace.current == "image 0"
    assert {r.status for r in session.workspace.rows()} == {"new"}
    assert session.workspace.overall is None
    session.workspace.show(first, "image 1")
    dispatch.run(session)
    assert session.workspace.current == "image 1"
    assert {r.status for r in session.workspace.rows()} == {"segmented"}
    assert session.workspace.overall is not None
    session.workspace.show(None)
    dispatch.run(session)
    assert session.workspace.rows() == []
    assert session.workspace.overall is None
    session.workspace.show(first)
    first.close(), second.close()


def test_what_another_model_said_of_a_collection_put_aside_is_forgotten(
    session: Session, models: dict[str, Path]
) -> None:
    first, second = made_up(1), made_up(1)
    use(session, first, models["other"])
    session.segment(first.ids)
    session.workspace.show(second)
    session.workspace.choose_model(ModelCard.read(models["two"]))
    session.workspace.show(first)
    assert {r.status for r in session.workspace.rows()} == {"new"}
    second.close()


# tasks and references


def test_references_find_images_on_disk_and_with_the_caller(salt: Path) -> None:
    dataset = open_dataset(salt)
    sample = dataset.samples[2]
    reference = refer(sample, dataset)
    assert reference == FileReference(dataset.path, dataset.format, sample.id)
    references = References()
    found = references.sample(reference)
    np.testing.assert_array_equal(found.read_image(), sample.read_image())
    np.testing.assert_array_equal(found.read_mask().labels, sample.read_mask().labels)
    assert references.sample(reference) is found
    with pytest.raises(KeyError):
        references.sample(FileReference(dataset.path, dataset.format, "no such"))
    own = refer(Sample("own", lambda: picture(0), square), None)
    assert isinstance(own, CallReference)
    np.testing.assert_array_equal(references.sample(own).read_image(), picture(0))
    assert references.sample(own).has_mask
    assert not references.sample(refer(Sample("bare", lambda: picture(0)), None)).has_mask


def test_a_data_set_that_is_gone_is_told_image_by_image(
    session: Session, salt: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(salt, tmp_path / "salt")
    dataset = open_dataset(tmp_path / "salt")
    use(session, of_dataset(dataset), models["other"])
    references = tuple(refer(s, dataset) for s in dataset.samples[:2])
    shutil.rmtree(tmp_path / "salt")
    pieces: list[Any] = []
    task = PredictTask(models["other"], references, tmp_path, InferenceSettings())
    assert run_inline(task, lambda p: pieces.append(p.piece)) == 0
    problems = [p.problem for p in pieces if p is not None]
    assert len(problems) == 2
    assert all("is not there any more; open the data again" in p for p in problems)


def test_warming_loads_and_runs(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the first image that a person asks for waits for neither."""
    own = cache.ModelCache(2)
    monkeypatch.setattr(predict_task, "warm_models", lambda: own)
    imported: list[str] = []
    monkeypatch.setattr(predict_task, "import_keras", lambda: imported.append("keras"))
    loaded: list[Path] = []
    load, average = load_any, predict.average_over_flips

    def noted_load(path: Path, precision: str) -> Any:
        loaded.append(path)
        return load(path, precision)

    ran: list[tuple[int, ...]] = []

    def noted_run(network: Any, images: Any, *more: Any) -> Any:
        ran.append(images.shape)
        return average(network, images, *more)

    monkeypatch.setattr(cache, "load_any", noted_load)
    monkeypatch.setattr(predict, "average_over_flips", noted_run)
    run_inline(WarmTask())
    assert (imported, loaded, ran) == (["keras"], [], [])
    run_inline(WarmTask(models["other"], (32, 32, 1)))
    assert loaded == [models["other"]]
    warmed = list(ran)
    assert {shape[1:] for shape in warmed} == {(32, 32, 1)}
    reference = refer(Sample("own", lambda: picture(0, (32, 32))), None)
    run_inline(PredictTask(models["other"], (reference,), tmp_path, InferenceSettings(flips="none")))
    assert loaded == [models["other"]]  # once
    assert ran[len(warmed) :] == warmed  # of the shapes that are built already
    run_inline(WarmTask(models["wide"], (32, 32, 3)))  # takes five channels: loaded, and does not run
    assert loaded == [models["other"], models["wide"]]
    assert ran == 2 * warmed


def test_a_task_that_is_cancelled_before_it_starts_leaves_no_file(
    models: dict[str, Path], tmp_path: Path
) -> None:
    token = CancelToken()
    token.cancel()
    reference = refer(Sample("own", lambda: picture(0)), None)
    with pytest.raises(Cancelled):
        run_inline(PredictTask(models["other"], (reference,), tmp_path, InferenceSettings()), cancel=token)
    assert list(tmp_path.iterdir()) == []
