"""Durations, numbers and progress in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_unet.progress import Progress

LINK_TIP = (
    "<qt>Give an object one number in all slices. Objects in neighbouring slices are one object where they "
    "overlap by a quarter or more.</qt>"
)


def duration(seconds: float) -> str:
    """A time for people: "8 s", "2 min", "1 h 5 min"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def count(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: "1 object", "3,298 images"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def progress_words(progress: Progress, what: str = "") -> str:
    """How far a task is: "Exporting: 3 of 15, 4 s left"; what it says of itself before it has begun.

    Parameters
    ----------
    progress : Progress
        Of the task.
    what : str
        What the task does; its own message if empty.
    """
    words = what or progress.message
    total = int(progress.total)
    if progress.done and total > 1:
        far = f"{int(progress.done):,} of {total:,}"
        words = far if words == "Segmenting" else f"{words}: {far}"
    if progress.seconds_left is not None and progress.done < progress.total:
        words += f", {duration(progress.seconds_left)} left"
    return words
