"""How work tells its progress, and how it is asked to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from napari_unet.errors import Cancelled

Item = TypeVar("Item")
NEARLY_DONE = 0.05  # share left, below which the time left says nothing of a whole piece


@dataclass(frozen=True)
class Progress:
    """How far a task has come.

    Attributes
    ----------
    done, total : float
        Units finished and units in all; total 0 means unknown.
    message : str
        What is being done, for a person.
    seconds_left : float or None
        Estimate of the remaining time; None while unknown.
    values : mapping
        Numbers worth showing (loss, IoU).
    piece : object
        A finished part of the result, for those who do not want to wait for the rest; None if there
        is none. What has come this way stays when the task is stopped.
    """

    done: float
    total: float
    message: str = ""
    seconds_left: float | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    piece: object = None


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class Stage:
    """Reports one of several pieces of work, of about the same length, as its share of the whole.

    Attributes
    ----------
    on_progress : callable
        Takes the reports.
    number, count : int
        Which piece it is, from 1 on, and of how many.
    what : str
        What a piece is called, as "Model".
    """

    on_progress: OnProgress
    number: int
    count: int
    what: str

    def __call__(self, progress: Progress) -> None:
        """Pass a report on."""
        share = progress.done / progress.total if progress.total else 0.0
        left = progress.seconds_left
        if left is not None and share > 0:
            left += left / max(1 - share, NEARLY_DONE) * (self.count - self.number)
        words = f"{self.what} {self.number} of {self.count}: {progress.message}"
        done = self.number - 1 + share
        self.on_progress(Progress(done, self.count, words, left, progress.values, progress.piece))


def ignore_progress(progress: Progress) -> None:
    """Take progress and tell nobody."""


class CancelToken:
    """Asked between pieces of work whether the person wants to stop."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the task to stop at the next opportunity."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked to stop."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise Cancelled if somebody asked to stop."""
        if self.cancelled:
            raise Cancelled


def tracked(
    items: Iterable[Item],
    total: int,
    message: str,
    on_progress: OnProgress = ignore_progress,
    cancel: CancelToken | None = None,
) -> Iterator[Item]:
    """Go through items, reporting progress with time left after each, stopping when asked.

    Parameters
    ----------
    items : iterable
        What to go through.
    total : int
        How many there are.
    message : str
        What is being done.
    on_progress : callable
        Takes a Progress.
    cancel : CancelToken, optional
        Checked before every item.

    Raises
    ------
    Cancelled
        When the token was set.
    """
    start = time.monotonic()
    for index, item in enumerate(items):
        if cancel is not None:
            cancel.check()
        yield item
        passed = time.monotonic() - start
        left = passed / (index + 1) * (total - index - 1)
        on_progress(Progress(index + 1, total, message, left))
