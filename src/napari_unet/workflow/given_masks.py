"""Masks that are there already, made by any program, for the images of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.file_names import name_key
from napari_unet.data.image_files import decode_labels, is_image_name
from napari_unet.data.source import open_source
from napari_unet.errors import DataError
from napari_unet.export.masks import unique_stems
from napari_unet.inference.postprocess import connected_objects

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import Sample


def read_masks(
    dataset: Dataset, path: Path, samples: Iterable[Sample] | None = None
) -> Iterator[tuple[Sample, NDArray[np.uint8], NDArray[np.int32]]]:
    """Read masks named after images.

    Parameters
    ----------
    dataset : Dataset
        Of the images.
    path : pathlib.Path
        Folder or zip; ID.png, ID_mask.png or another format.
    samples : iterable of Sample
        Which images; those with a reference mask if not given.

    Yields
    ------
    sample : Sample
        The image.
    mask : numpy.ndarray
        (Y, X) uint8, 0..K; with one class every value above 0 is class 1.
    objects : numpy.ndarray
        (Y, X) int32: the file's own numbers, where it has several and the set one class, else
        connected pieces.

    Raises
    ------
    DataError
        If an image has no mask, or a file is no mask of this data set.
    """
    source = open_source(path)
    names = {name_key(Path(name).stem): name for name in source.sizes if is_image_name(name)}
    classes = len(dataset.classes)
    # Segmenting the data set wrote a mask for every image, those without a reference included.
    stems = unique_stems(s.id for s in (*dataset.samples, *dataset.unlabelled))
    for sample in dataset.samples if samples is None else samples:
        stem = stems[sample.id]
        name = names.get(name_key(stem)) or names.get(name_key(f"{stem}_mask"))
        if name is None:
            raise DataError(
                f"{path} has no mask for {sample.id}",
                expected=f"{stem}.png",
                remedy="segment all images first",
            )
        pixels = decode_labels(source.read(name), name)
        if pixels.ndim != 2 or (classes > 1 and int(pixels.max(initial=0)) > classes):
            raise DataError(f"{name} is not a mask of this data set", expected=f"values 0 to {classes}")
        if classes > 1:
            mask = pixels.astype(np.uint8)
            yield sample, mask, connected_objects(mask)
            continue
        mask = (pixels > 0).astype(np.uint8)  # type: ignore[operator]
        numbered = int(pixels.min(initial=0)) >= 0 and len(np.unique(pixels[mask > 0])) > 1
        yield sample, mask, pixels.astype(np.int32) if numbered else connected_objects(mask)
