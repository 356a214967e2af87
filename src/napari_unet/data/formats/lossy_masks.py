"""Masks saved with loss: refused unless they are clearly black and white."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.masks.mask_pixels import stored_pages
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_unet.data.files.source import Source
    from napari_unet.data.masks.mask_values import MaskValues


MASKS_LOOKED_AT = 300
FEWEST_LOOKED_AT = 8
HALFWAY = 127
HALF, UNCLEAR = 0.5, (0.35, 0.65)  # of the brightest channel
FEWEST_OF_A_COLOUR = 0.1  # share of bright pixels


def sample_of_masks(masks: Sequence[str]) -> list[str]:
    """Some of the masks in random order, the same every time."""
    order = np.random.default_rng(0).permutation(len(masks))
    return [masks[i] for i in order[:MASKS_LOOKED_AT]]


def _has_several_colours(pixels: NDArray[Any]) -> bool:
    """Whether bright pixels (Y, X, C) are of more than one colour, whatever compression did to edges."""
    bright = pixels[pixels.max(axis=2) > HALFWAY].astype(np.float32)
    shares = bright / bright.max(axis=1, keepdims=True, initial=1)
    clear = shares[((shares < UNCLEAR[0]) | (shares > UNCLEAR[1])).all(axis=1)] > HALF
    counts = np.unique(clear, axis=0, return_counts=True)[1] if len(clear) else np.zeros(0, np.int64)
    return int((counts >= FEWEST_OF_A_COLOUR * len(bright)).sum()) > 1


def check_lossy(source: Source, masks: Sequence[str], meaning: MaskValues) -> None:
    """Refuse lossy masks that cannot be black and white."""
    remedy = "save masks as PNG or TIFF without loss"
    kind = "a JPEG" if masks[0].lower().endswith(("jpg", "jpeg")) else "saved with loss"
    if meaning.classes > 1 or meaning.kind == "objects":
        raise DataError(
            f"{masks[0]} is {kind} among masks of several classes",
            code="data.mask.lossy",
            expected="masks saved without loss",
            remedy=remedy,
        )
    between = bright = highest = 0
    for name in sample_of_masks(masks)[:FEWEST_LOOKED_AT]:
        try:
            decoded = list(stored_pages(source.read(name), name))
        except DataError:
            continue
        for stored in decoded:
            pixels = stored.numbers
            if pixels.ndim == 3 and _has_several_colours(pixels):
                raise DataError(
                    f"{name} is {kind} in several colours",
                    code="data.mask.lossy",
                    expected="masks of several classes saved without loss",
                    remedy=remedy,
                )
            grey = pixels if pixels.ndim == 2 else pixels.max(axis=2)
            if grey.dtype != np.uint8:
                raise DataError(
                    f"{name} was saved with loss in {grey.dtype}",
                    code="data.mask.lossy",
                    expected="8 bits",
                    remedy=remedy,
                )
            histogram = np.bincount(grey.ravel(), minlength=256)
            between += int(histogram[64:192].sum())
            bright += int(histogram[192:].sum())
            highest = max(highest, int(np.flatnonzero(histogram)[-1]))
    if between > bright or 32 < highest <= HALFWAY:
        called = "JPEGs" if kind == "a JPEG" else kind
        raise DataError(
            f"masks like {masks[0]} are {called} that are not black and white"
            if kind == "a JPEG"
            else f"masks like {masks[0]} are {called}, and not black and white",
            code="data.mask.lossy",
            expected="values near 0 and 255",
            got=f"{between} pixels in between, {highest} the brightest",
            remedy=remedy,
        )
