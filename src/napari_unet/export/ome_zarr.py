"""OME-Zarr: the image with its labels, in levels of falling resolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.atomic import atomic_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.data.files.pixel_size import PixelSize
    from napari_unet.export.segmented import Numbers, SegmentedImage

LABELS = "masks"  # name of the labels within the image
SMALLEST = 256  # pixels; levels end once both sides are below
CHUNK = 1024  # pixels either way


def write_ome_zarr(path: Path, image: SegmentedImage, numbers: Numbers = "classes") -> Path:
    """Write image and mask as OME-Zarr 0.5 (Zarr 3).

    Parameters
    ----------
    path : pathlib.Path
        Folder, named .zarr; replaced as a whole if it is there.
    image : SegmentedImage
        What to write; without its image only the labels are filled, and the image is empty.
    numbers : str
        "classes": labels are 0..K with names and colours; "objects": 0..N, each with its class.

    Returns
    -------
    pathlib.Path
        The same path.

    Raises
    ------
    OutputError
        If it cannot be written.

    References
    ----------
    Moore et al. 2023, doi:10.1007/s00418-023-02209-1; https://ngff.openmicroscopy.org/0.5/.
    """
    return _write(path, image, numbers, version="0.5")


def write_ome_zarr_04(path: Path, image: SegmentedImage, numbers: Numbers = "classes") -> Path:
    """Write image and mask as OME-Zarr 0.4 (Zarr 2), for readers that know no later one."""
    return _write(path, image, numbers, version="0.4")


def _write(path: Path, image: SegmentedImage, numbers: Numbers, version: str) -> Path:
    import zarr

    pixels = image.load_image() if image.load_image is not None else np.zeros((*image.shape, 1), np.uint8)
    with atomic_folder(path) as partial:
        root = zarr.open_group(partial, mode="w", zarr_format=3 if version == "0.5" else 2)
        planes = np.moveaxis(pixels.astype(np.uint8) if pixels.dtype == np.bool_ else pixels, -1, 0)
        shown = _write_levels(root, planes, mean_of_four, image, version)
        describe(root, {"multiscales": [shown], "omero": _channels(planes)}, version)
        labels = root.create_group("labels")
        describe(labels, {"labels": [LABELS]}, version)
        group = labels.create_group(LABELS)
        shown = _write_levels(group, image.labels(numbers), _nearest, image, version)
        describe(
            group, {"multiscales": [shown], "image-label": _label_table(image, numbers, version)}, version
        )
    return path


def describe(group: Any, content: dict[str, Any], version: str) -> None:
    """Write metadata where the version has it."""
    group.attrs.update({"ome": {"version": version, **content}} if version == "0.5" else content)


def _write_levels(
    group: Any,
    values: NDArray[Any],
    halve: Callable[[NDArray[Any]], NDArray[Any]],
    image: SegmentedImage,
    version: str,
) -> dict[str, Any]:
    """Write (..., Y, X) values in levels, each half as large as the one before; gives their metadata."""
    axes: list[dict[str, str]] = [{"name": "c", "type": "channel"}] if values.ndim == 3 else []
    size = image.pixel_size
    for name in "yx":
        unit = {"unit": size.long_unit} if size is not None else {}
        axes.append({"name": name, "type": "space", **unit})
    sides = (size.y, size.x) if size is not None else (1.0, 1.0)
    full = values.shape[-2:]
    datasets: list[dict[str, Any]] = []
    while True:
        level = str(len(datasets))
        chunks = (*(1,) * (values.ndim - 2), *(min(CHUNK, max(side, 1)) for side in values.shape[-2:]))
        # In format 2 the separator of the chunks' names is an option; in format 3 it is this already.
        slashes = {"chunk_key_encoding": {"name": "v2", "separator": "/"}} if version == "0.4" else {}
        array = group.create_array(level, shape=values.shape, dtype=values.dtype, chunks=chunks, **slashes)
        array[...] = values
        factors = [full[axis] / max(values.shape[axis - 2], 1) for axis in range(2)]
        scale = [1.0] * (values.ndim - 2) + [
            side * factor for side, factor in zip(sides, factors, strict=True)
        ]
        datasets.append({"path": level, "coordinateTransformations": [{"type": "scale", "scale": scale}]})
        if max(values.shape[-2:]) <= SMALLEST:
            break
        values = halve(values)
    version_entry = {"version": "0.4"} if version == "0.4" else {}
    return {**version_entry, "name": image.name, "axes": axes, "datasets": datasets}


def _nearest(values: NDArray[Any]) -> NDArray[Any]:
    return values[..., ::2, ::2]


def mean_of_four(values: NDArray[Any]) -> NDArray[Any]:
    """Mean of 2 x 2 pixels; of what there is at odd ends."""
    odd = [(0, side % 2) for side in values.shape[-2:]]
    even = np.pad(values, [(0, 0)] * (values.ndim - 2) + odd, mode="edge")
    y, x = even.shape[-2:]
    blocks = even.reshape(*even.shape[:-2], y // 2, 2, x // 2, 2).mean(axis=(-3, -1), dtype=np.float64)
    return np.asarray(np.rint(blocks) if values.dtype.kind in "iu" else blocks, values.dtype)


def _channels(planes: NDArray[Any]) -> dict[str, Any]:
    """How viewers show the channels: red, green, blue, or grey, over the range that there is."""
    colours = ["FF0000", "00FF00", "0000FF"] if len(planes) == 3 else ["FFFFFF"] * len(planes)
    channels = []
    for number, (plane, colour) in enumerate(zip(planes, colours, strict=True)):
        finite = plane[np.isfinite(plane)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        window = {"min": low, "max": high, "start": low, "end": high}
        channels.append({"label": f"channel {number}", "color": colour, "window": window, "active": True})
    return {"channels": channels}


def _label_table(image: SegmentedImage, numbers: Numbers, version: str) -> dict[str, Any]:
    """Colours and names of the labels."""
    colours = [{"label-value": n, "rgba": [*colour, 255]} for n, colour in enumerate(image.colours, start=1)]
    names: list[dict[str, Any]] = [
        {"label-value": n, "class": name} for n, name in enumerate(image.classes, start=1)
    ]
    if numbers == "objects":
        found = list(image.found())
        colours = [{"label-value": o.number, "rgba": [*image.colours[o.label - 1], 255]} for o in found]
        names = [
            {"label-value": o.number, "class": image.classes[o.label - 1], "area (pixels)": o.area}
            | ({"tie of classes": True} if o.number in image.ties else {})
            for o in found
        ]
    version_entry = {"version": "0.4"} if version == "0.4" else {}
    return {**version_entry, "colors": colours, "properties": names, "source": {"image": "../../"}}


@dataclass(frozen=True)
class LabelShape:
    """What the labels of a stack are like.

    Attributes
    ----------
    leading : tuple of (str, int)
        Name and size of each axis of slices.
    size : tuple of int
        (Y, X), or (Z, Y, X) of volumes.
    chunk : tuple of int
        (Y, X), or (Z, Y, X), of what is one file.
    dtype : str
        Unsigned.
    pixel_size : PixelSize or None
        None if unknown.
    slice_distance : float or None
        From one slice to the next, in the unit of the pixel; None if unknown.
    """

    leading: tuple[tuple[str, int], ...]
    size: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: str = "uint8"
    pixel_size: PixelSize | None = None
    slice_distance: float | None = None

    @property
    def names(self) -> str:
        """Of the axes of an image or a volume."""
        return "zyx"[-len(self.size) :]

    @property
    def levels(self) -> list[tuple[int, ...]]:
        """(Y, X) or (Z, Y, X) of each level, until all sides are small.

        Slices stay as many as they are, so that each has its mask at any level.
        """
        found = [self.size]
        while max(found[-1][-2:]) > SMALLEST:
            *deep, height, width = found[-1]
            found.append((*deep, -(-height // 2), -(-width // 2)))
        return found

    def axes(self) -> list[dict[str, str]]:
        """As the metadata lists them."""
        unit = {} if self.pixel_size is None else {"unit": self.pixel_size.long_unit}
        of_z = {} if self.slice_distance is None else unit
        kinds = {"t": "time", "z": "space"}
        before = [_axis(name, kinds.get(name)) | (of_z if name == "z" else {}) for name, _ in self.leading]
        return [
            *before,
            *({"name": name, "type": "space", **(of_z if name == "z" else unit)} for name in self.names),
        ]

    def datasets(self) -> list[dict[str, Any]]:
        """Path and scale of each level."""
        sides = (1.0, 1.0) if self.pixel_size is None else (self.pixel_size.y, self.pixel_size.x)
        found = []
        for number in range(len(self.levels)):
            # Every second pixel stays, so that a level's pixels are exactly twice as large.
            depth = 1.0 if self.slice_distance is None else self.slice_distance
            before = [*(name for name, _ in self.leading), *self.names[:-2]]
            scale = [depth if name == "z" else 1.0 for name in before]
            scale += [side * 2**number for side in sides]
            found.append(
                {"path": str(number), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
            )
        return found


def _axis(name: str, kind: str | None) -> dict[str, str]:
    return {"name": name} if kind is None else {"name": name, "type": kind}
