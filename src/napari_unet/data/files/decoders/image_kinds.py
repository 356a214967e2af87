"""Kinds of image files: by the suffix of a name, and by the first bytes."""

from __future__ import annotations

from pathlib import PurePosixPath

from napari_unet.data.files.decoders.microscope_files import PLUGINS, is_installed

TIFF_SUFFIXES = {".tif", ".tiff"}
SUFFIXES = TIFF_SUFFIXES | {
    ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc",
}  # fmt: skip
LOSSY_SUFFIXES = {".jpg", ".jpeg"}
SEVERAL = TIFF_SUFFIXES | {".gif", ".webp"} | PLUGINS.keys()  # files that may hold more than one image
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
KINDS = "PNG, TIFF, JPEG, WebP, JPEG 2000, BMP or GIF"


def suffix_of(name: str) -> str:
    """The suffix, in lower case."""
    return PurePosixPath(name).suffix.lower()


def is_image_name(name: str) -> bool:
    """Whether the suffix is one we read; those of microscopes are where bioio is installed."""
    suffix = suffix_of(name)
    return suffix in SUFFIXES or is_installed(suffix)


def kind_of(head: bytes) -> str:
    """What a file is by its first bytes: "PNG", "TIFF", ...; "" if it is no image that we know."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    return next((kind for signature, kind in SIGNATURES.items() if head.startswith(signature)), "")
