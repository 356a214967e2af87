"""A U-Net decoder on a published encoder: EfficientNet-Lite0, or any of keras.applications."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import ModelError, SettingsError
from napari_unet.networks.architecture import Architecture, shapes_only
from napari_unet.networks.encoders import efficientnet_lite as lite
from napari_unet.networks.encoders.vgg import PREFIX, for_channels, published
from napari_unet.networks.graphs.cost import shaped
from napari_unet.networks.layers.batch_norm import batch_normalization
from napari_unet.networks.layers.blocks import Builder, padded
from napari_unet.networks.sizes import InputSizes

if TYPE_CHECKING:
    from napari_unet.networks.architecture import IncludedWeights
    from napari_unet.settings import NetworkSettings

LEVELS = 5  # every encoder of keras.applications halves the image five times
SIDE = 224  # that encoders are made for; all take others
INNER = "x"  # in names, between the place of a Sequential and that of a layer in it


@dataclass(frozen=True)
class Encoder:
    """What the published weights of an encoder expect.

    Attributes
    ----------
    deviation : float
        Standard deviation, about, of the images as they enter its first convolution; ours have 1.
    blue_first : bool
        Whether channels are blue, green, red.
    unpadded : tuple of str
        Names of its unpadded convolutions and poolings, "*" for any; they are padded here, so that the
        image is halved exactly.
    side : int
        Of the images it is built for, so that sizes are even wherever it halves them.
    last : bool
        Whether the last output at each resolution is carried across, not the widest: blocks that widen
        fourfold inside come back to what matters.
    """

    deviation: float
    blue_first: bool = False
    unpadded: tuple[str, ...] = ()
    side: int = SIDE
    last: bool = False


GREY_LEVELS = Encoder(58.0, blue_first=True)
UNIT = Encoder(1.0)
HALF = Encoder(0.5)
CONVNEXT = Encoder(1.0, last=True)
NASNET = Encoder(0.5, unpadded=("stem_conv1",), side=SIDE + 1)  # that first one leaves 112 of 225
ENCODERS = {
    **dict.fromkeys(("VGG16", "VGG19", "ResNet50", "ResNet101", "ResNet152"), GREY_LEVELS),
    **dict.fromkeys(("DenseNet121", "DenseNet169", "DenseNet201"), UNIT),
    **dict.fromkeys((f"EfficientNetB{n}" for n in range(8)), UNIT),
    **dict.fromkeys((f"EfficientNetV2B{n}" for n in range(4)), UNIT),
    **dict.fromkeys((f"EfficientNetV2{n}" for n in "SML"), HALF),
    **dict.fromkeys(("ResNet50V2", "ResNet101V2", "ResNet152V2", "MobileNet", "MobileNetV2"), HALF),
    **dict.fromkeys(("MobileNetV3Small", "MobileNetV3Large"), HALF),
    **dict.fromkeys(("Xception", "InceptionV3", "InceptionResNetV2"), Encoder(0.5, unpadded=("*",))),
    **dict.fromkeys((f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge")), CONVNEXT),
    **dict.fromkeys(("NASNetMobile", "NASNetLarge"), NASNET),
}


def input_sizes(settings: NetworkSettings) -> InputSizes:
    """The multiples of 32; of 2 ** depth for EfficientNet-Lite0, which can be cut."""
    step = 2 ** levels(settings)
    return InputSizes(multiple=step, minimum=step)


def levels(settings: NetworkSettings) -> int:
    """How often the encoder halves the image."""
    return settings.depth if settings.encoder == lite.NAME else LEVELS


def passed_over(settings: NetworkSettings) -> tuple[str, ...]:
    """The settings that an encoder makes meaningless: of all but EfficientNet-Lite0 the depth."""
    return () if settings.encoder == lite.NAME else ("depth",)


def included(settings: NetworkSettings) -> IncludedWeights | None:
    """The published weights of this encoder that come with the program, if there are any."""
    return lite.INCLUDED if settings.encoder == lite.NAME else None


def build(settings: NetworkSettings, seed: int = 0) -> Any:
    """Build a U-Net on a published encoder, with random weights.

    The skip of each level is the widest output of the encoder at that resolution, the last if there are
    several; of ConvNeXt and EfficientNet-Lite0 the last. The decoder is that of
    a U-Net; nothing prepares the images inside the network, as they come normalized.

    Parameters
    ----------
    settings : NetworkSettings
        Encoder, filters of the decoder's last level, block, normalization (of the decoder), dropout; depth
        if the encoder can be cut.
    seed : int
        Of the weights and of dropout.

    Returns
    -------
    keras.Model
        (N, Y, X, C) float32 to logits (N, Y, X, outputs) float32.

    Raises
    ------
    SettingsError
        If there is no encoder of that name, or it cannot be as deep.
    """
    import keras
    from keras import layers

    lay = Builder(padded(settings), seed * 1000)
    if settings.encoder == lite.NAME:
        image = keras.Input((None, None, settings.input_channels), name="image")
        skips = lite.features(lay, image, settings.depth)
    else:
        encoder = _encoder(settings, lay)
        image, skips = encoder.input, _skips(encoder, last=_kind(settings).last)
    deepest = levels(settings)
    x = bottom = lay.drop(skips[deepest], name="drop_bottom")
    for level in reversed(range(deepest)):
        filters = settings.filters * 2**level
        x = lay.up(x, filters, name=f"up{level}")
        if level in skips:
            x = layers.Concatenate(name=f"merge{level}")([skips[level], x])
        x = lay.block(x, filters, name=f"decode{level}")
    return keras.Model(image, lay.heads(x, bottom), name="encoder_unet")


def _encoder(settings: NetworkSettings, lay: Builder) -> Any:
    """The encoder by itself, for the channels of the settings, with seeded random weights."""
    import keras

    kind = _kind(settings)
    original = getattr(keras.applications, settings.encoder)(
        weights=None, include_top=False, input_shape=(kind.side, kind.side, 3)
    )

    # Found by their place: Keras numbers the names of many layers again each time.
    place = {id(layer): str(number) for number, layer in enumerate(original.operations)}
    for layer in original.layers:
        for number, inner in enumerate(getattr(layer, "layers", ())):
            place[id(inner)] = f"{place[id(layer)]}{INNER}{number}"

    def copy(layer: Any) -> Any:
        if isinstance(layer, keras.Sequential):
            return keras.Sequential([copy(inner) for inner in layer.layers])
        config = layer.get_config()
        config["name"] = f"{PREFIX}{place[id(layer)]}_{type(layer).__name__.lower()}"
        if isinstance(layer, keras.layers.Dropout):
            config["seed"] = lay.next_seed()
        if config.get("padding") == "valid" and {"*", layer.name} & set(kind.unpadded):
            config["padding"] = "same"
        if type(layer) is keras.layers.BatchNormalization:
            return batch_normalization(config["name"], options=config)
        return type(layer).from_config(config)

    def call(layer: Any, *arguments: Any, **keywords: Any) -> Any:
        if isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization):
            return arguments[0]
        if isinstance(layer, keras.Sequential):  # its layers become the network's own
            x = arguments[0]
            for inner in layer.layers:
                x = inner(x)
            return x
        return layer(*arguments, **keywords)

    image = keras.Input((None, None, settings.input_channels), name="image")
    encoder = keras.models.clone_model(original, input_tensors=image, clone_function=copy, call_function=call)
    draw = np.random.default_rng(lay.next_seed())
    for weights in () if shapes_only.get() else encoder.trainable_weights:
        if len(weights.shape) >= 2:  # kernels, after He et al. 2015
            inputs = np.prod(weights.shape[:-1] if weights.shape[-1] > 1 else weights.shape[:2])
            weights.assign(draw.normal(0.0, np.sqrt(2 / inputs), weights.shape))
    return encoder


def _kind(settings: NetworkSettings) -> Encoder:
    if settings.encoder not in ENCODERS:
        raise SettingsError(
            f"there is no encoder called {settings.encoder!r}",
            code="settings.encoder.unknown",
            expected=f"one of {', '.join((lite.NAME, *ENCODERS))}",
        )
    return ENCODERS[settings.encoder]


def _skips(encoder: Any, *, last: bool) -> dict[int, Any]:
    """The widest or last output at each resolution, by how often it has been halved; never the image."""
    side = 2**LEVELS * 8
    by_size = {side // 2**level: level for level in range(LEVELS + 1)}
    found: dict[int, Any] = {}
    for operation, _, made in shaped(encoder, (side, side)):
        level = by_size.get(made[0][1], -1) if len(made[0]) == 4 else -1
        if level >= 0 and (last or level not in found or made[0][3] >= found[level].shape[3]):
            found[level] = operation.output
    return found


def pretrained(network: Any, settings: NetworkSettings, source: str) -> None:
    """Fill the encoder with its published weights, fitted to our channels and normalization.

    Parameters
    ----------
    network : keras.Model
        Changed in place.
    settings : NetworkSettings
        With the encoder's name.
    source : str
        "imagenet", which fetches a file once, or the path of a file without the classifier ("notop") as
        keras.applications reads it. Those of EfficientNet-Lite0 are there already; a file of them is one
        that benchmarks/convert_lite0.py wrote.

    Raises
    ------
    ModelError
        If the weights cannot be fetched or read.
    """
    if settings.encoder == lite.NAME:
        lite.take_weights(network, settings, lite.WEIGHTS_FILE if source == "imagenet" else Path(source))
        return
    original = published(settings.encoder, source, include_top=False, input_shape=(SIDE, SIDE, 3))
    take_encoder(network, settings, original)


def take_encoder(network: Any, settings: NetworkSettings, original: Any) -> None:
    """Move the weights of an encoder of keras.applications into a network on it.

    Raises
    ------
    ModelError
        If they do not fit.
    """
    kind = _kind(settings)
    first = True
    for layer in network.layers:
        if not layer.name.startswith(PREFIX) or not layer.weights:
            continue
        number, _, inner = layer.name.removeprefix(PREFIX).split("_")[0].partition(INNER)
        theirs = original.operations[int(number)]
        weights = (theirs.layers[int(inner)] if inner else theirs).get_weights()
        if first and weights[0].ndim == 4:
            adapted = for_channels(weights[0], settings.input_channels, kind.blue_first)
            weights[0] = adapted * np.float32(kind.deviation)
            first = False
        if [w.shape for w in weights] != [tuple(w.shape) for w in layer.weights]:
            raise ModelError(
                f"the published weights of {layer.name} do not fit the encoder",
                code="model.pretrained.misfit",
            )
        layer.set_weights(weights)


ARCHITECTURE = Architecture(
    name="encoder_unet",
    title="U-Net on a published encoder",
    doi="10.1007/978-3-319-24574-4_28",
    when="The one to start with: EfficientNet-Lite0 has learned from ImageNet, so it needs fewer images.",
    build=build,
    input_sizes=input_sizes,
    settings_used=("block", "depth", "dropout", "encoder", "presence"),
    settings_ignored=passed_over,
    paper={"filters": 16, "input_channels": 3, "encoder": "ResNet50"},
    pretrained=pretrained,
    included=included,
)
