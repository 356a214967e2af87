"""A data set as layers: a lazy stack of its images, and one of its reference masks."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from napari_unet.data.files.channels import channels_of, dataset_with_channels
from napari_unet.data.stack import make_a_stack
from napari_unet.errors import DataError
from napari_unet.session.images.layer_metadata import METADATA_KEY, OpenedData

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import Sample

LayerData = tuple[Any, dict[str, Any], str]
# Key of layer metadata: name, group and all other facts about every slice, one list each.
PROPERTIES_KEY = "napari_unet_properties"


def layers_of(dataset: Dataset) -> list[LayerData]:
    """Layers that show a data set.

    Parameters
    ----------
    dataset : Dataset
        With at least one image.

    Returns
    -------
    list of tuple
        Data, arguments and type of each layer, as napari wants them: the images, and the reference
        masks where there are any. Both are stacks of all images, labelled ones first, read slice by
        slice when looked at. They hold the labelled images alone where the others do not fit, and the
        first image alone where these do not fit each other.

    Raises
    ------
    DataError
        If the first image or mask cannot be read.
    """
    opened, dataset = dataset, dataset_with_channels(dataset, ()) if dataset.channels else dataset
    samples = _stack(dataset)
    first = _first_image(dataset, samples)
    data, about, kind = _images(dataset, samples, first)
    about["metadata"] = _metadata(opened, samples, "images")  # which may read fewer channels than are shown
    layers: list[LayerData] = [(data, about, kind)]
    if samples[0].has_mask:
        layers.append(_reference(dataset, samples, first))
    return layers


def _first_image(dataset: Dataset, samples: tuple[Sample, ...]) -> NDArray[np.generic]:
    """The first image that can be read; errors as of the first."""
    for sample in samples:
        with suppress(DataError):
            return dataset.image(sample)
    return dataset.image(samples[0])


def _stack(dataset: Dataset) -> tuple[Sample, ...]:
    """The images that are shown."""
    whole = (*dataset.samples, *dataset.unlabelled)
    if not whole:
        raise DataError(f"{dataset.name} holds no image", code="data.images.missing", expected="at least one")
    parts = [whole, dataset.samples] if dataset.samples and dataset.unlabelled else [whole]
    return next((part for part in parts if make_a_stack(part)), whole[:1])


def _images(dataset: Dataset, samples: Sequence[Sample], first: NDArray[np.generic]) -> LayerData:
    load = _ImageSlice(dataset, tuple(samples), first.shape, first.dtype)
    channels = first.shape[2]
    about: dict[str, Any] = {"name": dataset.name}
    # The data set keeps what was read; napari need not keep it again.
    about["cache"] = False
    measured = channels_of(samples[0]).colour is False  # one by one, not as red, green and blue
    if channels == 3 and not measured and first.dtype in (np.uint8, np.uint16):
        about["rgb"] = True
    else:
        about["contrast_limits"] = _contrast(first)
        if channels > 1:
            about["channel_axis"] = 3 if len(samples) > 1 else 2
        else:
            about["rgb"] = False
    shape = first.shape if channels > 1 else first.shape[:2]
    return _array(load, len(samples), shape, first.dtype), about, "image"


def _reference(dataset: Dataset, samples: Sequence[Sample], first: NDArray[np.generic]) -> LayerData:
    numbered = dataset.mask(samples[0]).objects is not None
    dtype = np.dtype(np.int32 if numbered else np.uint8)
    load = _MaskSlice(dataset, tuple(samples), (first.shape[0], first.shape[1]), dtype)
    about = {
        "name": f"{dataset.name} reference",
        "metadata": _metadata(dataset, samples, "reference"),
        "opacity": 0.4,
        "cache": False,
    }
    return _array(load, len(samples), load.shape, dtype), about, "labels"


def _metadata(dataset: Dataset, samples: Sequence[Sample], role: Any) -> dict[str, Any]:
    opened = OpenedData(dataset, tuple(sample.id for sample in samples), role)
    return {METADATA_KEY: opened, PROPERTIES_KEY: properties_of(samples)}


def properties_of(samples: Sequence[Sample]) -> dict[str, list[Any]]:
    """What the layer says of every image.

    Returns
    -------
    dict
        Lists as long as `samples`: "name", "group" where the files name any (groups that must be computed
        from pixels are left out), and every property of any image. None where an image lacks it.
    """
    table: dict[str, list[Any]] = {"name": [sample.id for sample in samples]}
    if any(sample.group for sample in samples):
        table["group"] = [sample.group for sample in samples]
    for key in dict.fromkeys(key for sample in samples for key in sample.properties):
        table[key] = [sample.properties.get(key) for sample in samples]
    return table


def _contrast(image: NDArray[Any]) -> list[float]:
    """Limits by the type where it has 8 bits; else by the first image, so that no other is read."""
    if image.dtype == np.bool_:
        return [0, 1]
    if image.dtype == np.uint8:
        return [0, 255]
    values = image[np.isfinite(image)] if image.dtype.kind == "f" else image
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if low < high:
        return [low, high]
    # An empty first image tells nothing.
    return [0, float(np.iinfo(image.dtype).max)] if image.dtype.kind in "ui" else [low, low + 1]


def _array(load: Any, count: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """One image as it is; several as a lazy stack with one chunk an image."""
    if count == 1:
        return load.read(0)
    import dask.array as da

    # Written out, because map_blocks would look through the whole data set for a name.
    name = f"napari-unet-{uuid4().hex}"
    rest = (0,) * len(shape)
    graph = {(name, index, *rest): (load, index) for index in range(count)}
    chunks = ((1,) * count, *((side,) for side in shape))
    return da.Array(graph, name, chunks, meta=np.empty((0,) * (1 + len(shape)), dtype))


@dataclass(frozen=True, eq=False)
class _ImageSlice:
    """Reads one image of a stack."""

    dataset: Dataset
    samples: tuple[Sample, ...]
    shape: tuple[int, ...]  # (Y, X, C)
    dtype: np.dtype[Any]

    def __call__(self, index: int) -> NDArray[Any]:
        """(1, Y, X) or (1, Y, X, C) in the stack's dtype."""
        return self.read(index)[None]

    def read(self, index: int) -> NDArray[Any]:
        """(Y, X) or (Y, X, C)."""
        sample = self.samples[index]
        image = _with_channels(self.dataset.image(sample), self.shape[2])
        if image.shape != self.shape:
            raise _differs(sample.image_name or sample.id, self.shape, image.shape)
        pixels: NDArray[Any] = image.astype(self.dtype, copy=False)
        return pixels[..., 0] if self.shape[2] == 1 else pixels


