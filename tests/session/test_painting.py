"""What is painted is kept: from the first stroke on, across sessions, and where the disk refuses."""

from __future__ import annotations

import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.data.catalog import open_dataset
from napari_unet.data.sample import Sample
from napari_unet.data.synthetic import write_synthetic
from napari_unet.engine.inline import InlineEngine
from napari_unet.errors import DataError, OutputError
from napari_unet.inference.edits.mask_edits import fill_holes
from napari_unet.models.card import ModelCard
from napari_unet.models.normalization import Normalization
from napari_unet.project.corrections.correction import IGNORE
from napari_unet.project.corrections.correction_store import CorrectionStore
from napari_unet.project.corrections.corrections import Corrections
from napari_unet.project.corrections.mask_files import MaskFolder
from napari_unet.project.lock import ProjectLock
from napari_unet.project.project import Project
from napari_unet.session.auto_project import own_folder
from napari_unet.session.images.collection import Collection
from napari_unet.session.projects import current_project
from napari_unet.session.session import Session
from napari_unet.settings import NetworkSettings, Recipe
from napari_unet.workflow.segment.prediction import Prediction, Region
from support.errors import raises_code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

SIDE = 24


class Sitting:
    """A session whose other threads hand over to it when they are asked to, and what it said."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []
        self.session = Session(InlineEngine(), self.waiting.append)
        self.painting = self.session.painting
        self.shown: list[Collection] = []
        self.failures: list[str] = []
        self.told: list[str] = []
        self.session.runner.failed.connect(lambda sentence, details: self.failures.append(sentence))
        self.session.projects.noted.connect(self.told.append)

    def pump(self) -> None:
        """Do what other threads handed over."""
        while self.waiting:
            self.waiting.pop(0)()

    def settle(self) -> None:
        """Until nothing is done aside any more."""
        self.session.wait_idle(self.pump)

    def show(self, collection: Collection) -> Collection:
        self.shown.append(collection)
        self.session.workspace.show(collection)
        self.settle()
        return collection

    @property
    def project_or_none(self) -> Project | None:
        return self.painting.project

    @property
    def project(self) -> Project:
        project = self.painting.project
        assert project is not None
        return project

    def mask(self, identifier: str) -> NDArray[np.uint8]:
        mask = self.session.workspace.mask(identifier)
        assert mask is not None
        return mask

    def paint(self, identifier: str, rows: slice, columns: slice, label: int = 1) -> NDArray[np.uint8]:
        """A stroke on the mask as it is; gives back the mask after it."""
        after = self.mask(identifier).copy()
        after[rows, columns] = label
        self.painting.correct(identifier, after)
        return after


@pytest.fixture
def sittings(no_pause: None) -> Iterator[Callable[[], Sitting]]:
    made: list[Sitting] = []

    def sit() -> Sitting:
        made.append(Sitting())
        return made[-1]

    yield sit
    for sitting in made:
        sitting.session.close()
        for collection in sitting.shown:
            collection.close()
    assert not [t for t in threading.enumerate() if t.name.startswith(("session", "recorder"))]


@pytest.fixture
def sitting(sittings: Callable[[], Sitting]) -> Sitting:
    return sittings()


@pytest.fixture(scope="module")
def salt(salt_tiles: Callable[[int], Path]) -> Path:
    return salt_tiles(6)


def of_folder(folder: Path) -> Collection:
    """As it is opened again: another data set, another collection."""
    dataset = open_dataset(folder)
    return Collection(dataset.name, (*dataset.samples, *dataset.unlabelled), dataset)


def made_up(count: int = 3, seed: int = 0, side: int = SIDE) -> Collection:
    images = [
        np.random.default_rng([seed, n]).integers(0, 255, (side, side, 1), np.uint8) for n in range(count)
    ]
    return Collection("made up", [Sample(f"image {n}", lambda i=i: i) for n, i in enumerate(images)])


def predicted(collection: Collection, identifier: str, mask: NDArray[np.uint8]) -> None:
    """As if a model had said so."""
    file = collection.folder / f"{collection.ids.index(identifier)}.npy"
    np.save(file, mask[..., None].astype(np.float16))
    height, width = mask.shape
    collection.entries[identifier].prediction = Prediction(
        identifier, file, (height, width), regions=(Region(0, 0, height, width),)
    )


def ring(side: int = SIDE) -> NDArray[np.uint8]:
    """A square with a hole of 4 x 4."""
    mask = np.zeros((side, side), np.uint8)
    mask[4:16, 4:16] = 1
    mask[8:12, 8:12] = 0
    return mask


def opened(sitting: Sitting, folder: Path) -> tuple[Collection, list[str]]:
    collection = sitting.show(of_folder(folder))
    for identifier in collection.ids:
        predicted(collection, identifier, ring(101))
    return collection, list(collection.ids)


def with_rings(sitting: Sitting, collection: Collection) -> list[str]:
    sitting.show(collection)
    for identifier in collection.ids:
        predicted(collection, identifier, ring())
    return list(collection.ids)


def test_the_first_stroke_makes_a_project_in_the_persons_folder(
    sitting: Sitting, salt: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NAPARI_UNET_HOME", str(tmp_path))
    _, ids = opened(sitting, salt)
    assert sitting.painting.project is None
    assert list(tmp_path.iterdir()) == []  # looking at images leaves nothing behind
    after = sitting.paint(ids[0], slice(0, 4), slice(0, 4))
    sitting.settle()
    project = sitting.project
    assert project.folder == own_folder(sitting.session.workspace.collection)  # type: ignore[arg-type]
    assert project.folder.is_relative_to(tmp_path / "projects")
    correction = project.corrections[ids[0]]
    np.testing.assert_array_equal(correction.mask, after)
    np.testing.assert_array_equal(correction.prediction, ring(101))
    assert correction.verified.sum() == 16
    assert sitting.failures == []


def test_strokes_painted_while_the_project_is_made_are_kept_in_order(
    sitting: Sitting, salt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    create = Project.create

    def slow(*args: Any, **more: Any) -> Project:
        assert go_on.wait(10)
        return create(*args, **more)

    monkeypatch.setattr(Project, "create", slow)
    _, ids = opened(sitting, salt)
    sitting.painting.prepare()  # a brush is taken up
    sitting.paint(ids[0], slice(0, 4), slice(0, 4))
    after = sitting.paint(ids[0], slice(2, 6), slice(2, 6), 0)
    sitting.paint(ids[1], slice(0, 2), slice(0, 2))
    sitting.painting.set_done([ids[1]])
    assert sitting.painting.project is None
    go_on.set()
    sitting.settle()
    corrections = sitting.project.corrections
    np.testing.assert_array_equal(corrections[ids[0]].mask, after)
    assert corrections.stats(ids[0]).strokes == 2
    assert corrections.stats(ids[1]).done
    sitting.painting.undo(ids[0])
    assert sitting.mask(ids[0])[:4, :4].all()


@pytest.mark.parametrize("when", ["being made", "made but not taken to hand"])
def test_closing_at_once_after_the_first_stroke_loses_nothing(
    sittings: Callable[[], Sitting], salt: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    first = sittings()
    go_on = threading.Event()
    create = Project.create

    def slow(*args: Any, **more: Any) -> Project:
        assert go_on.wait(10)
        return create(*args, **more)

    monkeypatch.setattr(Project, "create", slow)
    _, ids = opened(first, salt)
    after = first.paint(ids[0], slice(0, 4), slice(0, 4))
    if when == "being made":
        threading.Timer(0.2, go_on.set).start()
    else:
        go_on.set()
        first.session.runner._thread.submit(lambda: None).result(10)
    first.session.close()
    second = sittings()
    opened(second, salt)
    np.testing.assert_array_equal(second.mask(ids[0]), after)


def test_the_same_data_opened_again_is_as_it_was_left(sittings: Callable[[], Sitting], salt: Path) -> None:
    first = sittings()
    _, ids = opened(first, salt)
    after = first.paint(ids[0], slice(0, 4), slice(0, 4))
    first.painting.set_done(ids[1:3])
    first.painting.set_done([ids[2]], False)
    first.settle()
    first.session.close()
    second = sittings()
    collection = second.show(of_folder(salt))
    rows = {r.id: r for r in second.session.workspace.rows()}
    assert [rows[i].status for i in ids[:4]] == ["corrected", "done", "new", "new"]
    np.testing.assert_array_equal(second.mask(ids[0]), after)
    np.testing.assert_array_equal(second.mask(ids[1]), ring(101))
    assert rows[ids[0]].iou is not None
    assert collection.entries[ids[1]].done
    assert second.told == ["2 corrected images are restored from your last session."]
    assert second.failures == []


def test_the_same_data_opened_twice_in_one_sitting_has_one_project(sitting: Sitting, salt: Path) -> None:
    """As when a layer is removed and its zip dropped again."""
    _, ids = opened(sitting, salt)
    first = sitting.session.workspace.collection
    after = sitting.paint(ids[0], slice(0, 4), slice(0, 4))
    sitting.settle()
    project = sitting.project
    opened(sitting, salt)
    assert sitting.session.workspace.collection is not first
    assert sitting.project is project
    np.testing.assert_array_equal(sitting.mask(ids[0]), after)
    assert sitting.failures == []


def test_the_same_name_at_another_place_is_another_project(
    sittings: Callable[[], Sitting], tmp_path: Path
) -> None:
    folders = [write_synthetic("salt", tmp_path / n / "salt", 2, seed=1) for n in "ab"]
    sitting = sittings()
    projects = []
    for folder in folders:
        _, ids = opened(sitting, folder)
        assert {r.status for r in sitting.session.workspace.rows()} == {"segmented"}
        sitting.paint(ids[0], slice(0, 4), slice(0, 4))
        sitting.settle()
        projects.append(sitting.project.folder)
    assert projects[0] != projects[1]
    assert projects[0].parent == projects[1].parent


def test_another_picture_of_the_same_name_gets_no_mask_of_the_first(
    sittings: Callable[[], Sitting],
) -> None:
    """Many a layer is called the same."""
    first = sittings()
    ids = with_rings(first, made_up(seed=1))
    first.paint(ids[0], slice(0, 2), slice(0, 2))
    first.settle()
    first.session.close()
    second = sittings()
    with_rings(second, made_up(seed=2))
    assert {r.status for r in second.session.workspace.rows()} == {"segmented"}
    again = sittings()
    with_rings(again, made_up(seed=1))
    assert again.session.workspace.row(ids[0]).status == "corrected"


def test_an_image_that_came_later_is_kept_too(sitting: Sitting) -> None:
    ids = with_rings(sitting, made_up(2))
    collection = sitting.session.workspace.collection
    assert collection is not None
    sitting.paint(ids[0], slice(0, 2), slice(0, 2))
    sitting.settle()
    image = np.full((SIDE, SIDE, 1), 7, np.uint8)
    collection.update([*(e.sample for e in collection.entries.values()), Sample("new", lambda: image)])
    predicted(collection, "new", ring())
    after = sitting.paint("new", slice(0, 2), slice(0, 2))
    assert sitting.failures == []
    np.testing.assert_array_equal(sitting.project.corrections["new"].mask, after)


def test_an_image_that_cannot_be_read_does_not_keep_the_others_from_being_saved(sitting: Sitting) -> None:
    def torn() -> Any:
        raise DataError("this image is torn", code="data.image.unreadable")

    good = made_up(2)
    samples = [Sample("torn", torn), *(e.sample for e in good.entries.values())]
    collection = sitting.show(Collection("torn", samples))
    predicted(collection, "image 1", ring())
    sitting.paint("image 1", slice(0, 2), slice(0, 2))
    sitting.settle()
    assert sitting.failures == []
    assert sitting.project.corrections.touched() == ("image 1",)


def test_correct_undo_edit_and_revert(sitting: Sitting) -> None:
    one, *_ = with_rings(sitting, made_up())
    entry = sitting.session.workspace.collection.entries[one]  # type: ignore[union-attr]
    first = sitting.paint(one, slice(0, 2), slice(0, 2))
    sitting.settle()
    second = sitting.paint(one, slice(20, 24), slice(20, 24))
    sitting.painting.undo(one)
    np.testing.assert_array_equal(sitting.mask(one), first)
    assert entry.status == "corrected"
    sitting.painting.undo(one)
    np.testing.assert_array_equal(sitting.mask(one), ring())
    assert entry.status == "segmented"
    with raises_code("data.history.empty"):
        sitting.painting.undo(one)
    sitting.painting.edit(one, fill_holes, "fill")
    whole = ring()
    whole[8:12, 8:12] = 1
    np.testing.assert_array_equal(sitting.mask(one), whole)
    assert sitting.project.corrections[one].verified.sum() == 16
    sitting.painting.undo(one)
    np.testing.assert_array_equal(sitting.mask(one), ring())
    sitting.painting.correct(one, second)
    sitting.painting.set_done([one])
    assert entry.status == "done"
    sitting.painting.revert(one)
    np.testing.assert_array_equal(sitting.mask(one), ring())
    assert entry.status == "segmented"
    assert sitting.project.corrections.touched() == ()
    kinds = [v.kind for v in sitting.project.corrections.versions(one)]
    assert kinds[-2:] == ["done", "revert"]
    sitting.painting.undo(one)
    np.testing.assert_array_equal(sitting.mask(one), second)
    assert entry.status == "done"
    sitting.painting.revert(one)
    entry.prediction = None
    with raises_code("data.mask.missing"):
        sitting.painting.edit(one, fill_holes, "fill")


def test_what_is_as_predicted_is_no_correction(sitting: Sitting) -> None:
    one, two, _ = with_rings(sitting, made_up())
    sitting.painting.correct(one, ring())
    sitting.settle()
    assert sitting.session.workspace.row(one).status == "segmented"
    assert sitting.project.corrections.touched() == ()
    sitting.painting.set_done([two])
    assert sitting.session.workspace.row(two).status == "done"
    assert sitting.project.corrections[two].reference().weights is None  # verified throughout
    sitting.painting.set_done([two], False)
    assert sitting.session.workspace.row(two).status == "segmented"


def test_corrections_move_into_a_folder_of_choice(
    sittings: Callable[[], Sitting], salt: Path, tmp_path: Path
) -> None:
    sitting = sittings()
    _, ids = opened(sitting, salt)
    after = sitting.paint(ids[0], slice(0, 4), slice(0, 4))
    sitting.painting.set_done([ids[1]])
    sitting.settle()
    old = sitting.project
    for name in (b"first", b"second"):
        write = lambda folder, n=name: (folder / "model.weights.h5").write_bytes(n)  # noqa: E731
        old.models.add(write, note=name.decode(), keep=name == b"first")
    sitting.session.projects.use_folder(tmp_path / "mine")
    sitting.settle()
    assert sitting.project.folder == tmp_path / "mine"
    # Versions of the model come along, and the one in use stays that.
    models = sitting.project.models
    assert [(v.name, v.note) for v in models.versions()] == [("v001", "first"), ("v002", "second")]
    assert models.current is not None
    assert models.current.path == tmp_path / "mine" / "models" / "v001"
    assert (models.current.path / "model.weights.h5").read_bytes() == b"first"
    assert len(sitting.failures) == 1  # this is no model to be offered, only its weights
    sitting.failures.clear()
    assert old.read_only  # let go of
    np.testing.assert_array_equal(sitting.project.corrections[ids[0]].mask, after)
    assert sitting.project.corrections[ids[0]].verified.sum() == 16
    assert sitting.project.corrections.stats(ids[1]).done
    more = sitting.paint(ids[0], slice(0, 8), slice(0, 8))
    sitting.session.projects.use_folder(tmp_path / "mine")  # it is there already
    sitting.settle()
    assert sitting.failures == []
    sitting.session.close()
    with Project.open(tmp_path / "mine") as project:
        np.testing.assert_array_equal(project.corrections[ids[0]].mask, more)


def test_a_project_whose_images_were_moved_is_linked_to_those_at_hand(
    sittings: Callable[[], Sitting], tmp_path: Path
) -> None:
    from napari_unet.data.catalog import open_dataset
    from napari_unet.data.synthetic import write_synthetic

    here = write_synthetic("salt", tmp_path / "here", 4)
    other = write_synthetic("salt", tmp_path / "other", 4, seed=3)
    Project.create(tmp_path / "mine", open_dataset(here)).close()
    there = here.rename(tmp_path / "there")
    sitting = sittings()
    opened(sitting, other)
    sitting.session.projects.use_folder(tmp_path / "mine")
    sitting.settle()
    assert len(sitting.failures) == 1
    assert "does not hold the images of this project" in sitting.failures[0]
    sitting.failures.clear()
    opened(sitting, there)
    sitting.session.projects.use_folder(tmp_path / "mine")
    sitting.settle()
    assert sitting.failures == []
    assert sitting.project.folder == tmp_path / "mine"
    sitting.session.close()
    with Project.open(tmp_path / "mine", read_only=True) as project:
        assert project.notes == ()
        assert project.file.data.path == str(there)


def test_a_folder_that_cannot_be_used_leaves_the_project_as_it_is(
    sitting: Sitting, salt: Path, tmp_path: Path
) -> None:
    _, ids = opened(sitting, salt)
    sitting.paint(ids[0], slice(0, 4), slice(0, 4))
    sitting.settle()
    project = sitting.project
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    sitting.session.projects.use_folder(tmp_path / "full")
    sitting.settle()
    assert len(sitting.failures) == 1
    assert sitting.project is project
    assert not project.read_only
    after = sitting.paint(ids[0], slice(0, 8), slice(0, 8))
    np.testing.assert_array_equal(project.corrections[ids[0]].mask, after)


def test_where_nothing_can_be_written_that_is_told_once_and_painting_goes_on(
    sitting: Sitting, salt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **more: Any) -> Project:
        raise OutputError("the disk is full", code="output.unwritable", remedy="make room")

    _, ids = opened(sitting, salt)
    with monkeypatch.context() as patched:
        patched.setattr(Project, "create", refuse)
        sitting.paint(ids[0], slice(0, 4), slice(0, 4))
        sitting.settle()
        after = sitting.paint(ids[0], slice(0, 4), slice(8, 12))
        sitting.painting.set_done([ids[1]])
        sitting.settle()
        assert sitting.failures == ["the disk is full; make room; painting continues in memory until then"]
        np.testing.assert_array_equal(sitting.mask(ids[0]), after)
        assert [sitting.session.workspace.row(i).status for i in ids[:2]] == ["corrected", "done"]
        patched.setattr(current_project, "RETRY_SECONDS", 0.0)
        sitting.session.projects._failed.clear()
        sitting.session.projects._failed[id(sitting.session.workspace.collection)] = 0.0, sitting.failures[0]
    # There is room again: the next stroke brings all that was painted meanwhile.
    after = sitting.paint(ids[0], slice(0, 4), slice(16, 20))
    sitting.settle()
    corrections = sitting.project.corrections
    np.testing.assert_array_equal(corrections[ids[0]].mask, after)
    assert corrections[ids[0]].verified.sum() == 3 * 16
    assert corrections.stats(ids[1]).done
    assert len(sitting.failures) == 1


def test_a_project_that_another_window_has_is_told(sittings: Callable[[], Sitting], salt: Path) -> None:
    first = sittings()
    _, ids = opened(first, salt)
    first.paint(ids[0], slice(0, 4), slice(0, 4))
    first.settle()
    folder = first.project.folder
    first.session.close()
    other = ProjectLock(folder)
    other.acquire()
    try:
        second = sittings()
        opened(second, salt)
        second.paint(ids[1], slice(0, 4), slice(0, 4))
        second.settle()
        assert len(second.failures) == 1
        assert "is open elsewhere" in second.failures[0]
        assert "process" in second.failures[0]
        assert second.session.workspace.row(ids[1]).status == "corrected"
        assert second.painting.project is None
    finally:
        other.release()
    second.session.projects._failed[id(second.session.workspace.collection)] = 0.0, second.failures[0]
    second.painting.prepare()  # a brush is taken up again, and the other window is closed
    second.settle()
    assert set(second.project.corrections.touched()) == set(ids[:2])
    assert [second.session.workspace.row(i).status for i in ids[:2]] == ["corrected"] * 2


def test_corrections_survive_a_change_of_model(sitting: Sitting, tmp_path: Path) -> None:
    one, two, three = with_rings(sitting, made_up())
    after = sitting.paint(one, slice(0, 4), slice(0, 4))
    sitting.painting.set_done([two])
    sitting.settle()
    recipe = Recipe(name="other", network=NetworkSettings(input_channels=1, filters=4, depth=2))
    sitting.session.workspace.choose_model(
        ModelCard(tmp_path, recipe, Normalization(channels=1), ("foreground",))
    )
    assert [sitting.session.workspace.row(i).status for i in (one, two, three)] == [
        "corrected",
        "done",
        "new",
    ]
    np.testing.assert_array_equal(sitting.mask(one), after)
    more = sitting.paint(one, slice(20, 24), slice(20, 24))
    np.testing.assert_array_equal(sitting.project.corrections[one].mask, more)
    # What the other model says now goes under it, and comes out by going back to it.
    newer = np.zeros((SIDE, SIDE), np.uint8)
    newer[:12] = 1
    predicted(sitting.session.workspace.collection, one, newer)  # type: ignore[arg-type]
    np.testing.assert_array_equal(sitting.mask(one), more)
    sitting.painting.revert(one)
    np.testing.assert_array_equal(sitting.mask(one), newer)
    sitting.painting.undo(one)
    np.testing.assert_array_equal(sitting.mask(one), more)
    assert sitting.failures == []


def test_a_mask_of_another_size_is_told_and_no_crash(sitting: Sitting) -> None:
    one, two, _ = with_rings(sitting, made_up())
    sitting.paint(one, slice(0, 4), slice(0, 4))
    sitting.settle()
    sitting.painting.correct(two, np.ones((SIDE + 1, SIDE), np.uint8))
    assert len(sitting.failures) == 1
    assert f"expected {SIDE} x {SIDE} pixels" in sitting.failures[0]
    sitting.painting.correct(one, np.ones((SIDE, SIDE - 1), np.uint8))
    assert len(sitting.failures) == 2
    assert sitting.project.corrections.touched() == (one,)


def test_an_image_that_was_replaced_by_one_of_another_size_is_told(
    sittings: Callable[[], Sitting], tmp_path: Path
) -> None:
    from PIL import Image

    folder = write_synthetic("salt", tmp_path / "salt", 2)
    first = sittings()
    _, ids = opened(first, folder)
    first.painting.set_done(ids[:2])
    first.settle()
    first.session.close()
    (file,) = (folder / "train" / "images").glob(f"*{ids[0]}*")
    Image.fromarray(np.zeros((50, 40), np.uint8)).save(file)
    second = sittings()
    second.show(of_folder(folder))
    assert [second.session.workspace.row(i).status for i in ids[:2]] == ["new", "done"]
    assert "101 x 101 pixels, not 40 x 50" in second.session.workspace.row(ids[0]).problem
    assert "1 of the corrected images changed" in second.told[0]


def test_a_project_wanted_while_one_is_looked_for_is_made(sitting: Sitting, salt: Path) -> None:
    """As when somebody clicks Train at once after opening: without a stroke, nothing else would ask again."""
    collection = of_folder(salt)
    sitting.shown.append(collection)
    sitting.session.workspace.show(collection)  # looks for a project in a thread
    sitting.painting.prepare()
    sitting.settle()
    assert sitting.project.folder == own_folder(collection)


def test_strokes_painted_while_a_project_is_looked_for_go_to_their_own_images(sitting: Sitting) -> None:
    first, other = made_up(), made_up(seed=1)
    sitting.shown += [first, other]
    sitting.session.workspace.show(first)
    after = np.zeros((SIDE, SIDE), np.uint8)
    after[:2, :3] = 1
    sitting.painting.correct("image 0", after)
    sitting.session.workspace.show(other)
    sitting.settle()
    assert sitting.session.projects.by_collection.keys() == {
        id(first)
    }  # and none for the images that nobody painted
    kept = sitting.session.projects.by_collection[id(first)].corrections["image 0"]
    np.testing.assert_array_equal(kept.mask, after)


def test_opening_a_project_reads_no_mask_in_the_windows_thread_and_keeps_none(
    sittings: Callable[[], Sitting], salt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sittings()
    _, ids = opened(first, salt)
    painted = {i: first.paint(i, slice(n, n + 3), slice(2, 6)) for n, i in enumerate(ids)}
    scores = {i: first.session.workspace.row(i).iou for i in ids}
    first.session.close()
    threads: set[str] = set()
    load = CorrectionStore.load

    def noted(files: CorrectionStore, identifier: str) -> Any:
        threads.add(threading.current_thread().name)
        return load(files, identifier)

    monkeypatch.setattr(CorrectionStore, "load", noted)
    monkeypatch.setattr("napari_unet.project.corrections.correction_store.MEMORY_BYTES", 0)
    second = sittings()
    collection = second.show(of_folder(salt))
    assert threads
    assert threading.main_thread().name not in threads
    assert len(second.project.corrections._files._loaded) == 1  # the last that was looked at
    for identifier in ids:
        entry = collection.entries[identifier]
        assert entry.corrections is second.project.corrections
        assert entry.status == "corrected"
        assert second.session.workspace.row(identifier).iou == scores[identifier]
        np.testing.assert_array_equal(second.mask(identifier), painted[identifier])
    # A stroke on one of them begins from what is stored, and is stored itself.
    after = second.paint(ids[0], slice(20, 22), slice(20, 22))
    np.testing.assert_array_equal(second.project.corrections.mask(ids[0]), after)


def test_a_stored_mask_that_cannot_be_read_any_more_is_told_in_its_row(
    sittings: Callable[[], Sitting], salt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sittings()
    _, ids = opened(first, salt)
    first.paint(ids[0], slice(0, 3), slice(0, 3))
    first.session.close()
    second = sittings()
    collection = second.show(of_folder(salt))

    def gone(self: object, identifier: str) -> Any:
        raise DataError(f"the correction of {identifier} cannot be read", code="data.image.unreadable")

    monkeypatch.setattr(CorrectionStore, "load", gone)
    assert second.session.workspace.mask(ids[0]) is None
    assert collection.entries[ids[0]].problem == f"the correction of {ids[0]} cannot be read"
    assert collection.entries[ids[0]].status != "corrected"


@settings(max_examples=25)
@given(data=st.data())
def test_strokes_with_a_box_are_kept_as_those_without(data: st.DataObject) -> None:
    """Painted on two images alike, one stroke by one: masks, what is verified, and each history agree."""
    side = 12
    strokes = data.draw(
        st.lists(
            st.tuples(
                st.integers(0, side - 1), st.integers(0, side - 1), st.integers(1, 5), st.integers(1, 5),
                st.sampled_from([0, 1, IGNORE]), st.integers(0, 3),
            ),
            min_size=1, max_size=6,
        )
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        images = [Sample(n, lambda: np.zeros((side, side, 1), np.uint8)) for n in "ab"]
        project = Project.create(Path(folder) / "p", images, classes=("x",))
        mask = np.zeros((side, side), np.uint8)
        for y, x, height, width, label, margin in strokes:
            after = mask.copy()
            after[y : y + height, x : x + width] = label
            box = (
                max(y - margin, 0), max(x - margin, 0),
                min(y + height + margin, side), min(x + width + margin, side),
            )  # fmt: skip
            one = project.corrections.record("a", mask, after)
            other = project.corrections.record("b", mask, after, box=box)
            assert (one is None) == (other is None)
            assert one is None or other is None or one.pixels == other.pixels
            mask = after
        kept = [project.corrections.get(n) for n in "ab"]
        if kept[0] is not None and kept[1] is not None:
            np.testing.assert_array_equal(kept[0].mask, kept[1].mask)
            np.testing.assert_array_equal(kept[0].verified, kept[1].verified)
        assert (kept[0] is None) == (kept[1] is None)
        project.close()


def test_painting_hands_the_box_of_a_stroke_on(sitting: Sitting, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = with_rings(sitting, made_up())
    boxes: list[Any] = []
    record = Corrections.record

    def noted(self: Corrections, *arguments: Any, box: Any = None, begun: int = 1) -> Any:
        boxes.append(box)
        return record(self, *arguments, box=box, begun=begun)

    monkeypatch.setattr(Corrections, "record", noted)
    sitting.painting.prepare()
    sitting.settle()
    mask = ring()
    for row in (0, 2):
        mask[row, 1:4] = 1
        sitting.painting.correct(ids[0], mask, box=(row, 1, row + 1, 4))
    assert boxes == [None, (2, 1, 3, 4)]  # the first is compared with the prediction as a whole
    np.testing.assert_array_equal(sitting.project.corrections.mask(ids[0]), mask)
    assert sitting.project.corrections[ids[0]].verified.sum() == 6
    mask[[0, 2], 1:4] = 0  # all as predicted, by hand: the person verified it
    sitting.painting.correct(ids[0], mask, box=(0, 1, 3, 4))
    np.testing.assert_array_equal(sitting.mask(ids[0]), ring())
    assert sitting.painting.verified(ids[0]).sum() == 6  # type: ignore[union-attr]
    assert sitting.session.workspace.row(ids[0]).status == "corrected"


def test_masks_painted_earlier_leave_the_memory_once_they_are_saved(
    sitting: Sitting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_unet.project.corrections.mask_edits.MOST_UNSAVED", 2)
    monkeypatch.setattr("napari_unet.project.corrections.correction_store.MEMORY_BYTES", 0)
    ids = with_rings(sitting, made_up(5))
    sitting.painting.prepare()
    sitting.settle()
    wanted = {}
    for number, identifier in enumerate(ids):
        wanted[identifier] = ring()
        wanted[identifier][0, : number + 1] = 1
        sitting.painting.correct(identifier, wanted[identifier])
        assert sitting.project.corrections.writer.flush()  # type: ignore[union-attr]
    files: Any = sitting.project.corrections._files
    assert set(files._loaded) <= set(ids[3:])
    assert sorted(p.name for p in files.masks.folder.glob("*.tif")) == [f"image {n}.tif" for n in range(5)]
    for identifier in ids:
        np.testing.assert_array_equal(sitting.mask(identifier), wanted[identifier])
    again = wanted[ids[0]].copy()
    again[1, 3] = 1
    sitting.painting.correct(ids[0], again, box=(1, 3, 2, 4))
    np.testing.assert_array_equal(sitting.mask(ids[0]), again)
    sitting.painting.undo(ids[0])
    np.testing.assert_array_equal(sitting.mask(ids[0]), wanted[ids[0]])


def test_masks_stay_in_memory_while_the_disk_refuses_them(
    sitting: Sitting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_unet.project.corrections.mask_edits.MOST_UNSAVED", 1)
    monkeypatch.setattr("napari_unet.project.corrections.correction_store.MEMORY_BYTES", 0)
    ids = with_rings(sitting, made_up(4))
    sitting.painting.prepare()
    sitting.settle()
    write, full = MaskFolder.write, [True]

    def refuse(folder: MaskFolder, identifier: str, stored: Any) -> None:
        if full[0]:
            raise OSError(28, "No space left on device")
        write(folder, identifier, stored)

    monkeypatch.setattr(MaskFolder, "write", refuse)
    recorder: Any = sitting.project.corrections.writer
    recorder.retry_seconds = 0.02
    for number, identifier in enumerate(ids):
        mask = ring()
        mask[0, : number + 1] = 1
        sitting.painting.correct(identifier, mask)
        recorder.flush(0.2)
    for number, identifier in enumerate(ids):
        assert sitting.mask(identifier)[0].sum() == number + 1
    full[0] = False
    assert recorder.flush()
    sitting.session.close()
    with Project.open(own_folder(sitting.shown[0]), read_only=True) as project:
        for number, identifier in enumerate(ids):
            assert project.corrections.mask(identifier)[0].sum() == number + 1


def slowly_made(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Projects are made only once this is set."""
    may, create = threading.Event(), Project.create

    def slow(*args: Any, **more: Any) -> Project:
        assert may.wait(10)
        return create(*args, **more)

    monkeypatch.setattr(Project, "create", slow)
    return may


