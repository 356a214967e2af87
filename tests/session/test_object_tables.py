"""Objects of open images: measured in a thread, again after each change, and changed one by one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.data.files.pixel_size import PixelSize
from napari_unet.data.sample import Sample
from napari_unet.engine.inline import InlineEngine
from napari_unet.inference.edits.object_edits import delete_object, merge_objects, split_objects
from napari_unet.project.corrections.disk_mask import DiskMask
from napari_unet.session.images.collection import Collection
from napari_unet.session.quality import object_tables
from napari_unet.session.session import Session
from support.errors import raises_code
from support.large_masks import write_large_mask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SIDE = 24


class Open:
    """A session with two images, whose thread hands over when it is asked to."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []
        self.session = Session(InlineEngine(), self.waiting.append)
        self.objects, self.painting = self.session.objects, self.session.painting
        self.measured: list[str] = []
        self.objects.changed.connect(self.measured.append)
        image = np.arange(SIDE * SIDE, dtype=np.uint16).reshape(SIDE, SIDE, 1)
        samples = [Sample(name, lambda: image) for name in ("a", "b")]
        self.collection = Collection("two", samples)
        self.session.workspace.show(self.collection)
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[2:8, 2:8], mask[12:20, 4:16] = 1, 1
        self.painting.correct("a", mask)
        self.settle()

    def settle(self) -> None:
        def pump() -> None:
            while self.waiting:
                self.waiting.pop(0)()

        self.session.wait_idle(pump)

    def areas(self) -> list[float]:
        self.objects.want(["a"])
        self.settle()
        found = self.objects.get("a")
        assert found is not None
        return found.table.columns["area_px"].tolist()

    def edit(self, change: Callable[..., object], kind: str) -> list[float]:
        self.painting.edit_objects("a", change, kind)
        return self.areas()


@pytest.fixture
def opened(no_pause: None) -> Iterator[Open]:
    one = Open()
    yield one
    one.session.close()
    one.collection.close()


def test_objects_are_measured_once_and_again_after_a_change(opened: Open) -> None:
    assert opened.objects.get("a") is None
    assert opened.areas() == [36, 96]
    assert opened.areas() == [36, 96]
    assert opened.measured == ["a"]
    found = opened.objects.get("a")
    assert found is not None
    assert found.pixels.tolist() == [[2, 2], [12, 4]]
    numbers = opened.objects.numbers("a")
    assert numbers is not None
    assert np.bincount(numbers.ravel()).tolist() == [SIDE * SIDE - 132, 36, 96]
    # Row 2 to 7 of a ramp that rises by 24 a row and by 1 a column.
    assert found.table.columns["intensity_mean"][0] == 24 * 4.5 + 4.5
    # Of an image without a mask there is nothing, and of a changed one only what was.
    opened.objects.want(["b"])
    opened.settle()
    assert opened.objects.get("b") is None
    opened.painting.correct("a", np.tri(SIDE, dtype=np.uint8))
    assert opened.objects.get("a") is None
    assert opened.objects.numbers("a") is None
    assert opened.objects.latest("a") is found
    assert opened.areas() == [SIDE * (SIDE + 1) / 2]


def test_another_pixel_size_measures_again(opened: Open) -> None:
    opened.areas()
    opened.objects.pixel_sizes = lambda ids: dict.fromkeys(ids, PixelSize(0.5, 0.5, "µm"))
    assert opened.objects.get("a") is None
    opened.areas()
    found = opened.objects.get("a")
    assert found is not None
    assert (found.table.unit, found.table.columns["area"].tolist()) == ("µm", [9, 24])


def test_single_objects_are_deleted_split_and_merged_and_each_is_undone(opened: Open) -> None:
    assert opened.edit(partial(delete_object, number=1), "delete object") == [96]
    opened.painting.undo("a")
    assert opened.areas() == [36, 96]
    across = np.array([(10.0, 9.0), (21.0, 9.0)])
    assert opened.edit(partial(split_objects, path=across), "split object") == [36, 40, 48]
    along = np.array([(15.0, 6.0), (15.0, 13.0)])
    # The bridge is three rows high and as wide as the cut.
    assert opened.edit(partial(merge_objects, path=along), "merge objects") == [36, 91]
    assert opened.collection.joined("a") is not None
    opened.painting.undo("a")
    assert opened.areas() == [36, 40, 48]
    assert opened.collection.joined("a") is None
    with raises_code("data.object.single"):
        opened.edit(partial(merge_objects, path=across[:1]), "merge objects")
    with raises_code("data.mask.missing"):
        opened.painting.edit_objects("b", partial(delete_object, number=1), "delete object")
    kinds = [version.kind for version in opened.painting.versions("a")]
    assert kinds == ["prediction", "paint", "delete object", "undo", "split object", "merge objects", "undo"]


