"""What File > Open Sample offers: made-up images with their masks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.data.dataset import Dataset
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.data.synthetic import make_pictures
from napari_unet.plugin.commands import show_workbench_later
from napari_unet.plugin.dataset_layers import layers_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.data.synthetic import SyntheticPicture
    from napari_unet.plugin.dataset_layers import LayerData

COUNT = 8
CLASSES = {"salt": "salt", "nerve": "nerve", "nuclei": "nucleus", "membranes": "cell interior"}


@dataclass(frozen=True, eq=False)
class ImageInMemory:
    """Gives an image that is in memory: () -> (Y, X, C)."""

    picture: SyntheticPicture

    def __call__(self) -> NDArray[np.generic]:
        """(Y, X, C) uint8."""
        image = self.picture.image
        return image[..., None] if image.ndim == 2 else image


@dataclass(frozen=True, eq=False)
class MaskInMemory:
    """Gives a reference mask that is in memory."""

    picture: SyntheticPicture

    def __call__(self) -> ReferenceMask:
        """The truth of the picture."""
        return self.picture.mask


def synthetic_dataset(kind: str, count: int = COUNT) -> Dataset:
    """A made-up data set in memory.

    Parameters
    ----------
    kind : str
        "salt", "nerve", "nuclei" or "membranes".
    count : int
        Images, all with masks.

    Returns
    -------
    Dataset
        Of the format "synthetic".
    """
    pictures = make_pictures(kind, count)
    by_subject = kind == "nerve"
    return Dataset(
        name=kind,
        format="synthetic",
        path=Path(f"synthetic {kind}"),
        samples=tuple(
            Sample(
                picture.name,
                ImageInMemory(picture),
                MaskInMemory(picture),
                f"subject {picture.name.split('_')[0]}" if by_subject else None,
                reason="made together",
            )
            for picture in pictures
        ),
        classes=(CLASSES[kind],),
        group_rule="subject" if by_subject else "image",
    )


def _layers(kind: str) -> list[LayerData]:
    layers = layers_of(synthetic_dataset(kind))
    show_workbench_later(layers)
    return layers


def salt() -> list[LayerData]:
    """Tiles of seismic sections with salt."""
    return _layers("salt")


def nerve() -> list[LayerData]:
    """Frames of ultrasound with nerves."""
    return _layers("nerve")


def nuclei() -> list[LayerData]:
    """Nuclei as numbered objects; of several sizes, so that the first is shown."""
    return _layers("nuclei")


def membranes() -> list[LayerData]:
    """Slices through packed cells."""
    return _layers("membranes")