def test_all_works_in_memory_until_there_is_a_project_and_can_be_taken_back_in_it(
    sitting: Sitting, monkeypatch: pytest.MonkeyPatch
) -> None:
    may = slowly_made(monkeypatch)
    one, two, _ = with_rings(sitting, made_up())
    masks = [ring(), *(sitting.paint(one, slice(top, top + 2), slice(0, 2)) for top in (0, 2, 20))]
    sitting.painting.undo(one)
    np.testing.assert_array_equal(sitting.mask(one), masks[2])
    assert [v.pixels for v in sitting.painting.versions(one)] == [0, 4, 4, 4, 4]  # the last is the way back
    assert sitting.painting.verified(one).sum() == 8  # type: ignore[union-attr]
    sitting.painting.set_done([two])
    sitting.painting.revert(two)
    assert [sitting.session.workspace.row(i).status for i in (one, two)] == ["corrected", "segmented"]
    assert sitting.project_or_none is None
    may.set()
    sitting.settle()
    entry = sitting.session.workspace.collection.entries[one]  # type: ignore[union-attr]
    assert entry.corrections is sitting.project.corrections
    for mask in (masks[1], masks[0]):
        sitting.painting.undo(one)
        np.testing.assert_array_equal(sitting.mask(one), mask)
    with raises_code("data.history.empty"):
        sitting.painting.undo(one)
    sitting.painting.undo(two)
    assert sitting.session.workspace.row(two).status == "done"
    assert sitting.failures == []


