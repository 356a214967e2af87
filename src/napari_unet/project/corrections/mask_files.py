"""The corrected masks of a project: one TIFF an image, whole or not at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.atomic import atomic_path, write_text
from napari_unet.data.files.decoders.damage import DAMAGE
from napari_unet.data.lzw import careful_tifffile
from napari_unet.errors import DataError, unwritable
from napari_unet.plain_json import BAD_CONTENT, parse_json
from napari_unet.project.corrections.correction import Correction, CorrectionStats

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


INDEX = "index.json"
PAGES = ("mask", "vouched", "prediction")  # as the first version called them; on the disk they stay
VERSION = 1


def write_stored_mask(path: Path, stored: Correction) -> None:
    """Write a TIFF whose first page is the mask, for any program, and whose others are for us.

    Raises
    ------
    OutputError
        If it cannot be written; the older file stays then.
    """
    import tifffile

    note = {"format": "napari-unet correction", "version": VERSION, **_on_disk(stored.stats)}
    pages = (stored.mask, stored.verified.astype(np.uint8) * np.uint8(255), stored.prediction)
    with atomic_path(path) as partial, tifffile.TiffWriter(partial) as file:
        for name, page in zip(PAGES, pages, strict=True):
            file.write(
                page,
                photometric="minisblack",
                compression="zlib",
                compressionargs={"level": 1},
                metadata={"name": name, "note": json.dumps(note) if name == PAGES[0] else ""},
            )


def read_stored_mask(path: Path, shape: tuple[int, int] | None = None) -> Correction:
    """Read what ``write_stored_mask`` wrote.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    shape : tuple of int, optional
        (Y, X) that it must have; checked before any pixel is decoded.

    Raises
    ------
    DataError
        If it is damaged, newer, or another file.
    """
    try:
        with careful_tifffile().TiffFile(path) as file:
            stats = _stats(file, path)
            shapes = {(tuple(s.shape), str(s.dtype)) for s in file.series}
            found, kind = next(iter(shapes))
            if len(file.series) != len(PAGES) or len(shapes) != 1 or kind != "uint8" or len(found) != 2:
                raise ValueError(f"other pages than {', '.join(PAGES)}")
            if shape is not None and found != shape:
                raise ValueError(f"{found[1]} x {found[0]} pixels, the image has {shape[1]} x {shape[0]}")
            mask, verified, prediction = (np.array(s.asarray(), np.uint8) for s in file.series)
    except DAMAGE as error:
        raise _damaged(path, error) from error
    return Correction(mask, verified > 0, prediction, stats)


def read_stats(path: Path) -> CorrectionStats:
    """Read what a file says of its correction, without decoding pixels; errors as ``read_stored_mask``."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            return _stats(file, path)
    except DAMAGE as error:
        raise _damaged(path, error) from error


def _stats(file: Any, path: Path) -> CorrectionStats:
    described: tuple[dict[str, Any], ...] = file.shaped_metadata or ({},)
    note = parse_json(described[0].get("note") or "{}")
    if note.get("format") != "napari-unet correction":
        raise ValueError("a TIFF of another program")
    if note.get("version") != VERSION:
        raise DataError(
            f"the mask {path} was written by another version",
            code="data.mask.version",
            expected=f"version {VERSION}",
            got=str(note.get("version")),
            remedy="upgrade napari-unet-workbench",
        )
    return _stats_of(note)


def _stats_of(content: Mapping[str, Any]) -> CorrectionStats:
    return CorrectionStats(
        int(content["number"]),
        bool(content["done"]),
        int(content["strokes"]),
        int(content["changed"]),
        float(content["seconds"]),
        int(content["vouched"]),
    )


def _on_disk(stats: CorrectionStats) -> dict[str, Any]:
    """As it is written: under the names of the first version, which earlier programs read, too."""
    return {
        "number": stats.number,
        "done": stats.done,
        "strokes": stats.strokes,
        "changed": stats.changed,
        "seconds": stats.seconds,
        "vouched": stats.verified,
    }


def _damaged(path: Path, error: Exception) -> DataError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return DataError(
        f"the mask {path} cannot be read",
        code="data.mask.unreadable",
        reason=reason[:200],
        remedy="restore it from a backup",
    )


class MaskFolder:
    """The masks of a project.

    Parameters
    ----------
    folder : pathlib.Path
        Made when the first mask comes.
    stems : mapping
        Id of every image to its file's name without suffix.
    """

    def __init__(self, folder: Path, stems: Mapping[str, str]) -> None:
        self.folder = folder
        self.stems = stems

    def path(self, identifier: str) -> Path:
        """The file of an image."""
        return self.folder / f"{self.stems[identifier]}.tif"

    def write(self, identifier: str, stored: Correction) -> None:
        """Write the mask of an image; errors as ``write_stored_mask``."""
        write_stored_mask(self.path(identifier), stored)

    def stats(self) -> tuple[dict[str, CorrectionStats], list[str]]:
        """What all files say, quickly: those that did not change since the index was written are not opened.

        Returns
        -------
        stats : dict
            Id to stats, of the images that have a file.
        problems : list of str
            Sentences on files that cannot be read.
        """
        known = self._read_index()
        ids = {f"{stem}.tif": i for i, stem in self.stems.items()}
        stats_of_images: dict[str, CorrectionStats] = {}
        problems = []
        for path in sorted(self.folder.glob("*.tif")) if self.folder.is_dir() else []:
            identifier = ids.get(path.name)
            if identifier is None:
                continue
            row = known.get(identifier)
            try:
                if row is not None and row[0] == self._stamp(path):
                    stats_of_images[identifier] = row[1]
                else:
                    stats_of_images[identifier] = read_stats(path)
            except DataError as error:
                problems.append(error.sentence)
        return stats_of_images, problems

    def write_index(self, every: Mapping[str, CorrectionStats]) -> None:
        """Note what all files say; errors as ``write_stored_mask``."""
        rows = {}
        for identifier, stats in every.items():
            path = self.path(identifier)
            if path.exists():
                rows[identifier] = {"file": self._stamp(path), **_on_disk(stats)}
        if rows:
            lines = (f"{json.dumps(i)}: {json.dumps(row)}" for i, row in rows.items())
            write_text(self.folder / INDEX, "{\n" + ",\n".join(lines) + "\n}\n")

    def _read_index(self) -> dict[str, tuple[list[int], CorrectionStats]]:
        try:
            content = parse_json((self.folder / INDEX).read_bytes())
            return {i: (list(row["file"]), _stats_of(row)) for i, row in content.items()}
        except (OSError, *BAD_CONTENT):
            return {}  # no more than a way to be quick

    @staticmethod
    def _stamp(path: Path) -> list[int]:
        status = path.stat()
        return [status.st_mtime_ns, status.st_size]

    def set_aside(self, identifier: str) -> Path | None:
        """Give a file that cannot be read another name, so that nothing overwrites it.

        Raises
        ------
        OutputError
            If the system refuses.
        """
        path = self.path(identifier)
        number = 1
        while (aside := path.with_suffix(f".damaged-{number}")).exists():
            number += 1
        try:
            return path.rename(aside) if path.exists() else None
        except OSError as error:
            raise unwritable(f"{path} cannot be renamed", error, "") from error
