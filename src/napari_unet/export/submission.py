"""Masks to a competition's table: its header, its ids in its order, its run lengths."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.atomic import write_text
from napari_unet.data.masks.run_length import encode_object_run_lengths, encode_run_lengths
from napari_unet.errors import OutputError, unwritable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import TextIO

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.data.masks.mask_tables import TableLayout


def encode_mask(mask: NDArray[np.integer], layout: TableLayout) -> tuple[str, ...]:
    """Run lengths of a mask as a competition wants them.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) of integers, 0 background; one positive number an object where a row is an object.
    layout : TableLayout
        Of the competition.

    Returns
    -------
    tuple of str
        One text a row. An image without anything has one row with an empty text.
    """
    texts = encode_object_run_lengths(mask) if layout.objects else [encode_run_lengths(mask)]
    return tuple(texts) or ("",)


def write_submission(
    path: Path, layout: TableLayout, rows: Mapping[str, Sequence[str]], order: Iterable[str]
) -> Path:
    """Write a submission, whole or not at all.

    Parameters
    ----------
    path : pathlib.Path
        .csv.
    layout : TableLayout
        Of the competition.
    rows : mapping
        Image to run lengths, as ``encode_mask`` gives them.
    order : iterable of str
        The images.

    Returns
    -------
    pathlib.Path
        The same path.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(layout.columns)
    for image in order:
        writer.writerows((image, text) for text in rows[image])
    write_text(path, table.getvalue())
    return path


class Unfinished:
    """A submission under way: every finished image is on disk, so that a stopped run can resume.

    Parameters
    ----------
    path : pathlib.Path
        Of the submission; NAME.csv.unfinished next to it has one line of JSON an image.
    key : str
        Of model, settings and data: what was written under another key is not used.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path = path.with_name(f"{path.name}.unfinished")
        self.rows: dict[str, tuple[str, ...]] = {}
        self._file: TextIO | None = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            whole = self._take_up(key)
            self._file = self.path.open("a" if whole else "w", encoding="utf-8", newline="\n")
            if whole:
                self._file.truncate(whole)  # a line that a kill tore
            else:
                self._write({"key": key})
        except OSError as error:
            raise self._refused(error) from error

    def _take_up(self, key: str) -> int:
        """Read what is there; bytes of it that are whole, 0 if nothing of it can be used."""
        if not self.path.is_file():
            return 0
        whole = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file):
                try:
                    content = json.loads(line)
                    if number == 0 and content["key"] != key:
                        return 0
                    if number:
                        self.rows[str(content["image"])] = tuple(content["rows"])
                except (ValueError, KeyError, TypeError):
                    break
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
        return whole

    def add(self, image: str, rows: Sequence[str]) -> None:
        """Keep an image's rows.

        Raises
        ------
        OutputError
            If they cannot be written.
        """
        self.rows[image] = tuple(rows)
        try:
            self._write({"image": image, "rows": list(rows)})
        except OSError as error:
            raise self._refused(error) from error

    def close(self, *, keep: bool) -> None:
        """Close the file; delete it unless it shall stay and there is something in it."""
        if self._file is not None:
            self._file.close()
        if not (keep and self.rows):
            Path(self.path).unlink(missing_ok=True)

    def _write(self, content: object) -> None:
        assert self._file is not None
        self._file.write(json.dumps(content) + "\n")
        self._file.flush()

    def _refused(self, error: OSError) -> OutputError:
        return unwritable(f"{self.path} cannot be written", error)
