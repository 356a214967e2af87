"""The queue: which image next, and why. By IoU, or an estimate of it, or at random."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from napari_unet.workflow.review.quality_estimate import CERTAIN, Calibration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari_unet.workflow.review.quality_estimate import MemberAgreement


@dataclass(frozen=True)
class QueuedImage:
    """One image in the queue.

    Attributes
    ----------
    id : str
        Of the image.
    iou : float
        Known or estimated.
    known : bool
        Whether it is known from a reference mask.
    reason : str
        Why it comes when it does, for a person.
    """

    id: str
    iou: float
    known: bool
    reason: str


def worst_first(
    found: Iterable[MemberAgreement],
    calibration: Calibration | None = None,
    known: Mapping[str, float] | None = None,
) -> list[QueuedImage]:
    """Order images by IoU, as a table sorted by it does.

    Parameters
    ----------
    found : iterable of MemberAgreement
        Images without a reference mask.
    calibration : Calibration, optional
        From agreement to IoU.
    known : mapping, optional
        Id to IoU with a reference mask, where there is one; images of which nothing else is known too.

    Returns
    -------
    list of QueuedImage
        Equal ones by the less certain, then by id.
    """
    listed = list(found)
    scores = dict(known or {})
    calibration = calibration or Calibration()
    sums = Calibration(weights=calibration.weights).weigh(listed)
    queued_images: list[tuple[float, float, QueuedImage]] = [
        (iou, 0.0, QueuedImage(identifier, iou, True, f"IoU {iou:.2f} with its reference mask"))
        for identifier, iou in scores.items()
    ]
    for measured, iou, total in zip(
        listed, calibration.estimate(listed).tolist(), sums.tolist(), strict=True
    ):
        if measured.id not in scores:
            queued_images.append((iou, total, QueuedImage(measured.id, iou, False, _reason(measured, iou))))
    return [queued for _, _, queued in sorted(queued_images, key=lambda t: (t[0], t[1], t[2].id))]


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
