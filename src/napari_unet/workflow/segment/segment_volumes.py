"""Segmenting with a network in three dimensions: slices go in as volumes and come out one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.data.files.channels import channels_of
from napari_unet.data.volumes.slices import (
    neighbours,
    place_of,
    read_slice,
    runs_of_slices,
    stacked,
)
from napari_unet.errors import ModelError, WorkbenchError
from napari_unet.inference.predict import predict_probabilities
from napari_unet.models.normalization import resize
from napari_unet.models.volumes.normalized_volume import normalized_volume

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.data.sample import Sample
    from napari_unet.models.model import Model
    from napari_unet.networks.sizes import InputSizes
    from napari_unet.progress import CancelToken
    from napari_unet.settings import InferenceSettings

    Result = tuple[Sample, NDArray[np.float32], NDArray[np.float32] | None]
    OnProblem = Callable[[Sample, WorkbenchError], None]
    OnSlices = Callable[[float], None]


def by_volumes(
    images: Iterable[tuple[Sample, NDArray[np.generic]]],
    model: Model,
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
    model : Model
        Whose network takes volumes.
    settings, cancel, on_problem, on_slices
        As ``segment_samples``.

    Yields
    ------
    tuple
        Each slice, its outputs (Y, X, K) float32 in [0, 1], and None.
    """
    read = {sample.id: (sample, image) for sample, image in images}
    finished = 0
    for run in runs_of_slices(sample for sample, _ in read.values()):
        first = run[0]
        name = first.id if len(run) == 1 else f"{first.id} to {run[-1].id}"
        try:
            slices = [read[sample.id][1] for sample in run]
            before, behind = _around(run, slices[0].shape, model.sizes)
            volume = stacked([*before, *slices, *behind], name)
            prepared = normalized_volume(model.normalization, volume, channels_of(first), name)
        except WorkbenchError as error:
            if on_problem is None:
                raise
            for sample in run:
                on_problem(sample, error)
            continue

        def on_tiles(done: int, tiles: int, before: int = finished, slices: int = len(run)) -> None:
            if on_slices is not None:
                on_slices(before + slices * done / tiles)

        (outputs,) = predict_probabilities(
            [prepared], model.outputs, model.sizes, settings, cancel, on_tiles=on_tiles
        )
        finished += len(run)
        for sample, of_slice in zip(run, outputs[len(before) :], strict=False):
            image = read.pop(sample.id)[1]
            yield sample, resize(of_slice, (image.shape[0], image.shape[1])), None


def _around(
    run: Sequence[Sample], shape: tuple[int, ...], sizes: InputSizes
) -> tuple[list[NDArray[np.generic]], list[NDArray[np.generic]]]:
    """Slices before and behind a run: as many as the network pools into one."""
    first, last = place_of(run[0]), place_of(run[-1])
    if first is None or last is None or sizes.along_z is None:
        return [], []
    found: list[list[NDArray[np.generic]]] = []
    for place, step in ((first, -1), (last, 1)):
        images: list[NDArray[np.generic]] = []
        for load in neighbours(place, step, sizes.along_z.multiple):
            try:
                image = read_slice(load)
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
        "networks in three dimensions are not averaged, and their answers to flipped volumes not compared",
        code="model.volume.several",
        expected="one model in three dimensions, or several with dimensions=2d or 2.5d",
        remedy="give one model, and leave --disagreement out",
    )
