"""A volume is one row; what a person paints is filled between its slices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from napari_unet.data.catalog import open_images
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.data.volumes.neighbours import neighbours
from napari_unet.data.volumes.slices import check_slices, place_of
from napari_unet.engine.inline import InlineEngine
from napari_unet.metrics.overlap import count_overlap
from napari_unet.session.images.collection import Collection
from napari_unet.session.images.volume_rows import count_numbered, volumes_among
from napari_unet.session.session import Session
from napari_unet.workflow.inputs.image_reference import HeldVolume, References, refer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SHAPE = (20, 20)


class Slice:
    """A black slice that knows its volume."""

    def __init__(self, z: int, volume: dict[str, HeldVolume]) -> None:
        self.z, self.volume = z, volume

    def __call__(self) -> np.ndarray:
        return np.full((*SHAPE, 1), self.z, np.uint8)

    @property
    def place(self) -> Any:
        return self.volume["em"].place(self.z)


def samples(count: int = 8, reference: np.ndarray | None = None) -> list[Sample]:
    volume: dict[str, HeldVolume] = {}
    loads = {z: Slice(z, volume) for z in range(count)}
    volume["em"] = HeldVolume("em", loads)
    mask = None if reference is None else (lambda: ReferenceMask(reference))
    return [Sample(f"em [{z}]", load, mask) for z, load in loads.items()]


class Room:
    """A session with a volume and an image, whose other threads hand over to it."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []
        self.session = Session(InlineEngine(), self.waiting.append)
        self.session.projects.automatic = False
        self.failures: list[str] = []
        self.session.runner.failed.connect(lambda sentence, details: self.failures.append(sentence))
        alone = Sample("alone", lambda: np.zeros((*SHAPE, 1), np.uint8))
        self.collection = Collection("layers", [*samples(), alone])
        self.session.workspace.show(self.collection)
        self.settle()

    def settle(self) -> None:
        def pump() -> None:
            while self.waiting:
                self.waiting.pop(0)()

        self.session.wait_idle(pump)

    def see(self, z: int) -> None:
        self.session.workspace.select(f"em [{z}]")

    def paint(self, z: int, mask: np.ndarray) -> None:
        self.see(z)
        self.session.painting.begin_strokes(f"em [{z}]")
        self.session.painting.correct(f"em [{z}]", mask)
        self.settle()

    def fill(self, point: tuple[int, int] | None = None) -> None:
        self.session.fill.propose(point)
        self.settle()

    def mask(self, z: int) -> np.ndarray | None:
        return self.session.workspace.mask(f"em [{z}]")

    def status(self, z: int) -> str:
        return self.session.workspace.row(f"em [{z}]").status


@pytest.fixture
def room() -> Iterator[Room]:
    room = Room()
    yield room
    room.session.close()


def square(column: int, row: int = 8, side: int = 4, label: int = 1) -> np.ndarray:
    """Painted foreground, and unknown pixels around it."""
    mask = np.full(SHAPE, 255, np.uint8)
    mask[row : row + side, column : column + side] = label
    return mask


def test_a_volume_is_one_row_with_its_slices_in_order(room: Room) -> None:
    rows = room.session.workspace.listed_rows()
    assert [(row.id, row.slices, row.status) for row in rows] == [("em", 8, "new"), ("alone", 0, "new")]
    collection = room.collection
    assert collection.members("em") == tuple(f"em [{z}]" for z in range(8))
    assert collection.members("alone") == ("alone",)
    assert collection.listed("em [3]") == "em"
    room.see(3)
    assert len(room.session.workspace.volume) == 8
    room.session.workspace.select("alone")
    assert not room.session.workspace.volume
    collection.take_volumes(False)  # images of their own
    assert len(room.session.workspace.listed_rows()) == 9


def test_what_learns_from_slices_knows_where_they_lie(room: Room) -> None:
    images = [refer(room.collection.entries[i].sample, None) for i in room.collection.members("em")]
    references = References()
    found = [references.sample(image) for image in images]
    check_slices(found)
    places = [place_of(sample) for sample in found]
    assert [place.z for place in places] == list(range(8))
    assert len({place.file for place in places}) == 1
    assert [int(load()[0, 0, 0]) for load in neighbours(places[4], -1, 3)] == [3, 2, 1]


