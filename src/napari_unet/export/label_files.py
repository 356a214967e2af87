"""Masks as pictures and arrays: PNG, TIFF, OME-TIFF, NumPy."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.atomic import atomic_path
from napari_unet.errors import OutputError
from napari_unet.progress import tracked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray

    from napari_unet.data.files.pixel_size import PixelSize
    from napari_unet.data.masks.numbered_objects import NumberedObjects
    from napari_unet.export.segmented import Numbers, SegmentedImage
    from napari_unet.progress import CancelToken, OnProgress

TILE = 512  # pixels of a side of the tiles of large TIFF
OME_AXES = "tzc"
CENTIMETER = 3  # the value of the TIFF tag ResolutionUnit
INCH = 0.0254  # metres


def write_png(path: Path, image: SegmentedImage, numbers: Numbers = "classes") -> Path:
    """Write a mask as PNG: classes as indices into a palette, objects as grey of 8 or 16 bits.

    Parameters
    ----------
    path : pathlib.Path
        .png.
    image : SegmentedImage
        What to write.
    numbers : str
        "classes": pixels hold 0..K, shown in the colours of the classes; "objects": 0..N.

    Returns
    -------
    pathlib.Path
        The same path. The size of a pixel stands in the file as pixels a metre, names of the classes
        and origin of the mask in its description, as JSON.

    Raises
    ------
    OutputError
        If there are more than 65,535 objects, or it cannot be written.
    """
    from PIL import Image, PngImagePlugin

    labels = image.labels(numbers)
    if labels.dtype.itemsize > 2:
        raise OutputError(
            f"{path.name} cannot be written",
            code="output.mask.objects",
            expected="at most 65535 objects",
            got=str(labels.max()),
            remedy="export as TIFF or NumPy array",
        )
    picture = Image.fromarray(labels)
    if labels.dtype == np.uint8 and numbers == "classes":
        picture.putpalette([part for colour in ((0, 0, 0), *image.colours) for part in colour])
    info = PngImagePlugin.PngInfo()
    info.add_text("Description", json.dumps(_about(image, numbers, _numbered(image, numbers))))
    sides = image.pixel_size.metres() if image.pixel_size is not None else None
    dots = (INCH / sides[1], INCH / sides[0]) if sides is not None else None
    with atomic_path(path) as partial:
        picture.save(partial, format="PNG", compress_level=6, pnginfo=info, **({"dpi": dots} if dots else {}))
    return path


def resolution_tags(size: PixelSize) -> dict[str, Any]:
    """The size of a pixel for ``tifffile.imwrite``: as pixels a centimetre."""
    y, x = size.metres()
    return {"resolution": (0.01 / x, 0.01 / y), "resolutionunit": CENTIMETER}


def write_tiff(path: Path, image: SegmentedImage, numbers: Numbers = "classes") -> Path:
    """Write a mask as deflated TIFF; parameters and errors as ``write_png``, with up to 2 ** 32 - 1 objects.

    The size of a pixel stands in the tags for resolution, in pixels a centimetre; classes are shown in
    their colours.
    """
    import tifffile

    labels = image.labels(numbers)
    colours = None
    if labels.dtype == np.uint8 and numbers == "classes":
        colours = np.zeros((3, 256), np.uint16)
        colours[:, 1 : len(image.classes) + 1] = np.asarray(image.colours, np.uint16).T * 257
    resolution = resolution_tags(image.pixel_size) if image.pixel_size is not None else {}
    with atomic_path(path) as partial:
        tifffile.imwrite(
            partial,
            labels,
            compression="deflate",
            photometric="minisblack" if colours is None else "palette",
            colormap=colours,
            metadata={"axes": "YX", **_about(image, numbers, _numbered(image, numbers))},
            **resolution,
        )
    return path


def write_tiff_stack(
    path: Path,
    pages: Iterator[NDArray[Any]],
    shape: tuple[int, ...],
    dtype: DTypeLike,
    like: SegmentedImage,
    numbers: Numbers = "classes",
    numbered: Mapping[str, Any] | None = None,
) -> Path:
    """Write a stack of masks as one deflated TIFF, a page a slice; parameters as ``write_ome_stack``."""
    import tifffile

    resolution = resolution_tags(like.pixel_size) if like.pixel_size is not None else {}
    axes = "TZYX"[-len(shape) :] if len(shape) <= 4 else "Q" * (len(shape) - 2) + "YX"
    with atomic_path(path) as partial:
        tifffile.imwrite(
            partial,
            (page.astype(dtype, copy=False) for page in pages),
            shape=shape,
            dtype=dtype,
            compression="deflate",
            photometric="minisblack",
            metadata={"axes": axes, **_about(like, numbers, numbered)},
            **resolution,
        )
    return path


def write_ome_tiff(path: Path, image: SegmentedImage, numbers: Numbers = "classes") -> Path:
    """Write a mask as OME-TIFF; parameters and errors as ``write_tiff``.

    Physical sizes stand in the OME-XML, names and colours of the classes in a map annotation.
    """
    labels = image.labels(numbers)
    numbered = _numbered(image, numbers)
    return write_ome_stack(
        path, iter((labels,)), labels.shape, labels.dtype, image, numbers, numbered=numbered
    )


def write_ome_stack(
    path: Path,
    pages: Iterator[NDArray[Any]],
    shape: tuple[int, ...],
    dtype: DTypeLike,
    like: SegmentedImage,
    numbers: Numbers,
    depth: tuple[float, str] | None = None,
    numbered: Mapping[str, Any] | None = None,
) -> Path:
    """Write a stack of masks as one OME-TIFF.

    Parameters
    ----------
    path : pathlib.Path
        .ome.tif.
    pages : iterator of numpy.ndarray
        (Y, X) each, in order, of numbers that `dtype` holds.
    shape : tuple of int
        (Y, X), (Z, Y, X) or (T, Z, Y, X).
    dtype : dtype
        Of the file.
    like : SegmentedImage
        Whose name, classes, colours and pixel size are those of all.
    numbers : str
        What the numbers are: "classes" or "objects".
    depth : tuple of float and str, optional
        From one plane to the next, and its unit.
    numbered : mapping, optional
        What there is to say of the classes of all objects, see ``NumberedObjects.to_json``.

    Returns
    -------
    pathlib.Path
        The same path.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    import tifffile

    image = like
    axes = "TZYX"[-len(shape) :]
    metadata: dict[str, Any] = {"axes": axes, "Name": image.name, "Channel": {"Name": numbers}}
    if depth is not None and "Z" in axes:
        metadata |= {"PhysicalSizeZ": depth[0], "PhysicalSizeZUnit": depth[1]}
    if image.pixel_size is not None:
        size = image.pixel_size
        metadata |= {"PhysicalSizeY": size.y, "PhysicalSizeYUnit": size.unit}
        metadata |= {"PhysicalSizeX": size.x, "PhysicalSizeXUnit": size.unit}
    names = {str(n): name for n, name in enumerate(image.classes, start=1)}
    metadata["MapAnnotation"] = {
        "Namespace": "napari-unet-workbench/classes",
        **names,
        **{
            f"colour {n}": "#{:02X}{:02X}{:02X}".format(*colour)
            for n, colour in enumerate(image.colours, start=1)
        },
        **{key: value for key, value in (numbered or {}).items() if isinstance(value, str)},
    }
    with atomic_path(path) as partial:
        tifffile.imwrite(
            partial,
            (page.astype(dtype, copy=False) for page in pages),
            shape=shape,
            dtype=dtype,
            ome=True,
            compression="deflate",
            photometric="minisblack",
            metadata=metadata,
        )
    return path


