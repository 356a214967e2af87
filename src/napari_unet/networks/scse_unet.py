"""U-Net with scSE blocks: channels and places are weighed again after each block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_unet.networks.architecture import Architecture
from napari_unet.networks.layers.blocks import Builder
from napari_unet.networks.unet import HEEDS, assemble, input_sizes

if TYPE_CHECKING:
    from napari_unet.settings import NetworkSettings

REDUCTION = 2  # of channels inside the channel excitation, as in the paper


def build(settings: NetworkSettings, seed: int = 0) -> Any:
    """Build a U-Net with concurrent spatial and channel squeeze and excitation, with random weights.

    After each block x becomes x * sigmoid(W2 relu(W1 mean(x))) + x * sigmoid(w x). The mean is over the
    whole image or tile, and w is a 1x1 convolution to one channel.

    Parameters
    ----------
    settings : NetworkSettings
        As for the U-Net.
    seed : int
        Of the weights and of dropout.

    Returns
    -------
    keras.Model
        (N, Y, X, C) float32 to logits (N, Y', X', outputs) float32.

    References
    ----------
    Roy, Navab, Wachinger 2018, doi:10.1007/978-3-030-00928-1_48.
    """
    lay = Builder(settings, seed * 1000)

    def excite(x: Any, name: str) -> Any:
        from keras import layers

        channels = x.shape[-1]
        mean = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean")(x)
        few = lay.convolution(mean, max(channels // REDUCTION, 1), 1, name=f"{name}_squeeze", bias=True)
        few = layers.Activation("relu", name=f"{name}_squeeze_relu")(few)
        weights = lay.convolution(few, channels, 1, name=f"{name}_excite", bias=True)
        weights = layers.Activation("sigmoid", name=f"{name}_channels")(weights)
        places = lay.convolution(x, 1, 1, name=f"{name}_where", bias=True)
        places = layers.Activation("sigmoid", name=f"{name}_places")(places)
        # x a + x b as x (a + b): one pass over all features instead of three.
        both = layers.Add(name=f"{name}_weights")([weights, places])
        return layers.Multiply(name=f"{name}_scse")([x, both])

    return assemble(lay, name="scse_unet", after_block=excite)


ARCHITECTURE = Architecture(
    name="scse_unet",
    title="U-Net with scSE blocks",
    doi="10.1007/978-3-030-00928-1_48",
    when="A little more than U-Net for little more time, where images are about as large as a tile.",
    build=build,
    input_sizes=input_sizes,
    settings_used=HEEDS,
    paper={"filters": 64, "normalization": "batch", "block": "plain"},
)