def test_what_was_painted_before_the_project_is_on_the_disk_within_a_second_after_it(
    sitting: Sitting, monkeypatch: pytest.MonkeyPatch
) -> None:
    may = slowly_made(monkeypatch)
    ids = with_rings(sitting, made_up(8))
    wanted = {i: sitting.paint(i, slice(n, n + 1), slice(0, 3)) for n, i in enumerate(ids)}
    may.set()
    while sitting.project_or_none is None:
        sitting.pump()
    time.sleep(1)
    with Project.open(sitting.project.folder, read_only=True) as project:  # as after a kill
        for identifier, mask in wanted.items():
            np.testing.assert_array_equal(project.corrections.mask(identifier), mask)


def test_an_image_painted_in_two_windows_has_the_strokes_of_both(
    sittings: Callable[[], Sitting], salt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second paints in memory until the first is closed; it need not do anything for that."""
    monkeypatch.setattr(current_project, "RETRY_SECONDS", 0.1)
    first, second = sittings(), sittings()
    _, ids = opened(first, salt)
    first.paint(ids[0], slice(0, 2), slice(0, 2))
    first.settle()
    opened(second, salt)
    with_first = second.paint(ids[0], slice(20, 22), slice(0, 2))
    second.settle()
    assert second.project_or_none is None
    assert [f for f in second.failures if "is open elsewhere" not in f] == []
    np.testing.assert_array_equal(second.mask(ids[0]), with_first)
    first.session.close()
    end = time.monotonic() + 20
    while second.project_or_none is None and time.monotonic() < end:
        second.pump()
        time.sleep(0.01)
    both = with_first.copy()
    both[0:2, 0:2] = 1
    np.testing.assert_array_equal(second.mask(ids[0]), both)
    second.painting.undo(ids[0])
    both[20:22, 0:2] = 0
    np.testing.assert_array_equal(second.mask(ids[0]), both)


def test_a_window_that_closes_tries_once_more_to_save_what_it_painted(
    sittings: Callable[[], Sitting], salt: Path
) -> None:
    first, second = sittings(), sittings()
    _, ids = opened(first, salt)
    first.paint(ids[0], slice(0, 2), slice(0, 2))
    first.settle()
    folder = first.project.folder
    opened(second, salt)
    second.paint(ids[1], slice(0, 2), slice(0, 2))
    second.settle()
    first.session.close()
    second.session.close()
    with Project.open(folder, read_only=True) as project:
        assert set(project.corrections.touched()) == set(ids[:2])


def test_an_image_that_left_before_the_project_was_made_is_saved_with_it(
    sitting: Sitting, monkeypatch: pytest.MonkeyPatch
) -> None:
    may = slowly_made(monkeypatch)
    one, *_ = with_rings(sitting, made_up())
    after = sitting.paint(one, slice(0, 2), slice(0, 2))
    collection = sitting.shown[0]
    collection.update([e.sample for i, e in collection.entries.items() if i != one])
    may.set()
    sitting.settle()
    np.testing.assert_array_equal(sitting.project.corrections.mask(one), after)


def test_a_correction_follows_an_image_to_its_new_name(
    sitting: Sitting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Renamed while its strokes are in memory, and again once they are in the project."""
    may = slowly_made(monkeypatch)
    one, two, three = with_rings(sitting, made_up())
    collection = sitting.shown[0]
    first = sitting.paint(one, slice(0, 2), slice(0, 2))

    def rename(old: str, new: str) -> None:
        samples = [e.sample for e in collection.entries.values()]
        renamed = [replace(s, id=new) if s.id == old else s for s in samples]
        assert collection.update(renamed, {new: old})

    rename(one, "new")
    np.testing.assert_array_equal(sitting.mask("new"), first)
    may.set()
    sitting.settle()
    np.testing.assert_array_equal(sitting.mask("new"), first)
    rename("new", "newer")
    second = sitting.paint("newer", slice(2, 4), slice(0, 2))
    np.testing.assert_array_equal(sitting.project.corrections.mask("newer"), second)
    sitting.painting.undo("newer")
    sitting.painting.undo("newer")
    np.testing.assert_array_equal(sitting.mask("newer"), ring())
    assert {sitting.session.workspace.row(i).status for i in (two, three)} == {"segmented"}
    assert sitting.failures == []


def test_another_picture_under_the_same_name_does_not_get_what_was_painted(sitting: Sitting) -> None:
    """As when the data of a layer are replaced: in memory, and with a project."""
    one, *_ = with_rings(sitting, made_up())
    collection = sitting.shown[0]
    for seed in (7, 8):
        sitting.paint(one, slice(0, 2), slice(0, 2))
        if seed == 8:
            sitting.settle()
        other = made_up(seed=seed).entries[one].sample
        collection.update([other, *(e.sample for i, e in collection.entries.items() if i != one)])
        predicted(collection, one, ring())
        assert sitting.session.workspace.row(one).status == "segmented"
        np.testing.assert_array_equal(sitting.mask(one), ring())
    after = sitting.paint(one, slice(20, 22), slice(0, 2))
    np.testing.assert_array_equal(sitting.project.corrections.mask(one), after)
    assert sitting.project.corrections[one].verified.sum() == 4


def test_painting_on_an_image_of_another_size_stays_in_memory_and_is_told_once(
    sittings: Callable[[], Sitting], tmp_path: Path
) -> None:
    from PIL import Image

    folder = write_synthetic("salt", tmp_path / "salt", 2)
    first = sittings()
    _, ids = opened(first, folder)
    before = first.paint(ids[0], slice(0, 2), slice(0, 2))
    first.session.close()
    (file,) = (folder / "train" / "images").glob(f"*{ids[0]}*")
    Image.fromarray(np.zeros((50, 40), np.uint8)).save(file)
    second = sittings()
    collection = second.show(of_folder(folder))
    predicted(collection, ids[0], np.zeros((50, 40), np.uint8))
    second.paint(ids[0], slice(0, 2), slice(0, 2))
    after = second.paint(ids[0], slice(4, 6), slice(0, 2))
    np.testing.assert_array_equal(second.mask(ids[0]), after)
    assert len(second.failures) == 1
    assert "101 x 101 pixels" in second.failures[0]
    np.testing.assert_array_equal(second.project.corrections.mask(ids[0]), before)


def test_painting_goes_on_where_a_stored_mask_cannot_be_read(
    sittings: Callable[[], Sitting], salt: Path
) -> None:
    first = sittings()
    _, ids = opened(first, salt)
    first.paint(ids[0], slice(0, 2), slice(0, 2))
    first.session.close()
    second = sittings()
    opened(second, salt)
    corrections: Any = second.project.corrections
    file = corrections._files.masks.path(ids[0])
    corrections._files._loaded.clear()
    file.write_bytes(b"II*\0 spoilt")
    assert second.session.workspace.mask(ids[0]) is None  # and its row says why
    assert "cannot be read" in second.session.workspace.row(ids[0]).problem
    np.testing.assert_array_equal(second.mask(ids[0]), ring(101))
    after = second.paint(ids[0], slice(4, 6), slice(0, 2))
    second.session.close()
    with Project.open(own_folder(second.shown[0]), read_only=True) as project:
        np.testing.assert_array_equal(project.corrections.mask(ids[0]), after)
        assert project.corrections[ids[0]].verified.sum() == 4
    assert file.with_suffix(".damaged-1").exists()


def test_two_hundred_corrected_images_open_without_their_masks_in_memory(
    sittings: Callable[[], Sitting], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sittings()
    ids = with_rings(first, made_up(200))
    for number, identifier in enumerate(ids):
        first.paint(identifier, slice(0, 1), slice(0, number % 20 + 1))
    first.session.close()
    monkeypatch.setattr("napari_unet.project.corrections.correction_store.MEMORY_BYTES", 10 * 3 * SIDE * SIDE)
    second = sittings()
    second.shown.append(made_up(200))
    second.session.workspace.show(second.shown[0])
    calls: list[float] = []
    while second.session.projects.busy or second.waiting:
        for call in [second.waiting.pop(0) for _ in range(len(second.waiting))]:
            began = time.monotonic()
            call()
            calls.append(time.monotonic() - began)
        time.sleep(0.001)
    assert {r.status for r in second.session.workspace.rows()} == {"corrected"}
    assert second.told == ["200 corrected images are restored from your last session."]
    assert max(calls) < 0.5  # reading 200 masks here takes longer
    files: Any = second.project.corrections._files
    assert len(files._loaded) <= 11
    for number, identifier in enumerate(ids):
        assert second.mask(identifier)[0].sum() == number % 20 + 1
    assert len(files._loaded) <= 11


def test_taking_back_done_shows_what_the_model_predicts_now(sitting: Sitting) -> None:
    one, two, _ = with_rings(sitting, made_up())
    sitting.painting.set_done([one, two])
    painted = sitting.paint(two, slice(0, 2), slice(0, 2))
    newer = np.zeros((SIDE, SIDE), np.uint8)
    newer[:12] = 1
    for identifier in (one, two):
        predicted(sitting.shown[0], identifier, newer)
    np.testing.assert_array_equal(sitting.mask(one), ring())  # as it was verified
    sitting.painting.set_done([one, two], False)
    np.testing.assert_array_equal(sitting.mask(one), newer)
    np.testing.assert_array_equal(sitting.mask(two), painted)
    sitting.painting.set_done([one])
    sitting.settle()
    np.testing.assert_array_equal(sitting.project.corrections.mask(one), newer)
