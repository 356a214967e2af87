"""What File > Open Sample offers: made-up images with their masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.synthetic import make_pictures

if TYPE_CHECKING:
    from numpy.typing import NDArray

LayerData = tuple["NDArray[Any]", dict[str, Any], str]
COUNT = 8


def _layers(kind: str) -> list[LayerData]:
    """A stack of images and one of masks; images of other sizes than the first are left out."""
    pictures = make_pictures(kind, COUNT)
    same = [p for p in pictures if p.image.shape == pictures[0].image.shape]
    images = np.stack([p.image for p in same])
    objects = [p.mask.labels if p.mask.objects is None else p.mask.objects for p in same]
    return [
        (images, {"name": kind, "rgb": images.ndim == 4}, "image"),
        (np.stack(objects).astype(np.int32), {"name": f"{kind} masks", "opacity": 0.4}, "labels"),
    ]


def salt() -> list[LayerData]:
    """Tiles of seismic sections with salt."""
    return _layers("salt")


def nerve() -> list[LayerData]:
    """Frames of ultrasound with nerves."""
    return _layers("nerve")


def nuclei() -> list[LayerData]:
    """Nuclei, told apart."""
    return _layers("nuclei")


def membranes() -> list[LayerData]:
    """Slices through packed cells."""
    return _layers("membranes")
