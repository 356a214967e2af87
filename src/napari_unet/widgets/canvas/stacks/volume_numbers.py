"""Objects of a volume, numbered in three dimensions from the masks of its slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.inference.edits.object_edits import join_numbers
from napari_unet.inference.volumes.volume_objects import find_volume_objects
from napari_unet.widgets.canvas.label_numbering import IGNORED_OBJECT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_unet.session.images.collection import Collection
    from napari_unet.settings import InferenceSettings, Separation
    from napari_unet.widgets.canvas.label_numbering import LabelNumbering

    Index = tuple[int, ...]

MOST_VOXELS = 2**26  # of a volume whose objects are found at once; in a larger one slices are linked


def number_volume(
    labels: NDArray[np.int32],
    ids: Mapping[Index, str],
    numbering: LabelNumbering,
    collection: Collection,
    settings: InferenceSettings,
    anisotropy: float,
) -> tuple[dict[Index, NDArray[np.int32]], NDArray[np.uint8]]:
    """Number the objects of a volume; in any thread.

    Parameters
    ----------
    labels : numpy.ndarray
        (..., Z, Y, X) int32: objects with any numbers.
    ids : mapping
        Index of each slice with a mask to the id of its image, in order.
    numbering : LabelNumbering
        Of `labels`: says which class a number is.
    collection : Collection
        Knows what the model said of the slices, and what a person joined.
    settings : InferenceSettings
        How touching objects are separated.
    anisotropy : float
        How many times as thick a slice is as a pixel is wide.

    Returns
    -------
    objects : dict
        Index of each slice to its objects, (Y, X) int32; ignored pixels as in `labels`.
    class_of : numpy.ndarray
        (N + 1,) uint8: the class of each number.
    """
    found: dict[Index, NDArray[np.int32]] = {}
    class_of = np.zeros(1, np.uint8)
    for run in _runs(
        list(ids), {index: collection.volume_of(identifier) for index, identifier in ids.items()}
    ):
        parts = [labels[index] for index in run]
        ignored = np.stack([part == IGNORED_OBJECT for part in parts])
        shown = np.where(ignored, 0, np.stack(parts))
        mask = numbering.classes(shown).astype(np.uint8)
        said = _said(collection, [ids[index] for index in run], mask.shape)
        objects = find_volume_objects(mask, settings, *said, anisotropy)
        marks = [collection.joined(ids[index]) for index in run]
        if any(mark is not None for mark in marks):
            none = np.zeros(mask.shape[1:], bool)
            objects = join_numbers(objects, np.stack([none if m is None else m for m in marks]), mask)
        first = len(class_of) - 1
        classes = np.zeros(int(objects.max(initial=0)) + 1, np.uint8)
        classes[objects.ravel()] = mask.ravel()
        class_of = np.concatenate([class_of, classes[1:]])
        objects = np.where(objects > 0, objects + first, 0).astype(np.int32)
        objects[ignored] = IGNORED_OBJECT
        found.update(zip(run, objects, strict=True))
    return found, class_of


def _runs(indices: list[Index], volumes: Mapping[Index, str]) -> list[list[Index]]:
    """Slices of one volume, one behind another."""
    runs: list[list[Index]] = []
    for index in indices:
        last = runs[-1][-1] if runs else None
        follows = last is not None and (*last[:-1], last[-1] + 1) == index
        if last is None or not follows or volumes[last] != volumes[index]:
            runs.append([])
        runs[-1].append(index)
    return runs


def _said(
    collection: Collection, ids: Sequence[str], shape: tuple[int, ...]
) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None, Separation]:
    """Probabilities, what tells objects apart and its kind, of slices; nothing unless it is known of all."""
    answers = [collection.said(identifier) for identifier in ids]
    fitting = [said for said in answers if said is not None and said[0].shape[:2] == shape[1:]]
    if len(fitting) < len(ids):
        return None, None, "none"
    probabilities = np.stack([np.asarray(said[0], np.float32) for said in fitting])
    apart = [said[1] for said in fitting if said[1] is not None]
    if len(apart) < len(ids):
        return probabilities, None, "none"
    prediction = collection.entries[ids[0]].prediction
    kind: Separation = "none" if prediction is None else prediction.separation_kind
    return probabilities, np.stack([np.asarray(one, np.float32) for one in apart]), kind
