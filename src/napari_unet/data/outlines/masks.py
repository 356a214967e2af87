"""Reference masks out of outlines: classes, numbered objects, and what nobody annotated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.files.pages import read_header
from napari_unet.data.files.reading import ImageReading, current_reading
from napari_unet.data.outlines.fill import fill
from napari_unet.data.sample import ReferenceMask
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_unet.data.files.source import Source
    from napari_unet.data.outlines.fill import Filled
    from napari_unet.data.outlines.outline import DrawnOutline, OutlinedImage

MAX_PIXELS = 2**31  # of a mask
MOST_FILLED = 2**33  # pixels of the boxes of all outlines of an image: a minute of work
MOST_HELD = 2**28  # bytes of filled outlines that are held while they are sorted


@dataclass(frozen=True)
class OutlineMeaning:
    """What the names of the outlines of a data set mean.

    Attributes
    ----------
    classes : tuple of str
        Names of the classes 1..K.
    regions : frozenset of str
        Outlines of these names, in lower case, bound what is annotated: outside nothing is known.
    ignored : frozenset of str
        Nothing is known inside outlines of these names.
    """

    classes: tuple[str, ...]
    regions: frozenset[str] = frozenset({"region*"})
    ignored: frozenset[str] = frozenset({"ignore*"})

    def is_object(self, outline: DrawnOutline) -> bool:
        """Whether an outline is an object of a class, and not a note on what is annotated."""
        return outline.label.lower() not in self.regions | self.ignored

    def number(self, label: str) -> int:
        """Of the class; an outline without a name is of the only one."""
        return self.classes.index(label) + 1 if label else 1


@dataclass(frozen=True, eq=False)
class OutlineMask:
    """Reads a mask: fills the outlines that a file has of an image.

    Attributes
    ----------
    source, image_name, page
        The image, whose size the mask has.
    outlined : OutlinedImage
        Its outlines.
    meaning : OutlineMeaning
        Of the data set.
    reading : ImageReading
        How the image is read.
    """

    source: Source
    image_name: str
    page: int | None
    outlined: OutlinedImage
    meaning: OutlineMeaning
    reading: ImageReading = field(default_factory=current_reading)

    def __call__(self) -> ReferenceMask:
        """Read the image's header for its size, and fill."""
        if self.outlined.error is not None:
            raise self.outlined.error
        header = read_header(self.source, self.image_name, self.page, self.reading)
        shape = (header.height, header.width)
        size = self.outlined.size
        if size is not None and size != shape:
            raise DataError(
                f"{self.outlined.file} was drawn on an image of another size than {self.image_name}",
                code="data.outlines.size",
                expected=f"{shape[1]} x {shape[0]} pixels",
                got=f"{size[1]} x {size[0]}",
                remedy="put the image there on which it was drawn, or export the outlines for this one",
            )
        return fill_mask(self.outlined.outlines, shape, self.meaning, self.outlined.file)


def fill_mask(
    outlines: Sequence[DrawnOutline], shape: tuple[int, int], meaning: OutlineMeaning, file: str
) -> ReferenceMask:
    """The mask of an image.

    Parameters
    ----------
    outlines : sequence of DrawnOutline
        Of the image; objects are numbered in this order.
    shape : (int, int)
        (Y, X) of the image.
    meaning : OutlineMeaning
        Of the names of their classes.
    file : str
        That they come from, for errors.

    Returns
    -------
    ReferenceMask
        With objects. Where they overlap the smaller is on top, so that none disappears. Weights are 0
        outside all regions, inside outlines to be ignored, and in boxes without an outline. An object is
        known outside regions and in boxes, too.

    Raises
    ------
    DataError
        As ``fill``, or if the mask is too large.
    """
    if shape[0] * shape[1] > MAX_PIXELS:
        raise _too_large(file, f"at most {MAX_PIXELS:,} pixels", f"{shape[1]} x {shape[0]}")
    drawn = [outline for outline in outlines if meaning.is_object(outline) and not outline.only_box]
    labels = np.zeros(shape, np.uint8)
    objects = np.zeros(shape, np.int32)
    claimed, twice = np.zeros(shape, bool), np.zeros(shape, bool)
    for number, found in _largest_first(drawn, shape, file):
        box, pixels = _window(found), found[2]
        objects[box][pixels] = number
        labels[box][pixels] = meaning.number(drawn[number - 1].label)
        twice[box] |= claimed[box] & pixels
        claimed[box] |= pixels
    there = np.bincount(objects.ravel(), minlength=len(drawn) + 1)[1:]
    return ReferenceMask(
        labels,
        objects,
        _weights(outlines, objects, meaning, file),
        int(np.count_nonzero(twice)),
        int(np.count_nonzero(there == 0)),
    )


