"""Made-up models of volumes, of which every answer is known.

Run as a script it writes them where a process may not load TensorFlow: those of the window.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np


def thresholding(path: Path, dimensions: str, behind: int = 0) -> Path:
    """A model that calls a voxel foreground if it is bright, or if the one `behind` it is: 1 or 0 slices."""
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
        place[0] -= behind
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


if __name__ == "__main__":
    for dimensions in ("2.5d", "3d"):
        thresholding(Path(sys.argv[1]) / dimensions, dimensions, behind=1)
