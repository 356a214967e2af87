"""Durations and numbers in words."""

from __future__ import annotations

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
