"""How well copies of an image are known again, and how seldom two different ones are taken for copies.

    python benchmarks/near_duplicates.py DATA [DATA ...]

For each data set: how many pairs of different images are taken for near-duplicates, of how many; how many
changed copies (half as large, 1.7 times as large, JPEG of quality 75 and 30, brighter by a fifth, darker,
gamma 0.8, a quarter turn) of up to 200 images are missed; and the time per image.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from napari_unet.data.catalog import open_dataset
from napari_unet.data.inspection.resemblance import HASH, Fingerprints, fingerprint, near_duplicates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

COPIED = 200


def copies(image: NDArray[np.uint8]) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """(Y, X, C) uint8 changed in ways that leave the picture the same."""

    def jpeg(quality: int) -> NDArray[np.uint8]:
        _, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return np.asarray(cv2.imdecode(coded, cv2.IMREAD_UNCHANGED), np.uint8)

    yield "half", np.asarray(cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    yield "x 1.7", np.asarray(cv2.resize(image, None, fx=1.7, fy=1.7, interpolation=cv2.INTER_CUBIC))
    yield "JPEG 75", jpeg(75)
    yield "JPEG 30", jpeg(30)
    yield "brighter", np.clip(image * 1.2 + 10, 0, 255).astype(np.uint8)
    yield "darker", (image * 0.6).astype(np.uint8)
    yield "gamma 0.8", (255 * (image / 255) ** 0.8).astype(np.uint8)
    yield "turned", np.rot90(image).copy()


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="+")
    print("| data | images | flat | pairs taken for copies | copies missed | ms an image |")
    print("| --- | --- | --- | --- | --- | --- |")
    for path in parser.parse_args().data:
        dataset = open_dataset(path)
        samples = [*dataset.samples, *dataset.unlabelled]
        prints, seconds = {}, 0.0
        for sample in samples:
            image = sample.read_image()
            start = time.perf_counter()
            prints[sample.id] = fingerprint(image)
            seconds += time.perf_counter() - start
        pairs = [p for p in near_duplicates(prints) if prints[p.one][HASH:]]
        equal = sum(p.exact for p in pairs)
        known = Fingerprints(prints)
        missed: dict[str, int] = {}
        tried = 0
        with_signature = [s for s in samples if prints[s.id][HASH:]]
        for sample in with_signature[:: max(1, len(with_signature) // COPIED)]:
            image = sample.read_image()
            tried += 1
            shown = image if image.shape[2] in (1, 3) else image[..., :3]
            for kind, copy in copies(np.ascontiguousarray(shown, np.uint8)):
                found = known.copies(fingerprint(copy))
                missed[kind] = missed.get(kind, 0) + (sample.id not in found[0] + found[1])
        flat = sum(not text[HASH:] for text in prints.values())
        texts = ", ".join(f"{kind} {number}" for kind, number in missed.items() if number) or "none"
        possible = len(samples) * (len(samples) - 1) // 2
        print(
            f"| {dataset.name} | {len(samples)} | {flat} | {len(pairs)} ({equal} equal) of {possible:,} | "
            f"{texts}, of {tried} each | {1000 * seconds / max(len(samples), 1):.2f} |"
        )


if __name__ == "__main__":
    main()
