"""A CSV table that names pairs: columns image and mask, and if you like id and group.

Paths are relative to the table and may not lead out of its folder.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from napari_unet.data.dataset import Dataset
from napari_unet.data.formats.image_mask_folders import find_meaning
from napari_unet.data.loaders import ImageLoader, LabelMaskLoader
from napari_unet.data.sample import Sample
from napari_unet.data.tables import check_id, header_of, read_table
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from napari_unet.data.source import Source

NAME = "pairs-csv"
TITLE = "a table of pairs"


def is_pairs(source: Source, table: str) -> bool:
    """Whether a table has the columns image and mask."""
    return {"image", "mask"} <= set(header_of(source, table))


def _tables(source: Source) -> list[str]:
    return [n for n in source.sizes if "/" not in n and n.endswith(".csv") and is_pairs(source, n)]


def recognize(source: Source) -> bool:
    """Whether a source has one such table at its root."""
    return len(_tables(source)) == 1


def open_source(source: Source) -> Dataset:
    """Open the pairs of the table at the root.

    Raises
    ------
    DataError
        If there is not just one table.
    """
    tables = _tables(source)
    if len(tables) != 1:
        raise DataError(f"{source.path} has {len(tables)} tables of pairs", expected="one")
    return open_table(source, tables[0])


def open_table(source: Source, table: str) -> Dataset:
    """Open the pairs of a table.

    Raises
    ------
    DataError
        If a path leads out of the folder or is not there, or an id occurs twice.
    """
    header = header_of(source, table)
    extra = [c for c in ("id", "group") if c in header]
    rows = read_table(source, table, ("image", "mask", *extra))
    masks = [_inside(source, row["mask"], table) for row in rows]
    meaning, names = find_meaning(source, masks)
    samples = []
    for row, mask in zip(rows, masks, strict=True):
        image = _inside(source, row["image"], table)
        identifier = check_id(row.get("id") or PurePosixPath(image).stem, table)
        samples.append(
            Sample(
                identifier,
                ImageLoader(source, image),
                LabelMaskLoader(source, mask, meaning),
                row.get("group") or None,
                image,
                mask,
                f"row in {table}",
            )
        )
    if not samples:
        raise DataError(f"{table} is empty", expected="at least one row")
    return Dataset(
        name=source.name,
        format=NAME,
        path=source.path,
        samples=tuple(samples),
        classes=names,
        group_rule="column group" if "group" in extra else "image",
    )


def _inside(source: Source, name: str, table: str) -> str:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise DataError(
            f"{table} names a file outside its folder",
            expected="paths below the table",
            got=name,
            remedy="move the table above the images and masks",
        )
    if str(path) not in source.sizes:
        raise DataError(f"{table} names a file that is not there", got=name, remedy="check the path")
    return str(path)
