"""EfficientNet-Lite0, the encoder whose ImageNet weights come with the program."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import ModelError, SettingsError
from napari_unet.networks.architecture import IncludedWeights
from napari_unet.networks.encoders.vgg import PREFIX, for_channels
from napari_unet.networks.layers.batch_norm import batch_normalization

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.networks.layers.blocks import Builder
    from napari_unet.settings import NetworkSettings

NAME = "EfficientNetLite0"
WEIGHTS_FILE = Path(__file__).parents[1] / "weights" / "efficientnet_lite0.h5"
INCLUDED = IncludedWeights(
    title="ImageNet weights of EfficientNet-Lite0",
    source="arXiv:1905.11946",
    licence="Apache-2.0",
    attribution="The TensorFlow Authors, ML Illustrated",
)
DEEPEST = 5  # halvings
STEM = 32  # filters
EPSILON = 1e-3
# Of the images that the weights were made for, as they enter the first convolution; ours have 1. They were
# (x - 127) / 128 in grey levels: with that, the outputs of the first convolution have the variances that
# its normalization expects.
DEVIATION = 0.5


@dataclass(frozen=True)
class BlockGroup:
    """Blocks of the same width, one after another.

    Attributes
    ----------
    blocks : int
        How many.
    kernel : int
        Side of their depthwise convolutions.
    stride : int
        Of the first block.
    expansion : int
        How many times wider a block is inside than what enters it.
    filters : int
        Channels that come out of each block.
    """

    blocks: int
    kernel: int
    stride: int
    expansion: int
    filters: int


# Tan, Le 2019, table 1.
STAGES = (
    BlockGroup(1, 3, 1, 1, 16),
    BlockGroup(2, 3, 2, 6, 24),
    BlockGroup(2, 5, 2, 6, 40),
    BlockGroup(3, 3, 2, 6, 80),
    BlockGroup(3, 5, 1, 6, 112),
    BlockGroup(4, 5, 2, 6, 192),
    BlockGroup(1, 3, 1, 6, 320),
)


def features(lay: Builder, image: Any, depth: int) -> dict[int, Any]:
    """The encoder, with random weights.

    A convolution with stride 2, then inverted bottlenecks. Each is a 1x1 convolution that widens, a
    depthwise convolution, and a 1x1 convolution without activation that narrows. A shortcut passes around
    the three where neither size nor width change. Other than EfficientNet-B0, it has no
    squeeze-and-excitation, and ReLU6 in place of swish. Stages behind the last halving that is wanted are
    not built.

    Parameters
    ----------
    lay : Builder
        Its seeds are used, its settings are not.
    image : keras tensor
        (N, Y, X, C), normalized; Y and X are multiples of 2 ** depth.
    depth : int
        How often the image is halved, 1 to 5.

    Returns
    -------
    dict of int to keras tensor
        How often the image was halved, 1 to `depth`, to the last features of that size.
        From large to small:
        (N, Y / 2, X / 2, 16), (N, Y / 4, X / 4, 24), (N, Y / 8, X / 8, 40), (N, Y / 16, X / 16, 112),
        (N, Y / 32, X / 32, 320).

    Raises
    ------
    SettingsError
        If the encoder does not halve so often.

    References
    ----------
    Tan, Le 2019, arXiv:1905.11946. Sandler et al. 2018 (the blocks), doi:10.1109/CVPR.2018.00474.
    """
    if depth > DEEPEST:
        raise SettingsError(
            f"the encoder {NAME} halves images at most {DEEPEST} times",
            code="settings.depth.range",
            expected=f"a depth of 1 to {DEEPEST}",
            got=str(depth),
            remedy=f"set depth={DEEPEST}, or 4, which is faster and often as good",
        )
    x = _convolution(lay, image, STEM, 3, name="stem", stride=2)
    x = _relu6(x, name="stem")
    found: dict[int, Any] = {}
    halved, number = 1, 0
    for stage in STAGES:
        if stage.stride == 2:
            halved += 1
        if halved > depth:
            break
        for place in range(stage.blocks):
            x = _block(lay, x, stage, stride=stage.stride if place == 0 else 1, name=f"block{number}")
            number += 1
        found[halved] = x
    return found


def _block(lay: Builder, x: Any, stage: BlockGroup, *, stride: int, name: str) -> Any:
    """An inverted bottleneck (N, Y, X, C) to (N, Y / stride, X / stride, filters)."""
    from keras import layers

    y, channels = x, x.shape[-1]
    if stage.expansion > 1:
        y = _convolution(lay, y, stage.expansion * channels, 1, name=f"{name}_expand")
        y = _relu6(y, name=f"{name}_expand")
    y = _depthwise(lay, y, stage.kernel, stride, name=f"{name}_depthwise")
    y = _relu6(y, name=f"{name}_depthwise")
    y = _convolution(lay, y, stage.filters, 1, name=f"{name}_project")
    if stride > 1 or channels != stage.filters:
        return y
    return layers.Add(name=f"{PREFIX}{name}_add")([y, x])


def _convolution(lay: Builder, x: Any, filters: int, kernel: int, *, name: str, stride: int = 1) -> Any:
    from keras import initializers, layers

    x = layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer=initializers.HeNormal(lay.next_seed()),
        name=f"{PREFIX}{name}",
    )(x)
    return _normalize(x, name=name)


def _depthwise(lay: Builder, x: Any, kernel: int, stride: int, *, name: str) -> Any:
    import keras
    from keras import initializers, layers

    # Depthwise convolutions in bfloat16 take TensorFlow several times as long as in float32.
    slow = keras.backend.backend() == "tensorflow" and keras.config.dtype_policy().compute_dtype == "bfloat16"
    # He et al. 2015; the initializer of that name counts all channels as inputs, and each output has one.
    draw = initializers.RandomNormal(0.0, float(np.sqrt(2 / kernel**2)), lay.next_seed())
    x = layers.DepthwiseConv2D(
        kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        depthwise_initializer=draw,
        dtype="float32" if slow else None,
        name=f"{PREFIX}{name}",
    )(x)
    return _normalize(x, name=name)


def _normalize(x: Any, *, name: str) -> Any:
    return batch_normalization(f"{PREFIX}{name}_norm", options={"epsilon": EPSILON})(x)


def _relu6(x: Any, *, name: str) -> Any:
    from keras import layers

    return layers.ReLU(max_value=6.0, name=f"{PREFIX}{name}_relu")(x)


def take_weights(network: Any, settings: NetworkSettings, file: Path = WEIGHTS_FILE) -> None:
    """Fill the encoder with its ImageNet weights, fitted to our channels and normalization.

    The first kernel is made for images of mean 0 and deviation 1 (``for_channels``): a grey image is
    answered as the same image in three equal channels.

    Parameters
    ----------
    network : keras.Model
        With the layers of ``features``; changed in place.
    settings : NetworkSettings
        With the channels of the images.
    file : pathlib.Path
        As ``benchmarks/convert_lite0.py`` writes it. The one of the package holds the convolutions in half
        precision.

    Raises
    ------
    ModelError
        If there is no such file, or its weights do not fit.
    """
    import h5py

    try:
        with h5py.File(file, "r") as stored:
            for layer in network.layers:
                if layer.name.startswith(PREFIX) and layer.weights:
                    arrays = stored[layer.name.removeprefix(PREFIX)]
                    weights = [np.asarray(arrays[w.name][()], np.float32) for w in layer.weights]
                    if layer.name == f"{PREFIX}stem":
                        weights = [fitted(weights[0], settings.input_channels)]
                    layer.set_weights(weights)
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise ModelError(
            f"the weights of {NAME} cannot be read from {file}",
            code="model.pretrained.unreadable",
            expected="the file that comes with the program, or one that benchmarks/convert_lite0.py wrote",
            reason=str(error).splitlines()[0] if str(error) else type(error).__name__,
            remedy="install the program again, or set pretrained=none to start from random weights",
        ) from error


def fitted(kernel: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """The first kernel (3, 3, 3, 32) for other channels, and for images of mean 0 and deviation 1."""
    return for_channels(kernel, channels, reverse=False) * np.float32(DEVIATION)