def test_the_row_of_a_volume_tells_of_all_its_slices(room: Room) -> None:
    for z in range(8):
        room.paint(z, square(2))
    assert room.session.workspace.listed_rows()[0].status == "corrected"
    room.session.painting.set_done([f"em [{z}]" for z in range(3)])
    row = room.session.workspace.listed_rows(["em"])[0]
    assert (row.status, row.done) == ("corrected", 3)
    room.session.painting.set_done(room.collection.members("em"))
    row = room.session.workspace.listed_rows(["em"])[0]
    assert (row.status, row.done) == ("done", 8)


def test_strokes_are_counted_by_slices(room: Room) -> None:
    room.paint(1, square(2))
    assert room.session.strokes.words() == "1 slice with strokes"
    room.paint(5, square(10))
    assert room.session.strokes.words() == "2 slices with strokes"


def test_the_iou_of_a_volume_is_that_of_its_voxels(room: Room) -> None:
    truth = np.zeros(SHAPE, np.uint8)
    truth[:4, :5] = 1  # 20 voxels a slice
    half = np.zeros(SHAPE, np.uint8)
    half[:2, :5] = 1
    for z, mask in ((0, half), (1, truth), (2, np.zeros(SHAPE, np.uint8))):
        room.collection.entries[f"em [{z}]"].score(count_overlap(truth, mask, 1), "one")
    # 10 + 20 + 0 of 60 voxels; the mean over slices would be 0.5 too, so one more slice is full.
    room.collection.entries["em [3]"].score(count_overlap(truth[:10], truth[:10], 1), "one")
    row = room.session.workspace.listed_rows(["em"])[0]
    assert row.iou == pytest.approx((10 + 20 + 0 + 20) / 80)


def test_what_lies_between_painted_slices_is_proposed_and_not_painted(room: Room) -> None:
    room.paint(1, square(2))
    room.paint(5, square(10))
    room.fill()
    proposal = room.session.fill.proposal
    assert proposal is not None
    assert list(proposal.slices) == ["em [2]", "em [3]", "em [4]"]
    assert (proposal.objects, proposal.voxels, proposal.guided) == (1, 48, False)
    for z, column in ((2, 4), (3, 6), (4, 8)):  # 8 columns in 4 steps
        np.testing.assert_array_equal(proposal.slices[f"em [{z}]"], np.where(square(column) == 1, 1, 0))
        assert room.mask(z) is None
        assert room.status(z) == "new"
    room.session.fill.discard()
    assert room.session.fill.proposal is None
    assert room.status(3) == "new"


@pytest.mark.parametrize("also", [None, (18, 18)], ids=["nothing painted", "another object painted"])
def test_the_slice_in_view_may_lie_between_the_painted_ones(room: Room, also: tuple[int, int] | None) -> None:
    room.paint(1, square(2))
    room.paint(5, square(10))
    if also is not None:
        room.paint(3, square(*also, side=2))  # too far from both
    room.see(3)
    room.fill()
    proposal = room.session.fill.proposal
    assert proposal is not None
    assert list(proposal.slices) == ["em [2]", "em [3]", "em [4]"]
    assert (proposal.objects, proposal.voxels) == (1, 48)
    np.testing.assert_array_equal(proposal.slices["em [3]"], np.where(square(6) == 1, 1, 0))


def test_behind_the_last_painted_slice_nothing_is_between(room: Room) -> None:
    room.paint(1, square(2))
    room.paint(5, square(10))
    room.see(6)
    room.fill()
    assert room.session.fill.proposal is None


def test_accepted_voxels_are_verified_and_can_be_taken_back(room: Room) -> None:
    room.paint(1, square(2))
    room.paint(5, square(10))
    before = {z: room.mask(z) for z in (1, 5)}
    room.fill()
    room.session.fill.accept()
    room.settle()
    for z, column in ((2, 4), (3, 6), (4, 8)):
        np.testing.assert_array_equal(room.mask(z), square(column))
        np.testing.assert_array_equal(room.session.painting.verified(f"em [{z}]"), square(column) == 1)
        assert room.status(z) == "corrected"
        assert room.session.painting.versions(f"em [{z}]")[-1].kind == "fill between slices"
    for z, mask in before.items():
        np.testing.assert_array_equal(room.mask(z), mask)
    assert room.session.fill.undoable == 3
    room.session.fill.undo()
    room.settle()
    for z in (2, 3, 4):
        assert room.status(z) == "new"
    assert room.session.fill.undoable == 0
    for z, mask in before.items():  # strokes of the hand stay
        np.testing.assert_array_equal(room.mask(z), mask)


