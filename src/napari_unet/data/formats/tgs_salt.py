"""TGS Salt Identification Challenge (Kaggle 2018): seismic tiles of 101 x 101 pixels.

train/images/ID.png (RGB with equal channels), train/masks/ID.png (16-bit {0, 65535}, 8-bit zeros
where empty), train.csv (id, rle_mask), depths.csv (id, z), test/images. Masks are read with a
threshold above 0; a mask file and the row of the table must agree.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from napari_unet.data.dataset import Dataset, Problem
from napari_unet.data.image_files import is_image_name
from napari_unet.data.loaders import BinaryMaskLoader, ImageLoader, RunLengthLoader
from napari_unet.data.sample import NO_PROPERTIES, Sample
from napari_unet.data.tables import check_id, header_of, read_table
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.data.source import Source

NAME = "tgs-salt"
TITLE = "TGS Salt Identification Challenge"
IMAGES, MASKS, TEST = "train/images/", "train/masks/", "test/images/"


def recognize(source: Source) -> bool:
    """Whether a source is laid out like this."""
    if not any(name.startswith(IMAGES) for name in source.sizes):
        return False
    if "depths.csv" in source.sizes:
        return True
    return "train.csv" in source.sizes and "rle_mask" in header_of(source, "train.csv")


def _stems(source: Source, folder: str) -> dict[str, str]:
    return {
        PurePosixPath(name).stem: name
        for name in source.sizes
        if name.startswith(folder) and is_image_name(name)
    }


def open_source(source: Source) -> Dataset:
    """Open a source of this layout.

    Raises
    ------
    DataError
        If there are no images, or a table has bad ids or depths.
    """
    images, masks = _stems(source, IMAGES), _stems(source, MASKS)
    if not images:
        raise DataError(f"{source.path} has no images in {IMAGES}", remedy="check the folder")
    runs: dict[str, str] = {}
    if "train.csv" in source.sizes:
        rows = read_table(source, "train.csv", ("id", "rle_mask"))
        runs = {check_id(row["id"], "train.csv"): row["rle_mask"] for row in rows}
    depths = _depths(source)
    samples, unlabelled = [], []
    problems: list[Problem] = []
    for stem, name in images.items():
        load = ImageLoader(source, name)
        properties = {"z": depths[stem]} if stem in depths else NO_PROPERTIES
        if stem in masks:
            mask = BinaryMaskLoader(source, masks[stem], 0, runs.get(stem))
            reason = f"same name in {MASKS}" + (" and in train.csv" if stem in runs else "")
            samples.append(Sample(stem, load, mask, None, name, masks[stem], reason, properties))
        elif stem in runs:
            table = RunLengthLoader((runs[stem],), load, stem)
            samples.append(Sample(stem, load, table, None, name, "train.csv", "row in train.csv", properties))
        else:
            unlabelled.append(Sample(stem, load, image_name=name, properties=properties))
            problems.append(
                Problem("unpaired image", f"{name} has no mask", "add the mask or leave it out", (name,))
            )
    problems += [
        Problem("unpaired mask", f"{name} has no image", "add the image or delete the mask", (name,))
        for stem, name in masks.items()
        if stem not in images
    ]
    for stem, name in _stems(source, TEST).items():
        properties = {"z": depths[stem]} if stem in depths else NO_PROPERTIES
        unlabelled.append(Sample(stem, ImageLoader(source, name), image_name=name, properties=properties))
    return Dataset(
        name=source.name,
        format=NAME,
        path=source.path,
        samples=tuple(samples),
        unlabelled=tuple(unlabelled),
        classes=("salt",),
        problems=tuple(problems),
        licence="Kaggle competition rules",
        citation="TGS Salt Identification Challenge, Kaggle 2018",
        find_groups=find_mosaics,
        group_rule="mosaic",
    )


def _depths(source: Source) -> dict[str, int]:
    if "depths.csv" not in source.sizes:
        return {}
    try:
        return {r["id"]: int(r["z"]) for r in read_table(source, "depths.csv", ("id", "z"))}
    except ValueError as error:
        raise DataError("depths.csv has a depth that is not a whole number", got=str(error)) from error


def find_mosaics(samples: Sequence[Sample]) -> list[str]:
    """Groups of tiles that were cut from the same larger image."""
    from napari_unet.data.mosaic import mosaic_groups

    return mosaic_groups(samples)
