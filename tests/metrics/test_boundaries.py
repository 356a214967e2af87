from __future__ import annotations

import numpy as np
import pytest

from napari_unet.metrics.boundaries import count_outlines, hausdorff, pixel_error

REFERENCE = np.array([[1, 1, 0, 0]], np.uint8)
PROBABLE = np.array([[0.9, 0.4, 0.6, 0.5]], np.float32)


def test_the_share_of_wrong_pixels_by_hand() -> None:
    # Above 0.5 are the first and third pixel: the second and third are wrong; 0.5 is not above 0.5.
    assert pixel_error(REFERENCE, PROBABLE) == pytest.approx(2 / 4)
    assert pixel_error(REFERENCE, PROBABLE, threshold=0.35) == pytest.approx(2 / 4)
    assert pixel_error(REFERENCE, PROBABLE, threshold=0.8) == pytest.approx(1 / 4)


def test_labels_are_compared_as_they_are() -> None:
    assert pixel_error(np.array([[3, 1, 0]]), np.array([[3, 2, 1]])) == pytest.approx(2 / 3)
    assert pixel_error(REFERENCE > 0, PROBABLE > 0.35) == pytest.approx(2 / 4)


def test_pixels_that_nobody_knows_do_not_count() -> None:
    weights = np.array([[1, 0, 1, 1]], np.float32)
    assert pixel_error(REFERENCE, PROBABLE, weights=weights) == pytest.approx(1 / 3)
    assert np.isnan(pixel_error(REFERENCE, PROBABLE, weights=weights * 0))


def test_it_is_the_mean_squared_difference_of_binary_images() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2, (2, 17, 23))
    assert pixel_error(a, b) == pytest.approx(((a - b) ** 2).mean())


def disc(side: int, y: float, x: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side]
    return (rows - y) ** 2 + (columns - x) ** 2 < radius**2


SQUARE = np.zeros((20, 20), bool)
SQUARE[5:10, 5:10] = True


def test_the_hausdorff_distance_by_hand() -> None:
    moved = np.roll(SQUARE, 3, axis=1)
    # The left column of the one is 3 columns from the left one of the other, all others are nearer.
    assert hausdorff(SQUARE, moved, 100) == 3
    speck = SQUARE.copy()
    speck[5, 19] = True
    # One outline point of 17 is 10 away from (5, 9); the 95th percentile lies below it, at 0.8 of the way.
    assert hausdorff(SQUARE, speck, 100) == 10
    assert hausdorff(SQUARE, speck) == pytest.approx(0.2 * 10)
    assert hausdorff(SQUARE, SQUARE) == 0
    assert hausdorff(SQUARE, SQUARE & False) == pytest.approx(np.hypot(20, 20))
    assert hausdorff(SQUARE & False, SQUARE & False) == 0


@pytest.mark.parametrize("seed", range(5))
def test_the_hausdorff_distance_agrees_with_scikit_image_and_with_all_distances(seed: int) -> None:
    from scipy.ndimage import binary_erosion
    from scipy.spatial.distance import cdist
    from skimage.metrics import hausdorff_distance

    rng = np.random.default_rng(seed)
    one, other = (disc(60, rng.uniform(10, 50), rng.uniform(10, 50), rng.uniform(4, 15)) for _ in range(2))
    other |= disc(60, rng.uniform(0, 60), rng.uniform(0, 60), 6)  # may reach the border
    edges = [mask & ~binary_erosion(mask) for mask in (one, other)]
    assert hausdorff(one, other, 100) == pytest.approx(hausdorff_distance(*edges), abs=1e-9)
    far = cdist(*(np.argwhere(edge) for edge in edges))
    expected = max(np.percentile(far.min(axis=0), 95), np.percentile(far.min(axis=1), 95))
    assert hausdorff(one, other) == pytest.approx(expected, abs=1e-9)


def test_boundary_iou_by_hand() -> None:
    # 2 % of the diagonal of 20 x 20 pixels is 0.57: bands of one pixel. The square has 16 in its band.
    moved = np.roll(SQUARE, 1, axis=1)
    counts = count_outlines(SQUARE, moved)
    # Shared: the upper and the lower row but for one pixel each, 8; all columns between differ.
    assert (counts.both[0], counts.union[0]) == (8, 24)
    assert counts.boundary_iou() == pytest.approx(1 / 3)
    assert counts.hausdorff_95 == 1
    assert count_outlines(SQUARE, SQUARE).boundary_iou() == 1


def test_outlines_by_the_empty_rules() -> None:
    nothing = np.zeros((20, 20), np.uint8)
    for rule, iou, distance in (("one", 1, 0), ("zero", 0, np.hypot(20, 20)), ("skip", np.nan, np.nan)):
        counts = count_outlines(nothing, nothing, empty=rule)  # type: ignore[arg-type]
        np.testing.assert_allclose([counts.boundary_iou(rule), counts.hausdorff_95], [iou, distance])  # type: ignore[arg-type]
    counts = count_outlines(nothing, SQUARE.astype(np.uint8))
    assert (counts.boundary_iou(), counts.hausdorff_95) == (0, pytest.approx(np.hypot(20, 20)))  # type: ignore[comparison-overlap]
    weights = np.where(SQUARE, 0, 1).astype(np.float32)
    assert count_outlines(nothing, SQUARE, weights=weights).boundary_iou() == 1
    with pytest.raises(ValueError, match="cannot be compared"):
        count_outlines(nothing, nothing[1:])


@pytest.mark.parametrize("side", [37, 150])
def test_boundary_iou_agrees_with_erosions_by_scipy(side: int) -> None:
    from scipy.ndimage import binary_erosion

    rng = np.random.default_rng(side)
    masks = np.zeros((2, side, side), np.uint8)
    for mask in masks:
        for label in (1, 2, 1):
            mask[disc(side, rng.uniform(0, side), rng.uniform(0, side), side / 4)] = label
    counts = count_outlines(masks[0], masks[1], 2)
    width = max(1, round(0.02 * np.hypot(side, side)))
    for label in (1, 2):
        bands = [(m == label) & ~binary_erosion(m == label, np.ones((3, 3)), iterations=width) for m in masks]
        assert counts.both[label - 1] == (bands[0] & bands[1]).sum()
        assert counts.union[label - 1] == (bands[0] | bands[1]).sum()
    pooled = counts + counts
    assert pooled.boundary_iou() == pytest.approx(counts.boundary_iou())
    assert np.isnan(pooled.hausdorff_95)
