"""The list of images a person works through: what is known of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["new", "segmented", "corrected", "done"]
STATUSES: tuple[Status, ...] = ("new", "segmented", "corrected", "done")


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
    slices : int
        Of a volume, how many it has; 0 of an image.
    done : int
        How many of them are done.
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
    slices: int = 0
    done: int = 0

    @property
    def rank(self) -> float | None:
        """IoU by which images are put in order: known, else estimated."""
        return self.estimate if self.iou is None else self.iou
