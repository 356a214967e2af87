"""The formats that masks and objects are exported in, by name."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_unet.errors import SettingsError, did_you_mean
from napari_unet.export.coco import open_coco
from napari_unet.export.geojson import write_geojson
from napari_unet.export.imagej_roi import write_imagej_rois
from napari_unet.export.label_files import write_npy, write_ome_tiff, write_png, write_tiff
from napari_unet.export.ome_zarr import write_ome_zarr, write_ome_zarr_04
from napari_unet.export.segmented import SegmentedImage
from napari_unet.export.tables import open_measurements, open_run_lengths

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.export.segmented import Numbers

Write = Callable[["Path", SegmentedImage, "Numbers"], "Path"]
Gather = Callable[["Path", "Numbers"], AbstractContextManager[Callable[[SegmentedImage], None]]]


@dataclass(frozen=True)
class ExportFormat:
    """One format.

    Attributes
    ----------
    name : str
        What the command line and recipes call it.
    title : str
        What people call it.
    suffix : str
        Of its files.
    holds : str
        What it holds, in a few words.
    opened_by : str
        Programs that open it.
    write : callable or None
        Writes one image to one file.
    gather : callable or None
        Opens one file for all images. Of this and `write` one is given.
    numbered : bool
        Whether a person chooses if its numbers are classes or objects; objects otherwise.
    stacked : bool
        Whether one file may hold all slices of a stack.
    """

    name: str
    title: str
    suffix: str
    holds: str
    opened_by: str
    write: Write | None = None
    gather: Gather | None = None
    numbered: bool = False
    stacked: bool = False

    @property
    def together(self) -> bool:
        """Whether all images go into one file."""
        return self.gather is not None


FORMATS: dict[str, ExportFormat] = {
    entry.name: entry
    for entry in (
        ExportFormat(
            "tiff", "TIFF masks", ".tif", "numbers of classes or objects, colours, pixel size",
            "any program for images", write=write_tiff, numbered=True, stacked=True,
        ),
        ExportFormat(
            "png", "PNG masks", ".png", "numbers of classes with their colours, or of objects",
            "any program for images", write=write_png, numbered=True,
        ),
        ExportFormat(
            "ome-tiff", "OME-TIFF masks", ".ome.tif", "numbers, physical pixel size, names of the classes",
            "Fiji, QuPath, OMERO, napari", write=write_ome_tiff, numbered=True, stacked=True,
        ),
        ExportFormat(
            "ome-zarr", "OME-Zarr 0.5", ".ome.zarr", "image with its labels, colours, pixel size",
            "napari, ngff viewers", write=write_ome_zarr, numbered=True,
        ),
        ExportFormat(
            "ome-zarr-0.4", "OME-Zarr 0.4", ".zarr", "the same for readers of Zarr 2",
            "napari, QuPath, Fiji", write=write_ome_zarr_04, numbered=True,
        ),
        ExportFormat(
            "npy", "NumPy arrays", ".npy", "numbers of classes or objects", "Python",
            write=write_npy, numbered=True, stacked=True,
        ),
        ExportFormat(
            "run-lengths", "Run lengths (CSV)", ".csv", "masks of all images as Kaggle's tables have them",
            "Kaggle, any table program", gather=open_run_lengths, numbered=True,
        ),
        ExportFormat(
            "coco", "COCO JSON", ".json", "objects of all images: class, box, area, outline",
            "CVAT, FiftyOne, Detectron2, pycocotools", gather=open_coco,
        ),
        ExportFormat(
            "geojson", "GeoJSON for QuPath", ".geojson", "objects: class, colour, outline, area",
            "QuPath, GIS programs, shapely", write=write_geojson,
        ),
        ExportFormat(
            "imagej-roi", "ImageJ ROIs (zip)", ".zip", "objects: class, colour, outline",
            "ImageJ, Fiji: ROI Manager", write=write_imagej_rois,
        ),
        ExportFormat(
            "measurements", "Measurements (CSV)", ".csv", "objects of all images: area, shape, intensity",
            "any table program, R, pandas", gather=open_measurements,
        ),
    )
}  # fmt: skip


def export_format(name: str) -> ExportFormat:
    """The format of this name.

    Raises
    ------
    SettingsError
        If there is none.
    """
    if name not in FORMATS:
        raise SettingsError(
            f"there is no format {name!r}",
            code="settings.format.unknown",
            remedy=did_you_mean(name, FORMATS),
        )
    return FORMATS[name]
