"""What goes with a run record: images that are in no file as they were used, and painted masks."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any

from napari_unet.atomic import atomic_folder
from napari_unet.data.file_names import unique_stems
from napari_unet.data.files.decoders.image_kinds import is_image_name
from napari_unet.data.image_hash import image_hash
from napari_unet.data.lossless_images import encode_exactly
from napari_unet.errors import DataError, OutputError, WorkbenchError, unwritable
from napari_unet.workflow.inputs.content_path import ContentPath, content_hash
from napari_unet.workflow.inputs.image_reference import FileReference
from napari_unet.workflow.replay.recorded_images import RecordedImage, RecordedImages, files_of, mask_planes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from types import TracebackType

    from numpy.typing import NDArray

    from napari_unet.engine.task import FromCaller
    from napari_unet.workflow.inputs.image_reference import CallReference, ImageReference
    from napari_unet.workflow.replay.recorded_images import Rectangle

ROOMS = ("images", "masks")


@dataclass(frozen=True, eq=False)
class UsedImage:
    """An image as a run took it, on its way into a run record.

    Attributes
    ----------
    image : ImageReference
        Where it is.
    regions : tuple of tuple of int
        What was segmented, in order; all of it if empty. See ``RecordedImage``.
    shape : tuple of int or None
        (Y, X) of the whole image, where there are regions.
    digests : tuple of str
        Of the pixels that were segmented, one a region; empty where that is not known.
    whole : bool
        Whether the run needs the image beyond these regions.
    predicted : bool
        Whether the model was put on it.
    mask : FromCaller or None
        () -> ReferenceMask, to be written next to the run record.
    group, pixel_size : str
        See ``RecordedImage``.
    """

    image: ImageReference
    regions: tuple[Rectangle, ...] = ()
    shape: tuple[int, int] | None = None
    digests: tuple[str, ...] = ()
    whole: bool = True
    predicted: bool = True
    mask: FromCaller | None = None
    group: str = ""
    pixel_size: str = ""

    @property
    def part(self) -> Rectangle | None:
        """What of the image the run needs; None: all of it."""
        if self.whole or not self.regions:
            return None
        tops, lefts, bottoms, rights = zip(*self.regions, strict=True)
        return min(tops), min(lefts), max(bottoms), max(rights)


class RecordFiles:
    """Folders next to a run record; they appear whole, when the block ends well, or not at all.

    Parameters
    ----------
    path : pathlib.Path
        Of the run record; the folders are called after it.
    older : iterable of RecordedImage
        Of the run record that is there now, whose folders are replaced.
    names : iterable of str
        Ids of all images that may come.

    Raises
    ------
    OutputError
        If a folder is there that does not belong to that run record alone.
    """

    def __init__(self, path: Path, older: Iterable[RecordedImage], names: Iterable[str]) -> None:
        self.folders = {room: path.with_name(f"{path.stem}-{room}") for room in ROOMS}
        self.stale: list[Path] = []  # of the older run record, not needed any more
        self.placed: list[Path] = []
        older = tuple(older)
        for folder in self.folders.values():
            if folder.exists():
                _check_owned(folder, files_of(older, folder))
                self.stale.append(folder)
        self._stems = unique_stems(dict.fromkeys(names))
        self._stack = ExitStack()
        self._partial: dict[str, Path] = {}
        self._sources: dict[str, dict[str, str]] = {}  # file -> digest of an image in it -> its name there
        self._opened = RecordedImages()
        self._written: dict[tuple[str, Rectangle | None], ContentPath] = {}

    def __enter__(self) -> RecordFiles:
        self._stack.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        if error is None:
            self.placed = [self.folders[room] for room in self._partial]
            self.stale = [folder for folder in self.stale if folder not in self.placed]

    def add(self, used: UsedImage) -> RecordedImage:
        """Name an image by its file, or write it; write its mask.

        Raises
        ------
        DataError
            If it cannot be read, or is not what was segmented any more.
        OutputError
            If there is no room.
        """
        reference = used.image
        found: dict[str, Any] = {"id": reference.id, "part": None}
        if isinstance(reference, FileReference):
            found |= {"place": ContentPath.of(reference.path), "name": reference.id}
            found |= {"format": reference.format, "masks_are": reference.masks_are}
            found |= {"channels": reference.channels}
        else:
            found |= self._image(used, reference)
        if used.mask is not None:
            pixels, found["holds"] = mask_planes(used.mask())
            found["mask"] = self._write("masks", reference.id, pixels)
        return RecordedImage(
            regions=used.regions,
            shape=used.shape,
            predicted=used.predicted,
            group=used.group,
            pixel_size=used.pixel_size,
            **found,
        )

    def _image(self, used: UsedImage, reference: CallReference) -> dict[str, Any]:
        part = used.part
        if part is None or reference.region is None:
            part, pixels = None, reference.image()
        else:
            pixels = reference.region(*_slices(part))
        top, left = (0, 0) if part is None else part[:2]
        whole = (0, 0, *pixels.shape[:2])
        for region, digest in zip(used.regions or (whole,), used.digests, strict=False):
            rows, columns = _slices(region)
            seen = pixels[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
            if image_hash(seen) != digest:
                raise DataError(
                    f"the pixels of {reference.id} are others now than those that were segmented",
                    code="data.image.changed",
                    remedy="segment it again, then save the run",
                )
        name = self._in_source(reference, pixels, part)
        if name:
            return {"place": ContentPath.of(reference.source), "name": name}
        key = reference.id, part
        if key not in self._written:
            self._written[key] = self._write("images", reference.id, pixels)
        return {"place": self._written[key], "part": part}

    def _in_source(self, reference: CallReference, pixels: NDArray[Any], part: Rectangle | None) -> str:
        """What an image is called in the file that it was opened from; empty if it is not in it as it is."""
        path = Path(reference.source)
        if not reference.source or not path.is_file() or not is_image_name(path.name):
            return ""
        if path.parent.resolve() in {folder.resolve() for folder in self.folders.values()}:
            return ""  # of the older run record, which is about to go
        wanted = image_hash(pixels)
        try:
            candidates = self._opened.in_file(ContentPath.of(path))
            if part is not None:
                found = (
                    name
                    for name, sample in candidates.items()
                    if image_hash(sample.read_region(*_slices(part))) == wanted
                )
                return next(found, "")
            if reference.source not in self._sources:
                digests = {image_hash(s.read_image()): name for name, s in reversed(candidates.items())}
                self._sources[reference.source] = digests
        except WorkbenchError:
            return ""  # of a kind that napari alone reads, or damaged by now: the pixels are there
        return self._sources[reference.source].get(wanted, "")

    def _write(self, room: str, identifier: str, pixels: NDArray[Any]) -> ContentPath:
        folder = self.folders[room]
        if room not in self._partial:
            self._partial[room] = self._stack.enter_context(atomic_folder(folder))
        suffix, data = encode_exactly(pixels, identifier)
        stem = self._stems[identifier]
        file = self._partial[room] / f"{stem}{suffix}"
        try:
            file.write_bytes(data)
        except OSError as error:
            raise unwritable(f"{folder / file.name} cannot be written", error) from error
        return ContentPath(path=f"{folder.name}/{file.name}", hash=content_hash(file))

    def take_back(self) -> None:
        """Remove the folders again, if the run record itself could not be written."""
        for folder in self.placed:
            rmtree(folder, ignore_errors=True)

    def tidy(self) -> None:
        """Remove what belongs to the older run record and not to this one."""
        for folder in self.stale:
            rmtree(folder, ignore_errors=True)


def _slices(part: Rectangle) -> tuple[slice, slice]:
    return slice(part[0], part[2]), slice(part[1], part[3])


def _check_owned(folder: Path, files: Collection[Path]) -> None:
    if folder.is_dir() and {file.resolve() for file in files} >= {f.resolve() for f in folder.iterdir()}:
        return
    raise OutputError(
        f"{folder} is there already, where images of the run record would go",
        code="output.exists",
        remedy="give the run record another name",
    )
