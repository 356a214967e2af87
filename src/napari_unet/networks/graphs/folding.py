"""Batch normalization folded into the convolutions before it: an equal network that computes less.

At inference a normalization only multiplies each channel and adds to it. The convolution before it can do
this itself. With s = sqrt(variance + epsilon),
gamma (W x + b - mean) / s + beta = (gamma / s) W x + (b - mean) gamma / s + beta.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Axis of the outgoing channels in each kind's kernel.
CHANNEL_AXIS = {"Conv2D": 3, "Conv2DTranspose": 2, "SeparableConv2D": 3, "Conv3D": 4, "Conv3DTranspose": 3}


@dataclass(frozen=True, eq=False)
class Folded:
    """A network and its equal without the batch normalizations that could be folded.

    Attributes
    ----------
    original : keras.Model
        With batch normalization; this is what is trained and saved.
    network : keras.Model
        The folded one; the original itself where there is nothing to fold.
    pairs : dict
        Name of a convolution to the name of the normalization that went into it.
    """

    original: Any
    network: Any
    pairs: dict[str, str]

    def refresh(self) -> None:
        """Take over the weights that the original has now."""
        if not self.pairs:
            return
        for layer in self.original.layers:
            if layer.name in self.pairs:
                normalization = self.original.get_layer(self.pairs[layer.name])
                self.network.get_layer(layer.name).set_weights(_folded_weights(layer, normalization))
            elif layer.weights and layer.name not in self.pairs.values():
                self.network.get_layer(layer.name).set_weights(layer.get_weights())


def fold(network: Any) -> Folded:
    """Fold the batch normalizations of a network into the convolutions before them.

    A normalization is folded if its input comes straight from a convolution without activation (plain,
    transposed, separable or depthwise) that nothing else reads. Others stay as they are.

    Parameters
    ----------
    network : keras.Model
        A functional one in which each layer is used once; it is left as it is.

    Returns
    -------
    Folded
        With a network whose outputs are those of ``network(x, training=False)`` up to rounding.

    References
    ----------
    Jacob et al. 2018, section 3.2, doi:10.1109/CVPR.2018.00286.
    """
    import keras

    pairs = _pairs(network)
    if not pairs:
        return Folded(network, network, pairs)
    absorbed = set(pairs.values())

    def copy(layer: Any) -> Any:
        config = layer.get_config()
        if layer.name in pairs:
            config["use_bias"] = True
        for key in config:
            if key.endswith("kernel_initializer") or key == "depthwise_initializer":
                config[key] = "zeros"  # weights come from the original; random ones take time
        return type(layer).from_config(config)

    def call(layer: Any, *arguments: Any, **keywords: Any) -> Any:
        if layer.name in absorbed:
            return arguments[0]
        return layer(*arguments, **keywords)

    # One that learns is compiled with functions of ours, which a clone would look for by their names.
    plain = keras.Model(network.input, network.output) if network.compiled else network
    smaller = keras.models.clone_model(plain, clone_function=copy, call_function=call)
    folded = Folded(network, smaller, pairs)
    folded.refresh()
    return folded


def _pairs(network: Any) -> dict[str, str]:
    """Convolutions and the normalizations that can go into them, by name."""
    import keras

    readers: dict[int, int] = {}
    for operation in network.operations:
        if not isinstance(operation, keras.layers.InputLayer):
            for tensor in keras.tree.flatten(operation.input):
                readers[id(tensor)] = readers.get(id(tensor), 0) + 1
    for tensor in keras.tree.flatten(network.outputs):
        readers[id(tensor)] = readers.get(id(tensor), 0) + 1
    convolutions = {
        id(layer.output): layer
        for layer in network.layers
        if type(layer).__name__ in {*CHANNEL_AXIS, "DepthwiseConv2D"}
        and layer.activation is keras.activations.linear
        and readers.get(id(layer.output)) == 1
    }
    pairs = {}
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization) and id(layer.input) in convolutions:
            pairs[convolutions[id(layer.input)].name] = layer.name
    return pairs


def _folded_weights(layer: Any, normalization: Any) -> list[NDArray[np.float32]]:
    """Weights of a convolution that does what it and the normalization behind it did together."""
    scale = 1 / np.sqrt(_array(normalization.moving_variance) + normalization.epsilon)
    if normalization.gamma is not None:
        scale = scale * _array(normalization.gamma)
    bias = -_array(normalization.moving_mean) * scale
    if normalization.beta is not None:
        bias = bias + _array(normalization.beta)
    weights = layer.get_weights()
    if layer.use_bias:
        bias = bias + weights.pop() * scale
    kernel = weights[-1]
    if type(layer).__name__ == "DepthwiseConv2D":
        weights[-1] = kernel * scale.reshape(1, 1, kernel.shape[2], kernel.shape[3])
    else:
        axis = CHANNEL_AXIS[type(layer).__name__]
        weights[-1] = kernel * scale.reshape([-1 if n == axis else 1 for n in range(kernel.ndim)])
    return [w.astype(np.float32) for w in (*weights, bias)]


def _array(variable: Any) -> NDArray[np.float64]:
    from keras import ops

    return np.asarray(ops.convert_to_numpy(variable), np.float64)
