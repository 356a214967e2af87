"""Scores in words: a few honest sentences, and what each score is called."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.metrics.object_measures import together
from napari_unet.metrics.object_words import objects_in_words
from napari_unet.metrics.registry import SCORES
from napari_unet.metrics.uncertainty import why_no_interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_unet.evaluation.confidence import Reliability, ThresholdCurve
    from napari_unet.evaluation.score import Evaluation, ImageScore
    from napari_unet.metrics.object_measures import ObjectTable
    from napari_unet.settings import InferenceSettings

POOR = 0.5  # of IoU: an object that overlaps less is commonly counted as missed
FEW = 20  # images below which a person is warned
WORTH_TELLING = 0.1  # of IoU, between small and large, or of area
GAIN = 0.01  # of IoU, from another threshold
ROUGH = 0.05  # of the calibration error

TITLES = {
    "image": "Image",
    "group": "Group",
    "part": "Part",
    "mean_iou": "Mean IoU",
    "mean_dice": "Mean Dice",
    "pooled_iou": "Pooled IoU",
    "pooled_dice": "Pooled Dice",
    "reference_coverage": "Coverage, reference",
    "predicted_coverage": "Coverage, predicted",
    "tgs_score": "TGS score",
    "nerve_score": "Nerve score",
}
MEANINGS = {
    "mean_iou": "Intersection over union of mask and reference, mean over the images with it",
    "pooled_iou": "Of all pixels of all images together: large structures count more",
    "mean_dice": "Twice the intersection over the sum of both areas, mean over the images with it",
    "pooled_dice": "Of all pixels of all images together",
    "part": "What the model did with the image",
    "group": "Images of a group are drawn together for the intervals",
    "reference_coverage": "Share of the pixels that are foreground in the reference",
    "predicted_coverage": "Share of the pixels that are foreground in the prediction",
}


def title_of(key: str) -> str:
    """What people call a score, or another column of iou.csv."""
    if key in SCORES:
        return SCORES[key].title
    if key in TITLES:
        return TITLES[key]
    words = re.sub(r"^iou_", "IoU ", key).replace("_", " ")
    return words[:1].upper() + words[1:]


def meaning_of(key: str) -> str:
    """What it is, in a sentence; empty where the title says it."""
    return SCORES[key].about if key in SCORES else MEANINGS.get(key, "")


def count_of(number: int, noun: str) -> str:
    """A number and its noun: "1 image", "3,200 images"."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def summary(
    evaluation: Evaluation,
    curve: ThresholdCurve | None = None,
    reliable: Reliability | None = None,
    threshold: float | None = None,
    *,
    of_model: bool = True,
    overall: Mapping[str, Any] | None = None,
) -> list[str]:
    """How good it is, on what, and where it fails.

    Parameters
    ----------
    evaluation : Evaluation
        With at least one image.
    curve, reliable : optional
        Of the same images.
    threshold : float, optional
        That the masks were made with.
    of_model : bool
        Whether it is known what made the masks, and what that has seen.
    overall : mapping, optional
        ``evaluation.overall()``, where that is known already.

    Returns
    -------
    list of str
        Sentences for a person.
    """
    scores = evaluation.unseen or evaluation.scores
    overall = overall or evaluation.overall()
    said = [_how_good(overall, scores, of_model), *_spread(scores), *_failures(scores)]
    said += _sizes(scores) + _amount(scores) + _classes(overall) + _groups(scores)
    if curve is not None and threshold is not None:
        said += _threshold(curve, threshold)
    if reliable is not None:
        said += _calibration(reliable)
    return said + _kept_apart(evaluation)


def measured(objects: Mapping[str, ObjectTable], classes: Sequence[str]) -> str:
    """How many objects the masks have, and how large they are, in a sentence."""
    every = together(list(objects.values()))
    return f"The masks of {count_of(len(objects), 'image')} have {objects_in_words(every, classes)}."


