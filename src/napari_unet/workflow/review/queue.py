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

    from napari_unet.workflow.review.quality_estimate import Doubt

DRAWN = "drawn at random, so that what is usual is learned too"
BLANK = "the image has one grey value everywhere"


@dataclass(frozen=True)
class Turn:
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
    found: Iterable[Doubt],
    calibration: Calibration | None = None,
    known: Mapping[str, float] | None = None,
) -> list[Turn]:
    """Order images by IoU alone, as a table sorted by it does; parameters as ``review_queue``.

    Returns
    -------
    list of Turn
        Equal ones by the less certain, then by id.
    """
    listed = list(found)
    scores = dict(known or {})
    calibration = calibration or Calibration()
    sums = Calibration(weights=calibration.weights).weigh(listed)
    turns: list[tuple[float, float, Turn]] = [
        (iou, 0.0, Turn(identifier, iou, True, f"IoU {iou:.2f} with its reference mask"))
        for identifier, iou in scores.items()
    ]
    for doubt, iou, total in zip(listed, calibration.estimate(listed).tolist(), sums.tolist(), strict=True):
        if doubt.id not in scores:
            turns.append((iou, total, Turn(doubt.id, iou, False, _reason(doubt, iou))))
    return [turn for _, _, turn in sorted(turns, key=lambda t: (t[0], t[1], t[2].id))]


def review_queue(
    found: Iterable[Doubt],
    calibration: Calibration | None = None,
    known: Mapping[str, float] | None = None,
    done: Iterable[Doubt] = (),
) -> list[Turn]:
    """Order images for a person: first what stands for most that is wrong.

    Parameters
    ----------
    found : iterable of Doubt
        Images not yet done.
    calibration : Calibration, optional
        From doubts to IoU.
    known : mapping, optional
        Id to IoU with a reference mask, where there is one; images of which nothing else is known too.
    done : iterable of Doubt
        Images corrected already.

    Returns
    -------
    list of Turn
        Worst first; equal ones by the less certain, then by id. Where the appearance of all images is
        known, the first 50 are those that stand for most that is wrong: see ``representative_order``;
        but two of every five are drawn by the hash of their id, as a network that only learns what it got
        wrong forgets what is usual; and images of one grey value, from which nothing is learned, come last.
    """
    listed = list(found)
    every = worst_first(listed, calibration, known)
    looks = {doubt.id: doubt.appearance for doubt in listed}
    if not all(looks.get(turn.id) for turn in every):
        return every
    turns = [turn for turn in every if not is_blank(looks[turn.id])]
    blank = [replace(turn, reason=BLANK) for turn in every if is_blank(looks[turn.id])]
    if not turns:
        return blank
    order = representative_order(
        np.array([turn.iou for turn in turns]),
        np.array([looks[turn.id] for turn in turns]).reshape(len(turns), -1),
        np.array([d.appearance for d in done if d.appearance and not is_blank(d.appearance)]),
    )
    drawn = sorted(range(len(turns)), key=lambda n: blake2b(turns[n].id.encode()).digest())
    mixed = mix_in(order, drawn)
    # An image that overtook a worse one is there for others that look like it, or by chance.
    worst_left = np.minimum.accumulate(np.array(mixed, np.intp)[::-1])[::-1]
    chosen = []
    for place, (n, least) in enumerate(zip(mixed, worst_left, strict=True)):
        turn = turns[n]
        if n > least:
            why = DRAWN if place < AHEAD and place % 5 in AT_RANDOM else "stands for others like it"
            turn = replace(turn, reason=f"{turn.reason}; {why}")
        chosen.append(turn)
    return chosen + blank


def _reason(doubt: Doubt, iou: float) -> str:
    differ = (
        "members of the ensemble differ" if doubt.by_members else "predictions of the flipped image differ"
    )
    why = differ if doubt.agreement < doubt.expected else "unsure pixels"
    if doubt.empty:
        why = "nothing found, but not for certain" if iou < CERTAIN else "nothing found"
    return f"estimated IoU {iou:.2f}: {why}"
