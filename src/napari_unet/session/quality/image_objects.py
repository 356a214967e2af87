"""The objects of one open image: measured now, and found again by their places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import WorkbenchError
from napari_unet.metrics.object_confidence import ObjectConfidence, measure_with_confidence
from napari_unet.project.corrections.correction import IGNORE
from napari_unet.workflow.segment.prediction import tied_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_unet.data.files.pixel_size import PixelSize
    from napari_unet.metrics.object_measures import ObjectTable
    from napari_unet.session.images.collection import Collection

SIDES = ("top", "left", "bottom", "right")


@dataclass(frozen=True, eq=False)
class ImageObjects:
    """The measured objects of one image.

    Attributes
    ----------
    id : str
        Of the image.
    key : object
        What the mask was made of: another one after each change.
    table : ObjectTable
        The measurements.
    classes : tuple of str
        Names of the classes 1..K.
    pixels : numpy.ndarray
        (N, 2) int64: row and column of a pixel of each object, in the order of the table.
    """

    id: str
    key: Any
    table: ObjectTable
    classes: tuple[str, ...]
    pixels: NDArray[np.int64]

    def box(self, rows: Sequence[int], rim: int = 0) -> tuple[int, int, int, int]:
        """First row and column around some objects, by rows of the table, and those behind the last."""
        top, left, bottom, right = (
            np.asarray(self.table.columns[f"{side}_px"])[list(rows)] for side in SIDES
        )
        first = max(0, int(top.min()) - rim), max(0, int(left.min()) - rim)
        return (*first, int(bottom.max()) + rim, int(right.max()) + rim)


def measure_image(
    collection: Collection,
    identifier: str,
    settings: Any,
    size: PixelSize | None,
    pause: Callable[[], None] = lambda: None,
) -> tuple[ObjectTable, NDArray[np.int32], NDArray[np.int64]] | None:
    """Measure the objects of the mask that an image has now; in any thread.

    Returns
    -------
    tuple or None
        The table, the objects (Y, X) int32, and a pixel of each (N, 2); None without a mask.
    """
    found = collection.mask(identifier, settings)
    if found is None:
        return None
    mask = np.where(found == IGNORE, 0, found).astype(np.uint8)
    pause()
    objects = collection.objects(identifier, mask, settings)
    pause()
    try:
        image = collection.image(identifier)
    except WorkbenchError:
        image = None
    said = collection.said(identifier)
    pause()
    table = measure_with_confidence(
        objects,
        mask,
        image if image is not None and image.shape[:2] == mask.shape else None,
        said if said is not None and said[0].shape[:2] == mask.shape else None,
        (size.y, size.x) if size is not None else None,
        size.unit if size is not None else "",
        None if collection.model is None else ObjectConfidence.of(collection.model.provenance),
        pause,
    )
    prediction = collection.entries[identifier].prediction
    if len(collection.classes) > 1:
        ties = () if prediction is None else tied_numbers(prediction.ties, objects, mask)
        table.columns["tie"] = np.isin(table.columns["object"], ties).astype(np.float64)
    numbers, first = np.unique(objects, return_index=True)
    pixels = np.stack(np.unravel_index(first[numbers > 0], objects.shape), axis=1)
    objects.flags.writeable = False
    return table, objects, pixels
