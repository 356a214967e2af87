"""What windows that are killed while somebody paints share: a log, and a dock that computes nothing."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class NoEngine:
    """Computes nothing."""

    def submit(self, *_: Any) -> Any:
        """Take a task, and forget it."""
        return None

    def close(self) -> None:
        """Nothing runs."""


class Log:
    """Lines of JSON with the time, each in the file before the next thing happens."""

    def __init__(self, path: str) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)

    def write(self, **line: Any) -> None:
        """Add a line."""
        os.write(self._handle, json.dumps({**line, "t": time.monotonic()}).encode() + b"\n")


def live(until: Callable[[], bool]) -> None:
    """Let the window work until something is so, for half a minute at most."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + 30
    while not until() and time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.002)
