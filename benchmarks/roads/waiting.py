"""Let the window live, in its own event loop, until something is so."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK = 3  # milliseconds between two looks at whether something is so


def spin(until: Callable[[], bool], most: float = 120.0) -> float:
    """Wait until something is so; gives the seconds it took.

    Parameters
    ----------
    until : callable
        () -> whether it is so.
    most : float
        Seconds after which it is given up.

    Raises
    ------
    TimeoutError
        If it does not come.
    """
    from qtpy.QtCore import QEventLoop, QTimer

    start = time.perf_counter()
    loop, timer = QEventLoop(), QTimer()
    failed: list[Exception] = []

    def look() -> None:
        try:
            there = until()
        except Exception as error:  # noqa: BLE001 - Qt would go on for ever; it is raised below
            failed.append(error)
            there = True
        if there or time.perf_counter() - start > most:
            loop.quit()

    timer.timeout.connect(look)
    timer.start(LOOK)
    loop.exec()
    timer.stop()
    if failed:
        raise failed[0]
    if time.perf_counter() - start > most:
        raise TimeoutError("waited in vain")
    return time.perf_counter() - start


def rest(seconds: float) -> None:
    """Let the window live for a while."""
    end = time.perf_counter() + seconds
    spin(lambda: time.perf_counter() >= end)
