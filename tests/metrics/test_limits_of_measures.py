"""Measurements at their limits: nothing, one pixel, the border, large numbers, odd intensities."""

from __future__ import annotations

import csv
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.export.tables import write_measurements
from napari_unet.metrics import object_measures
from napari_unet.metrics.object_measures import ObjectTable, intensity_names, measure_objects, together
from napari_unet.metrics.object_words import objects_in_words

if TYPE_CHECKING:
    from pathlib import Path


def measured(objects: np.ndarray, **more: object) -> ObjectTable:
    return measure_objects(objects, (objects > 0).astype(np.uint8), **more)


def rows_of(table: ObjectTable, path: Path) -> list[dict[str, str]]:
    write_measurements(path, [("a", table, ("nucleus",))])
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("shape", [(0, 0), (0, 7), (5, 0), (5, 7)])
def test_no_objects_have_all_columns_and_no_rows(shape: tuple[int, int], tmp_path: Path) -> None:
    image = np.zeros((*shape, 3), np.uint16)
    table = measured(np.zeros(shape, np.int32), image=image, spacing=(0.5, 0.5), unit="µm")
    assert len(table) == 0
    assert set(intensity_names(3)) <= set(table.columns)
    assert "feret_diameter" in table.columns
    assert all(values.shape == (0,) for values in table.columns.values())
    assert rows_of(table, tmp_path / "a.csv") == []
    assert objects_in_words(table, ("nucleus",)) == "no objects"
    assert len(together([])) == 0
    one = measured(np.ones((2, 2), np.int32), spacing=(0.5, 0.5), unit="µm")
    assert together([table, one]).columns["area"].tolist() == [1]


def test_one_pixel_by_hand() -> None:
    objects = np.zeros((3, 4), np.uint8)
    objects[1, 2] = 1
    image = np.arange(12, dtype=np.int16).reshape(3, 4, 1) - 8
    table = measured(objects, image=image, spacing=(2.0, 0.5), unit="nm")
    found = {name: values[0] for name, values in table.columns.items()}
    assert (found["area_px"], found["area"]) == (1, 1)
    assert (found["centroid_y_px"], found["centroid_x_px"]) == (1, 2)
    assert (found["centroid_y"], found["centroid_x"]) == (2, 1)
    assert (found["top_px"], found["left_px"], found["bottom_px"], found["right_px"]) == (1, 2, 2, 3)
    assert found["solidity"] == 1
    assert found["feret_diameter_px"] == pytest.approx(math.sqrt(2))
    assert found["feret_diameter"] == pytest.approx(math.hypot(2, 0.5))
    # One line in each of four directions enters it.
    assert found["perimeter_px"] == pytest.approx(math.pi / 4 * (2 + math.sqrt(2)))
    # A point has no direction.
    assert found["eccentricity"] == 0
    assert [found[f"intensity_{name}"] for name in ("mean", "min", "max", "sum")] == [-2, -2, -2, -2]


def test_an_object_that_is_the_whole_image_by_hand() -> None:
    found = measured(np.ones((6, 8), np.uint8)).columns
    assert found["area_px"].tolist() == [48]
    assert [found[f"{side}_px"][0] for side in ("top", "left", "bottom", "right")] == [0, 0, 6, 8]
    assert found["solidity"].tolist() == [1]
    assert found["feret_diameter_px"][0] == 10
    # Six rows, eight columns, and thirteen of each diagonal.
    assert found["perimeter_px"][0] == pytest.approx(math.pi / 4 * (6 + 8 + 26 / math.sqrt(2)))


@pytest.mark.parametrize("turn", range(4))
def test_at_each_border_an_object_has_the_measures_that_it_has_inside(turn: int) -> None:
    shape = np.array([[1, 1, 1, 0], [1, 1, 1, 1], [1, 0, 1, 1]], np.uint8)
    at_border, inside = np.zeros((9, 9), np.uint8), np.zeros((9, 9), np.uint8)
    at_border[0:3, 0:4], inside[3:6, 3:7] = shape, shape
    one, other = (measured(np.rot90(m, turn)).columns for m in (at_border, inside))
    for name in ("area_px", "perimeter_px", "circularity", "feret_diameter_px", "eccentricity", "solidity"):
        assert one[name] == pytest.approx(other[name]), name


