"""A large mask on disk, written block by block: an OME-Zarr of labels with levels of falling resolution."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.atomic import sync_folder
from napari_unet.data.masks.numbered_objects import NumberedObjects
from napari_unet.errors import DataError, unwritable
from napari_unet.export.ome_zarr import describe
from napari_unet.export.segmented import class_colour

Index = tuple[int, ...]
Place = tuple[int | slice, ...]

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.export.ome_zarr import LabelShape


UNFINISHED = ".unfinished"  # how the names of stores end that lack something
RAW = "raw"  # masks before small pieces are dropped, gone from what is finished
PROBABILITIES = "probabilities"  # (..., K, Y, X) uint8, 255 is 1, where masks are to be made again
ANSWERS = "answers"  # (..., K', Y, X) float16, what a network says, where objects are separated by it
SEPARATION = "separation"  # (1, Y, X) float16: what a network says to tell objects apart
STARS = "stars"  # folder of the rays of possible middles of objects
HEIGHT = "height"  # how deep in objects pixels lie, by the network
PRESENCE = "presence"  # for each file of labels: the highest probability that there is anything in the image
SPREAD = "disagreement"  # (..., Y, X) float32: how far voices lie apart
SCRATCH = (
    RAW,
    ANSWERS,
    STARS,
    HEIGHT,
    "cores",
    "pieces",
    "fragments",
    "wide",
    "agreed",
    "classes",
    "depth",
    "basins",
    "said",
    "first",
    PRESENCE,
    SPREAD,
)  # until it is finished
OBJECTS = "objects"  # group of what is known of numbered objects
STATE = "napari_unet_mask"  # attribute that says what the mask in it was made with
ABOUT = "napari_unet"  # attribute that says how the labels came about
VERSION = "0.5"


@dataclass(eq=False)
class LabelStore:
    """The labels of a stack on disk; any number of processes may write different chunks of them.

    A chunk is there whole or not at all, which is how a run that was killed knows what it has.

    Attributes
    ----------
    path : pathlib.Path
        Folder; its name tells whether something lacks.
    group : zarr.Group
        The opened store.
    """

    path: Path
    group: Any

    @classmethod
    def create(
        cls,
        path: Path,
        shape: LabelShape,
        name: str,
        classes: Sequence[str],
        about: Mapping[str, Any],
        *,
        raw: bool = False,
        probabilities: bool | int = False,
        answers: int = 0,
        fill: int = 0,
        height: str = "",
    ) -> LabelStore:
        """Make an empty store.

        Parameters
        ----------
        path : pathlib.Path
            Folder; what is there is replaced.
        shape : LabelShape
            Of the labels.
        name : str
            Of the image.
        classes : sequence of str
            Names of the classes 1..K.
        about : mapping
            How the labels come about: JSON throughout.
        raw : bool
            Whether masks are stored as they are before small pieces are dropped.
        probabilities : bool or int
            Whether there is room for the probability of each class, from which masks can be made again; or
            for how many, where the labels are no classes.
        answers : int
            For how many channels of what the network says there is room; needs `raw`.
        fill : int
            Label of pixels that are in no file.
        height : str
            Type of numbers that say how deep in objects voxels lie; empty: there is no room for them.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        import zarr

        with disk(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                shutil.rmtree(path)
            group = zarr.open_group(path, mode="w", zarr_format=3)
            lead = tuple(size for _, size in shape.leading)
            names = [*(name for name, _ in shape.leading), *shape.names]
            sizes: dict[str, tuple[int, ...]] = {str(n): size for n, size in enumerate(shape.levels)}
            if raw:
                sizes[RAW] = shape.size
            for key, size in sizes.items():
                chunk = tuple(min(c, s) for c, s in zip(shape.chunk, size, strict=True))
                group.create_array(
                    key,
                    shape=(*lead, *size),
                    dtype="uint8" if key == RAW else shape.dtype,  # classes before they are objects
                    chunks=(*(1,) * len(lead), *chunk),
                    dimension_names=names,
                    fill_value=fill,
                    # An empty chunk is a chunk, too: that it is there says that it was looked at.
                    config={"write_empty_chunks": True},
                )
            if height:
                chunk = tuple(min(c, s) for c, s in zip(shape.chunk, shape.size, strict=True))
                group.create_array(
                    HEIGHT, shape=(*lead, *shape.size), dtype=height, chunks=(*(1,) * len(lead), *chunk),
                    dimension_names=names, fill_value=0,
                )  # fmt: skip
            if probabilities:
                chunk = tuple(min(c, s) for c, s in zip(shape.chunk, shape.size, strict=True))
                group.create_array(
                    PROBABILITIES,
                    shape=(*lead, len(classes) if probabilities is True else probabilities, *shape.size),
                    dtype="uint8",
                    chunks=(*(1,) * len(lead), 1, *chunk),
                    dimension_names=[*names[: len(lead)], "class", *shape.names],
                    fill_value=0,
                )
            if answers:
                cls(path, group).scratch(ANSWERS, "float16", answers)
            colours = [
                {"label-value": n, "rgba": [*class_colour(n), 255]} for n in range(1, len(classes) + 1)
            ]
            named = [{"label-value": n, "class": one} for n, one in enumerate(classes, start=1)]
            shown = {"name": name, "axes": shape.axes(), "datasets": shape.datasets()}
            content = {"multiscales": [shown], "image-label": {"colors": colours, "properties": named}}
            describe(group, content, VERSION)
            group.attrs[ABOUT] = dict(about)  # last: without it nothing was begun
        return cls(path, group)

    @classmethod
    def open(cls, path: Path) -> LabelStore:
        """Open a store that is there.

        Raises
        ------
        DataError
            If it is none.
        """
        import zarr

        try:
            group = zarr.open_group(path, mode="r+")
            if ABOUT in group.attrs:
                return cls(path, group)
        except (OSError, ValueError, KeyError, zarr.errors.BaseZarrError):
            pass
        raise DataError(
            f"{path} is no mask that was begun here",
            code="data.store.foreign",
            expected="a folder that `napari-unet segment` made",
            remedy="remove it, or choose another folder",
        )

    @property
    def about(self) -> dict[str, Any]:
        """How the labels come about."""
        return dict(self.group.attrs[ABOUT])

    def array(self, key: str | int = 0) -> Any:
        """A level by its number, ``RAW`` or ``PROBABILITIES``."""
        import zarr

        with zarr.config.set({"array.write_empty_chunks": True}):  # which an opened array does not remember
            return self.group[str(key)]

    def numbers(self, key: str) -> Any:
        """An array of numbers in pieces like those of the labels, until they are finished."""
        if key not in self.group:
            like = self.array(0)
            with disk(self.path):
                self.group.create_array(
                    key, shape=like.shape, dtype="uint32", chunks=like.chunks, fill_value=0
                )
        return self.array(key)

    def has_array(self, key: str) -> bool:
        """Whether there is an array of this name."""
        return key in self.group

    def has(self, key: str | int, chunk: Index) -> bool:
        """Whether the file of a chunk is there."""
        file = self.path.joinpath(str(key), "c", *map(str, chunk))
        return file.is_file() and file.stat().st_size > 0

    @property
    def has_probabilities(self) -> bool:
        """Whether masks can be made again without the network."""
        return PROBABILITIES in self.group

    @property
    def has_answers(self) -> bool:
        """Whether what the network says is stored, as objects are separated by it."""
        return ANSWERS in self.group

    def scratch(self, key: str, dtype: str, channels: int = 0, *, by_file: bool = False) -> None:
        """Make an array that is needed until labels are finished, unless it is there.

        It has a number for each pixel, or for each file of labels.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        if key in self.group:
            return
        raw = self.array(self.base)
        lead, size, chunks = raw.shape[:-2], raw.shape[-2:], raw.chunks[-2:]
        if by_file:
            size, chunks = tuple(-(-s // c) for s, c in zip(size, chunks, strict=True)), (1, 1)
        middle = (channels,) if channels else ()
        with disk(self.path):
            self.group.create_array(
                key,
                shape=(*lead, *middle, *size),
                dtype=dtype,
                chunks=(*(1,) * (len(lead) + len(middle)), *chunks),
                fill_value=0,
            )

    @property
    def base(self) -> str:
        """Key of the array of labels as they were written first."""
        return RAW if RAW in self.group else "0"

    @property
    def state(self) -> dict[str, Any]:
        """What the mask in it was made with; empty while it is being made."""
        return dict(self.group.attrs.get(STATE) or {})

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Say what the mask in it was made with.

        Raises
        ------
        OutputError
            If the disk refuses.
        """
        with disk(self.path):
            self.group.attrs[STATE] = dict(state)

    @property
    def levels(self) -> list[Any]:
        """The array of each level."""
        return [self.group[one["path"]] for one in self.group.attrs["ome"]["multiscales"][0]["datasets"]]

    def written(self, key: str | int = 0) -> set[Index]:
        """Numbers of the chunks that are there, along all axes."""
        array = self.array(key)
        folder = self.path / str(key) / "c"
        depth = array.ndim
        found = set()
        for file in _files(folder, depth) if folder.is_dir() else ():
            parts = file.relative_to(folder).parts
            if len(parts) == depth and all(part.isdecimal() for part in parts):
                found.add(tuple(map(int, parts)))
        return found

    def write(self, key: str | int, index: Place, rows: slice, columns: slice, values: NDArray[Any]) -> None:
        """Write a part: whole chunks, or others' pixels in them could be lost.

        Parameters
        ----------
        key : str or int
            As ``array``.
        index : tuple of int
            Of the image in the stack.
        rows, columns : slice
            Where in it. Of volumes the index ends in a slice along Z.
        values : numpy.ndarray
            (Y, X) or (Z, Y, X) labels, of the type of the array.

        Raises
        ------
        OutputError
            If the disk refuses.
        """
        with disk(self.path):
            self.array(key)[(*index, rows, columns)] = values

    def write_probabilities(
        self, index: Index, rows: slice, columns: slice, values: NDArray[np.uint8]
    ) -> None:
        """Write the probabilities, (K, Y, X) uint8, of a part; as ``write``."""
        self.write_channels(PROBABILITIES, index, rows, columns, values)

    def write_channels(
        self, key: str, index: Place, rows: slice, columns: slice, values: NDArray[Any]
    ) -> None:
        """Write the first channels, (K, Y, X) or of volumes (Z, K, Y, X), of a part; as ``write``."""
        with disk(self.path):
            self.array(key)[(*index, slice(0, values.shape[-3]), rows, columns)] = values

    def write_numbered(self, index: Index, said: NumberedObjects) -> None:
        """Write the class of every object of an image, by its number, and which of them are ties.

        They are arrays, as there may be millions: "objects/class" and "objects/tied", in which 0 is no
        object; "objects/INDEX/class" in stacks.
        """
        place = "/".join([OBJECTS, *map(str, index)])
        tied = np.zeros(len(said.classes), np.uint8)
        tied[list(said.ties)] = 1
        with disk(self.path):
            group = self.group.require_group(place)
            for name, values in (("class", said.classes), ("tied", tied)):
                array = group.create_array(name, shape=values.shape, dtype=values.dtype, overwrite=True)
                array[...] = values
            group.attrs["classes"] = list(said.names)

    def read_numbered(self, index: Index = ()) -> NumberedObjects | None:
        """The class of every object of an image, and which of them are ties; None if that is not there."""
        place = "/".join([OBJECTS, *map(str, index)])
        if place not in self.group or "class" not in self.group[place]:
            return None
        group = self.group[place]
        ties = np.flatnonzero(np.asarray(group["tied"][...]))
        return NumberedObjects(
            tuple(group.attrs["classes"]), np.asarray(group["class"][...]), tuple(ties.tolist())
        )

    def halve(self, level: int, index: Index, rows: slice, columns: slice) -> None:
        """Make a part of a level, in pixels of it, of the level below: every second pixel."""
        below = self.array(level - 1)
        part = below[
            (*index, slice(2 * rows.start, 2 * rows.stop), slice(2 * columns.start, 2 * columns.stop))
        ]
        self.write(level, index, rows, columns, np.asarray(part)[::2, ::2])

    def preview(self, key: str | int, index: Index, rows: slice, columns: slice) -> None:
        """Show a part of an array on all levels; by one process alone, as files are shared by parts.

        Raises
        ------
        OutputError
            If the disk refuses.
        """
        values = np.asarray(self.array(key)[(*index, rows, columns)])
        for level in range(len(self.levels)):
            if str(level) == str(key):
                continue
            step = 2**level
            top, left = -(-rows.start // step), -(-columns.start // step)
            part = values[top * step - rows.start :: step, left * step - columns.start :: step]
            if part.size:
                below, right = top + part.shape[0], left + part.shape[1]
                self.write(level, index, slice(top, below), slice(left, right), part)

    def finish(self, path: Path) -> LabelStore:
        """Take away what nobody needs any more, and give the store its name.

        Raises
        ------
        OutputError
            If the disk refuses.
        """
        with disk(path):
            if (self.path / RAW).is_dir():
                for key in SCRATCH:
                    shutil.rmtree(self.path / key, ignore_errors=key != RAW)
                shutil.rmtree(self.path / PROBABILITIES, ignore_errors=True)  # that classes were read off
            if path.exists():
                shutil.rmtree(path)
            self.path.rename(path)
            sync_folder(path.parent)
        return LabelStore.open(path)


def _files(folder: Path, depth: int) -> Iterator[Path]:
    """Chunks are this many folders deep; others' leavings are passed over."""
    if depth == 1:
        yield from (p for p in folder.iterdir() if p.is_file() and p.stat().st_size)
        return
    for inner in folder.iterdir():
        if inner.is_dir():
            yield from _files(inner, depth - 1)


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """Say in a sentence that a disk refuses to write to a store."""
    try:
        yield
    except OSError as error:
        raise unwritable(
            f"{path} cannot be written", error, "make room or choose another folder; finished parts stay"
        ) from error


def unfinished(path: Path) -> Path:
    """Where a store lies until it is finished."""
    return path.with_name(path.name + UNFINISHED)
