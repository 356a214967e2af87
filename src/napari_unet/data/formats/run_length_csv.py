"""Images beside a CSV table of run lengths, one row a mask or one row an object."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from napari_unet.data.dataset import Dataset, Problem
from napari_unet.data.image_files import is_image_name
from napari_unet.data.loaders import ImageLoader, RunLengthLoader
from napari_unet.data.sample import Sample
from napari_unet.data.tables import check_id, header_of, read_table
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from napari_unet.data.source import Source

NAME = "run-length-csv"
TITLE = "images with a table of run lengths"
IDS = ("id", "imageid", "image_id", "img", "image", "filename")
RUNS = ("rle_mask", "pixels", "encodedpixels", "rle", "encoded_pixels")


def columns_of(source: Source, name: str) -> tuple[str, str] | None:
    """Names of the columns with ids and run lengths, or None."""
    header = header_of(source, name)
    ids = [c for c in IDS if c in header]
    runs = [c for c in RUNS if c in header]
    return (ids[0], runs[0]) if ids and runs else None


def _tables(source: Source) -> list[str]:
    return [n for n in source.sizes if n.lower().endswith(".csv") and columns_of(source, n)]


def recognize(source: Source) -> bool:
    """Whether a source is laid out like this."""
    if any(re.search(r"(^|/)(masks?|labels?)/|_mask\.", n, re.IGNORECASE) for n in source.sizes):
        return False
    return bool(_tables(source)) and any(map(is_image_name, source.sizes))


def open_source(source: Source) -> Dataset:
    """Open a source of this layout.

    Raises
    ------
    DataError
        If there is not just one table.
    """
    tables = [name for name in _tables(source) if "submission" not in name]
    if len(tables) != 1:
        raise DataError(
            f"{source.path} has {len(tables)} tables of run lengths",
            expected="one",
            got=", ".join(tables) or "none",
            remedy="give the path of the CSV file itself",
        )
    return open_table(source, tables[0])


def open_table(source: Source, table: str) -> Dataset:
    """Open the images that a table names; they may lie anywhere below its folder.

    Raises
    ------
    DataError
        If the table has bad ids, or none of its images is there.
    """
    columns = columns_of(source, table)
    if columns is None:
        raise DataError(f"{table} has no run lengths", got=", ".join(header_of(source, table)))
    has_subject = "subject" in header_of(source, table) and columns[0] == "img"
    wanted = ("subject", *columns) if has_subject else columns
    runs: dict[str, list[str]] = {}
    for row in read_table(source, table, wanted):
        stem = row[columns[0]]
        stem = f"{row['subject']}_{stem}" if has_subject else stem
        if is_image_name(stem):
            stem = PurePosixPath(stem).stem if "/" not in stem else stem
        text = row[columns[1]]
        runs.setdefault(check_id(stem, table), []).append("" if text == "-1" else text)
    images: dict[str, list[str]] = {}
    for name in source.sizes:
        if is_image_name(name):
            images.setdefault(PurePosixPath(name).stem, []).append(name)
    problems = [
        Problem("ambiguous", f"{stem} could be any of {', '.join(n)}", "keep one of them", tuple(n))
        for stem, n in images.items()
        if len(n) > 1 and stem in runs
    ]
    samples, unlabelled = [], []
    for stem, names in images.items():
        if len(names) > 1 and stem in runs:
            continue
        for name in names:
            load = ImageLoader(source, name)
            identifier = stem if len(names) == 1 else name.replace("/", "_")
            if stem in runs:
                texts = tuple(t for t in runs[stem] if t)
                mask = RunLengthLoader(texts, load, stem)
                samples.append(Sample(stem, load, mask, None, name, table, f"row in {table}"))
            else:
                unlabelled.append(Sample(identifier, load, image_name=name))
    if not samples:
        raise DataError(
            f"none of the images in {table} is there",
            expected=f"files like {next(iter(runs), 'ID')}.png below {source.path}",
        )
    missing = tuple(stem for stem in runs if stem not in images)
    if missing:
        problems.append(
            Problem(
                "missing image",
                f"{len(missing)} images of {table} are not there",
                "fetch them, or go on with the others",
                missing,
            )
        )
    return Dataset(
        name=source.name,
        format=NAME,
        path=source.path,
        samples=tuple(samples),
        unlabelled=tuple(unlabelled),
        problems=tuple(problems),
    )
