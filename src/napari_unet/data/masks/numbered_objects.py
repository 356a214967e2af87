"""What a mask file with numbers of objects says of their classes, written by our exports and read again."""

from __future__ import annotations

import html
import io
import re
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.files.decoders.image_kinds import TIFF_SUFFIXES, suffix_of
from napari_unet.plain_json import parse_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

CLASSES, OF_OBJECTS, TIES = "classes", "class_of_object", "tied_objects"
MARK = OF_OBJECTS.encode()  # is in every file that says it
MOST_CLASSES = 255
MOST_OBJECTS = 2**24
OME_ENTRY = re.compile(r'<M K="([^"]*)">([^<]*)</M>')


@dataclass(frozen=True, eq=False)
class NumberedObjects:
    """The classes of the objects that the numbers of a mask are.

    Attributes
    ----------
    names : tuple of str
        Of the classes 1..K.
    classes : numpy.ndarray
        (highest number + 1,) uint8: class of each object, 1..K; 0 where no object has the number.
    ties : tuple of int
        Numbers of the objects that may as well be of another class.
    """

    names: tuple[str, ...]
    classes: NDArray[np.uint8]
    ties: tuple[int, ...] = field(default=())

    @classmethod
    def of(
        cls,
        objects: NDArray[np.integer],
        mask: NDArray[np.integer],
        names: Sequence[str],
        ties: Sequence[int] = (),
    ) -> NumberedObjects:
        """Look up the class of each object in a mask.

        Parameters
        ----------
        objects : numpy.ndarray
            (..., Y, X) integers, 0 background, one number an object.
        mask : numpy.ndarray
            (..., Y, X) integers, the class 1..K of every pixel.
        names : sequence of str
            Of the classes 1..K.
        ties : sequence of int
            Numbers of the objects that are ties.
        """
        classes = np.zeros(int(objects.max(initial=0)) + 1, np.uint8)
        classes[objects.ravel()] = mask.ravel()
        classes[0] = 0
        return cls(tuple(names), classes, tuple(map(int, ties)))

    def with_more(self, other: NumberedObjects) -> NumberedObjects:
        """Those of another slice as well, whose numbers are of the same stack."""
        classes = np.zeros(max(len(self.classes), len(other.classes)), np.uint8)
        classes[: len(self.classes)] = self.classes
        classes[: len(other.classes)] = np.maximum(classes[: len(other.classes)], other.classes)
        return NumberedObjects(self.names, classes, tuple(sorted({*self.ties, *other.ties})))

    def to_json(self) -> dict[str, Any]:
        """For the description of a mask file; nothing where there is one class, which needs none."""
        if len(self.names) < 2:
            return {}
        return {
            CLASSES: list(self.names),
            OF_OBJECTS: " ".join(map(str, self.classes.tolist())),
            TIES: " ".join(map(str, self.ties)),
        }

    @classmethod
    def from_json(cls, about: Mapping[str, Any]) -> NumberedObjects | None:
        """From the description of a mask file; None if that does not say it."""
        names, classes = about.get(CLASSES), about.get(OF_OBJECTS)
        if not isinstance(names, list) or not isinstance(classes, str):
            return None
        try:
            numbers = [int(text) for text in classes.split()]
            ties = [int(text) for text in str(about.get(TIES, "")).split()]
        except ValueError:
            return None
        if not 1 < len(names) <= MOST_CLASSES or not 0 < len(numbers) <= MOST_OBJECTS:
            return None
        if min(numbers) < 0 or max(numbers) > len(names):
            return None
        return cls(tuple(map(str, names)), np.array(numbers, np.uint8), tuple(ties))


def find_numbered(data: bytes | IO[bytes], name: str) -> NumberedObjects | None:
    """What a PNG, TIFF or OME-TIFF says of the classes of its objects; None if it says nothing.

    Parameters
    ----------
    data : bytes or binary file
        The file.
    name : str
        Of the file.
    """
    suffix = suffix_of(name)
    if suffix not in {*TIFF_SUFFIXES, ".png"} or (isinstance(data, bytes) and MARK not in data):
        return None
    start = 0 if isinstance(data, bytes) else data.tell()
    stream = io.BytesIO(data) if isinstance(data, bytes) else data
    try:
        about = _text_of_png(stream) if suffix == ".png" else _text_of_tiff(stream)
        return NumberedObjects.from_json(about)
    finally:
        if stream is data:
            stream.seek(start)


def _text_of_png(stream: IO[bytes]) -> Mapping[str, Any]:
    from PIL import Image

    try:
        with Image.open(stream) as picture:
            return _parsed(str(picture.info.get("Description", "")))
    except (OSError, ValueError, SyntaxError):
        return {}  # whoever decodes it says what is wrong


def _text_of_tiff(stream: IO[bytes]) -> Mapping[str, Any]:
    import tifffile

    try:
        with tifffile.TiffFile(stream) as file:
            text = str(file.pages.first.description)
    except (tifffile.TiffFileError, ValueError, KeyError, AttributeError, IndexError):
        return {}
    if not text.lstrip().startswith("<"):
        return _parsed(text)
    found = {html.unescape(key): html.unescape(value) for key, value in OME_ENTRY.findall(text)}
    names: list[str] = []
    while (name := found.get(str(len(names) + 1))) is not None:
        names.append(name)
    return {**found, CLASSES: names}


def _parsed(text: str) -> Mapping[str, Any]:
    try:
        about = parse_json(text)
    except ValueError:
        return {}
    return about if isinstance(about, dict) else {}
