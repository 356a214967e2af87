"""Segmenting: images through a model, masks at the images' own resolution."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.atomic import some_names
from napari_unet.data.volumes.slices import place_of
from napari_unet.engine.hardware import has_gpu
from napari_unet.inference.object_classes import (
    one_class_in_each,
    raw_mask,
    raw_threshold,
    reads_classes,
)
from napari_unet.inference.objects import find_objects, split_outputs
from napari_unet.inference.postprocess import (
    fade,
    fade_specks,
    find_specks,
    mask_from_probabilities,
    without_presence,
)
from napari_unet.inference.shapes.contours import refine, refines, watershed_contours
from napari_unet.inference.shapes.stars import star_objects
from napari_unet.models.ensemble import Ensemble
from napari_unet.networks.layers.object_depth import distance_map
from napari_unet.settings import InferenceSettings
from napari_unet.workflow.segment.fitting_scale import FittingScale
from napari_unet.workflow.segment.network_answers import network_answers, readable_images
from napari_unet.workflow.segment.three_planes import sees_volumes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_unet.data.sample import Sample
    from napari_unet.inference.object_classes import ObjectClasses
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.progress import CancelToken
    from napari_unet.settings import NetworkSettings, Separation
    from napari_unet.workflow.segment.network_answers import Blanks, OnProblem


log = logging.getLogger(__name__)
GPU_BATCH_PIXELS = 2**21


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What a model makes of one image.

    Attributes
    ----------
    sample : Sample
        The image.
    mask : numpy.ndarray
        (Y, X) uint8, as large as the image.
    probabilities : numpy.ndarray
        (Y, X, K) float32 in [0, 1], as large as the image.
    settings : InferenceSettings
        That the mask was made by.
    separation : numpy.ndarray or None
        (Y, X) float32 in [0, 1], the network's output that tells objects apart, if it has one.
    separation_kind : str
        What that output means, "none", "distance" or "border".
    disagreement : numpy.ndarray or None
        (Y, X) float32 in [0, 0.5], how far the members of an ensemble lie apart, or one model's answers
        to the flipped image where that was asked for.
    presence : float
        Probability that there is anything in the image; 1 of a network that does not tell.
    read_off : ObjectClasses or None
        How far the pixels of each object speak for each class; None where each pixel has a class.
    """

    sample: Sample
    mask: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    settings: InferenceSettings = field(default_factory=InferenceSettings)
    separation: NDArray[np.float32] | None = None
    separation_kind: Separation = "none"
    disagreement: NDArray[np.float32] | None = None
    presence: float = 1.0
    read_off: ObjectClasses | None = None

    @property
    def outputs(self) -> NDArray[np.float32]:
        """(Y, X, K) float32: the probabilities, and in one channel more what tells objects apart."""
        if self.separation is None:
            return self.probabilities
        return np.concatenate([self.probabilities, self.separation[..., None]], axis=2)

    @cached_property
    def objects(self) -> NDArray[np.int32]:
        """(Y, X) int32, 0 background, one number an object, as the settings say."""
        return find_objects(
            self.mask, self.settings, self.probabilities, self.separation, self.separation_kind
        )

    @cached_property
    def ties(self) -> tuple[int, ...]:
        """Numbers, in ``objects``, of those that may as well be of another class."""
        return self.read_off.ties_in(self.objects) if self.read_off is not None else ()


def segment_samples(
    samples: Iterable[Sample],
    model: AnyModel,
    settings: InferenceSettings | None = None,
    cancel: CancelToken | None = None,
    on_problem: OnProblem | None = None,
    *,
    disagreement: bool = False,
    on_slices: Callable[[float], None] | None = None,
) -> Iterator[Segmentation]:
    """Segment images one after another, batched for the network, in order.

    Probabilities are rounded to half precision, in which they are stored, before the mask is made. So
    the mask is the same whether it is made now or later from what was stored.

    Parameters
    ----------
    samples : iterable of Sample
        Read when their turn comes.
    model : Model or Ensemble
        The network, or several, and how it wants its images.
    settings : InferenceSettings, optional
        Instead of the model's own.
    cancel : CancelToken, optional
        Checked before every batch.
    on_problem : callable, optional
        Takes an image that cannot be read or does not fit the model, with the error; the image is
        left out then. Without it the error is raised.
    disagreement : bool
        Whether one model is asked about the flipped image, too, to see where its answers differ; an
        ensemble tells it always.
    on_slices : callable, optional
        Takes how many slices a network in three dimensions has come through, while nothing is finished yet.

    Yields
    ------
    Segmentation
        One an image; of a network in three dimensions volume by volume, each in the order of its slices.

    Raises
    ------
    DataError, ModelError
        If an image cannot be read or does not fit the model.
    Cancelled
        When the token was set.
    """
    settings = settings or model.recipe.inference
    if not settings.batch_pixels and has_gpu():
        settings = settings.model_copy(update={"batch_pixels": GPU_BATCH_PIXELS})
    blanks: Blanks = {}
    results = network_answers(
        samples, model, settings, cancel, on_problem, on_slices, blanks, disagreement=disagreement
    )
    network, classes = model.recipe.network, len(model.classes)
    doubtful = Ties()
    sees = sees_volumes(network, settings)
    fitting = None
    if settings.find_scale and not sees and not isinstance(model, Ensemble):

        def read(sample: Sample) -> NDArray[np.generic]:
            return next(readable_images([sample], None, model.normalization))[1]

        fitting = FittingScale(model, settings, read, cancel)
    constant, alone = [], []
    for sample, outputs, apart in results:
        alone += [sample.id] * bool(sees and place_of(sample) is None)
        if fitting is not None:
            outputs = fitting.improve(sample, outputs)
        blank = blanks.pop(sample.id, None)
        constant += [sample.id] * bool(blank is not None and blank.all())
        found = finished(sample, outputs, apart, network, classes, settings, blank)
        if found.read_off is not None:
            doubtful.note(sample.id, found.read_off)
        yield found
    doubtful.tell()
    if fitting is not None:
        fitting.tell()
    if constant:
        log.warning(
            "%s constant: nothing to see, so the mask is empty: %s",
            _are(constant),
            some_names(constant),
        )
    if alone:
        log.warning(
            "%s no slice of a volume, as far as the file says, so the network saw no neighbours: %s. "
            "If the pages of a file are slices, add --axes ZYX",
            _are(alone),
            some_names(alone),
        )


