"""Segmenting with a network in three dimensions: slices go in as volumes and come out one by one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.files.channels import channels_of
from napari_unet.data.volumes.blocks_of_slices import stacked
from napari_unet.data.volumes.neighbours import neighbours, read_slice
from napari_unet.data.volumes.slices import place_of, runs_of_slices
from napari_unet.errors import ModelError, WorkbenchError
from napari_unet.inference.ensembles.ensemble import RunningMean, flip_back, flip_image, flips_of
from napari_unet.inference.predict import predict_probabilities
from napari_unet.models.ensemble import Ensemble
from napari_unet.models.normalization import resize
from napari_unet.models.volumes.normalized_volume import normalized_volume, resized_slices
from napari_unet.networks.registry import input_sizes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_unet.data.sample import Sample
    from napari_unet.inference.predict import Flip, Network, OnTiles
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.models.model import Model
    from napari_unet.progress import CancelToken
    from napari_unet.settings import InferenceSettings

    Result = tuple[Sample, NDArray[np.float32], NDArray[np.float32] | None]
    OnProblem = Callable[[Sample, WorkbenchError], None]
    OnSlices = Callable[[float], None]


def by_volumes(
    images: Iterable[tuple[Sample, NDArray[np.generic]]],
    model: AnyModel,
    settings: InferenceSettings,
    cancel: CancelToken | None = None,
    on_problem: OnProblem | None = None,
    on_slices: OnSlices | None = None,
) -> Iterator[Result]:
    """Segment slices together with those that lie before and behind them.

    Parameters
    ----------
    images : iterable of tuple
        Slices, (Y, X, C) each; all are read before the first result comes. Slices of their volume that lie
        just before and behind them are read, too, so that one slice alone is seen with its neighbours. An
        image that is no slice of a volume is a volume of its own.
    model : Model or Ensemble
        Whose network takes volumes, or whose networks all do.
    settings, cancel, on_problem, on_slices
        As ``segment_samples``.

    Yields
    ------
    tuple
        Each slice, its outputs (Y, X, K) float32 in [0, 1], and how far the members of an ensemble lie
        apart, (Y, X) float32; None for a model.
    """
    read = {sample.id: (sample, image) for sample, image in images}
    finished = 0
    for run in runs_of_slices(sample for sample, _ in read.values()):
        first = run[0]
        name = first.id if len(run) == 1 else f"{first.id} to {run[-1].id}"
        try:
            slices = [read[sample.id][1] for sample in run]
            before, behind = _around(run, slices[0].shape, model)
            volume = stacked([*before, *slices, *behind], name)
            whole = _Whole(volume, channels_of(first), name)
            outputs, spread = _answers(
                whole, model, settings, cancel, partial(_tell, on_slices, finished, len(run))
            )
        except WorkbenchError as error:
            if on_problem is None:
                raise
            for sample in run:
                on_problem(sample, error)
            continue
        finished += len(run)
        for number, sample in enumerate(run, start=len(before)):
            image = read.pop(sample.id)[1]
            of_slice = resize(outputs[number], (image.shape[0], image.shape[1]))
            yield sample, of_slice, None if spread is None else spread[number]


def answers_to_volumes(
    images: Iterable[tuple[Sample, NDArray[np.generic]]],
    model: AnyModel,
    settings: InferenceSettings,
    cancel: CancelToken | None = None,
) -> Iterator[tuple[Sample, list[NDArray[np.float32]]]]:
    """What a network says of volumes that are flipped within their slices, or each member of an ensemble.

    Volumes that the model cannot take are left out.

    Parameters
    ----------
    images : iterable of tuple
        Slices, (Y, X, C) each; all are read before the first answers come.
    model : Model or Ensemble
        Whose network takes volumes, or whose networks all do.
    settings : InferenceSettings
        Its symmetry decides on the flips of a model. Members of an ensemble are asked about none.
    cancel : CancelToken, optional
        Checked before every batch.

    Yields
    ------
    tuple
        Each slice, and the probabilities of each flip or member, (Y, X, K) float32.
    """
    read = {sample.id: (sample, image) for sample, image in images}
    plain = settings.model_copy(update={"flips": "none"})
    for run in runs_of_slices(sample for sample, _ in read.values()):
        try:
            slices = [read[sample.id][1] for sample in run]
            before, behind = _around(run, slices[0].shape, model)
            name = run[0].id
            whole = _Whole(stacked([*before, *slices, *behind], name), channels_of(run[0]), name)
            shape = whole.volume.shape[1:3]
            inside = slice(len(before), len(before) + len(run))
            found = [
                resized_slices(answer[inside], (shape[0], shape[1])).astype(np.float16)
                for answer in _several(whole, model, plain, flips_of(settings.flips), cancel)
            ]
        except WorkbenchError:
            continue
        for number, sample in enumerate(run):
            del read[sample.id]
            yield sample, [answer[number].astype(np.float32) for answer in found]


def _several(
    whole: _Whole,
    model: AnyModel,
    settings: InferenceSettings,
    flips: Sequence[Flip],
    cancel: CancelToken | None,
) -> Iterator[NDArray[np.float32]]:
    """Probabilities (Z, Y', X', K) float32 of each flip, or of each member."""
    if isinstance(model, Ensemble):
        for _, one in model.models():
            yield whole.seen_by(one, one.probabilities, settings, cancel)
        return
    upright: NDArray[Any] = whole.volume
    for flip in flips:
        # Slices one behind another as an axis after Y and X, which are turned.
        turned = np.moveaxis(flip_image(np.moveaxis(upright, 0, 2), flip), 2, 0)
        found = replace(whole, volume=turned).seen_by(model, model.probabilities, settings, cancel)
        yield np.moveaxis(flip_back(np.moveaxis(found, 0, 2), flip), 2, 0)


def _tell(on_slices: OnSlices | None, before: int, slices: int, done: int, tiles: int) -> None:
    if on_slices is not None:
        on_slices(before + slices * done / tiles)


@dataclass(frozen=True, eq=False)
class _Whole:
    """A volume (Z, Y, X, C), its channels, and what it is called."""

    volume: NDArray[np.generic]
    channels: tuple[tuple[str, ...], bool | None]
    name: str

    def seen_by(
        self,
        one: Model,
        network: Network,
        settings: InferenceSettings,
        cancel: CancelToken | None,
        on_tiles: OnTiles | None = None,
    ) -> NDArray[np.float32]:
        """(Z, Y', X', K) float32 in [0, 1] at the resolution of the network."""
        prepared = normalized_volume(one.normalization, self.volume, self.channels, self.name)
        (outputs,) = predict_probabilities(
            [prepared], network, one.sizes, settings, cancel, on_tiles=on_tiles
        )
        return outputs


def _answers(
    whole: _Whole,
    model: AnyModel,
    settings: InferenceSettings,
    cancel: CancelToken | None,
    on_tiles: OnTiles,
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Outputs (Z, Y, X, K) float32 in [0, 1]; of an ensemble their mean, and (Z, Y, X) of their spread."""
    if not isinstance(model, Ensemble):
        return whole.seen_by(model, model.outputs, settings, cancel, on_tiles), None
    depth, height, width, _ = whole.volume.shape
    mean = RunningMean((depth * height, width))  # slices on top of each other are one tall image
    for member, one in model.models():
        network = one.predictor(separation=model.recipe.network.separation != "none", presence=False)
        outputs = resized_slices(whole.seen_by(one, network, settings, cancel), (height, width))
        mean.add(outputs.reshape(depth * height, width, -1), member.weight)
    spread = mean.spread(len(model.classes)).reshape(depth, height, width)
    return mean.mean.reshape(depth, height, width, -1), spread