@dataclass(frozen=True, eq=False)
class _MaskSlice:
    """Reads one reference mask of a stack; empty where there is none."""

    dataset: Dataset
    samples: tuple[Sample, ...]
    shape: tuple[int, int]
    dtype: np.dtype[Any]

    def __call__(self, index: int) -> NDArray[Any]:
        """(1, Y, X) of classes, or of numbered objects where the stack's dtype is int32."""
        return self.read(index)[None]

    def read(self, index: int) -> NDArray[Any]:
        """(Y, X)."""
        sample = self.samples[index]
        if not sample.has_mask:
            return np.zeros(self.shape, self.dtype)
        mask = self.dataset.mask(sample)
        values: NDArray[Any] = mask.labels
        if self.dtype == np.int32 and mask.objects is not None:
            values = mask.objects
        if values.shape != self.shape:
            raise _differs(sample.mask_name or sample.id, self.shape, values.shape)
        labels: NDArray[Any] = values.astype(self.dtype, copy=False)
        return labels


def _with_channels(image: NDArray[Any], channels: int) -> NDArray[Any]:
    """An image as grey or colour: what palettes and alpha hold is known after reading alone."""
    got = image.shape[2]
    if got == channels or not {got, channels} <= {1, 3, 4}:
        return image
    if channels == 1:
        grey: NDArray[Any] = image[..., :3].mean(axis=2, keepdims=True).astype(image.dtype)
        return grey
    colours = image[..., :3] if got >= 3 else np.repeat(image, 3, axis=2)
    if channels == 3:
        return colours
    top = np.iinfo(image.dtype).max if image.dtype.kind in "ui" else 1
    return np.concatenate([colours, np.full_like(colours[..., :1], top)], axis=2)


def _differs(name: str, expected: tuple[int, ...], got: tuple[int, ...]) -> DataError:
    return DataError(
        f"{name} does not fit the stack of the images before it",
        code="data.image.size",
        expected=f"{expected[1]} x {expected[0]} pixels",
        got=f"{got[1]} x {got[0]}",
        remedy="open it from the list of images",
    )
