"""What a layer of napari says about the data that it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import Sample

# Key of layer metadata under which a layer tells where its images came from; the value is an OpenedData.
METADATA_KEY = "napari_unet"
# Key of layer metadata under which the layer of the current mask tells what its numbers are: a ShownMask.
MASK_KEY = "napari_unet_mask"
# Key of layer metadata under which a layer tells that it shows a part of a mask on disk, and of which.
LARGE_MASK_KEY = "napari_unet_large_mask"


@dataclass(frozen=True, eq=False)
class OpenedData:
    """What a reader puts into the metadata of its layers, so that nothing is opened twice.

    Attributes
    ----------
    dataset : Dataset
        What was opened.
    ids : tuple of str
        The image of every slice of the layer, in order; one id where the layer is a single image.
    role : str
        Whether the layer shows the images or their reference masks.
    """

    dataset: Dataset
    ids: tuple[str, ...]
    role: Literal["images", "reference"] = "images"


@dataclass(frozen=True, eq=False)
class ShownMask:
    """What the numbers in the layer of a mask are, for whoever saves that layer.

    Attributes
    ----------
    sample : Sample
        The image of the mask.
    classes : tuple of str
        Names of the classes 1..K.
    class_of : callable
        (Y, X) numbers of the layer -> (Y, X) uint8: their classes, above K where they are ignored.
    objects : bool
        Whether every object has a number of its own.
    slices : callable or None
        () -> the images of all slices, in order, where the layer holds the masks of a stack. Whoever reads
        its pixels calls this first, as the numbers of objects may still be on their way.
    """

    sample: Sample
    classes: tuple[str, ...]
    class_of: Callable[[NDArray[Any]], NDArray[np.uint8]]
    objects: bool
    slices: Callable[[], Sequence[Sample]] | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> ShownMask:
        """Stay the same in a copy of the layer: nothing here changes, and images are large."""
        return self