def threshold_note(used: InferenceSettings, own: InferenceSettings) -> str:
    """Say that a threshold was chosen on the images that are scored; empty if it is the model's own.

    Parameters
    ----------
    used : InferenceSettings
        That the masks were made with.
    own : InferenceSettings
        That the model came with.
    """
    changed = []
    if used.threshold != own.threshold:
        changed.append(f"threshold {used.threshold:g} instead of the model's own {own.threshold:g}")
    if used.minimum_size != own.minimum_size:
        changed.append(f"smallest object {used.minimum_size} instead of {own.minimum_size} pixels")
    if not changed:
        return ""
    return (
        f"{' and '.join(changed)}: chosen while these images were looked at, so the scores flatter the model"
    )


def copies_note(own: Mapping[str, str], parts: Mapping[str, str]) -> str:
    """Say why fewer images are held out than the split names; empty if they are as many.

    Parameters
    ----------
    own : mapping
        Id to the part that the split names.
    parts : mapping
        Id to the part that it counts for, after copies were looked for.
    """
    moved = [i for i, part in own.items() if part in ("validation", "held-out") and parts.get(i) != part]
    if not moved:
        return ""
    count, each = ("counts", "it") if len(moved) == 1 else ("count", "each")
    return (
        f"{count_of(len(moved), 'image')} that the split keeps for judging {count} as trained on: {each} is "
        "a copy of an image that the model was trained on"
    )


def warnings(evaluation: Evaluation) -> list[str]:
    """What makes the scores less than they seem."""
    scores = evaluation.unseen or evaluation.scores
    said = []
    if evaluation.seen and not evaluation.unseen:
        said.append(
            "Careful: the model was trained or chosen on every one of these images, so these scores flatter "
            "it and say little about new ones."
        )
    unknown = sum(s.part == "not known" for s in scores)
    if unknown:
        all_ = "these images" if unknown == len(scores) else f"{unknown:,} of these images"
        said.append(f"It is not known whether {all_} took part in training: nothing is recorded about them.")
    groups = len({s.group for s in scores})
    if why := why_no_interval(groups):
        said.append(f"How far the score could be off is not known: {why}.")
    elif len(scores) < FEW or groups < FEW:
        few = count_of(len(scores), "image")
        said.append(f"{few} of {count_of(groups, 'group')} are few: another draw could give another score.")
    return said


def _kept_apart(evaluation: Evaluation) -> list[str]:
    seen = len(evaluation.seen)
    if not seen or not evaluation.unseen:
        return []
    are, counts = ("is", "counts") if seen == 1 else ("are", "count")
    return [
        f"{count_of(seen, 'image')} that the model was trained or chosen on {are} listed at the end, but "
        f"{counts} for nothing here."
    ]


def _how_good(overall: Mapping[str, Any], scores: Sequence[ImageScore], of_model: bool) -> str:
    where = f"On {count_of(len(scores), 'image')}"
    if of_model and not overall["seen_in_training"] and all(s.part != "not known" for s in scores):
        where += " that the model has not seen"
    groups = overall["groups"]
    if groups not in (1, len(scores)):
        where += f", of {count_of(groups, 'group')},"
    if overall["mean_iou"] is None:
        return f"{where} there is nothing that a score could be of."
    low, high = overall["ci95"]["mean_iou"]
    interval = ""
    if low is not None:
        interval = f" ({100 * overall['confidence']:g} % interval {low:.3f} to {high:.3f})"
    elif overall.get("no_interval"):
        interval = f" ({overall['no_interval']})"
    return f"{where} the masks overlap the references with a mean IoU of {overall['mean_iou']:.3f}{interval}."


def _spread(scores: Sequence[ImageScore]) -> list[str]:
    iou = np.array([s.iou for s in scores if np.isfinite(s.iou)])
    if len(iou) < 4:
        return []
    poor = int((iou < POOR).sum())
    half = f"Half of the images score {np.median(iou):.3f} or more"
    if poor:
        return [f"{half}; {poor:,} ({poor / len(iou):.0%}) score below {POOR}."]
    return [f"{half}; none scores below {POOR}."]


