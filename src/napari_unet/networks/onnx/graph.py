"""A Keras network, layer by layer, as nodes of an ONNX graph with channels first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

OPSET = 17
IDENTITIES = {"Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "ActivityRegularization"}
MERGES = {"Add": "Sum", "Average": "Mean", "Maximum": "Max", "Minimum": "Min"}
ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "relu": ("Relu", {}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "elu": ("Elu", {}),
    "softplus": ("Softplus", {}),
    "softmax": ("Softmax", {"axis": 1}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "hard_silu": ("HardSwish", {}),
}


@dataclass
class Graph:
    """Nodes and constants of a graph that grows; tensors are known by name.

    Attributes
    ----------
    onnx : module
        The package onnx.
    nodes, constants : list
        ``NodeProto`` in the order of computation, and ``TensorProto``.
    """

    onnx: Any
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def add(self, kind: str, inputs: Sequence[str], *, output: str = "", **attributes: Any) -> str:
        """Add a node; gives back the name of what comes out."""
        name = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, values: NDArray[Any] | Sequence[int] | float) -> str:
        """Add a constant: float32, or int64 for integers; gives back its name."""
        array = np.asarray(values)
        typed = array.astype(np.int64 if array.dtype.kind in "iu" else np.float32)
        name = f"constant_{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(typed), name))
        return name

    def per_channel(self, values: Any, channels: int, axes: int = 2) -> str:
        """Add a constant (1, C, 1, 1) float32, or (1, 1, 1, 1) for a number; gives back its name.

        Of volumes, with three `axes`, it has one more.

        Raises
        ------
        ModelError
            If there are neither one nor `channels` values.
        """
        flat = np.asarray(values, np.float32).reshape(-1)
        if flat.size not in (1, channels):
            raise ModelError(
                "a layer has values for each pixel, which a network for every size cannot have",
                code="model.layer.unsupported",
                expected=f"1 or {channels}",
                got=str(flat.size),
            )
        return self.constant(flat.reshape(1, -1, *(1,) * axes))

    def cut(
        self, x: str, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int], step: int = 1
    ) -> str:
        """A slice along some axes."""
        inputs = [x, *(self.constant(list(v)) for v in (starts, ends, axes, [step] * len(axes)))]
        return self.add("Slice", inputs)

    def channels(self, x: str, start: int, end: int) -> str:
        """Some of the channels."""
        return self.cut(x, [start], [end], [1])

    def sides(self, x: str) -> str:
        """(Y, X) of a tensor, as a tensor of two integers."""
        return self.cut(self.add("Shape", [x]), [2], [4], [0])


def write_network(graph: Graph, network: Any, image: str) -> str:
    """Add a network's layers to a graph.

    Parameters
    ----------
    graph : Graph
        Where to.
    network : keras.Model
        A functional one with one input and one output, in which each layer is used once.
    image : str
        Name of the input tensor, (N, C, Y, X) float32, or (N, C, Z, Y, X) for a network of volumes.

    Returns
    -------
    str
        Name of the output tensor.

    Raises
    ------
    ModelError
        If a layer has no equal here.
    """
    import keras

    known: dict[int, str] = {id(keras.tree.flatten(network.inputs)[0]): image}
    waiting = [x for x in network.operations if not isinstance(x, keras.layers.InputLayer)]
    while waiting:
        later = []
        for layer in waiting:
            inputs = keras.tree.flatten(layer.input)
            if not all(id(t) in known for t in inputs):
                later.append(layer)
                continue
            outputs = write_layer(graph, layer, [known[id(t)] for t in inputs])
            for tensor, name in zip(keras.tree.flatten(layer.output), outputs, strict=True):
                known[id(tensor)] = name
        if len(later) == len(waiting):
            raise _refusal(later[0], "what it reads is not made by a layer of this network")
        waiting = later
    return known[id(keras.tree.flatten(network.outputs)[0])]


def write_layer(graph: Graph, layer: Any, inputs: list[str]) -> tuple[str, ...]:
    """Add one layer; gives back the names of what comes out, errors as ``write_network``."""
    kind = type(layer).__name__
    if kind in IDENTITIES:
        return (inputs[0],)
    if kind in MERGES:
        return (graph.add(MERGES[kind], inputs),)
    if kind not in WRITERS:
        raise _refusal(layer, f"layers of the kind {kind} have no equal in the export")
    try:
        made = WRITERS[kind](graph, layer, inputs)
    except ValueError as error:
        raise _refusal(layer, str(error)) from error
    return (made,) if isinstance(made, str) else made


def _refusal(layer: Any, why: str) -> ModelError:
    return ModelError(
        f"the layer {layer.name} cannot be written as ONNX",
        code="model.layer.unsupported",
        got=why,
        remedy="export a network whose layers can, such as unet",
    )


def _activate(graph: Graph, activation: Any, x: str) -> str:
    """Apply an activation function of Keras."""
    name = getattr(activation, "__name__", type(activation).__name__)
    if name == "linear":
        return x
    if name == "relu6":
        return graph.add("Clip", [x, graph.constant(0.0), graph.constant(6.0)])
    if name == "silu":
        return graph.add("Mul", [x, graph.add("Sigmoid", [x])])
    if name not in ACTIVATIONS:
        raise ValueError(f"the activation {name} is not known here")
    kind, attributes = ACTIVATIONS[name]
    return graph.add(kind, [x], **attributes)


def _activation(graph: Graph, layer: Any, inputs: list[str]) -> str:
    return _activate(graph, layer.activation, inputs[0])


def _relu(graph: Graph, layer: Any, inputs: list[str]) -> str:
    if layer.threshold or layer.negative_slope:
        raise ValueError("a ReLU with threshold or slope is not known here")
    if layer.max_value is None:
        return graph.add("Relu", inputs)
    return graph.add("Clip", [inputs[0], graph.constant(0.0), graph.constant(float(layer.max_value))])


def _leaky_relu(graph: Graph, layer: Any, inputs: list[str]) -> str:
    return graph.add("LeakyRelu", inputs, alpha=float(layer.negative_slope))


def _window(
    kernel: Sequence[int], strides: Sequence[int], dilation: Sequence[int], padding: str
) -> dict[str, Any]:
    """Attributes of convolution and pooling; "same" is as in TensorFlow, more at the end if uneven."""
    shape: dict[str, Any] = {"kernel_shape": list(kernel), "strides": list(strides)}
    if padding == "same":
        if max(strides) == 1:
            total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
            shape["pads"] = [t // 2 for t in total] + [t - t // 2 for t in total]
        elif max(dilation) == 1:
            shape["auto_pad"] = "SAME_UPPER"
        else:
            raise ValueError("padded convolutions with both stride and dilation are not known here")
    elif padding != "valid":
        raise ValueError(f"padding {padding!r} is not known here")
    return shape


def _convolve(
    graph: Graph,
    layer: Any,
    x: str,
    kernel: NDArray[Any],
    bias: NDArray[Any] | None,
    *,
    plain: bool = False,
    groups: int = 1,
) -> str:
    """A convolution, kernel ([Z,] Y, X, in / groups, out); `plain` without stride, dilation, padding."""
    sides = kernel.shape[:-2]
    one = [1] * len(sides)
    strides, dilation = (one, one) if plain else (layer.strides, layer.dilation_rate)
    attributes = _window(sides, strides, dilation, "valid" if plain else layer.padding)
    inputs = [x, graph.constant(_channels_first(kernel))]
    if bias is not None:
        inputs.append(graph.constant(bias))
    return graph.add("Conv", inputs, dilations=list(dilation), group=groups, **attributes)


def _channels_first(kernel: NDArray[Any]) -> NDArray[Any]:
    """([Z,] Y, X, A, B) as (B, A, [Z,] Y, X)."""
    return kernel.transpose(-1, -2, *range(kernel.ndim - 2))


def _conv(graph: Graph, layer: Any, inputs: list[str]) -> str:
    kernel, *rest = layer.get_weights()
    y = _convolve(graph, layer, inputs[0], kernel, rest[0] if rest else None, groups=layer.groups)
    return _activate(graph, layer.activation, y)


def _depthwise(kernel: NDArray[Any]) -> NDArray[Any]:
    """(Y, X, C, M) to (Y, X, 1, C * M)."""
    return kernel.reshape(*kernel.shape[:2], 1, -1)


def _depthwise_conv(graph: Graph, layer: Any, inputs: list[str]) -> str:
    kernel, *rest = layer.get_weights()
    bias = rest[0] if rest else None
    y = _convolve(graph, layer, inputs[0], _depthwise(kernel), bias, groups=kernel.shape[2])
    return _activate(graph, layer.activation, y)


def _separable_conv(graph: Graph, layer: Any, inputs: list[str]) -> str:
    first, second, *rest = layer.get_weights()
    y = _convolve(graph, layer, inputs[0], _depthwise(first), None, groups=first.shape[2])
    y = _convolve(graph, layer, y, second, rest[0] if rest else None, plain=True)
    return _activate(graph, layer.activation, y)


def _conv_transpose(graph: Graph, layer: Any, inputs: list[str]) -> str:
    kernel, *rest = layer.get_weights()  # ([Z,] Y, X, out, in)
    sides = list(zip(kernel.shape[:-2], layer.strides, strict=True))
    if max(layer.dilation_rate) > 1 or layer.output_padding is not None or any(k < s for k, s in sides):
        raise ValueError("up-convolutions with dilation, output padding or gaps are not known here")
    cut = [k - s if layer.padding == "same" else 0 for k, s in sides]
    tensors = [inputs[0], graph.constant(_channels_first(kernel))]
    if rest:
        tensors.append(graph.constant(rest[0]))
    y = graph.add(
        "ConvTranspose",
        tensors,
        kernel_shape=list(kernel.shape[:-2]),
        strides=list(layer.strides),
        pads=[c // 2 for c in cut] + [c - c // 2 for c in cut],
    )
    return _activate(graph, layer.activation, y)


def _max_pool(graph: Graph, layer: Any, inputs: list[str]) -> str:
    one = [1] * len(layer.pool_size)
    return graph.add("MaxPool", inputs, **_window(layer.pool_size, layer.strides, one, layer.padding))


def _average_pool(graph: Graph, layer: Any, inputs: list[str]) -> str:
    return graph.add("AveragePool", inputs, **_window(layer.pool_size, layer.strides, (1, 1), layer.padding))


def _global_average(graph: Graph, layer: Any, inputs: list[str]) -> str:
    del layer  # without keepdims, too: (N, C) is (N, C, 1, 1) here, and only a Reshape to that may follow
    return graph.add("GlobalAveragePool", inputs)


def _reshape(graph: Graph, layer: Any, inputs: list[str]) -> str:
    del graph
    if len(layer.input.shape) != 2 or tuple(layer.target_shape) != (1, 1, layer.input.shape[-1]):
        raise ValueError("only a mean over the image may change its shape")
    return inputs[0]


def _batch_norm(graph: Graph, layer: Any, inputs: list[str]) -> str:
    from keras import ops

    variance = np.asarray(ops.convert_to_numpy(layer.moving_variance), np.float64)
    mean = np.asarray(ops.convert_to_numpy(layer.moving_mean), np.float64)
    scale = 1 / np.sqrt(variance + layer.epsilon)
    if layer.gamma is not None:
        scale = scale * np.asarray(ops.convert_to_numpy(layer.gamma), np.float64)
    shift = -mean * scale
    if layer.beta is not None:
        shift = shift + np.asarray(ops.convert_to_numpy(layer.beta), np.float64)
    axes = len(layer.input.shape) - 2
    y = graph.add("Mul", [inputs[0], graph.per_channel(scale, scale.size, axes)])
    return graph.add("Add", [y, graph.per_channel(shift, scale.size, axes)])


def _group_norm(graph: Graph, layer: Any, inputs: list[str]) -> str:
    """Each group is normalized as one channel of an instance normalization, then scaled by channel."""
    from keras import ops

    channels, groups, axes = layer.input.shape[-1], layer.groups, len(layer.input.shape) - 2
    groups = channels if groups == -1 else groups
    together = graph.add("Reshape", [inputs[0], graph.constant([0, groups, -1])])
    ones, zeros = graph.constant(np.ones(groups)), graph.constant(np.zeros(groups))
    y = graph.add("InstanceNormalization", [together, ones, zeros], epsilon=float(layer.epsilon))
    y = graph.add("Reshape", [y, graph.add("Shape", [inputs[0]])])
    if layer.gamma is not None:
        y = graph.add("Mul", [y, graph.per_channel(ops.convert_to_numpy(layer.gamma), channels, axes)])
    if layer.beta is not None:
        y = graph.add("Add", [y, graph.per_channel(ops.convert_to_numpy(layer.beta), channels, axes)])
    return y


def _rescaling(graph: Graph, layer: Any, inputs: list[str]) -> str:
    channels = layer.input.shape[-1]
    y = graph.add("Mul", [inputs[0], graph.per_channel(layer.scale, channels)])
    return graph.add("Add", [y, graph.per_channel(layer.offset, channels)])


def _normalization(graph: Graph, layer: Any, inputs: list[str]) -> str:
    from keras import ops

    if layer.invert:
        raise ValueError("an inverted normalization is not known here")
    channels = layer.input.shape[-1]
    mean, variance = (np.asarray(ops.convert_to_numpy(v)) for v in (layer.mean, layer.variance))
    y = graph.add("Sub", [inputs[0], graph.per_channel(mean, channels)])
    return graph.add("Div", [y, graph.per_channel(np.maximum(np.sqrt(variance), 1e-7), channels)])


def _concatenate(graph: Graph, layer: Any, inputs: list[str]) -> str:
    if layer.axis not in (-1, len(layer.output.shape) - 1):
        raise ValueError("only channels can be put together")
    return graph.add("Concat", inputs, axis=1)


def _multiply(graph: Graph, layer: Any, inputs: list[str]) -> str:
    del layer
    y = inputs[0]
    for other in inputs[1:]:
        y = graph.add("Mul", [y, other])
    return y


def _cropping(graph: Graph, layer: Any, inputs: list[str]) -> str:
    (top, bottom), (left, right) = layer.cropping
    whole = 2**31 - 1
    return graph.cut(inputs[0], [top, left], [-bottom or whole, -right or whole], [2, 3])


def _zero_padding(graph: Graph, layer: Any, inputs: list[str]) -> str:
    (top, bottom), (left, right) = layer.padding
    return graph.add("Pad", [inputs[0], graph.constant([0, 0, top, left, 0, 0, bottom, right])])


def _resize(graph: Graph, x: str, factors: Sequence[int], *, linear: bool) -> str:
    how: dict[str, Any] = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    if not linear:
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return graph.add("Resize", [x, "", graph.constant(np.array([1.0, 1.0, *factors]))], **how)


def _up_sampling(graph: Graph, layer: Any, inputs: list[str]) -> str:
    if layer.interpolation not in ("nearest", "bilinear"):
        raise ValueError(f"the interpolation {layer.interpolation} is not known here")
    return _resize(graph, inputs[0], layer.size, linear=layer.interpolation == "bilinear")


def _bilinear_upsampling(graph: Graph, layer: Any, inputs: list[str]) -> str:
    return _resize(graph, inputs[0], (layer.factor, layer.factor), linear=True)


def _pooling_with_places(graph: Graph, layer: Any, inputs: list[str]) -> tuple[str, str]:
    """The four pixels of each window side by side along a new last axis, then their maximum."""
    del layer
    whole, last = 2**31 - 1, graph.constant([4])
    corners = [graph.cut(inputs[0], [row, col], [whole] * 2, [2, 3], 2) for row in (0, 1) for col in (0, 1)]
    stacked = graph.add("Concat", [graph.add("Unsqueeze", [c, last]) for c in corners], axis=4)
    places = graph.add("ArgMax", [stacked], axis=4, keepdims=0)
    return graph.add("ReduceMax", [stacked], axes=[4], keepdims=0), places


def _unpooling(graph: Graph, layer: Any, inputs: list[str]) -> str:
    """The values at each of the four places behind one another as channels, which then become pixels."""
    del layer
    x, places = inputs
    zero = graph.constant(0.0)
    at = [graph.add("Where", [graph.add("Equal", [places, graph.constant([n])]), x, zero]) for n in range(4)]
    return graph.add("DepthToSpace", [graph.add("Concat", at, axis=1)], blocksize=2)


def _crop_like(graph: Graph, layer: Any, inputs: list[str]) -> str:
    del layer
    start, axes = graph.constant([0, 0]), graph.constant([2, 3])
    return graph.add("Slice", [inputs[0], start, graph.sides(inputs[1]), axes])


def _spread_like(graph: Graph, layer: Any, inputs: list[str]) -> str:
    del layer
    shape = graph.add("Concat", [graph.constant([1, 1]), graph.sides(inputs[1])], axis=0)
    return graph.add("Expand", [inputs[0], shape])


WRITERS: dict[str, Callable[[Graph, Any, list[str]], str | tuple[str, ...]]] = {
    "Activation": _activation,
    "AveragePooling2D": _average_pool,
    "BatchNormalization": _batch_norm,
    "BilinearUpsampling": _bilinear_upsampling,
    "Concatenate": _concatenate,
    "Conv2D": _conv,
    "Conv2DTranspose": _conv_transpose,
    "Conv3D": _conv,
    "Conv3DTranspose": _conv_transpose,
    "CropLike": _crop_like,
    "Cropping2D": _cropping,
    "DepthwiseConv2D": _depthwise_conv,
    "GlobalAveragePooling2D": _global_average,
    "GroupNormalization": _group_norm,
    "LeakyReLU": _leaky_relu,
    "MaxPooling2D": _max_pool,
    "MaxPooling3D": _max_pool,
    "MaxPoolingWithIndices": _pooling_with_places,
    "MaxUnpooling": _unpooling,
    "Multiply": _multiply,
    "Normalization": _normalization,
    "ReLU": _relu,
    "Rescaling": _rescaling,
    "Reshape": _reshape,
    "SeparableConv2D": _separable_conv,
    "SpreadLike": _spread_like,
    "UpSampling2D": _up_sampling,
    "ZeroPadding2D": _zero_padding,
}
