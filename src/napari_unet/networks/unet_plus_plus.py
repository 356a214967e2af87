"""U-Net++: the skips are filled with blocks, so that encoder and decoder meet in small steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_unet.networks.architecture import Architecture
from napari_unet.networks.attention_unet import input_sizes
from napari_unet.networks.layers.blocks import Builder, padded

if TYPE_CHECKING:
    from napari_unet.settings import NetworkSettings


def build(settings: NetworkSettings, seed: int = 0) -> Any:
    """Build a U-Net++ with random weights.

    The node in row i (resolution 1 / 2 ** i) and column j is a block on all earlier nodes of its row
    and the enlarged node (i + 1, j - 1). With deep supervision the nodes (0, 1) to (0, depth) each
    have a head, and the mean of their logits is the output; without, the last one alone has.

    Parameters
    ----------
    settings : NetworkSettings
        Filters, depth, block, normalization, dropout, deep supervision; same padding.
    seed : int
        Of the weights and of dropout.

    Returns
    -------
    keras.Model
        (N, Y, X, C) float32 to logits (N, Y, X, outputs) float32.

    References
    ----------
    Zhou et al. 2018, doi:10.1007/978-3-030-00889-5_1.
    """
    import keras
    from keras import layers

    lay = Builder(padded(settings), seed * 1000)
    inputs = keras.Input((None, None, settings.input_channels), name="image")
    nodes: dict[tuple[int, int], Any] = {}
    x = inputs
    for row in range(settings.depth + 1):
        if row:
            x = layers.MaxPooling2D(2, name=f"pool{row - 1}")(x)
        x = lay.block(x, settings.filters * 2**row, name=f"x{row}_0")
        if row == settings.depth:
            x = lay.drop(x, name="drop_bottom")
        nodes[row, 0] = x
    for column in range(1, settings.depth + 1):
        for row in range(settings.depth + 1 - column):
            filters = settings.filters * 2**row
            name = f"x{row}_{column}"
            enlarged = lay.up(nodes[row + 1, column - 1], filters, name=f"{name}_up")
            earlier = [nodes[row, n] for n in range(column)]
            merged = layers.Concatenate(name=f"{name}_merge")([*earlier, enlarged])
            nodes[row, column] = lay.block(merged, filters, name=name)
    last = nodes[0, settings.depth]
    if not settings.deep_supervision:
        return keras.Model(inputs, lay.head(last), name="unet_plus_plus")
    answers = [lay.head(nodes[0, n], name=f"logits{n}") for n in range(1, settings.depth + 1)]
    output = layers.Average(dtype="float32", name="mean_logits")(answers) if len(answers) > 1 else answers[0]
    return keras.Model(inputs, output, name="unet_plus_plus")


def heads(settings: NetworkSettings) -> tuple[str, ...]:
    """The head of each column, if they are trained each."""
    if not settings.deep_supervision or settings.depth == 1:
        return ()
    return tuple(f"logits{n}_float32" for n in range(1, settings.depth + 1))


ARCHITECTURE = Architecture(
    name="unet_plus_plus",
    title="U-Net++",
    doi="10.1007/978-3-030-00889-5_1",
    when="When a few points of IoU are worth several times the computing of a U-Net.",
    build=build,
    input_sizes=input_sizes,
    settings_used=("depth", "block", "dropout", "deep_supervision"),
    paper={"filters": 32, "normalization": "none", "block": "plain", "deep_supervision": True},
    heads=heads,
)
