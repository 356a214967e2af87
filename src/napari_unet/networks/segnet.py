"""SegNet: the decoder puts features back where max pooling took them from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_unet.networks.architecture import Architecture
from napari_unet.networks.attention_unet import input_sizes
from napari_unet.networks.encoders.vgg import CONVOLUTIONS, WIDTHS, level
from napari_unet.networks.layers.blocks import Builder, padded
from napari_unet.networks.layers.own_layers import max_pooling_with_indices, max_unpooling

if TYPE_CHECKING:
    from napari_unet.settings import NetworkSettings


def build(settings: NetworkSettings, seed: int = 0) -> Any:
    """Build a SegNet with random weights.

    The encoder is the first `depth` levels of VGG-16's convolutions (5 in the paper) with 2x2 max
    pooling that remembers where each maximum was. The decoder mirrors it: unpooling puts each value back
    at its place among zeros, and convolutions fill in. No features are carried across.

    Parameters
    ----------
    settings : NetworkSettings
        Filters (64 in the paper), depth, normalization; same padding.
    seed : int
        Of the weights.

    Returns
    -------
    keras.Model
        (N, Y, X, C) float32 to logits (N, Y, X, outputs) float32.

    References
    ----------
    Badrinarayanan, Kendall, Cipolla 2017, doi:10.1109/TPAMI.2016.2644615.
    """
    import keras

    lay = Builder(padded(settings), seed * 1000)
    inputs = keras.Input((None, None, settings.input_channels), name="image")
    x = inputs
    places = []
    for number in range(settings.depth):
        x = level(lay, x, number)
        x, where = max_pooling_with_indices()(name=f"pool{number}")(x)
        places.append(where)
    for number in reversed(range(settings.depth)):
        x = max_unpooling()(name=f"unpool{number}")(x, places[number])
        row = min(number, len(CONVOLUTIONS) - 1)
        finer = WIDTHS[max(min(number - 1, len(WIDTHS) - 1), 0)]
        count = CONVOLUTIONS[row]
        for convolution in range(count):
            width = finer if convolution == count - 1 else WIDTHS[row]
            if number == 0 and convolution == count - 1:
                break  # the last of them is the classifier
            x = lay.step(x, settings.filters * width, name=f"decode{number}_conv{convolution + 1}")
    return keras.Model(inputs, _classifier(lay, x), name="segnet")


def _classifier(lay: Builder, x: Any) -> Any:
    """The last convolution of the decoder, 3x3, straight to the classes."""
    logits = lay.convolution(x, lay.settings.outputs, 3, name="logits", bias=True)
    return lay.in_float32(logits)


ARCHITECTURE = Architecture(
    name="segnet",
    title="SegNet",
    doi="10.1109/TPAMI.2016.2644615",
    when="Large images in little memory: no features are carried across, only where the maxima were.",
    build=build,
    input_sizes=input_sizes,
    settings_used=("depth",),
    paper={"filters": 64, "input_channels": 3, "depth": 5, "normalization": "batch"},
)
