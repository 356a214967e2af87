"""What becomes of objects in a series of images, worked out by hand."""

from __future__ import annotations

import numpy as np

from napari_unet.inference.linked_objects import StackNumbers
from napari_unet.metrics.objects_over_time import ObjectInTime, ObjectsOverTime


def followed(
    *images: np.ndarray, masks: list[np.ndarray] | None = None
) -> dict[tuple[int, int], ObjectInTime]:
    """Frame and number to each object; the numbers are linked by overlap, as everywhere."""
    numbers, found = StackNumbers(linked=True), ObjectsOverTime()
    for frame, objects in enumerate(images, start=1):
        mask = (objects > 0).astype(np.uint8) if masks is None else masks[frame - 1]
        found.add(f"t{frame}", frame, numbers.number(objects, mask), mask)
    return {(row.frame, row.object): row for row in found.finish()}


def row(text: str) -> np.ndarray:
    """An image of one row: digits are numbers of objects."""
    return np.array([[int(c) for c in text.replace(".", "0")]], np.int32)


def test_an_object_that_moves_and_one_that_comes_and_goes() -> None:
    rows = followed(row("1111......"), row(".1111..222"), row("..1111...."))
    # 3 of 5 pixels are shared each time: an IoU of 0.6.
    assert {key for key in rows if key[1] == 1} == {(1, 1), (2, 1), (3, 1)}
    assert [rows[f, 1].centroid for f in (1, 2, 3)] == [(0, 1.5), (0, 2.5), (0, 3.5)]
    assert (rows[1, 1].began, rows[1, 1].ended) == ("first image", "")
    assert (rows[3, 1].began, rows[3, 1].ended) == ("", "last image")
    visitor = rows[2, 2]
    assert (visitor.began, visitor.came_from, visitor.ended, visitor.became) == (
        "appears",
        (),
        "disappears",
        (),
    )
    assert (visitor.area, visitor.image, visitor.label) == (3, "t2", 1)
    assert set(rows) == {(1, 1), (2, 1), (2, 2), (3, 1)}


def test_one_part_keeps_the_number_and_the_other_splits_off() -> None:
    rows = followed(row("1111111111"), row("111111.222"))
    assert rows[2, 1].area == 6  # an IoU of 6 / 10
    daughter = rows[2, 2]
    assert (daughter.began, daughter.came_from) == ("split", (1,))
    assert rows[1, 1].ended == ""


def test_an_object_that_falls_into_many_parts_ends() -> None:
    rows = followed(row("1" * 25), row("11111.22222.33333.4444444"[:25]))
    # The IoU of the parts is 5 / 25, three times, and 7 / 25, which is enough to be the same object.
    assert rows[2, 1].area == 7
    assert [rows[2, n].came_from for n in (2, 3, 4)] == [(1,)] * 3
    rows = followed(row("1" * 25), row("11111.22222.33333.4444..."))
    assert (rows[1, 1].ended, rows[1, 1].became) == ("split", (2, 3, 4, 5))
    assert {(rows[2, n].began, rows[2, n].came_from) for n in (2, 3, 4, 5)} == {("split", (1,))}


def test_two_objects_become_one() -> None:
    rows = followed(row("1111.22222"), row("1111111111"))
    # 5 / 10 is more than 4 / 10: the larger one keeps its number.
    assert rows[2, 2].began == ""
    assert (rows[1, 1].ended, rows[1, 1].became) == ("merge", (2,))
    rows = followed(row("11.22.33.44.55.66"), row("11111111111111111"))  # IoU 2 / 17 each
    merged = rows[2, 7]
    assert (merged.began, merged.came_from) == ("merge", (1, 2, 3, 4, 5, 6))
    assert {rows[1, n].became for n in range(1, 7)} == {(7,)}


def test_an_object_of_another_class_is_another_object() -> None:
    one = row("111..")
    rows = followed(one, one, masks=[(one > 0).astype(np.uint8), np.where(one > 0, 2, 0).astype(np.uint8)])
    assert (rows[1, 1].ended, rows[2, 2].began, rows[2, 2].label) == ("disappears", "appears", 2)


def test_images_without_objects_and_of_another_size() -> None:
    empty = row(".....")
    assert followed(empty, empty) == {}
    found = ObjectsOverTime()
    found.add("a", 1, row("11."), np.array([[1, 1, 0]], np.uint8))
    found.add("b", 3, row("2222"), np.ones((1, 4), np.uint8))
    assert [(r.frame, r.object, r.began, r.ended) for r in found.finish()] == [
        (1, 1, "first image", "disappears"), (3, 2, "appears", "last image"),
    ]  # fmt: skip


def test_thousands_of_objects_are_followed_at_once() -> None:
    objects = np.zeros((300, 300), np.int32)
    objects[::3, ::3] = np.arange(1, 10_001).reshape(100, 100)
    rows = followed(objects, objects)
    assert len(rows) == 20_000
    assert all(r.began == "" for (frame, _), r in rows.items() if frame == 2)
