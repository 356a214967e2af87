"""Segmenting: images through a model, masks at the images' own resolution."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.atomic import some_names
from napari_unet.data.files.channels import channels_of
from napari_unet.data.volumes.slices import place_of
from napari_unet.engine.hardware import has_gpu
from napari_unet.errors import DataError, SettingsError, WorkbenchError
from napari_unet.inference.ensembles.ensemble import EnsembleMember, flips_of, predict_members
from napari_unet.inference.object_classes import one_class_in_each, reads_classes
from napari_unet.inference.objects import find_objects, split_outputs
from napari_unet.inference.postprocess import fade, mask_from_probabilities, without_presence
from napari_unet.inference.predict import predict_probabilities
from napari_unet.inference.shapes.contours import refine, refines, watershed_contours
from napari_unet.inference.shapes.stars import star_objects
from napari_unet.models.ensemble import Ensemble
from napari_unet.models.intensities import prepare_image
from napari_unet.models.normalization import is_constant, known_pixels, resize
from napari_unet.models.volumes.normalized_volume import normalization_of_slices
from napari_unet.networks.layers.object_depth import distance_map
from napari_unet.settings import RAYS, InferenceSettings
from napari_unet.training.feeding.slice_channels import with_seen_slices
from napari_unet.workflow.segment.fitting_scale import FittingScale
from napari_unet.workflow.segment.segment_volumes import by_volumes, one_answer_only
from napari_unet.workflow.segment.three_planes import by_planes, sees_volumes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_unet.data.sample import Sample
    from napari_unet.inference.object_classes import ObjectClasses
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.models.model import Model
    from napari_unet.models.normalization import Normalization
    from napari_unet.progress import CancelToken
    from napari_unet.settings import NetworkSettings, Separation

    Result = tuple[Sample, NDArray[np.float32], NDArray[np.float32] | None]
    Blanks = dict[str, NDArray[np.bool_]]  # (Y, X), of the images in which there is nothing to see somewhere
    OnProblem = Callable[[Sample, WorkbenchError], None]

log = logging.getLogger(__name__)
GPU_BATCH_PIXELS = 2**21
# Images that one member of an ensemble answers before the next is asked; more where each must be loaded
# again, as that takes about a second.
ASKED_IMAGES, ASKED_PIXELS = 64, 2**22
LOADED_FOR_IMAGES, LOADED_FOR_PIXELS = 512, 2**25


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
    if settings.orthogonal:
        of_slices = normalization_of_slices(model.normalization, model.recipe.network.seen_slices)
        readable = _readable(samples, on_problem, of_slices, blanks)
        one_plane = settings.model_copy(update={"orthogonal": False})
        results = by_planes(
            readable, model, settings, cancel, on_problem, on_slices,
            in_one_plane=lambda run: _in_one_plane(
                run, model, one_plane, cancel, on_problem, blanks, disagreement=disagreement
            ),
            disagreement=disagreement,
        )  # fmt: skip
    elif model.recipe.network.in_3d:
        if disagreement and not isinstance(model, Ensemble):
            raise one_answer_only()
        readable = _readable(samples, on_problem, model.normalization, blanks)
        results = by_volumes(readable, model, settings, cancel, on_problem, on_slices)
    elif isinstance(model, Ensemble) or disagreement:
        results = _by_many(samples, model, settings, cancel, on_problem, blanks)
    else:
        results = _by_one(samples, model, settings, cancel, on_problem, blanks)
    network = model.recipe.network
    classes, seen = len(model.classes), 1.0
    doubtful = Ties()
    fitting = None
    sees = sees_volumes(network, settings)
    if settings.find_scale and not sees and not isinstance(model, Ensemble):

        def read(sample: Sample) -> NDArray[np.generic]:
            return next(_readable([sample], None, model.normalization))[1]

        fitting = FittingScale(model, settings, read, cancel)
    constant, alone = [], []
    for sample, outputs, apart in results:
        alone += [sample.id] * bool(sees and place_of(sample) is None)
        if fitting is not None:
            outputs = fitting.improve(sample, outputs)
        if network.presence and not settings.orthogonal:  # which is of single images
            outputs, seen = without_presence(outputs, classes)
        blank = blanks.pop(sample.id, None)
        if blank is not None:
            outputs = np.where(blank[..., None], np.float32(0), outputs)
            constant += [sample.id] * bool(blank.all())
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
        read_off = None
        kind: Separation = "distance" if network.separation in {"star", "objects"} else network.separation
        if whole:
            agreed, read_off = one_class_in_each(
                *split_outputs(outputs, classes), kind, settings, network.activation
            )
            outputs = np.concatenate([agreed, outputs[..., classes:]], axis=-1)
            doubtful.note(sample.id, read_off)
        full = halved(outputs)
        probabilities, separation = split_outputs(full, classes)
        mask = mask_from_probabilities(
            probabilities, settings.threshold, settings.minimum_size, activation=network.activation
        )
        yield Segmentation(sample, mask, probabilities, settings, separation, kind, apart, seen, read_off)
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


def _readable(
    samples: Iterable[Sample],
    on_problem: OnProblem | None,
    normalization: Normalization,
    blanks: Blanks | None = None,
    network: NetworkSettings | None = None,
) -> Iterator[tuple[Sample, NDArray[np.generic]]]:
    """Images that can be read and hold pixels; where there is nothing to see is noted in `blanks`.

    With a network each has the slices around it as channels, if the network sees them.
    """
    slices = 1 if network is None else network.seen_slices
    for sample in samples:
        try:
            image = (sample if network is None else with_seen_slices(sample, network)).read_image()
            if not image.size:
                got = " x ".join(map(str, image.shape))
                raise DataError(f"{sample.id} is empty", code="data.image.empty", expected="pixels", got=got)
            if image.ndim > 2 and image.shape[2] > 1:
                image = normalization.pick(image, *channels_of(sample), sample.id)
        except WorkbenchError as error:
            if on_problem is None:
                raise
            on_problem(sample, error)
            continue
        if blanks is not None:
            _note_blank(sample, _middle(image, slices), blanks)
        yield sample, image


def _middle(image: NDArray[np.generic], slices: int) -> NDArray[np.generic]:
    """The slice itself, of one with its neighbours."""
    if slices == 1:
        return image
    channels = image.shape[2] // slices
    return image[..., slices // 2 * channels : (slices // 2 + 1) * channels]


def _note_blank(sample: Sample, image: NDArray[np.generic], blanks: Blanks) -> None:
    if is_constant(image):
        blanks[sample.id] = np.ones(image.shape[:2], bool)
    elif (known := known_pixels(image)) is not None:
        blanks[sample.id] = ~known


def _by_one(
    samples: Iterable[Sample],
    model: Model,
    settings: InferenceSettings,
    cancel: CancelToken | None,
    on_problem: OnProblem | None,
    blanks: Blanks,
) -> Iterator[Result]:
    waiting: list[tuple[Sample, tuple[int, int]]] = []

    def prepared() -> Iterator[NDArray[np.float32]]:
        for sample, image in _readable(
            samples, on_problem, model.normalization, blanks, model.recipe.network
        ):
            try:
                ready = prepare_image(model.normalization, image, sample.id, sample.whole)
            except WorkbenchError as error:
                if on_problem is None:
                    raise
                on_problem(sample, error)
                continue
            waiting.append((sample, (image.shape[0], image.shape[1])))
            yield ready

    for outputs in predict_probabilities(
        prepared(), model.outputs, model.sizes, settings, cancel, rays_of(model)
    ):
        sample, shape = waiting.pop(0)
        yield sample, resize(outputs, shape), None


def _in_one_plane(
    samples: Sequence[Sample],
    model: AnyModel,
    settings: InferenceSettings,
    cancel: CancelToken | None,
    on_problem: OnProblem | None,
    blanks: Blanks,
    *,
    disagreement: bool,
) -> Iterator[Result]:
    """As each image by itself, without what a network says of it as a whole."""
    if isinstance(model, Ensemble) or disagreement:
        results = _by_many(samples, model, settings, cancel, on_problem, blanks)
    else:
        results = _by_one(samples, model, settings, cancel, on_problem, blanks)
    for sample, outputs, apart in results:
        if model.recipe.network.presence:
            outputs = without_presence(outputs, len(model.classes))[0]
        yield sample, outputs, apart


def _by_many(
    samples: Iterable[Sample],
    model: AnyModel,
    settings: InferenceSettings,
    cancel: CancelToken | None,
    on_problem: OnProblem | None,
    blanks: Blanks,
) -> Iterator[Result]:
    """Some images at a time, by one voice after another."""
    at_once = LOADED_FOR_IMAGES, LOADED_FOR_PIXELS
    if not isinstance(model, Ensemble) or model.keeps_all:
        at_once = ASKED_IMAGES, ASKED_PIXELS
    readable = _readable(samples, on_problem, model.normalization, blanks, model.recipe.network)
    for some in _in_parts(readable, *at_once):
        asked = [sample for sample, _ in some]
        tell = None
        if on_problem is not None:
            tell = partial(_tell, asked, on_problem)
        images, names = [image for _, image in some], [sample.id for sample in asked]
        found = predict_members(images, names, members_of(model, settings), cancel, tell)
        for sample, mean in zip(asked, found, strict=True):
            if mean is not None:
                yield sample, mean.mean, mean.spread(len(model.classes))


def _tell(samples: Sequence[Sample], on_problem: OnProblem, number: int, error: WorkbenchError) -> None:
    on_problem(samples[number], error)


def _in_parts(
    images: Iterable[tuple[Sample, NDArray[np.generic]]], most: int, pixels: int
) -> Iterator[list[tuple[Sample, NDArray[np.generic]]]]:
    part: list[tuple[Sample, NDArray[np.generic]]] = []
    filled = 0
    for sample, image in images:
        part.append((sample, image))
        filled += image.shape[0] * image.shape[1]
        if len(part) >= most or filled >= pixels:
            yield part
            part, filled = [], 0
    if part:
        yield part


def probabilities_of_members(
    samples: Iterable[Sample], model: Ensemble, settings: InferenceSettings, cancel: CancelToken | None = None
) -> Iterator[tuple[Sample, list[NDArray[np.float32]]]]:
    """Each image with the probabilities of each member, (Y, X, K) float32; what does not fit is left out."""
    ignored: Callable[..., None] = lambda *_: None  # noqa: E731 - a name for what is not said
    readable = _readable(samples, ignored, model.normalization, network=model.recipe.network)
    for some in _in_parts(readable, ASKED_IMAGES, ASKED_PIXELS):
        images, names = [image for _, image in some], [sample.id for sample, _ in some]
        answers: list[list[NDArray[np.float32]]] = [[] for _ in some]
        for member in members_of(model, settings):
            for collected, mean in zip(
                answers, predict_members(images, names, [member], cancel, ignored), strict=True
            ):
                if mean is not None:
                    collected.append(mean.mean[..., : len(model.classes)])
        for (sample, _), members in zip(some, answers, strict=True):
            if len(members) == len(model.members):
                yield sample, members


def rays_of(model: AnyModel) -> int:
    """How many of a model's outputs are distances along rays."""
    return RAYS if model.recipe.network.separation == "star" else 0


