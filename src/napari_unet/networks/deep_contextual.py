"""The deep contextual network (CUMedVision): three classifiers at three scales, and their sum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_unet.networks.architecture import Architecture
from napari_unet.networks.layers.blocks import Builder, padded
from napari_unet.networks.sizes import InputSizes

if TYPE_CHECKING:
    from napari_unet.settings import NetworkSettings

CONVOLUTIONS = (2, 2, 3, 3)
CLASSIFIERS = 3


def input_sizes(settings: NetworkSettings) -> InputSizes:
    """The multiples of 8: three poolings."""
    del settings
    return InputSizes(multiple=2**CLASSIFIERS, minimum=2**CLASSIFIERS)


def build(settings: NetworkSettings, seed: int = 0) -> Any:
    """Build a deep contextual network with random weights.

    A path down with three 2x2 max poolings. From the features at strides 2, 4 and 8 a transposed
    convolution (kernel 2k, stride k) goes straight back to the image's size, where two convolutions
    make the logits C1, C2, C3. The output is their sum. Each C is trained as well as the sum (deep
    supervision), with a weight that falls on the way.

    The paper gives 16 convolutions, 3 poolings and 3 transposed convolutions; how the 16 are divided
    (2, 2, 3, 3 down, 2 in each classifier) and that widths double from level to level, as in VGG-16, is
    our reading. Its L2 term is `weight_decay`.

    Parameters
    ----------
    settings : NetworkSettings
        Filters of the first level, normalization, dropout before the last classifiers; same padding.
    seed : int
        Of the weights and of dropout.

    Returns
    -------
    keras.Model
        (N, Y, X, C) float32 to logits (N, Y, X, outputs) float32.

    References
    ----------
    Chen, Qi, Cheng, Heng 2016, doi:10.1609/aaai.v30i1.10141.
    """
    import keras
    from keras import layers

    lay = Builder(padded(settings), seed * 1000)
    inputs = keras.Input((None, None, settings.input_channels), name="image")
    x = inputs
    answers = []
    for number, count in enumerate(CONVOLUTIONS):
        if number:
            x = layers.MaxPooling2D(2, name=f"pool{number - 1}")(x)
        for convolution in range(count):
            x = lay.step(x, settings.filters * 2**number, name=f"down{number}_conv{convolution + 1}")
        if number:
            # As many channels as the first level, or the full size would cost more than all the rest.
            y = lay.drop(x, name=f"c{number}_drop")
            y = lay.up(y, settings.filters, name=f"c{number}_up", factor=2**number, kernel=2 * 2**number)
            y = layers.Activation("relu", name=f"c{number}_up_relu")(y)
            y = lay.step(y, settings.filters, name=f"c{number}_conv")
            answers.append(lay.head(y, name=f"c{number}"))
    fused = layers.Add(dtype="float32", name="fused")(answers)
    return keras.Model(inputs, fused, name="deep_contextual")


def heads(settings: NetworkSettings) -> tuple[str, ...]:
    """C1, C2 and C3."""
    del settings
    return tuple(f"c{number}_float32" for number in range(1, CLASSIFIERS + 1))


ARCHITECTURE = Architecture(
    name="deep_contextual",
    title="Deep contextual network (CUMedVision)",
    doi="10.1609/aaai.v30i1.10141",
    when="Membranes and other thin borders that only their surroundings show, as in electron microscopy.",
    build=build,
    input_sizes=input_sizes,
    settings_used=("dropout",),
    paper={"filters": 64, "normalization": "none", "dropout": 0.5, "activation": "softmax"},
    heads=heads,
)
