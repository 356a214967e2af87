"""Measuring the objects of a mask of a volume: a table, and meshes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.atomic import check_outputs
from napari_unet.data.files.decoders.image_kinds import TIFF_SUFFIXES
from napari_unet.data.masks.numbered_objects import find_numbered
from napari_unet.data.volumes.voxel_size import parse_voxel_size, read_voxel_size
from napari_unet.errors import DataError
from napari_unet.export.volumes.meshes import write_meshes
from napari_unet.export.volumes.tables import write_volume_table
from napari_unet.metrics.volume_measures import measure_volume_objects
from napari_unet.progress import Progress

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.data.volumes.voxel_size import VoxelSize
    from napari_unet.export.volumes.meshes import MeshKind
    from napari_unet.metrics.volume_measures import VolumeTable
    from napari_unet.progress import CancelToken, OnProgress


@dataclass(frozen=True)
class MeasureVolumeTask:
    """Measure the objects of a mask of a volume.

    Attributes
    ----------
    mask : pathlib.Path
        TIFF or OME-TIFF with the number of the object of each voxel, as `segment --objects` writes it.
    out : pathlib.Path
        Folder of the table NAME.objects.csv, and of NAME.meshes.
    meshes : str
        "stl" or "ply"; empty: no meshes.
    voxel_size : str
        Like "50x4.6x4.6nm"; empty: as the file says.
    overwrite : bool
        Whether files that are there are replaced.
    """

    mask: Path
    out: Path
    meshes: MeshKind | None = None
    voxel_size: str = ""
    overwrite: bool = False

    @property
    def name(self) -> str:
        """Of the volume: that of the file without its endings."""
        return self.mask.name.removesuffix(self.mask.suffix).removesuffix(".ome")

    @property
    def table(self) -> Path:
        """Where the table goes."""
        return self.out / f"{self.name}.objects.csv"

    @property
    def mesh_folder(self) -> Path:
        """Where the meshes go."""
        return self.out / f"{self.name}.meshes"

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> VolumeTable:
        """Measure and write.

        Raises
        ------
        DataError
            If the file is no mask of a volume.
        SettingsError
            If the size of a voxel cannot be understood.
        OutputError
            If a file is in the way, or cannot be written.
        Cancelled
            When the person stopped it.
        """
        voxel = parse_voxel_size(self.voxel_size) if self.voxel_size else None
        wanted = [self.table, *([self.mesh_folder] if self.meshes else [])]
        check_outputs(wanted, [self.mask], overwrite=self.overwrite)
        on_progress(Progress(0, 3, "Reading the mask"))
        objects, names, classes = read_volume_mask(self.mask)
        voxel = voxel or read_voxel_size(self.mask)
        cancel.check()
        on_progress(Progress(1, 3, "Measuring objects"))
        spacing = _spacing(voxel)
        unit = "" if voxel is None else voxel.pixel.unit
        table = measure_volume_objects(objects, classes, spacing, unit)
        write_volume_table(self.table, self.name, table, names)
        cancel.check()
        if self.meshes:
            on_progress(Progress(2, 3, "Writing meshes"))
            write_meshes(self.mesh_folder, objects, spacing or (1.0, 1.0, 1.0), self.meshes, unit)
        on_progress(Progress(3, 3, "Done"))
        return table


def _spacing(voxel: VoxelSize | None) -> tuple[float, float, float] | None:
    return None if voxel is None else (voxel.z, voxel.pixel.y, voxel.pixel.x)


def read_volume_mask(path: Path) -> tuple[NDArray[np.integer], tuple[str, ...], NDArray[np.uint8] | None]:
    """Read a mask of a volume.

    Parameters
    ----------
    path : pathlib.Path
        TIFF or OME-TIFF.

    Returns
    -------
    objects : numpy.ndarray
        (Z, Y, X) integers, 0 background, one number an object.
    names : tuple of str
        Of the classes 1..K; none where the file has one class.
    classes : numpy.ndarray or None
        Class of each object, where the file says it.

    Raises
    ------
    DataError
        If it is no such file.
    """
    import tifffile

    if not path.exists():
        raise DataError(
            f"{path} is not there", code="data.file.missing", remedy="check the path, and mount its drive"
        )
    if path.suffix.lower() not in TIFF_SUFFIXES or not path.is_file():
        raise DataError(
            f"{path} is no mask of a volume",
            code="data.volume.mask",
            expected="a TIFF or OME-TIFF with a number for each object",
            remedy="write one with `napari-unet segment --objects`",
        )
    try:
        objects = np.asarray(tifffile.imread(path))
        with path.open("rb") as file:
            numbered = find_numbered(file, path.name)
    except (OSError, ValueError, tifffile.TiffFileError) as error:
        raise DataError(
            f"{path} cannot be read", code="data.image.damaged", reason=str(error), remedy="copy it again"
        ) from error
    if objects.ndim != 3 or objects.dtype.kind not in "iu":
        raise DataError(
            f"{path} is no mask of a volume",
            code="data.volume.mask",
            expected="axes Z, Y and X, and whole numbers",
            got=f"{' x '.join(map(str, objects.shape))} of {objects.dtype}",
            remedy="write one with `napari-unet segment --objects`",
        )
    if numbered is None:
        return objects, (), None
    classes = np.zeros(max(int(objects.max(initial=0)) + 1, len(numbered.classes)), np.uint8)
    classes[: len(numbered.classes)] = numbered.classes
    return objects, numbered.names, classes
