"""How large tiles may be, by numbers worked by hand."""

from __future__ import annotations

from napari_unet.inference.budget import ALWAYS, GIGABYTE, TileCost, batch_for, fit
from napari_unet.networks.sizes import InputSizes

SIZES = InputSizes(multiple=16, minimum=16)


class Held:
    """Of a tile one number a pixel, of its part three."""

    def held_values(self, tile: tuple[int, int], part: tuple[int, int]) -> int:
        return tile[0] * tile[1] + 3 * part[0] * part[1]


def cost_of_parts(**options: tuple[int, int]) -> TileCost:
    # 4 bytes a number; 24 a pixel beside, for one channel and one output.
    return TileCost.of(None, SIZES, 4, 1, 1, Held(), 64, 1.0, **options)


def gigabytes(room: float) -> float:
    return (room + ALWAYS) / GIGABYTE


def test_the_halo_counts_along_the_axes_that_are_cut() -> None:
    square, strip = cost_of_parts(), cost_of_parts(whole=(320, 100_000))
    assert square.bytes((1024, 1024)) == 4 * (1024**2 + 3 * 896**2) + 24 * 1024**2 == 38_993_920
    assert strip.bytes((320, 1024)) == 4 * (320 * 1024 + 3 * 320 * 896) + 24 * 320 * 1024 == 12_615_680
    assert cost_of_parts(whole=(320, 1024)).bytes((320, 1024)) == 4 * 4 * 320 * 1024 + 24 * 320 * 1024
    assert square.bytes((96, 96)) == 4 * (96**2 + 3 * 16**2) + 24 * 96**2  # a part has a step at least


def test_tiles_of_a_strip_are_longer_in_the_same_memory() -> None:
    memory = gigabytes(38_993_920)
    assert fit(cost_of_parts(), SIZES, memory).tile == 1024
    # 12,800 n - 491,520 bytes for 320 x n pixels: up to n = 3084.
    strip = cost_of_parts(whole=(320, 100_000))
    assert fit(strip, SIZES, memory).tile == 3072
    assert strip.shape(3072) == (320, 3072)
    assert strip.bytes((320, 3072)) == 38_830_080
    assert fit(cost_of_parts(whole=(100_000, 320)), SIZES, memory).tile == 3072
    assert fit(cost_of_parts(whole=(5000, 100_000)), SIZES, memory).tile == 1024


def test_batches_by_pixels_of_the_tiles_as_they_are() -> None:
    cost = TileCost(lambda tile: 100.0 * tile[0] * tile[1], 0.0, (64, 10_000))
    memory = gigabytes(100 * 64 * 512 * 5)
    assert batch_for(cost, (64, 512), memory) == 4  # five fit; 2 ** 17 pixels are four, too
    assert batch_for(cost, (64, 512), memory, 2**16) == 2
    assert batch_for(cost, (64, 512), memory, flips=2) == 2
    assert batch_for(cost, (64, 512), memory, 2**20) == 4
    found = fit(cost, SIZES, memory)
    assert (found.tile, found.batch) == (2560, 1)  # five times as long
