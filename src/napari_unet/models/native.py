"""Networks run by OpenVINO on processors, where it is installed: the same answers, sooner."""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
from functools import cache, cached_property, partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import ModelError, SettingsError
from napari_unet.networks.onnx.program import MOST_BYTES, onnx_part_program, onnx_program

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_unet.networks.graphs.partial_output import PartialOutput
    from napari_unet.settings import NetworkSettings

VARIABLE = "NAPARI_UNET_RUNTIME"
RUNTIMES = ("auto", "keras", "openvino")
INSTALL = "pip install 'napari-unet-workbench[fast]'"
MOST_LANES = 8
SETTLED = 3  # parts that begin where the one before did, until it pays to compile for that place
VOLUME_AXES = 5  # of what a network in three dimensions takes
LARGE_PART = 2**19  # pixels from which it pays for a single part
log = logging.getLogger(__name__)


class NativeNetwork:
    """A network that OpenVINO has compiled; it takes every batch and size.

    Parameters
    ----------
    compiled : openvino.CompiledModel
        From (N, C, Y, X) to (N, K, Y', X'), or the same with an axis Z before Y.
    in_lanes : callable, optional
        (count) -> the same network, compiled for so many batches at one time.
    """

    def __init__(self, compiled: Any, in_lanes: Callable[[int], Any] | None = None) -> None:
        self._compiled = compiled
        self._in_lanes = in_lanes
        self._request = compiled.create_infer_request()
        self._lock = threading.Lock()  # a request answers one at a time

    def __call__(self, images: NDArray[np.float32], *offset: NDArray[np.int64]) -> NDArray[np.float32]:
        """Answers of ``Model.outputs``: (N, Y', X', K) float32 for images (N, Y, X, C) float32.

        Of volumes both have an axis Z before Y. One that answers for a part of a tile takes the row and
        column of that part, too.
        """
        ordered = np.ascontiguousarray(np.moveaxis(images, -1, 1), np.float32)
        with self._lock:
            try:
                answers = self._request.infer([ordered, *offset], share_inputs=True, share_outputs=True)
            except RuntimeError:
                # One that ran out of memory keeps asking for as much, also for smaller images.
                self._request = self._compiled.create_infer_request()
                raise
            (found,) = answers.values()
            # A copy: the next answer is written to the same place.
            return np.array(np.moveaxis(found, 1, -1), order="C")

    def some(self, channels: list[int]) -> NativeAnswers:
        """As calling it, with these channels of the answers alone, in this order."""
        return NativeAnswers(self, channels)

    @cached_property
    def lanes(self) -> NativeLanes | None:
        """The same network, many batches at one time; None on one core, or where that fails."""
        if self._in_lanes is None:
            return None
        count = min(MOST_LANES, int(self._compiled.get_property("INFERENCE_NUM_THREADS")))
        if count < 2:
            return None
        try:
            compiled = self._in_lanes(count)
        except RuntimeError as error:
            log.warning("OpenVINO cannot compile the network again: %s", error)
            return None
        return NativeLanes([NativeNetwork(compiled) for _ in range(count)])


class NativeLanes:
    """A network that answers many batches at one time, each with its share of the cores.

    For batches of small images this is faster. All cores of one batch wait for each other after each layer,
    also if the system takes one of them away for another thread.

    Parameters
    ----------
    lanes : list of NativeNetwork
        Of one compiled program; each answers one batch at a time.
    """

    def __init__(self, lanes: list[NativeNetwork]) -> None:
        self.count = len(lanes)
        self._free: queue.SimpleQueue[NativeNetwork] = queue.SimpleQueue()
        for lane in lanes:
            self._free.put(lane)

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """As ``NativeNetwork``; from any thread, and waits until a lane is free."""
        lane = self._free.get()
        try:
            return lane(images)
        finally:
            self._free.put(lane)