@pytest.fixture
def on_disk(opened: Open, tmp_path: Path) -> Iterator[DiskMask]:
    """The mask of image b is on disk: three squares of 16, 36 and 64 pixels."""
    said = np.zeros((SIDE, SIDE, 1), np.float32)
    said[1:5, 1:5], said[1:7, 10:16], said[12:20, 12:20] = 0.9, 0.8, 0.7
    write_large_mask(tmp_path / "b.zarr", said)
    mask = DiskMask(tmp_path / "b.zarr", "b")
    opened.collection.entries["b"].use_disk(mask)
    yield mask
    mask.close()


def test_objects_of_a_mask_on_disk_are_measured_found_and_clicked(opened: Open, on_disk: DiskMask) -> None:
    objects = opened.objects
    assert objects.get("b") is None
    objects.want(["b"])
    assert objects.is_coming("b")
    opened.settle()
    found = objects.get("b")
    assert found is not None
    assert found.table.columns["area_px"].tolist() == [16, 36, 64]
    assert found.table.columns["confidence"] == pytest.approx([0.9, 0.8, 0.7], abs=0.003)
    assert found.table.columns["intensity_min"].tolist() == [SIDE + 1, SIDE + 10, 12 * SIDE + 12]
    # Nobody holds its pixels: where an object is, is read.
    objects.want_numbers("b")
    assert not objects.is_coming("b")
    assert objects.numbers("b") is None
    assert [objects.at_pixel("b", *at) for at in ((1, 1), (6, 15), (7, 15), (19, 12), (0, 99))] == [
        1,
        2,
        0,
        3,
        0,
    ]
    box = found.box([0, 2])
    assert box == (1, 1, 20, 20)
    inside = objects.where("b", (1, 3), box)
    assert inside is not None
    assert inside.sum() == 16 + 64
    assert inside[0, 0]
    assert not inside[0, 9]
    # A stroke makes it another mask, which is measured when it is on the disk.
    before = on_disk.read(slice(0, SIDE), slice(0, SIDE))
    after = before.copy()
    after[1:7, 10:16] = 0
    on_disk.paint(before, after, (0, 0))
    assert objects.get("b") is None
    objects.want(["b"])
    opened.settle()
    found = objects.get("b")
    assert found is not None
    assert found.table.columns["area_px"].tolist() == [16, 64]


def test_too_large_a_part_of_a_mask_on_disk_is_not_read(
    opened: Open, on_disk: DiskMask, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.objects.want(["b"])
    opened.settle()
    monkeypatch.setattr(object_tables, "MOST_READ", 100)
    assert opened.objects.where("b", (1,), (0, 0, 10, 10)) is not None
    assert opened.objects.where("b", (1, 3), (0, 0, 10, 11)) is None


def test_measuring_a_mask_on_disk_gives_way_to_other_tasks(opened: Open, on_disk: DiskMask) -> None:
    runner = opened.session.runner
    runner.starting.emit()
    opened.objects.want(["b"])
    opened.settle()
    assert opened.objects.get("b") is None
    assert opened.objects.is_coming("b")
    runner.ended.emit()
    opened.settle()
    found = opened.objects.get("b")
    assert found is not None
    assert len(found.table) == 3


def test_objects_are_followed_over_the_open_images(opened: Open) -> None:
    session, series = opened.session, opened.session.series
    other = np.zeros((SIDE, SIDE), np.uint8)
    other[3:9, 2:8], other[20:24, 20:24] = 1, 1  # the first one moved, the second one gone, another one
    opened.painting.correct("b", other)
    series.want()
    opened.settle()
    assert series.is_current
    found = series.found
    assert found is not None
    assert found.frames == {"a": 1, "b": 2}
    assert {i: numbers.tolist() for i, numbers in found.numbers.items()} == {"a": [0, 1, 2], "b": [0, 1, 3]}
    (rows,) = found.series.values()
    assert [(r.frame, r.object, r.began, r.ended) for r in rows] == [
        (1, 1, "first image", ""), (1, 2, "first image", "disappears"),
        (2, 1, "", "last image"), (2, 3, "appears", "last image"),
    ]  # fmt: skip
    # After a change it is found again, once it is asked for.
    other[20:24, 20:24] = 0
    opened.painting.correct("b", other)
    assert not series.is_current
    series.want()
    opened.settle()
    assert series.found is not None
    assert series.found.numbers["b"].tolist() == [0, 1]
    session.workspace.show(Collection("none", []))
    assert series.found is None