def test_numbers_beyond_sixteen_bits_are_told_apart() -> None:
    numbers = [65_535, 65_536, 65_537, 131_072]
    objects = np.repeat(np.array([numbers], np.int32), [1, 2, 3, 4], axis=1)
    table = measured(objects, image=objects[..., None].astype(np.float64))
    assert table.columns["object"].tolist() == numbers
    assert table.columns["area_px"].tolist() == [1, 2, 3, 4]
    assert table.columns["intensity_mean"].tolist() == numbers
    assert [table.row_of(number) for number in (*numbers, 0, 65_534)] == [0, 1, 2, 3, -1, -1]


def test_numbers_of_another_program_need_no_room() -> None:
    objects = np.array([[7, 7, 0, 2**40], [7, 0, 0, 2**40]], np.int64)
    table = measured(objects, image=np.arange(8).reshape(2, 4, 1))
    assert table.columns["object"].tolist() == [7, 2**40]
    assert table.columns["area_px"].tolist() == [3, 2]
    assert table.columns["intensity_sum"].tolist() == [0 + 1 + 4, 3 + 7]
    plain = measured(np.array([[1, 1, 0, 2], [1, 0, 0, 2]]), image=np.arange(8).reshape(2, 4, 1))
    for name, values in plain.columns.items():
        if name != "object":
            np.testing.assert_array_equal(table.columns[name], values, err_msg=name)


def test_more_objects_than_sixteen_bits_count(monkeypatch: pytest.MonkeyPatch) -> None:
    count = 2**16 + 200

    def no_hulls(self: object, *_: object) -> tuple[np.ndarray, ...]:
        return np.ones(count), np.ones(count), np.ones(count)

    monkeypatch.setattr(object_measures._Runs, "hulls", no_hulls)  # these go one by one
    objects = np.arange(1, count + 1, dtype=np.int32).reshape(8, -1)
    table = measured(objects, image=objects[..., None])
    assert len(table) == count
    assert np.array_equal(table.columns["intensity_mean"], np.arange(1, count + 1))
    assert table.columns["area_px"].max() == 1
    assert objects_in_words(table, ("nucleus",)) == "65,736 nuclei, median area 1 px"


def test_without_the_size_of_a_pixel_there_is_none_in_units(tmp_path: Path) -> None:
    table = measured(np.ones((2, 3), np.uint8))
    assert table.unit == ""
    assert not {"area", "perimeter", "feret_diameter", "centroid_y"} & set(table.columns)
    (row,) = rows_of(table, tmp_path / "a.csv")
    assert (row["area_px"], row["area"], row["unit"], row["feret_diameter"]) == ("6", "", "", "")
    with pytest.raises(ValueError, match="unit"):
        measured(np.ones((2, 3), np.uint8), spacing=(1.0, 1.0))


def test_intensities_that_are_no_numbers_stay_empty(tmp_path: Path) -> None:
    objects = np.array([[1, 1, 2, 2, 3]], np.uint8)
    image = np.zeros((1, 5, 2), np.float32)
    image[0, :, 0] = 1.5, np.nan, np.nan, np.inf, -np.inf
    table = measured(objects, image=image)
    assert [table.columns[f"intensity_{n}_1"][0] for n in ("mean", "min", "max", "sum")] == [1.5] * 4
    assert all(np.isnan(table.columns[f"intensity_{n}_1"][1:]).all() for n in ("mean", "min", "max", "sum"))
    assert table.columns["intensity_sum_2"].tolist() == [0, 0, 0]
    rows = rows_of(table, tmp_path / "a.csv")
    assert [row["intensity_mean_1"] for row in rows] == ["1.5", "", ""]
    assert [row["intensity_mean_2"] for row in rows] == ["0", "0", "0"]


def test_three_channels_of_sixteen_bits_by_hand(tmp_path: Path) -> None:
    objects = np.zeros((400, 400), np.int32)
    objects[:300, :300] = 1
    image = np.zeros((400, 400, 3), np.uint16)
    image[..., 0] = 65_535
    image[:150, :, 1] = 40_000
    image[0, 0, 2] = 1
    table = measured(objects, image=image)
    found = {name: float(table.columns[name][0]) for name in intensity_names(3)}
    assert table.channels == 3
    assert found["intensity_sum_1"] == 90_000 * 65_535  # more than 32 bits hold
    assert (found["intensity_mean_1"], found["intensity_min_1"]) == (65_535, 65_535)
    assert found["intensity_sum_2"] == 45_000 * 40_000
    assert (found["intensity_mean_2"], found["intensity_min_2"]) == (20_000, 0)
    assert found["intensity_mean_3"] == pytest.approx(1 / 90_000)
    (row,) = rows_of(table, tmp_path / "a.csv")
    assert row["intensity_sum_1"] == "5898150000"
