"""Masks to scores: image by image, then overall, with intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.metrics.boundaries import OutlineCounts, count_outlines
from napari_unet.metrics.competition import COMPETITIONS, Competition
from napari_unet.metrics.objects import ObjectTally, tally_objects
from napari_unet.metrics.overlap import count_overlap
from napari_unet.metrics.regions import count_regions
from napari_unet.metrics.registry import SCORES, Counted, scores_of
from napari_unet.metrics.uncertainty import SHARE, Bounds, ratio_intervals, why_no_interval
from napari_unet.settings import EvaluationSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_unet.data.sample import ReferenceMask
    from napari_unet.evaluation.volume_scores import ScoredBlock
    from napari_unet.metrics.overlap import OverlapCounts

MEMBRANES = {"isbi2012"}
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
    counted : Counted
        Pixels, and objects where there are some.
    values : mapping
        Every score that this allows, by its name in ``metrics.registry.SCORES``; NaN where one does
        not exist for this image.
    competition : float or None
        The competition's score, where the data set is one's.
    """

    image: str
    group: str
    part: str
    counted: Counted
    values: Mapping[str, float]
    competition: float | None = None

    @property
    def iou(self) -> float:
        """Mean over the classes that occur in the image, by the empty rule where none does."""
        return self.values["iou"]

    @property
    def dice(self) -> float:
        """Dice, by the same rules as IoU."""
        return self.values["dice"]

    @property
    def counts(self) -> OverlapCounts:
        """Pixels that agree and pixels that do not."""
        return self.counted.overlap


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
    left_out : list of (str, str, str)
        Images that cannot be read or do not fit, each with the sentence that says why and its code.
    volumes : list of ScoredBlock
        What slices of volumes come to in three dimensions; empty where nobody asked.
    """

    classes: tuple[str, ...] = ("foreground",)
    settings: EvaluationSettings = field(default_factory=EvaluationSettings)
    competition: str = ""
    scores: list[ImageScore] = field(default_factory=list)
    left_out: list[tuple[str, str, str]] = field(default_factory=list)
    volumes: list[ScoredBlock] = field(default_factory=list)

    def add(
        self,
        image: str,
        group: str,
        part: str,
        reference: ReferenceMask,
        predicted: NDArray[np.uint8],
        objects: tuple[NDArray[np.int32], NDArray[np.int32]] | None = None,
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
        objects : (numpy.ndarray, numpy.ndarray), optional
            (Y, X) objects of the reference and of the prediction, one positive number each; without
            them objects are not scored.

        Returns
        -------
        ImageScore
            Also stored in ``scores``.

        Raises
        ------
        ValueError
            If the masks differ in shape, or a label is above K.
        """
        overlap = count_overlap(reference.labels, predicted, len(self.classes), reference.weights)
        tallies = self._tallies(reference, predicted, *objects) if objects is not None else None
        counted = Counted(
            overlap,
            None if tallies is None else reduce(add, tallies),
            self._outlines(reference, predicted),
            count_regions(reference.labels, predicted, reference.weights) if self.parts_cells else None,
            self.settings.empty,
            tallies if len(self.classes) > 1 else None,
        )
        rated = self.competition_score.score(counted) if self.competition_score is not None else None
        score = ImageScore(image, group, part, counted, scores_of(counted), rated)
        self.scores.append(score)
        return score

    @property
    def parts_cells(self) -> bool:
        """Whether the class is the inside of cells that membranes part, or all scores are wanted."""
        wanted = self.settings.scores == "all" or (
            self.settings.scores == "auto" and self.competition in MEMBRANES
        )
        return wanted and len(self.classes) == 1

    def _outlines(self, reference: ReferenceMask, predicted: NDArray[np.uint8]) -> OutlineCounts | None:
        if self.settings.scores == "overlap":
            return None
        return count_outlines(
            reference.labels, predicted, len(self.classes), reference.weights, self.settings.empty
        )

    def _tallies(
        self,
        reference: ReferenceMask,
        predicted: NDArray[np.uint8],
        ours: NDArray[np.int32],
        theirs: NDArray[np.int32],
    ) -> tuple[ObjectTally, ...]:
        """Match objects, those of a class with those of the same; one tally a class."""
        if len(self.classes) == 1:
            return (tally_objects(ours, theirs, reference.weights),)
        return tuple(
            tally_objects(
                np.where(reference.labels == k, ours, 0),
                np.where(predicted == k, theirs, 0),
                reference.weights,
            )
            for k in range(1, len(self.classes) + 1)
        )

    @property
    def competition_score(self) -> Competition | None:
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
            mean_iou, pooled_iou, mean_dice, pooled_dice, pixel_error, images, per_class, ci95, scores
            and more; plain JSON, None where a number does not exist. A mean is over images; pooled
            scores are of all pixels of all images and classes 1..K together. The intervals under ci95
            are of the share under confidence, 0.95 unless set otherwise; no_interval says why there are
            none. ``scores`` has for every
            name: mean and interval over the images that have it, pooled, and how many images.
        """
        if self.unseen:
            return {**self.summary(self.unseen), "seen_in_training": False}
        return {**self.summary(self.scores), "seen_in_training": bool(self.scores)}

    def summary(self, scores: Sequence[ImageScore]) -> dict[str, Any]:
        """Scores over some images; keys as ``overall``."""
        if not scores:
            return {"images": 0}
        counted = reduce(add, (s.counted for s in scores))
        pooled = counted.overlap
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
            "no_interval": why_no_interval(len({s.group for s in scores})),
            "per_class": {
                name: {
                    "pooled_iou": _number(i),
                    "pooled_dice": _number(d),
                    "mean_iou": _mean(per_class_iou[:, n]),
                    "mean_dice": _mean(per_class_dice[:, n]),
                    **({} if counted.by_class is None else _object_scores(counted.by_class[n])),
                }
                for n, (name, i, d) in enumerate(
                    zip(self.classes, pooled.iou("skip"), pooled.dice("skip"), strict=True)
                )
            },
        }
        columns: dict[str, tuple[NDArray[np.float64], NDArray[np.float64] | None]] = {
            name: (np.array([s.values[name] for s in scores]), None) for name in self.measured(scores)
        }
        columns["pooled_iou"] = (both, union)
        if self.competition_score is not None:
            values = np.array([s.competition for s in scores], float)
            out["competition"] = {"name": self.competition_score.name, "score": _mean(values)}
            columns["competition"] = (values, None)
        intervals = self._intervals(columns, scores)
        out["ci95"] = {
            "mean_iou": intervals["iou"],
            "mean_dice": intervals["dice"],
            **{name: intervals[name] for name in ("pooled_iou", "competition") if name in intervals},
        }
        out["scores"] = {
            name: {
                "mean": _mean(columns[name][0]),
                "interval": intervals[name],
                "pooled": self._pooled(name, counted, out),
                "images": int(np.isfinite(columns[name][0]).sum()),
            }
            for name in self.measured(scores)
        }
        return out

    @staticmethod
    def measured(scores: Sequence[ImageScore]) -> list[str]:
        """Names of the scores that all of these images have, in the order of the registry."""
        return [name for name in SCORES if scores and all(name in s.values for s in scores)]

    @staticmethod
    def _pooled(name: str, counted: Counted, summary: Mapping[str, Any]) -> float | None:
        """Score of all images taken together; IoU and Dice of all classes together, too."""
        if name in {"iou", "dice"}:
            return summary[f"pooled_{name}"]  # type: ignore[no-any-return]
        return _number(SCORES[name](counted)) if SCORES[name].pooled else None

    def _intervals(
        self,
        columns: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64] | None]],
        scores: Sequence[ImageScore],
    ) -> dict[str, list[float | None]]:
        """Interval of every mean, or, where there is something to divide by, of the ratio of sums."""
        ones = np.ones(len(scores))
        settings = self.settings
        found = ratio_intervals(
            np.stack([over for over, _ in columns.values()], axis=1),
            np.stack([ones if under is None else under for _, under in columns.values()], axis=1),
            [s.group for s in scores],
            [Bounds(SCORES[name].low, SCORES[name].high) if name in SCORES else SHARE for name in columns],
            confidence=settings.confidence,
        )
        return {name: [_number(v) for v in row] for name, row in zip(columns, found.tolist(), strict=True)}


def _object_scores(tally: ObjectTally) -> dict[str, float | None]:
    """Of one class: F1, AP and panoptic quality over all its objects, none where it has none."""
    return {
        "f1_50": _number(tally.f1(empty="skip")),
        "ap": _number(tally.average_precision(empty="skip")),
        "pq": _number(tally.panoptic_quality("skip")),
    }


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


def _ratio(over: float, under: float) -> float | None:
    return float(over / under) if under else None


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
