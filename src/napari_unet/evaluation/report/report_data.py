"""What a report is made of, collected image by image while masks pass by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.evaluation.confidence import (
    BINS,
    Activation,
    ProbabilityCounts,
    Reliability,
    ThresholdCurve,
    count_probabilities,
    reliability,
    threshold_curve,
)
from napari_unet.evaluation.report.gallery import EACH, Gallery, MaskKeeper, choose, draw_all
from napari_unet.evaluation.score import SEEN
from napari_unet.metrics.object_measures import measure_objects

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_unet.data.sample import ReferenceMask
    from napari_unet.evaluation.score import Evaluation, ImageScore
    from napari_unet.metrics.object_measures import ObjectTable


@dataclass(eq=False)
class ReportData:
    """Scores of images, and what else a report shows of them.

    Attributes
    ----------
    evaluation : Evaluation
        Gets the scores.
    activation : str
        Of the network that the probabilities come from.
    masks : MaskKeeper
        Small copies of the predicted masks.
    objects : dict
        Measurements of the predicted objects of each image, where objects are scored.
    """

    evaluation: Evaluation
    activation: Activation = "sigmoid"
    masks: MaskKeeper = field(default_factory=MaskKeeper)
    objects: dict[str, ObjectTable] = field(default_factory=dict)
    _curves: list[tuple[bool, NDArray[np.float64]]] = field(default_factory=list)
    _binned: dict[bool, NDArray[np.float64]] = field(
        default_factory=lambda: {seen: np.zeros((3, BINS)) for seen in (False, True)}
    )

    def add(
        self,
        image: str,
        group: str,
        part: str,
        reference: ReferenceMask,
        predicted: NDArray[np.uint8],
        probabilities: NDArray[np.float32] | None = None,
        objects: tuple[NDArray[np.int32], NDArray[np.int32]] | None = None,
        measures: Callable[[], ObjectTable] | None = None,
    ) -> ImageScore:
        """Take one image.

        Parameters
        ----------
        image, group, part, reference, predicted, objects
            As ``Evaluation.add``.
        probabilities : numpy.ndarray, optional
            (Y, X, K) float32 in [0, 1] that the mask was made of.
        measures : callable, optional
            () -> measurements of the predicted objects, with intensities and physical units. Without it they
            are measured by their pixels alone.
        """
        score = self.evaluation.add(image, group, part, reference, predicted, objects)
        self.masks.keep(image, predicted)
        if objects is not None:
            self.objects[image] = measure_objects(objects[1], predicted) if measures is None else measures()
        if probabilities is not None:
            counts = count_probabilities(reference.labels, probabilities, reference.weights, self.activation)
            self._count(part in SEEN, counts)
        return score

    def _count(self, seen: bool, counts: ProbabilityCounts) -> None:
        self._curves.append((seen, counts.iou(self.evaluation.settings.empty)))
        self._binned[seen] += np.stack([counts.binned, counts.positive, counts.summed])

    @property
    def _judged_on_seen(self) -> bool:
        return not self.evaluation.unseen

    def threshold_curve(self) -> ThresholdCurve | None:
        """Mean IoU at every threshold, over the images that the overall scores are of."""
        judged = self._judged_on_seen
        return threshold_curve([row for seen, row in self._curves if seen == judged])

    def reliability(self) -> Reliability | None:
        """Promised against true shares, over the pixels of these images."""
        binned, positive, summed = self._binned[self._judged_on_seen]
        return reliability(binned.astype(np.int64), positive.astype(np.int64), summed)

    def galleries(
        self, read: Callable[[str], tuple[NDArray[np.generic], ReferenceMask]], each: int = EACH
    ) -> tuple[Gallery, ...]:
        """Draw the worst, the middling and the best of these images.

        Parameters
        ----------
        read : callable
            Gives the image, (Y, X, C), and the reference mask of an id. Those that cannot be read any
            more are left out.
        each : int
            Pictures of each kind.
        """
        found = []
        for kind, scores in choose(self.evaluation.unseen or self.evaluation.scores, each).items():
            wanted = [(score.image, f"IoU {score.iou:.3f}") for score in scores]
            pictures = draw_all(wanted, read, (self.masks,))
            if pictures:
                found.append(Gallery(TITLES[kind], pictures))
        return tuple(found)


TITLES = {"worst": "The worst", "median": "Around the median", "best": "The best"}
