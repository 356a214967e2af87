"""What to say of a file that is not an image, a zip or a table that can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.data.files.decoders.image_kinds import HEAD_BYTES, SUFFIXES, kind_of
from napari_unet.data.files.decoders.microscope_files import PLUGINS
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

ARRAYS = {".npy", ".npz", ".mat"}
# Formats of microscopes and cameras, by their suffix.
IMAGE_FORMATS = {
    ".czi", ".lif", ".nd2", ".oib", ".oif", ".oir", ".vsi", ".ims", ".dv", ".r3d", ".lof", ".xlef", ".stk",
    ".zvi", ".ets", ".mrxs", ".ndpi", ".scn", ".bif", ".isyntax", ".dcm", ".nii", ".mha", ".mhd", ".nrrd",
    ".mrc", ".klb", ".svs", ".sld", ".flex", ".fits", ".heic", ".heif", ".avif", ".jxl",
    ".cr2", ".cr3", ".nef", ".arw", ".dng", ".psd", ".svg", ".pdf", ".exr",
}  # fmt: skip


def unreadable_file(path: Path) -> DataError:
    """The error for a file that nothing here can open.

    Parameters
    ----------
    path : pathlib.Path
        Of a file that exists.

    Returns
    -------
    DataError
        It says whether this is an image of a format that cannot be read, or no image at all.
    """
    suffix = path.suffix.lower()
    known = ", ".join(sorted(s.removeprefix(".") for s in SUFFIXES))
    if suffix in PLUGINS:
        return DataError(
            f"{path} is not an image format that can be read: {suffix}",
            code="data.image.format",
            expected=known,
            remedy="run: pip install 'napari-unet-workbench[microscopes]', or export it as OME-TIFF in Fiji "
            "or in the program of the microscope",
        )
    if suffix in IMAGE_FORMATS:
        return DataError(
            f"{path} is not an image format that can be read: {suffix}",
            code="data.image.format",
            expected=known,
            remedy="export it as OME-TIFF in the program of the microscope, or in Fiji",
        )
    if suffix in ARRAYS:
        return DataError(
            f"{path} holds arrays, which are not images that can be read: {suffix}",
            code="data.image.format",
            expected=known,
            remedy="save each as a TIFF, in Python by tifffile.imwrite('name.tif', array)",
        )
    kind = _kind(path)
    if kind:
        return DataError(
            f"{path} is a {kind} image whose name does not say so",
            code="data.image.ending",
            expected=f"a name that ends in {'.jp2' if kind == 'JPEG 2000' else f'.{kind.lower()}'}",
            remedy="rename the file",
        )
    return DataError(
        f"{path} is not an image",
        code="data.image.format",
        expected=f"an image ({known}), a folder, a zip or a CSV table",
        got=f"a {suffix} file" if suffix else "a file without an ending",
    )


def _kind(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return kind_of(file.read(HEAD_BYTES)) or ""
    except OSError:
        return ""


def damaged_file(path: Path, error: Exception) -> DataError:
    """The error for a file whose content is not what its format promises."""
    return DataError(
        f"{path} cannot be read",
        code="data.file.unreadable",
        reason=" ".join(str(error).split())[:200] or type(error).__name__,
        remedy="copy or download it again",
    )
