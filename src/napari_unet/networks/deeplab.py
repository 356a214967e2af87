"""DeepLabv3+: features at stride 16 seen at several distances at once, and a short decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_unet.networks.architecture import Architecture
from napari_unet.networks.layers.blocks import Builder, padded
from napari_unet.networks.layers.own_layers import bilinear_upsampling, spread_like
from napari_unet.networks.sizes import InputSizes

if TYPE_CHECKING:
    from napari_unet.settings import NetworkSettings

RATES = (6, 12, 18)  # of the atrous convolutions at output stride 16
STRIDE = 16
BLOCKS = 2  # a stage, as in ResNet-18


def input_sizes(settings: NetworkSettings) -> InputSizes:
    """The multiples of 16, the output stride."""
    del settings
    return InputSizes(multiple=STRIDE, minimum=STRIDE)


def build(settings: NetworkSettings, seed: int = 0) -> Any:
    """Build a DeepLabv3+ with random weights.

    The encoder is ResNet-18 with 64 filters. The encoders of the paper, ResNet-101 and Xception, are too
    large for most machines. The last stage has stride 16 and atrous convolutions of rate 2.
    Atrous spatial pyramid pooling: a 1x1 and three 3x3 convolutions of rates 6, 12, 18, and the mean
    over the image, side by side. The decoder enlarges by 4, joins the features of stride 4 (reduced to
    three quarters of `filters` channels, 48 of 64), convolves twice and enlarges by 4.

    Parameters
    ----------
    settings : NetworkSettings
        Filters, normalization, dropout after the pyramid; same padding.
    seed : int
        Of the weights and of dropout.

    Returns
    -------
    keras.Model
        (N, Y, X, C) float32 to logits (N, Y, X, outputs) float32.

    References
    ----------
    Chen et al. 2018, doi:10.1007/978-3-030-01234-2_49. He et al. 2016, doi:10.1109/CVPR.2016.90.
    """
    import keras
    from keras import layers

    lay = Builder(padded(settings), seed * 1000)
    filters = settings.filters
    inputs = keras.Input((None, None, settings.input_channels), name="image")
    x = lay.step(inputs, filters, 7, name="encoder_stem", stride=2)
    x = layers.MaxPooling2D(3, strides=2, padding="same", name="encoder_pool")(x)
    low = x
    for stage, (stride, dilation) in enumerate(((1, 1), (2, 1), (2, 1), (1, 2))):
        for block in range(BLOCKS):
            x = _residual(
                lay,
                x,
                filters * 2**stage,
                name=f"encoder_stage{stage}_block{block}",
                stride=stride if block == 0 else 1,
                dilation=dilation,
            )
        if stage == 0:
            low = x
    x = _pyramid(lay, x, 4 * filters)
    x = lay.drop(x, name="pyramid_drop")
    x = bilinear_upsampling()(4, name="up_to_4")(x)
    low = lay.step(low, max(3 * filters // 4, 1), 1, name="low")
    x = layers.Concatenate(name="join")([low, x])
    for number in (1, 2):
        x = lay.step(x, 4 * filters, name=f"decode{number}")
    logits = lay.in_float32(lay.convolution(x, settings.outputs, 1, name="logits", bias=True))
    logits = bilinear_upsampling()(4, dtype="float32", name="up_to_1")(logits)
    return keras.Model(inputs, logits, name="deeplab")


def _residual(lay: Builder, x: Any, filters: int, *, name: str, stride: int, dilation: int) -> Any:
    """Two 3x3 convolutions around a shortcut."""
    from keras import layers

    y = lay.step(x, filters, name=f"{name}_conv1", stride=stride, dilation=dilation)
    y = lay.convolution(y, filters, name=f"{name}_conv2", dilation=dilation)
    y = lay.normalize(y, name=f"{name}_conv2")
    if stride > 1 or x.shape[-1] != filters:
        x = lay.convolution(x, filters, 1, name=f"{name}_project", stride=stride)
        x = lay.normalize(x, name=f"{name}_project")
    y = layers.Add(name=f"{name}_add")([y, x])
    return layers.Activation("relu", name=f"{name}_relu")(y)


def _pyramid(lay: Builder, x: Any, width: int) -> Any:
    """Atrous spatial pyramid pooling, projected back to `width` channels."""
    from keras import layers

    branches = [lay.step(x, width, 1, name="pyramid_1x1")]
    branches += [lay.step(x, width, name=f"pyramid_rate{rate}", dilation=rate) for rate in RATES]
    mean = layers.GlobalAveragePooling2D(keepdims=True, name="pyramid_mean")(x)
    # Without normalization: one value an image is no statistic in a batch of a few.
    mean = lay.convolution(mean, width, 1, name="pyramid_image", bias=True)
    mean = layers.Activation("relu", name="pyramid_image_relu")(mean)
    branches.append(spread_like()(name="pyramid_spread")(mean, x))
    return lay.step(layers.Concatenate(name="pyramid_join")(branches), width, 1, name="pyramid_project")


ARCHITECTURE = Architecture(
    name="deeplab",
    title="DeepLabv3+",
    doi="10.1007/978-3-030-01234-2_49",
    when="Large structures that only their wider surroundings tell apart; much faster than a U-Net.",
    build=build,
    input_sizes=input_sizes,
    settings_used=("dropout",),
    paper={"filters": 64, "input_channels": 3, "normalization": "batch"},
    grid=4,
)
