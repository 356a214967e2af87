"""TGS Salt Identification Challenge (Kaggle 2018): seismic tiles of 101 x 101 pixels.

train/images/ID.png (RGB with equal channels), train/masks/ID.png (16-bit {0, 65535}, 8-bit zeros
where empty), train.csv (id, rle_mask), depths.csv (id, z), test/images. Masks are read with a
threshold above 0, from their files; where there is no file, from the table. Whether both agree is
found by ``mask_checks.check_masks``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_unet.data.dataset import Dataset, Problem
from napari_unet.data.file_names import composed
from napari_unet.data.files.decoders.image_kinds import is_image_name
from napari_unet.data.files.loaders import ImageLoader
from napari_unet.data.formats.pairing import by_stem, sample_of, unpaired_image, unpaired_mask
from napari_unet.data.sample import Sample
from napari_unet.data.tables import check_id, header_of, read_table
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.data.files.source import Source

NAME = "tgs-salt"
TITLE = "TGS Salt Identification Challenge"
IMAGE = re.compile(r"((?:.*/)?(?:train/)?)images/[^/]+$")
TABLE, DEPTHS = "train.csv", "depths.csv"


def recognize(source: Source) -> bool:
    """Whether a source has images in train/images and the competition's depths.csv or train.csv."""
    folder = _train_folder(source)
    if folder is None or not folder.endswith("train/"):
        return False
    root = folder.removesuffix("train/")
    if not all(name.startswith(root) for name in source.sizes if is_image_name(name)):
        return False  # one data set among others
    table = _table(source, folder, TABLE)
    return bool(_table(source, folder, DEPTHS)) or bool(table and "rle_mask" in header_of(source, table))


def _train_folder(source: Source) -> str | None:
    """The folder train/, with what stands before it; "" where the source is that folder itself."""
    folders = {m[1] for n in source.sizes if (m := IMAGE.match(n)) and not m[1].endswith("test/")}
    return min(folders, key=lambda f: (not f.endswith("train/"), f.count("/"), f), default=None)


def _table(source: Source, folder: str, name: str) -> str:
    """Where a table lies: next to the folder train, or at the top; "" if nowhere."""
    next_to_folder = folder.removesuffix("train/") + name
    return next((n for n in (next_to_folder, name) if n in source.sizes), "")


def _stems(source: Source, folder: str) -> tuple[dict[str, str], list[Problem]]:
    return by_stem(n for n in source.sizes if n.startswith(folder) and is_image_name(n))


def open_source(source: Source) -> Dataset:
    """Open a source of this layout.

    Raises
    ------
    DataError
        If there are no images, or a table has bad ids or depths.
    """
    folder = _train_folder(source)
    if folder is None:
        raise DataError(
            f"{source.path} has no folder train/images",
            code="data.set.incomplete",
            expected="train/images, train/masks, train.csv, depths.csv",
            remedy="give the folder or the zip of the competition's data",
        )
    images, problems = _stems(source, f"{folder}images/")
    masks, twice = _stems(source, f"{folder}masks/")
    problems += twice
    table = _table(source, folder, TABLE)
    runs = _runs(source, table) if table else {}
    depths = _depths(source, _table(source, folder, DEPTHS))
    samples: list[Sample] = []
    unlabelled: list[Sample] = []
    for stem, name in images.items():
        properties = {"z": depths[stem]} if stem in depths else {}
        reason = f"same name in {folder}images and {folder}masks"
        sample = sample_of(
            source, stem, name, masks.get(stem), runs.get(stem), table, reason, properties=properties
        )
        (samples if sample.has_mask else unlabelled).append(sample)
        if not sample.has_mask:
            problems.append(unpaired_image(name))
    problems += [unpaired_mask(name) for stem, name in masks.items() if stem not in images]
    test, twice = _stems(source, f"{folder.removesuffix('train/')}test/images/")
    problems += twice
    for stem, name in test.items():
        properties = {"z": depths[stem]} if stem in depths else {}
        # The competition's ids are unique over both parts; other sets may number them again.
        identifier = f"test_{stem}" if stem in images else stem
        unlabelled.append(
            Sample(identifier, ImageLoader(source, name), image_name=name, properties=properties)
        )
    return Dataset(
        name=source.name,
        format=NAME,
        path=source.path,
        samples=tuple(samples),
        unlabelled=tuple(unlabelled),
        problems=tuple(problems),
        classes=("salt",),
        licence="rules of the Kaggle competition",
        citation="TGS Salt Identification Challenge, Kaggle 2018, "
        "https://www.kaggle.com/c/tgs-salt-identification-challenge",
        find_groups=find_mosaics,
        group_rule="mosaic",
    )


def _runs(source: Source, table: str) -> dict[str, str]:
    return {check_id(r["id"], table): r["rle_mask"] for r in read_table(source, table, ("id", "rle_mask"))}


def _depths(source: Source, table: str) -> dict[str, int]:
    if not table:
        return {}
    try:
        return {composed(r["id"]): int(r["z"]) for r in read_table(source, table, ("id", "z"))}
    except ValueError as error:
        raise DataError(
            f"{table} has a depth that is not a whole number",
            code="data.table.value",
            reason=str(error)[:100],
            remedy="mend the table",
        ) from error


def find_mosaics(samples: Sequence[Sample]) -> list[str]:
    """Groups of tiles that were cut from the same larger image."""
    from napari_unet.data.mosaic import mosaic_groups

    return mosaic_groups(samples)
