"""From other threads into the window's, a little at a time."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

if TYPE_CHECKING:
    from collections.abc import Callable

SLICE = 0.008  # seconds in a row that the window gives to what arrives


class Dispatcher(QObject):  # type: ignore[misc]
    """Runs functions that other threads hand over in the thread that made it, in order.

    However much arrives, the window never waits longer than one function and a few milliseconds:
    after those it first sees to clicks and paint. A function that raises is reported as any error of the
    window is (``sys.excepthook``), and does not keep those behind it from running.
    """

    _arrived = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._waiting: deque[Callable[[], None]] = deque()
        self._closed = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._work)
        self._arrived.connect(self._wake)

    def __call__(self, function: Callable[[], None]) -> None:
        """Have a function run soon; from any thread."""
        if not self._closed:
            self._waiting.append(function)
            self._arrived.emit()

    def close(self) -> None:
        """Run nothing any more."""
        self._closed = True
        self._waiting.clear()
        self._timer.stop()

    def _wake(self) -> None:
        if not self._timer.isActive() and not self._closed:
            self._timer.start(0)

    def _work(self) -> None:
        until = time.perf_counter() + SLICE
        try:
            while self._waiting and not self._closed:
                self._waiting.popleft()()
                if time.perf_counter() >= until:
                    break
        finally:
            # Also when a function fails: napari shows its error, and what waits behind it still runs.
            if self._waiting and not self._closed:
                self._timer.start(1)
