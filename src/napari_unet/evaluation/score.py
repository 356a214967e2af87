"""Masks to scores: image by image, then overall, with intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.metrics.competition import COMPETITIONS, Competition
from napari_unet.metrics.overlap import image_scores
from napari_unet.metrics.uncertainty import bootstrap_ratio_interval
from napari_unet.settings import EvaluationSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_unet.data.sample import ReferenceMask
    from napari_unet.metrics.overlap import OverlapCounts

SEEN = ("train", "validation")
EMPTY_RULES = {
    "one": "both empty = 1",
    "zero": "both empty = 0",
    "skip": "both empty: left out",
}


@dataclass(frozen=True, eq=False)
class ImageScore:
    """Scores of one image.

    Attributes
    ----------
    image, group, part : str
        Id; group; "train", "validation", "held-out" of the model's split, or "unseen".
    iou, dice : float
        Mean over the classes that occur in it, by the empty rule where none does.
    counts : OverlapCounts
        What they come from.
    competition : float or None
        The competition's score, where the data set is one's.
    """

    image: str
    group: str
    part: str
    iou: float
    dice: float
    counts: OverlapCounts
    competition: float | None = None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of images, collected one by one; only the list of scores grows.

    Attributes
    ----------
    classes : tuple of str
        Names of the classes 1..K.
    settings : EvaluationSettings
        Empty rule, intervals.
    competition : str
        Name of the data format; its competition's score is computed if it has one.
    scores : list of ImageScore
        So far.
    """

    classes: tuple[str, ...] = ("foreground",)
    settings: EvaluationSettings = field(default_factory=EvaluationSettings)
    competition: str = ""
    scores: list[ImageScore] = field(default_factory=list)

    def add(
        self, image: str, group: str, part: str, reference: ReferenceMask, predicted: NDArray[np.uint8]
    ) -> ImageScore:
        """Score one image.

        Parameters
        ----------
        image, group, part : str
            See ``ImageScore``.
        reference : ReferenceMask
            Pixels of weight 0 do not count.
        predicted : numpy.ndarray
            (Y, X) uint8, 0..K.

        Returns
        -------
        ImageScore
            Also kept in ``scores``.

        Raises
        ------
        ValueError
            If the masks differ in shape, or a label is above K.
        """
        found = image_scores(
            reference.labels, predicted, len(self.classes), reference.weights, self.settings.empty
        )
        rated = self.contest.score(found.counts) if self.contest is not None else None
        score = ImageScore(image, group, part, found.iou, found.dice, found.counts, rated)
        self.scores.append(score)
        return score

    @property
    def contest(self) -> Competition | None:
        """The competition whose score is computed; none with several classes."""
        return COMPETITIONS.get(self.competition) if len(self.classes) == 1 else None

    @property
    def unseen(self) -> list[ImageScore]:
        """Images the model was neither trained nor chosen on."""
        return [s for s in self.scores if s.part not in SEEN]

    @property
    def seen(self) -> list[ImageScore]:
        """Images it was trained or chosen on."""
        return [s for s in self.scores if s.part in SEEN]

    def overall(self) -> dict[str, Any]:
        """Scores over the unseen images, or, marked so, over all if every image was seen.

        Returns
        -------
        dict
            mean_iou, pooled_iou, mean_dice, pooled_dice, pixel_error, images, per_class, ci95 and
            more; plain JSON, None where a number does not exist. A mean is over images; pooled scores
            are of all pixels of all images and classes 1..K together. The intervals under ci95 are of
            the share under confidence, 0.95 unless set otherwise.
        """
        if self.unseen:
            return {**self.summary(self.unseen), "seen_in_training": False}
        return {**self.summary(self.scores), "seen_in_training": bool(self.scores)}

    def summary(self, scores: Sequence[ImageScore]) -> dict[str, Any]:
        """Scores over some images; keys as ``overall``."""
        if not scores:
            return {"images": 0}
        pooled = scores[0].counts
        for score in scores[1:]:
            pooled = pooled + score.counts
        iou = np.array([s.iou for s in scores])
        dice = np.array([s.dice for s in scores])
        both = np.array([s.counts.both.sum() for s in scores], float)
        union = np.array([s.counts.union.sum() for s in scores], float)
        # Of a class, the mean is over the images where it is in either mask.
        per_class_iou = np.array([s.counts.iou("skip") for s in scores])
        per_class_dice = np.array([s.counts.dice("skip") for s in scores])
        out: dict[str, Any] = {
            "images": len(scores),
            "groups": len({s.group for s in scores}),
            "mean_iou": _mean(iou),
            "mean_dice": _mean(dice),
            "pooled_iou": _ratio(both.sum(), union.sum()),
            "pooled_dice": _ratio(2 * both.sum(), both.sum() + union.sum()),
            "pixel_error": _number(pooled.pixel_error),
            "empty_rule": EMPTY_RULES[self.settings.empty],
            "confidence": self.settings.confidence,
            "per_class": {
                name: {
                    "pooled_iou": _number(i),
                    "pooled_dice": _number(d),
                    "mean_iou": _mean(per_class_iou[:, n]),
                    "mean_dice": _mean(per_class_dice[:, n]),
                }
                for n, (name, i, d) in enumerate(
                    zip(self.classes, pooled.iou("skip"), pooled.dice("skip"), strict=True)
                )
            },
            "ci95": {
                "mean_iou": self._interval(iou, np.ones(len(iou)), scores),
                "mean_dice": self._interval(dice, np.ones(len(dice)), scores),
                "pooled_iou": self._interval(both, union, scores),
            },
        }
        if self.contest is not None:
            values = np.array([s.competition for s in scores], float)
            out["competition"] = {"name": self.contest.name, "score": _mean(values)}
            out["ci95"]["competition"] = self._interval(values, np.ones(len(values)), scores)
        return out

    def _interval(
        self, over: NDArray[np.float64], under: NDArray[np.float64], scores: Sequence[ImageScore]
    ) -> list[float | None]:
        settings = self.settings
        interval = bootstrap_ratio_interval(
            over,
            under,
            [s.group for s in scores],
            confidence=settings.confidence,
            resamples=settings.resamples,
            seed=settings.seed,
        )
        return [_number(bound) for bound in interval]


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


def _ratio(over: float, under: float) -> float | None:
    return float(over / under) if under else None


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
