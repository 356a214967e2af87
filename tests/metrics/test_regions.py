from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from napari_unet.metrics.regions import compare_partitions, count_regions
from napari_unet.metrics.topology import membranes_around, simple_codes, thin, warp

# Two cells of 9 x 9 pixels with a membrane, one pixel wide, between and around them.
TWO = np.zeros((11, 21), np.uint8)
TWO[1:10, 1:10] = TWO[1:10, 11:20] = 1


def pieces(interior: np.ndarray) -> tuple[int, int]:
    """How many cells, over edges, and how many pieces of membrane, over corners and around the image."""
    around = np.pad(interior, 1)
    return ndimage.label(around)[1], ndimage.label(~around, np.ones((3, 3)))[1]


def test_the_same_cells_agree() -> None:
    counts = count_regions(TWO, TWO)
    for partition in (counts.plain, counts.thinned):
        assert (partition.v_rand, partition.v_info, partition.variation_of_information) == (1, 1, 0)
    assert (counts.warping_error, counts.splits, counts.merges, counts.holes) == (0, 0, 0, 0)


def test_a_gap_merges_two_cells() -> None:
    gap = TWO.copy()
    gap[5, 10] = 1
    counts = count_regions(TWO, gap)
    assert (counts.warped_wrong, counts.splits, counts.merges, counts.holes) == (1, 0, 1, 0)
    assert counts.warping_error == pytest.approx(1 / (11 * 21))
    # Two cells of 81 pixels in one region of 162: 2 81^2 / (mean of 2 81^2 and 162^2) = 2 / 3.
    assert counts.thinned.v_rand == counts.plain.v_rand == pytest.approx(2 / 3)
    assert counts.thinned.v_rand_split == 1
    assert counts.thinned.v_rand_merge == pytest.approx(1 / 2)
    # The region tells nothing about which of the two cells a pixel is in.
    assert counts.thinned.v_info == 0
    assert counts.thinned.variation_of_information == pytest.approx(1)


def test_a_line_splits_a_cell() -> None:
    line = TWO.copy()
    line[5, 1:10] = 0
    counts = count_regions(TWO, line)
    # The reference takes over all of the line but for the one pixel that would part the cell.
    assert (counts.warped_wrong, counts.splits, counts.merges, counts.holes) == (1, 1, 0, 0)
    # One cell of 81 in pieces of 36, 36 and 9 of one pixel, the other whole.
    pairs = 36**2 + 36**2 + 9 + 81**2
    assert counts.plain.v_rand == pytest.approx(2 * pairs / (2 * 81**2 + pairs))
    assert counts.plain.v_rand_merge == 1


def test_holes_and_cells_that_come_and_go() -> None:
    hole = TWO.copy()
    hole[5, 5] = 0
    counts = count_regions(TWO, hole)
    assert (counts.warped_wrong, counts.splits, counts.merges, counts.holes) == (1, 0, 0, 1)
    gone = TWO.copy()
    gone[:, 10:] = 0
    counts = count_regions(TWO, gone)
    assert (counts.warped_wrong, counts.splits, counts.merges, counts.holes) == (1, 0, 0, 1)


def test_a_membrane_that_lies_elsewhere_is_no_error_of_topology() -> None:
    moved = TWO.copy()
    moved[1:10, 10], moved[1:10, 11] = 1, 0
    counts = count_regions(TWO, moved)
    assert counts.warped_wrong == 0
    assert counts.plain.v_rand < 1
    wide = TWO.copy()
    wide[1:10, 8:13] = 0
    counts = count_regions(TWO, wide)
    assert counts.warped_wrong == 0
    # Thinned, the line through the middle of the wide membrane is the reference's own.
    assert counts.thinned.v_rand == 1 > counts.plain.v_rand


def test_pixels_that_nobody_knows_do_not_count() -> None:
    gap = TWO.copy()
    gap[5, 10] = 1
    weights = np.ones(TWO.shape, np.float32)
    weights[5, 10] = 0
    counts = count_regions(TWO, gap, weights)
    assert (counts.warped_wrong, counts.merges, counts.pixels) == (0, 0, 11 * 21 - 1)
    nothing = count_regions(TWO, gap, weights * 0)
    assert np.isnan([nothing.warping_error, nothing.plain.v_rand, nothing.plain.v_info]).all()
    with pytest.raises(ValueError, match="cannot be compared"):
        count_regions(TWO, gap.T)


