"""Images next to a CSV table of run lengths, one row a mask or one row an object.

Columns are an id (id, ImageId, img, ...; or subject and img) and run lengths (rle_mask, pixels,
EncodedPixels, ...). Several rows of one image are objects, and then those of all images are. Groups
are subjects where the table has them, else images.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.dataset import Dataset, Problem
from napari_unet.data.file_names import composed
from napari_unet.data.files.decoders.image_kinds import is_image_name
from napari_unet.data.files.loaders import ImageLoader, RunLengthLoader, merge_objects
from napari_unet.data.files.pages import read_header
from napari_unet.data.formats.pairing import ambiguous
from napari_unet.data.masks.run_length import decode_run_lengths
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.data.tables import check_id, header_of, is_table_name, only_table, read_table
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.data.files.source import Source

NAME = "run-length-csv"
TITLE = "images with a table of run lengths"
IDS = ("id", "imageid", "image_id", "img", "image", "filename")
RUNS = ("rle_mask", "pixels", "encodedpixels", "rle", "encoded_pixels")
CLASSES = ("classid", "class_id", "class", "category", "label")
MASKS = re.compile(r"(^|/)(masks?|labels?)/|_mask\.", re.IGNORECASE)


@dataclass(frozen=True)
class ObjectRunsLoader:
    """Decodes a mask of numbered objects from run lengths, one text an object.

    Attributes
    ----------
    runs : tuple of str
        One text an object; empty texts are no objects.
    source, name
        The image, whose size the mask has.
    """

    runs: tuple[str, ...]
    source: Source
    name: str

    def __call__(self) -> ReferenceMask:
        """Read the image's header for its size, and decode."""
        header = read_header(self.source, self.name)
        shape = (header.height, header.width)
        masks = [decode_run_lengths(text, shape, self.name).astype(bool) for text in self.runs if text]
        return merge_objects(masks or [np.zeros(shape, bool)], self.name)


def columns_of(source: Source, name: str) -> tuple[str, str] | None:
    """Names of the columns with ids and run lengths, or None."""
    header = header_of(source, name)
    ids = [c for c in IDS if c in header]
    runs = [c for c in RUNS if c in header]
    return (ids[0], runs[0]) if ids and runs else None


def _tables(source: Source) -> list[str]:
    return [n for n in source.sizes if is_table_name(n) and columns_of(source, n)]


def recognize(source: Source) -> bool:
    """Whether a source has images and such a table, and no files that look like masks."""
    if any(map(MASKS.search, source.sizes)):
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
    return open_table(source, only_table(source, tables, "run lengths", "one"))


def open_table(source: Source, table: str) -> Dataset:
    """Open the images that a table names; they may lie anywhere below its folder.

    Raises
    ------
    DataError
        If the table has bad ids or classes, or none of its images is there.
    """
    runs = _read_runs(source, table)
    images: dict[str, list[str]] = {}
    for name in source.sizes:
        if is_image_name(name) and not MASKS.search(name):
            stem = PurePosixPath(name).stem
            known = stem if stem in runs else composed(stem)
            images.setdefault(known if known in runs else stem, []).append(name)
    by_subject = _has_subject(source, table)
    as_objects = any(len(texts) > 1 for texts in runs.values())
    problems: list[Problem] = []
    samples, unlabelled = [], []
    for stem, names in images.items():
        if stem in runs and len(names) == 1:
            name, load = names[0], ImageLoader(source, names[0])
            loader: Callable[[], ReferenceMask] = (
                ObjectRunsLoader(tuple(runs[stem]), source, name)
                if as_objects
                else RunLengthLoader(tuple(runs[stem]), load, stem)
            )
            reason = f"{len(runs[stem])} rows in {table}" if as_objects else f"row in {table}"
            group = f"subject {stem.split('_')[0]}" if by_subject else None
            samples.append(Sample(stem, load, loader, group, name, table, reason))
            continue
        if stem in runs:
            problems.append(ambiguous(names))
        for name in names:
            identifier = stem if len(names) == 1 else name.replace("/", "_")
            unlabelled.append(Sample(identifier, ImageLoader(source, name), image_name=name))
    if not samples:
        raise DataError(
            f"none of the images in {table} is there",
            code="data.images.missing",
            expected=f"files like {next(iter(runs), 'ID')}.png below {source.path}",
            got=f"{sum(map(len, images.values()))} other images",
            remedy="put the table next to its images",
        )
    missing = tuple(stem for stem in runs if stem not in images)
    if missing:
        message = f"{len(missing)} images of {table} are not there"
        problems.append(Problem("missing image", message, "fetch them, or continue with the others", missing))
    return Dataset(
        name=source.name,
        format=NAME,
        path=source.path,
        samples=tuple(samples),
        unlabelled=tuple(unlabelled),
        problems=tuple(problems),
        group_rule="subject" if by_subject else "image",
    )


def _has_subject(source: Source, table: str) -> bool:
    return {"subject", "img"} <= set(header_of(source, table))


def _read_runs(source: Source, table: str) -> dict[str, list[str]]:
    """Run lengths by stem of the image, one text a row."""
    columns, header = columns_of(source, table), header_of(source, table)
    if columns is None:
        raise DataError(
            f"{table} has no run lengths",
            code="data.table.columns",
            expected="a column of ids and one like rle_mask or EncodedPixels",
            got=", ".join(header),
        )
    if class_columns := [c for c in CLASSES if c in header]:
        raise DataError(
            f"{table} has run lengths of several classes",
            code="data.runs.classes",
            expected="one class",
            got=f"the column {class_columns[0]}",
            remedy="save the rows of one class as a table of their own",
        )
    has_subject = _has_subject(source, table)
    runs: dict[str, list[str]] = {}
    wanted = ("subject", "img", columns[1]) if has_subject else columns
    for row in read_table(source, table, wanted):
        identifier = f"{row['subject']}_{row['img']}" if has_subject else row[columns[0]]
        check_id(identifier, table)
        stem = composed(PurePosixPath(identifier).stem if is_image_name(identifier) else identifier)
        text = row[columns[1]]
        runs.setdefault(stem, []).append("" if text == "-1" else text)
    return runs
