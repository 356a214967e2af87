"""Opening data: any layout we know by its looks, or the one that is named."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from napari_unet.data.formats import (
    cell_tracking,
    dsb2018,
    image_mask_folders,
    isbi2012,
    pairs_csv,
    run_length_csv,
    tgs_salt,
    ultrasound_nerve,
)
from napari_unet.data.image_files import count_pages, is_image_name
from napari_unet.data.loaders import ImageLoader
from napari_unet.data.sample import Sample
from napari_unet.data.source import FolderSource, Source, open_source
from napari_unet.data.tables import header_of
from napari_unet.errors import DataError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from napari_unet.data.dataset import Dataset


@dataclass(frozen=True)
class Format:
    """A layout: its name, how it is recognized, and how it is opened."""

    name: str
    title: str
    recognize: Callable[[Source], bool]
    open_source: Callable[[Source], Dataset]


# The more particular a layout, the earlier it is asked.
FORMATS: dict[str, Format] = {
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
    )
}


def recognize(source: Source) -> str:
    """Name of the layout of a source.

    Raises
    ------
    DataError
        If it looks like none that we know.
    """
    for name, layout in FORMATS.items():
        if layout.recognize(source):
            return name
    images = sum(map(is_image_name, source.sizes))
    raise DataError(
        f"{source.path} is not a data set that we know",
        expected="images with masks in one of the layouts: " + ", ".join(FORMATS),
        got=f"{len(source.sizes)} files, {images} of them images",
        remedy="list the pairs in a CSV file with the columns image and mask",
    )


def open_dataset(path: Path | str, format: str | None = None) -> Dataset:
    """Open a data set: a folder, a zip, or a CSV table.

    Parameters
    ----------
    path : path or str
        Folder, .zip (zips inside included) or .csv.
    format : str, optional
        A name from ``FORMATS``; without it the layout is recognized.

    Returns
    -------
    Dataset
        Lazy: no image has been read.

    Raises
    ------
    DataError
        If it cannot be read.
    SettingsError
        If there is no format of that name.
    """
    path = Path(path).expanduser()
    if format is not None and format not in FORMATS:
        raise SettingsError(f"there is no format {format!r}", expected=f"one of {', '.join(FORMATS)}")
    if path.suffix.lower() == ".csv" and path.is_file():
        return _open_table(path, format)
    source = open_source(path)
    return FORMATS[format or recognize(source)].open_source(source)


def _open_table(path: Path, format: str | None) -> Dataset:
    source = FolderSource(path.parent, common_root=False)
    if format is None and pairs_csv.is_pairs(source, path.name):
        format = pairs_csv.NAME
    if format == pairs_csv.NAME:
        return pairs_csv.open_table(source, path.name)
    if format in (None, run_length_csv.NAME) and run_length_csv.columns_of(source, path.name):
        return run_length_csv.open_table(source, path.name)
    raise DataError(
        f"{path} is not a table of masks",
        expected="columns image and mask, or an id and run lengths",
        got=", ".join(header_of(source, path.name)),
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
        Ids are the files' stems, with a page number for stacks and made unique where need be.

    Raises
    ------
    DataError
        If a path does not exist or holds no image.
    """
    found: list[Sample] = []
    for given in paths:
        path = Path(given).expanduser()
        if path.is_file() and is_image_name(path.name):
            found += _pages(FolderSource(path.parent, only=[path.name]), [path.name])
            continue
        if path.is_file() and path.suffix.lower() == ".csv":
            dataset = open_dataset(path)
            found += [*dataset.samples, *dataset.unlabelled]
            continue
        source = open_source(path)
        layout = next((f for f in FORMATS.values() if f.recognize(source)), None)
        if layout is not None:
            dataset = layout.open_source(source)
            found += [*dataset.samples, *dataset.unlabelled]
            continue
        names = [name for name in source.sizes if is_image_name(name)]
        if not names:
            raise DataError(
                f"{path} holds no image",
                expected="PNG, TIFF, JPEG or BMP files",
                got=f"{len(source.sizes)} other files",
            )
        found += _pages(source, names)
    return _with_unique_ids(found)


def _pages(source: Source, names: Iterable[str]) -> list[Sample]:
    samples = []
    for name in names:
        stem = PurePosixPath(name).stem
        pages = count_pages(source.read(name), name)
        if pages == 1:
            samples.append(Sample(stem, ImageLoader(source, name), image_name=name))
        samples += [
            Sample(f"{stem}_{page:03d}", ImageLoader(source, name, page), image_name=f"{name}[{page}]")
            for page in range(pages if pages > 1 else 0)
        ]
    return samples


def _with_unique_ids(samples: list[Sample]) -> tuple[Sample, ...]:
    seen: dict[str, int] = {}
    out = []
    for sample in samples:
        count = seen.get(sample.id, 0)
        seen[sample.id] = count + 1
        out.append(replace(sample, id=f"{sample.id}_{count + 1}") if count else sample)
    return tuple(out)
