"""What is compared: a network, its weights on disk for every program, and images."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@dataclass(frozen=True)
class Case:
    """A network with our practical block, and a batch of images, or volumes, for it.

    Attributes
    ----------
    name : str
        For people.
    filters : int
        Of the first level; the paper has 64.
    batch, side : int
        Images, and their pixels either way; voxels of a volume along each axis.
    dimensions : str
        "2d" or "3d".
    depth : int
        Levels below the first.
    network : str
        "unet", or "encoder_unet", on EfficientNet-Lite0.
    """

    name: str
    filters: int
    batch: int
    side: int = 256
    dimensions: Literal["2d", "3d"] = "2d"
    depth: int = 4
    network: Literal["unet", "encoder_unet"] = "unet"

    @property
    def shape(self) -> tuple[int, ...]:
        """(Y, X) or (Z, Y, X) of an image."""
        return (self.side,) * int(self.dimensions[0])

    @property
    def first(self) -> tuple[int, ...]:
        """Axes of a batch with channels last, channels before the others."""
        axes = len(self.shape)
        return (0, axes + 1, *range(1, axes + 1))

    @property
    def last(self) -> tuple[int, ...]:
        """Axes of a batch with channels before the others, channels last."""
        return (0, *range(2, len(self.shape) + 2), 1)

    def images(self) -> np.ndarray:
        """(N, [Z,] Y, X, 1) float32; each has mean 0 and deviation 1: normalizing it changes nothing."""
        raw = np.random.default_rng(0).standard_normal((self.batch, *self.shape, 1))
        axes = tuple(range(1, raw.ndim))
        normal = (raw - raw.mean(axes, keepdims=True)) / raw.std(axes, keepdims=True)
        return np.asarray(normal, np.float32)


PAPER = Case("64 filters (the paper's size), one image of 256x256", 64, 1)
SMALL = Case("16 filters, four images of 256x256", 16, 4)
VOLUME = Case("3D, 16 filters, depth 3, one tile of 96x96x96", 16, 1, 96, "3d", 3)
ENCODER_STEP = Case(
    "training step, EfficientNet-Lite0, 16 patches of 128x128", 16, 16, 128, network="encoder_unet"
)
VOLUME_STEP = Case("3D training step, 16 filters, depth 3, 2 patches of 48x48x48", 16, 2, 48, "3d", 3)


def network_settings(case: Case) -> Any:
    """The practical U-Net: residual blocks, batch normalization, padded."""
    from napari_unet.settings import NetworkSettings

    return NetworkSettings(
        name=case.network, filters=case.filters, depth=case.depth, dimensions=case.dimensions
    )


def settle(network: Any, sample: np.ndarray) -> None:
    """Give a random network normalizations that do something, and logits of deviation 2 around 0."""
    import keras

    draw = np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([draw.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    head = network.get_layer("logits")
    kernel, bias = head.get_weights()
    logits = np.asarray(network.predict_on_batch(sample), np.float32)
    spread = 2 / float(logits.std())
    head.set_weights([kernel * spread, (bias - logits.mean()) * spread])


def write_case(case: Case, folder: Path, *, precision: str = "float32") -> float:
    """Leave the network for all programs: a model of ours, ONNX, and arrays by the names of layers.

    Returns
    -------
    float
        Operations for one batch, in 10**9.
    """
    from napari_unet.export.models.onnx_model import write_onnx
    from napari_unet.models.model import Model, save_model
    from napari_unet.models.normalization import Normalization
    from napari_unet.networks.graphs.cost import flop
    from napari_unet.networks.registry import build_network
    from napari_unet.settings import InferenceSettings, Recipe

    settings = network_settings(case)
    network = build_network(settings, 0, precision)
    settle(network, case.images()[:1])
    recipe = Recipe(name="benchmark", network=settings, inference=InferenceSettings(flips="none"))
    model = Model(recipe, Normalization(), ("foreground",), network)
    save_model(model, folder / "model")
    write_onnx(model, folder / "model.onnx")
    write_arrays(network, folder / "arrays.npz")
    return flop(network, case.shape) * case.batch / 1e9


def write_arrays(network: Any, file: Path) -> None:
    """Weights as ``layer/number``."""
    arrays = {}
    for layer in network.layers:
        for number, array in enumerate(layer.get_weights()):
            arrays[f"{layer.name}/{number}"] = np.asarray(array, np.float32)
    np.savez(file, **arrays)  # type: ignore[arg-type]
