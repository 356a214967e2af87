from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.metrics import objects
from napari_unet.metrics.competition import data_science_bowl_score
from napari_unet.metrics.objects import THRESHOLDS, pair_objects, tally_objects

# One row: three reference objects of 4, 4 and 2 pixels; a prediction that has the first but for one
# pixel, cuts the second in two halves, misses the third, and invents one.
REFERENCE = np.array([[1, 1, 1, 1, 0, 2, 2, 2, 2, 0, 3, 3, 0, 0]], np.int32)
PREDICTED = np.array([[5, 5, 5, 0, 0, 7, 7, 8, 8, 0, 0, 0, 9, 9]], np.int32)
NOTHING = np.zeros_like(REFERENCE)


def test_objects_by_hand() -> None:
    tally = tally_objects(REFERENCE, PREDICTED)
    # IoU: 3/4 with the first, 1/2 with either half of the second.
    assert (tally.reference, tally.predicted) == (3, 4)
    # 0.75 is above 0.5 to 0.7 but not above itself; 0.5 is not above 0.5.
    assert tally.hits.tolist() == [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]
    assert tally.precision() == pytest.approx(1 / 4)
    assert tally.recall() == pytest.approx(1 / 3)
    assert tally.f1() == pytest.approx(2 / 7)
    assert tally.average_precision(0.5) == pytest.approx(1 / 6)
    assert tally.average_precision() == pytest.approx(5 * (1 / 6) / 10)
    assert tally.segmentation_quality() == pytest.approx(3 / 4)
    assert tally.panoptic_quality() == pytest.approx((3 / 4) / 3.5)
    # SEG: neither half holds more than half of the second object, so it counts 0.
    assert tally.seg_measure() == pytest.approx((3 / 4) / 3)
    # DET: two objects to draw and three to remove, of three to draw if there were none.
    assert tally.det_measure() == pytest.approx(1 - (2 * 10 + 3 * 1) / (3 * 10))
    assert (tally.splits, tally.merges) == (1, 0)


def test_splits_and_merges_change_places_with_the_masks() -> None:
    tally = tally_objects(PREDICTED, REFERENCE)
    assert (tally.splits, tally.merges) == (0, 1)
    # One to draw, one to remove, one to cut in two.
    assert tally.det_measure() == pytest.approx(1 - (10 + 1 + 5) / (4 * 10))
    # A crumb below a tenth of the object does not split it.
    whole = np.ones((1, 21), np.int32)
    crumb = np.array([[1] * 19 + [2] * 2], np.int32)
    assert tally_objects(whole, crumb).splits == 0
    crumb[0, 18] = 2
    assert tally_objects(whole, crumb).splits == 1


def test_the_empty_rules() -> None:
    both = tally_objects(NOTHING, NOTHING)
    for rule, value in (("one", 1.0), ("zero", 0.0), ("skip", np.nan)):
        found = [both.f1(0.5, rule), both.precision(0.5, rule), both.recall(0.5, rule)]  # type: ignore[arg-type]
        found += [both.average_precision(None, rule), both.panoptic_quality(rule)]  # type: ignore[arg-type]
        np.testing.assert_equal(found, [value] * 5)
    assert np.isnan(both.seg_measure())
    assert np.isnan(both.det_measure())
    assert tally_objects(REFERENCE, REFERENCE).det_measure() == 1
    assert tally_objects(REFERENCE, NOTHING).det_measure() == 0
    many = np.arange(1, 61)[None]  # one object held, 59 too many: more work than to begin from nothing
    assert tally_objects((many < 2).astype(np.int32), many).det_measure() == 0
    for one, other in ((NOTHING, REFERENCE), (REFERENCE, NOTHING)):
        tally = tally_objects(one, other)
        assert tally.precision() == tally.recall() == tally.f1() == tally.average_precision() == 0
        assert tally.panoptic_quality() == tally.segmentation_quality() == 0


