"""Opening data: any layout we know by its looks, or the one that is named."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from napari_unet.data.dataset import Dataset, Problem
from napari_unet.data.files.decoders.image_kinds import (
    HDF5_SUFFIXES,
    is_image_name,
    split_array_name,
    suffix_of,
)
from napari_unet.data.files.pages import page_samples
from napari_unet.data.files.reading import current_reading
from napari_unet.data.files.source import FolderSource, Source, open_source
from napari_unet.data.files.stored.lazy_hdf5 import open_hdf5_image
from napari_unet.data.files.stored.lazy_zarr import is_zarr_image
from napari_unet.data.files.unreadable import IMAGE_FORMATS, unreadable_file
from napari_unet.data.formats import (
    cell_tracking,
    dsb2018,
    image_mask_folders,
    isbi2012,
    outlines,
    pairs_csv,
    plain_images,
    run_length_csv,
    tgs_salt,
    ultrasound_nerve,
)
from napari_unet.data.inspection.inspect_dataset import without_problems
from napari_unet.data.masks.mask_checks import fit_masks
from napari_unet.data.masks.mask_reading import current_mask_reading
from napari_unet.data.outlines.files import TEXT_SUFFIXES
from napari_unet.data.sample import with_unique_ids
from napari_unet.data.tables import header_in_words, is_table_name
from napari_unet.errors import DataError, SettingsError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from napari_unet.data.sample import Sample


PAGE = re.compile(r"(?<=\.)(tiff?|gif|webp|zarr|(?:zarr|h5|hdf5):/.*)\[\d+\]$", re.IGNORECASE)
MOST_LEFT_OUT = 10  # files for every image of a data set; a few masks more are usual


@dataclass(frozen=True)
class Format:
    """A layout: its name, how it is recognized, and how it is opened."""

    name: str
    title: str
    recognize: Callable[[Source], bool]
    open_source: Callable[[Source], Dataset]


# The more particular a layout, the earlier it is asked.
FORMATS: Mapping[str, Format] = {
    module.NAME: Format(module.NAME, module.TITLE, module.recognize, module.open_source)
    for module in (
        tgs_salt,
        cell_tracking,
        dsb2018,
        ultrasound_nerve,
        isbi2012,
        pairs_csv,
        run_length_csv,
        image_mask_folders,
        outlines,
        plain_images,
    )
}


def recognize(source: Source) -> str:
    """Name of the layout of a source.

    Raises
    ------
    DataError
        If it holds no image.
    """
    for name, layout in FORMATS.items():
        if layout.recognize(source):
            return name
    zips = [name for name in source.sizes if name.lower().endswith(".zip")]
    remedy = "give a folder that holds images"
    if zips:
        remedy = f"open one of the zips in it, like {zips[0]}"
    foreign = next((n for n in source.sizes if PurePosixPath(n).suffix.lower() in IMAGE_FORMATS), None)
    if foreign is not None and not zips:
        raise unreadable_file(source.file(foreign) or source.path / foreign)
    count = len(source.sizes)
    got = f"{count:,} file{'s' * (count != 1)}" if count else "no files"
    if source.broken_links:
        got += f", and links that lead nowhere, like {source.broken_links[0]}"
    raise DataError(
        f"{source.path} holds no image",
        code="data.images.missing",
        expected="images, with or without masks",
        got=got,
        remedy=remedy,
    )


def find_format(path: Path | str) -> str | None:
    """Name of the layout of what ``open_dataset`` would open, or None if it would know none.

    Parameters
    ----------
    path : path or str
        As for ``open_dataset``.

    Raises
    ------
    DataError
        If it is no folder, zip, table or image, or cannot be looked into.
    """
    path = Path(path).expanduser()
    if path.is_file() and is_table_name(path.name):
        table = FolderSource(path.parent, only=[path.name])
        if pairs_csv.is_pairs(table, path.name):
            return pairs_csv.NAME
        return run_length_csv.NAME if run_length_csv.columns_of(table, path.name) else None
    if path.is_file() and is_image_name(path.name):
        stacks = FolderSource(path.parent, only=isbi2012.STACKS)
        named = path.name == isbi2012.VOLUME and isbi2012.recognize(stacks)
        return isbi2012.NAME if named else None
    if path.is_file() and outlines.is_outline_file(path):
        return outlines.NAME
    if path.is_file() and path.suffix.lower() in TEXT_SUFFIXES:
        return None  # of another program
    source = _array_at(path) or open_source(path)
    return next((name for name, layout in FORMATS.items() if layout.recognize(source)), None)


def open_dataset(path: Path | str, format: str | None = None) -> Dataset:
    """Open a data set: a folder, a zip, a CSV table, a file of outlines, or the stack train-volume.tif.

    Parameters
    ----------
    path : path or str
        Folder, .zip (zips inside included), .csv, outlines (.json, .geojson, .xml), or the ISBI 2012 stack.
    format : str, optional
        A name from ``FORMATS``; without it the layout is recognized.

    Returns
    -------
    Dataset
        Lazy: at most a few masks were read, to learn what their values mean. Every mask is held
        against the size of its image when it is read.

    Raises
    ------
    DataError
        If it cannot be read.
    SettingsError
        If there is no format of that name.
    """
    reading = current_mask_reading()
    dataset = _open(Path(path).expanduser(), format)
    if current_reading().channels:
        dataset = replace(dataset, channels=current_reading().channels)
    if reading.masks_are:
        dataset = replace(dataset, masks_are=reading.masks_are)
        if not dataset.masks:
            message = f"the layout {dataset.format} says what its masks are, so --masks-are changes nothing"
            problem = Problem("interpretation", message, "leave --masks-are out")
            dataset = replace(dataset, problems=(*dataset.problems, problem))
    return without_problems(dataset) if reading.leave_out_problems else dataset


def _open(path: Path, format: str | None) -> Dataset:
    if format is not None and format not in FORMATS:
        raise SettingsError(
            f"there is no layout {format!r}",
            code="settings.format.unknown",
            remedy=did_you_mean(format, FORMATS),
        )
    if path.is_file() and is_table_name(path.name):
        return fit_masks(_open_table(path, format))
    if path.is_file() and is_image_name(path.name):
        return fit_masks(_open_stack(path, format))
    if format in (None, outlines.NAME) and path.is_file() and outlines.is_outline_file(path):
        return fit_masks(outlines.open_file(path))
    source = _array_at(path) or open_source(path)
    dataset = fit_masks(FORMATS[format or recognize(source)].open_source(source))
    if source.broken_links:
        links = _broken(source.broken_links)
        dataset = replace(dataset, problems=(*dataset.problems, links))
    if dataset.samples and not dataset.outlines and (unused := outlines.first_outline_file(source)):
        message = f"{unused} has outlines, which do not count: {dataset.format} has masks of its own"
        problem = Problem("not read", message, f"--layout {outlines.NAME} takes the outlines", (unused,))
        dataset = replace(dataset, problems=(*dataset.problems, problem))
    left = _left_out(dataset, source)
    if not left:
        return dataset
    message = f"{len(left)} image files are not part of the layout {dataset.format}, like {left[0]}"
    if format is None and len(left) > MOST_LEFT_OUT * (len(dataset.samples) + len(dataset.unlabelled)):
        raise DataError(
            f"{path} seems to hold more than one data set",
            code="data.set.ambiguous",
            expected="the folder of one",
            got=message,
            remedy="give the folder of one of them, or name the layout with --layout",
        )
    problem = Problem("left out", message, "check that this is the right folder and format", left)
    return replace(dataset, problems=(*dataset.problems, problem))


def _array_at(path: Path) -> Source | None:
    """The images in an OME-Zarr or in a file of HDF5, or the one that is named; None for anything else."""
    found = split_array_name(path.as_posix())
    if found is None or not (is_zarr_image(file := Path(found[0])) or _is_hdf5(file)):
        return None
    name = file.name + (f":/{found[1]}" if found[1] else "")
    source = FolderSource(file.parent, only=[name])
    if not source.sizes:
        open_hdf5_image(file, found[1])  # says what there is
    source.path = path  # that it is opened by again
    return source


def _is_hdf5(file: Path) -> bool:
    return file.is_file() and suffix_of(file.name) in HDF5_SUFFIXES


def _broken(links: tuple[str, ...]) -> Problem:
    message = f"{len(links)} links lead to files or folders that are not there, like {links[0]}"
    return Problem("broken link", message, "mend the links, or copy the files", links)


def _left_out(dataset: Dataset, source: Source) -> tuple[str, ...]:
    """Image files that belong to no sample and that no problem tells of."""
    reported = {name for problem in dataset.problems for name in problem.names}
    for sample in (*dataset.samples, *dataset.unlabelled):
        reported |= {PAGE.sub(r"\1", name) for name in (sample.image_name, sample.mask_name) if name}
    # A mask in many files is named by their folder.
    return tuple(
        n
        for n in source.sizes
        if is_image_name(n) and n not in reported and n.rpartition("/")[0] not in reported
    )


def _open_table(path: Path, format: str | None) -> Dataset:
    table = FolderSource(path.parent, only=[path.name])
    if format in (None, pairs_csv.NAME) and pairs_csv.is_pairs(table, path.name):
        return pairs_csv.open_file(path)
    if format in (None, run_length_csv.NAME) and run_length_csv.columns_of(table, path.name):
        return run_length_csv.open_table(FolderSource(path.parent, common_root=False), path.name)
    raise DataError(
        f"{path} is not a table of masks" + (f" in the format {format}" if format else ""),
        code="data.table.format",
        expected="columns image and mask, or an id and run lengths",
        got=header_in_words(table, path.name),
    )


def _open_stack(path: Path, format: str | None) -> Dataset:
    source = FolderSource(path.parent, only=isbi2012.STACKS)
    if format in (None, isbi2012.NAME) and path.name in source.sizes and isbi2012.recognize(source):
        return isbi2012.open_source(source)
    raise DataError(
        f"{path} is an image, not a data set",
        code="data.set.image",
        expected=f"a folder, a zip, a CSV table, or {isbi2012.VOLUME} with {isbi2012.LABELS}",
        remedy="give the folder that holds the images and masks",
    )


def open_images(paths: Sequence[Path | str]) -> tuple[Sample, ...]:
    """Open images to be segmented: files, stacks, folders, zips and data sets, masks or not.

    Parameters
    ----------
    paths : sequence
        Of files, folders, zips.

    Returns
    -------
    tuple of Sample
        All images, labelled or not, in the order of the paths. Ids are the files' stems, with a page
        number for stacks, and a number more where two would be the same.

    Raises
    ------
    DataError
        If a path does not exist or holds no image, or a TIFF there cannot be read. Other damaged
        images are found when they are read.
    """
    found: list[Sample] = []
    for given in paths:
        path = Path(given).expanduser()
        if (array := _array_at(path)) is not None:
            found += _images_of(array)
        elif path.is_file() and is_image_name(path.name):
            found += page_samples(FolderSource(path.parent, only=[path.name]), path.name)
        elif path.is_file() and is_table_name(path.name):
            dataset = open_dataset(path)
            found += [*dataset.samples, *dataset.unlabelled]
        else:
            found += _images_of(open_source(path))
    return with_unique_ids(found)


def open_image_file(path: Path) -> Dataset:
    """Open one file as a data set of all its images, without masks.

    Raises
    ------
    DataError
        If its format cannot be read.
    """
    if not is_image_name(path.name):
        raise unreadable_file(path)
    return plain_images.open_source(FolderSource(path.parent, only=[path.name]))


def _images_of(source: Source) -> Iterable[Sample]:
    layout = FORMATS[recognize(source)]
    try:
        dataset = fit_masks(layout.open_source(source))
    except DataError:
        if layout.name != outlines.NAME:
            raise
        dataset = plain_images.open_source(source)  # outlines are not needed to segment
    return (*dataset.samples, *dataset.unlabelled)
