"""Edits that save strokes, on masks that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.inference.edits.mask_edits import drop_small, fill_holes, grow, object_at, shrink, smooth


def mask_of(text: str) -> np.ndarray:
    """Digits to classes, dots to background, # to ignored pixels."""
    values = {".": 0, "#": 255}
    rows = [[values.get(c, 0) if not c.isdigit() else int(c) for c in row] for row in text.split()]
    return np.array(rows, np.uint8)


RING = mask_of("""
    .......
    .111...
    .1.1.2.
    .111...
    .......""")


def test_holes_are_filled() -> None:
    filled = fill_holes(RING)
    assert filled[2, 2] == 1
    assert (filled != RING).sum() == 1


def test_holes_of_one_object_alone() -> None:
    two = np.hstack([RING, RING])
    filled = fill_holes(two, (1, 1))
    assert filled[2, 2] == 1
    assert filled[2, 9] == 0
    assert np.array_equal(fill_holes(two, (0, 0)), two)


def test_what_is_ignored_stays_ignored() -> None:
    ring = RING.copy()
    ring[2, 2] = 255
    assert fill_holes(ring)[2, 2] == 255
    assert drop_small(ring, 100)[2, 2] == 255
    assert smooth(ring, 1)[2, 2] == 255
    assert grow(ring, (1, 1))[2, 2] == 255


def test_small_objects_are_dropped() -> None:
    kept = drop_small(RING, 2)
    assert kept[2, 5] == 0
    assert (kept == 1).sum() == 8


def test_smoothing_removes_a_spot_and_fills_a_dent() -> None:
    rough = mask_of("""
        11111.
        11.11.
        11111.
        11111.""")
    smoothed = smooth(rough, 1)
    assert smoothed[1, 2] == 1
    assert not smooth(mask_of("... .1. ..."), 1).any()
    assert np.array_equal(smooth(mask_of("1122 1122"), 1), mask_of("1122 1122"))
    with pytest.raises(ValueError, match="at least 1"):
        smooth(rough, 0)


def test_growing_leaves_other_objects_alone() -> None:
    line = mask_of("""
        .......
        ..1.2..
        .......""")
    grown = grow(line, (1, 2), 1)
    expected = mask_of("""
        ..1....
        .1112..
        ..1....""")
    assert np.array_equal(grown, expected)
    assert np.array_equal(grow(line, (0, 0)), line)


def test_shrinking_takes_the_rim_but_not_at_the_border() -> None:
    square = mask_of("""
        111..
        111..
        111..
        .....""")
    assert np.array_equal(
        shrink(square, (0, 0)),
        mask_of("""
        11...
        11...
        .....
        ....."""),
    )
    assert not shrink(mask_of("... .1. ..."), (1, 1)).any()
    assert shrink(np.ones((3, 3), np.uint8), (1, 1)).all()


def test_an_object_hangs_together_over_corners() -> None:
    found = object_at(mask_of("1.. .1. ..2"), (0, 0))
    assert found is not None
    assert found.sum() == 2
    assert object_at(RING, (0, 0)) is None
    assert object_at(RING, (-1, 0)) is None
    assert object_at(RING, (99, 0)) is None
