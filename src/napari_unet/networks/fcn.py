"""FCN-32s, FCN-16s, FCN-8s: a classifier made convolutional, its scores enlarged and refined by skips."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.networks.architecture import Architecture
from napari_unet.networks.encoders.vgg import CONVOLUTIONS, PREFIX, level, pretrained
from napari_unet.networks.layers.blocks import Builder, padded
from napari_unet.networks.layers.own_layers import crop_like
from napari_unet.networks.sizes import InputSizes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.settings import NetworkSettings

DENSE_WIDTH = 64  # fc6 and fc7, as a multiple of the filters: 4096 of 64
COARSEST = 32


def input_sizes(settings: NetworkSettings) -> InputSizes:
    """Any size: poolings round up, and scores are cropped to what they meet."""
    del settings
    return InputSizes(grid=COARSEST)


def bilinear_kernel(factor: int, channels: int) -> NDArray[np.float32]:
    """Kernel of a transposed convolution that interpolates bilinearly, each channel for itself.

    Parameters
    ----------
    factor : int
        By which it enlarges.
    channels : int
        In and out.

    Returns
    -------
    numpy.ndarray
        (2 factor, 2 factor, channels, channels) float32.
    """
    place = np.arange(2 * factor)
    line = 1 - np.abs(place - (factor - 0.5)) / factor
    kernel: NDArray[np.float64] = np.einsum("y,x,io->yxio", line, line, np.eye(channels))
    return kernel.astype(np.float32)


def build(settings: NetworkSettings, seed: int = 0, *, stride: int) -> Any:
    """Build an FCN with random weights and bilinear enlargement.

    VGG-16 with its dense layers as convolutions (7x7 and 1x1, dropout after each), then 1x1 scores of the
    classes at stride 32. They are enlarged by 2 and added to the scores of pool4 (FCN-16s), again for
    pool3 (FCN-8s), then enlarged to the image. Enlarging is a transposed convolution that starts bilinear and
    learns. The scores of pool4 and pool3 start at zero, as in the paper, so that a network starts with
    the answer of the coarser one it took its weights from.

    The paper pads the image by 100 pixels so that the unpadded 7x7 fits, and crops at the end. Here
    convolutions are padded ("same") and poolings round up. This takes any size, too, and computes no
    border of 100 pixels of zeros.

    Parameters
    ----------
    settings : NetworkSettings
        Filters (64 in the paper), normalization, dropout (0.5 in the paper).
    seed : int
        Of the weights and of dropout.
    stride : int
        32, 16 or 8.

    Returns
    -------
    keras.Model
        (N, Y, X, C) float32 to logits (N, Y, X, outputs) float32.

    References
    ----------
    Long, Shelhamer, Darrell 2015, doi:10.1109/CVPR.2015.7298965.
    """
    import keras
    from keras import layers

    lay = Builder(padded(settings), seed * 1000)
    inputs = keras.Input((None, None, settings.input_channels), name="image")
    x = inputs
    pools = []
    for number in range(len(CONVOLUTIONS)):
        x = level(lay, x, number)
        x = layers.MaxPooling2D(2, padding="same", name=f"pool{number + 1}")(x)
        pools.append(x)
    for name, kernel in (("fc6", 7), ("fc7", 1)):
        x = lay.step(x, DENSE_WIDTH * settings.filters, kernel, name=f"{PREFIX}{name}")
        x = lay.drop(x, name=f"drop_{name}")
    scores = lay.convolution(x, settings.outputs, 1, name="score", bias=True)
    at = COARSEST
    while at > stride:
        scores = _enlarged(scores, 2, f"upscore_from{at}")
        at //= 2
        number = at.bit_length() - 1  # stride 16 is pool4
        finer = lay.convolution(pools[number - 1], settings.outputs, 1, name=f"score_pool{number}", bias=True)
        scores = crop_like()(name=f"crop_pool{number}")(scores, finer)
        scores = layers.Add(name=f"fuse_pool{number}")([scores, finer])
    scores = _enlarged(scores, at, f"upscore{at}")
    scores = crop_like()(name="crop")(scores, inputs)
    network = keras.Model(inputs, lay.in_float32(scores), name=f"fcn{stride}s")
    for layer in network.layers:
        if layer.name.startswith("upscore"):
            layer.set_weights([bilinear_kernel(layer.strides[0], settings.outputs)])
        elif layer.name.startswith("score_pool"):
            layer.set_weights([np.zeros(w.shape, np.float32) for w in layer.get_weights()])
    return network


def _enlarged(scores: Any, factor: int, name: str) -> Any:
    from keras import layers

    channels = scores.shape[-1]
    return layers.Conv2DTranspose(
        channels,
        2 * factor,
        strides=factor,
        padding="same",
        use_bias=False,
        kernel_initializer="zeros",
        name=name,
    )(scores)


def _architecture(stride: int, when: str) -> Architecture:
    return Architecture(
        name=f"fcn{stride}s",
        title=f"FCN-{stride}s",
        doi="10.1109/CVPR.2015.7298965",
        when=when,
        build=partial(build, stride=stride),
        input_sizes=input_sizes,
        settings_used=("dropout",),
        paper={"filters": 64, "input_channels": 3, "normalization": "none", "dropout": 0.5},
        family="fcn",
        pretrained=pretrained,
        grid=stride,
    )


ARCHITECTURES = (
    _architecture(32, "The first stage of training an FCN; by itself too coarse for most things."),
    _architecture(16, "The second stage of an FCN, started from FCN-32s with --init."),
    _architecture(8, "Large, blob-like regions, ImageNet weights available; thin things get lost."),
)
