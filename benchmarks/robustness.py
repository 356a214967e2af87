"""IoU of a built-in model on its held-out images, changed: scale, light, contrast, blur, bits, noise.

    python benchmarks/robustness.py nuclei --data DSB2018
    python benchmarks/robustness.py nerve-and-vessel --data USGRA_SEG

Masks are scaled with the image. Noise is Gaussian, in deviations of the image.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.cli.shared.running import start_backend
from napari_unet.data.catalog import open_dataset
from napari_unet.data.dataset import ArrayCache
from napari_unet.data.sample import ReferenceMask
from napari_unet.models.normalization import resize
from score_shipped import evaluate, held_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import Sample


def _shape(values: NDArray[Any], factor: float) -> tuple[int, int]:
    return max(1, round(values.shape[0] * factor)), max(1, round(values.shape[1] * factor))


def _noisy(image: NDArray[Any], amount: float) -> NDArray[np.float32]:
    values = image[..., :3].astype(np.float32)
    noise = np.random.default_rng(0).standard_normal(values.shape, dtype=np.float32)
    return values + amount * max(float(values.std()), 1.0) * noise


def _uneven(image: NDArray[Any]) -> NDArray[np.float32]:
    """Brighter to the right, as a lamp makes it, on a background that rises downward."""
    values = image[..., :3].astype(np.float32)
    across = np.linspace(0.4, 1.6, values.shape[1], dtype=np.float32)[None, :, None]
    down = np.linspace(0, 1, values.shape[0], dtype=np.float32)[:, None, None]
    return values * across + 0.3 * float(np.ptp(values)) * down


def _blurred(image: NDArray[Any]) -> NDArray[np.float32]:
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(image[..., :3].astype(np.float32), (2, 2, 0)))


def _dim(image: NDArray[Any]) -> NDArray[np.uint16]:
    """Few counts on a 16-bit camera, with the noise of counting."""
    values = 300 + np.random.default_rng(0).poisson(image[..., :3].astype(np.float64) / 8 + 4)
    return values.astype(np.uint16)


CHANGES: dict[str, tuple[float, Callable[[NDArray[Any]], NDArray[Any]]]] = {
    "as it is": (1.0, lambda x: x),
    "scale 0.25": (0.25, lambda x: resize(x, _shape(x, 0.25))),
    "scale 0.5": (0.5, lambda x: resize(x, _shape(x, 0.5))),
    "scale 0.75": (0.75, lambda x: resize(x, _shape(x, 0.75))),
    "scale 1.5": (1.5, lambda x: resize(x, _shape(x, 1.5))),
    "scale 2": (2.0, lambda x: resize(x, _shape(x, 2.0))),
    "scale 4": (4.0, lambda x: resize(x, _shape(x, 4.0))),
    "uneven light": (1.0, _uneven),
    "blurred by 2 pixels": (1.0, _blurred),
    "dim, 16 bits": (1.0, _dim),
    "a quarter of the contrast": (1.0, lambda x: (96 + x[..., :3] / 4).astype(np.uint8)),
    "gamma 0.5": (1.0, lambda x: (255 * (x[..., :3] / 255) ** 0.5).astype(np.uint8)),
    "gamma 2": (1.0, lambda x: (255 * (x[..., :3] / 255) ** 2).astype(np.uint8)),
    "inverted": (1.0, lambda x: 255 - x[..., :3]),
    "16 bits, 300 to 4380": (1.0, lambda x: x[..., :3].astype(np.uint16) * 16 + 300),
    "grey, one channel": (1.0, lambda x: x[..., :3].mean(axis=2, keepdims=True).astype(np.uint8)),
    "noise 0.25": (1.0, lambda x: _noisy(x, 0.25)),
    "noise 0.5": (1.0, lambda x: _noisy(x, 0.5)),
}


def changed(dataset: Dataset, factor: float, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Dataset:
    """A data set whose images are changed, and its masks scaled along."""

    def of(sample: Sample) -> Sample:
        def mask() -> ReferenceMask:
            whole = sample.read_mask()
            shape = _shape(whole.labels, factor)
            objects = None
            if whole.objects is not None:
                import cv2

                nearest = cv2.INTER_NEAREST_EXACT
                objects = np.asarray(cv2.resize(whole.objects, shape[::-1], interpolation=nearest))
            labels = resize(whole.labels[..., None], shape, nearest=True)[..., 0]
            return ReferenceMask(labels, objects)

        return replace(sample, load_image=lambda: change(sample.read_image()), load_mask=mask)

    samples = tuple(map(of, dataset.samples))
    return replace(dataset, samples=samples, find_groups=None, cache=ArrayCache(0))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--every", type=int, default=1, help="take one held-out image in so many")
    options = parser.parse_args()
    start_backend()
    from napari_unet.models.model import Model

    model = Model.load(options.model)
    every = held_out(model, open_dataset(options.data))
    dataset = every.subset([s.id for s in every.samples[:: options.every]])
    settings = model.recipe.inference.model_copy(update={"flips": "none"})
    print(f"{options.model}, {len(dataset)} held-out images, without flips\n")
    print("| images | IoU | Dice | F1 of objects at 0.5 |\n| --- | --- | --- | --- |")
    for name, (factor, change) in CHANGES.items():
        scores = evaluate(model, changed(dataset, factor, change), settings).scores
        cells = []
        for key in ("iou", "dice", "f1_50"):
            known = [s.values[key] for s in scores if key in s.values]
            cells.append(f"{np.mean(known):.3f}" if known else "-")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
