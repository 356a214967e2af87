"""A network that answers for a part of its input alone, and computes no more around it than that needs.

Of a tile with context on every side only the middle is wanted. The way down needs the context. The way
up needs less and less of it, a pixel or two at the full resolution, where most of the memory and a fifth
of the work are. So tensors are cut, as soon as they are made, to what those who read them need.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any

from napari_unet.networks.graphs.cost import multiplications, reads

if TYPE_CHECKING:
    from collections.abc import Iterator

# Each pixel comes of the same pixel of what goes in.
ALIKE = {
    "Activation", "Add", "BatchNormalization", "Concatenate", "Dropout", "LeakyReLU", "Multiply", "ReLU",
    "SpatialDropout2D",
}  # fmt: skip
DOWN = {"AveragePooling2D", "Conv2D", "DepthwiseConv2D", "MaxPooling2D", "SeparableConv2D"}
OWN = {
    "BilinearUpsampling": Fraction(-1),
    "MaxPoolingWithIndices": Fraction(2),
    "MaxUnpooling": Fraction(1, 2),
}
WORTH = 12  # pixels of the image on either side, from which on it pays to cut something off
FAR = 2**14  # pixels; more than any network sees


@dataclass(frozen=True)
class Extent:
    """How much of a tile a tensor covers.

    Attributes
    ----------
    stride : fractions.Fraction
        Pixels of the tile for one of the tensor, a whole number.
    margin : int or None
        Pixels of the tensor around the wanted part, on either side; None: all of the tile.
    """

    stride: Fraction
    margin: int | None = None

    def size(self, tile: int, part: int) -> int:
        """Along one axis; not more than the tile has."""
        whole = int(tile / self.stride)
        return whole if self.margin is None else min(whole, int(part / self.stride) + 2 * self.margin)

    def start(self, offset: Any, tile: int, part: int) -> Any:
        """Where in the tile it begins, in its own pixels, for a part that begins at an offset."""
        from keras import ops

        room = int(tile / self.stride) - self.size(tile, part)
        if self.margin is None or not room:
            return ops.zeros_like(offset)
        return ops.clip(offset // self.stride.numerator - self.margin, 0, room)


@dataclass(frozen=True)
class GraphStep:
    """An operation of the network, or a cut.

    Attributes
    ----------
    operation : keras.Operation or None
        None: the one source is cut to the extent of what is made.
    sources, made : tuple of int
        Numbers of tensors.
    """

    operation: Any
    sources: tuple[int, ...]
    made: tuple[int, ...]


@dataclass(eq=False)
class PartialOutput:
    """How a network is narrowed, whatever the size of tile and part.

    Attributes
    ----------
    network : keras.Model
        As it is.
    steps : list of GraphStep
        In order.
    extents : list of Extent
        Of the tensors by their numbers; 0 is the tile.
    channels : list of int
        Of the tensors.
    result : int
        Number of the tensor that is the answer; it covers the part, or more.
    """

    network: Any
    steps: list[GraphStep] = field(default_factory=list)
    extents: list[Extent] = field(default_factory=list)
    channels: list[int] = field(default_factory=list)
    result: int = 0

    def shapes(self, tile: tuple[int, int], part: tuple[int, int]) -> list[tuple[int, int, int]]:
        """(Y, X, C) of every tensor."""
        return [
            (extent.size(tile[0], part[0]), extent.size(tile[1], part[1]), channels)
            for extent, channels in zip(self.extents, self.channels, strict=True)
        ]

    def flop(self, tile: tuple[int, int], part: tuple[int, int]) -> int:
        """Operations for one tile, as ``cost.flop`` counts them."""
        shapes = self.shapes(tile, part)
        total = 0
        for step in self.steps:
            if step.operation is not None:
                given, made = shapes[step.sources[0]], shapes[step.made[0]]
                total += 2 * multiplications(step.operation, (1, *given), (1, *made))
        return total

    def held_values(self, tile: tuple[int, int], part: tuple[int, int]) -> int:
        """Numbers that are held at once, at most, as ``cost.held_values`` counts them."""
        sizes = [y * x * c for y, x, c in self.shapes(tile, part)]
        uses = [0] * len(sizes)
        for step in self.steps:
            for source in step.sources:
                uses[source] += 1
        uses[self.result] += 1
        now = most = sizes[0]
        for step in self.steps:
            now += sum(sizes[number] for number in step.made)
            most = max(most, now)
            for source in step.sources:
                uses[source] -= 1
                now -= 0 if uses[source] else sizes[source]
        return most

    def build(self, tile: tuple[int, int], part: tuple[int, int]) -> Any:
        """The network for tiles and parts of one size: a keras.Model of tile and offset.

        Parameters
        ----------
        tile : (int, int)
            (Y, X) of what goes in, which the network takes.
        part : (int, int)
            (Y, X) of what comes out, multiples of the network's steps.

        Returns
        -------
        keras.Model
            [(1, Y, X, C) float32, (2,) int32 row and column where the part begins] to what the network says
            of the part, (1, Y', X', K). It shares the weights.
        """
        return partial_model()(self, tile, part)


def partial_output(network: Any) -> PartialOutput | None:
    """See how a network can be narrowed.

    Parameters
    ----------
    network : keras.Model
        A functional one in which each layer is used once, that loses no margin.

    Returns
    -------
    PartialOutput or None
        None where something in it is not known to depend on near pixels alone.
    """
    strides = _strides(network)
    if strides is None:
        return None
    needed = _needed(network, strides)
    return _CutLayer(network, strides, needed).lay()


def _tensors(structure: Any) -> list[Any]:
    import keras

    return list(keras.tree.flatten(structure))


def _operations(network: Any) -> Iterator[tuple[Any, list[Any], list[Any]]]:
    """Operations with what goes in and comes out, in order."""
    import keras

    for operation in network.operations:
        if not isinstance(operation, keras.layers.InputLayer):
            yield operation, _tensors(operation.input), _tensors(operation.output)


def _change(operation: Any) -> Fraction | None:
    """By how much pixels become larger; None for what cannot be narrowed."""
    import keras

    kind = type(operation).__name__
    if not isinstance(operation, keras.layers.Layer):
        return None
    if kind in ALIKE:
        return Fraction(1)
    if kind in OWN:
        known = OWN[kind]
        return Fraction(1, operation.factor) if known < 0 else known
    stride = getattr(operation, "strides", (0, 0))
    if kind == "Conv2DTranspose" and operation.padding == "same":
        return Fraction(1, stride[0])
    if kind not in DOWN or stride[0] != stride[1]:
        return None
    size = getattr(operation, "kernel_size", None) or operation.pool_size
    own_size = size == (1, 1) or (size == stride and hasattr(operation, "pool_size"))
    return Fraction(stride[0]) if operation.padding == "same" or own_size else None


def _strides(network: Any) -> dict[int, Fraction] | None:
    """Pixels of the image for one of each tensor; None if the network cannot be narrowed."""
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        return None
    found = {id(network.inputs[0]): Fraction(1)}
    for operation, given, made in _operations(network):
        change = _change(operation)
        before = {found[id(t)] for t in given}
        if change is None or len(before) != 1:
            return None
        for tensor in made:
            found[id(tensor)] = before.pop() * change if before else found[id(made[0])]
    whole = all(stride.denominator == 1 for stride in found.values())
    return found if whole and found[id(network.outputs[0])] == 1 else None


def _needed(network: Any, strides: dict[int, Fraction]) -> dict[int, int]:
    """Pixels of each tensor around the part that decide what is said of the part."""
    spans = {id(network.outputs[0]): (FAR, 2 * FAR - 1)}
    for operation, given, made in reversed(list(_operations(network))):
        wanted = [spans[id(t)] for t in made if id(t) in spans]
        if not wanted:
            continue
        span = reads(operation, min(w[0] for w in wanted), max(w[1] for w in wanted))
        assert span is not None
        for tensor in given:
            before = spans.get(id(tensor), span)
            spans[id(tensor)] = min(before[0], span[0]), max(before[1], span[1])
    margins = {}
    for key, (first, last) in spans.items():
        start, stop = int(FAR / strides[key]), int(2 * FAR / strides[key])
        margins[key] = max(start - first, last + 1 - stop, 0)
    return margins


class _CutLayer:
    """Lays the steps of a narrowing, one operation after another."""

    def __init__(self, network: Any, strides: dict[int, Fraction], needed: dict[int, int]) -> None:
        self.network = network
        self.strides = strides
        self.needed = needed
        self.grid = _grids(network)
        self.found = PartialOutput(network)
        self.numbers: dict[tuple[int, int | None], int] = {}  # tensor and margin to number
        self.extent: dict[int, Extent] = {}  # of each tensor as it was made

    def lay(self) -> PartialOutput:
        image = self.network.inputs[0]
        self._new(image, Extent(Fraction(1)))
        for operation, given, made in _operations(self.network):
            extents = self._wanted(operation, given)
            sources = tuple(self._cut(t, extent) for t, extent in zip(given, extents, strict=True))
            change = self.strides[id(made[0])] / self.strides[id(given[0])]
            margin = extents[0].margin
            after = None if margin is None else int(margin / change)
            numbers = tuple(self._new(t, Extent(self.strides[id(t)], after)) for t in made)
            self.found.steps.append(GraphStep(operation, sources, numbers))
        answer = self.network.outputs[0]
        self.found.result = self._cut(answer, Extent(Fraction(1), 0))
        return self.found

    def _new(self, tensor: Any, extent: Extent) -> int:
        number = len(self.found.extents)
        self.found.extents.append(extent)
        self.found.channels.append(int(tensor.shape[-1]))
        self.numbers[id(tensor), extent.margin] = number
        self.extent.setdefault(id(tensor), extent)
        return number

    def _cut(self, tensor: Any, extent: Extent) -> int:
        """The number of a tensor, cut to an extent."""
        key = id(tensor), extent.margin
        if key not in self.numbers:
            source = self.numbers[id(tensor), self.extent[id(tensor)].margin]
            number = self._new(tensor, extent)
            step = GraphStep(None, (source,), (number,))
            # At once, so that what is cut off is let go of.
            after = next((n for n, s in enumerate(self.found.steps) if source in s.made), -1)
            self.found.steps.insert(after + 1, step)
        return self.numbers[key]

    def _wanted(self, operation: Any, given: list[Any]) -> list[Extent]:
        """How much of each of its sources an operation is given: of all of them as much."""
        stride = self.strides[id(given[0])]
        need = max(_own_need(operation, self.needed, t) for t in given)
        grid = _grid(operation, self.grid)
        need = -(-need // grid) * grid
        have = [self.extent[id(t)].margin for t in given]
        least = min((m for m in have if m is not None), default=None)
        if least is None:
            # Of the whole: only where it pays. How much that is depends on the tile, but all see as far.
            spared = self._reach - need * stride
            return [Extent(stride, need if spared >= WORTH else None)] * len(given)
        return [Extent(stride, need if (least - need) * stride >= WORTH else least)] * len(given)

    @property
    def _reach(self) -> int:
        return self.needed[id(self.network.inputs[0])]


def _own_need(operation: Any, needed: dict[int, int], source: Any) -> int:
    """Margin that an operation needs of a source, by what is needed of what it makes."""
    made = _tensors(operation.output)
    most = max(needed.get(id(t), 0) for t in made)
    span = reads(operation, FAR - most, 2 * FAR - 1 + most)
    assert span is not None
    first, last = span
    change = _change(operation)
    assert change is not None
    return max(int(FAR * change) - first, last + 1 - int(2 * FAR * change), 0)


def _grid(operation: Any, grids: dict[int, int]) -> int:
    """Multiples of pixels at which what an operation is given may be cut, by those of what it makes."""
    change = _change(operation)
    assert change is not None
    behind = max(grids.get(id(t), 1) for t in _tensors(operation.output))
    return max(1, int(behind * change))


def _grids(network: Any) -> dict[int, int]:
    """Multiples of pixels at which each tensor may be cut, so that what pools it pools the same pixels."""
    grids: dict[int, int] = {}
    for operation, given, _ in reversed(list(_operations(network))):
        own = _grid(operation, grids)
        for tensor in given:
            grids[id(tensor)] = max(grids.get(id(tensor), 1), own)
    return grids


@cache
def partial_model() -> Any:
    """The class of narrowed networks; Keras is imported when it is asked for."""
    import keras
    from keras import ops

    class NarrowedNetwork(keras.Model):  # type: ignore[misc]
        """Runs the steps of a narrowing."""

        def __init__(self, plan: PartialOutput, tile: tuple[int, int], part: tuple[int, int]) -> None:
            super().__init__(name="narrowed")
            self.network = plan.network
            self.plan = plan
            self.tile = tile
            self.part = part
            self.built = True

        def call(self, inputs: Any) -> Any:
            image, offset = inputs
            values: dict[int, Any] = {0: image}
            last = {number: n for n, step in enumerate(self.plan.steps) for number in step.sources}
            for n, step in enumerate(self.plan.steps):
                sources = [values[number] for number in step.sources]
                if step.operation is None:
                    made = self._cut(sources[0], step, offset)
                else:
                    made = self._apply(step.operation, sources)
                values.update(zip(step.made, _tensors(made), strict=True))
                for number in step.sources:
                    if last[number] == n and number != self.plan.result:
                        values.pop(number, None)
            return values[self.plan.result]

        def _apply(self, operation: Any, sources: list[Any]) -> Any:
            if not isinstance(operation.input, list):
                return operation(sources[0])
            if type(operation).__name__ in OWN:
                return operation(*sources)
            return operation(sources)

        def _cut(self, value: Any, step: GraphStep, offset: Any) -> Any:
            before, after = (self.plan.extents[n] for n in (step.sources[0], step.made[0]))
            sizes, starts = [], []
            for axis, (tile, part) in enumerate(zip(self.tile, self.part, strict=True)):
                sizes.append(after.size(tile, part))
                start = after.start(offset[axis], tile, part) - before.start(offset[axis], tile, part)
                starts.append(start)
            zero = ops.zeros_like(starts[0])
            return ops.slice(value, ops.stack([zero, *starts, zero]), (1, *sizes, value.shape[-1]))

    return NarrowedNetwork
