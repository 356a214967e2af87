"""Masks on their way to be scored: made by a model, or read from files, each with its reference."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.inference.postprocess import connected_objects
from napari_unet.workflow.export.mask_sources import segmented
from napari_unet.workflow.inputs.left_out import LeftOut, check_size
from napari_unet.workflow.inputs.mask_folder import given_masks
from napari_unet.workflow.large_images.any_size import segment_any_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.files.pixel_size import PixelSize
    from napari_unet.data.sample import ReferenceMask, Sample
    from napari_unet.errors import WorkbenchError
    from napari_unet.metrics.object_confidence import ObjectConfidence
    from napari_unet.metrics.object_measures import ObjectTable
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.progress import CancelToken
    from napari_unet.settings import EvaluationSettings, InferenceSettings


@dataclass(frozen=True, eq=False)
class Predicted:
    """A mask on its way to be scored.

    Attributes
    ----------
    sample : Sample
        The image.
    mask : numpy.ndarray
        (Y, X) uint8, 0..K.
    number_objects : callable
        () -> (Y, X) int32, its objects; called where the reference tells objects apart.
    probabilities : numpy.ndarray or None
        (Y, X, K) float32 in [0, 1]; None where masks were given.
    separation : numpy.ndarray or None
        (Y, X) in [0, 1], what tells objects apart; None of a model that does not say.
    ties : tuple of int or None
        Numbers of the objects that may as well be of another class; None where that is not known.
    of_volume : bool
        Whether the mask was given in one file for all slices of its volume.
    numbered : bool
        Whether that file numbers objects, each with one number in all slices.
    """

    sample: Sample
    mask: NDArray[np.uint8]
    number_objects: Callable[[], NDArray[np.int32]]
    probabilities: NDArray[np.float32] | None = None
    separation: NDArray[np.floating] | None = None
    ties: tuple[int, ...] | None = None
    of_volume: bool = False
    numbered: bool = False


def model_predictions(
    dataset: Dataset,
    model: AnyModel,
    cancel: CancelToken,
    settings: InferenceSettings | None = None,
    on_problem: Callable[[LeftOut], object] | None = None,
) -> Iterator[Predicted]:
    """What a model makes of each image with a reference mask."""

    def tell(sample: Sample, error: WorkbenchError) -> None:
        if on_problem is None:
            raise error
        on_problem(LeftOut.of(sample, error))

    for result in segment_any_size(dataset.samples, model, settings, cancel, tell):
        number = partial(getattr, result, "objects")
        said = result.probabilities, result.separation, result.ties
        yield Predicted(result.sample, result.mask, number, *said)


def given_predictions(
    dataset: Dataset,
    path: Path,
    on_problem: Callable[[LeftOut], object],
    on_meaning: Callable[[str], None] | None = None,
) -> Iterator[Predicted]:
    """Masks in a folder or zip, named after the images or their volumes; see ``given_masks``."""

    def tell(sample: Sample, error: WorkbenchError) -> None:
        on_problem(LeftOut.of(sample, error))

    for sample, mask, of_volume in given_masks(dataset, path, on_problem=tell, on_meaning=on_meaning):
        numbered = mask.objects is not None
        objects = connected_objects(mask.labels) if mask.objects is None else mask.objects
        number = partial(np.asarray, objects)
        yield Predicted(sample, mask.labels, number, of_volume=of_volume, numbered=numbered)


def fitting_reference(dataset: Dataset, sample: Sample, mask: NDArray[np.uint8]) -> ReferenceMask:
    """The reference mask of an image, as large as the predicted one.

    Parameters
    ----------
    dataset : Dataset
        That has it.
    sample : Sample
        Of the image.
    mask : numpy.ndarray
        (Y, X) uint8, the predicted one.

    Raises
    ------
    DataError
        If it is of another size.
    """
    reference = dataset.mask(sample)
    check_size(sample, mask.shape, reference.labels.shape)
    return reference


def objects_of(
    reference: ReferenceMask, found: Predicted, settings: EvaluationSettings
) -> tuple[NDArray[np.int32], NDArray[np.int32]] | None:
    """Objects of the reference and of the mask, (Y, X) int32 each; None where they are not scored.

    Where the reference does not tell objects apart they are scored only if all scores are wanted; its
    connected pieces are objects then.
    """
    if settings.scores == "overlap" or (settings.scores == "auto" and reference.objects is None):
        return None
    ours = connected_objects(reference.labels) if reference.objects is None else reference.objects
    return ours, found.number_objects()


def measures_of(
    found: Predicted,
    objects: NDArray[np.int32],
    classes: tuple[str, ...],
    confidence: ObjectConfidence | None,
    roots: Sequence[Path] = (),
    size: PixelSize | None = None,
) -> ObjectTable:
    """Measure the predicted objects of an image, as an export does.

    Parameters
    ----------
    found : Predicted
        The image and its mask.
    objects : numpy.ndarray
        (Y, X) int32, its objects.
    classes : tuple of str
        Names of the classes 1..K.
    confidence : ObjectConfidence or None
        Of the model.
    roots : sequence of pathlib.Path
        Folders or files in which the image may be a file, which knows the size of a pixel.
    size : PixelSize, optional
        Instead of what the file says.
    """
    image = segmented(found.sample, found.mask, classes, objects, size, roots=roots)
    if found.probabilities is not None:
        said = found.probabilities, found.separation
        image = replace(image, load_said=lambda: said, confidence=confidence)
    if found.ties is not None:
        image = replace(image, ties=found.ties)
    table = image.measures()
    if found.ties is None:
        table.columns.pop("tie", None)  # not known
    return table
