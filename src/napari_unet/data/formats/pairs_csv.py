"""A CSV table that names pairs: columns image and mask, and if you like id and group.

Paths are relative to the table, or absolute and below its folder, also where that was on the computer that
the table was made on; with either slash. Fields are parted by
commas, semicolons, tabs or bars. A row without a mask is an image without one.
"""

from __future__ import annotations

import logging
import os
import posixpath
import re
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from napari_unet.data.dataset import Dataset
from napari_unet.data.file_names import name_on_disk
from napari_unet.data.files.loaders import ImageLoader, LabelMaskLoader
from napari_unet.data.files.source import FolderSource
from napari_unet.data.formats.mask_meaning import find_meaning
from napari_unet.data.sample import Sample
from napari_unet.data.tables import check_id, header_of, is_table_name, only_table, read_table
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from napari_unet.data.files.source import Source

log = logging.getLogger(__name__)
SEPARATORS = re.compile(r"[/\\]+")
NAME = "pairs-csv"
TITLE = "a table of pairs"


def is_pairs(source: Source, table: str) -> bool:
    """Whether a table has the columns image and mask."""
    return {"image", "mask"} <= set(header_of(source, table))


def _tables(source: Source) -> list[str]:
    return [n for n in source.sizes if "/" not in n and is_table_name(n) and is_pairs(source, n)]


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
    expected = "one CSV file with the columns image and mask at its root"
    return open_table(source, only_table(source, _tables(source), "pairs", expected))


def open_file(path: Path) -> Dataset:
    """Open the pairs of a table on disk; of its folder only the named files are looked at.

    Raises
    ------
    DataError
        As ``open_table``.
    """
    rows = _rows(FolderSource(path.parent, only=[path.name]), path.name)
    named = [row[column] for row in rows for column in ("image", "mask") if row[column]]
    return open_table(
        FolderSource(path.parent, only=[path.name, "classes.txt", "classes.json", *named]), path.name
    )


def open_table(source: Source, table: str) -> Dataset:
    """Open the pairs of a table.

    Raises
    ------
    DataError
        If a path leads out of the folder or is not there, or an id occurs twice.
    """
    rows = _rows(source, table)
    for row in rows:
        for column in ("image", "mask"):
            if not row[column]:
                continue
            there = source.find(row[column])
            if there is None:
                raise DataError(
                    f"{table} names a file that is not there",
                    code="data.table.path",
                    got=row[column],
                    remedy="check the path",
                )
            row[column] = there
    found = find_meaning(source, [row["mask"] for row in rows if row["mask"]])
    samples, unlabelled = [], []
    for row in rows:
        image, mask = row["image"], row["mask"]
        identifier = check_id(row.get("id") or PurePosixPath(image).stem, table)
        group = row.get("group") or None
        load = ImageLoader(source, image)
        if not mask:
            unlabelled.append(Sample(identifier, load, None, group, image))
            continue
        loader = LabelMaskLoader(source, mask, found.by_name[mask])
        samples.append(Sample(identifier, load, loader, group, image, mask, f"row in {table}"))
    if not samples:
        raise DataError(
            f"{table} has no pair",
            code="data.table.empty",
            expected="at least one row with image and mask",
            got=f"{len(rows)} rows",
        )
    return Dataset(
        name=PurePosixPath(table).stem,
        format=NAME,
        path=source.path,
        samples=tuple(samples),
        unlabelled=tuple(unlabelled),
        classes=found.classes,
        problems=tuple(found.problems),
        masks=found.words,
        several_values=found.several,
        group_rule="column group" if any(s.group for s in samples) else "image",
    )


def _rows(source: Source, table: str) -> list[dict[str, str]]:
    """Rows with checked paths."""
    extra = [c for c in ("id", "group") if c in header_of(source, table)]
    rows = read_table(source, table, ("image", "mask", *extra))
    elsewhere = _folder_elsewhere(rows, source)
    if elsewhere:
        log.warning("%s names files below %s: those of the same names here were taken", table, elsewhere)
    for row in rows:
        row["image"] = _inside(row["image"].removeprefix(elsewhere), table, source)
        row["mask"] = _inside(row["mask"].removeprefix(elsewhere), table, source) if row["mask"] else ""
    return rows


def _folder_elsewhere(rows: list[dict[str, str]], source: Source) -> str:
    """The folder, on another computer, that this one was when the table was made; "" where paths are right.

    One folder for all rows, below which the files of the first row are found here.
    """
    paths = [path for row in rows for path in (row["image"], row["mask"]) if path]
    first = [path for path in paths[:2] if _is_absolute(path)]
    if not first or not all(map(_is_absolute, paths)) or any(Path(path).exists() for path in first):
        return ""
    for end in (match.end() for match in SEPARATORS.finditer(first[0])):
        start = first[0][:end]
        rests = [path[end:].replace("\\", "/") for path in first]
        if all(path.startswith(start) for path in paths) and all(_is_there(rest, source) for rest in rests):
            return start
    return ""


def _is_there(name: str, source: Source) -> bool:
    """Whether a file is in a source, or in its folder, of which only the table may have been looked at."""
    if source.find(name) is not None:
        return True
    inside = ".." not in name.split("/")
    return inside and source.folder is not None and name_on_disk(source.folder, name) is not None


def _is_absolute(path: str) -> bool:
    return path.startswith(("/", "\\")) or bool(PureWindowsPath(path).drive)


def _inside(name: str, table: str, source: Source) -> str:
    """A path from a table as a name in its source, if it stays below the table."""
    path = posixpath.normpath(name.replace("\\", "/")) if name else ""
    if path.startswith("/") or PureWindowsPath(name).drive:
        path = _below(path, source)
    if not name or "\0" in name or not path or path.split("/")[0] == "..":
        raise DataError(
            f"{table} names a file outside its folder" if name else f"{table} has a row without an image",
            code="data.table.path",
            expected="paths to files below the folder of the table",
            got=repr(name[:100]),
            remedy="move the table to a folder above the images and masks",
        )
    return path


def _below(path: str, source: Source) -> str:
    """An absolute path as a name in a source; empty if it is not below its folder."""
    if source.folder is None:
        return ""
    for folder in (source.folder.absolute(), source.folder.resolve()):
        for candidate in (Path(path), Path(os.path.realpath(path))):
            try:
                return candidate.relative_to(folder).as_posix()
            except ValueError:
                continue
    return ""
