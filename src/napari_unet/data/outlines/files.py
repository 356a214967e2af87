"""Files of outlines: the first bytes say which program wrote one; each is read within bounds."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from napari_unet.data.outlines.outline import DrawnOutline, OutlinedImage, malformed
from napari_unet.errors import DataError
from napari_unet.plain_json import BAD_CONTENT, parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from napari_unet.data.files.source import Source

HEAD_BYTES = 2**16
MAX_BYTES = 2**29  # of one file of outlines: COCO's own largest is 450 MB
TEXT_SUFFIXES = (".json", ".geojson", ".xml")
SUFFIXES = (*TEXT_SUFFIXES, ".roi", ".zip")


def kind_by_head(name: str, head: bytes) -> str:
    """Which program's outlines a file holds.

    Parameters
    ----------
    name : str
        Of the file.
    head : bytes
        Its first 64 kB.

    Returns
    -------
    str
        "geojson", "coco", "labelme", "cvat-xml", "cvat-backup", "datumaro", "imagej", "imagej-zip", or "" for
        anything else.
    """
    lower = name.lower()
    if lower.endswith(".roi"):
        return "imagej" if head.startswith(b"Iout") else ""
    if lower.endswith(".zip"):
        return "imagej-zip" if _begins_with_region(head) else ""
    if not lower.endswith(TEXT_SUFFIXES):
        return ""
    text = head.decode("utf-8-sig", "replace").lstrip()
    if lower.endswith(".xml"):
        return "cvat-xml" if text.startswith("<") and "<annotations" in text else ""
    keys = set(re.findall(r'"(\w+)"\s*:', text))
    values = set(re.findall(r'"type"\s*:\s*"(\w+)"', text))
    if "FeatureCollection" in values or ("Feature" in values and "geometry" in keys):
        return "geojson"
    if text.startswith("{") and "shapes" in keys and ("imagePath" in keys or "flags" in keys):
        return "labelme"
    if text.startswith("{") and "items" in keys and "categories" in keys:
        return "datumaro"
    if text.startswith("[") and "shapes" in keys and "frame" in keys:
        return "cvat-backup"
    if text.startswith("{") and _is_coco(keys):
        return "coco"
    return ""


def _is_coco(keys: set[str]) -> bool:
    if {"annotations", "images"} <= keys or {"images", "categories"} <= keys:
        return True
    inside = {"segmentation", "bbox", "image_id", "category_id"}  # many annotations before anything else
    return ("annotations" in keys and len(keys & inside) > 1) or {"images", "file_name"} <= keys


def _begins_with_region(head: bytes) -> bool:
    """Whether the first entry of a zip is an ImageJ region, or there is none."""
    if head.startswith(b"PK\5\6"):
        return True
    if not head.startswith(b"PK\3\4"):
        return False
    length = int.from_bytes(head[26:28], "little")
    return head[30 : 30 + length].lower().endswith(b".roi")


def read_json(source: Source, name: str) -> Any:
    """The content of a JSON file, within bounds.

    Raises
    ------
    DataError
        If it is too large, cut off, or no JSON.
    """
    try:
        return parse_json(read_bytes(source, name).removeprefix(b"\xef\xbb\xbf"))
    except ValueError as error:
        raise unreadable(name, str(error)[:100]) from error


def read_bytes(source: Source, name: str) -> bytes:
    """A whole file of outlines; errors as ``read_json``."""
    size = source.sizes.get(name, 0)
    if size > MAX_BYTES:
        raise DataError(
            f"{name} is too large for a file of outlines",
            code="data.outlines.large",
            expected=f"at most {MAX_BYTES // 2**20} MB",
            got=f"{size // 2**20} MB",
            remedy="write one file for each image, or fewer corners",
        )
    return source.read(name)


def unreadable(name: str, why: str) -> DataError:
    """The error for a file of outlines that is cut off or damaged."""
    return DataError(
        f"the outlines in {name} cannot be read",
        code="data.outlines.unreadable",
        got=why,
        remedy="export them again: the file may be cut off",
    )


def understood(name: str, parse: Callable[[], list[OutlinedImage]]) -> list[OutlinedImage]:
    """What a parser makes of a file, or the error for content that is not of its form."""
    try:
        return parse()
    except DataError as error:
        return [OutlinedImage(name, error=error)]
    except BAD_CONTENT as error:
        return [OutlinedImage(name, error=unreadable(name, _reason(error)))]


def _reason(error: Exception) -> str:
    return (f"no {error}" if isinstance(error, KeyError) else str(error))[:100] or type(error).__name__


class Collecting:
    """Collects the outlines of one image; what outlines nothing is counted.

    Parameters
    ----------
    file : str
        Of the outlines.
    of : str
        Follows the file's name in errors, where the file has several images.
    """

    def __init__(self, file: str, of: str = "") -> None:
        self.file = file
        self._of = of
        self.outlines: list[DrawnOutline] = []
        self.not_areas: Counter[str] = Counter()
        self.crowds = 0
        self.error: DataError | None = None
        self._number = 0

    def add(self, label: str, make: Callable[[str, int], DrawnOutline | str]) -> None:
        """Add the next mark of the file.

        Parameters
        ----------
        label : str
            Name of its class.
        make : callable
            Takes how errors call it, and its number in the file; gives the outline, or the kind of mark that
            outlines nothing. The first error makes all outlines of the image unusable.
        """
        self._number += 1
        what = f"outline {self._number}{f' ({label})' if label else ''} of {self.file}{self._of}"
        try:
            found = make(what, self._number)
        except DataError as error:
            self.error = self.error or error
            return
        except BAD_CONTENT as error:
            self.error = self.error or malformed(what, "the form of such files", _reason(error))
            return
        if isinstance(found, str):
            self.not_areas[found] += 1
        else:
            self.outlines.append(found)

    def done(self, names: Iterable[str], **more: Any) -> OutlinedImage:
        """What was collected."""
        return OutlinedImage(
            self.file,
            tuple(name for name in names if name),
            tuple(self.outlines),
            not_areas=dict(self.not_areas),
            crowds=self.crowds,
            error=self.error,
            **more,
        )


def size_of(height: Any, width: Any) -> tuple[int, int] | None:
    """(Y, X), where a file tells both."""
    if not isinstance(height, int | float) or not isinstance(width, int | float):
        return None
    return (int(height), int(width)) if height > 0 and width > 0 else None