def test_a_slice_that_was_painted_since_is_left_out_of_the_undo(room: Room) -> None:
    room.paint(1, square(2))
    room.paint(5, square(10))
    room.fill()
    room.session.fill.accept()
    room.settle()
    more = square(6)
    more[0, 0] = 1
    room.paint(3, more)
    notes: list[str] = []
    room.session.runner.succeeded.connect(lambda outcome: notes.append(outcome.sentence))
    room.session.fill.undo()
    room.settle()
    np.testing.assert_array_equal(room.mask(3), more)
    assert room.status(2) == "new"
    (note,) = notes
    assert note.startswith("The fill stays in 1 slice,")


def test_painted_pixels_in_between_stay_as_they_are(room: Room) -> None:
    background = np.full(SHAPE, 255, np.uint8)
    background[8:12, 7] = 0
    room.paint(3, background)
    room.paint(1, square(2))
    room.paint(5, square(10))
    room.fill()
    room.session.fill.accept()
    room.settle()
    wanted = square(6)
    wanted[8:12, 7] = 0
    np.testing.assert_array_equal(room.mask(3), wanted)


def test_each_object_finds_its_own_and_one_may_be_chosen(room: Room) -> None:
    first, last = square(2, row=2), square(2, row=4)
    first[14:18, 12:16], last[14:18, 14:18] = 1, 1
    room.paint(1, first)
    room.paint(3, last)
    room.fill()
    wanted = square(2, row=3)
    wanted[14:18, 13:17] = 1
    assert room.session.fill.proposal is not None
    np.testing.assert_array_equal(room.session.fill.proposal.slices["em [2]"] == 1, wanted == 1)
    room.fill(point=(15, 15))
    assert room.session.fill.proposal.objects == 1
    assert room.session.fill.proposal.voxels == 16


def test_an_object_in_one_slice_alone_is_not_filled(room: Room) -> None:
    room.paint(1, square(2))
    room.fill()
    assert room.session.fill.proposal is None
    (sentence,) = room.failures
    assert "no object to fill" in sentence


def numbered_files(folder: Path, numbers: list[int], name: str = "s{:02d}.tif") -> list[Sample]:
    for z in numbers:
        tifffile.imwrite(folder / name.format(z), np.full(SHAPE, z, np.uint8))
    return list(open_images([folder]))


def test_numbered_files_are_a_volume_only_if_a_person_says_so(tmp_path: Path) -> None:
    files = numbered_files(tmp_path, list(range(7, 15)))
    assert count_numbered(files) == 8
    collection = Collection("files", files)
    assert collection.volumes == {}
    collection.take_volumes(True, numbered=True)
    assert collection.volumes == {"s": tuple(f"s{z:02d}" for z in range(7, 15))}
    assert collection.listed_ids == ("s",)
    collection.take_volumes(False)
    assert collection.volumes == {}
    collection.take_volumes(True)
    assert collection.volumes == {}


def test_files_with_a_gap_or_out_of_order_are_not_asked_about(tmp_path: Path) -> None:
    for name, numbers, pattern in (("gap", [1, 2, 4], "s{:02d}.tif"), ("two", [1, 2], "s{:02d}.tif")):
        (tmp_path / name).mkdir()
        files = numbered_files(tmp_path / name, numbers, pattern)
        assert count_numbered(files) == (0 if name == "gap" else 2)
    other = numbered_files(tmp_path / "two", [1, 2], "t{:02d}.tif")
    assert len(other) == 4
    assert count_numbered(other) == 0  # two series
    assert count_numbered(other[:1]) == 0
    assert count_numbered(other[1::-1]) == 0
    assert volumes_among(other, numbered=True) == {"s": ("s01", "s02"), "t": ("t01", "t02")}
