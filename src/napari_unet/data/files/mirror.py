"""Places in a row that continues as a mirror at both ends."""

from __future__ import annotations


def mirrored(place: int, reach: int, count: int) -> list[int]:
    """Places from ``place - reach`` to ``place + reach``, mirrored at both ends of a row of `count`."""
    period = max(2 * count - 2, 1)
    wrapped = [n % period for n in range(place - reach, place + reach + 1)]
    return [n if n < count else period - n for n in wrapped]
