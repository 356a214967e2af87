"""What networks answer to images: one network or many, image by image, in volumes or along three planes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.files.channels import channels_of
from napari_unet.errors import DataError, WorkbenchError
from napari_unet.inference.ensembles.ensemble import EnsembleMember, flips_of, predict_members
from napari_unet.inference.postprocess import without_presence
from napari_unet.inference.predict import predict_probabilities
from napari_unet.models.ensemble import Ensemble
from napari_unet.models.intensities import prepare_image
from napari_unet.models.normalization import is_constant, known_pixels, resize
from napari_unet.models.volumes.normalized_volume import normalization_of_slices
from napari_unet.settings import RAYS
from napari_unet.training.feeding.slice_channels import with_seen_slices
from napari_unet.workflow.segment.segment_volumes import by_volumes, one_answer_only
from napari_unet.workflow.segment.three_planes import by_planes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_unet.data.sample import Sample
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.models.model import Model
    from napari_unet.models.normalization import Normalization
    from napari_unet.progress import CancelToken
    from napari_unet.settings import InferenceSettings, NetworkSettings

    Result = tuple[Sample, NDArray[np.float32], NDArray[np.float32] | None]
    Blanks = dict[str, NDArray[np.bool_]]  # (Y, X), of the images in which there is nothing to see somewhere
    OnProblem = Callable[[Sample, WorkbenchError], None]

# Images that one member of an ensemble answers before the next is asked; more where each must be loaded
# again, as that takes about a second.
ASKED_IMAGES, ASKED_PIXELS = 64, 2**22
LOADED_FOR_IMAGES, LOADED_FOR_PIXELS = 512, 2**25


def network_answers(
    samples: Iterable[Sample],
    model: AnyModel,
    settings: InferenceSettings,
    cancel: CancelToken | None,
    on_problem: OnProblem | None,
    on_slices: Callable[[float], None] | None,
    blanks: Blanks,
    *,
    disagreement: bool,
) -> Iterator[Result]:
    """Ask one network or many about images, as the settings and the network's dimensions demand.

    Parameters
    ----------
    samples, model, settings, cancel, on_problem, on_slices, disagreement
        As ``segment_samples`` takes them.
    blanks : dict
        Is filled: id of an image to (Y, X) bool, where there is nothing to see in it.

    Yields
    ------
    tuple
        The image, all outputs of the network (Y, X, N) float32, and (Y, X) float32 how far several answers
        lie apart, or None.
    """
    network = model.recipe.network
    if not settings.orthogonal and network.in_3d:
        if disagreement and not isinstance(model, Ensemble):
            raise one_answer_only()
        readable = readable_images(samples, on_problem, model.normalization, blanks)
        return by_volumes(readable, model, settings, cancel, on_problem, on_slices)

    def by_images(some: Iterable[Sample], how: InferenceSettings) -> Iterator[Result]:
        if isinstance(model, Ensemble) or disagreement:
            return _by_many(some, model, how, cancel, on_problem, blanks)
        return _by_one(some, model, how, cancel, on_problem, blanks)

    def in_one_plane(run: Sequence[Sample]) -> Iterator[Result]:
        """As each image by itself, without what a network says of it as a whole."""
        one_plane = settings.model_copy(update={"orthogonal": False})
        for sample, outputs, apart in by_images(run, one_plane):
            seen = without_presence(outputs, len(model.classes))[0] if network.presence else outputs
            yield sample, seen, apart

    if not settings.orthogonal:
        return by_images(samples, settings)
    of_slices = normalization_of_slices(model.normalization, network.seen_slices)
    readable = readable_images(samples, on_problem, of_slices, blanks)
    return by_planes(
        readable, model, settings, cancel, on_problem, on_slices,
        in_one_plane=in_one_plane, disagreement=disagreement,
    )  # fmt: skip


def readable_images(
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
        for sample, image in readable_images(
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
    readable = readable_images(samples, on_problem, model.normalization, blanks, model.recipe.network)
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
    readable = readable_images(samples, ignored, model.normalization, network=model.recipe.network)
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
