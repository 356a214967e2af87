"""Reading the small CSV tables that come with data sets."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING

from napari_unet.data.file_names import composed
from napari_unet.data.files.decoders.image_kinds import HEAD_BYTES, kind_of
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.data.files.source import Source

MAX_FIELD = 2**24
MOST_SHOWN = 100  # characters of a header in an error
SUFFIXES = (".csv", ".tsv")
DELIMITERS = ",;\t|"
QUOTED = re.compile(r'"[^"]*"')
HEADER_BYTES = 4096
CONTROL = re.compile(r"[\0-\x08\x0e-\x1f]")
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def is_table_name(name: str) -> bool:
    """Whether a file is a table by its name."""
    return name.lower().endswith(SUFFIXES)


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
    text = _text(source.read(name), name)
    delimiter, text = _delimiter(text)
    csv.field_size_limit(MAX_FIELD)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True))
    except csv.Error as error:
        raise DataError(
            f"{name} is not a CSV table",
            code="data.table.unreadable",
            reason=str(error),
            remedy="save it again",
        ) from error
    header = [h.strip().lower() for h in rows[0]] if rows else []
    missing = [c for c in columns if c.lower() not in header]
    if missing:
        raise DataError(
            f"{name} lacks the column {missing[0]}",
            code="data.table.columns",
            expected=", ".join(columns),
            got=", ".join(header) or "an empty file",
        )
    places = [header.index(c.lower()) for c in columns]
    out = []
    for number, row in enumerate(rows[1:], start=2):
        if not any(field.strip() for field in row):
            continue  # spreadsheets leave lines of nothing but delimiters
        if len(row) <= max(places):
            raise DataError(
                f"line {number} of {name} is cut off",
                code="data.table.damaged",
                expected=f"{len(header)} fields",
                got=str(len(row)),
                remedy="download it again",
            )
        out.append({c: row[p].strip() for c, p in zip(columns, places, strict=True)})
    return out


def header_of(source: Source, name: str) -> tuple[str, ...]:
    """Column names of a CSV table, in lower case; empty if it has none."""
    try:
        text = _text(source.head(name, HEADER_BYTES), name)
    except DataError:
        return ()
    delimiter, text = _delimiter(text)
    line = text.splitlines()[0] if text else ""
    try:
        fields = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        return ()
    return tuple(field.strip().lower() for field in fields)


def _text(data: bytes, name: str) -> str:
    """The text of a table: UTF-8, UTF-16 ("Unicode text" of Excel), else letters of Western Europe."""
    if data.startswith(UTF16_MARKS):
        text = data.decode("utf-16", errors="replace") if len(data) % 2 == 0 else "\0"
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            if error.reason == "unexpected end of data" and error.start >= len(data) - 3:
                text = data[: error.start].decode("utf-8-sig")  # the start of a longer file
            else:
                text = data.decode("cp1252", errors="replace")
    strange = CONTROL.search(text)
    if strange is not None or kind_of(data[:HEAD_BYTES]) not in {
        "",
        "BMP",
    }:  # a BMP has zeros, which are strange
        place = strange.start() + 1 if strange is not None else 1
        raise DataError(
            f"{name} is not a text table",
            code="data.table.unreadable",
            expected="text with a line for each row",
            got=f"a byte that no text has at place {place:,}",
            remedy="save it as UTF-8, or give the table if this is another file",
        )
    return text


def _delimiter(text: str) -> tuple[str, str]:
    """What stands between the fields, by the first line; and the text without a line that only says so."""
    line, _, rest = text.partition("\n")
    named = re.fullmatch(r"sep=(.)\s*", line, re.IGNORECASE)
    if named is not None and named[1] in DELIMITERS:
        return named[1], rest
    header = QUOTED.sub("", (line.splitlines() or [""])[0])
    return max(DELIMITERS, key=header.count), text


def header_in_words(source: Source, name: str) -> str:
    """What stands where the column names of a table should, for an error: readable whatever the file is."""
    text = ", ".join(header_of(source, name))
    if text.isprintable() and text:
        return text[:MOST_SHOWN]
    head = source.head(name, HEADER_BYTES)
    if not head:
        return "an empty file"
    kind = kind_of(head)
    return f"a {kind} image" if kind else "a file that is not text"


def only_table(source: Source, tables: list[str], kind: str, expected: str) -> str:
    """The one table of a kind.

    Raises
    ------
    DataError
        If there is not just one.
    """
    if len(tables) != 1:
        raise DataError(
            f"{source.path} has {len(tables)} tables of {kind}",
            code="data.table.count",
            expected=expected,
            got=", ".join(tables) or "none",
            remedy="give the path of the CSV file itself",
        )
    return tables[0]


def check_id(identifier: str, table: str) -> str:
    """Give back an image id from a table, its letters composed, if it is a plain name.

    Raises
    ------
    DataError
        If it is empty or could lead out of the data set's folder.
    """
    plain = identifier and not any(c in identifier for c in "/\\\0\n") and not identifier.startswith(".")
    if not plain or len(identifier) > 255:
        raise DataError(
            f"{table} has an image id that is not a plain name",
            code="data.table.id",
            expected="letters, digits, - and _",
            got=repr(identifier[:60]),
            remedy="mend the table",
        )
    return composed(identifier)
