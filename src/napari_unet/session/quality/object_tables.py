"""The objects of the open images, measured in a thread of their own."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_unet.errors import WorkbenchError
from napari_unet.metrics.object_confidence import ObjectConfidence, measure_with_confidence
from napari_unet.project.corrections.correction import IGNORE
from napari_unet.workflow.segment.prediction import tied_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from napari_unet.data.files.pixel_size import PixelSize
    from napari_unet.metrics.object_measures import ObjectTable
    from napari_unet.session.images.collection import Collection
    from napari_unet.session.workspace import Workspace

BREATH = 0.002  # seconds in which the window has the interpreter to itself
NUMBERED = 4  # images whose pixels are remembered with their numbers


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


class ObjectTables:
    """Measures the objects of images that somebody asks for, in a thread of its own, and remembers them.

    Parameters
    ----------
    workspace : Workspace
        Whose images and masks.
    dispatch : callable
        Runs a function in the thread of the session.

    Attributes
    ----------
    pixel_sizes : callable
        (ids) -> id to PixelSize where it is known; the window knows it by its layers.
    """

    changed = Signal(str)  # id of an image whose objects are measured now

    def __init__(self, workspace: Workspace, dispatch: Callable[[Callable[[], None]], None]) -> None:
        self.workspace, self._dispatch = workspace, dispatch
        self.pixel_sizes: Callable[[Sequence[str]], dict[str, PixelSize]] = lambda ids: {}
        self._known: dict[str, ImageObjects] = {}
        self._numbers: dict[str, tuple[Any, NDArray[np.int32]]] = {}
        self._wanted: dict[str, None] = {}
        self._failed: dict[str, Any] = {}  # ids that cannot be measured, with the key of that mask
        self._measuring = ""
        self._pool = ThreadPoolExecutor(1, "objects")
        self._closed = threading.Event()
        workspace.collection_changed.connect(self._on_collection)

    def close(self) -> None:
        """Measure nothing any more."""
        self._closed.set()
        self._wanted.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def busy(self) -> bool:
        """Whether something is measured."""
        return bool(self._measuring)

    @property
    def waiting(self) -> int:
        """Images that are still to be measured."""
        return len(self._wanted) + bool(self._measuring)

    def get(self, identifier: str) -> ImageObjects | None:
        """The objects of the mask that an image has now; None if they are not measured yet."""
        known = self._known.get(identifier)
        return known if known is not None and known.key == self.key(identifier) else None

    def latest(self, identifier: str) -> ImageObjects | None:
        """The objects that were measured last, perhaps of the mask before the last stroke."""
        known = self._known.get(identifier)
        return known if known is not None and self.key(identifier) is not None else None

    def numbers(self, identifier: str) -> NDArray[np.int32] | None:
        """(Y, X) int32, read-only: which pixel belongs to which object; None if that is not known."""
        key, numbers = self._numbers.get(identifier, (None, None))
        return numbers if numbers is not None and key == self.key(identifier) else None

    def key(self, identifier: str) -> Any:
        """What the objects of an image are made of; None while it has no mask, or one on disk."""
        collection = self.workspace.collection
        entry = collection.entries.get(identifier) if collection is not None else None
        if entry is None or entry.disk is not None:
            return None
        size = self.pixel_sizes([identifier]).get(identifier)
        how = self.workspace.inference
        if entry.is_corrected:
            return entry.version, entry.prediction, how.objects, how.core, size
        if entry.prediction is None or entry.prediction.file is None:
            return None
        return entry.prediction, self.workspace.postprocessing, how.objects, how.core, size

    def want(self, identifiers: Iterable[str], *, first: bool = False) -> None:
        """Measure the objects of images unless that is done; `first`: before what waits already."""
        if self._closed.is_set():
            return
        fresh = {i: None for i in identifiers if self._is_stale(i)}
        if first:
            self._wanted = {**fresh, **self._wanted}
        else:
            self._wanted.update(fresh)
        self._next()

    def want_numbers(self, identifier: str) -> None:
        """Have ``numbers`` of an image, measured again if need be."""
        if self.numbers(identifier) is None and self.key(identifier) is not None:
            self._wanted = {identifier: None, **self._wanted}
            self._next()

    def _is_stale(self, identifier: str) -> bool:
        key = self.key(identifier)
        if key is None or self._failed.get(identifier) == key:
            return False
        known = self._known.get(identifier)
        return known is None or known.key != key

    def _on_collection(self) -> None:
        collection = self.workspace.collection
        there = collection.entries if collection is not None else {}
        self._known = {i: known for i, known in self._known.items() if i in there}
        self._numbers = {i: known for i, known in self._numbers.items() if i in there}
        self._wanted = {i: None for i in self._wanted if i in there}
        self._failed.clear()

    def _next(self) -> None:
        while self._wanted and not self._measuring and not self._closed.is_set():
            identifier = next(iter(self._wanted))
            del self._wanted[identifier]
            collection, key = self.workspace.collection, self.key(identifier)
            if collection is not None and key is not None:
                self._measure(collection, identifier, key)

    def _measure(self, collection: Collection, identifier: str, key: Any) -> None:
        self._measuring = identifier
        settings, size = self.workspace.inference, self.pixel_sizes([identifier]).get(identifier)

        def work() -> None:
            found = None
            try:
                found = measure_image(collection, identifier, settings, size, self._breathe)
            except (WorkbenchError, OSError, ValueError, MemoryError):
                found = None  # it is said where the mask or the image is shown
            finally:
                self._dispatch(lambda: self._take(collection, identifier, key, found))

        with suppress(RuntimeError):  # closed
            self._pool.submit(work)

    def _breathe(self) -> None:
        if not self._closed.is_set():
            time.sleep(BREATH)

    def _take(
        self,
        collection: Collection,
        identifier: str,
        key: Any,
        found: tuple[ObjectTable, NDArray[np.int32], NDArray[np.int64]] | None,
    ) -> None:
        self._measuring = ""
        if self._closed.is_set():
            return
        if collection is self.workspace.collection and identifier in collection.entries:
            if found is None:
                self._failed[identifier] = key
            else:
                table, numbers, pixels = found
                self._known[identifier] = ImageObjects(
                    identifier, key, table, tuple(collection.classes), pixels
                )
                self._numbers.pop(identifier, None)
                self._numbers[identifier] = key, numbers
                for old in list(self._numbers)[:-NUMBERED]:
                    del self._numbers[old]
                if key != self.key(identifier):
                    self._wanted = {identifier: None, **self._wanted}
            self.changed.emit(identifier)
        self._next()


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
