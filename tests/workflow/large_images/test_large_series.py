"""Objects of large images over time: what becomes of them is what becomes of them in memory."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import ndimage

from napari_unet.data.masks.numbered_objects import NumberedObjects
from napari_unet.export.label_store import LabelStore
from napari_unet.export.ome_zarr import LabelShape
from napari_unet.export.over_time import write_objects_over_time
from napari_unet.inference.linked_objects import StackNumbers
from napari_unet.inference.postprocess import connected_objects
from napari_unet.metrics.objects_over_time import ObjectInTime, ObjectsOverTime
from napari_unet.progress import CancelToken, ignore_progress
from napari_unet.workflow.large_images.volumes import link_slices as module
from napari_unet.workflow.large_images.volumes.link_slices import LargeSeries, link_slices

if TYPE_CHECKING:
    from pathlib import Path

CLASSES = ("cell", "other")


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 16 pixels: objects lie on their borders."""
    monkeypatch.setattr(module, "PART", 16)


def frames() -> list[np.ndarray]:
    """Four masks of blobs of two classes that drift, split and merge."""
    noise = np.random.default_rng(3).standard_normal((4, 70, 90))
    noise[1:] = 0.6 * noise[:1] + 0.5 * noise[1:]
    smooth = ndimage.gaussian_filter(noise, (0.6, 3, 3))
    smooth /= smooth.std()
    masks = [((one > 0.5) + (one > 1.3)).astype(np.uint8) for one in smooth]
    for number, mask in enumerate(masks):
        mask[:5, :24] = 0
        mask[:3, :19] = 1
        if number == 0:
            mask[:, 3:19:4] = 0  # five bars, of which each is 9 of the 57 pixels of what they merge into
    return masks


def store_of(path: Path, masks: list[np.ndarray], stacked: bool) -> LabelStore:
    """Objects of masks, numbered in each by itself."""
    leading = (("t", len(masks)),) if stacked else ()
    store = LabelStore.create(path, LabelShape(leading, masks[0].shape, (16, 16), "uint32"), "a", (), {})
    for number, mask in enumerate(masks):
        index = (number,) if stacked else ()
        objects = connected_objects(mask)
        store.write(0, index, slice(None), slice(None), objects.astype(np.uint32))
        store.write_numbered(index, NumberedObjects.of(objects, mask, CLASSES, ()))
    return store


def in_memory(masks: list[np.ndarray], names: list[str]) -> tuple[list[np.ndarray], list[ObjectInTime]]:
    numbers, found = StackNumbers(linked=True), ObjectsOverTime()
    linked = []
    for frame, (mask, name) in enumerate(zip(masks, names, strict=True), start=1):
        linked.append(numbers.number(connected_objects(mask), mask))
        found.add(name, frame, linked[-1], mask)
    return linked, found.finish()


def rows_of(found: list[ObjectInTime]) -> list[dict[str, object]]:
    return [asdict(row) for row in found]


def test_a_stack_is_followed_as_in_memory(tmp_path: Path) -> None:
    masks = frames()
    linked, expected = in_memory(masks, [f"a_{n:03d}" for n in range(4)])
    assert {row.began for row in expected} >= {"first image", "appears", "split", "merge", ""}
    store = store_of(tmp_path / "a", masks, stacked=True)
    series = LargeSeries(over_time=ObjectsOverTime())
    link_slices(store, CLASSES, ignore_progress, CancelToken(), series=series, name="a")
    np.testing.assert_array_equal(np.asarray(store.array(0)), np.stack(linked))
    assert series.over_time is not None
    assert rows_of(series.over_time.finish()) == rows_of(expected)
    said = store.read_numbered()
    assert said is not None
    np.testing.assert_array_equal(said.classes[np.asarray(store.array(0))], np.stack(masks))


def test_files_are_followed_from_one_to_the_next(tmp_path: Path) -> None:
    masks = frames()
    masks[3] = masks[3][:40]  # of another size: nothing can be compared
    linked, expected = in_memory(masks[:3], ["a", "b", "c"])
    series = LargeSeries(over_time=ObjectsOverTime())
    for number, (name, mask) in enumerate(zip("abcd", masks, strict=True)):
        store = store_of(tmp_path / name, [mask], stacked=False)
        link_slices(store, CLASSES, ignore_progress, CancelToken(), series=series, name=name)
        if number < 3:
            np.testing.assert_array_equal(np.asarray(store.array(0)), linked[number])
        done = store.finish(tmp_path / f"{name}.ome.zarr")
        series.moved_to(done)
    assert series.over_time is not None
    rows = series.over_time.finish()
    first = [row for row in rows if row.frame < 3]
    assert rows_of(first) == rows_of([row for row in expected if row.frame < 3])
    assert {row.ended for row in rows if row.frame == 3} == {"disappears"}
    last = [row for row in rows if row.frame == 4]
    assert {row.began for row in last} == {"appears"}
    assert min(row.object for row in last) == max(row.object for row in rows if row.frame < 4) + 1


def test_what_the_next_image_is_linked_to_is_removed_after_it(tmp_path: Path) -> None:
    series = LargeSeries(over_time=ObjectsOverTime())
    for name in "ab":
        (tmp_path / name).mkdir()
        series.remove_later(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    series.close()
    assert not list(tmp_path.iterdir())


def test_rows_of_other_series_stay_in_the_table(tmp_path: Path) -> None:
    path = tmp_path / "objects-over-time.csv"
    row = ObjectInTime(1, 1, "x", 1, 4, (0.5, 0.5), "first image", (), "last image", ())
    write_objects_over_time(path, {"small": [row]}, ("cell",))
    write_objects_over_time(path, {"large": [row]}, ("cell",), append=True)
    _, first, second = path.read_text().splitlines()
    assert (first.split(",")[0], second.split(",")[0]) == ("small", "large")
    write_objects_over_time(path, {"large": [row]}, ("cell",))
    assert len(path.read_text().splitlines()) == 2
