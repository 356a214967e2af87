"""The objects of the open images, measured in a thread of their own; of masks on disk, by the engine."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_unet.errors import WorkbenchError
from napari_unet.inference.joined import number_part
from napari_unet.metrics.object_confidence import ObjectConfidence
from napari_unet.project.corrections.correction import IGNORE
from napari_unet.session.quality.image_objects import SIDES, ImageObjects, measure_image
from napari_unet.workflow.inputs.image_reference import refer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from napari_unet.data.files.pixel_size import PixelSize
    from napari_unet.engine.task import Job
    from napari_unet.metrics.object_measures import ObjectTable
    from napari_unet.progress import Progress
    from napari_unet.project.corrections.disk_mask import DiskMask
    from napari_unet.session.images.collection import Collection
    from napari_unet.session.task_runner import TaskRunner
    from napari_unet.session.workspace import Workspace

BREATH = 0.002  # seconds in which the window has the interpreter to itself
MOST_READ = 2**21  # pixels of a mask on disk that are read at once to show objects: some 20 ms
NUMBERED = 4  # images whose pixels are remembered with their numbers


class ObjectTables:
    """Measures the objects of images that somebody asks for, in a thread of its own, and remembers them.

    Parameters
    ----------
    workspace : Workspace
        Whose images and masks.
    dispatch : callable
        Runs a function in the thread of the session.
    runner : TaskRunner
        Its engine measures masks on disk, while it has nothing else to do.

    Attributes
    ----------
    pixel_sizes : callable
        (ids) -> id to PixelSize where it is known; the window knows it by its layers.
    """

    changed = Signal(str)  # id of an image whose objects are measured now

    def __init__(
        self, workspace: Workspace, dispatch: Callable[[Callable[[], None]], None], runner: TaskRunner
    ) -> None:
        self.workspace, self._dispatch, self.runner = workspace, dispatch, runner
        self.pixel_sizes: Callable[[Sequence[str]], dict[str, PixelSize]] = lambda ids: {}
        self._known: dict[str, ImageObjects] = {}
        self._numbers: dict[str, tuple[Any, NDArray[np.int32]]] = {}
        self._wanted: dict[str, None] = {}
        self._failed: dict[str, Any] = {}  # ids that cannot be measured, with the key of that mask
        self._measuring = ""
        self._job: Job | None = None  # that measures a mask on disk
        self.share = 0.0  # how much of it is measured
        self._resting = runner.busy  # while the engine does something else
        self._pool = ThreadPoolExecutor(1, "objects")
        self._closed = threading.Event()
        workspace.collection_changed.connect(self._on_collection)
        runner.starting.connect(self._give_way)
        runner.ended.connect(self._resume)

    def close(self) -> None:
        """Measure nothing any more."""
        self._closed.set()
        self._wanted.clear()
        if self._job is not None:
            self._job.cancel()
        self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def busy(self) -> bool:
        """Whether something is measured."""
        return bool(self._measuring)

    @property
    def waiting(self) -> int:
        """Images that are still to be measured."""
        return len(self._wanted) + bool(self._measuring)

    @property
    def confidence(self) -> ObjectConfidence | None:
        """Of the model whose predictions are stored; None if it has none."""
        collection = self.workspace.collection
        model = None if collection is None else collection.model
        return None if model is None else ObjectConfidence.of(model.provenance)

    def is_coming(self, identifier: str) -> bool:
        """Whether the objects of an image are being measured, or wait for that."""
        return identifier == self._measuring or identifier in self._wanted

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
        """What the objects of an image are made of; None while it has no mask."""
        collection = self.workspace.collection
        entry = collection.entries.get(identifier) if collection is not None else None
        if entry is None:
            return None
        size = self.pixel_sizes([identifier]).get(identifier)
        if entry.disk is not None:
            return entry.disk, entry.disk.stats().number, size
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

    def at_pixel(self, identifier: str, row: int, column: int) -> int:
        """Number of the object at a pixel of an image; 0 for none, or if that is not known."""
        numbers, disk = self.numbers(identifier), self.on_disk(identifier)
        shape = disk.shape if disk is not None else numbers.shape if numbers is not None else (0, 0)
        if not (0 <= row < shape[0] and 0 <= column < shape[1]):
            return 0
        if numbers is not None:
            return int(numbers[row, column])
        known = self.get(identifier)
        if known is None:
            return 0
        sides = (np.asarray(known.table.columns[f"{side}_px"], np.float64) for side in SIDES)
        top, left, bottom, right = sides
        inside = (top <= row) & (row < bottom) & (left <= column) & (column < right)
        for place in np.flatnonzero(inside).tolist():
            number = int(known.table.columns["object"][place])
            box = known.box([place])
            found = self.where(identifier, (number,), box)
            if found is not None and found[row - box[0], column - box[1]]:
                return number
        return 0

    def where(
        self, identifier: str, chosen: Sequence[int], box: tuple[int, int, int, int]
    ) -> NDArray[np.bool_] | None:
        """(Y, X) bool: the pixels of some objects within a part of an image; None if they are not known.

        Parameters
        ----------
        identifier : str
            Of the image.
        chosen : sequence of int
            Numbers of objects.
        box : tuple of int
            First row and column of the part, and those behind the last. All of each object is in it.
        """
        top, left, bottom, right = box
        numbers = self.numbers(identifier)
        if numbers is not None:
            among = np.zeros(int(numbers.max(initial=0)) + 1, bool)
            among[[number for number in chosen if number < len(among)]] = True
            return np.asarray(among[numbers[top:bottom, left:right]])
        known, disk = self.get(identifier), self.on_disk(identifier)
        if known is None or disk is None or (bottom - top) * (right - left) > MOST_READ:
            return None
        mask = disk.read(slice(top, min(bottom, disk.shape[0])), slice(left, min(right, disk.shape[1])))
        pieces, _ = number_part(np.where(mask == IGNORE, 0, mask).astype(np.uint8))
        rows = [known.table.row_of(number) for number in chosen]
        at = known.pixels[[row for row in rows if row >= 0]] - (top, left)
        return np.asarray(np.isin(pieces, pieces[at[:, 0], at[:, 1]]) & (pieces > 0))

    def on_disk(self, identifier: str) -> DiskMask | None:
        """The mask of an image, if that is on disk: its objects have no ``numbers``."""
        collection = self.workspace.collection
        entry = collection.entries.get(identifier) if collection is not None else None
        return None if entry is None else entry.disk

    def want_numbers(self, identifier: str) -> None:
        """Have ``numbers`` of an image, measured again if need be; of a mask on disk there are none."""
        if (
            self.on_disk(identifier) is None
            and self.numbers(identifier) is None
            and self.key(identifier) is not None
        ):
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
        while not self._measuring and not self._closed.is_set():
            able = (i for i in self._wanted if self.on_disk(i) is None or not self._resting)
            identifier = next(able, "")
            if not identifier:
                return
            del self._wanted[identifier]
            collection, key = self.workspace.collection, self.key(identifier)
            if collection is None or key is None:
                continue
            if self.on_disk(identifier) is None:
                self._measure(collection, identifier, key)
            else:
                self._measure_on_disk(collection, identifier, key)

    def _measure_on_disk(self, collection: Collection, identifier: str, key: Any) -> None:
        from napari_unet.workflow.large_images.layers.measure_mask import MeasureMaskTask

        self._measuring, self.share = identifier, 0.0
        entry = collection.entries[identifier]
        disk = entry.disk
        assert disk is not None
        task = MeasureMaskTask(
            disk.path,
            refer(entry.sample, collection.dataset),
            self.pixel_sizes([identifier]).get(identifier),
        )

        def on_progress(progress: Progress) -> None:
            self.share = progress.done / max(progress.total, 1)

        def on_end(job: Job) -> None:
            self._job = None
            if job.state == "cancelled":
                self._put_off(identifier)
                return
            found = (job.result.table, None, job.result.pixels) if job.state == "done" else None
            self._take(collection, identifier, key, found)

        def start() -> None:
            if self._resting or self._closed.is_set():
                self._put_off(identifier)
                return
            try:
                job = self.runner.engine.submit(task, on_progress, on_end)
            except WorkbenchError:  # the engine is closed
                self._measuring = ""
                return
            self._job = None if job.ended else job

        def written() -> None:
            disk.flush()  # the engine reads what is on the disk
            self._dispatch(start)

        with suppress(RuntimeError):  # closed
            self._pool.submit(written)

    def _put_off(self, identifier: str) -> None:
        """Measure it when the engine has time again."""
        self._wanted = {identifier: None, **self._wanted}
        self._measuring = ""
        self._next()

    def _give_way(self) -> None:
        """Something else needs the engine."""
        self._resting = True
        if self._job is not None:
            self._job.cancel()

    def _resume(self) -> None:
        self._resting = False
        self._next()

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
        found: tuple[ObjectTable, NDArray[np.int32] | None, NDArray[np.int64]] | None,
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
                if numbers is not None:
                    self._numbers[identifier] = key, numbers
                for old in list(self._numbers)[:-NUMBERED]:
                    del self._numbers[old]
                if key != self.key(identifier):
                    self._wanted = {identifier: None, **self._wanted}
            self.changed.emit(identifier)
        self._next()
