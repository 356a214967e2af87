"""U-Net, the network of the paper and the practical one, by settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_unet.networks.architecture import Architecture
from napari_unet.networks.layers.blocks import Builder
from napari_unet.networks.sizes import InputSizes

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.settings import NetworkSettings

HEEDS = ("depth", "padding", "block", "dropout", "presence", "flat_levels")
LOST_PER_BLOCK = 4  # two unpadded 3x3 convolutions take two pixels each


def input_sizes(settings: NetworkSettings) -> InputSizes:
    """Which sizes this U-Net takes.

    Parameters
    ----------
    settings : NetworkSettings
        Depth and padding count.

    Returns
    -------
    InputSizes
        With same padding the multiples of 2 ** depth. Without padding a bottom of b pixels needs
        2 ** depth * b + 4 * (2 ** depth - 1) pixels of input: 572 for b = 32 and depth 4. Along Z the
        multiples of 2 to the number of levels that are not flat.
    """
    step: int = 2**settings.depth
    if settings.in_3d:
        along_z: int = 2 ** max(settings.depth - settings.flat_levels, 0)
        return InputSizes(step, step, along_z=InputSizes(along_z, along_z))
    if settings.padding == "same":
        return InputSizes(multiple=step, minimum=step)
    around = LOST_PER_BLOCK * (step - 1)
    bottom = LOST_PER_BLOCK + around // step + 1
    return InputSizes(
        multiple=step,
        minimum=step * bottom + around,
        offset=around % step,
        margin=(2 * around + LOST_PER_BLOCK * step) // 2,
    )


def build(settings: NetworkSettings, seed: int = 0) -> Any:
    """Build a U-Net with random weights.

    With the settings of the recipe ``paper`` this is exactly the network of the paper. It has
    unpadded 3x3 convolutions with ReLU, 2x2 max pooling, 64 to 1024 filters, 2x2 up-convolutions
    that halve the channels, and crop and concatenate. Dropout is at the end of the contracting path.
    Weights are drawn with standard deviation sqrt(2 / N).

    Parameters
    ----------
    settings : NetworkSettings
        The architecture.
    seed : int
        Of the weights and of dropout.

    Returns
    -------
    keras.Model
        (N, Y, X, C) float32 to logits (N, Y', X', outputs) float32. In three dimensions (N, Z, Y, X, C) to
        (N, Z, Y, X, outputs), by 3x3x3 convolutions and poolings along Z as well. Those of flat levels stay
        within a slice.

    References
    ----------
    Ronneberger, Fischer, Brox 2015, doi:10.1007/978-3-319-24574-4_28. He, Zhang, Ren, Sun 2016
    (residual blocks), doi:10.1109/CVPR.2016.90. Ioffe, Szegedy 2015 (batch normalization),
    arXiv:1502.03167. Wu, He 2018 (group normalization), doi:10.1007/978-3-030-01261-8_1. Çiçek et al.
    2016 (volumes), doi:10.1007/978-3-319-46723-8_49. Isensee et al. 2021 (thick slices),
    doi:10.1038/s41592-020-01008-z.
    """
    return assemble(Builder(settings, seed * 1000), name="unet")


def assemble(
    lay: Builder,
    *,
    name: str,
    gate: Callable[[Any, Any, int], Any] | None = None,
    after_block: Callable[[Any, str], Any] | None = None,
) -> Any:
    """Lay a U-Net, with something in its skips or after its blocks if need be.

    Parameters
    ----------
    lay : Builder
        With the settings.
    name : str
        Of the network.
    gate : callable, optional
        (skip, features from below, level) -> skip, as large as it was.
    after_block : callable, optional
        (features, name of the block) -> features of the same shape.

    Returns
    -------
    keras.Model
        As ``build``.
    """
    import keras
    from keras import layers

    settings = lay.settings

    def block(x: Any, filters: int, name: str, level: int) -> Any:
        x = lay.block(x, filters, name=name, flat=level < settings.flat_levels)
        return x if after_block is None else after_block(x, name)

    sides = (None,) * (3 if settings.in_3d else 2)
    inputs = keras.Input((*sides, settings.input_channels), name="image")
    x = inputs
    skips = []
    for level in range(settings.depth):
        x = block(x, settings.filters * 2**level, f"down{level}", level)
        if level == settings.depth - 1:
            x = lay.drop(x, name="drop_last_skip")
        skips.append(x)
        x = lay.pool(x, name=f"pool{level}", flat=level < settings.flat_levels)
    x = block(x, settings.filters * 2**settings.depth, "bottom", settings.depth)
    x = bottom = lay.drop(x, name="drop_bottom")
    for level in reversed(range(settings.depth)):
        filters = settings.filters * 2**level
        skip = skips[level] if gate is None else gate(skips[level], x, level)
        x = lay.up(x, filters, name=f"up{level}", flat=level < settings.flat_levels)
        crop = _skip_crop(settings, level)
        if crop:
            skip = layers.Cropping2D(crop, name=f"crop{level}")(skip)
        x = layers.Concatenate(name=f"merge{level}")([skip, x])
        x = block(x, filters, f"decode{level}", level)
    return keras.Model(inputs, lay.heads(x, bottom), name=name)


def _skip_crop(settings: NetworkSettings, level: int) -> int:
    """Pixels cut from each side of a skip so that it meets what comes up from below."""
    if settings.padding == "same":
        return 0
    below = settings.depth - level - 1
    # The path below this level loses, seen from here, twice the margin of a U-Net that much deep.
    step: int = 2 ** (below + 1)
    lost = 2 * LOST_PER_BLOCK * (step - 2) + LOST_PER_BLOCK * step
    return lost // 2


ARCHITECTURE = Architecture(
    name="unet",
    title="U-Net",
    doi="10.1007/978-3-319-24574-4_28",
    when="The network of the paper, with any number of filters: sharp borders, in two and three dimensions.",
    build=build,
    input_sizes=input_sizes,
    settings_used=HEEDS,
    takes_volumes=True,
    paper={"filters": 64, "padding": "valid", "normalization": "none", "block": "plain", "dropout": 0.5},
)
