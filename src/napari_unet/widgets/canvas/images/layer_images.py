"""From napari's layers to images: which layers hold some, and every slice of them as a sample."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.files.channels import Channels
from napari_unet.data.formats.mask_meaning import meaning_of_layer
from napari_unet.data.formats.mask_sightings import UNKNOWN, UNKNOWN_BELOW
from napari_unet.data.masks.mask_pixels import MaskInFile
from napari_unet.data.masks.mask_values import MaskValues
from napari_unet.data.sample import Sample
from napari_unet.errors import DataError
from napari_unet.session.images.layer_metadata import METADATA_KEY, OpenedData
from napari_unet.widgets.canvas.images.layer_channels import channel_axis, channels_in, name_of
from napari_unet.workflow.inputs.image_reference import OPENED_FROM, HeldVolume

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_unet.data.sample import ReferenceMask
    from napari_unet.data.volumes.slices import Place
    from napari_unet.session.images.image_channels import ImageChannels

MOST_SLICES = 100_000
FEWEST_OBJECTS = 2
OURS = "napari_unet_layer"  # key of the metadata of layers that the workbench made


def is_ours(layer: Any) -> bool:
    """Whether the workbench made the layer."""
    return OURS in layer.metadata


def opened_data(layer: Any) -> OpenedData | None:
    """What a reader left in a layer of images; None for any other layer."""
    found = layer.metadata.get(METADATA_KEY)
    return found if isinstance(found, OpenedData) and found.role == "images" else None


def is_reference(layer: Any) -> bool:
    """Whether a reader left reference masks in a layer."""
    found = layer.metadata.get(METADATA_KEY)
    return isinstance(found, OpenedData) and found.role == "reference"


def is_image(layer: Any) -> bool:
    """Whether a layer shows images that can be segmented."""
    from napari.layers import Image, Labels

    return isinstance(layer, Image) and not isinstance(layer, Labels) and not is_ours(layer)


def full_resolution(layer: Any) -> Any:
    """The array of a layer; the finest of a multiscale one."""
    return layer.data[0] if layer.multiscale else layer.data


def image_shape(layer: Any) -> tuple[int, int, int]:
    """(Y, X, C) of one slice of a layer."""
    shape = full_resolution(layer).shape
    return (*shape[-3:-1], 3) if layer.rgb else (*shape[-2:], 1)


def slice_indices(layer: Any) -> list[tuple[int, ...]]:
    """Index of every slice over the leading axes; one empty index for a plain image.

    Raises
    ------
    DataError
        If there are too many, or an axis is empty.
    """
    shape = full_resolution(layer).shape
    leading = shape[channel_axis(layer) : len(shape) - (3 if layer.rgb else 2)]
    count = int(np.prod(leading, dtype=np.int64))
    if count > MOST_SLICES or 0 in shape:
        raise DataError(
            f"the layer {layer.name} cannot be listed slice by slice",
            code="data.layer.shape",
            expected=f"1 to {MOST_SLICES:,} slices with pixels in them",
            got=" x ".join(map(str, shape)),
            remedy="cut the layer down first",
        )
    return list(itertools.product(*map(range, leading)))


@dataclass(frozen=True, eq=False)
class _LoadSlice:
    """Reads one slice; holds the array, not the layer, so that it may be called in any thread.

    Equal to another that reads the same slice of the same arrays.

    Attributes
    ----------
    arrays : tuple
        One, or one for each channel.
    index : tuple of int
        Over the leading axes, but for that of channels.
    rgb : bool
        Whether the last axis is that of colours.
    first : bool
        Whether the channels are along the first axis.
    every : ImageChannels or None
        All channels there are; None if there is but one.
    numbers : tuple of int
        Of the channels to read; empty: all.
    volume : _LayerVolume or None
        Of which it is a slice; None of an image that lies before and behind no other.
    """

    arrays: tuple[Any, ...]
    index: tuple[int, ...]
    rgb: bool
    first: bool = False
    every: ImageChannels | None = None
    numbers: tuple[int, ...] = ()
    volume: _LayerVolume | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _LoadSlice) and other._key == self._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[object, ...]:
        # Arrays are held here, so that none gets the place in memory of another.
        known = tuple(map(id, self.arrays)), self.index, self.rgb, self.first, self.numbers
        return (*known, self.volume is not None)

    @property
    def place(self) -> Place | None:
        """Where the slice lies in its volume."""
        return None if self.volume is None else self.volume.held(self.numbers).place(self.index[-1])

    @property
    def whole(self) -> _LoadSlice:
        """What reads all channels."""
        return self.choose(())

    def choose(self, numbers: tuple[str, ...]) -> _LoadSlice:
        """What reads only these channels; all if there are none of these numbers."""
        count = 1 if self.every is None else self.every.count
        chosen = tuple(int(n) for n in numbers if count > 1 and int(n) < count)
        return self if chosen == self.numbers else replace(self, numbers=chosen)

    @property
    def channels(self) -> Channels:
        """What is known of the channels that are read."""
        if self.every is None:
            return Channels()
        return Channels(self.every.names, self.every.colour).chosen(self.numbers)

    def __call__(self, rows: slice = slice(None), columns: slice = slice(None)) -> NDArray[np.generic]:
        where = (*self.index, rows, columns)
        if self.rgb:
            values = np.asarray(self.arrays[0][where])[..., :3]  # transparency is no data
            values = values[..., list(self.numbers)] if self.numbers else values
        elif self.first:
            numbers = self.numbers or range(self.arrays[0].shape[0])
            values = np.stack([np.asarray(self.arrays[0][(n, *where)]) for n in numbers], axis=-1)
        else:
            arrays = [self.arrays[n] for n in self.numbers] or self.arrays
            values = np.stack([np.asarray(array[where]) for array in arrays], axis=-1)
        if values.dtype.kind not in "buif":
            raise DataError(
                "the layer cannot be segmented",
                code="data.image.numbers",
                expected="real numbers",
                got=f"pixels of {values.dtype}",
            )
        return values


class _LayerVolume:
    """The slices of a layer that lie one behind another.

    Parameters
    ----------
    name : str
        What it is called.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.slices: dict[int, _LoadSlice] = {}
        self._held: dict[tuple[int, ...], HeldVolume] = {}

    def held(self, numbers: tuple[int, ...]) -> HeldVolume:
        """The volume with these channels."""
        if numbers not in self._held:
            chosen = tuple(map(str, numbers))
            slices = {z: load.choose(chosen) for z, load in self.slices.items()}
            self._held[numbers] = HeldVolume(self.name, slices)
        return self._held[numbers]


