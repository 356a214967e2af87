"""ImageJ regions of interest: one .roi an object, zipped as the ROI Manager opens them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.atomic import atomic_path
from napari_unet.errors import OutputError
from napari_unet.export.outlines import trace

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.export.outlines import Outline
    from napari_unet.export.segmented import FoundObject, Numbers, SegmentedImage

LARGEST = 60_535  # the highest coordinate that the format keeps apart from a negative one
MOVE, LINE, CLOSE = 0.0, 1.0, 4.0  # segments of a composite


def write_imagej_rois(path: Path, image: SegmentedImage, numbers: Numbers = "objects") -> Path:
    """Write the objects of an image as a zip of ImageJ regions.

    Parameters
    ----------
    path : pathlib.Path
        .zip.
    image : SegmentedImage
        What to write.
    numbers : str
        Not used: regions are objects.

    Returns
    -------
    pathlib.Path
        The same path. A region runs along the edges of pixels, so that ImageJ fills the very object;
        one with holes or several pieces is a composite. It is named after its class, has its colour,
        and the class is its group and a property; that of a slice of a stack shows on that slice alone.
        ImageJ has no empty zip: an image without objects gets a zip without files.

    Raises
    ------
    OutputError
        If the image has more than 60,535 pixels along a side, or it cannot be written.
    """
    import zipfile

    if max(image.shape) > LARGEST:
        raise OutputError(
            f"{path.name} cannot be written",
            code="output.mask.size",
            expected=f"at most {LARGEST} pixels along a side, which the format of ImageJ can tell",
            got=str(max(image.shape)),
            remedy="export as GeoJSON",
        )
    with atomic_path(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for found in image.found():
            region = _region(image, found)
            archive.writestr(f"{region.name}.roi", region.tobytes())
    return path


def _region(image: SegmentedImage, found: FoundObject) -> Any:
    import roifile

    outlines = trace(found.region, found.top, found.left)
    single = len(outlines) == 1 and not outlines[0].holes
    if single:
        region = roifile.ImagejRoi.frompoints(np.asarray(outlines[0].exterior, np.int32))
        region.roitype = roifile.ROI_TYPE.TRACED
        height, width = found.region.shape
        region.bottom, region.right = found.top + height, found.left + width
    else:
        region = _composite(found, outlines)
    name = "".join(c if c.isalnum() or c in " -_" else "_" for c in image.classes[found.label - 1])
    region.name = f"{found.number:05d}-{name}"
    region.stroke_color = bytes([255, *image.colours[found.label - 1]])
    region.props = _properties(image, found)
    region.group = min(found.label, 255)
    if image.position is not None:
        place = image.position
        region.position = place.page
        region.c_position, region.z_position, region.t_position = place.channel, place.z, place.t
    return region


def _properties(image: SegmentedImage, found: FoundObject) -> str:
    """Lines of key and value, which ImageJ shows as the properties of a region."""
    about = {"class": image.classes[found.label - 1], "classes": json.dumps(list(image.classes))}
    return "".join(f"{key}: {' '.join(text.split())}\n" for key, text in about.items())


def _composite(found: FoundObject, outlines: tuple[Outline, ...]) -> Any:
    import roifile

    segments: list[float] = []
    for outline in outlines:
        for loop in (outline.exterior, *outline.holes):
            for number, corner in enumerate(loop):
                segments += [LINE if number else MOVE, *corner]
            segments.append(CLOSE)
    height, width = found.region.shape
    region = roifile.ImagejRoi()
    region.roitype = roifile.ROI_TYPE.RECT
    region.top, region.left = found.top, found.left
    region.bottom, region.right = found.top + height, found.left + width
    region.multi_coordinates = np.asarray(segments, np.float32)
    region.shape_roi_size = len(segments)
    return region