def test_pixels_that_nobody_knows_belong_to_no_object() -> None:
    weights = np.ones(REFERENCE.shape, np.float32)
    weights[0, [3, 10, 11, 12, 13]] = 0
    tally = tally_objects(REFERENCE, PREDICTED, weights)
    assert (tally.reference, tally.predicted) == (2, 3)
    assert tally.hits.tolist() == [1] * 10


def test_numbers_may_be_large_and_have_gaps() -> None:
    tally = tally_objects(REFERENCE.astype(np.int64) * 10**12, PREDICTED.astype(np.uint16) * 7000)
    assert tally.hits.tolist() == tally_objects(REFERENCE, PREDICTED).hits.tolist()
    # One object a pixel: too many pairs for a table of them.
    many = np.arange(1, 400 * 400 + 1).reshape(400, 400)
    assert tally_objects(many, many.T).hits.tolist() == [400 * 400] * 10
    full = np.ones((3, 3), np.int64) * 10**9  # no background at all
    assert tally_objects(full, full).f1() == 1


@given(
    arrays(np.uint16, (6, 7), elements=st.sampled_from([0, 1, 2, 3, 900, 60_000])),
    arrays(np.int64, (6, 7), elements=st.sampled_from([0, 1, 2, 70_000, 2**40])),
    st.integers(1, 50),
)
def test_pixels_may_be_counted_piece_by_piece(a: np.ndarray, b: np.ndarray, piece: int) -> None:
    whole = pair_objects(a, b)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objects, "PIECE", piece)
        patch.setattr(objects, "ROOMY", 0)  # tables have room for 2 ** 16 numbers, whatever the pixels
        pieces = pair_objects(a, b)
    for field in dataclasses.fields(whole):
        np.testing.assert_array_equal(getattr(pieces, field.name), getattr(whole, field.name))


def test_masks_that_cannot_be_matched() -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        pair_objects(REFERENCE, PREDICTED.T)
    with pytest.raises(ValueError, match="below 0"):
        pair_objects(REFERENCE, PREDICTED - 1)
    with pytest.raises(ValueError, match="whole numbers"):
        pair_objects(REFERENCE, PREDICTED * 0.5)
    with pytest.raises(ValueError, match=r"0\.5, 0\.55"):
        tally_objects(REFERENCE, PREDICTED).found(0.52)


masks = arrays(np.int32, (6, 8), elements=st.integers(0, 4))


@given(masks, masks)
def test_objects_agree_with_sets_of_pixels(a: np.ndarray, b: np.ndarray) -> None:
    tally = tally_objects(a, b)
    ours = [set(np.flatnonzero(a == n)) for n in np.unique(a[a > 0])]
    theirs = [set(np.flatnonzero(b == n)) for n in np.unique(b[b > 0])]
    ious = [[len(x & y) / len(x | y) for y in theirs] for x in ours]
    for threshold in THRESHOLDS:
        hits = sum(v > threshold + 1e-12 for row in ious for v in row)
        assert tally.found(threshold) == hits
    assert tally.hit_iou == pytest.approx(sum(v for row in ious for v in row if v > 0.5), abs=1e-12)
    seg = [max((len(x & y) / len(x | y) for y in theirs if 2 * len(x & y) > len(x)), default=0) for x in ours]
    assert tally.seg == pytest.approx(sum(seg), abs=1e-12)
    holds = [[2 * len(x & y) > len(x) for y in theirs] for x in ours]
    assert tally.held == sum(map(any, holds))
    assert tally.holders == sum(map(any, zip(*holds, strict=True)))

    def apart(wholes: list[set[int]], pieces: list[set[int]]) -> int:
        def is_piece(y: set[int], x: set[int]) -> bool:
            return 2 * len(x & y) > len(y) and 10 * len(x & y) >= len(x)

        return sum(sum(is_piece(y, x) for y in pieces) > 1 for x in wholes)

    assert (tally.splits, tally.merges) == (apart(ours, theirs), apart(theirs, ours))


