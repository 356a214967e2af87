"""Reading ahead and writing behind, so that the network need not wait for files."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from napari_unet.errors import WorkbenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.data.sample import Sample

AHEAD = 32  # images, at most
AHEAD_BYTES = 2**25  # of them; one more may be in memory, however large
WRITERS = 2  # threads, which wait for the disk most of the time
BEHIND = 32  # results that wait to be written, at most
BEHIND_BYTES = 2**27  # of them; one more may be in memory, however large

Result = TypeVar("Result")


def read_ahead(samples: Iterable[Sample]) -> Iterator[Sample]:
    """Samples whose images another thread reads before they are asked for, in order.

    Parameters
    ----------
    samples : iterable of Sample
        Whose images may be read in any one thread.

    Yields
    ------
    Sample
        With the image in memory; what went wrong with it is raised when it is asked for.
    """
    reader = _Reader(samples)
    reader.thread.start()
    try:
        yield from reader.finished()
    finally:
        reader.stop()


class _Reader:
    """The thread that reads, and what it has read."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self.samples = samples
        self.thread = threading.Thread(target=self._read, name="reader", daemon=True)
        self._changed = threading.Condition()
        self._ready: deque[tuple[Sample, int]] = deque()
        self._bytes = 0
        self._over = False  # nothing more comes
        self._stopped = False  # nothing more is wanted
        self._error: BaseException | None = None

    def finished(self) -> Iterator[Sample]:
        """What is read, as it comes."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ready or self._over)
                if not self._ready:
                    if self._error is not None:
                        raise self._error
                    return
                sample, size = self._ready.popleft()
                self._bytes -= size
                self._changed.notify_all()
            yield sample

    def stop(self) -> None:
        """End the thread after the current image."""
        with self._changed:
            self._stopped = True
            self._ready.clear()
            self._changed.notify_all()
        self.thread.join()

    def _read(self) -> None:
        try:
            for sample in self.samples:
                with self._changed:
                    self._changed.wait_for(self._wanted)
                    if self._stopped:
                        return
                ready, size = _loaded(sample)
                with self._changed:
                    self._ready.append((ready, size))
                    self._bytes += size
                    self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001 - raised where the samples are asked for
            self._error = error
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _wanted(self) -> bool:
        return self._stopped or (len(self._ready) < AHEAD and self._bytes < AHEAD_BYTES)


def _loaded(sample: Sample) -> tuple[Sample, int]:
    """A sample that has its image, or its error, in memory, and how many bytes that takes."""
    try:
        image = sample.read_image()
    except WorkbenchError as error:
        return replace(sample, load_image=_raising(error)), 0
    return replace(sample, load_image=_giving(image)), image.nbytes


def _giving(image: NDArray[np.generic]) -> Callable[[], NDArray[np.generic]]:
    return lambda: image


def _raising(error: WorkbenchError) -> Callable[[], NDArray[np.generic]]:
    def raise_it() -> NDArray[np.generic]:
        raise error

    return raise_it


def written_behind(calls: Iterable[tuple[Callable[[], Result], int]]) -> list[Result]:
    """Run calls in other threads, while the next ones are being made.

    Parameters
    ----------
    calls : iterable of (callable, int)
        Each may wait for a file of its own, and holds so many bytes until it has run. Few wait at a time;
        what was taken from this is run, also where it raises.

    Returns
    -------
    list
        What they gave, in order. The first error is raised.
    """
    done: list[Result] = []
    waiting: deque[tuple[Future[Result], int]] = deque()
    held = 0
    with ThreadPoolExecutor(WRITERS, "writer") as pool:
        for call, size in calls:
            waiting.append((pool.submit(call), size))
            held += size
            while waiting and (len(waiting) > BEHIND or held > BEHIND_BYTES or waiting[0][0].done()):
                first, size = waiting.popleft()
                done.append(first.result())
                held -= size
        done.extend(future.result() for future, _ in waiting)
    return done
