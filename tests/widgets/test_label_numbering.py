"""Numbers of the editable layer and the classes that they mean, worked out by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.inference.postprocess import connected_objects
from napari_unet.widgets.canvas.label_numbering import CYCLE, IGNORED_NARROW, IGNORED_OBJECT, LabelNumbering
from napari_unet.widgets.canvas.large.mask_levels import numbered
from napari_unet.widgets.canvas.layer_styles import hatched, object_colormap


def pieces(mask: np.ndarray) -> np.ndarray:
    return connected_objects(np.where(mask == 255, 0, mask).astype(np.uint8))


FOG = (0xB8, 0xB8, 0xB8)


def test_classes_keep_their_numbers_and_what_is_beyond_is_the_last_class() -> None:
    mask = np.array([[0, 1, 2, 255]], np.uint8)
    numbering = LabelNumbering.of(mask, 2)
    np.testing.assert_array_equal(numbering.labels, mask)
    assert numbering.labels is not mask
    assert [numbering.number_for(label) for label in (0, 1, 2, 255)] == [0, 1, 2, 255]
    found = numbering.classes(np.array([[0, 1, 2, 3, 254, 255, 256, 4000, -1]]))
    assert found.tolist() == [[0, 1, 2, 2, 2, 255, 2, 2, 0]]


def test_objects_have_a_number_each_and_new_ones_one_of_their_class() -> None:
    mask = np.array([[1, 0, 2, 0, 255, 0, 1]], np.uint8)
    numbering = LabelNumbering.of(mask, 2, pieces(mask))
    labels = numbering.labels[0]
    assert labels[[1, 3, 5]].tolist() == [0, 0, 0]
    assert len({*labels[[0, 2, 6]].tolist()}) == 3
    assert labels[4] == IGNORED_OBJECT
    np.testing.assert_array_equal(numbering.classes(numbering.labels), mask)
    one, two = numbering.number_for(1), numbering.number_for(2)
    assert one > labels[[0, 2, 6]].max()
    # A number picked again, as napari's "new label" does it, is an object of class 1.
    beyond = np.array([[one, two, two + 1, IGNORED_OBJECT + 1, numbering.number_for(255)]])
    assert numbering.classes(beyond).tolist() == [[1, 2, 2, 1, 255]]


def test_no_object_has_the_colour_of_what_is_ignored() -> None:
    mask = np.zeros((1, 301), np.uint8)
    mask[0, 1::2] = 1  # 150 objects
    numbering = LabelNumbering.of(mask, 1, pieces(mask))
    numbers = np.unique(numbering.labels)
    assert len(numbers) == 151
    colours = object_colormap()
    for ignored in (IGNORED_OBJECT, IGNORED_NARROW):
        assert tuple(np.round(np.asarray(colours.map(ignored))[:3] * 255).astype(int)) == FOG
    for number in numbers[1:]:
        assert tuple(np.round(np.asarray(colours.map(number))[:3] * 255).astype(int)) != FOG
    assert len(colours.colors) == CYCLE + 1


@settings(max_examples=40, deadline=None)
@given(arrays(np.uint8, (6, 7), elements=st.sampled_from([0, 1, 2, 3, 255])), st.booleans())
def test_a_mask_comes_back_from_its_numbers(mask: np.ndarray, as_objects: bool) -> None:
    objects = pieces(mask)
    numbering = LabelNumbering.of(mask, 3, objects if as_objects else None)
    np.testing.assert_array_equal(numbering.classes(numbering.labels), mask)
    if as_objects:
        known = mask != 255
        assert len(np.unique(numbering.labels[known & (mask > 0)])) == objects.max()


def test_objects_have_16_bits_while_they_are_few() -> None:
    mask = np.zeros((1, 9), np.uint8)
    mask[0, [1, 3, 8]] = 1, 2, 255
    few = LabelNumbering.of(mask, 2, pieces(mask), narrow=True)
    assert few.labels.dtype == np.uint16
    assert few.as_objects
    assert few.labels[0, 8] == few.number_for(255) == IGNORED_NARROW
    np.testing.assert_array_equal(few.classes(few.labels), mask)
    beyond = np.array([[few.number_for(1), few.number_for(2), IGNORED_NARROW + 1]], np.uint16)
    assert few.classes(beyond).tolist() == [[1, 2, 1]]
    # 63,000 objects, whose numbers skip one in 49, leave no room for 2,000 new ones below 65,521.
    many = np.zeros((1, 126_000), np.uint8)
    many[0, 1::2] = 1
    wide = LabelNumbering.of(many, 2, np.cumsum(many, axis=1, dtype=np.int32) * many, narrow=True)
    assert wide.labels.dtype == np.int32
    assert wide.number_for(255) == IGNORED_OBJECT


def test_objects_of_a_whole_slide_never_have_the_colour_of_what_is_ignored() -> None:
    mask = np.zeros((640, 640), np.uint8)
    mask[::16, ::16] = 1  # 1,600 objects in all colours
    mask[5, 5] = 255
    numbers = numbered(mask, (0, 0), 1)
    assert numbers.dtype == np.uint8
    assert numbers[5, 5] == (IGNORED_OBJECT - 1) % CYCLE + 1
    assert set(np.unique(numbers[mask == 1])) == set(range(1, CYCLE + 1)) - {numbers[5, 5]}


def test_what_is_vouched_for_is_outlined_and_hatched() -> None:
    where = np.zeros((40, 40), bool)
    where[10:30, 10:30] = True
    drawn = hatched(where)
    assert not drawn[~where].any()
    assert drawn[10, 10:30].all()
    assert drawn[29, 10:30].all()
    assert drawn[10:30, 29].all()
    inner = drawn[11:29, 11:29]
    assert (inner == 1).sum() == 81  # every fourth diagonal of 18 x 18
    assert hatched(np.eye(5, dtype=bool)).sum() == 5  # a stroke of one pixel is not lost between the lines