def write_npy(path: Path, image: SegmentedImage, numbers: Numbers = "classes") -> Path:
    """Write a mask as NumPy array (Y, X), unsigned; parameters and errors as ``write_tiff``."""
    labels: NDArray[Any] = image.labels(numbers)
    with atomic_path(path) as partial, partial.open("wb") as file:
        np.save(file, labels, allow_pickle=False)
    return path


def _numbered(image: SegmentedImage, numbers: Numbers) -> dict[str, Any]:
    """The class of every object and ties, where the numbers are those of objects of several classes."""
    return image.numbered.to_json() if numbers == "objects" and len(image.classes) > 1 else {}


def _about(
    image: SegmentedImage, numbers: Numbers, numbered: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    size = image.pixel_size
    return {
        "name": image.name,
        "numbers": numbers,
        "classes": list(image.classes),
        **(numbered or {}),
        "pixel_size": {"y": size.y, "x": size.x, "unit": size.unit.replace("µ", "u")} if size else None,
        **image.about,
    }


def write_label_tiff(
    path: Path,
    levels: Sequence[Any],
    leading: Sequence[str],
    name: str,
    classes: Sequence[str],
    pixel_size: PixelSize | None,
    numbered: NumberedObjects | None,
    on_progress: OnProgress,
    cancel: CancelToken,
) -> Path:
    """Write all levels of labels as a tiled pyramid; memory holds a row of tiles.

    Parameters
    ----------
    path : pathlib.Path
        .ome.tif or .tif; whole or not there.
    levels : sequence of arrays
        (..., Y, X) unsigned each, read by region: the finest first, each half as large as the one before.
    leading : sequence of str
        Names of the axes of slices.
    name : str
        Of the image.
    classes : sequence of str
        Names of the classes 1..K; empty: labels are numbers of objects.
    pixel_size : PixelSize or None
        None if unknown.
    numbered : NumberedObjects or None
        The classes of numbered objects.
    on_progress, cancel
        As everywhere.

    Returns
    -------
    pathlib.Path
        The same path. It is OME-TIFF if the axes of slices are time, depth and channels at most. The levels
        are SubIFDs, which tifffile, Bio-Formats and QuPath read.

    Raises
    ------
    OutputError
        If it cannot be written.
    Cancelled
        When it was stopped; nothing is left of it.
    """
    about: dict[str, str] = {}
    said = {} if numbered is None else numbered.to_json()
    names = classes or (() if numbered is None else numbered.names)
    about |= {str(number): one for number, one in enumerate(names, start=1)}
    about |= {key: value for key, value in said.items() if isinstance(value, str)}
    channels = ("classes" if classes else "objects",)
    axes = "".join(leading) + "yx"
    return write_levels_as_tiff(path, levels, axes, name, channels, pixel_size, about, on_progress, cancel)


def write_levels_as_tiff(
    path: Path,
    levels: Sequence[Any],
    axes: str,
    name: str,
    channels: Sequence[str],
    pixel_size: PixelSize | None,
    about: dict[str, str],
    on_progress: OnProgress,
    cancel: CancelToken,
) -> Path:
    """Write the levels of a large image as a tiled pyramid, as ``write_label_tiff``.

    Parameters
    ----------
    path, levels, name, pixel_size, on_progress, cancel
        As there; any type of numbers.
    axes : str
        Of the arrays, like "tcyx".
    channels : sequence of str
        Their names.
    about : dict
        What else is said of the image.
    """
    import tifffile

    leading = axes[:-2]
    ome = set(leading) <= set(OME_AXES)
    metadata: dict[str, Any] = {"axes": axes.upper() if ome else "Q" * len(leading) + "YX"}
    if ome:
        metadata |= {"Name": name, "Channel": {"Name": list(channels) if "c" in axes else channels[0]}}
        if pixel_size is not None:
            metadata |= {"PhysicalSizeY": pixel_size.y, "PhysicalSizeYUnit": pixel_size.unit}
            metadata |= {"PhysicalSizeX": pixel_size.x, "PhysicalSizeXUnit": pixel_size.unit}
        metadata["MapAnnotation"] = {"Namespace": "napari-unet-workbench/classes", **about}
    bands = [band for level in levels for band in _bands_of(level)]
    at = iter(tracked(bands, len(bands), "Writing TIFF", on_progress, cancel))
    with atomic_path(path) as partial, tifffile.TiffWriter(partial, bigtiff=True, ome=ome) as file:
        for number, level in enumerate(levels):
            file.write(
                _tiles_of(level, at),
                shape=level.shape,
                dtype=level.dtype,
                tile=(TILE, TILE),
                compression="deflate",
                photometric="minisblack",
                subifds=len(levels) - 1 if number == 0 else None,
                subfiletype=1 if number else 0,
                metadata=None if number else metadata,
            )
    return path


def _bands_of(level: Any) -> list[tuple[tuple[int, ...], slice]]:
    """Slice and rows of each row of tiles of an array."""
    rows = [slice(start, start + TILE) for start in range(0, level.shape[-2], TILE)]
    return [(index, one) for index in np.ndindex(*level.shape[:-2]) for one in rows]


def _tiles_of(level: Any, at: Iterator[tuple[tuple[int, ...], slice]]) -> Iterator[NDArray[Any]]:
    """The tiles of a level, page by page, row by row."""
    width = level.shape[-1]
    for _ in range(len(_bands_of(level))):
        index, rows = next(at)
        band = np.asarray(level[(*index, rows)])
        band = np.pad(band, ((0, TILE - len(band)), (0, -width % TILE)))
        for start in range(0, width, TILE):
            yield np.ascontiguousarray(band[:, start : start + TILE])
