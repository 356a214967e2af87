"""Slices that are scored become volumes again, whose objects are scored in three dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.volumes.slices import place_of, voxel_size_of
from napari_unet.data.volumes.voxel_size import parse_voxel_size
from napari_unet.evaluation.volume_scores import ScoredBlock
from napari_unet.inference.volume_objects import find_volume_objects
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
    reference: NDArray[np.int32] | None
    labels: NDArray[np.uint8]
    weights: NDArray[np.float32] | None


class VolumeScoring:
    """Takes slices in any order, and scores the volumes that they make.

    Objects of the prediction are found in three dimensions, as when the volume is segmented. Those of the
    reference are numbered by its files; where these have classes alone, connected pieces are objects.

    Parameters
    ----------
    recipe : Recipe
        Of the model.
    settings : InferenceSettings
        By which its masks are made.
    """

    def __init__(self, recipe: Recipe, settings: InferenceSettings) -> None:
        self.recipe = recipe
        self.settings = settings
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

    def _score(self, name: str, run: list[int], slices: list[_Slice]) -> ScoredBlock:
        first = slices[0]
        voxel = voxel_size_of([first.sample])
        if voxel is None and self.recipe.training.voxel_size:
            voxel = parse_voxel_size(self.recipe.training.voxel_size)
        anisotropy = 1.0 if voxel is None else voxel.anisotropy
        own = self.recipe.network.separation
        kind: Separation = "distance" if own in {"star", "objects"} else own
        predicted = find_volume_objects(
            np.stack([one.mask for one in slices]),
            self.settings,
            _stack([one.probabilities for one in slices]),
            _stack([one.separation for one in slices]),
            kind,
            anisotropy,
        )
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