def _window(found: Filled) -> tuple[slice, slice]:
    top, left, pixels = found
    return slice(top, top + pixels.shape[0]), slice(left, left + pixels.shape[1])


def _called(outline: DrawnOutline, file: str) -> str:
    return f"outline {outline.number}{f' ({outline.label})' if outline.label else ''} of {file}"


def _largest_first(
    drawn: Sequence[DrawnOutline], shape: tuple[int, int], file: str
) -> Iterator[tuple[int, Filled]]:
    """Number, from 1, and pixels of each outline; of those as large as one another the first comes first."""
    areas: list[int] = []
    held: dict[int, Filled] = {}
    bytes_held = total = 0
    for number, outline in enumerate(drawn, start=1):
        found = fill(outline, shape, _called(outline, file))
        total += found[2].size
        if total > MOST_FILLED:
            raise _too_large(
                file, f"at most {MOST_FILLED:,} pixels in the boxes of all", f"{total:,} or more"
            )
        areas.append(int(np.count_nonzero(found[2])))
        if bytes_held + found[2].size <= MOST_HELD:
            held[number] = found
            bytes_held += found[2].size
    for number in sorted(range(1, len(drawn) + 1), key=lambda n: -areas[n - 1]):
        outline = drawn[number - 1]
        found = held.pop(number) if number in held else fill(outline, shape, _called(outline, file))
        yield number, found


def _too_large(file: str, expected: str, got: str) -> DataError:
    return DataError(
        f"the outlines in {file} make too large a mask",
        code="data.outlines.large",
        expected=expected,
        got=got,
        remedy="cut the image into smaller ones",
    )


def _weights(
    outlines: Sequence[DrawnOutline], objects: NDArray[np.int32], meaning: OutlineMeaning, file: str
) -> NDArray[np.float32] | None:
    """(Y, X) float32, 0 where nothing is known; None where all is."""

    def pixels_of(chosen: Sequence[DrawnOutline]) -> NDArray[np.bool_]:
        whole = np.zeros(objects.shape, bool)
        for outline in chosen:
            found = fill(outline, objects.shape, _called(outline, file))
            whole[_window(found)] |= found[2]
        return whole

    regions = [outline for outline in outlines if outline.label.lower() in meaning.regions]
    ignored = [outline for outline in outlines if outline.label.lower() in meaning.ignored]
    boxes = [outline for outline in outlines if outline.only_box and meaning.is_object(outline)]
    if not regions and not ignored and not boxes:
        return None
    known = pixels_of(regions) if regions else np.ones(objects.shape, bool)
    known &= ~pixels_of(boxes)
    known |= objects > 0
    known &= ~pixels_of(ignored)
    return None if known.all() else known.astype(np.float32)


def count_by_class(outlined: Sequence[OutlinedImage], meaning: OutlineMeaning) -> Mapping[str, int]:
    """Number of outlined objects of each class."""
    counts = dict.fromkeys(meaning.classes, 0)
    for image in outlined:
        for outline in image.outlines:
            if meaning.is_object(outline):
                counts[meaning.classes[meaning.number(outline.label) - 1]] += 1
    return counts
