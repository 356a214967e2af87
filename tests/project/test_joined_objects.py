"""Objects that a person joined: recorded like a stroke, undone like one, there again when opened."""

from __future__ import annotations

import numpy as np

from napari_unet.project.corrections.corrections import Corrections
from napari_unet.project.corrections.stroke import JOINED, Stroke

MASK = np.zeros((6, 8), np.uint8)
MASK[1:5, 1:7] = 1
LINE = np.zeros(MASK.shape, bool)
LINE[2, 2:6] = True


def test_a_join_changes_no_pixel_of_the_mask_and_verifies_its_own() -> None:
    kept = Corrections.in_memory()
    assert kept.joined("a") is None
    stroke = kept.record("a", MASK, MASK, "merge", joined=LINE)
    assert stroke is not None
    assert stroke.pixels == 4
    np.testing.assert_array_equal(kept["a"].mask, MASK)
    np.testing.assert_array_equal(kept["a"].verified, LINE)
    np.testing.assert_array_equal(kept.joined("a"), LINE)
    assert kept.stats("a").strokes == 1
    assert kept.stats("a").verified == 4
    again = Stroke.from_bytes(stroke.to_bytes())
    assert set(again.after.tolist()) == {1 + 256 + JOINED}
    assert kept.undo("a") is not None
    assert kept.joined("a") is None
    assert not kept["a"].verified.any()


def test_undo_of_what_was_painted_over_a_join_brings_it_back() -> None:
    kept = Corrections.in_memory()
    kept.record("a", MASK, MASK, "merge", joined=LINE)
    painted = MASK.copy()
    painted[2, 4] = 0
    kept.record("a", MASK, painted)
    less = LINE.copy()
    less[2, 4] = False
    np.testing.assert_array_equal(kept.joined("a"), less)
    kept.undo("a")
    np.testing.assert_array_equal(kept.joined("a"), LINE)
    # The same join a second time is another stroke; two undos take back both.
    kept.record("a", MASK, MASK, "merge", joined=LINE)
    kept.undo("a")
    np.testing.assert_array_equal(kept.joined("a"), LINE)
    kept.undo("a")
    assert kept.joined("a") is None
    assert kept.undo("a") is None


def test_another_owner_takes_joins_over() -> None:
    first, second = Corrections.in_memory(), Corrections.in_memory()
    first.record("a", MASK, MASK, "merge", joined=LINE)
    second.take_over("a", first, "a")
    np.testing.assert_array_equal(second.joined("a"), LINE)
    second.revert("a", MASK)
    assert second.joined("a") is None


def test_joins_and_cuts_teach_what_lies_around_them() -> None:
    mask = np.zeros((30, 40), np.uint8)
    mask[5:25, 2:20], mask[5:25, 24:38] = 1, 1
    kept = Corrections.in_memory()
    line = np.zeros(mask.shape, bool)
    line[5:25, 11] = True
    cut = np.where(line, 0, mask).astype(np.uint8)
    kept.record("a", mask, cut, "split object", cut=line)
    np.testing.assert_array_equal(kept.cut("a"), line)
    assert kept.joined("a") is None
    reference = kept.reference("a")
    # Within six columns of the cut both halves are known, and their class; the rest is not.
    assert reference.weights is not None
    assert np.flatnonzero(reference.weights[10]).tolist() == list(range(5, 18))
    assert reference.objects is not None
    assert set(reference.objects[10, 5:11]) == {1}
    assert set(reference.objects[10, 12:18]) == {2}
    assert set(reference.objects[10, 2:5]) == {-1}
    assert set(reference.objects[10, 18:20]) == {-2}
    assert set(reference.objects[10, 24:38]) == {-3}
    assert reference.objects[10, 11] == 0
    # Background at the end of the cut was not looked at.
    assert reference.weights[4, 11] == 0
    kept.undo("a")
    assert kept.cut("a") is None
    assert kept.reference("a").objects is None


def test_an_earlier_version_has_the_joins_that_it_had() -> None:
    kept = Corrections.in_memory()
    everything = np.zeros_like(MASK)
    kept.record("a", everything, MASK)  # all of the object is verified
    first = kept.versions("a")[-1].number
    kept.record("a", MASK, MASK, "merge", joined=LINE)
    joined = kept.versions("a")[-1].number
    painted = MASK.copy()
    painted[2, 4] = 0
    kept.record("a", MASK, painted)
    # Back to where the line was whole: the pixel that was painted over joins again.
    kept.revert_to("a", joined)
    np.testing.assert_array_equal(kept["a"].mask, MASK)
    np.testing.assert_array_equal(kept.joined("a"), LINE)
    # Back to before the join: no pixel and no verified one differs, and yet nothing is joined.
    kept.revert_to("a", first)
    np.testing.assert_array_equal(kept["a"].mask, MASK)
    assert kept.joined("a") is None
    # Both are changes like others: undone one by one, and another owner takes them over.
    kept.undo("a")
    np.testing.assert_array_equal(kept.joined("a"), LINE)
    other = Corrections.in_memory()
    other.take_over("a", kept, "a")
    np.testing.assert_array_equal(other.joined("a"), LINE)
    kept.undo("a")
    less = LINE.copy()
    less[2, 4] = False
    np.testing.assert_array_equal(kept.joined("a"), less)
    np.testing.assert_array_equal(kept["a"].mask, painted)


def test_an_earlier_version_has_its_cuts() -> None:
    kept = Corrections.in_memory()
    line = np.zeros(MASK.shape, bool)
    line[1:5, 3] = True
    cut = np.where(line, 0, MASK).astype(np.uint8)
    kept.record("a", MASK, cut, "split object", cut=line)
    number = kept.versions("a")[-1].number
    kept.record("a", cut, MASK)  # painted over: an undo by hand
    assert kept.cut("a") is None
    kept.record("a", MASK, cut, "split object", cut=line)
    again = kept.versions("a")[-1].number
    kept.record("a", cut, np.where(MASK > 0, 1, 1).astype(np.uint8))
    kept.revert_to("a", again)
    np.testing.assert_array_equal(kept.cut("a"), line)
    assert number < again