def cells(seed: int, shape: tuple[int, int] = (90, 110), count: int = 30) -> np.ndarray:
    """Regions around random points, numbered from 1, 0 on the lines between."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 1, (count, 2)) * shape
    y, x = np.mgrid[: shape[0], : shape[1]]
    distances = np.hypot(y[..., None] - points[:, 0], x[..., None] - points[:, 1])
    nearest = np.sort(distances, axis=2)
    return np.where(nearest[..., 1] - nearest[..., 0] < 2, 0, distances.argmin(axis=2) + 1)


@pytest.mark.parametrize("seed", range(5))
def test_rand_scores_agree_with_scikit_image(seed: int) -> None:
    from skimage.metrics import adapted_rand_error

    reference, predicted = cells(seed), cells(seed, count=24)
    counts = compare_partitions(reference, predicted)
    # Membrane inside a cell is a region a pixel here, one region there.
    told = predicted.copy()
    told[predicted == 0] = 1000 + np.arange((predicted == 0).sum())
    # What it calls precision is over the pairs of the reference, and recall over those of the prediction.
    error, split, merge = adapted_rand_error(reference, told, ignore_labels=(0,))
    # It leaves out the pair of a pixel with itself, which the challenge's formula counts.
    n = counts.pixels
    assert 1 - error == pytest.approx(
        2 * (counts.pairs - n) / (counts.reference + counts.predicted - 2 * n), abs=1e-9
    )
    assert merge == pytest.approx((counts.pairs - n) / (counts.predicted - n), abs=1e-9)
    assert split == pytest.approx((counts.pairs - n) / (counts.reference - n), abs=1e-9)
    assert counts.v_rand == pytest.approx(1 - error, abs=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_information_agrees_with_scikit_image_and_scikit_learn(seed: int) -> None:
    from skimage.metrics import variation_of_information
    from sklearn.metrics import v_measure_score

    reference, predicted = cells(seed), cells(seed, count=24)
    counts = compare_partitions(reference, predicted)
    inside = reference > 0
    told = predicted.copy()
    told[predicted == 0] = 1000 + np.arange((predicted == 0).sum())
    parts = variation_of_information(reference[inside], told[inside])
    assert counts.variation_of_information == pytest.approx(sum(parts), abs=1e-9)
    # The V-measure is the harmonic mean of I / H(S) and I / H(T): the information F-score.
    assert counts.v_info == pytest.approx(v_measure_score(reference[inside], told[inside]), abs=1e-9)


def test_pooling_is_comparing_one_large_image() -> None:
    one = [cells(s) for s in (1, 2)]
    other = [cells(s, count=24) for s in (1, 2)]
    pooled = compare_partitions(one[0], other[0]) + compare_partitions(one[1], other[1])
    apart = [np.concatenate([a, np.where(b > 0, b + 50, 0)]) for a, b in (one, other)]
    whole = compare_partitions(*apart)
    assert pooled.v_rand == pytest.approx(whole.v_rand, abs=1e-12)
    assert pooled.v_info == pytest.approx(whole.v_info, abs=1e-12)


def test_which_pixels_are_simple() -> None:
    simple = simple_codes()
    assert not simple[0]  # alone in a cell
    assert not simple[255]  # alone in a membrane
    assert simple[0b00000010]  # the end of a line
    assert not simple[0b00100010]  # in a line that parts left from right
    assert simple[0b00000111]  # on the edge of a membrane
    assert not simple[0b01000100]  # in a diagonal line
    assert simple.sum() == 116  # of 256, as known for these connectivities


pictures = arrays(np.bool_, (9, 11))


@given(pictures)
def test_thinning_keeps_what_hangs_together_and_leaves_lines(membranes: np.ndarray) -> None:
    line = thin(membranes)
    assert not (line & ~membranes).any()
    assert pieces(~line) == pieces(~membranes)
    left = simple_codes()[membranes_around(line)] & line
    neighbours = np.array([code.bit_count() for code in range(256)])[membranes_around(line)]
    assert not (left & (neighbours > 1)).any()


@given(pictures, pictures)
def test_warping_keeps_what_hangs_together_and_only_comes_nearer(one: np.ndarray, other: np.ndarray) -> None:
    warped = warp(one, other)
    assert pieces(warped) == pieces(one)
    assert not ((warped != other) & (one == other)).any()
    stuck = warped != other
    assert not (stuck & simple_codes()[membranes_around(~warped)]).any()


@given(pictures, st.integers(0, 2**20))
def test_two_cells_of_the_same_topology_warp_into_each_other(picture: np.ndarray, seed: int) -> None:
    # From a picture, simple points are changed at random; warping finds most of the way back.
    rng = np.random.default_rng(seed)
    changed = picture.copy()
    for _ in range(10):
        places = np.argwhere(simple_codes()[membranes_around(~changed)])
        if len(places):
            y, x = places[rng.integers(len(places))]
            changed[y, x] ^= True
    assert (warp(picture, changed) != changed).sum() <= 2
