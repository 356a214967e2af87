"""What is wrong with single images of the data set that is open, found in the background."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from napari_unet.data.inspection.inspect_dataset import inspect_dataset
from napari_unet.errors import Cancelled
from napari_unet.progress import CancelToken

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.progress import Progress
    from napari_unet.session.images.collection import Collection

BREATH = 0.002  # seconds after each image in which the window has the interpreter to itself


class DataProblems:
    """Inspects a data set in a thread of its own, and notes in its images what `inspect` says of them.

    Parameters
    ----------
    dispatch : callable
        Runs a function in the thread that `changed` is wanted in.
    changed : callable
        (ids) of the images that have a problem.
    """

    def __init__(
        self, dispatch: Callable[[Callable[[], None]], None], changed: Callable[[tuple[str, ...]], None]
    ) -> None:
        self._dispatch = dispatch
        self._changed = changed
        self._pool = ThreadPoolExecutor(1, "problems")
        self._closed = threading.Event()
        self._cancel = CancelToken()

    def look_for(self, collection: Collection | None) -> None:
        """Inspect the data set of a collection, unless that was done before; another one is given up."""
        self._cancel.cancel()
        if collection is None or collection.dataset is None or collection.inspected or self._closed.is_set():
            return
        dataset, cancel = collection.dataset, CancelToken()
        self._cancel = cancel

        def pause(progress: Progress) -> None:
            self._closed.wait(BREATH)

        def compute() -> None:
            with contextlib.suppress(Cancelled):
                inspection = inspect_dataset(dataset, pause, cancel)
                found, alike = inspection.images_with_problems(), inspection.look_alikes()
                self._dispatch(lambda: tell(found, alike))

        def tell(found: dict[str, str], alike: dict[str, str]) -> None:
            if self._closed.is_set():
                return
            collection.inspected = True
            known = {i: what for i, what in found.items() if i in collection.entries}
            for identifier, what in known.items():
                collection.entries[identifier].flaw = what
            near = {i: what for i, what in alike.items() if i in collection.entries}
            for identifier, what in near.items():
                collection.entries[identifier].look_alike = what
            self._changed(tuple({**known, **near}))

        self._pool.submit(compute)

    def close(self) -> None:
        """Inspect nothing any more."""
        self._closed.set()
        self._cancel.cancel()
        self._pool.shutdown(wait=True, cancel_futures=True)