class NativeAnswers:
    """Some channels of what a network answers.

    Parameters
    ----------
    network : NativeNetwork or NativeLanes
        Whose.
    channels : list of int
        In the order wanted.
    """

    def __init__(self, network: NativeNetwork | NativeLanes, channels: list[int]) -> None:
        self._network = network
        self._channels = channels
        self._chosen: Any = channels
        if channels == list(range(len(channels))):
            self._chosen = slice(len(channels))

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, Y', X', K) float32 for images (N, Y, X, C) float32."""
        return self._network(images)[..., self._chosen]

    def in_lanes(self) -> tuple[Callable[[NDArray[np.float32]], NDArray[np.float32]], int]:
        """The same for many batches at one time, and how many; compiled where it was not yet."""
        lanes = self._network.lanes if isinstance(self._network, NativeNetwork) else None
        return (self, 1) if lanes is None else (NativeAnswers(lanes, self._channels), lanes.count)


def chosen_runtime() -> str:
    """What computes networks where both could, by the environment: "auto", "keras" or "openvino".

    Raises
    ------
    SettingsError
        If NAPARI_UNET_RUNTIME is another word, or names what is not installed.
    """
    named = os.environ.get(VARIABLE, "") or "auto"
    if named not in RUNTIMES:
        raise SettingsError(
            f"{VARIABLE} is {named!r}",
            code="settings.runtime.unknown",
            expected=" or ".join(RUNTIMES),
            remedy="change it, or leave it out",
        )
    if named == "openvino" and not is_installed():
        raise SettingsError(
            f"{VARIABLE} is openvino",
            code="settings.package.missing",
            expected="the packages openvino and onnx",
            remedy=f"run: {INSTALL}",
        )
    return named


def is_chosen() -> bool:
    """Whether OpenVINO is there and nobody has chosen Keras; errors as ``chosen_runtime``."""
    return chosen_runtime() != "keras" and is_installed()


@cache
def is_installed() -> bool:
    """Whether OpenVINO, and ONNX by which networks get there, can be imported."""
    return all(find_spec(name) is not None for name in ("openvino", "onnx"))


def is_wanted(network: Any) -> bool:
    """Whether a network is to be run by OpenVINO.

    Parameters
    ----------
    network : keras.Model
        Whose weights lie where Keras computes: on a graphics processor it does so itself. Float16 is
        multiplied by those alone.
    """
    return is_chosen() and on_processor(network) and precision_of(network) != "f16"


def precision_of(network: Any) -> str:
    """What a network computes with, as OpenVINO calls it."""
    types = {str(layer.compute_dtype) for layer in network.layers}
    return "bf16" if "bfloat16" in types else "f16" if "float16" in types else "f32"


def on_processor(network: Any) -> bool:
    """Whether the weights of a network lie in the memory of the processor."""
    return all("cpu" in str(w.value.device).lower() for w in network.weights[:1])


def compile_network(
    network: Any,
    settings: NetworkSettings,
    scale: float,
    *,
    shrinks: bool,
    on_program: Callable[[bytes], None] | None = None,
) -> NativeNetwork | None:
    """Compile a network as its weights are now.

    Parameters
    ----------
    network : keras.Model
        Functional, batch normalization folded.
    settings, scale, shrinks
        As ``onnx_program``.
    on_program : callable, optional
        Takes the program once it is compiled, for ``compile_program`` in another process.

    Returns
    -------
    NativeNetwork or None
        None where a layer has no equal there, the network is too large, or OpenVINO fails without having
        been asked for.
    """
    return _compiled(
        network, lambda onnx: onnx_program(onnx, network, settings, scale, shrinks=shrinks), on_program
    )


def compile_program(program: bytes, precision: str) -> NativeNetwork | None:
    """Compile what ``compile_network`` gave; ``precision`` is that of Keras. None if OpenVINO fails."""
    try:
        return _compiled_there(program, {"float32": "f32", "mixed_bfloat16": "bf16"}[precision])
    except (ImportError, RuntimeError, KeyError) as error:
        log.warning("OpenVINO cannot run a program of an earlier run: %s", error)
        return None


def compile_part(
    plan: PartialOutput,
    settings: NetworkSettings,
    scale: float,
    tile: tuple[int, int],
    part: tuple[int, int],
    place: tuple[int, int] | None = None,
) -> NativeNetwork | None:
    """Compile a narrowed network; parameters as ``onnx_part_program``, the rest as ``compile_network``."""
    return _compiled(
        plan.network, lambda onnx: onnx_part_program(onnx, plan, settings, scale, tile, part, place)
    )


class NativeParts:
    """A narrowed network; where many parts begin at one place of their tiles, compiled for that place.

    Where a part begins anywhere, tensors are laid out again before they are cut, which takes a third of the
    time, or half. One program is in memory at a time.

    Parameters
    ----------
    program : NativeNetwork
        The first.
    build : callable
        Compiles for a place, or for any if it is None.
    place : (int, int), optional
        What `program` was compiled for; without it, it learns where each part begins.
    settled : int
        Parts that begin where the one before did, until it pays to compile for that place.
    """

    def __init__(
        self,
        program: NativeNetwork,
        build: Callable[[tuple[int, int] | None], NativeNetwork | None],
        place: tuple[int, int] | None = None,
        settled: int = SETTLED,
    ) -> None:
        self._program: NativeNetwork | None = program  # none while another is compiled
        self._build = build
        self._place = place
        self._settled = settled
        self._last: tuple[int, int] | None = None
        self._alike = 0  # parts so far that began where the last one did

    def __call__(self, image: NDArray[np.float32], offset: tuple[int, int]) -> NDArray[np.float32]:
        """Answers (1, Y', X', K) float32 for the part of a tile (1, Y, X, C) float32 that begins there.

        Raises
        ------
        MemoryError
            If the network cannot be compiled again.
        """
        self._alike = self._alike + 1 if offset == self._last else 0
        self._last = offset
        place = offset if self._alike >= self._settled or self._place == offset else None
        if self._program is None or place != self._place:
            self._program = None  # before the other takes its memory
            self._place, self._program = place, self._build(place)
        if self._program is None:
            raise MemoryError("OpenVINO cannot compile the network again")
        return self._program(image, *([np.asarray(offset, np.int64)] if place is None else []))


def _compiled(
    network: Any, write: Callable[[Any], Any], on_program: Callable[[bytes], None] | None = None
) -> NativeNetwork | None:
    if 4 * network.count_params() > MOST_BYTES:
        return None
    try:
        import onnx
        import onnx.helper
        import onnx.numpy_helper

        program = write(onnx).SerializeToString()
        compiled = _compiled_there(program, precision_of(network))
        if on_program is not None:
            on_program(program)
        return compiled
    except ModelError:
        return None
    except (ImportError, RuntimeError) as error:
        if chosen_runtime() == "openvino":
            raise
        log.warning("OpenVINO fails here, Keras computes in its place: %s", error)
        return None


def _compiled_there(program: bytes, precision: str) -> NativeNetwork:
    properties = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision,
        # Other programs compute, too: the system knows better which core is free.
        "ENABLE_CPU_PINNING": False,
    }
    core = _core()
    read = core.read_model(program, b"")
    compiled = core.compile_model(read, "CPU", properties)
    if len(read.inputs[0].partial_shape) == VOLUME_AXES:
        return NativeNetwork(compiled)  # a tile is large enough for all cores, and one takes memory enough
    return NativeNetwork(compiled, partial(_compiled_in_lanes, core, read, properties))


def _compiled_in_lanes(core: Any, read: Any, properties: dict[str, Any], count: int) -> Any:
    return core.compile_model(read, "CPU", {**properties, "NUM_STREAMS": count})


@cache
def _core() -> Any:
    # Without this, OpenVINO sends a message over the network at every start. It forks a process for that,
    # which can stay behind. OpenVINO sends nothing if it does not find this package.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino.Core()
