"""Made-up models of volumes, of which every answer is known.

Run as a script it writes them where a process may not load TensorFlow: those of the window.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_unet.models.model import Model
    from napari_unet.settings import Dimensions, Separation

SHAPE = (14, 37, 45)  # of smooth noise


def thresholding(path: Path, dimensions: str, behind: int = 0, axis: int = 0) -> Path:
    """A model that calls a voxel foreground if it is bright, or if the one `behind` it is: 1 or 0 slices.

    In three dimensions behind may also be along Y or X, by `axis`.
    """
    from napari_unet.models.model import Model, save_model
    from napari_unet.models.normalization import Normalization
    from napari_unet.networks.registry import build_network
    from napari_unet.settings import InferenceSettings, NetworkSettings, Recipe

    slices = 3 if dimensions == "2.5d" else 0
    channels = slices or 1
    settings = NetworkSettings(
        filters=2, depth=1, normalization="none", block="plain", dimensions=dimensions, slices=slices,
        input_channels=channels,
    )  # fmt: skip
    network = build_network(settings, 0)
    for layer in network.layers:
        layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])

    def passes(name: str, channel: int = 0, behind: int = 0) -> None:
        """The first filter gives on one channel of the voxel itself, or of one behind it."""
        kernel, bias = network.get_layer(name).get_weights()
        place = [n // 2 for n in kernel.shape[:-2]]
        place[axis] -= behind
        kernel[(*place, channel, 0)] = 1
        network.get_layer(name).set_weights([kernel, bias])

    if dimensions == "3d":
        passes("down0_conv1", behind=behind)
    else:
        passes("down0_conv1", channels // 2 - behind)
    for name in ("down0_conv2", "decode0_conv1", "decode0_conv2", "logits"):
        passes(name)
    kernel, bias = network.get_layer("logits").get_weights()
    network.get_layer("logits").set_weights([kernel * 100, bias - 10])
    recipe = Recipe(network=settings, inference=InferenceSettings(flips="none"))
    normalization = Normalization(channels=channels, intensities="range")
    return save_model(Model(recipe, normalization, ("cells",), network), path)


def rods(slices: int = 6) -> np.ndarray:
    """(Z, 8, 10) bool: two rods through slices; one of them has a gap of two slices in the middle."""
    bright = np.zeros((slices, 8, 10), bool)
    bright[:, 1:3, 1:4] = True
    bright[:, 5:7, 6:9] = True
    bright[slices // 2 - 1 : slices // 2 + 1, 5:7, 6:9] = False
    return bright


def smooth() -> np.ndarray:
    """(Z, Y, X) uint8."""
    from scipy import ndimage

    noise = ndimage.gaussian_filter(np.random.default_rng(1).standard_normal(SHAPE), (1, 2, 2))
    return np.asarray(np.rint((noise - noise.min()) / np.ptp(noise) * 255), np.uint8)


def made_model(dimensions: Dimensions, separation: Separation = "none", scale: float = 1.0) -> Model:
    """A network of random weights of which about half of the voxels are foreground."""
    from napari_unet.models.model import Model
    from napari_unet.models.normalization import Normalization
    from napari_unet.networks.registry import build_network
    from napari_unet.settings import InferenceSettings, NetworkSettings, Recipe

    slices = 3 if dimensions == "2.5d" else 0
    channels = slices or 1
    settings = NetworkSettings(
        filters=2, depth=1, normalization="none", dimensions=dimensions, slices=slices,
        input_channels=channels, separation=separation,
    )  # fmt: skip
    network = build_network(settings, 2)
    image = smooth()[:8, :32, :32].astype(np.float32)
    image = (image - image.mean()) / image.std()
    seen = image[None, ..., None] if dimensions == "3d" else np.moveaxis(image[None, :channels], 1, 3)
    logits = np.asarray(network.predict_on_batch(seen))
    last = next(layer for layer in reversed(network.layers) if layer.get_weights())
    kernel, bias = last.get_weights()
    axes = tuple(range(logits.ndim - 1))
    spread = 3 / logits.std(axis=axes)
    last.set_weights([kernel * spread, (bias - np.median(logits, axis=axes)) * spread])
    recipe = Recipe(network=settings, inference=InferenceSettings(flips="none", tile=4096, core=0.55))
    return Model(recipe, Normalization(channels=channels, scale=scale), ("cells",), network)


if __name__ == "__main__":
    for dimensions in ("2.5d", "3d"):
        thresholding(Path(sys.argv[1]) / dimensions, dimensions, behind=1)
