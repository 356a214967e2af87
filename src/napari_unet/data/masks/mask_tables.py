"""The tables of run lengths that competitions give and take: what each looks like, and reading one.

A submission has one row a mask (TGS Salt: id, rle_mask; Ultrasound Nerve: img, pixels) or one row an
object (2018 Data Science Bowl: ImageId, EncodedPixels). A table of the truth has the same columns, and
maybe more: the subject of a nerve image, Height, Width and Usage in the Bowl's solutions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_unet.data.files.source import FolderSource, open_source
from napari_unet.data.tables import header_in_words, header_of, is_table_name, read_table
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_unet.data.files.source import Source


@dataclass(frozen=True)
class TableLayout:
    """How a competition writes masks as a table.

    Attributes
    ----------
    format : str
        Name of its data format.
    title : str
        Of the competition.
    columns : tuple of str
        Of a submission: image, run lengths.
    objects : bool
        Whether a row is an object rather than a mask.
    size : tuple of int, optional
        (Y, X) of all its images.
    samples : tuple of str
        Names of its sample submission.
    """

    format: str
    title: str
    columns: tuple[str, str]
    objects: bool = False
    size: tuple[int, int] | None = None
    samples: tuple[str, ...] = ("sample_submission.csv",)


LAYOUTS = {
    layout.format: layout
    for layout in (
        TableLayout("tgs-salt", "TGS Salt Identification Challenge", ("id", "rle_mask"), size=(101, 101)),
        TableLayout("ultrasound-nerve", "Ultrasound Nerve Segmentation", ("img", "pixels"), size=(420, 580)),
        TableLayout(
            "dsb2018",
            "2018 Data Science Bowl",
            ("ImageId", "EncodedPixels"),
            objects=True,
            samples=("stage1_sample_submission.csv", "stage2_sample_submission_final.csv"),
        ),
    )
}


@dataclass(frozen=True, eq=False)
class MaskTable:
    """A table of run lengths, read.

    Attributes
    ----------
    layout : TableLayout
        Whose it is.
    name : str
        Of the file.
    runs : mapping
        Image to its run lengths: one text a mask, or one an object; none where nothing is there.
    sizes : mapping
        Image to (Y, X), where the table tells.
    ignored : frozenset of str
        Images that the competition does not score.
    """

    layout: TableLayout
    name: str
    runs: Mapping[str, tuple[str, ...]]
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()


def recognize_table(header: tuple[str, ...]) -> TableLayout | None:
    """The competition whose columns a table has, in any case and order; None if none."""
    known = {name.strip().lower() for name in header}
    fitting = (x for x in LAYOUTS.values() if {c.lower() for c in x.columns} <= known)
    return next(fitting, None)


def read_mask_table(path: Path) -> MaskTable:
    """Read a submission, or the truth to hold one against.

    Parameters
    ----------
    path : pathlib.Path
        A CSV file, or a zip with just one.

    Returns
    -------
    MaskTable
        The header names the competition.

    Raises
    ------
    DataError
        If it cannot be read, is of no competition known here, is cut off, or has a mask twice.
    """
    source, name = _open(path)
    header = header_of(source, name)
    layout = recognize_table(header)
    if layout is None:
        raise DataError(
            f"{path} is of no competition known here",
            code="data.competition.unknown",
            expected=" or ".join(",".join(x.columns) for x in LAYOUTS.values()),
            got=header_in_words(source, name),
            remedy="check that this is the table, and its first line",
        )
    more = [c for c in ("subject", "height", "width", "usage") if c in header]
    image, pixels = layout.columns
    runs: dict[str, list[str]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    ignored = set()
    for row in read_table(source, name, (image, pixels, *more)):
        identifier = f"{row['subject']}_{row[image]}" if "subject" in more else row[image]
        if not identifier:
            raise DataError(
                f"{path.name} has a row without an image", code="data.table.id", remedy="mend the table"
            )
        if identifier in runs and not layout.objects:
            raise DataError(
                f"{path.name} has {identifier} twice",
                code="data.table.duplicate",
                expected="one row an image",
                remedy="mend the table",
            )
        texts = runs.setdefault(identifier, [])
        if row[pixels]:
            texts.append(row[pixels])
        if "height" in more and "width" in more:
            sizes[identifier] = _size(row, identifier, path.name)
        if row.get("usage", "").lower() == "ignored":
            ignored.add(identifier)
    return MaskTable(layout, path.name, {k: tuple(v) for k, v in runs.items()}, sizes, frozenset(ignored))


def _open(path: Path) -> tuple[Source, str]:
    if not path.exists():
        raise DataError(f"{path} does not exist", code="data.file.missing", remedy="check the path")
    if path.is_dir():
        raise DataError(
            f"{path} is a folder",
            code="data.file.folder",
            expected="a CSV table",
            remedy="give the file itself",
        )
    if path.suffix.lower() != ".zip":
        return FolderSource(path.parent, only=[path.name]), path.name
    source = open_source(path)
    tables = [n for n in source.sizes if is_table_name(n)]
    if len(tables) != 1:
        raise DataError(
            f"{path} holds {len(tables)} tables", code="data.table.count", expected="one", remedy="unpack it"
        )
    return source, tables[0]


def _size(row: Mapping[str, str], identifier: str, table: str) -> tuple[int, int]:
    try:
        size = int(row["height"]), int(row["width"])
    except ValueError:
        size = 0, 0
    if min(size) < 1:
        raise DataError(
            f"{table} has no size for {identifier}",
            code="data.table.value",
            expected="Height and Width in pixels",
            got=f"{row['height'][:20]!r} and {row['width'][:20]!r}",
            remedy="mend the table",
        )
    return size