def members_of(model: AnyModel, settings: InferenceSettings) -> Iterator[EnsembleMember]:
    """What is averaged: the members of an ensemble, or one model's answers to the flipped image.

    Parameters
    ----------
    model : Model or Ensemble
        Members are loaded when their turn comes.
    settings : InferenceSettings
        Each member averages over these flips itself; one model answers each flip by itself.
    """
    if not isinstance(model, Ensemble):
        flips = flips_of(settings.flips)
        plain = settings.model_copy(update={"flips": "none"})
        prepare, rays = model.normalization.prepare, rays_of(model)
        for flip in flips:
            yield EnsembleMember(prepare, model.outputs, model.sizes, plain, 1 / len(flips), flip, rays)
        return
    common = model.recipe.network
    for member, one in model.models():
        network = one.predictor(separation=common.separation != "none", presence=common.presence)
        rays = rays_of(model)
        yield EnsembleMember(
            one.normalization.prepare, network, one.sizes, settings, member.weight, rays=rays
        )


def chosen_samples(samples: Sequence[Sample], names: tuple[str, ...] | None, where: str) -> Sequence[Sample]:
    """Those of these names, in their order; all without names.

    Raises
    ------
    SettingsError
        If one is not there.
    """
    if names is None:
        return samples
    by_name = {s.id: s for s in samples}
    missing = [name for name in names if name not in by_name]
    if missing:
        raise SettingsError(
            f"there is no image {missing[0]} in {where}",
            code="settings.image.unknown",
            expected=f"all of {len(names)} images",
            got=f"{len(missing)} missing",
            remedy="say where the images are now",
        )
    return [by_name[name] for name in names]
