"""How long 18,000 masks of 101 x 101 pixels take to decode from run lengths and to encode.

Run: python benchmarks/run_lengths.py [COUNT]
"""

from __future__ import annotations

import sys
import time

import numpy as np

from napari_unet.data.masks.run_length import decode_run_lengths, encode_run_lengths

SIZE = 101
LIMIT_SECONDS = 1.0


def make_masks(count: int, seed: int = 0) -> np.ndarray:
    """Masks like salt bodies: two fifths empty, the others below a wavy edge or an ellipse.

    Returns
    -------
    numpy.ndarray
        (count, 101, 101) bool.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    masks = np.zeros((count, SIZE, SIZE), bool)
    for index in np.flatnonzero(rng.random(count) > 0.4):
        a, b, c, d, e = rng.random(5)
        if index % 2:
            masks[index] = y > a + 0.2 * np.sin(2 * np.pi * (4 * b * x + c)) * d
        else:
            masks[index] = ((y - a) / (0.1 + d / 2)) ** 2 + ((x - b) / (0.1 + e / 2)) ** 2 < 1
    return masks


def main() -> int:
    """Print a table; exit code 1 where a limit is missed."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 18_000
    masks = make_masks(count)
    start = time.perf_counter()
    texts = [encode_run_lengths(mask) for mask in masks]
    encoding = time.perf_counter() - start
    start = time.perf_counter()
    decoded = [decode_run_lengths(text, (SIZE, SIZE)) for text in texts]
    decoding = time.perf_counter() - start
    if not all(np.array_equal(a, b) for a, b in zip(masks, decoded, strict=True)):
        print("decoded masks differ from the encoded ones")
        return 1
    runs = sum(len(text.split()) // 2 for text in texts)
    print(f"{count:,} masks of {SIZE} x {SIZE}, {runs:,} runs, {sum(not t for t in texts):,} empty")
    print(f"{'':8} {'seconds':>8} {'masks/s':>10}   limit {LIMIT_SECONDS} s for 18,000")
    for name, seconds in (("encode", encoding), ("decode", decoding)):
        print(f"{name:8} {seconds:8.3f} {count / seconds:10,.0f}")
    return int(max(encoding, decoding) * 18_000 / count > LIMIT_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
