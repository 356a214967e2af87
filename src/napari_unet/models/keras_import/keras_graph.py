"""A network out of the description in a Keras file, built from layers known here and nothing else.

Keras' own safe mode refuses code, but not a description that asks for more memory than there is.
Here a layer is one of a list, its settings are numbers and words, and weights and images are counted before
they exist.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import ModelError

if TYPE_CHECKING:
    from napari_unet.models.keras_import.keras_files import KerasFile

MERGING = {"Add", "Average", "Concatenate", "Maximum", "Multiply"}
WITH_WEIGHTS = {
    "BatchNormalization", "Conv2D", "Conv2DTranspose", "Dense", "DepthwiseConv2D", "GroupNormalization",
    "SeparableConv2D",
}  # fmt: skip
KNOWN = {
    "Activation", "AveragePooling2D", "Cropping2D", "Dropout", "ELU", "GaussianDropout", "GaussianNoise",
    "GlobalAveragePooling2D", "InputLayer", "LeakyReLU", "MaxPooling2D", "ReLU", "Rescaling", "Softmax",
    "SpatialDropout2D", "UpSampling2D", "ZeroPadding2D",
} | MERGING | WITH_WEIGHTS  # fmt: skip
ACTIVATIONS = {
    "elu", "exponential", "gelu", "hard_sigmoid", "hard_silu", "leaky_relu", "linear", "mish", "relu",
    "relu6", "selu", "sigmoid", "silu", "softmax", "softplus", "softsign", "swish", "tanh",
}  # fmt: skip
LAST = {"linear", "sigmoid", "softmax"}
# Of no use once the weights are there, or able to take memory of their own.
LEFT_OUT = re.compile(
    r"dtype|batch_(input_)?shape|seed|lora_.*|quantization_.*|.*_(initializer|regularizer|constraint)"
)
REACHES = ("dilation_rate", "kernel_size", "pool_size", "strides")
MAX_REACH = 128  # pixels
MAX_LAYERS = 5000
MAX_VALUES = 2**28  # in all the images between the layers, for the test images


@dataclass(frozen=True, eq=False)
class SourceNetwork:
    """The network of a file, up to its logits.

    Attributes
    ----------
    network : keras.Model
        (N, Y, X, C) float32 to logits (N, Y', X', K).
    activation : str
        What the file puts on the logits: "linear" (nothing), "sigmoid" or "softmax".
    factor : float
        What the file multiplies images by first, left out in `network`; 1 for nothing.
    """

    network: Any
    activation: str
    factor: float


@dataclass
class _SourceLayer:
    kind: str
    config: dict[str, Any]
    sources: list[str]

    @property
    def activation(self) -> str:
        return "softmax" if self.kind == "Softmax" else str(self.config.get("activation", "linear"))


def build_source(source: KerasFile, shape: tuple[int, int, int], most: int) -> SourceNetwork:
    """Build the network that a file describes, and give it the file's weights.

    Parameters
    ----------
    source : KerasFile
        With a description.
    shape : tuple of int
        (Y, X, C) of the images it will be asked about.
    most : int
        Weights that it may have in all.

    Returns
    -------
    SourceNetwork
        Ready to answer.

    Raises
    ------
    ModelError
        If it has a layer that is not known here, or is damaged.
    """
    try:
        layers, output = _parse(source)
        activation, end = _last(layers, output, source.name)
        factor = _take_rescaling(layers)
        network = _assemble(layers, end, shape, most, source.name)
        _fill(network, source)
    except (
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        IndexError,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise ModelError(
            f"the network in {source.name} cannot be built",
            code="model.network.unbuildable",
            expected="one image in, one image out, layers of Keras with one use each",
            reason=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            remedy="import its weights alone: model.save_weights('model.weights.h5')",
        ) from error
    return SourceNetwork(network, activation, factor)


def _parse(source: KerasFile) -> tuple[dict[str, _SourceLayer], str]:
    """The layers by name, each after those that it reads, and the name of the last."""
    config = source.config or {}
    if config.get("class_name") not in ("Functional", "Model"):
        raise _refused(source.name, f"a {config.get('class_name')} model", "a functional Keras model")
    body = config["config"]
    if len(body["layers"]) > MAX_LAYERS:
        raise _refused(source.name, f"{len(body['layers'])} layers", f"at most {MAX_LAYERS}")
    layers: dict[str, _SourceLayer] = {}
    for entry in body["layers"]:
        kind, name = str(entry["class_name"]), str(entry["config"]["name"])
        if kind not in KNOWN or entry.get("module") not in (None, "keras.layers"):
            raise _refused(source.name, f"the layer {name}, a {kind}", "plain convolutional layers")
        nodes = entry.get("inbound_nodes", [])
        if len(nodes) > 1:
            raise _refused(source.name, f"the layer {name}, used {len(nodes)} times", "layers used once")
        sources = _names(nodes)
        if not all(other in layers for other in sources) or (not sources and kind != "InputLayer"):
            raise _refused(source.name, f"the layer {name}, which reads what is not there", "a whole network")
        layers[name] = _SourceLayer(kind, _plain(entry["config"], name, source.name), sources)
    outputs = _names(body["output_layers"])
    if len(outputs) != 1 or sum(layer.kind == "InputLayer" for layer in layers.values()) != 1:
        raise _refused(source.name, f"{len(outputs)} outputs", "one input and one output")
    return layers, outputs[0]


def _refused(name: str, got: str, expected: str) -> ModelError:
    return ModelError(
        f"the network in {name} cannot be imported",
        code="model.network.unsupported",
        expected=expected,
        got=got,
        remedy="build the network without it and save it again, or import its weights alone",
    )


def _names(item: Any) -> list[str]:
    """Names of the layers that a description refers to, as Keras 3 or Keras 2 writes them."""
    if isinstance(item, dict):
        history = item.get("config", {}).get("keras_history") if "config" in item else None
        return [str(history[0])] if history else [n for value in item.values() for n in _names(value)]
    if isinstance(item, list | tuple):
        if len(item) >= 3 and isinstance(item[0], str) and isinstance(item[1], int):
            return [item[0]]
        return [name for value in item for name in _names(value)]
    return []


def _plain(config: dict[str, Any], layer: str, file: str) -> dict[str, Any]:
    """The settings of a layer, as far as they are numbers, words and lists of those; computed in float32."""
    allowed = {}
    for key, value in config.items():
        if LEFT_OUT.fullmatch(key):
            continue
        if key in REACHES and value is not None and max(np.ravel(value)) > MAX_REACH:
            raise _refused(file, f"the layer {layer} with {key} {value}", f"at most {MAX_REACH}")
        chosen = value
        if key == "activation" and isinstance(chosen, dict):
            chosen = chosen.get("config")
        if key == "activation" and chosen is not None and chosen not in ACTIVATIONS:
            raise _refused(file, f"the layer {layer} with an activation of its own", "activations of Keras")
        if not isinstance(chosen, dict):
            allowed[key] = chosen
    if allowed.get("data_format") == "channels_first":
        raise _refused(file, f"the layer {layer} with channels first", "channels last")
    return {**allowed, "dtype": "float32"}


def _last(layers: dict[str, _SourceLayer], end: str, file: str) -> tuple[str, str]:
    """What is put on the logits, and the layer that gives them, now without it."""
    while layers[end].kind == "Activation" and layers[end].activation == "linear":
        end = layers[end].sources[0]
    activation = layers[end].activation
    if activation not in LAST:
        raise _refused(file, f"{activation} at its end", f"one of {', '.join(sorted(LAST))}")
    if layers[end].kind in ("Activation", "Softmax"):
        return activation, layers[end].sources[0]
    if "activation" in layers[end].config:
        layers[end].config["activation"] = "linear"
    return activation, end


def _take_rescaling(layers: dict[str, _SourceLayer]) -> float:
    """Take a mere factor off the beginning, which is a matter of preparing images."""
    for name, layer in layers.items():
        if layer.kind == "Rescaling" and layers[layer.sources[0]].kind == "InputLayer":
            scale, offset = layer.config["scale"], layer.config.get("offset", 0)
            readers = sum(layer.sources[0] in other.sources for other in layers.values())
            if isinstance(scale, int | float) and scale > 0 and offset == 0 and readers == 1:
                layers[name] = _SourceLayer(
                    "Activation", {"name": name, "activation": "linear"}, layer.sources
                )
                return float(scale)
    return 1.0


def _assemble(
    layers: dict[str, _SourceLayer], end: str, shape: tuple[int, int, int], most: int, file: str
) -> Any:
    import keras

    tensors: dict[str, Any] = {}
    weights = values = 0
    image: Any = None
    for name, layer in layers.items():
        if layer.kind == "InputLayer":
            image = tensors[name] = keras.Input(shape, name=name)
            continue
        inputs = [tensors[other] for other in layer.sources]
        if layer.kind in WITH_WEIGHTS:
            weights += _count(layer.config, inputs[0].shape[-1])
        if weights > most:
            raise _refused(file, f"more than {most:,} weights", f"about {most // 2:,}, as the settings have")
        built = getattr(keras.layers, layer.kind).from_config(layer.config)
        tensors[name] = built(inputs if layer.kind in MERGING else inputs[0])
        values += prod(n or 1 for n in tensors[name].shape)
        if values > MAX_VALUES:
            raise _refused(file, f"{values:,} values between its layers", f"at most {MAX_VALUES:,}")
    return keras.Model(image, tensors[end])


def _count(config: dict[str, Any], channels: int) -> int:
    """Weights of a layer, at most, from its settings."""
    kernel = config.get("kernel_size", 1)
    size = prod(kernel) if isinstance(kernel, list | tuple) else int(kernel) ** 2
    outputs = int(config.get("filters", config.get("units", 4)))
    return int(size * channels * int(config.get("depth_multiplier", 1)) * outputs)


def _fill(network: Any, source: KerasFile) -> None:
    stored = {layer.name: layer for layer in source.layers}
    for layer in network.layers:
        if layer.weights:
            layer.set_weights(stored[layer.name].arrays)