def _failures(scores: Sequence[ImageScore]) -> list[str]:
    missed = [s for s in scores if s.counts.empty_prediction and not s.counts.empty_reference]
    invented = [s for s in scores if s.counts.empty_reference and not s.counts.empty_prediction]
    filled = sum(not s.counts.empty_reference for s in scores)
    empty = len(scores) - filled
    said = []
    if missed:
        said.append(f"{_among(len(missed), filled, 'something')} it found nothing at all.")
    if invented:
        said.append(f"{_among(len(invented), empty, 'nothing')} it found something.")
    elif empty:
        said.append(f"{_among(empty, empty, 'nothing')} it rightly found nothing.")
    return said


def _among(some: int, all_: int, what: str) -> str:
    """Of images with something or nothing in them, how many: "In 3 of the 20 images ..."."""
    if all_ == 1:
        return f"In the one image with {what} in it"
    which = f"all {all_:,}" if some == all_ else f"{some:,} of the {all_:,}"
    return f"In {which} images with {what} in them"


def _sizes(scores: Sequence[ImageScore]) -> list[str]:
    """Whether little structures fare worse than large ones."""
    filled = [s for s in scores if not s.counts.empty_reference and np.isfinite(s.iou)]
    if len(filled) < 12:
        return []
    coverage = np.array([s.counts.reference.sum() / s.counts.pixels for s in filled])
    iou = np.array([s.iou for s in filled])
    order = np.argsort(coverage, kind="stable")
    third = len(order) // 3
    small, large = iou[order[:third]].mean(), iou[order[-third:]].mean()
    if abs(large - small) < WORTH_TELLING:
        return []
    edge = coverage[order[third - 1]]
    worse = "worse" if small < large else "better"
    return [
        f"Images with little foreground score {worse}. The third with the least foreground (at most "
        f"{edge:.1%} of the pixels) has a mean IoU of {small:.3f}, the third with the most {large:.3f}."
    ]


def _amount(scores: Sequence[ImageScore]) -> list[str]:
    """Whether it draws too much or too little."""
    reference = sum(int(s.counts.reference.sum()) for s in scores)
    predicted = sum(int(s.counts.predicted.sum()) for s in scores)
    if not reference or abs(predicted / reference - 1) < WORTH_TELLING:
        return []
    share = abs(predicted / reference - 1)
    return [f"All in all it marks {share:.0%} {'more' if predicted > reference else 'less'} than there is."]


def _classes(overall: Mapping[str, Any]) -> list[str]:
    known = {n: v["mean_iou"] for n, v in overall["per_class"].items() if v["mean_iou"] is not None}
    missing = [n for n in overall["per_class"] if n not in known]
    said = []
    if len(known) > 1:
        best, worst = max(known, key=lambda n: known[n]), min(known, key=lambda n: known[n])
        said.append(f"The best class is {best} ({known[best]:.3f}), the worst {worst} ({known[worst]:.3f}).")
    if missing and known:
        said.append(f"Nothing is known of {', '.join(missing)}: no image has any, and none was found.")
    return said


def _groups(scores: Sequence[ImageScore]) -> list[str]:
    """Whether one subject or mosaic stands out."""
    by_group: dict[str, list[float]] = {}
    for score in scores:
        if np.isfinite(score.iou):
            by_group.setdefault(score.group, []).append(score.iou)
    large = {name: float(np.mean(v)) for name, v in by_group.items() if len(v) >= 3}
    if len(large) < 3:
        return []
    worst = min(large, key=lambda n: large[n])
    if np.median(list(large.values())) - large[worst] < WORTH_TELLING:
        return []
    size = count_of(len(by_group[worst]), "image")
    return [f"The weakest group with three images or more is {worst}: {large[worst]:.3f} over {size}."]


def _threshold(curve: ThresholdCurve, threshold: float) -> list[str]:
    here, best = curve.at(threshold), float(curve.mean_iou.max())
    if best - here < GAIN:
        return []
    return [
        f"Another threshold, {curve.best:g} instead of {threshold:g}, would have given {best:.3f} rather "
        f"than {here:.3f} on these very images; choose it on others before you trust it."
    ]


def _calibration(found: Reliability) -> list[str]:
    if found.error < ROUGH:
        return []
    share = float((found.promised - found.true) @ found.pixels)
    tendency = "promises more than it holds" if share > 0 else "is more often right than it promises"
    return [f"Its probabilities are off by {found.error:.2f} on average; all in all it {tendency}."]
