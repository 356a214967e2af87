"""A network and what turns its logits into answers, as one ONNX program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_unet.networks.layers.star_shape import LONGEST, UNIT
from napari_unet.networks.onnx.graph import OPSET, Graph, write_layer, write_network
from napari_unet.settings import SEPARATION_CHANNELS

if TYPE_CHECKING:
    from napari_unet.networks.graphs.partial_output import Extent, PartialOutput
    from napari_unet.settings import NetworkSettings

IR_VERSION = 8  # of the file; read by ONNX Runtime 1.13 and later
MOST_BYTES = 2 * 10**9  # a file of protocol buffers holds no more
INPUT, OFFSET, OUTPUT = "image", "offset", "probabilities"


def answer_channels(settings: NetworkSettings) -> int:
    """Channels of what comes out: classes without the background, presence, what tells objects apart."""
    return settings.classes + settings.presence + SEPARATION_CHANNELS[settings.separation]


def onnx_program(onnx: Any, network: Any, settings: NetworkSettings, scale: float, *, shrinks: bool) -> Any:
    """Write a network as an ONNX program from prepared images to answers.

    Parameters
    ----------
    onnx : module
        The package onnx, with ``onnx.helper`` and ``onnx.numpy_helper`` imported.
    network : keras.Model
        A functional one, from images to logits.
    settings : NetworkSettings
        Of it.
    scale : float
        That images are resized by, which distances along rays do not include.
    shrinks : bool
        Whether what comes out is smaller than what goes in.

    Returns
    -------
    onnx.ModelProto
        From ``image``, (N, C, Y, X) float32, to ``probabilities``, (N, K, Y', X') float32 in [0, 1]. For
        softmax these are the classes without the background. Presence and separation come last.
        N, Y and X are free. Of a network in three dimensions both have an axis Z before Y.

    Raises
    ------
    ModelError
        If a layer has no equal here.
    """
    graph = Graph(onnx)
    _answers(graph, write_network(graph, network, INPUT), settings, scale)
    given = ["Z", "Y", "X"] if settings.in_3d else ["Y", "X"]
    sides = [f"{side}out" for side in given] if shrinks else given
    inputs = [(INPUT, ["N", settings.input_channels, *given])]
    return _program(graph, inputs, ["N", *_out(settings, sides)])


def onnx_part_program(
    onnx: Any,
    plan: PartialOutput,
    settings: NetworkSettings,
    scale: float,
    tile: tuple[int, int],
    part: tuple[int, int],
    place: tuple[int, int] | None = None,
) -> Any:
    """Write a narrowed network, as ``PartialOutput.build`` does, as an ONNX program.

    Parameters
    ----------
    onnx, settings, scale
        As ``onnx_program``; without presence.
    plan : PartialOutput
        Of the network.
    tile, part : (int, int)
        (Y, X) of what goes in and comes out, as ``PartialOutput.build`` has them.
    place : (int, int), optional
        Row and column at which every part begins; if not given, each part gets it.

    Returns
    -------
    onnx.ModelProto
        From ``image``, (1, C, Y, X) float32, and without a place ``offset``, (2,) int64 row and column at
        which the part begins, to ``probabilities``, (1, K, Y', X') float32 in [0, 1].

    Raises
    ------
    ModelError
        If a layer has no equal here.
    """
    graph = Graph(onnx)
    offset = OFFSET if place is None else graph.constant(list(place))
    values = {0: INPUT}
    for step in plan.steps:
        sources = [values[number] for number in step.sources]
        if step.operation is None:
            before, after = (plan.extents[n] for n in (step.sources[0], step.made[0]))
            cut = _cut(graph, sources[0], before, after, tile, part, offset)
            sides = [after.size(t, p) for t, p in zip(tile, part, strict=True)]
            # That of what begins anywhere the shape is known: memory is planned beforehand by it.
            shape = graph.constant([1, plan.channels[step.made[0]], *sides])
            made: tuple[str, ...] = (graph.add("Reshape", [cut, shape]),)
        else:
            made = write_layer(graph, step.operation, sources)
        values.update(zip(step.made, made, strict=True))
    _answers(graph, values[plan.result], settings, scale)
    given = [(INPUT, [1, settings.input_channels, *tile])]
    if place is None:
        given.append((OFFSET, [2]))
    return _program(graph, given, [1, *_out(settings, list(part))])


def _cut(
    graph: Graph,
    x: str,
    before: Extent,
    after: Extent,
    tile: tuple[int, int],
    part: tuple[int, int],
    offset: str,
) -> str:
    """What an extent covers, of a tensor that covers a larger one."""
    starts = graph.add("Sub", [_start(graph, e, tile, part, offset) for e in (after, before)])
    sizes = graph.constant([after.size(t, p) for t, p in zip(tile, part, strict=True)])
    inputs = [x, starts, graph.add("Add", [starts, sizes]), graph.constant([2, 3])]
    return graph.add("Slice", inputs)


def _start(graph: Graph, extent: Extent, tile: tuple[int, int], part: tuple[int, int], offset: str) -> str:
    """Row and column at which an extent begins, in its own pixels: ``Extent.start``."""
    if extent.margin is None:
        return graph.constant([0, 0])
    stride = extent.stride
    place = graph.add("Div", [offset, graph.constant([stride.numerator] * 2)])
    place = graph.add("Sub", [place, graph.constant([extent.margin] * 2)])
    room = [int(t / stride) - extent.size(t, p) for t, p in zip(tile, part, strict=True)]
    place = graph.add("Max", [place, graph.constant([0, 0])])
    return graph.add("Min", [place, graph.constant(room)])


def _out(settings: NetworkSettings, sides: list[Any]) -> list[Any]:
    return [answer_channels(settings), *sides]


def _program(graph: Graph, inputs: list[tuple[str, list[Any]]], output: list[Any]) -> Any:
    """A graph as a program; all tensors are float32 but the offset."""
    helper, types = graph.onnx.helper, graph.onnx.TensorProto
    given = [
        helper.make_tensor_value_info(name, types.INT64 if name == OFFSET else types.FLOAT, shape)
        for name, shape in inputs
    ]
    made = [helper.make_tensor_value_info(OUTPUT, types.FLOAT, output)]
    return helper.make_model(
        helper.make_graph(graph.nodes, "napari-unet", given, made, graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )


def _answers(graph: Graph, logits: str, settings: NetworkSettings, scale: float) -> None:
    """From logits to probabilities, presence, depth, and distances as shares of the longest."""
    apart = SEPARATION_CHANNELS[settings.separation]
    classes = settings.outputs - apart
    found = graph.channels(logits, 0, classes) if apart or settings.presence else logits
    if settings.activation == "softmax":
        found = graph.add("Softmax", [found], axis=1)
        found = graph.channels(found, 1, classes)
    else:
        found = graph.add("Sigmoid", [found])
    parts = [found]
    if settings.presence:
        of_image = graph.channels(logits, settings.outputs, settings.outputs + 1)
        parts.append(graph.add("Sigmoid", [of_image]))
    if apart:
        parts.append(graph.add("Sigmoid", [graph.channels(logits, classes, classes + 1)]))
    if settings.separation == "star":
        rays = graph.channels(logits, classes + 1, settings.outputs)
        rays = graph.add("Mul", [rays, graph.constant(UNIT / (scale * LONGEST))])
        parts.append(graph.add("Clip", [rays, graph.constant(0.0), graph.constant(1.0)]))
    if len(parts) > 1:
        found = graph.add("Concat", parts, axis=1)
    graph.add("Identity", [found], output=OUTPUT)
