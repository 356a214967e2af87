"""Images next to a CSV table of run lengths, one row a mask or one row an object.

Columns are an id (id, ImageId, img, ...; or subject and img) and run lengths (rle_mask, pixels,
EncodedPixels, ...). Several rows of one image, and of one class where a column has classes, are objects,
and then those of all images are. Groups are subjects where the table has them, else images.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.dataset import Dataset, Problem
from napari_unet.data.file_names import composed
from napari_unet.data.files.decoders.image_kinds import is_image_name
from napari_unet.data.files.loaders import ImageLoader, RunLengthLoader, merge_objects
from napari_unet.data.files.pages import read_header
from napari_unet.data.files.source import natural_key
from napari_unet.data.formats.declared_classes import declared_classes
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
MOST_CLASSES = 255
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


@dataclass(frozen=True)
class ClassRunsLoader:
    """Decodes a mask of several classes from run lengths: one text an object, or one a class.

    Attributes
    ----------
    runs : tuple of (int, str)
        Class, 1..K, and text; empty texts are nothing.
    source, name
        The image, whose size the mask has.
    objects : bool
        Whether each text is an object.
    """

    runs: tuple[tuple[int, str], ...]
    source: Source
    name: str
    objects: bool

    def __call__(self) -> ReferenceMask:
        """Read the image's header for its size, and decode. Where texts overlap the smaller is on top."""
        header = read_header(self.source, self.name)
        shape = (header.height, header.width)
        there = [(label, text) for label, text in self.runs if text]
        masks = [decode_run_lengths(text, shape, self.name).astype(bool) for _, text in there]
        found = merge_objects(masks or [np.zeros(shape, bool)], self.name)
        assert found.objects is not None
        class_of = np.array([0, *(label for label, _ in there)], np.uint8)
        objects = found.objects if there else np.zeros(shape, np.int32)
        labels = class_of[objects]
        return ReferenceMask(labels, objects if self.objects else None, overlap=found.overlap)


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
    rows = _read_runs(source, table)
    runs = {stem: [text for _, text in several] for stem, several in rows.items()}
    names_of, number = _classes(source, table, rows)
    images: dict[str, list[str]] = {}
    for name in source.sizes:
        if is_image_name(name) and not MASKS.search(name):
            stem = PurePosixPath(name).stem
            known = stem if stem in runs else composed(stem)
            images.setdefault(known if known in runs else stem, []).append(name)
    by_subject = _has_subject(source, table)
    as_objects = any(max(Counter(c for c, _ in several).values()) > 1 for several in rows.values())
    problems: list[Problem] = []
    samples, unlabelled = [], []
    for stem, names in images.items():
        if stem in runs and len(names) == 1:
            name, load = names[0], ImageLoader(source, names[0])
            loader: Callable[[], ReferenceMask]
            if number:
                of_class = tuple((number.get(label, 1), text) for label, text in rows[stem])
                loader = ClassRunsLoader(of_class, source, name, as_objects)
            elif as_objects:
                loader = ObjectRunsLoader(tuple(runs[stem]), source, name)
            else:
                loader = RunLengthLoader(tuple(runs[stem]), load, stem)
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
        classes=names_of,
        problems=tuple(problems),
        group_rule="subject" if by_subject else "image",
    )


def _classes(
    source: Source, table: str, rows: dict[str, list[tuple[str, str]]]
) -> tuple[tuple[str, ...], dict[str, int]]:
    """Names of the classes, and the number of each text in the column; no numbers without such a column."""
    if not any(column in header_of(source, table) for column in CLASSES):
        return ("foreground",), {}
    texts = sorted({label for several in rows.values() for label, text in several if text}, key=natural_key)
    declared = declared_classes(source)
    if all(text.isdecimal() and int(text) > 0 for text in texts):
        count = max([len(declared), *map(int, texts)], default=1)
        number = {text: int(text) for text in texts}
        names = declared or tuple(f"class {n}" for n in range(1, count + 1))
    else:
        names = declared or tuple(texts)
        count = len(names)
        number = {text: names.index(text) + 1 for text in texts if text in names}
    if len(names) != max(count, 1) or len(number) != len(texts) or count > MOST_CLASSES:
        raise DataError(
            f"{table} has run lengths of other classes than are named",
            code="data.runs.classes",
            expected=f"{', '.join(declared)[:100]}" if declared else f"at most {MOST_CLASSES} classes",
            got=", ".join(texts)[:100],
            remedy="name every class in classes.txt",
        )
    return names or ("foreground",), number or {"": 1}


def _has_subject(source: Source, table: str) -> bool:
    return {"subject", "img"} <= set(header_of(source, table))


def _read_runs(source: Source, table: str) -> dict[str, list[tuple[str, str]]]:
    """Class, empty without a column for it, and run lengths by stem of the image, one pair a row."""
    columns, header = columns_of(source, table), header_of(source, table)
    if columns is None:
        raise DataError(
            f"{table} has no run lengths",
            code="data.table.columns",
            expected="a column of ids and one like rle_mask or EncodedPixels",
            got=", ".join(header),
        )
    of_class = next((column for column in CLASSES if column in header), "")
    has_subject = _has_subject(source, table)
    runs: dict[str, list[tuple[str, str]]] = {}
    wanted = ("subject", "img", columns[1]) if has_subject else columns
    wanted = (*wanted, of_class) if of_class else wanted
    for row in read_table(source, table, wanted):
        identifier = f"{row['subject']}_{row['img']}" if has_subject else row[columns[0]]
        check_id(identifier, table)
        stem = composed(PurePosixPath(identifier).stem if is_image_name(identifier) else identifier)
        text = row[columns[1]]
        label = row[of_class].strip() if of_class else ""
        runs.setdefault(stem, []).append((label, "" if text == "-1" else text))
    return runs