def _around(
    run: Sequence[Sample], shape: tuple[int, ...], model: AnyModel
) -> tuple[list[NDArray[np.generic]], list[NDArray[np.generic]]]:
    """Slices before and behind a run: as many as the network pools into one, of the channels it takes.

    One slice alone is there at once: it lies in the middle of as few slices as the network takes.
    """
    sizes = input_sizes(model.recipe.network)
    if sizes.along_z is None:
        return [], []
    multiple = sizes.along_z.multiple
    before = behind = multiple
    if len(run) == 1:
        before, behind = max(1, (multiple - 1) // 2), max(1, multiple // 2)
    names, colour = channels_of(run[0])

    def pick(image: NDArray[np.generic]) -> NDArray[np.generic]:
        return model.normalization.pick(image, names, colour, run[0].id) if image.shape[2] > 1 else image

    return around(run, shape, before, behind, pick)


def around(
    run: Sequence[Sample],
    shape: tuple[int, ...],
    before: int,
    behind: int,
    pick: Callable[[NDArray[np.generic]], NDArray[np.generic]] = lambda image: image,
) -> tuple[list[NDArray[np.generic]], list[NDArray[np.generic]]]:
    """Slices of a volume before and behind some, in order, up to one that is missing or of another size.

    Parameters
    ----------
    run : sequence of Sample
        Slices that lie one behind another.
    shape : tuple of int
        (Y, X, C) of each.
    before, behind : int
        How many are wanted.
    pick : callable
        Takes the channels out of each that are wanted.
    """
    first, last = place_of(run[0]), place_of(run[-1])
    if first is None or last is None:
        return [], []
    found: list[list[NDArray[np.generic]]] = []
    for place, step, reach in ((first, -1, before), (last, 1, behind)):
        images: list[NDArray[np.generic]] = []
        for load in neighbours(place, step, reach):
            try:
                image = pick(read_slice(load))
            except WorkbenchError:
                break  # whoever wants that slice gets the error
            if image.shape != shape:
                break
            images.append(image)
        found.append(images)
    return found[0][::-1], found[1]


def one_answer_only() -> ModelError:
    """The error where a network in three dimensions would have to answer several times."""
    return ModelError(
        "the answers of one network in three dimensions to flipped volumes are not compared",
        code="model.volume.several",
        expected="an ensemble, whose members are compared, or a model with dimensions=2d or 2.5d",
        remedy="leave --disagreement out, or give an ensemble",
    )
