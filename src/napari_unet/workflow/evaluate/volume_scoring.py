"""Slices that are scored become volumes again, whose objects are scored in three dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.volumes.said_voxel_size import voxel_size_of
from napari_unet.data.volumes.slices import place_of
from napari_unet.data.volumes.voxel_size import parse_voxel_size
from napari_unet.evaluation.score import ScoredBlock
from napari_unet.inference.volumes.volume_objects import find_volume_objects
from napari_unet.metrics.volumes import score_volume
from napari_unet.settings import InferenceSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.data.sample import ReferenceMask, Sample
    from napari_unet.settings import Recipe, Separation
    from napari_unet.workflow.evaluate.predicted_masks import Predicted


@dataclass(frozen=True, eq=False)
class _Slice:
    sample: Sample
    part: str
    mask: NDArray[np.uint8]
    probabilities: NDArray[np.float16] | None
    separation: NDArray[np.float16] | None
    objects: NDArray[np.int32] | None
    reference: NDArray[np.int32] | None
    labels: NDArray[np.uint8]
    weights: NDArray[np.float32] | None


class VolumeScoring:
    """Takes slices in any order, and scores the volumes that they make.

    Objects of the prediction are found in three dimensions, as when the volume is segmented. Those of the
    reference are numbered by its files; where these have classes alone, connected pieces are objects.

    Parameters
    ----------
    recipe : Recipe or None
        Of the model; None where masks were given. Objects are then those that their files number, else
        connected pieces.
    settings : InferenceSettings
        By which its masks are made.
    """

    def __init__(self, recipe: Recipe | None, settings: InferenceSettings | None = None) -> None:
        self.recipe = recipe
        self.settings = settings or InferenceSettings(objects="connected")
        self._volumes: dict[object, tuple[str, dict[int, _Slice]]] = {}

    def take(self, found: Predicted, reference: ReferenceMask, part: str) -> None:
        """Take a slice; an image that is none is ignored.

        Parameters
        ----------
        found : Predicted
            Its mask.
        reference : ReferenceMask
            Of the same size.
        part : str
            Which part of the model's split it was in.
        """
        place = place_of(found.sample)
        if place is None:
            return
        _, slices = self._volumes.setdefault(place.file, (place.volume, {}))
        slices[place.z] = _Slice(
            found.sample,
            part,
            found.mask,
            _half(found.probabilities),
            _half(found.separation),
            found.number_objects() if found.numbered else None,
            reference.objects,
            reference.labels,
            reference.weights,
        )

    def blocks(self) -> list[ScoredBlock]:
        """The scores of each run of two slices or more that lie one behind another and are of one part."""
        return [
            self._score(name, run, [slices[z] for z in run])
            for name, slices in self._volumes.values()
            for run in _runs(slices)
            if len(run) > 1
        ]

    def _objects(self, slices: list[_Slice]) -> NDArray[np.int32]:
        """(Z, Y, X) objects of the prediction."""
        given = [one.objects for one in slices if one.objects is not None]
        if len(given) == len(slices):
            return np.stack(given)
        voxel, kind = voxel_size_of([slices[0].sample]), "none"
        if self.recipe is not None:
            own, said = self.recipe.network.separation, self.recipe.training.voxel_size
            kind = "distance" if own in {"star", "objects"} else own
            voxel = voxel or (parse_voxel_size(said) if said else None)
        whole: Separation = kind  # type: ignore[assignment]
        return find_volume_objects(
            np.stack([one.mask for one in slices]),
            self.settings,
            _stack([one.probabilities for one in slices]),
            _stack([one.separation for one in slices]),
            whole,
            1.0 if voxel is None else voxel.anisotropy,
        )

    def _score(self, name: str, run: list[int], slices: list[_Slice]) -> ScoredBlock:
        first, predicted = slices[0], self._objects(slices)
        weights = None
        if any(one.weights is not None for one in slices):
            weights = np.stack(
                [np.ones(o.mask.shape, np.float32) if o.weights is None else o.weights for o in slices]
            )
        scores = score_volume(_objects_of_reference(slices), predicted, weights)
        return ScoredBlock(name, tuple(run), first.part, scores)


def _objects_of_reference(slices: list[_Slice]) -> NDArray[np.int32]:
    if all(one.reference is not None for one in slices):
        return np.abs(np.stack([one.reference for one in slices if one.reference is not None]))
    labels = np.stack([one.labels for one in slices])
    return find_volume_objects(labels, InferenceSettings(objects="connected"))


def _half(values: NDArray[np.floating] | None) -> NDArray[np.float16] | None:
    """In half precision, in which probabilities are rounded anyway."""
    return None if values is None else values.astype(np.float16)


def _stack(values: list[NDArray[np.float16] | None]) -> NDArray[np.float32] | None:
    known = [one for one in values if one is not None]
    return np.stack(known).astype(np.float32) if len(known) == len(values) else None


def _runs(slices: dict[int, _Slice]) -> list[list[int]]:
    """Numbers of slices one behind another, all of one part."""
    runs: list[list[int]] = []
    for z in sorted(slices):
        before = runs[-1][-1] if runs else -2
        if before != z - 1 or slices[before].part != slices[z].part:
            runs.append([])
        runs[-1].append(z)
    return runs
