"""What exports are made from: one segmented image at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_unet.data.masks.numbered_objects import NumberedObjects
from napari_unet.metrics.object_confidence import measure_with_confidence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from napari_unet.data.files.pixel_size import PixelSize
    from napari_unet.metrics.object_confidence import ObjectConfidence, Said
    from napari_unet.metrics.object_measures import ObjectTable

Numbers = Literal["classes", "objects"]
Colour = tuple[int, int, int]
# Everybody can distinguish these: Okabe, Ito 2008, without black; the window shows classes in these.
CLASS_COLOURS: tuple[Colour, ...] = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (204, 121, 167), (0, 114, 178),
    (213, 94, 0),
)  # fmt: skip
GOLDEN = 0.618034  # of the circle of hues from one colour to the next


def class_colour(number: int) -> Colour:
    """Red, green and blue, 0 to 255, of class `number`, from 1."""
    import colorsys

    if number <= len(CLASS_COLOURS):
        return CLASS_COLOURS[number - 1]
    red, green, blue = colorsys.hsv_to_rgb((number * GOLDEN) % 1, 0.65, 0.9)
    return round(255 * red), round(255 * green), round(255 * blue)


@dataclass(frozen=True, eq=False)
class FoundObject:
    """One object of a segmented image.

    Attributes
    ----------
    number : int
        In the image's ``objects``.
    label : int
        Its class, 1..K.
    top, left : int
        Of its box, in pixels.
    region : numpy.ndarray
        (Y, X) bool, its pixels within the box; at least one is set in every border row and column.
    """

    number: int
    label: int
    top: int
    left: int
    region: NDArray[np.bool_]

    @property
    def area(self) -> int:
        """In pixels."""
        return int(self.region.sum())


@dataclass(frozen=True)
class StackPosition:
    """Where an image lies in the stack that it came from, counted from 1; 0 where a stack has no such axis.

    Attributes
    ----------
    page : int
        Among all planes of the stack, in the order of the file.
    channel, z, t : int
        Along these axes, where the stack has more than one of them (a hyperstack); else 0.
    """

    page: int
    channel: int = 0
    z: int = 0
    t: int = 0


@dataclass(frozen=True, eq=False)
class SegmentedImage:
    """An image with its mask, as exports take it.

    Attributes
    ----------
    name : str
        What the image is called: its id.
    mask : numpy.ndarray
        (Y, X) integers, 0 background, 1..K.
    load_objects : callable
        () -> (Y, X) int32, 0 background, one number an object; every object lies within one class.
    classes : tuple of str
        Names of the classes 1..K.
    file_name : str
        Of the image, for formats that refer to it; the name if empty.
    load_image : callable or None
        () -> (Y, X, C) in the stored dtype; None where the image is not there.
    pixel_size : PixelSize or None
        None if unknown.
    about : mapping
        Where the mask came from (model, threshold, program): JSON throughout.
    class_colours : tuple of (int, int, int)
        Red, green and blue, 0 to 255, of the classes 1..K; those of the window if empty.
    position : StackPosition or None
        Which slice of a stack the image is; None if it is none.
    load_said : callable or None
        () -> what the model says, (Y, X, K) in [0, 1], and what tells objects apart, (Y, X) or None; or None.
        None where no model was asked.
    confidence : ObjectConfidence or None
        Of the model; without it the confidence of an object is the mean of its probabilities.
    ties : tuple of int
        Numbers of the objects that may as well be of another class, see ``inference.object_classes``.
    """

    name: str
    mask: NDArray[Any]
    load_objects: Callable[[], NDArray[np.int32]]
    classes: tuple[str, ...]
    file_name: str = ""
    load_image: Callable[[], NDArray[np.generic]] | None = None
    pixel_size: PixelSize | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    class_colours: tuple[Colour, ...] = ()
    position: StackPosition | None = None
    load_said: Callable[[], Said | None] | None = None
    confidence: ObjectConfidence | None = None
    ties: tuple[int, ...] = ()

    @cached_property
    def objects(self) -> NDArray[np.int32]:
        """(Y, X) int32, 0 background, one number an object."""
        return self.load_objects()

    @property
    def numbered(self) -> NumberedObjects:
        """The class of every object, and which of them are ties."""
        return NumberedObjects.of(self.objects, self.mask, self.classes, self.ties)

    @property
    def shape(self) -> tuple[int, int]:
        """(Y, X)."""
        return self.mask.shape[0], self.mask.shape[1]

    @property
    def colours(self) -> tuple[Colour, ...]:
        """Of the classes 1..K."""
        return self.class_colours or tuple(class_colour(n) for n in range(1, len(self.classes) + 1))

    def labels(self, numbers: Numbers) -> NDArray[Any]:
        """(Y, X): the mask, or the objects, in the smallest unsigned dtype that holds them."""
        values = self.mask if numbers == "classes" else self.objects
        highest = len(self.classes) if numbers == "classes" else int(values.max(initial=0))
        return values.astype(np.min_scalar_type(max(highest, int(values.max(initial=0)))))

    def found(self) -> Iterator[FoundObject]:
        """Every object, by rising number."""
        from scipy import ndimage

        for number, box in enumerate(ndimage.find_objects(self.objects), start=1):
            if box is None:
                continue
            region = self.objects[box] == number
            first = np.unravel_index(int(region.argmax()), region.shape)
            label = int(self.mask[box][first])
            yield FoundObject(number, label, box[0].start, box[1].start, region)

    def measures(self) -> ObjectTable:
        """Measurements of every object, by rising number."""
        image = self.load_image() if self.load_image is not None else None
        said = self.load_said() if self.load_said is not None else None
        if image is not None and image.shape[:2] != self.shape:
            image = None
        if said is not None and said[0].shape[:2] != self.shape:
            said = None
        size = self.pixel_size
        spacing = (size.y, size.x) if size is not None else None
        table = measure_with_confidence(
            self.objects,
            self.mask,
            image,
            said,
            spacing,
            size.unit if size is not None else "",
            self.confidence,
        )
        if len(self.classes) > 1:
            table.columns["tie"] = np.isin(table.columns["object"], self.ties).astype(np.float64)
        return table
