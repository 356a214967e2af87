"""Masks that are there already, made by any program, for the images of a data set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.file_names import name_key, unique_stems
from napari_unet.data.files.decoders.image_kinds import SEVERAL, is_image_name, suffix_of
from napari_unet.data.files.image_files import count_pages
from napari_unet.data.files.loaders import LabelMaskLoader
from napari_unet.data.files.pages import count_pages_in
from napari_unet.data.files.source import open_source
from napari_unet.data.formats.mask_meaning import find_meaning
from napari_unet.data.formats.mask_sightings import UNKNOWN
from napari_unet.data.masks.mask_checks import FittingMask
from napari_unet.data.masks.mask_pixels import decode_stored
from napari_unet.data.masks.mask_reading import PLAIN, current_mask_reading, reading_masks
from napari_unet.data.masks.mask_values import MaskValues, read_numbered
from napari_unet.data.volumes.slices import place_of
from napari_unet.errors import DataError, WorkbenchError
from napari_unet.inference.postprocess import connected_objects

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.files.source import Source
    from napari_unet.data.masks.mask_pixels import MaskInFile
    from napari_unet.data.sample import Sample


@dataclass(frozen=True, eq=False)
class GivenMask:
    """A mask out of a file.

    Attributes
    ----------
    labels : numpy.ndarray
        (Y, X) uint8, 0..K; pixels that the file calls unknown are background.
    objects : numpy.ndarray or None
        (Y, X) int32, the file's own numbers; None where it has none.
    """

    labels: NDArray[np.uint8]
    objects: NDArray[np.int32] | None


class GivenMasks:
    """Mask files of one folder, all read in one way: as data sets read them.

    Parameters
    ----------
    source : Source
        Where they are.
    names : sequence of str
        The files.
    classes : tuple of str
        Names of the classes 1..K; empty where they are not known, until a file was read.
    values : MaskValues, optional
        What the values of the reference masks stand for: masks may have these too.
    volumes : collection of str
        Files whose pages are masks of slices.
    """

    def __init__(
        self,
        source: Source,
        names: Sequence[str],
        classes: tuple[str, ...] = (),
        values: MaskValues | None = None,
        volumes: Collection[str] = (),
    ) -> None:
        self.source = source
        self._volumes = volumes
        self._volume = "", b""
        self.classes = classes
        self._values = values if len(classes) > 1 else None
        self._numbers = MaskValues("values", tuple((n,) for n in range(1, len(classes) + 1)))
        self._names = list(names)
        self._meaning: dict[str, MaskValues] | None = None
        self.words = ""

    def read(self, name: str, page: int | None = None) -> GivenMask:
        """Read a file, or a page of one that holds the masks of a volume.

        Raises
        ------
        DataError
            If it is no mask of these classes.
        """
        if page is None:
            data = self.source.read(name)
            whole = suffix_of(name) not in SEVERAL or count_pages(data, name) > 1
            stored = decode_stored(data, name, None if whole else 0)
        else:
            if self._volume[0] != name:  # its slices are read one after another
                self._volume = name, self.source.read(name)
            stored = decode_stored(self._volume[1], name, page)
        if stored.numbered is not None and not current_mask_reading().masks_are:
            self.classes = self.classes or stored.numbered.names
            numbered = read_numbered(stored, name, self.classes)
            return GivenMask(numbered.labels, numbered.objects)
        if len(self.classes) > 1 and self._meaning is None:
            return self._of_classes(stored, name)
        meaning = self._find(name)
        mask = meaning.read(stored, name)
        objects = mask.objects
        if page is None and objects is not None and len(np.unique(objects[objects > 0])) < 2:
            objects = None  # 0 and one number: no objects are numbered
        return GivenMask(mask.labels, objects)

    def _find(self, name: str) -> MaskValues:
        if self._meaning is None:
            whole = [n for n in self._names if self._is_of_pages(n)]
            # Of one class, or of none that are known, several values number objects.
            classes = not self.classes and current_mask_reading().masks_are == "classes"
            named = () if classes else self.classes or ("foreground",)
            with reading_masks(current_mask_reading() if classes else PLAIN):
                found = find_meaning(self.source, self._names, whole=whole, named=named)
            if named and any(meaning.classes != len(named) for meaning in found.by_name.values()):
                raise DataError(
                    f"{name} is not a mask of this data set",
                    code="data.mask.classes",
                    expected="foreground and background, or numbers of objects",
                    got=found.words,
                )
            self._meaning, self.words = found.by_name, found.words
            self.classes = self.classes or found.classes
        return self._meaning[name]

    def _is_of_pages(self, name: str) -> bool:
        if name in self._volumes:
            return False
        try:
            return suffix_of(name) in SEVERAL and count_pages(self.source.read(name), name) > 1
        except DataError:
            return False  # reported when it is read

    def _of_classes(self, stored: MaskInFile, name: str) -> GivenMask:
        pixels = stored.numbers
        known = [v for v in (self._values, self._as_channels(stored)) if v is not None]
        if pixels.ndim == 2 and pixels.dtype.kind in "buif":
            # Numbers 0 to K, as this program writes them; the reference's own values; 255 is unknown.
            unknown = self._values.unknown if self._values is not None else None
            if unknown is None and bool(((pixels > 0) & (pixels <= len(self.classes))).any()):  # type: ignore[operator]
                unknown = UNKNOWN
            plain = replace(self._numbers, unknown=unknown)
            known = [plain, *known]
        for meaning in known:
            try:
                return GivenMask(meaning.read(stored, name).labels, None)
            except DataError:
                continue
        raise DataError(
            f"{name} is not a mask of this data set",
            code="data.mask.classes",
            expected=self._expected(),
            got=_shown(pixels),
        )

    def _as_channels(self, stored: MaskInFile) -> MaskValues | None:
        if not stored.channels:
            return None
        channels, count = stored.pixels.shape[2], len(self.classes)
        first = 1 if channels == count + 1 else 0
        if channels - first != count:
            return None
        background = 0 if first else None
        return MaskValues("channels", tuple((n + first,) for n in range(count)), background=background)

    def _expected(self) -> str:
        expected = f"values 0 to {len(self.classes)}"
        if self._values is not None and self._values.kind == "values":
            values = [value for (value,) in self._values.values]
            if values != list(range(1, len(values) + 1)):
                expected += f", or {', '.join(map(str, values))} as in the reference masks"
        return expected


def _shown(pixels: NDArray[Any]) -> str:
    if pixels.ndim == 3:
        return "colours or channels"
    values = np.unique(pixels)
    return f"{len(values)} values from {values[0]} to {values[-1]}"


def mask_key(name: str) -> str:
    """What the name of a mask file has in common with that of its image: a.ome.tif goes with a.png."""
    return name_key(Path(name).stem).removesuffix(".ome")


def values_of(dataset: Dataset) -> MaskValues | None:
    """What the stored values of a data set's masks stand for, where its layout leaves that open."""
    for sample in dataset.samples:
        load = sample.load_mask.load if isinstance(sample.load_mask, FittingMask) else sample.load_mask
        return load.meaning if isinstance(load, LabelMaskLoader) else None
    return None


