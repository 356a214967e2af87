"""Measurements of objects: by hand, against scikit-image, and what holds of all of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.metrics import object_measures
from napari_unet.metrics.object_measures import intensity_names, measure_objects

EQUAL = (
    "area_px", "centroid_y_px", "centroid_x_px", "eccentricity", "solidity", "perimeter_px", "top_px",
    "left_px", "bottom_px", "right_px",
)  # fmt: skip
NAMES = {
    "area_px": "area", "centroid_y_px": "centroid-0", "centroid_x_px": "centroid-1",
    "perimeter_px": "perimeter_crofton", "top_px": "bbox-0", "left_px": "bbox-1", "bottom_px": "bbox-2",
    "right_px": "bbox-3",
}  # fmt: skip


def measured(objects: np.ndarray, **more: object) -> dict[str, np.ndarray]:
    return measure_objects(objects, (objects > 0).astype(np.uint8), **more).columns


def test_a_square_of_four_by_four_by_hand() -> None:
    objects = np.zeros((10, 12), np.int32)
    objects[2:6, 5:9] = 7
    image = np.zeros((10, 12, 2), np.uint16)
    image[..., 1] = np.arange(120).reshape(10, 12)
    found = measured(objects, image=image, spacing=(0.5, 0.5), unit="µm")
    one = {name: float(values[0]) for name, values in found.items()}
    assert (one["object"], one["label"], one["area_px"]) == (7, 1, 16)
    assert (one["centroid_y_px"], one["centroid_x_px"]) == (3.5, 6.5)
    assert (one["top_px"], one["left_px"], one["bottom_px"], one["right_px"]) == (2, 5, 6, 9)
    assert one["eccentricity"] == 0
    assert one["solidity"] == 1
    assert one["feret_diameter_px"] == pytest.approx(4 * math.sqrt(2))
    # Lines enter four rows, four columns, seven of each diagonal.
    assert one["perimeter_px"] == pytest.approx(math.pi / 4 * (4 + 4 + 14 / math.sqrt(2)))
    assert one["circularity"] == 1  # 1.017 of so few pixels
    assert one["area"] == 16 * 0.25
    assert one["perimeter"] == pytest.approx(one["perimeter_px"] / 2)
    assert one["feret_diameter"] == pytest.approx(2 * math.sqrt(2))
    assert (one["centroid_y"], one["centroid_x"]) == (1.75, 3.25)
    inside = image[2:6, 5:9, 1]
    assert one["intensity_sum_1"] == 0
    assert one["intensity_mean_2"] == 3.5 * 12 + 6.5
    assert (one["intensity_min_2"], one["intensity_max_2"]) == (2 * 12 + 5, 5 * 12 + 8)
    assert one["intensity_sum_2"] == inside.sum()


def test_a_line_and_a_pixel_by_hand() -> None:
    objects = np.zeros((5, 9), np.uint8)
    objects[1, 1:8] = 1
    objects[4, 8] = 2
    found = measured(objects)
    assert found["area_px"].tolist() == [7, 1]
    assert found["eccentricity"].tolist() == [1, 0]
    assert found["solidity"].tolist() == [1, 1]
    assert found["feret_diameter_px"] == pytest.approx([math.hypot(7, 1), math.sqrt(2)])
    assert "area" not in found


def test_an_l_has_less_than_its_hull() -> None:
    objects = np.zeros((4, 4), np.uint8)
    objects[:, 0] = objects[3, :] = 1
    # Of the hull (0, 0), (3, 0), (3, 3) with its pixels: ten centres.
    assert measured(objects)["solidity"].tolist() == [7 / 10]


def test_touching_objects_are_measured_each_alone() -> None:
    objects = np.zeros((6, 8), np.int32)
    objects[1:5, 0:4], objects[1:5, 4:8] = 1, 2
    found = measured(objects)
    alone = measured(np.where(objects == 2, 2, 0))
    for name, values in alone.items():
        assert values[0] == pytest.approx(found[name][1], nan_ok=True), name


def test_unequal_sides_of_pixels_count_in_shapes() -> None:
    objects = np.zeros((40, 50), np.uint8)
    objects[5:15, 10:30] = 1  # 10 by 20 pixels of 2 by 1: a square
    found = measured(objects, spacing=(2.0, 1.0), unit="µm")
    assert found["area"].tolist() == [400]
    assert found["eccentricity"][0] == pytest.approx(math.sqrt(1 - 33 / 33.25))
    assert found["feret_diameter"][0] == pytest.approx(20 * math.sqrt(2))
    assert found["feret_diameter_px"][0] == pytest.approx(math.hypot(10, 20))


def test_the_perimeter_of_a_large_disc_is_right_with_any_pixels() -> None:
    for sy, sx in ((1.0, 1.0), (0.5, 0.25), (1.0, 3.0)):
        y, x = np.mgrid[-70:71, -70:71]
        radius = 40 * min(sy, sx)
        disc = ((y * sy) ** 2 + (x * sx) ** 2 <= radius**2).astype(np.uint8)
        found = measured(disc, spacing=(sy, sx), unit="mm")
        assert found["perimeter"][0] == pytest.approx(2 * math.pi * radius, rel=0.03), (sy, sx)
        assert found["circularity"][0] > 0.95
        assert found["eccentricity"][0] < 0.15


def test_what_is_no_number_is_left_out() -> None:
    objects = np.array([[1, 1, 0, 2]], np.uint8)
    image = np.array([[3.0, np.nan, 5.0, np.inf]])[..., None]
    found = measured(objects, image=image)
    assert [found[name][0] for name in intensity_names(1)] == [3, 3, 3, 3]
    assert all(np.isnan(found[name][1]) for name in intensity_names(1))


def test_confidence_is_the_mean_probability_of_its_class() -> None:
    objects = np.array([[1, 1, 0, 2]], np.uint8)
    mask = np.array([[1, 1, 0, 2]], np.uint8)
    probabilities = np.zeros((1, 4, 2), np.float16)
    probabilities[0, :, 0] = 0.5, 1.0, 0.0, 0.25
    probabilities[0, :, 1] = 0.0, 0.0, 0.0, 0.75
    table = measure_objects(objects, mask, probabilities=probabilities)
    assert table.columns["confidence"].tolist() == [0.75, 0.75]
    assert table.columns["label"].tolist() == [1, 2]
    assert (table.row_of(2), table.row_of(3), table.row_of(0)) == (1, -1, -1)


def test_no_objects() -> None:
    table = measure_objects(np.zeros((3, 3), np.int32), np.zeros((3, 3), np.uint8), np.zeros((3, 3, 1)))
    assert len(table) == 0
    assert all(len(values) == 0 for values in table.columns.values())


@given(arrays(np.uint8, (9, 11), elements=st.integers(0, 3)))
@settings(max_examples=60, deadline=None)
def test_any_objects_have_the_measures_of_scikit_image(objects: np.ndarray) -> None:
    from skimage.measure import regionprops_table

    found = measured(objects)
    properties = ("label", "area", "centroid", "eccentricity", "perimeter_crofton", "bbox")
    truth = regionprops_table(objects, properties=properties)
    assert found["object"].tolist() == truth["label"].tolist()
    for name in EQUAL:
        if name != "solidity":
            # A rounded square root of a difference of almost equal numbers.
            wanted = pytest.approx(truth[NAMES.get(name, name)], rel=1e-9, abs=1e-7)
            assert found[name] == wanted, name
    assert np.all((found["solidity"] > 0) & (found["solidity"] <= 1))
    assert np.all((found["circularity"] > 0) & (found["circularity"] <= 1))
    # No shape of this area is shorter than the disc.
    assert np.all(found["feret_diameter_px"] >= np.sqrt(4 * found["area_px"] / math.pi))


def test_blobs_have_the_solidity_of_scikit_image() -> None:
    from scipy import ndimage
    from skimage.measure import regionprops_table

    noise = ndimage.gaussian_filter(np.random.default_rng(3).standard_normal((160, 160)), 2)
    objects, _ = ndimage.label(noise > 0.05)
    truth = regionprops_table(objects, properties=("solidity", "area_convex"))
    assert measured(objects)["solidity"] == pytest.approx(truth["solidity"], rel=1e-12)


@given(arrays(np.uint8, (12, 7), elements=st.integers(0, 2)), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_bands_change_nothing(objects: np.ndarray, rows: int) -> None:
    image = np.random.default_rng(1).integers(0, 99, (12, 7, 2))
    whole = measured(objects, image=image)
    before, object_measures.BAND = object_measures.BAND, 7 * rows
    try:
        banded = measured(objects, image=image)
    finally:
        object_measures.BAND = before
    for name, values in whole.items():
        assert banded[name] == pytest.approx(values, nan_ok=True), name
