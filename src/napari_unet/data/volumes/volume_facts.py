"""What a data set tells of its volumes: slices, which of them are annotated, and the size of voxels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_unet.data.files.pages import PageLoader
from napari_unet.data.volumes.said_voxel_size import voxel_size_of
from napari_unet.data.volumes.slices import place_of, volumes_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from napari_unet.data.dataset import Dataset


@dataclass(frozen=True)
class VolumeFacts:
    """One volume, without its voxels.

    Attributes
    ----------
    name : str
        No other has it.
    slices, annotated : int
        All of them, and those of which some pixels are annotated.
    voxel_size : str
        z, y and x, like "50 x 4.6 x 4.6 nm"; empty if unknown.
    anisotropy : float or None
        How many times as thick a slice is as a pixel is wide; None if unknown.
    """

    name: str
    slices: int
    annotated: int
    voxel_size: str = ""
    anisotropy: float | None = None

    @property
    def words(self) -> str:
        """For people."""
        size = "voxel size unknown"
        if self.anisotropy is not None:
            size = f"voxels of {self.voxel_size}, {self.anisotropy:.2g} times as thick as wide"
        known = "all" if self.annotated == self.slices else f"{self.annotated}"
        return f"{self.name}: {self.slices} slices, {known} annotated; {size}"


def facts_of_volumes(dataset: Dataset, unknown: Collection[str] = ()) -> list[VolumeFacts]:
    """The volumes of a data set whose files say that they are: stacks with an axis Z.

    Parameters
    ----------
    dataset : Dataset
        Images with masks and without.
    unknown : collection of str
        Ids of images whose masks say nothing of any pixel.
    """
    found = []
    labelled = {sample.id for sample in dataset.samples} - set(unknown)
    # Single files may be numbered for no reason.
    pages = [s for s in (*dataset.samples, *dataset.unlabelled) if isinstance(s.original, PageLoader)]
    for name, members in volumes_of(pages).items():
        first = members[0][1]
        place = place_of(first)
        assert place is not None
        voxel = voxel_size_of([first])
        found.append(
            VolumeFacts(
                name,
                len(place.slices),
                sum(sample.id in labelled for _, sample in members),
                "" if voxel is None else voxel.text,
                None if voxel is None else voxel.anisotropy,
            )
        )
    return found
