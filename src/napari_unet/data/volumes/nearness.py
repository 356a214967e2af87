"""Slices that lie near each other look alike: one that teaches makes its neighbour no judge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.data.volumes.said_voxel_size import voxel_size_of
from napari_unet.data.volumes.slices import place_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_unet.data.sample import Sample

GAP = 4  # slices between those that teach and those that judge, where voxels are cubic
GAPS_A_BLOCK = 4  # a block of slices that teach or judge together is so many gaps thick


def gap_between(samples: Sequence[Sample]) -> int:
    """Slices that belong between two blocks: four where voxels are cubic or unknown, fewer of thick ones."""
    voxel = voxel_size_of(samples)
    return GAP if voxel is None else max(1, round(GAP / max(voxel.anisotropy, 1.0)))


def block_of(sample: Sample, gap: int) -> str:
    """The block of its volume that a slice is in, the same whatever other slices there are.

    Parameters
    ----------
    sample : Sample
        An image that is no slice of a volume is a block of its own.
    gap : int
        As ``gap_between`` gives it.
    """
    place = place_of(sample)
    if place is None:
        return sample.id
    first = place.z // (GAPS_A_BLOCK * gap) * GAPS_A_BLOCK * gap
    return f"{place.file[1]}[z{first}-{first + GAPS_A_BLOCK * gap - 1}]"


def far_from(judges: Iterable[Sample], teachers: Iterable[Sample], gap: int) -> list[Sample]:
    """Of slices that judge those with at least `gap` slices between them and any slice that teaches.

    Parameters
    ----------
    judges, teachers : iterable of Sample
        Images that are no slice of a volume are near none.
    gap : int
        As ``gap_between`` gives it.
    """
    near: dict[object, set[int]] = {}
    for teacher in teachers:
        place = place_of(teacher)
        if place is not None:
            around = range(place.z - gap, place.z + gap + 1)
            near.setdefault(place.file, set()).update(around)
    places = ((judge, place_of(judge)) for judge in judges)
    return [j for j, place in places if place is None or place.z not in near.get(place.file, ())]


def in_order(samples: Iterable[Sample]) -> list[Sample]:
    """Slices volume by volume, each from the first to the last; other images first, as they come."""
    placed = [(place_of(sample), sample) for sample in samples]
    alone = [sample for place, sample in placed if place is None]
    slices = [(place, sample) for place, sample in placed if place is not None]
    return alone + [s for _, s in sorted(slices, key=lambda one: (one[0].file[1], one[0].z))]
