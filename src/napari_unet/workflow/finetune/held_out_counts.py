"""How many held-out images there are, how many judge, and what became of the others."""

from __future__ import annotations

from dataclasses import dataclass

from napari_unet.evaluation.report.summary_text import count_of


@dataclass(frozen=True)
class NotJudging:
    """Held-out images that take no part in a round.

    Attributes
    ----------
    learnt : int
        That the model has learnt from, or from copies of them.
    corrected : int
        That a person corrected and did not keep for judging.
    beyond : int
        More than a round looks at.
    most : int
        So many a round looks at.
    damaged : int
        That cannot be read, or whose mask does not fit.
    """

    learnt: int = 0
    corrected: int = 0
    beyond: int = 0
    most: int = 0
    damaged: int = 0


def counts_note(not_judging: NotJudging, choosing: int, judging: int, judged: int) -> str:
    """Say why fewer images judged than are held out; empty if all did.

    Parameters
    ----------
    not_judging : NotJudging
        Those that take no part.
    choosing : int
        That choose the weights and do not judge.
    judging : int
        That could judge.
    judged : int
        That did, in the time there was.
    """
    total = (
        not_judging.learnt
        + not_judging.corrected
        + not_judging.beyond
        + not_judging.damaged
        + choosing
        + judging
    )
    if judged == total:
        return ""
    whys = [
        (
            not_judging.learnt,
            (
                "the model has learnt from, as it is or as a copy",
                "the model has learnt from, as they are or as copies",
            ),
        ),
        (not_judging.corrected, ("was corrected", "were corrected")),
        (
            not_judging.beyond,
            tuple(f"{verb} beyond the {not_judging.most:,} that a round looks at" for verb in ("is", "are")),
        ),
        (not_judging.damaged, ("cannot be used", "cannot be used")),
        (choosing, ("chooses the weights", "choose the weights")),
        (judging - judged, ("there was no time for", "there was no time for")),
    ]
    parts = [f"{count:,} {why[count != 1]}" for count, why in whys if count]
    judge = "judges" if judged == 1 else "judge"
    return f"{judged:,} of {count_of(total, 'held-out image')} {judge}: " + ", ".join(parts)
