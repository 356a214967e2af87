"""All scores by name: what each is called, its range, which way is better, and its function.

A score is a function of what was counted in an image. Counts of images add up, so that the same
function gives the pooled score of a set.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

from napari_unet.metrics.overlap import ImageScores, OverlapCounts, scores_of_counts

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.metrics.boundaries import OutlineCounts
    from napari_unet.metrics.objects import ObjectTally
    from napari_unet.metrics.overlap import EmptyRule
    from napari_unet.metrics.regions import RegionCounts

Family = Literal["overlap", "objects", "outlines", "regions"]
FAMILIES: tuple[Family, ...] = get_args(Family)


@dataclass(frozen=True, eq=False)
class Counted:
    """What was counted in one image, or in several together.

    Attributes
    ----------
    overlap : OverlapCounts
        Pixels.
    objects : ObjectTally, optional
        Where there are objects.
    outlines : OutlineCounts, optional
        Bands along outlines, and distances.
    regions : RegionCounts, optional
        How membranes part the image.
    by_class : tuple of ObjectTally, optional
        The same objects, class by class, where there are several classes.
    empty : str
        What classes, or objects, that are in neither mask count: "one", "zero" or "skip" (NaN).
    """

    overlap: OverlapCounts
    objects: ObjectTally | None = None
    outlines: OutlineCounts | None = None
    regions: RegionCounts | None = None
    empty: EmptyRule = "one"
    by_class: tuple[ObjectTally, ...] | None = None

    @cached_property
    def image(self) -> ImageScores:
        """IoU and Dice of the image."""
        return scores_of_counts(self.overlap, self.empty)

    def __add__(self, other: Counted) -> Counted:
        """Pool two images; what was counted in only one of them is left out of the pool."""
        one, two = self, other
        return Counted(
            one.overlap + two.overlap,
            one.objects + two.objects if one.objects is not None and two.objects is not None else None,
            one.outlines + two.outlines if one.outlines is not None and two.outlines is not None else None,
            one.regions + two.regions if one.regions is not None and two.regions is not None else None,
            one.empty,
            tuple(a + b for a, b in zip(one.by_class, two.by_class, strict=True))
            if one.by_class is not None and two.by_class is not None
            else None,
        )


@dataclass(frozen=True)
class Score:
    """One score.

    Attributes
    ----------
    name : str
        Key in tables and files, a plain identifier.
    title : str
        Short, for the head of a column.
    about : str
        One sentence for a tooltip.
    family : str
        What it needs: "overlap" (pixels), "objects", "outlines" or "regions".
    of : callable
        Counted to float; NaN where there is no such score.
    better : str
        "higher" or "lower"; "none" for plain numbers.
    low, high : float
        Range; ``high`` is infinite where there is no bound.
    pooled : bool
        Whether the score of counts added over images means something.
    unit : str
        "" for shares, "pixels", "bits" or "objects".
    """

    name: str
    title: str
    about: str
    family: Family
    of: Callable[[Counted], float]
    better: Literal["higher", "lower", "none"] = "higher"
    low: float = 0.0
    high: float = 1.0
    pooled: bool = True
    unit: str = ""

    def __call__(self, counted: Counted) -> float:
        """The score; NaN where what it needs was not counted."""
        if getattr(counted, self.family) is None:
            return float("nan")
        return float(self.of(counted))


def _overlap_scores() -> list[Score]:
    kind: Family = "overlap"
    return [
        Score("iou", "IoU", "Intersection over union, mean over the classes that occur", kind,
              lambda c: c.image.iou),
        Score("dice", "Dice", "Dice coefficient, mean over the classes that occur", kind,
              lambda c: c.image.dice),
        Score("precision", "Precision", "Share of predicted foreground pixels that are right", kind,
              lambda c: c.overlap.precision(c.empty)),
        Score("recall", "Recall", "Share of the reference's foreground pixels that were found", kind,
              lambda c: c.overlap.recall(c.empty)),
        Score("pixel_accuracy", "Pixel acc.", "Share of right pixels, background included", kind,
              lambda c: c.overlap.pixel_accuracy),
        Score("pixel_error", "Pixel error", "Share of wrong pixels, background included", kind,
              lambda c: c.overlap.pixel_error, better="lower"),
        Score("mean_accuracy", "Mean acc.", "Recall, mean over background and classes of the reference", kind,
              lambda c: c.overlap.mean_accuracy()),
        Score("mean_iu", "Mean IU", "IoU, mean over background and classes (FCN paper)", kind,
              lambda c: c.overlap.mean_iu()),
        Score("fw_iu", "f.w. IU", "IoU of background and classes, weighted by their size", kind,
              lambda c: c.overlap.frequency_weighted_iu()),
    ]  # fmt: skip


def _object_scores() -> list[Score]:
    def of(measure: Callable[[ObjectTally, EmptyRule], float]) -> Callable[[Counted], float]:
        def score(c: Counted) -> float:
            assert c.objects is not None
            return measure(c.objects, c.empty)

        return score

    kind: Family = "objects"
    return [
        Score("f1_50", "F1@0.5", "Twice the objects found at IoU 0.5 over all objects of both masks", kind,
              of(lambda o, e: o.f1(0.5, e))),
        Score("f1_75", "F1@0.75", "Twice the objects found at IoU 0.75 over all objects of both masks", kind,
              of(lambda o, e: o.f1(0.75, e))),
        Score("ap", "AP", "TP / (TP + FP + FN) of objects, mean over IoU 0.5 to 0.95 (DSB)", kind,
              of(lambda o, e: o.average_precision(None, e))),
        Score("ap_50", "AP@0.5", "TP / (TP + FP + FN) of objects at IoU 0.5", kind,
              of(lambda o, e: o.average_precision(0.5, e))),
        Score("precision_50", "Obj. precision", "Share of predicted objects that are hits at IoU 0.5", kind,
              of(lambda o, e: o.precision(0.5, e))),
        Score("recall_50", "Obj. recall", "Share of reference objects found at IoU 0.5", kind,
              of(lambda o, e: o.recall(0.5, e))),
        Score("pq", "PQ", "Panoptic quality: SQ times RQ, which is F1@0.5", kind,
              of(lambda o, e: o.panoptic_quality(e))),
        Score("sq", "SQ", "Mean IoU of the objects found at IoU 0.5", kind,
              of(lambda o, e: o.segmentation_quality(e))),
        Score("seg", "SEG", "Mean IoU of reference objects with what holds over half of them "
              "(Cell Tracking Challenge)", kind, of(lambda o, e: o.seg_measure())),
        Score("det", "DET", "Objects found, by what it takes to mend the rest (Cell Tracking Challenge)",
              kind, of(lambda o, e: o.det_measure())),
        Score("splits", "Splits", "Reference objects that fell apart", kind, of(lambda o, e: o.splits),
              better="lower", high=float("inf"), unit="objects"),
        Score("merges", "Merges", "Predicted objects that several were put into", kind,
              of(lambda o, e: o.merges), better="lower", high=float("inf"), unit="objects"),
        Score("objects_reference", "Objects", "Objects of the reference", kind, of(lambda o, e: o.reference),
              better="none", high=float("inf"), unit="objects"),
        Score("objects_predicted", "Predicted objects", "Objects of the prediction", kind,
              of(lambda o, e: o.predicted), better="none", high=float("inf"), unit="objects"),
    ]  # fmt: skip


def _outline_scores() -> list[Score]:
    def boundary_iou(c: Counted) -> float:
        assert c.outlines is not None
        return c.outlines.boundary_iou(c.empty)

    def distance(c: Counted) -> float:
        assert c.outlines is not None
        return c.outlines.hausdorff_95

    kind: Family = "outlines"
    return [
        Score("boundary_iou", "Boundary IoU", "IoU of bands along the outlines, 2 % of the diagonal", kind,
              boundary_iou),
        Score("hausdorff_95", "Hausdorff 95", "Distance of the outlines, but for the farthest 5 %", kind,
              distance, better="lower", high=float("inf"), pooled=False, unit="pixels"),
    ]  # fmt: skip


def _region_scores() -> list[Score]:
    def of(measure: Callable[[RegionCounts], float]) -> Callable[[Counted], float]:
        def score(c: Counted) -> float:
            assert c.regions is not None
            return measure(c.regions)

        return score

    kind: Family = "regions"
    many = float("inf")
    return [
        Score("v_rand", "V-Rand", "Rand F-score of cells after thinning membranes (ISBI 2012)", kind,
              of(lambda r: r.thinned.v_rand)),
        Score("v_info", "V-Info", "Information F-score of cells after thinning membranes (ISBI 2012)", kind,
              of(lambda r: r.thinned.v_info)),
        Score("rand_error", "Rand error", "One minus the Rand F-score, membranes as they are", kind,
              of(lambda r: 1 - r.plain.v_rand), better="lower"),
        Score("warping_error", "Warping error", "Share of pixels that are wrong in topology", kind,
              of(lambda r: r.warping_error), better="lower"),
        Score("cells_split", "Cells split", "Places where a predicted membrane parts a cell", kind,
              of(lambda r: r.splits), better="lower", high=many, unit="objects"),
        Score("cells_merged", "Cells merged", "Places where a membrane between cells is missing", kind,
              of(lambda r: r.merges), better="lower", high=many, unit="objects"),
        Score("holes", "Holes", "Other places wrong in topology: holes, cells that came or went", kind,
              of(lambda r: r.holes), better="lower", high=many, unit="objects"),
    ]  # fmt: skip


# In the order in which tables show them.
SCORES: dict[str, Score] = {
    s.name: s for s in [*_overlap_scores(), *_object_scores(), *_outline_scores(), *_region_scores()]
}


def scores_of(counted: Counted) -> dict[str, float]:
    """All scores that what was counted allows, by name; NaN where one does not exist for it."""
    known = {family for family in FAMILIES if getattr(counted, family) is not None}
    return {name: float(score.of(counted)) for name, score in SCORES.items() if score.family in known}
