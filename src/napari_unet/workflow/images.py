"""The list of images a person works through: what is known of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import Sample

# Key of layer metadata under which a layer tells where its images came from; the value is an OpenedData.
METADATA_KEY = "napari_unet"
# Key of layer metadata under which the layer of the mask at hand tells what its numbers are: a ShownMask.
MASK_KEY = "napari_unet_mask"

Status = Literal["new", "segmented", "corrected", "done"]
STATUSES: tuple[Status, ...] = ("new", "segmented", "corrected", "done")


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
    """

    sample: Sample
    classes: tuple[str, ...]
    class_of: Callable[[NDArray[Any]], NDArray[np.uint8]]
    objects: bool

    def __deepcopy__(self, memo: dict[int, Any]) -> ShownMask:
        """Stay the same in a copy of the layer: nothing here changes, and images are large."""
        return self


@dataclass(frozen=True)
class ImageRow:
    """One row of the list of images.

    Attributes
    ----------
    id : str
        Of the image.
    group : str
        What must not be parted by a split; empty while unknown.
    part : str
        "train", "validation", "held-out" of the chosen model's split, "unseen" by it, or empty.
    status : str
        new, segmented, corrected or done.
    iou : float or None
        Of the predicted mask with the reference; None without either.
    has_reference : bool
        Whether there is a reference mask.
    problem : str
        What went wrong with this image; empty if nothing did.
    estimate : float or None
        IoU that is expected of the mask where it is not known; None if that was not estimated.
    reason : str
        What the estimate is from.
    """

    id: str
    group: str = ""
    part: str = ""
    status: Status = "new"
    iou: float | None = None
    has_reference: bool = False
    problem: str = ""
    estimate: float | None = None
    reason: str = ""

    @property
    def rank(self) -> float | None:
        """IoU by which images are put in order: known, else estimated."""
        return self.estimate if self.iou is None else self.iou
