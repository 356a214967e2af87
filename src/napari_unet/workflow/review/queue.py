"""The queue: which image next, and why. By IoU, or an estimate of it, and by what it stands for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.workflow.review.diversity import AHEAD, AT_RANDOM, is_blank, mix_in, representative_order
from napari_unet.workflow.review.quality_estimate import CERTAIN, Calibration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari_unet.workflow.review.quality_estimate import MemberAgreement

DRAWN = "drawn at random, so that what is usual is learned too"
BLANK = "the image has one grey value everywhere"


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
    """Order images by IoU alone, as a table sorted by it does; parameters as ``review_queue``.

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


def review_queue(
    found: Iterable[MemberAgreement],
    calibration: Calibration | None = None,
    known: Mapping[str, float] | None = None,
    done: Iterable[MemberAgreement] = (),
) -> list[QueuedImage]:
    """Order images for a person: first what stands for most that is wrong.

    Parameters
    ----------
    found : iterable of MemberAgreement
        Images not yet done.
    calibration : Calibration, optional
        From agreement to IoU.
    known : mapping, optional
        Id to IoU with a reference mask, where there is one; images of which nothing else is known too.
    done : iterable of MemberAgreement
        Images corrected already.

    Returns
    -------
    list of QueuedImage
        Worst first; equal ones by the less certain, then by id. Where the appearance of all images is
        known, the first 50 are those that stand for most that is wrong: see ``representative_order``.
        Two of every five are drawn by the hash of their id, as a network that only learns what it got
        wrong forgets what is usual. Images of one grey value, from which nothing is learned, come last.
    """
    listed = list(found)
    every = worst_first(listed, calibration, known)
    appearances = {measured.id: measured.appearance for measured in listed}
    if not all(appearances.get(queued.id) for queued in every):
        return every
    queued_images = [queued for queued in every if not is_blank(appearances[queued.id])]
    blank = [replace(queued, reason=BLANK) for queued in every if is_blank(appearances[queued.id])]
    if not queued_images:
        return blank
    order = representative_order(
        np.array([queued.iou for queued in queued_images]),
        np.array([appearances[queued.id] for queued in queued_images]).reshape(len(queued_images), -1),
        np.array([d.appearance for d in done if d.appearance and not is_blank(d.appearance)]),
    )
    drawn = sorted(range(len(queued_images)), key=lambda n: blake2b(queued_images[n].id.encode()).digest())
    mixed = mix_in(order, drawn)
    # An image that overtook a worse one is there for others that look like it, or by chance.
    worst_left = np.minimum.accumulate(np.array(mixed, np.intp)[::-1])[::-1]
    chosen = []
    for place, (n, least) in enumerate(zip(mixed, worst_left, strict=True)):
        queued = queued_images[n]
        if n > least:
            why = DRAWN if place < AHEAD and place % 5 in AT_RANDOM else "stands for others like it"
            queued = replace(queued, reason=f"{queued.reason}; {why}")
        chosen.append(queued)
    return chosen + blank


def _reason(measured: MemberAgreement, iou: float) -> str:
    differ = (
        "members of the ensemble differ" if measured.by_members else "predictions of the flipped image differ"
    )
    why = differ if measured.agreement < measured.expected else "unsure pixels"
    if measured.empty:
        why = "nothing found, but not for certain" if iou < CERTAIN else "nothing found"
    return f"estimated IoU {iou:.2f}: {why}"
