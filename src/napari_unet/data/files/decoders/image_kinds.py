"""Kinds of image files: by the suffix of a name, and by the first bytes."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from napari_unet.data.files.decoders.microscope_files import PLUGINS, is_installed

TIFF_SUFFIXES = {".tif", ".tiff"}
SUFFIXES = TIFF_SUFFIXES | {
    ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc",
    ".pgm", ".ppm", ".pbm", ".pnm",
}  # fmt: skip
LOSSY_SUFFIXES = {".jpg", ".jpeg"}
HDF5_SUFFIXES = {".h5", ".hdf5"}
ARRAY = re.compile(r"(.*\.(?:zarr|h5|hdf5))(?::/+(.*))?", re.IGNORECASE | re.DOTALL)
# Files, and arrays in files, that may hold more than one image.
SEVERAL = TIFF_SUFFIXES | {".gif", ".webp", ".zarr"} | HDF5_SUFFIXES | PLUGINS.keys()
HEAD_BYTES = 32  # are enough to know a file by, and for the size of a PNG
SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
}
KINDS = "PNG, TIFF, JPEG, WebP, JPEG 2000, BMP, GIF or PGM"


def suffix_of(name: str) -> str:
    """The suffix, in lower case; of an array in a file, that of the file."""
    found = ARRAY.fullmatch(name) if ":/" in name else None
    return PurePosixPath(name if found is None else found[1]).suffix.lower()


def split_array_name(name: str) -> tuple[str, str] | None:
    """File and array of FILE.h5:/NAME or FILE.zarr:/NAME, the second empty where none is named.

    Returns
    -------
    tuple of str or None
        None for any other file.
    """
    found = ARRAY.fullmatch(name)
    return None if found is None else (found[1], found[2] or "")


def path_of_image(name: str) -> PurePosixPath:
    """Folders and stem by which an image goes with its mask: of an array in a file those of the file."""
    found = split_array_name(name)
    if found is None:
        return PurePosixPath(name)
    path = PurePosixPath(found[0])
    return path.with_name(path.name.removesuffix(path.suffix).removesuffix(".ome") + path.suffix)


def is_image_name(name: str) -> bool:
    """Whether the suffix is one we read; those of microscopes are where bioio is installed.

    In HDF5 files each image has a name of its own. Sources list no folder but those of OME-Zarr images.
    """
    suffix = suffix_of(name)
    if suffix in HDF5_SUFFIXES:
        return ":/" in name
    return suffix in SUFFIXES or suffix == ".zarr" or is_installed(suffix)


def kind_of(head: bytes) -> str:
    """What a file is by its first bytes: "PNG", "TIFF", ...; "" if it is no image that we know."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if re.match(rb"P[1-6][\s#]", head):
        return "PNM"
    return next((kind for signature, kind in SIGNATURES.items() if head.startswith(signature)), "")