def finished(
    sample: Sample,
    outputs: NDArray[np.float32],
    apart: NDArray[np.float32] | None,
    network: NetworkSettings,
    classes: int,
    settings: InferenceSettings,
    blank: NDArray[np.bool_] | None,
) -> Segmentation:
    """From all outputs of a network to the mask of one image.

    Parameters
    ----------
    sample : Sample
        The image.
    outputs : numpy.ndarray
        (Y, X, N) float32: probabilities of K classes, and what else the network says.
    apart : numpy.ndarray or None
        (Y, X) float32, how far several answers lie apart.
    network : NetworkSettings
        Say what the outputs are.
    classes : int
        K.
    settings : InferenceSettings
        How the mask is made.
    blank : numpy.ndarray or None
        (Y, X) bool, where there is nothing to see.
    """
    seen = 1.0
    if network.presence and not settings.orthogonal:  # which is of single images
        outputs, seen = without_presence(outputs, classes)
    if blank is not None:
        outputs = np.where(blank[..., None], np.float32(0), outputs)
    whole = reads_classes(settings, classes, network.separation)
    contours, fades = refines(settings, classes), seen < settings.least_presence
    if whole or contours or fades or network.separation != "none":
        outputs = halved(outputs)  # as it is read where a large image is finished
    if contours:
        outputs = outputs.copy()
        outputs[..., 0] = refined(outputs[..., 0], settings.refinement, blank)
    if network.separation == "star":
        outputs = with_depth(outputs, classes)
    if fades:
        faded = fade(outputs[..., :classes], seen, settings.least_presence, settings.threshold)
        outputs = np.concatenate([halved(faded), outputs[..., classes:]], axis=-1)
    if settings.asks_depth(network):
        mask = raw_mask(outputs[..., :classes], settings, network.activation, whole)
        specks = find_specks(mask, outputs[..., classes], settings.least_depth)
        faded = fade_specks(outputs[..., :classes], specks, raw_threshold(settings, whole))
        outputs = np.concatenate([halved(faded), outputs[..., classes:]], axis=-1)
    read_off = None
    kind: Separation = "distance" if network.separation in {"star", "objects"} else network.separation
    if whole:
        agreed, read_off = one_class_in_each(
            *split_outputs(outputs, classes), kind, settings, network.activation
        )
        outputs = np.concatenate([agreed, outputs[..., classes:]], axis=-1)
    probabilities, separation = split_outputs(halved(outputs), classes)
    mask = mask_from_probabilities(
        probabilities, settings.threshold, settings.minimum_size, activation=network.activation
    )
    return Segmentation(sample, mask, probabilities, settings, separation, kind, apart, seen, read_off)


def halved(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values rounded to half precision, in which they are stored."""
    return values.astype(np.float16).astype(np.float32)


def refined(
    probability: NDArray[np.float32], weight: float, blank: NDArray[np.bool_] | None
) -> NDArray[np.float32]:
    """(Y, X) float32: a map of cells with its contours, 0 where there is nothing to see; rounded."""
    known = None if blank is None else ~blank
    found = halved(refine(probability, weight, watershed_contours(probability, known)))
    return found if known is None else np.where(known, found, np.float32(0))


def _are(names: Sequence[str]) -> str:
    return f"{len(names)} images are" if len(names) > 1 else "1 image is"


@dataclass
class Ties:
    """Counts the objects that may as well be of another class, and says so once, in the end."""

    objects: int = 0
    ties: int = 0
    images: list[str] = field(default_factory=list)

    def note(self, image: str, found: ObjectClasses) -> None:
        """Count those of one image."""
        self.objects += len(found.shares)
        self.ties += len(found.ties)
        if len(found.ties):
            self.images.append(image)

    def tell(self) -> None:
        """Log a sentence, if there are any."""
        if self.ties:
            log.warning(
                "%d of %d objects may as well be of another class, in %d images like %s",
                self.ties, self.objects, len(self.images), self.images[0],
            )  # fmt: skip


def with_depth(outputs: NDArray[np.float32], classes: int) -> NDArray[np.float32]:
    """Turn what a star-convex network says into objects, and these into how deep pixels lie in them.

    So objects are stored, corrected and exported as those of a network that learned the depth itself.

    Parameters
    ----------
    outputs : numpy.ndarray
        (Y, X, K + 33) float32: probabilities, depth, distances along rays.
    classes : int
        K.

    Returns
    -------
    numpy.ndarray
        (Y, X, K + 1) float32: probabilities, and the depth within the polygons that are left.
    """
    objects = star_objects(outputs[..., classes], outputs[..., classes + 1 :])
    depth = distance_map(objects).astype(np.float16).astype(np.float32)
    return np.concatenate([outputs[..., :classes], depth[..., None]], axis=-1)
