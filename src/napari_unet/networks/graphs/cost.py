"""What a network costs and sees: weights, operations, receptive field, from its graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

PERIOD = 64  # output pixels looked at: no network here repeats itself after more


@dataclass(frozen=True)
class Cost:
    """What a network costs and sees.

    Attributes
    ----------
    parameters : int
        Trained weights, statistics of normalizations left out.
    gflop : float
        Operations for one image, in 10**9, as ``flop`` counts them.
    receptive_field : int or None
        Side of the square of input pixels that one output pixel depends on at most; None: the whole image.
    """

    parameters: int
    gflop: float
    receptive_field: int | None


def cost_of(network: Any, size: int = 256) -> Cost:
    """Weights, operations for an image of `size` x `size`, and receptive field of a functional network."""
    trained = sum(int(np.prod(w.shape)) for w in network.trainable_weights)
    return Cost(trained, flop(network, (size, size)) / 1e9, receptive_field(network))


def flop(network: Any, shape: tuple[int, ...]) -> int:
    """Operations of all convolutions and dense layers for one image or volume.

    A multiplication and the addition of its product count as two operations; biases, normalizations,
    activations and poolings, a few in a hundred of the whole, are left out.

    Parameters
    ----------
    network : keras.Model
        A functional one in which each layer is used once.
    shape : tuple of int
        (Y, X) of the image, or (Z, Y, X) of the volume.

    Returns
    -------
    int
        2 * (outputs) * (kernel area) * (channels in) for each convolution, (inputs) instead of
        (outputs) for a transposed one.
    """
    total = 0
    for operation, inputs, outputs in shaped(network, shape):
        if hasattr(operation, "products"):
            total += 2 * operation.products(inputs, outputs)
        else:
            total += 2 * multiplications(operation, inputs[0], outputs[0])
    return total


def shaped(
    network: Any, shape: tuple[int, ...]
) -> Iterator[tuple[Any, list[tuple[int, ...]], list[tuple[int, ...]]]]:
    """Every operation with shapes of what goes in and comes out, for one image of a shape.

    Parameters
    ----------
    network : keras.Model
        A functional one in which each layer is used once.
    shape : tuple of int
        (Y, X) of the image, or (Z, Y, X) of a volume.

    Yields
    ------
    operation : keras.Operation
        In an order in which nothing comes before what it reads.
    inputs, outputs : list of tuple of int
        Shapes, (1, Y, X, C) each for an image.
    """
    import keras

    known: dict[int, Any] = {}
    for tensor in network.inputs:
        known[id(tensor)] = keras.KerasTensor((1, *shape, tensor.shape[-1]), tensor.dtype)
    for operation in network.operations:
        if isinstance(operation, keras.layers.InputLayer):
            continue
        arguments = keras.tree.map_structure(lambda t: known[id(t)], operation.input)
        made = _made_of(operation, arguments)
        outputs = keras.tree.flatten(made)
        for tensor, concrete in zip(keras.tree.flatten(operation.output), outputs, strict=True):
            known[id(tensor)] = concrete
        yield operation, [t.shape for t in keras.tree.flatten(arguments)], [t.shape for t in outputs]


def _made_of(operation: Any, arguments: Any) -> Any:
    """What comes out of an operation, as tensors with shapes only."""
    import inspect

    import keras

    if not isinstance(operation, keras.layers.Layer):  # arithmetic, perhaps with a number
        shapes = [tensor.shape for tensor in keras.tree.flatten(arguments)]
        return keras.KerasTensor(np.broadcast_shapes(*shapes), operation.output.dtype)
    if not isinstance(arguments, list):
        return operation.compute_output_spec(arguments)
    needed = [p for p in inspect.signature(operation.call).parameters.values() if p.default is p.empty]
    if len(needed) > 1:  # each input is an argument of its own
        return operation.compute_output_spec(*arguments)
    return operation.compute_output_spec(arguments)


def multiplications(operation: Any, given: tuple[int, ...], made: tuple[int, ...]) -> int:
    """Of an operation, by the shapes (N, Y, X, C) or (N, Z, Y, X, C) of what goes in and comes out."""
    kind = type(operation).__name__
    pixels_in, pixels_out = given[1:-1], made[1:-1]
    if kind == "Dense":
        return int(np.prod(made[1:-1])) * given[-1] * made[-1]
    plain, transposed = {"Conv2D", "Conv3D"}, {"Conv2DTranspose", "Conv3DTranspose"}
    if kind not in plain | transposed | {"DepthwiseConv2D", "SeparableConv2D"}:
        return 0
    area = int(np.prod(operation.kernel_size))
    if kind in transposed:
        return int(np.prod(pixels_in)) * area * given[-1] * made[-1]
    outputs = int(np.prod(pixels_out))
    if kind in plain:
        return outputs * area * given[-1] * made[-1] // int(operation.groups)
    deep = given[-1] * int(operation.depth_multiplier)
    depthwise = outputs * area * deep
    return depthwise if kind == "DepthwiseConv2D" else depthwise + outputs * deep * made[-1]


def receptive_field(network: Any) -> int | None:
    """Side of the square of input pixels that one output pixel depends on at most.

    Followed backwards through the graph, exactly, for each of the first 64 output pixels, as those of a
    network with poolings do not all see equally far.

    Parameters
    ----------
    network : keras.Model
        A functional one in which each layer is used once.

    Returns
    -------
    int or None
        Pixels; None where everything is seen, as with a mean over the image.
    """
    seen = [seen_by(network, pixel) for pixel in range(PERIOD)]
    return None if None in seen else max(s[1] - s[0] + 1 for s in seen if s is not None)


def reach(network: Any) -> int | None:
    """How far from a pixel, either way, the input lies that decides its output; None: everywhere."""
    seen = [(pixel, seen_by(network, pixel)) for pixel in range(PERIOD)]
    if any(span is None for _, span in seen):
        return None
    return max(max(pixel - s[0], s[1] - pixel) for pixel, s in seen if s is not None)


def held_values(network: Any, shape: tuple[int, ...]) -> int:
    """Numbers that are held at once, at most, while one image runs through a network.

    Parameters
    ----------
    network : keras.Model
        A functional one in which each layer is used once.
    shape : tuple of int
        (Y, X) of the image, or (Z, Y, X) of a volume.

    Returns
    -------
    int
        What goes in and comes out of an operation, and what later ones still need; weights and what a
        convolution takes for itself are not counted.
    """
    import keras

    uses: dict[int, int] = {}
    for operation in network.operations:
        if not isinstance(operation, keras.layers.InputLayer):
            for tensor in keras.tree.flatten(operation.input):
                uses[id(tensor)] = uses.get(id(tensor), 0) + 1
    held = {id(t): int(np.prod(shape)) * int(t.shape[-1]) for t in network.inputs}
    most = 0
    for operation, _, outputs in shaped(network, shape):
        for tensor, made in zip(keras.tree.flatten(operation.output), outputs, strict=True):
            held[id(tensor)] = int(np.prod(made))
        most = max(most, sum(held.values()))
        for tensor in keras.tree.flatten(operation.input):
            uses[id(tensor)] -= 1
            if not uses[id(tensor)]:
                held.pop(id(tensor), None)
    return most


def seen_by(network: Any, pixel: int) -> tuple[int, int] | None:
    """First and last input pixel along one axis that an output pixel depends on; None: all.

    Pixels beyond the image's borders count, with negative numbers before the first.
    """
    import keras

    needed: dict[int, tuple[int, int]] = {id(network.outputs[0]): (pixel, pixel)}
    for operation in reversed(network.operations):
        wanted = [needed[id(t)] for t in keras.tree.flatten(operation.output) if id(t) in needed]
        if not wanted or isinstance(operation, keras.layers.InputLayer):
            continue
        span = reads(operation, min(w[0] for w in wanted), max(w[1] for w in wanted))
        if span is None:
            return None
        for tensor in keras.tree.flatten(operation.input):
            before = needed.get(id(tensor), span)
            needed[id(tensor)] = min(before[0], span[0]), max(before[1], span[1])
    return needed[id(network.inputs[0])]


def reads(operation: Any, first: int, last: int) -> tuple[int, int] | None:
    """Pixels of the input along one axis that output pixels first to last depend on; None: all."""
    kind = type(operation).__name__
    if hasattr(operation, "reads"):
        own: tuple[int, int] | None = operation.reads(first, last)
        return own
    if kind.startswith("Global") or kind == "GroupNormalization":
        return None
    if kind == "Cropping2D":
        return first + operation.cropping[0][0], last + operation.cropping[0][0]
    if kind == "ZeroPadding2D":
        return first - operation.padding[0][0], last - operation.padding[0][0]
    if kind == "Conv2DTranspose":
        kernel, stride = operation.kernel_size[0], operation.strides[0]
        before = max(kernel - stride, 0) // 2 if operation.padding == "same" else 0
        return -((kernel - 1 - before - first) // stride), (last + before) // stride
    return _window(operation, first, last)


def _window(operation: Any, first: int, last: int) -> tuple[int, int]:
    """What a convolution or pooling reads; one pixel for anything else."""
    size = getattr(operation, "kernel_size", None) or getattr(operation, "pool_size", None)
    if size is None:
        return first, last
    stride = operation.strides[0]
    reach = (size[0] - 1) * getattr(operation, "dilation_rate", (1,))[0]
    before = max(reach + 1 - stride, 0) // 2 if operation.padding == "same" else 0
    return first * stride - before, last * stride - before + reach
