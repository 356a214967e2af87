"""Volumes among the open images: one row each, made of what is known of their slices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.files.loaders import ImageLoader
from napari_unet.data.volumes.slices import place_of
from napari_unet.metrics.overlap import scores_of_counts
from napari_unet.session.images.image_row import ImageRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari_unet.data.sample import Sample
    from napari_unet.metrics.overlap import EmptyRule
    from napari_unet.session.images.image_row import Status

FILES = "files"  # what slices lie along, in place of an axis
Volumes = dict[str, tuple[str, ...]]  # name of each to the ids of its slices, in order


def volumes_among(samples: Iterable[Sample], *, numbered: bool = False) -> Volumes:
    """The volumes of which several slices are among some images.

    Slices are the pages of a file along Z, by its metadata, and those of a layer that a person takes for a
    volume. Single files are slices only if a person says so, however their names are numbered: so are the
    images of most data sets.

    Parameters
    ----------
    samples : iterable of Sample
        The images.
    numbered : bool
        Whether single files whose names end in numbers are slices.

    Returns
    -------
    dict
        Name of each volume, no image is called so, to the ids of its slices, in order.
    """
    samples = list(samples)
    slices: dict[object, list[tuple[int, str]]] = {}
    names: dict[object, str] = {}
    taken = {sample.id for sample in samples}
    for sample in samples:
        if not numbered and _is_one_file(sample):
            continue
        place = place_of(sample)
        if place is None or len(place.slices) < 2:
            continue
        if place.file not in names:
            name, number = place.volume, 1
            while name in taken:
                number += 1
                name = f"{place.volume} ({number})"
            taken.add(name)
            names[place.file], slices[place.file] = name, []
        slices[place.file].append((place.z, sample.id))
    return {names[file]: tuple(i for _, i in sorted(members)) for file, members in slices.items()}


def count_numbered(samples: Sequence[Sample]) -> int:
    """How many single files there are, if all are numbered in order, without a gap; else 0."""
    if len(samples) < 2 or not all(map(_is_one_file, samples)):
        return 0
    places = [place_of(sample) for sample in samples]
    numbers = [place.z for place in places if place is not None]
    files = {place.file for place in places if place is not None}
    follow = len(numbers) == len(samples) and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return len(samples) if follow and len(files) == 1 else 0


def _is_one_file(sample: Sample) -> bool:
    return isinstance(sample.original, ImageLoader) and sample.original.page is None


def volume_row(name: str, entries: Mapping[str, Any], slices: Sequence[str], empty: EmptyRule) -> ImageRow:
    """The row of a volume.

    Its IoU is that of all voxels whose agreement with the reference is known. Without any it is the mean of
    what is estimated of its slices.
    """
    known = [entries[i] for i in slices]
    counts = [entry.counts for entry in known if entry.counts is not None]
    iou = None
    if counts:
        value = scores_of_counts(sum(counts[1:], counts[0]), empty).iou
        iou = None if np.isnan(value) else float(value)
    estimates = [entry.estimate for entry in known if entry.estimate is not None]
    done = sum(entry.done for entry in known)
    problems = [(i, e.problem or e.flaw) for i, e in zip(slices, known, strict=True) if e.problem or e.flaw]
    reason = ""
    if estimates:
        first = next(entry.reason for entry in known if entry.estimate is not None)
        reason = f"mean of {len(estimates):,} slices: {first}"
    return ImageRow(
        name,
        _common(entry.group for entry in known),
        _common(entry.part for entry in known),
        _status(known, done),
        iou,
        any(entry.sample.has_mask for entry in known),
        f"{problems[0][0]}: {problems[0][1]}" if problems else "",
        float(np.mean(estimates)) if estimates else None,
        reason,
        slices=len(slices),
        done=done,
    )


def _common(words: Iterable[str]) -> str:
    every = set(words)
    return every.pop() if len(every) == 1 else ""


def _status(known: Sequence[Any], done: int) -> Status:
    if done == len(known):
        return "done"
    if done or any(entry.is_corrected for entry in known):
        return "corrected"
    return "segmented" if any(entry.is_segmented for entry in known) else "new"
