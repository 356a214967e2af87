from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_unet.data.mosaic import find_seams, mosaic_groups
from napari_unet.data.sample import Sample

SIDE = 48


def section(seed: int, rows: int, columns: int) -> list[np.ndarray]:
    """Tiles of a smooth random picture, row by row."""
    rng = np.random.default_rng(seed)
    picture = ndimage.gaussian_filter(rng.standard_normal((rows * SIDE, columns * SIDE)), 1.6)
    picture = np.clip(128 + 60 * picture / picture.std(), 0, 255).astype(np.uint8)
    return [
        picture[r * SIDE : (r + 1) * SIDE, c * SIDE : (c + 1) * SIDE]
        for r in range(rows)
        for c in range(columns)
    ]


def samples(tiles: list[np.ndarray]) -> list[Sample]:
    return [Sample(str(n), lambda tile=tile: tile[..., None]) for n, tile in enumerate(tiles)]  # type: ignore[misc]


def test_sections_are_put_together_again() -> None:
    tiles = [t for seed in range(12) for t in section(seed, 2, 3)]
    order = np.random.default_rng(0).permutation(len(tiles))
    groups = mosaic_groups(samples([tiles[i] for i in order]))
    found: dict[str, set[int]] = {}
    for place, group in zip(order, groups, strict=True):
        found.setdefault(group, set()).add(int(place) // 6)
    assert all(len(sections) == 1 for sections in found.values())  # none is mixed up
    assert len(found) <= 14  # and next to none falls apart


def test_seams_say_which_tile_is_left_and_upper() -> None:
    tiles = np.stack([t for seed in range(4) for t in section(seed, 2, 2)])
    across = {(s.first, s.second) for s in find_seams(tiles) if s.across}
    down = {(s.first, s.second) for s in find_seams(tiles) if not s.across}
    assert across == {(4 * n + a, 4 * n + a + 1) for n in range(4) for a in (0, 2)}
    assert down == {(4 * n + a, 4 * n + a + 2) for n in range(4) for a in (0, 1)}


def test_strangers_and_black_tiles_stay_alone_and_copies_together() -> None:
    tiles = [section(seed, 1, 1)[0] for seed in range(30)]
    tiles += [np.zeros((SIDE, SIDE), np.uint8)] * 3 + [tiles[7]]
    groups = mosaic_groups(samples(tiles))
    assert groups[33] == groups[7] == "mosaic 7"
    assert len(set(groups)) == 33


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_tiles_to_compare(count: int) -> None:
    assert mosaic_groups(samples([section(s, 1, 1)[0] for s in range(count)])) == [
        f"mosaic {n}" for n in range(count)
    ]