@given(masks, masks, masks, masks)
def test_tallies_add_up(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> None:
    pooled = tally_objects(a, b) + tally_objects(c, d)
    apart = (np.concatenate([x, np.where(y > 0, y + 10, 0)]) for x, y in ((a, c), (b, d)))
    whole = tally_objects(*apart)
    assert pooled.hits.tolist() == whole.hits.tolist()
    assert (pooled.splits, pooled.merges) == (whole.splits, whole.merges)
    assert (pooled.held, pooled.holders) == (whole.held, whole.holders)
    assert pooled.panoptic_quality() == pytest.approx(whole.panoptic_quality(), abs=1e-12)


def blobs(seed: int, count: int = 40, side: int = 160) -> np.ndarray:
    """Discs of many sizes, later ones over earlier ones."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    out = np.zeros((side, side), np.int32)
    for number in range(1, count + 1):
        cy, cx, r = rng.uniform(0, side), rng.uniform(0, side), rng.uniform(4, 14)
        out[(y - cy) ** 2 + (x - cx) ** 2 < r * r] = number
    return out


def shaken(mask: np.ndarray, seed: int) -> np.ndarray:
    """The same objects, each moved a little, some gone."""
    rng = np.random.default_rng(seed)
    out = np.zeros_like(mask)
    for number in np.unique(mask[mask > 0]):
        if rng.random() > 0.15:
            moved = np.roll(mask == number, rng.integers(-3, 4, 2), (0, 1))
            out[moved] = number + 3
    return out


@pytest.mark.parametrize("seed", range(6))
def test_matching_agrees_with_stardist(seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a package that is imported for its matching alone
        from stardist.matching import matching
    a = blobs(seed)
    b = shaken(a, seed)
    tally = tally_objects(a, b)
    assert tally.found(0.5) > 5
    for threshold in THRESHOLDS:
        # A hit there is an IoU, of single precision, of at least the threshold; here one above it.
        told = matching(a, b, thresh=threshold + 1e-6)
        assert (tally.found(threshold), tally.reference, tally.predicted) == (
            told.tp,
            told.n_true,
            told.n_pred,
        )
        assert tally.precision(threshold) == pytest.approx(told.precision, abs=1e-9)
        assert tally.recall(threshold) == pytest.approx(told.recall, abs=1e-9)
        assert tally.f1(threshold) == pytest.approx(told.f1, abs=1e-9)
        assert tally.average_precision(threshold) == pytest.approx(told.accuracy, abs=1e-9)
    told = matching(a, b, thresh=0.5 + 1e-6)
    assert tally.panoptic_quality() == pytest.approx(told.panoptic_quality, abs=1e-6)
    assert tally.segmentation_quality() == pytest.approx(told.mean_matched_score, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_iou_of_pairs_agrees_with_pycocotools(seed: int) -> None:
    from pycocotools import mask as coco

    a = blobs(seed, 15, 96)
    b = shaken(a, seed)

    def encoded(mask: np.ndarray) -> list[dict[str, object]]:
        return [coco.encode(np.asfortranarray(mask == n, np.uint8)) for n in np.unique(mask[mask > 0])]

    told = coco.iou(encoded(b), encoded(a), [0] * len(np.unique(a[a > 0])))
    pairs = pair_objects(a, b)
    ours = np.zeros_like(told)
    ours[pairs.predicted, pairs.reference] = pairs.iou
    np.testing.assert_allclose(ours, told, atol=1e-12)


def test_the_bowls_score_is_the_mean_over_ten_thresholds() -> None:
    # One of two nuclei is found exactly, the other missed, one invented: 1 / 3 at every threshold.
    reference = np.array([[1, 1, 0, 2, 2, 0, 0]], np.int32)
    predicted = np.array([[1, 1, 0, 0, 0, 0, 2]], np.int32)
    assert data_science_bowl_score(tally_objects(reference, predicted)) == pytest.approx(1 / 3)
    assert data_science_bowl_score(tally_objects(reference, reference)) == 1
    assert data_science_bowl_score(tally_objects(reference * 0, predicted)) == 0
