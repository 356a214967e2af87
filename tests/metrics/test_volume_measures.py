"""Measurements of objects of volumes, by hand and against the formulas of balls and boxes."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.metrics.volume_measures import DIRECTIONS, direction_weights, measure_volume_objects


def ball(radius: float, spacing: tuple[float, float, float]) -> np.ndarray:
    half = [int(np.ceil(radius / side)) + 2 for side in spacing]
    grid = np.meshgrid(
        *(np.arange(-n, n + 1) * side for n, side in zip(half, spacing, strict=True)), indexing="ij"
    )
    return (sum(axis**2 for axis in grid) <= radius**2).astype(np.int32)


def only(table: object, name: str) -> float:
    (value,) = table.columns[name]  # type: ignore[attr-defined]
    return float(value)


def test_boxes_and_centres_by_hand() -> None:
    objects = np.zeros((4, 5, 6), np.uint16)
    objects[1:3, 2:4, 1:5] = 7
    objects[0, 0, 0] = 2
    table = measure_volume_objects(objects, np.arange(8) % 5, (2.0, 0.5, 0.25), "µm")
    assert table.columns["object"].tolist() == [2, 7]
    assert table.columns["label"].tolist() == [2, 2]
    assert table.columns["volume_voxels"].tolist() == [1, 16]
    assert table.columns["volume"].tolist() == [0.25, 4.0]
    names = ("front", "top", "left", "back", "bottom", "right")
    assert [table.columns[name][1] for name in names] == [1, 2, 1, 3, 4, 5]
    assert [table.columns[f"centroid_{axis}_px"][1] for axis in "zyx"] == [1.5, 2.5, 2.5]
    assert [table.columns[f"centroid_{axis}"][1] for axis in "zyx"] == [3.0, 1.25, 0.625]
    assert table.unit == "µm"


def test_one_voxel_is_crossed_twice_by_a_line_in_each_direction() -> None:
    objects = np.zeros((3, 3, 3), np.int32)
    objects[1, 1, 1] = 1
    weights = direction_weights(1, 1, 1)
    lengths = [np.linalg.norm(step) for step in DIRECTIONS]
    by_hand = sum(2 * weight * 2 / length for weight, length in zip(weights, lengths, strict=True))
    assert only(measure_volume_objects(objects), "surface") == pytest.approx(by_hand)
    # So it is at the border of the volume: what is cut belongs to the surface.
    assert only(measure_volume_objects(objects[1:2, 1:2, 1:2]), "surface") == pytest.approx(by_hand)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.0, 1.0), (3.0, 0.5, 1.0)])
def test_a_ball_has_the_surface_of_a_ball(spacing: tuple[float, float, float]) -> None:
    table = measure_volume_objects(ball(18, spacing), None, spacing, "nm")
    assert only(table, "volume") == pytest.approx(4 / 3 * np.pi * 18**3, rel=0.02)
    assert only(table, "surface") == pytest.approx(4 * np.pi * 18**2, rel=0.02)
    assert only(table, "equivalent_diameter") == pytest.approx(36, rel=0.01)
    assert 0.96 < only(table, "sphericity") <= 1


def test_a_rod_is_less_of_a_ball() -> None:
    rod = np.ones((60, 6, 6), np.int32)
    table = measure_volume_objects(rod)
    faces = 2 * 36 + 4 * 360  # few of the 13 directions look straight at a face: it comes out smaller
    assert 0.85 * faces < only(table, "surface") < faces
    assert only(table, "sphericity") < 0.65


def test_objects_that_touch_share_a_border_that_counts_for_both() -> None:
    both = np.zeros((6, 6, 12), np.int32)
    both[:, :, :6], both[:, :, 6:] = 1, 2
    alone = measure_volume_objects((both == 1).astype(np.int32))
    together = measure_volume_objects(both)
    assert together.columns["surface"].tolist() == pytest.approx([only(alone, "surface")] * 2)


def test_weights_of_directions_are_shares_of_the_ball() -> None:
    weights = direction_weights(1, 1, 1)
    assert weights.sum() == pytest.approx(1)
    by_length: dict[int, set[float]] = {}
    for step, weight in zip(DIRECTIONS, weights, strict=True):
        by_length.setdefault(int(np.abs(step).sum()), set()).add(round(float(weight), 9))
    assert [len(found) for found in by_length.values()] == [1, 1, 1]
    thick = dict(zip(DIRECTIONS, direction_weights(10, 1, 1), strict=True))
    assert thick[(0, 0, 1)] > weights[DIRECTIONS.index((0, 0, 1))]


def test_a_volume_without_objects_has_an_empty_table() -> None:
    assert len(measure_volume_objects(np.zeros((2, 3, 4), np.int32))) == 0