def read_masks(
    dataset: Dataset,
    path: Path,
    samples: Iterable[Sample] | None = None,
    on_problem: Callable[[Sample, WorkbenchError], object] | None = None,
    on_meaning: Callable[[str], None] | None = None,
) -> Iterator[tuple[Sample, NDArray[np.uint8], NDArray[np.int32]]]:
    """Read masks named after images.

    Parameters
    ----------
    dataset : Dataset
        Of the images.
    path : pathlib.Path
        Folder or zip; ID.png, ID_mask.png or another format.
    samples : iterable of Sample
        Which images; those with a reference mask if not given.
    on_problem : callable, optional
        Takes an image whose mask cannot be read, with the error; it is left out then.
    on_meaning : callable, optional
        Takes, once, what the values of the masks were taken for.

    Yields
    ------
    sample : Sample
        The image.
    mask : numpy.ndarray
        (Y, X) uint8, 0..K; read as data sets are read.
    objects : numpy.ndarray
        (Y, X) int32: the file's own numbers, where it has several and the set one class, else
        connected pieces.

    Raises
    ------
    DataError
        If an image has no mask, or a file is no mask of this data set.
    """
    for sample, mask, _ in given_masks(dataset, path, samples, on_problem, on_meaning):
        yield sample, mask.labels, connected_objects(mask.labels) if mask.objects is None else mask.objects


def given_masks(
    dataset: Dataset,
    path: Path,
    samples: Iterable[Sample] | None = None,
    on_problem: Callable[[Sample, WorkbenchError], object] | None = None,
    on_meaning: Callable[[str], None] | None = None,
) -> Iterator[tuple[Sample, GivenMask, bool]]:
    """As ``read_masks``, with what a file says of objects, and whether it holds the masks of a whole volume.

    Slices of a volume may have a file each, named after the slices, or one file with a page for each slice,
    named after the volume.
    """
    source = open_source(path)
    names = {mask_key(name): name for name in source.sizes if is_image_name(name)}
    # Segmenting the data set wrote a mask for every image, those without a reference included.
    stems = unique_stems(s.id for s in (*dataset.samples, *dataset.unlabelled))
    wanted = list(dataset.samples if samples is None else samples)
    found: dict[str, tuple[str, int | None] | None] = {}
    pages: dict[str, int] = {}
    for sample in wanted:
        stem = stems[sample.id]
        name = names.get(mask_key(f"{stem}.tif")) or names.get(name_key(f"{stem}_mask"))
        found[sample.id] = (name, None) if name else _in_volume(sample, source, names, pages)
    volumes = {place[0] for place in found.values() if place is not None and place[1] is not None}
    files = list(dict.fromkeys(place[0] for place in found.values() if place is not None))
    given = GivenMasks(source, files, dataset.classes, values_of(dataset), volumes)
    for sample in wanted:
        place = found[sample.id]
        if place is None:
            raise DataError(
                f"{path} has no mask for {sample.id}",
                code="data.mask.missing",
                expected=f"{stems[sample.id]}.png",
                remedy="segment all images first",
            )
        try:
            mask = given.read(*place)
        except WorkbenchError as error:
            if on_problem is None:
                raise
            on_problem(sample, error)
            continue
        if on_meaning is not None:
            on_meaning(given.words or f"numbers of the classes {', '.join(dataset.classes)}")
            on_meaning = None
        yield sample, mask, place[1] is not None


def _in_volume(
    sample: Sample, source: Source, names: dict[str, str], pages: dict[str, int]
) -> tuple[str, int] | None:
    """File and page of the mask of a slice, where a file has as many pages as its volume has slices."""
    place = place_of(sample)
    name = None if place is None else names.get(mask_key(f"{place.volume}.tif"))
    if place is None or name is None:
        return None
    if name not in pages:
        pages[name] = count_pages_in(source, name)
    return (name, sorted(place.slices).index(place.z)) if pages[name] == len(place.slices) else None