@dataclass(frozen=True)
class LayerReading:
    """What a Labels layer holds as reference masks.

    Attributes
    ----------
    meaning : MaskValues
        What its numbers stand for.
    drawn : frozenset of tuple, optional
        Index of every slice with something drawn on it; None where each slice is a mask, empty or not.
    """

    meaning: MaskValues
    drawn: frozenset[tuple[int, ...]] | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes 1..K."""
        count = self.meaning.classes
        return ("foreground",) if count == 1 else tuple(f"class {n}" for n in range(1, count + 1))


def read_labels(labels: Any) -> LayerReading:
    """Look at the numbers of a Labels layer.

    Slices that nobody has drawn on are no masks. Of a layer that comes from a file they are empty masks.

    Parameters
    ----------
    labels : napari.layers.Labels
        (..., Y, X).
    """
    array = full_resolution(labels)
    indices = list(np.ndindex(*array.shape[:-2]))
    if labels.source.path is not None or not isinstance(array, np.ndarray):
        return LayerReading(meaning_of_layer((np.asarray(array[i]) for i in indices), str(labels.name)))
    drawn = [index for index in indices if array[index].any()]
    meaning = meaning_of_layer((array[index] for index in drawn), str(labels.name))
    return LayerReading(meaning, frozenset(drawn))


@dataclass(frozen=True, eq=False)
class _LoadLabels:
    """Reads one slice of a Labels layer as a reference mask."""

    array: Any
    index: tuple[int, ...]
    meaning: MaskValues
    classes: Callable[[], int]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _LoadLabels)
            and (other.index, other.meaning) == (self.index, self.meaning)
            and other.array is self.array
        )

    def __hash__(self) -> int:
        return hash((id(self.array), self.index))

    def __call__(self) -> ReferenceMask:
        stored = MaskInFile(np.asarray(self.array[self.index]))
        meaning = self._for(self.classes(), int(stored.pixels.max(initial=0)))
        mask = meaning.read(stored, "the layer of reference masks")
        if mask.objects is not None and len(np.unique(mask.objects[mask.objects > 0])) < FEWEST_OBJECTS:
            return replace(mask, objects=None)  # 0 and one number: no objects are separated
        return mask

    def _for(self, classes: int, highest: int) -> MaskValues:
        """The meaning where there are as many classes; else by the number of classes alone."""
        if self.meaning.classes == classes:
            return self.meaning
        if classes == 1:
            return MaskValues("objects", unknown=self.meaning.unknown)
        numbers = tuple((number,) for number in range(1, classes + 1))
        return MaskValues("values", numbers, unknown=UNKNOWN if highest == UNKNOWN else UNKNOWN_BELOW)


def layer_samples(
    layers: Sequence[Any],
    reference: Any = None,
    reading: LayerReading | None = None,
    classes: Callable[[], int] = lambda: 1,
    name: str = "",
    numbers: tuple[str, ...] = (),
    volume: bool = False,
) -> tuple[list[tuple[int, ...]], list[Sample]]:
    """Every slice of a layer as a sample.

    Parameters
    ----------
    layers : sequence of napari.layers.Image
        One: (..., Y, X), or (..., Y, X, 3 or 4) if its `rgb` is set; several: a channel each.
    reference : napari.layers.Labels, optional
        Its reference masks, of the same size.
    reading : LayerReading, optional
        Of the reference; read if not given.
    classes : callable
        Gives their number. With one, labels above 0 are foreground; with more, labels above are an
        error, but for 255, which is unknown.
    name : str, optional
        Instead of the layer's own.
    numbers : tuple of str, optional
        Of the channels to read, from 0; all if not given, or if there are no such channels.
    volume : bool
        Whether the slices along the last leading axis lie one behind another.

    Returns
    -------
    indices : list of tuple
        Of the slices over the leading axes.
    samples : list of Sample
        Ids are the name, with the slice in brackets where there are several.
    """
    layer = layers[0]
    indices = slice_indices(layer)
    arrays = tuple(full_resolution(one) for one in layers)
    first, every = bool(channel_axis(layer)), channels_in(layers)
    samples = []
    name = name or name_of(layers)
    properties = {} if layer.source.path is None else {OPENED_FROM: str(layer.source.path)}
    if reference is not None and reading is None:
        reading = read_labels(reference)
    volumes: dict[tuple[int, ...], _LayerVolume] = {}
    for index in indices:
        identifier = f"{name} [{', '.join(map(str, index))}]" if index else name
        load_mask = None
        if reference is not None and reading is not None:
            masks = full_resolution(reference)
            place = index[len(index) - (masks.ndim - 2) :]  # one mask may serve all slices
            if reading.drawn is None or place in reading.drawn:
                load_mask = _LoadLabels(masks, place, reading.meaning, classes)
        behind = volumes.setdefault(index[:-1], _LayerVolume(volume_name(name, index))) if volume else None
        load = _LoadSlice(arrays, index, bool(layer.rgb), first, every, volume=behind)
        if behind is not None:
            behind.slices[index[-1]] = load
        load = load.choose(numbers)
        samples.append(Sample(identifier, load, load_mask, name, properties=properties, load_region=load))
    return indices, samples


def volume_name(name: str, index: tuple[int, ...]) -> str:
    """What the volume of a slice of a layer is called: as the layer, with the other axes in brackets."""
    return f"{name} [{', '.join(map(str, index[:-1]))}]" if len(index) > 1 else name


def fits_as_reference(labels: Any, layer: Any) -> bool:
    """Whether a Labels layer can be the reference of an image layer: same size, slice for slice."""
    shape, wanted = full_resolution(labels).shape, full_resolution(layer).shape
    wanted = wanted[channel_axis(layer) : -1 if layer.rgb else None]
    return shape == wanted or (len(shape) == 2 and shape == wanted[-2:])


def view_of(layer: Any, shape: Sequence[int]) -> tuple[int, int, int, int] | None:
    """The rectangle of a layer's image that is in view: top, left, bottom, right; None if nothing is."""
    corners = np.asarray(layer.corner_pixels)[:, -2:]
    if layer.rgb and np.asarray(layer.corner_pixels).shape[1] == layer.data.ndim:
        corners = np.asarray(layer.corner_pixels)[:, -3:-1]
    corners = np.add(corners, [[0], [1]])  # the last pixel is in view too
    if layer.multiscale:
        corners = corners * np.asarray(layer.downsample_factors[layer.data_level])[-2:]
    top, left = np.clip(np.floor(corners[0]), 0, shape).astype(int)
    bottom, right = np.clip(np.ceil(corners[1]), 0, shape).astype(int)
    if bottom <= top or right <= left:
        return None
    return int(top), int(left), int(bottom), int(right)
