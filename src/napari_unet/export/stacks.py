"""Stacks of masks: which slice an image is, and one file for all slices."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.atomic import atomic_path
from napari_unet.export.label_files import write_ome_stack, write_tiff_stack

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.data.masks.numbered_objects import NumberedObjects
    from napari_unet.data.sample import Sample
    from napari_unet.export.segmented import Numbers, SegmentedImage

PAGE = re.compile(r"^(.*\w)\[(\d+)\]$")  # what pages of a file are called: the file, and the page from 0


@dataclass(frozen=True)
class StackSlice:
    """Which slice of which stack an image is.

    Attributes
    ----------
    stack : str
        What the stack is called.
    index : tuple of int
        Of the slice over the leading axes, from 0.
    leading : tuple of int
        How many slices there are along each of these axes.
    name : str
        What a file of this slice alone is called; the name of the stack and its numbers, with zeros in
        front, if empty.
    depth : tuple of float and str, optional
        From one slice to the next along the last of these axes, and its unit.
    """

    stack: str
    index: tuple[int, ...]
    leading: tuple[int, ...]
    name: str = ""
    depth: tuple[float, str] | None = None

    @property
    def file_name(self) -> str:
        """What a file of this slice alone is called: stack_07."""
        if self.name:
            return self.name
        numbers = (f"{n:0{len(str(of - 1))}d}" for n, of in zip(self.index, self.leading, strict=True))
        return "_".join((self.stack, *numbers))

    @property
    def place(self) -> int:
        """Of the slice in the stack, counted from 0."""
        return int(np.ravel_multi_index(self.index, self.leading))

    @property
    def first(self) -> bool:
        """Whether no slice comes before it along the last axis."""
        return self.index[-1] == 0


def slices_of_files(samples: Iterable[Sample]) -> dict[str, StackSlice]:
    """Id of every image that is a page of a file with several, to its place there."""
    pages: dict[str, list[tuple[str, int]]] = {}
    for sample in samples:
        found = PAGE.match(sample.image_name)
        if found is not None:
            pages.setdefault(found[1], []).append((sample.id, int(found[2])))
    slices = {}
    for file, members in pages.items():
        count = max(page for _, page in members) + 1
        stack = re.sub(r"\.[^./]*$", "", file.rsplit("/", 1)[-1])
        for identifier, page in members if count > 1 else ():
            slices[identifier] = StackSlice(stack, (page,), (count,), identifier)
    return slices


class StackFile:
    """Gathers the slices of one stack, outside memory, and writes them as one file.

    Parameters
    ----------
    path : pathlib.Path
        Of the file.
    kind : str
        "tiff", "ome-tiff" or "npy".
    numbers : str
        "classes" or "objects".
    leading : tuple of int
        How many slices there are along each axis.
    """

    def __init__(self, path: Path, kind: str, numbers: Numbers, leading: tuple[int, ...]) -> None:
        self.path, self.kind, self.numbers, self.leading = path, kind, numbers, leading
        self.filled = 0
        self._pages: NDArray[Any] | None = None
        self._like: SegmentedImage | None = None
        self._depth: tuple[float, str] | None = None
        self._numbered: NumberedObjects | None = None

    def add(
        self,
        labels: NDArray[Any],
        image: SegmentedImage,
        place: StackSlice,
        numbered: NumberedObjects | None = None,
    ) -> None:
        """Take a slice; those that nobody adds are empty.

        Parameters
        ----------
        labels : numpy.ndarray
            (Y, X) of integers.
        image : SegmentedImage
            Whose names, classes and pixel size are those of the stack.
        place : StackSlice
            Which slice it is.
        numbered : NumberedObjects, optional
            The classes of its objects, by their numbers in the stack.
        """
        if numbered is not None:
            self._numbered = numbered if self._numbered is None else self._numbered.with_more(numbered)
        if self._pages is None:
            shape = (int(np.prod(self.leading)), *labels.shape)
            with tempfile.TemporaryFile(prefix="napari-unet-stack-") as file:
                self._pages = np.memmap(file, np.int32, "w+", shape=shape)
            self._like, self._depth = image, place.depth
        self._pages[place.place] = labels
        self.filled += 1

    @property
    def labels(self) -> NDArray[Any] | None:
        """(N, Y, X) integers of all slices, one after another; None where no slice was added."""
        return self._pages

    @property
    def numbered(self) -> NumberedObjects | None:
        """The classes of the objects, as far as slices were added with them."""
        return self._numbered

    @property
    def missing(self) -> int:
        """How many slices nobody added."""
        return int(np.prod(self.leading)) - self.filled

    def write(self) -> Path | None:
        """Write the file, whole or not at all; None where no slice was added.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        pages, like = self._pages, self._like
        if pages is None or like is None:
            return None
        highest = max((int(page.max()) for page in pages), default=0)
        if self.numbers == "classes":
            highest = max(highest, len(like.classes))
        dtype = np.min_scalar_type(highest)
        shape = (*self.leading, *pages.shape[1:])
        said = self._numbered.to_json() if self._numbered is not None else {}
        if self.kind == "ome-tiff":
            return write_ome_stack(
                self.path, iter(pages), shape, dtype, like, self.numbers, self._depth, said
            )
        if self.kind == "tiff":
            return write_tiff_stack(self.path, iter(pages), shape, dtype, like, self.numbers, said)
        with atomic_path(self.path) as partial, partial.open("wb") as file:
            np.save(file, pages.reshape(shape).astype(dtype), allow_pickle=False)
        return self.path
