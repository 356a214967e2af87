"""Measurements of the objects of a mask on disk, read strip by strip: memory holds a strip, and no image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import WorkbenchError
from napari_unet.export.label_store import PROBABILITIES
from napari_unet.inference.joined import JoinedPieces, join, look_at_part, number_part
from napari_unet.metrics.object_measures import measure_objects
from napari_unet.progress import Progress
from napari_unet.workflow.large_images.layers.layer_mask import LayerObjects, known, open_finished_or_not
from napari_unet.workflow.large_images.numbering import FULL
from napari_unet.workflow.large_images.told_apart import NUMBERS
from napari_unet.workflow.segment.predict_task import find_sample

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.data.files.pixel_size import PixelSize
    from napari_unet.data.sample import Sample
    from napari_unet.metrics.object_measures import ObjectTable
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.workflow.inputs.image_reference import ImageReference

STRIP = 2**23  # pixels that are looked at together
LEAST, MOST = 16, 1024  # rows of a strip
PASSES = 4  # over the mask: to join the pieces, for runs, for perimeters, for intensities


@dataclass(frozen=True, eq=False)
class MeasuredMask:
    """The objects of a mask on disk.

    Attributes
    ----------
    table : ObjectTable
        Their measurements.
    pixels : numpy.ndarray
        (N, 2) int64: row and column of a pixel of each, in the order of the table.
    """

    table: ObjectTable
    pixels: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class MeasureMaskTask:
    """Measure the objects of a mask on disk as it is, painting and all.

    Attributes
    ----------
    store : pathlib.Path
        Of the mask.
    image : ImageReference or None
        Read by region, for intensities; None: they are not measured.
    pixel_size : PixelSize, optional
        Of the image, where that is known.
    """

    store: Path
    image: ImageReference | None = None
    pixel_size: PixelSize | None = None

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> MeasuredMask:
        """Measure.

        Raises
        ------
        DataError
            If the mask is gone.
        Cancelled
            When the token was set.
        """
        store = open_finished_or_not(self.store)
        mask = store.array(0)
        height, width = (int(side) for side in mask.shape[-2:])
        rows = min(max(STRIP // max(width, 1), LEAST), MOST)
        strips = [slice(y, min(y + rows, height)) for y in range(0, height, rows)]
        done = 0

        def tell() -> None:
            nonlocal done
            cancel.check()
            done += 1
            on_progress(Progress(min(done, PASSES * len(strips)), PASSES * len(strips), "Measuring objects"))

        def read(band: slice) -> NDArray[np.uint8]:
            return known(np.asarray(mask[band, :]))

        told_apart = LayerObjects.of(store.state)
        objects: NumberedStrips
        if told_apart is not None:
            told_apart.number(store, on_progress, cancel)
            objects = StoredNumbers(
                (height, width), rows, read, JoinedPieces(), tell, stored=store.array(NUMBERS)
            )
        else:
            parts = {}
            for number, band in enumerate(strips):
                tell()
                parts[(number, 0)] = look_at_part(read(band))
            objects = NumberedStrips((height, width), rows, read, join(parts), tell)
        size = self.pixel_size
        table = measure_objects(
            objects,  # type: ignore[arg-type]
            _Rows((height, width), read),  # type: ignore[arg-type]
            self._image((height, width)),  # type: ignore[arg-type]
            _Said(store.array(PROBABILITIES)) if store.has_probabilities else None,  # type: ignore[arg-type]
            (size.y, size.x) if size is not None else None,
            size.unit if size is not None else "",
            cancel.check,
            rows,
        )
        return MeasuredMask(table, objects.first_pixels(np.asarray(table.columns["object"], np.int64)))

    def _image(self, shape: tuple[int, int]) -> _Image | None:
        """The image by rows; None where it cannot be read, which is said where it is shown."""
        if self.image is None:
            return None
        try:
            sample = find_sample(self.image)
            first = sample.read_region(slice(0, 1), slice(0, shape[1]))
        except (WorkbenchError, OSError):
            return None
        return _Image(sample, (*shape, first.shape[2])) if first.shape[1] == shape[1] else None


@dataclass(eq=False)
class _Rows:
    """A mask that gives its rows."""

    shape: tuple[int, int]
    read: Callable[[slice], NDArray[np.uint8]]

    def __getitem__(self, rows: slice) -> NDArray[np.uint8]:
        return self.read(rows)


@dataclass(eq=False)
class NumberedStrips:
    """Objects (Y, X) int32 of a mask that is never held whole: strips are numbered when they are read.

    Attributes
    ----------
    shape : tuple of int
        (Y, X).
    height : int
        Rows of a strip; only whole strips are read.
    read : callable
        (rows) -> (Y, X) uint8 of the mask.
    joined : JoinedPieces
        Of these strips.
    tell : callable
        Is called for each strip.
    """

    shape: tuple[int, int]
    height: int
    read: Callable[[slice], NDArray[np.uint8]]
    joined: JoinedPieces
    tell: Callable[[], None] = lambda: None
    _first: dict[int, tuple[int, int]] = field(default_factory=dict)
    _looked: set[int] = field(default_factory=set)

    def __getitem__(self, rows: slice) -> NDArray[np.int32]:
        """(Y, X) int32 of a strip."""
        self.tell()
        place = rows.start // self.height
        numbers = self._numbers(place, rows)
        if place not in self._looked:
            self._looked.add(place)
            found, at = np.unique(numbers, return_index=True)
            for number, pixel in zip(found.tolist(), at.tolist(), strict=True):
                row, column = divmod(pixel, self.shape[1])
                self._first.setdefault(number, (rows.start + row, column))
        return numbers

    def _numbers(self, place: int, rows: slice) -> NDArray[np.int32]:
        pieces = number_part(self.read(rows))[0]
        return np.asarray(self.joined.numbers[(place, 0)].astype(np.int32)[pieces])

    def first_pixels(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """(N, 2) int64: row and column of a pixel of each object, once all strips were read."""
        found = [self._first[number] for number in numbers.tolist()]
        return np.array(found, np.int64).reshape(-1, 2)


@dataclass(eq=False)
class StoredNumbers(NumberedStrips):
    """Objects of a mask whose numbers are in the store."""

    stored: Any = None

    def _numbers(self, place: int, rows: slice) -> NDArray[np.int32]:
        return np.asarray(self.stored[rows, :]).astype(np.int32)


@dataclass(eq=False)
class _Image:
    """An image (Y, X, C) that gives its rows."""

    sample: Sample
    shape: tuple[int, int, int]

    def __getitem__(self, rows: slice) -> NDArray[np.generic]:
        return self.sample.read_region(rows, slice(0, self.shape[1]))


class _Said:
    """Probabilities (Y, X, K) of a store, which has (K, Y, X) of 0 to 255."""

    def __init__(self, stored: Any) -> None:
        self._stored = stored
        classes, height, width = stored.shape[-3:]
        self.shape = int(height), int(width), int(classes)

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        stored = np.asarray(self._stored[:, rows, :])
        return np.moveaxis(stored, 0, -1).astype(np.float32) / np.float32(FULL)
