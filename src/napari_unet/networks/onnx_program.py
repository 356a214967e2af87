"""A network and what turns its logits into answers, as one ONNX program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_unet.networks.onnx_graph import OPSET, Graph, write_network
from napari_unet.networks.star_shape import LONGEST, UNIT
from napari_unet.settings import SEPARATION_CHANNELS

if TYPE_CHECKING:
    from napari_unet.settings import NetworkSettings

IR_VERSION = 8  # of the file; read by ONNX Runtime 1.13 and later
MOST_BYTES = 2 * 10**9  # a file of protocol buffers holds no more
INPUT, OUTPUT = "image", "probabilities"


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
        That images are resized by, which distances along rays are told without.
    shrinks : bool
        Whether what comes out is smaller than what goes in.

    Returns
    -------
    onnx.ModelProto
        From ``image``, (N, C, Y, X) float32, to ``probabilities``, (N, K, Y', X') float32 in [0, 1]: for
        softmax the classes without the background; presence, and what tells objects apart, come last.
        N, Y and X are free.

    Raises
    ------
    ModelError
        If a layer has no equal here.
    """
    graph = Graph(onnx)
    _answers(graph, write_network(graph, network, INPUT), settings, scale)
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    sides = ["Yout", "Xout"] if shrinks else ["Y", "X"]
    channels = settings.input_channels
    return helper.make_model(
        helper.make_graph(
            graph.nodes,
            "napari-unet",
            [helper.make_tensor_value_info(INPUT, kind, ["N", channels, "Y", "X"])],
            [helper.make_tensor_value_info(OUTPUT, kind, ["N", answer_channels(settings), *sides])],
            graph.constants,
        ),
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
