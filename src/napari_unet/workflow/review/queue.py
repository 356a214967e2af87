"""The queue: which image next, and why. By IoU, or an estimate of it, or at random."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from napari_unet.workflow.review.quality_estimate import CERTAIN, Calibration

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_unet.workflow.review.quality_estimate import MemberAgreement


@dataclass(frozen=True)
class QueuedImage:
    """One image in the queue.

    Attributes
    ----------
    id : str
        Of the image.
    iou : float
        Estimated, 0 to 1.
    reason : str
        Why it comes when it does, for a person.
    """

    id: str
    iou: float
    reason: str


def worst_first(
    found: Iterable[MemberAgreement], calibration: Calibration | None = None
) -> list[QueuedImage]:
    """Order images by their estimated IoU, as a table sorted by it does.

    Parameters
    ----------
    found : iterable of MemberAgreement
        Images without a reference mask.
    calibration : Calibration, optional
        From agreement to IoU.

    Returns
    -------
    list of QueuedImage
        Equal ones by the less certain, then by id.
    """
    listed = list(found)
    calibration = calibration or Calibration()
    sums = Calibration(weights=calibration.weights).weigh(listed).tolist()
    rated = sorted(
        zip(calibration.estimate(listed).tolist(), sums, listed, strict=True),
        key=lambda one: (one[0], one[1], one[2].id),
    )
    return [QueuedImage(measured.id, iou, _reason(measured, iou)) for iou, _, measured in rated]


def at_random(ids: Iterable[str]) -> list[str]:
    """Order images as drawn at random, the same ones always alike.

    Parameters
    ----------
    ids : iterable of str
        Of images.

    Returns
    -------
    list of str
        The same, by their hashes. None of the orders that were tried taught a network reliably more:
        docs/benchmarks/loop.md.
    """
    return sorted(ids, key=lambda i: blake2b(i.encode("utf-8", "surrogatepass"), person=b"queue").digest())


def _reason(measured: MemberAgreement, iou: float) -> str:
    differ = (
        "members of the ensemble differ" if measured.by_members else "predictions of the flipped image differ"
    )
    why = differ if measured.agreement < measured.expected else "unsure pixels"
    if measured.empty:
        why = "nothing found, but not for certain" if iou < CERTAIN else "nothing found"
    return f"estimated IoU {iou:.2f}: {why}"
