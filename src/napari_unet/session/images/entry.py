"""What is known of one open image: prediction, corrections, scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.errors import WorkbenchError
from napari_unet.metrics.overlap import OverlapCounts, scores_of_counts
from napari_unet.project.corrections.corrections import Corrections

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.data.sample import Sample
    from napari_unet.metrics.overlap import EmptyRule
    from napari_unet.project.corrections.disk_mask import DiskMask
    from napari_unet.session.images.image_row import Status
    from napari_unet.workflow.review.quality_estimate import MemberAgreement
    from napari_unet.workflow.segment.prediction import Prediction


@dataclass
class Entry:
    """What is known of one image.

    Attributes
    ----------
    sample : Sample
        The image.
    prediction : Prediction or None
        What the model said of it last.
    part, group, problem : str
        See ``ImageRow``.
    flaw : str
        What `inspect` says is wrong with the image or its reference mask; empty if nothing is known.
    look_alike : str
        Which other image it is nearly a copy of, in a sentence; empty if nothing is known.
    counts : OverlapCounts or None
        Agreement of the mask, corrected or predicted, with the reference.
    iou : float or None
        By these counts, mean over the classes in either mask; None without them.
    agreement : MemberAgreement or None
        How far the model's predictions of it under flips agree; None before they were compared.
    estimate : float or None
        IoU that is expected of the mask, 0 to 1; None where it is known, or was not estimated.
    reason : str
        What that is from, for a person.
    scored_with : tuple of float or None
        Threshold and minimum size of the predicted mask that the counts are of; None of any other mask.
    corrections : Corrections
        Who owns what a person made of the mask; the entry only reads it.
    known_as : str
        Id of the image there.
    is_begun : bool
        Whether a person began an empty mask of which nothing is known yet.
    disk : DiskMask or None
        The mask of an image that is too large to have it in memory; it owns what a person painted, too.
    """

    sample: Sample
    prediction: Prediction | None = None
    part: str = ""
    group: str = ""
    problem: str = ""
    flaw: str = ""
    look_alike: str = ""
    counts: OverlapCounts | None = None
    iou: float | None = None
    agreement: MemberAgreement | None = None
    estimate: float | None = None
    reason: str = ""
    scored_with: tuple[float, int] | None = None
    corrections: Corrections | DiskMask = field(default_factory=Corrections.in_memory)
    known_as: str = ""
    is_begun: bool = False
    disk: DiskMask | None = None

    def __post_init__(self) -> None:
        self.known_as = self.known_as or self.sample.id

    @property
    def done(self) -> bool:
        """Whether the person verified the mask."""
        return self.corrections.stats(self.known_as).done

    @property
    def is_corrected(self) -> bool:
        """Whether a person changed the mask or verifies it, without reading it."""
        return self.corrections.has_evidence(self.known_as)

    @property
    def is_unsaved(self) -> bool:
        """Whether something was painted that is in memory only."""
        return self.corrections.is_in_memory and self.known_as in self.corrections

    @property
    def version(self) -> tuple[int, int]:
        """Another one after each change of the corrected mask."""
        return id(self.corrections), self.corrections.stats(self.known_as).number

    @property
    def is_whole(self) -> bool:
        """Whether all of the image was segmented at once."""
        return self.prediction is not None and self.prediction.file is not None and self.prediction.whole

    @property
    def has_strokes_only(self) -> bool:
        """Whether the mask is what a person painted and nothing else: other pixels of it are unknown."""
        if self.disk is not None:
            return self.disk.holds_strokes_only
        if not isinstance(self.corrections, Corrections):
            return False
        if self.is_segmented and not self.is_corrected:
            return False
        if self.known_as not in self.corrections:
            return self.is_begun
        try:
            return self.corrections.has_unknown(self.known_as)
        except WorkbenchError:
            return False  # which is said where the mask is wanted

    @property
    def corrected(self) -> NDArray[np.uint8] | None:
        """(Y, X) uint8, what a person made of the mask, read-only; None while it is as predicted.

        None of a large image, too, whose mask stays on disk.
        """
        if not self.is_corrected or self.disk is not None:
            return None
        try:
            return self.corrections.mask(self.known_as)
        except (WorkbenchError, KeyError) as error:
            self.problem = error.sentence if isinstance(error, WorkbenchError) else "its correction is gone"
            self.corrections = Corrections.in_memory()  # for what is painted from now on
            return None

    def score(
        self,
        counts: OverlapCounts | None,
        empty: EmptyRule,
        scored_with: tuple[float, int] | None = None,
    ) -> None:
        """Remember the agreement of the mask with the reference, None if there is none."""
        self.counts = counts
        self.scored_with = scored_with
        value = float("nan") if counts is None else scores_of_counts(counts, empty).iou
        self.iou = None if np.isnan(value) else float(value)

    @property
    def status(self) -> Status:
        """How far the image has come."""
        if self.done:
            return "done"
        if self.is_corrected:
            return "corrected"
        return "segmented" if self.is_segmented else "new"

    @property
    def is_segmented(self) -> bool:
        """Whether there is a predicted mask."""
        if self.disk is not None:
            return not self.disk.holds_strokes_only
        return self.prediction is not None and self.prediction.file is not None

    def forget_prediction(self) -> None:
        """Forget what a model said; what a person painted or verified stays."""
        self.prediction = self.agreement = self.estimate = None
        self.problem = self.reason = ""
        self.part = ""
        if self.disk is not None and not self.is_corrected:
            self.use_disk(None)
        if not self.is_corrected:
            self.counts = self.iou = None

    def use_disk(self, disk: DiskMask | None) -> None:
        """Have another mask on disk, or none any more; what was segmented in memory is of no use then."""
        self.disk = disk
        self.corrections = disk if disk is not None else Corrections.in_memory()
        if disk is not None:
            self.prediction = self.counts = self.iou = None
            self.problem = ""
