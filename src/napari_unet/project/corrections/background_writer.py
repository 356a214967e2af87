"""Writes strokes and masks aside, in order, and tries again where the disk refuses."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from napari_unet.errors import WorkbenchError, unwritable
from napari_unet.project.corrections.stroke import Stroke

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

RETRY_SECONDS = 2.0
LONGEST_REST = 10.0  # seconds that masks wait for a hand that paints without a pause


class BackgroundWriter:
    """A thread that writes what it is given; what cannot be written waits in memory.

    Strokes go first, in order, so that none waits for the masks of many images.

    Parameters
    ----------
    append : callable
        (strokes) writes them to the journal; raises OSError or OutputError where it cannot.
    save : callable
        (id) writes the mask of an image; raises likewise.
    ready : callable
        () raises OutputError while the folder must not be written to at all.
    on_trouble : callable
        (sentence) when writing fails first, and ("") when all is written again; called in the thread.
    retry_seconds : float
        Between two tries.
    rest : float
        Seconds without a stroke before masks are saved. Where saving takes many steps of Python, the window
        would wait for each of them with every line that it draws; so it comes when the hand rests.
    """

    def __init__(
        self,
        append: Callable[[Iterable[Stroke]], None],
        save: Callable[[str], None],
        ready: Callable[[], None] = lambda: None,
        on_trouble: Callable[[str], None] = lambda sentence: None,
        retry_seconds: float = RETRY_SECONDS,
        rest: float = 0.0,
    ) -> None:
        self._append, self._save, self._ready, self._on_trouble = append, save, ready, on_trouble
        self.retry_seconds, self.rest = retry_seconds, rest
        self._at_rest = self._since = 0.0  # when masks may be saved; since when the first of them waits
        self._flushing = 0  # who waits for all of it
        self.trouble = ""
        self._urgent: deque[Stroke | str] = deque()
        self._later: deque[str] = deque()
        self._changed = threading.Condition()
        self._busy = self._closed = self._urged = self._failed = False
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Strokes that are in memory only."""
        with self._changed:
            return self._strokes()

    def holds(self, identifier: str) -> bool:
        """Whether strokes of an image, or what it started from, are in memory only."""
        with self._changed:
            return any((i if isinstance(i, str) else i.image) == identifier for i in self._urgent)

    def append(self, stroke: Stroke) -> None:
        """Have a stroke written at once."""
        with self._changed:
            self._urgent.append(stroke)
            self._at_rest = time.monotonic() + self.rest
            self._changed.notify_all()

    def save(self, identifier: str, *, first: bool = False) -> None:
        """Have the mask of an image written when there is time, or, `first`, before any stroke to come."""
        with self._changed:
            if first:
                self._urgent.append(identifier)
            elif identifier not in self._later:
                self._since = self._since if self._later else time.monotonic()
                self._later.append(identifier)
            self._changed.notify_all()

    def flush(self, timeout: float = 30.0) -> bool:
        """Wait until all is written; gives back whether it is. Where writing fails, tries once more."""
        end = time.monotonic() + timeout
        with self._changed:
            self._urged = True
            self._flushing += 1
            self._changed.notify_all()
            try:
                while self._urgent or self._later or self._busy:
                    left = end - time.monotonic()
                    if left <= 0 or (self._failed and not self._urged and not self._busy):
                        return False
                    self._changed.wait(left)
            finally:
                self._flushing -= 1
            return True

    def close(self) -> None:
        """End the thread; what is not written by then is lost, so ``flush`` first."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._loop()
        except Exception as error:
            self._failed = True
            self.trouble = f"Saving has stopped, by a fault of this program: {error!r}. Rescue the masks."
            self._on_trouble(self.trouble)
            raise

    def _loop(self) -> None:
        while True:
            with self._changed:
                while not (self._urgent or self._later or self._closed):
                    self._changed.wait()
                if self._closed:
                    return
                if (left := self._rest_left()) > 0:
                    self._changed.wait(left)
                    continue
                queue, batch = self._next_batch()
                self._busy, self._urged = True, False
            error = self._write(batch)
            with self._changed:
                if error is None:
                    for _ in batch:
                        queue.popleft()
                news = self._news(error)
            if news is not None:
                self._on_trouble(news)
            with self._changed:
                self._busy, self._failed = False, error is not None
                self._changed.notify_all()
                if error is not None and not (self._closed or self._urged):
                    self._changed.wait_for(lambda: self._closed or self._urged, self.retry_seconds)

    def _rest_left(self) -> float:
        """Seconds until what waits may be written; strokes may be at once."""
        if self._urgent or self._flushing:
            return 0.0
        return min(self._at_rest, self._since + LONGEST_REST) - time.monotonic()

    def _next_batch(self) -> tuple[deque[Any], list[Stroke | str]]:
        """One save, or all strokes up to the next, and the queue that they stand in."""
        if not self._urgent:
            return self._later, [self._later[0]]
        batch: list[Stroke | str] = []
        for item in self._urgent:
            if isinstance(item, str):
                return self._urgent, batch or [item]
            batch.append(item)
        return self._urgent, batch

    def _strokes(self) -> int:
        return sum(isinstance(item, Stroke) for item in self._urgent)

    def _write(self, batch: list[Stroke | str]) -> WorkbenchError | None:
        try:
            self._ready()
            strokes = [item for item in batch if isinstance(item, Stroke)]
            if strokes:
                self._append(strokes)
            else:
                self._save(str(batch[0]))
        except WorkbenchError as error:
            return error
        except OSError as error:
            return unwritable("the project cannot be written to", error, "")
        return None

    def _news(self, error: WorkbenchError | None) -> str | None:
        """What to tell, if it is news."""
        if error is None:
            if not self.trouble or self._urgent or self._later:
                return None
            self.trouble = ""
            return ""
        first = not self.trouble
        count = self._strokes()
        kept = f"{count} stroke{'s are' if count != 1 else ' is'} held in memory" if count else "masks wait"
        reason = error.sentence.rstrip(".")
        self.trouble = (
            f"Painting continues, but {reason}; {kept} and will be saved as soon as that is possible."
        )
        return self.trouble if first else None


class NoWriter:
    """Stands where strokes would be written, for corrections that have no folder yet."""

    def append(self, stroke: Stroke) -> None:
        """Nothing to do: the store has it."""

    def save(self, identifier: str, *, first: bool = False) -> None:
        """Nothing to do: the store has it."""
