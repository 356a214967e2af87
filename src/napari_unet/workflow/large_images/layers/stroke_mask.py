"""An empty mask on disk for strokes on a large image: every pixel of it is unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.export.label_store import LabelStore
from napari_unet.export.ome_zarr import LabelShape
from napari_unet.project.corrections.correction import IGNORE
from napari_unet.workflow.large_images.layers.segment_layer import image_of_mask, stack_of_sample
from napari_unet.workflow.large_images.segment_large import SUFFIX

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_unet.data.files.pixel_size import PixelSize
    from napari_unet.data.sample import Sample

STATE = {"strokes": True, "share": 0.0}
CHUNK = 512  # pixels of a file, either way: a stroke touches few, and writes little


def make_stroke_mask(
    sample: Sample,
    shape: tuple[int, int, int],
    folder: Path,
    stem: str,
    classes: Sequence[str],
    pixel_size: PixelSize | None = None,
) -> Path:
    """Make a mask of unknown pixels, or find the one of this image that is there.

    Parameters
    ----------
    sample : Sample
        The image, read by region.
    shape : tuple of int
        (Y, X, C) of it.
    folder : pathlib.Path
        Gets the mask.
    stem : str
        What it is called.
    classes : sequence of str
        Names of the classes 1..K.
    pixel_size : PixelSize, optional
        Of the image.

    Returns
    -------
    pathlib.Path
        Of the OME-Zarr.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    stack, number = stack_of_sample(sample, shape, pixel_size), 1
    while True:
        path = folder / f"{stem}{'' if number == 1 else f'-{number}'}{SUFFIX}"
        if not path.exists():
            break
        if image_of_mask(path) == stack.fingerprint:
            LabelStore.open(path).set_state(STATE)  # a kill may have come before it
            return path
        number += 1
    size = LabelShape((), shape[:2], (CHUNK, CHUNK), "uint8", pixel_size)
    about = {"image": stack.fingerprint, "strokes": True}
    store = LabelStore.create(path, size, stack.name, tuple(classes), about, fill=IGNORE)
    store.set_state(STATE)
    return path
