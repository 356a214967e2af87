"""Attention U-Net: a gate in each skip lets through what the deeper features point at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_unet.networks.architecture import Architecture
from napari_unet.networks.layers.blocks import Builder, padded
from napari_unet.networks.layers.own_layers import bilinear_upsampling
from napari_unet.networks.sizes import InputSizes
from napari_unet.networks.unet import assemble

if TYPE_CHECKING:
    from napari_unet.settings import NetworkSettings


def input_sizes(settings: NetworkSettings) -> InputSizes:
    """The multiples of 2 ** depth."""
    return InputSizes(multiple=2**settings.depth, minimum=2**settings.depth)


def build(settings: NetworkSettings, seed: int = 0) -> Any:
    """Build a U-Net with additive attention gates in its skips, with random weights.

    A gate computes s = sigmoid(psi relu(W_x x + W_g g)) at the resolution of the gating features g, one
    level deeper than the skip x. It has as many channels inside as x has. Then s is enlarged bilinearly
    and multiplied with x.

    Parameters
    ----------
    settings : NetworkSettings
        As for the U-Net, with same padding.
    seed : int
        Of the weights and of dropout.

    Returns
    -------
    keras.Model
        (N, Y, X, C) float32 to logits (N, Y, X, outputs) float32.

    References
    ----------
    Oktay et al. 2018, arXiv:1804.03999, doi:10.48550/arXiv.1804.03999.
    """
    lay = Builder(padded(settings), seed * 1000)

    def gate(skip: Any, below: Any, level: int) -> Any:
        from keras import layers

        name, inside = f"gate{level}", settings.filters * 2**level
        seen = lay.convolution(skip, inside, 2, name=f"{name}_skip", stride=2, bias=False)
        asked = lay.convolution(below, inside, 1, name=f"{name}_below", bias=True)
        both = layers.Activation("relu", name=f"{name}_relu")(layers.Add(name=f"{name}_add")([seen, asked]))
        share = lay.convolution(both, 1, 1, name=f"{name}_psi", bias=True)
        share = layers.Activation("sigmoid", name=f"{name}_share")(share)
        share = bilinear_upsampling()(2, name=f"{name}_up")(share)
        return layers.Multiply(name=f"{name}_skip_gated")([skip, share])

    return assemble(lay, name="attention_unet", gate=gate)


ARCHITECTURE = Architecture(
    name="attention_unet",
    title="Attention U-Net",
    doi="10.48550/arXiv.1804.03999",
    when="Small things in large images, where a plain U-Net finds too many.",
    build=build,
    input_sizes=input_sizes,
    settings_used=("depth", "block", "dropout", "presence"),
    paper={"filters": 64, "normalization": "batch", "block": "plain"},
)
