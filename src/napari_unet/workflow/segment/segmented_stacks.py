"""The masks of stacks and volumes: one file for all slices, in which objects are numbered through."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.file_names import unique_stems
from napari_unet.data.masks.numbered_objects import NumberedObjects
from napari_unet.data.volumes.said_voxel_size import voxel_size_of
from napari_unet.data.volumes.slices import volumes_of
from napari_unet.export.masks import stored_values
from napari_unet.export.over_time import write_objects_over_time
from napari_unet.export.segmented import SegmentedImage
from napari_unet.export.stacks import StackFile, StackSlice, slices_of_files
from napari_unet.export.volumes.tables import write_volume_table
from napari_unet.inference.volumes.volume_objects import find_volume_objects
from napari_unet.metrics.volume_measures import measure_volume_objects
from napari_unet.workflow.inputs.stack_objects import StackObjects, renumbered, series_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.data.sample import Sample
    from napari_unet.data.volumes.voxel_size import VoxelSize
    from napari_unet.export.segmented import Numbers
    from napari_unet.workflow.segment.segment_samples import Segmentation

OVER_TIME = "objects-over-time.csv"


def numbered(result: Segmentation, objects: NDArray[np.int32], classes: tuple[str, ...]) -> NumberedObjects:
    """The classes of the objects of an image and its ties, by numbers that may be those of a stack."""
    ties = renumbered(result.ties, result.objects, objects)
    return NumberedObjects.of(objects, result.mask, classes, ties)


class SegmentedStacks:
    """The stacks of one task, where they go into one file each; none where they do not.

    A model that sees several slices of a volume writes one OME-TIFF a volume, with the size of its voxels.
    Its objects are found in three dimensions, and measured in a table with the name of the volume.

    Parameters
    ----------
    out : pathlib.Path
        Folder of the files.
    samples : sequence of Sample
        All images.
    objects, one_file, link_objects, over_time : bool
        As ``SegmentTask`` has them.
    volumes : bool
        Whether the model sees several slices of a volume.

    Attributes
    ----------
    tables : tuple of pathlib.Path
        Of objects over time, or of the objects of each volume.
    """

    def __init__(
        self,
        out: Path,
        samples: Sequence[Sample],
        *,
        objects: bool,
        one_file: bool,
        link_objects: bool,
        over_time: bool,
        volumes: bool,
    ) -> None:
        self.objects = objects
        self.volumes = volumes
        self.one_file = one_file or self.volumes
        self.tables: tuple[Path, ...] = (out / OVER_TIME,) if over_time else ()
        pages: dict[str, StackSlice] = {}
        if self.volumes:
            pages = slices_of_volumes(samples)
        elif one_file or link_objects or over_time:
            pages = slices_of_files(samples)
        self.slices = series_of(samples) if over_time else pages
        self._pages = pages.keys()
        stacks = dict.fromkeys(place.stack for place in pages.values())
        stems = unique_stems(stacks)
        ending = ".ome.tif" if self.volumes else ".tif"
        self._paths = {stack: out / f"{stems[stack]}{ending}" for stack in stacks}
        self._voxels = voxel_size_of(samples) if self.volumes else None
        self._measured: dict[Path, str] = {}
        if self.volumes and objects:
            self._measured = {out / f"{stems[stack]}.objects.csv": stack for stack in stacks}
            self.tables = tuple(self._measured)
        self._numbers = StackObjects(link_objects, over_time)
        self._gathered: dict[str, GatheredVolume] = {}
        self._files: dict[str, StackFile] = {}

    def __contains__(self, identifier: str) -> bool:
        """Whether an image goes into the file of its stack."""
        return self.one_file and identifier in self._pages

    @property
    def paths(self) -> tuple[Path, ...]:
        """Of the files of stacks."""
        return tuple(self._paths.values()) if self.one_file else ()

    def take(self, result: Segmentation, classes: tuple[str, ...]) -> NDArray[np.int32] | None:
        """Put a slice into the file of its stack.

        Returns
        -------
        numpy.ndarray or None
            (Y, X) int32: its objects with their numbers in the stack; None where classes are wanted, or
            objects that are known only when all slices are there.
        """
        place = self.slices.get(result.sample.id)
        if place is not None and self.volumes and self.objects:
            volume = self._gathered.setdefault(place.stack, GatheredVolume(self._voxels, classes))
            volume.add(result, place)
            return None
        objects = result.objects if self.objects else None
        if place is None:
            return objects
        if objects is not None:
            objects = self._numbers.number(objects, result.mask, place)
        if result.sample.id in self:
            labels = stored_values(result.mask, len(classes)) if objects is None else objects
            said = None if objects is None else numbered(result, objects, classes)
            self._add(labels, result.mask, classes, place, said)
        return objects

    def write_table(self, path: Path, classes: tuple[str, ...]) -> None:
        """Write the objects of all series, or of a volume; once all images are in them."""
        if path in self._measured:
            self._write_measures(path, self._measured[path], classes)
            return
        series = {name: found.finish() for name, found in self._numbers.series.items()}
        write_objects_over_time(path, series, classes)

    def _write_measures(self, path: Path, stack: str, classes: tuple[str, ...]) -> None:
        """Write volume, surface and shape of each object of a volume."""
        file = self._files.get(stack)
        labels = None if file is None else file.labels
        if file is None or labels is None:
            return
        voxels = self._voxels
        spacing = None if voxels is None else (voxels.z, voxels.pixel.y, voxels.pixel.x)
        numbered = file.numbered
        of_object = None if numbered is None else numbered.classes
        table = measure_volume_objects(
            labels, of_object, spacing, "" if voxels is None else voxels.pixel.unit
        )
        write_volume_table(path, stack, table, classes)

    def files(self) -> Iterator[StackFile]:
        """The files, once all slices are in them."""
        for volume in self._gathered.values():
            for place, mask, objects in volume.numbered():
                said = NumberedObjects.of(objects, mask, volume.classes)
                self._add(objects, mask, volume.classes, place, said)
        yield from self._files.values()

    def _add(
        self,
        labels: NDArray[np.integer],
        mask: NDArray[np.uint8],
        classes: tuple[str, ...],
        place: StackSlice,
        said: NumberedObjects | None,
    ) -> None:
        pixel = None if self._voxels is None else self._voxels.pixel
        image = SegmentedImage(
            place.stack, mask, lambda: np.asarray(labels, np.int32), classes, pixel_size=pixel
        )
        if place.stack not in self._files:
            numbers: Numbers = "objects" if self.objects else "classes"
            kind = "ome-tiff" if self.volumes else "tiff"
            self._files[place.stack] = StackFile(self._paths[place.stack], kind, numbers, place.leading)
        self._files[place.stack].add(labels, image, place, said)


class GatheredVolume:
    """What a model makes of the slices of one volume, until all are there.

    Parameters
    ----------
    voxels : VoxelSize or None
        None if unknown; voxels are taken for cubic then.
    classes : tuple of str
        Names of the classes 1..K.
    """

    def __init__(self, voxels: VoxelSize | None, classes: tuple[str, ...]) -> None:
        self.classes = classes
        self._anisotropy = 1.0 if voxels is None else voxels.anisotropy
        self._slices: dict[int, tuple[StackSlice, Segmentation]] = {}

    def add(self, result: Segmentation, place: StackSlice) -> None:
        """Take a slice."""
        self._slices[place.place] = place, result

    @cached_property
    def _order(self) -> list[int]:
        return sorted(self._slices)

    def numbered(self) -> Iterator[tuple[StackSlice, NDArray[np.uint8], NDArray[np.int32]]]:
        """Each slice, its mask (Y, X), and its objects with their numbers in the volume.

        Slices that are missing part the volume.
        """
        last = 0
        run: list[int] = []
        for z in [*self._order, None]:
            if run and (z is None or z != run[-1] + 1):
                objects = self._objects(run)
                objects[objects > 0] += last
                last = max(last, int(objects.max(initial=0)))
                for at, of_slice in zip(run, objects, strict=True):
                    place, result = self._slices.pop(at)
                    yield place, result.mask, of_slice
                run = []
            run += [] if z is None else [z]

    def _objects(self, run: list[int]) -> NDArray[np.int32]:
        results = [self._slices[z][1] for z in run]
        first = results[0]
        separation = None
        if first.separation is not None:
            separation = np.stack([r.separation for r in results if r.separation is not None])
        return find_volume_objects(
            np.stack([r.mask for r in results]),
            first.settings,
            np.stack([r.probabilities for r in results]),
            separation,
            first.separation_kind,
            self._anisotropy,
        )


def slices_of_volumes(samples: Sequence[Sample]) -> dict[str, StackSlice]:
    """Id of every image that is a slice of a volume, to its place among those that are there."""
    slices = {}
    for name, members in volumes_of(samples).items():
        voxel = voxel_size_of([members[0][1]])
        depth = None if voxel is None else (voxel.z, voxel.pixel.unit)
        first, last = min(z for z, _ in members), max(z for z, _ in members)
        for z, sample in members if last > first else ():
            slices[sample.id] = StackSlice(name, (z - first,), (last - first + 1,), sample.id, depth)
    return slices
