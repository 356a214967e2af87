"""What came of learning, on one line or on one line for each fact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.evaluation.compare import TIE

if TYPE_CHECKING:
    from napari_unet.evaluation.compare import Comparison
    from napari_unet.workflow.finetune.fine_tune_task import FineTuned
    from napari_unet.workflow.finetune.train_version import Trained


def verdict_line(result: FineTuned | Trained) -> str:
    """The verdict in one short sentence: "Better: IoU 0.67 before, 0.73 now, on 132 held-out images".

    Parameters
    ----------
    result : FineTuned or Trained
        With the comparison of old and new, if there is one.
    """
    from napari_unet.workflow.finetune.fine_tuned import FineTuned

    comparison = result.comparison
    if isinstance(result, FineTuned) and result.forgetting is not None and result.forgetting.images:
        new = _scores(result.comparison) if result.comparison.images else "not judged"
        return f"{result.verdict.capitalize()}: new kind {new}; old kind {_scores(result.forgetting)}."
    if comparison is None or not comparison.images:
        words = result.sentence.split(";")[0]
        return f"{words[:1].upper()}{words[1:]}."
    count = len(comparison.images)
    return (
        f"{_direction(comparison)}: IoU {comparison.old_iou:.3f} before, {comparison.new_iou:.3f} now, "
        f"on {count:,} held-out image{'s' * (count != 1)}."
    )


def one_fact_a_line(sentence: str) -> str:
    """The parts of a sentence that semicolons separate, each on a line of its own."""
    facts = sentence.rstrip(".").split("; ")
    return "\n".join(fact[:1].upper() + fact[1:] for fact in facts)


def _scores(comparison: Comparison) -> str:
    """IoU of old and new, and on how many images."""
    count = len(comparison.images)
    images = f"{count:,} image{'s' * (count != 1)}"
    return f"{comparison.old_iou:.3f} before, {comparison.new_iou:.3f} now, on {images}"


def _direction(comparison: Comparison) -> str:
    """A difference that may be chance is said to be so, and which way it goes."""
    if comparison.verdict in ("better", "worse"):
        return comparison.verdict.capitalize()
    difference = comparison.difference or 0.0
    if abs(difference) <= TIE:
        return "The same"
    return "Higher, but this may be chance" if difference > 0 else "Lower, but this may be chance"
