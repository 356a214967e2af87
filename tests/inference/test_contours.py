"""Watershed contours: a gap in a membrane is closed, and nothing else is drawn."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.inference.shapes.contours import choose_weight, refine, watershed_contours
from napari_unet.metrics.regions import regions_of


def two_cells(gap: int = 4) -> np.ndarray:
    """Two cells parted by a membrane along column 20, which fades over `gap` rows in the middle."""
    cells = np.full((32, 41), 0.95, np.float32)
    cells[:, 19:22] = 0.1
    cells[16 - gap // 2 : 16 + gap // 2, 19:22] = 0.7
    return cells


def test_a_gap_is_closed_and_cells_stay_whole() -> None:
    cells = two_cells()
    assert regions_of(cells > 0.5).max() == 1
    lines = watershed_contours(cells)
    assert regions_of(~lines).max() == 2
    assert set(np.flatnonzero(lines.any(axis=0))) <= {19, 20, 21}
    closed = refine(cells, 0.5)
    assert regions_of(closed > 0.5).max() == 2
    # Off the lines 0.5 * 0.95 + 0.5, on them half of what it was.
    assert closed[0, 0] == pytest.approx(0.975)
    row, column = np.argwhere(lines)[0]
    assert closed[row, column] == pytest.approx(0.5 * cells[row, column])


def test_nothing_is_drawn_where_nothing_parts() -> None:
    rng = np.random.default_rng(0)
    flat = (0.9 + 0.02 * rng.standard_normal((30, 40))).astype(np.float32).clip(0, 1)
    assert not watershed_contours(flat).any()
    assert refine(flat, 0.0) is flat
    assert not watershed_contours(np.zeros((3, 4), np.float32)).any()
    assert not watershed_contours(np.ones((1, 1), np.float32)).any()


def test_of_equal_weights_the_smallest_is_chosen() -> None:
    error = {
        (0.0, 0.5): 0.3,
        (0.0, 0.4): 0.2,
        (0.2, 0.5): 0.1,
        (0.2, 0.4): 0.1,
        (0.4, 0.5): 0.1,
        (0.4, 0.4): 0.9,
    }
    chosen = choose_weight(lambda w, t: error[w, t], (0.0, 0.2, 0.4), (0.5, 0.4))
    assert chosen == (0.2, 0.5, 0.1)
    assert choose_weight(lambda w, t: 0.5, (0.0, 0.2), (0.5,)) == (0.0, 0.5, 0.5)
