"""Reading the small CSV tables that come with data sets."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from napari_unet.data.image_files import HEAD_BYTES, kind_of
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.data.source import Source

MAX_FIELD = 2**24
MOST_SHOWN = 100  # characters of a header in an error


def read_table(source: Source, name: str, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read the named columns of a CSV table.

    Parameters
    ----------
    source : Source
        Where the table is.
    name : str
        Of the table.
    columns : sequence of str
        Must all be in the header, in any case.

    Returns
    -------
    list of dict
        One a row, with these columns.

    Raises
    ------
    DataError
        If a column is missing, a row is too short, or it is not a text table.
    """
    try:
        text = source.read(name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name} is not a text table",
            expected="UTF-8",
            got=f"a byte that it does not have at place {error.start + 1:,}",
            remedy="save it as UTF-8, or give the table if this is another file",
        ) from error
    csv.field_size_limit(MAX_FIELD)
    try:
        rows = list(csv.reader(io.StringIO(text)))
    except csv.Error as error:
        raise DataError(f"{name} is not a CSV table", got=str(error), remedy="save it again") from error
    header = [h.strip().lower() for h in rows[0]] if rows else []
    missing = [c for c in columns if c.lower() not in header]
    if missing:
        raise DataError(
            f"{name} lacks the column {missing[0]}",
            expected=", ".join(columns),
            got=", ".join(header) or "an empty file",
        )
    places = [header.index(c.lower()) for c in columns]
    out = []
    for number, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        if len(row) <= max(places):
            raise DataError(
                f"line {number} of {name} is cut off",
                expected=f"{len(header)} fields",
                got=str(len(row)),
                remedy="download it again",
            )
        out.append({c: row[p].strip() for c, p in zip(columns, places, strict=True)})
    return out


def header_of(source: Source, name: str) -> tuple[str, ...]:
    """Column names of a CSV table, in lower case; empty if it has none."""
    start = source.read(name)[:4096].decode("utf-8-sig", errors="replace").split("\n", 1)[0]
    return tuple(field.strip().strip('"').lower() for field in start.split(","))


def header_in_words(source: Source, name: str) -> str:
    """What stands where the column names of a table should, for an error: readable whatever the file is."""
    text = ",".join(header_of(source, name)).replace("\t", " ")
    if text.isprintable() and "\N{REPLACEMENT CHARACTER}" not in text:
        return text[:MOST_SHOWN] or "an empty file"
    kind = kind_of(source.read(name)[:HEAD_BYTES])
    return f"a {kind} image" if kind else "a file that is not text"


def check_id(identifier: str, table: str) -> str:
    """Give back an image id from a table if it is a plain name.

    Raises
    ------
    DataError
        If it is empty or could lead out of the data set's folder.
    """
    plain = identifier and not any(c in identifier for c in "/\\\0\n") and not identifier.startswith(".")
    if not plain or len(identifier) > 255:
        raise DataError(
            f"{table} has an image id that is not a plain name",
            expected="letters, digits, - and _",
            got=repr(identifier[:60]),
            remedy="mend the table",
        )
    return identifier
