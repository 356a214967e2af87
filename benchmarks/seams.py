"""How far tiles of an image in memory are from the network put on the whole image at once.

    python benchmarks/seams.py DATA --model nuclei

DATA is a data set with images of 256 x 256 pixels, such as that of the 2018 Data Science Bowl. A mosaic of
49 of them (--across 7) is segmented in tiles of several sizes and overlaps, and the largest difference in
probability is printed, farther from the image's border than the network sees, as tiles may reach beyond that.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from napari_unet.data.catalog import open_dataset
from napari_unet.engine.fast_import import import_keras
from napari_unet.inference.predict import predict_probabilities

SIDE, RIM = 256, 112


def mosaic(path: Path, channels: int, across: int) -> np.ndarray:
    """(Y, X, C) of the first images that fit."""
    found = []
    for sample in open_dataset(path).samples:
        image = sample.read_image()[..., :3]
        if image.shape[:2] == (SIDE, SIDE):
            found.append(np.broadcast_to(image, (SIDE, SIDE, 3)) if channels == 3 else image)
        if len(found) == across**2:
            rows = [np.concatenate(found[n : n + across], axis=1) for n in range(0, across**2, across)]
            return np.concatenate(rows)[: across * SIDE - 64, : across * SIDE - 64]
    raise SystemExit(f"{path} has fewer than {across**2} images of {SIDE} x {SIDE} pixels")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--tiles", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--overlaps", type=int, nargs="+", default=[64, 160])
    parser.add_argument("--across", type=int, default=7, help="images along each side of the mosaic")
    options = parser.parse_args()
    import_keras()
    from napari_unet.models.model import load_model

    model = load_model(options.model)
    image = model.normalization.prepare(mosaic(options.data, 3, options.across), "mosaic")
    settings = model.recipe.inference.model_copy(update={"flips": "none"})

    def answer(tile: int, overlap: int) -> np.ndarray:
        chosen = settings.model_copy(update={"tile": tile, "overlap": overlap})
        (found,) = predict_probabilities([image], model.probabilities, model.sizes, chosen)
        return found[RIM:-RIM, RIM:-RIM]

    whole = answer(max(image.shape), 0)
    print("tile  overlap  largest difference")
    for tile in options.tiles:
        for overlap in options.overlaps:
            print(f"{tile:4d}  {overlap:7d}  {np.abs(answer(tile, overlap) - whole).max():.1e}", flush=True)


if __name__ == "__main__":
    main()
