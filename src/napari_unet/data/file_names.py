"""Names of files: which are nobody's data, and which are the same name written in two ways."""

from __future__ import annotations

import os
import re
import unicodedata
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

UNSAFE = re.compile(r"[^\w\-. ()+=@]|\.{2,}")
RESERVED = {"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10))}
LONGEST = 200  # bytes; file systems take 255, and suffixes follow

# What operating systems, network drives and notebooks leave in folders, in lower case.
JUNK = {
    "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "network trash folder",
    "temporary items",
    "@eadir", "@recycle", "@recently-snapshot", "@__thumb", "@tmp", "#recycle", "#snapshot",
    "$recycle.bin", "recycler", "system volume information", "found.000", "lost+found",
}  # fmt: skip
JUNK_FILE = re.compile(r"(?:synophoto_|synofile_|synovideo_)\w*thumb", re.IGNORECASE)


def is_junk(name: str) -> bool:
    """Whether a path is one that systems leave behind: hidden, thumbnails, wastebaskets."""
    # .. is not hidden but to be refused.
    return any(
        part.lower() in JUNK or (part.startswith(".") and part not in {".", ".."}) or JUNK_FILE.match(part)
        for part in name.split("/")
    )


def composed(name: str) -> str:
    """A name with its letters composed (NFC): macOS stores "ä" as "a" and two dots, others as one letter."""
    return unicodedata.normalize("NFC", name)


def name_key(name: str) -> str:
    """What two names have in common that people take for the same: letters composed, in lower case."""
    return composed(composed(name).lower())


def find_name(wanted: str, names: Iterable[str]) -> str | None:
    """The one of these names that a person means.

    Parameters
    ----------
    wanted : str
        From a table, or typed.
    names : iterable of str
        As they are on disk.

    Returns
    -------
    str or None
        The very name; else the only one that differs in the composition of letters; else the only one that
        differs in case, too. None where there is none, or more than one.
    """
    names = list(names)
    if wanted in names:
        return wanted
    for alike in (composed, name_key):
        found = [name for name in names if alike(name) == alike(wanted)]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def name_on_disk(folder: Path, name: str) -> str | None:
    """The name of a file below a folder, with forward slashes, as it is on disk; see ``find_name``."""
    if os.path.isfile(folder / name):  # noqa: PTH113 - False, too, for a name longer than the system allows
        return name
    spelled = _spelled(folder, name)
    return spelled if spelled is not None and (folder / spelled).is_file() else None


def path_on_disk(path: Path) -> Path | None:
    """A file or folder by its path, whose letters may be written otherwise on disk; see ``find_name``."""
    if path.exists():
        return path
    start = Path(path.anchor)
    spelled = _spelled(start, path.relative_to(start).as_posix())
    return None if spelled is None else start / spelled


def _spelled(folder: Path, name: str) -> str | None:
    found: list[str] = []
    for part in name.split("/"):
        here = folder.joinpath(*found)
        try:
            exact = (here / part).exists()
            match = part if exact else find_name(part, [entry.name for entry in here.iterdir()])
        except OSError:
            return None
        if match is None:
            return None
        found.append(match)
    return "/".join(found)


def stem_of(path: Path) -> str:
    """A file's name without what tells its kind: "a" of a.ome.zarr."""
    name = path.parent.name.removesuffix(":") if path.parent.name.endswith((".h5:", ".hdf5:")) else path.name
    for ending in (".ome.zarr", ".zarr", ".ome.tiff", ".ome.tif", ".tiff", ".tif", ".h5", ".hdf5"):
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return name


def safe_stem(identifier: str) -> str:
    """A file name, without suffix, for an image id: no separators, nothing hidden or reserved.

    Parameters
    ----------
    identifier : str
        Any text.

    Returns
    -------
    str
        At most 200 bytes of UTF-8; the same text if it is safe already. What is not becomes "_", and
        long text ends in a hash of it, so that two long ids stay two.

    Notes
    -----
    Two ids that differ only in characters that are not safe ("a/b", "a_b") have the same stem.
    """
    text = identifier.encode("utf-8", "replace").decode()
    stem = UNSAFE.sub("_", text).strip(" .") or "image"
    if stem.split(".")[0].strip().lower() in RESERVED:
        stem = f"_{stem}"
    encoded = stem.encode()
    if len(encoded) > LONGEST:
        mark = "_" + blake2b(identifier.encode("utf-8", "replace"), digest_size=4).hexdigest()
        stem = encoded[: LONGEST - len(mark)].decode(errors="ignore") + mark
    return stem


def unique_stems(identifiers: Iterable[str]) -> dict[str, str]:
    """File names, without suffix, for image ids, all different even on systems that ignore case.

    Parameters
    ----------
    identifiers : iterable of str
        All different.

    Returns
    -------
    dict
        Id to stem: ``safe_stem``, with a number where two ids would share one.
    """
    taken: set[str] = set()
    stems: dict[str, str] = {}
    for identifier in identifiers:
        stem = base = safe_stem(identifier)
        number = 1
        while stem.lower() in taken:
            number += 1
            stem = f"{base}_{number}"
        taken.add(stem.lower())
        stems[identifier] = stem
    return stems


def stems_on_disk(stems: Mapping[str, str], folders: Iterable[Path]) -> dict[str, str]:
    """File names, without suffix, as they are spelled in folders that may come from another system.

    Parameters
    ----------
    stems : mapping
        Id, its letters composed, to stem, see ``unique_stems``.
    folders : iterable of pathlib.Path
        That hold such files; those that are not there hold none.

    Returns
    -------
    dict
        Id to the stem of a file whose letters are written otherwise, or that was named after an id whose
        letters were. Where there is no such file, to the stem that was given.
    """
    there: dict[str, str] = {}
    for folder in folders:
        if folder.is_dir():
            there |= {composed(path.stem): path.stem for path in folder.iterdir()}
    given = {composed(stem) for stem in stems.values()}
    found = {}
    for identifier, stem in stems.items():
        # Accents apart from their letters were no letters to ``safe_stem``.
        earlier = safe_stem(unicodedata.normalize("NFD", identifier))
        spelled = there.get(composed(stem))
        if spelled is None and composed(earlier) not in given:
            spelled = there.get(composed(earlier))
        found[identifier] = stem if spelled is None else spelled
    return found
