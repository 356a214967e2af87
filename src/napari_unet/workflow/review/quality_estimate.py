"""IoU without a reference, estimated: by what flips of an image disagree on."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.files.channels import channels_of
from napari_unet.errors import WorkbenchError
from napari_unet.inference.ensembles.ensemble import flip_back, flip_image, flips_of
from napari_unet.inference.postprocess import expected_iou, mask_from_probabilities
from napari_unet.inference.predict import predict_probabilities
from napari_unet.metrics.overlap import count_overlap, scores_of_counts
from napari_unet.models.ensemble import Ensemble
from napari_unet.progress import Progress, ignore_progress
from napari_unet.settings import Settings
from napari_unet.training.feeding.slice_channels import with_seen_slices
from napari_unet.workflow.segment.segment_volumes import answers_to_volumes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_unet.data.sample import Sample
    from napari_unet.inference.postprocess import Activation
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.settings import InferenceSettings

FEWEST_KNOWN = 8  # images with known IoU below which an estimate is left as it is
CERTAIN = 0.999


@dataclass(frozen=True)
class MemberAgreement:
    """What the members say of one image without a reference.

    Attributes
    ----------
    id : str
        Of the image.
    agreement : float
        Mean IoU of each member's mask with the mask of their mean, 0 to 1.
    expected : float
        IoU that the mean probabilities promise, were they right pixel by pixel, 0 to 1.
    empty : bool
        Whether the mask of the mean holds nothing.
    by_members : bool
        Whether the members of an ensemble were asked, not one model about flips.
    """

    id: str
    agreement: float
    expected: float
    empty: bool = False
    by_members: bool = False

    @property
    def raw(self) -> float:
        """Agreement and expectation as one number, 0 to 1, before any calibration."""
        return float(np.sqrt(self.agreement * self.expected))


def measure_agreement(
    identifier: str,
    members: Sequence[NDArray[np.float32]],
    threshold: float,
    activation: Activation,
    weights: Sequence[float] | None = None,
) -> MemberAgreement:
    """Compare what several predictions of one image say.

    Parameters
    ----------
    identifier : str
        Of the image.
    members : sequence of numpy.ndarray
        (Y, X, K) float32 in [0, 1] each: of flips, or of several models.
    threshold : float
        Of the mask.
    activation : str
        Of the network.
    weights : sequence of float, optional
        Of the members; equal if not given.

    Returns
    -------
    MemberAgreement
        Agreement 1 where there is one member.
    """
    mean = np.asarray(np.average(np.stack(members), axis=0, weights=weights), np.float32)
    classes = mean.shape[2]
    mask = mask_from_probabilities(mean, threshold, activation=activation)
    scores = []
    for member in members:
        other = mask_from_probabilities(member, threshold, activation=activation)
        scores.append(scores_of_counts(count_overlap(mask, other, classes)).iou)
    return MemberAgreement(
        identifier, float(np.average(scores, weights=weights)), expected_iou(mean, mask), not mask.any()
    )


def agreement_of_members(
    samples: Sequence[Sample],
    model: AnyModel,
    cancel: CancelToken | None = None,
    on_progress: OnProgress = ignore_progress,
    settings: InferenceSettings | None = None,
) -> list[MemberAgreement]:
    """What a model's predictions under flips say of images, or those of an ensemble's members.

    Images that the model cannot take are left out. A network in three dimensions answers for volumes as
    wholes, and each slice is measured.

    Parameters
    ----------
    samples : sequence of Sample
        With or without reference masks.
    model : Model or Ensemble
        The symmetry of a model decides on the flips.
    cancel : CancelToken, optional
        Checked before every batch.
    on_progress : callable
        Takes a Progress after each image, whose piece is its MemberAgreement.
    settings : InferenceSettings, optional
        Threshold, tiles and symmetry; the model's own by default.

    Returns
    -------
    list of MemberAgreement
        In order.
    """
    settings = settings or model.recipe.inference
    start = time.monotonic()

    def tell(
        sample: Sample, members: list[NDArray[np.float32]], weights: Sequence[float] | None = None
    ) -> None:
        measured = measure_agreement(sample.id, members, settings.threshold, activation, weights)
        found.append(replace(measured, by_members=isinstance(model, Ensemble)))
        left = (time.monotonic() - start) / len(found) * (len(samples) - len(found))
        on_progress(Progress(len(found), len(samples), "Estimating IoU", left, piece=found[-1]))

    found: list[MemberAgreement] = []
    activation = model.recipe.network.activation
    if model.recipe.network.in_3d:
        weights = [member.weight for member in model.members] if isinstance(model, Ensemble) else None
        for sample, said in answers_to_volumes(_readable(samples), model, settings, cancel):
            tell(sample, said, weights)
        return found
    if isinstance(model, Ensemble):
        from napari_unet.workflow.segment.network_answers import (
            probabilities_of_members,  # of no use to the dock when it opens
        )

        plain = settings.model_copy(update={"flips": "none"})
        weights = [member.weight for member in model.members]
        for sample, members in probabilities_of_members(samples, model, plain, cancel):
            tell(sample, members, weights)
        return found
    flips = flips_of(settings.flips)
    plain = settings.model_copy(update={"flips": "none"})
    taken: list[Sample] = []

    def turned() -> Iterator[NDArray[np.float32]]:
        for sample in samples:
            try:
                seen = with_seen_slices(sample, model.recipe.network)
                read = model.normalization.pick(seen.read_image(), *channels_of(sample), sample.id)
                image = model.normalization.prepare(read, sample.id)
            except WorkbenchError:
                continue
            taken.append(sample)
            for flip in flips:
                yield flip_image(image, flip)

    answers: list[NDArray[np.float32]] = []
    for probabilities in predict_probabilities(turned(), model.probabilities, model.sizes, plain, cancel):
        answers.append(flip_back(probabilities, flips[len(answers)]))
        if len(answers) == len(flips):
            tell(taken.pop(0), answers)
            answers = []
    return found


def _readable(samples: Sequence[Sample]) -> Iterator[tuple[Sample, NDArray[np.generic]]]:
    """Images that can be read."""
    for sample in samples:
        try:
            yield sample, sample.read_image()
        except WorkbenchError:
            continue


class Calibration(Settings):
    """From what is measured without a reference to IoU, learned where the IoU is known.

    Two monotone steps. A least-squares line through log-odds weighs agreement against expectation. (Its
    constant would move sums and knots alike, and is left out.) Then isotonic regression says which IoU
    belongs to it.

    Attributes
    ----------
    weights : tuple of float
        Of the log-odds of agreement and of expectation, at least 0.
    knots, values : tuple of float
        Of the step from the weighed sum to IoU, both ascending; empty before anything is known.
    known : int
        Images it was learned on.
    """

    weights: tuple[float, float] = (0.5, 0.5)
    knots: tuple[float, ...] = ()
    values: tuple[float, ...] = ()
    known: int = 0

    def weigh(self, found: Sequence[MemberAgreement]) -> NDArray[np.float64]:
        """(N,) the weighed sums."""
        return np.asarray(_features(found) @ np.array(self.weights))

    def estimate(self, found: Sequence[MemberAgreement]) -> NDArray[np.float64]:
        """(N,) estimated IoU in [0, 1]."""
        if not found:
            return np.zeros(0)
        if not self.knots:
            return np.array([measured.raw for measured in found])
        return np.interp(self.weigh(found), self.knots, self.values)


def _features(found: Sequence[MemberAgreement]) -> NDArray[np.float64]:
    measured = np.array([[d.agreement, d.expected] for d in found], np.float64).reshape(-1, 2)
    bounded = np.clip(measured, 1 - CERTAIN, CERTAIN)
    return np.asarray(np.log(bounded / (1 - bounded)))


def calibrate(found: Sequence[MemberAgreement], iou: Sequence[float]) -> Calibration:
    """Learn to estimate IoU from images whose IoU is known.

    Parameters
    ----------
    found : sequence of MemberAgreement
        Of those images, before they were corrected.
    iou : sequence of float
        Of the predicted mask with the truth; NaN are left out.

    Returns
    -------
    Calibration
        The plain one with fewer than 8 images.

    References
    ----------
    Barlow, Bartholomew, Bremner, Brunk 1972, Statistical Inference under Order Restrictions.
    """
    from scipy.optimize import isotonic_regression, nnls

    truth = np.asarray(iou, np.float64)
    usable = np.isfinite(truth)
    known = [d for d, use in zip(found, usable, strict=True) if use]
    truth = truth[usable]
    if len(known) < FEWEST_KNOWN:
        return Calibration(known=len(known))
    features = _features(known)
    bounded = np.clip(truth, 0.02, 0.98)
    target = np.log(bounded / (1 - bounded))
    # No slope is negative: more agreement never means less IoU.
    centred = features - features.mean(axis=0)
    slopes, _ = nnls(centred, target - target.mean())
    if not slopes.any():
        slopes = np.array([0.5, 0.5])
    weights = (float(slopes[0]), float(slopes[1]))
    plain = Calibration(weights=weights)
    sums = plain.weigh(known)
    order = np.argsort(sums, kind="stable")
    fitted = np.asarray(isotonic_regression(truth[order]).x)
    knots, first = np.unique(sums[order], return_index=True)
    counts = np.diff([*first, len(fitted)])
    values = np.add.reduceat(fitted, first) / counts
    return Calibration(
        weights=weights, knots=tuple(map(float, knots)), values=tuple(map(float, values)), known=len(known)
    )
