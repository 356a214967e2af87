"""LZW in TIFF, looked at before imagecodecs decodes it: some damaged streams make it end the process.

A stream is a sequence of numbers of 9 to 12 bits. 256 empties the table of known pieces, and the number that
follows must be a byte, because there are no pieces yet. imagecodecs does not look: it takes a larger number
for a piece, and reads wherever the memory of that piece happens to point to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

EMPTY, END, FIRST = 256, 257, 258  # the numbers that are no bytes, and the first piece of the table
LARGEST = 5120  # pieces that imagecodecs has room for; it refuses more
LZW = 5  # of the ways to compress that TIFF numbers
BITS = 9  # of a number when the table is empty
OFTEN = 64  # bytes: programs do not empty the table more often than once in so many, or in a small stream


def check_lzw(data: bytes, size: int | None = None) -> None:
    """Refuse a stream whose table is emptied and then used.

    Parameters
    ----------
    data : bytes
        The stream.
    size : int, optional
        Bytes that are wanted of what it holds; what comes later in it does not matter.

    Raises
    ------
    ValueError
        If it does so, or empties its table all the time.
    """
    stream = np.frombuffer(data, np.uint8)
    if len(stream) < 2:
        return
    old = bool(stream[0] == 0 and stream[1] & 1)  # of the days before TIFF 6: bits in the other order
    if not old and (stream[0] != 128 or stream[1] & 128):
        return  # does not begin with 256: imagecodecs refuses it
    offsets, widths = _places(old)
    place, read, emptied = BITS, 0, 0
    while size is None or read < size:
        numbers = _numbers(stream, place, offsets, widths, old)
        if not len(numbers) or numbers[0] == END:
            return
        if numbers[0] > END:
            raise ValueError("LZW that is damaged: a piece is used before there is one")
        stops = np.flatnonzero((numbers == EMPTY) | (numbers == END))
        if not len(stops) or numbers[stops[0]] == END:
            return
        place += int(offsets[stops[0]] + widths[stops[0]])
        read += int(stops[0])
        emptied += 1
        if emptied > 1000 + len(stream) // OFTEN:
            raise ValueError("LZW that is damaged: its table is emptied all the time")


@lru_cache(2)
def _places(old: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where numbers stand after one that emptied the table, in bits, and how many bits they have."""
    # Every number after the first adds a piece to the table; the width grows with it, in the newer way by
    # one number too early.
    pieces = np.maximum(FIRST - 1 + np.arange(LARGEST - FIRST + 2), FIRST)
    limits = np.array([512, 1024, 2048]) - (not old)
    widths = BITS + np.searchsorted(limits, pieces, side="right").astype(np.int64)
    return np.concatenate([[0], np.cumsum(widths)[:-1]]), widths


def _numbers(
    stream: NDArray[np.uint8], place: int, offsets: NDArray[np.int64], widths: NDArray[np.int64], old: bool
) -> NDArray[np.int64]:
    """The numbers from a bit on, as many as the stream or the table may hold."""
    count = int(np.searchsorted(offsets + widths, 8 * len(stream) - place, side="right"))
    bits = place % 8 + offsets[:count]
    start = place // 8
    piece = stream[start : start + int(bits[-1]) // 8 + 3].astype(np.int64) if count else stream[:0]
    if not count:
        return np.zeros(0, np.int64)
    piece = np.concatenate([piece, np.zeros(3, np.int64)])
    first = bits >> 3
    a, b, c = piece[first], piece[first + 1], piece[first + 2]
    mask = (1 << widths[:count]) - 1
    if old:
        return np.asarray(((c << 16 | b << 8 | a) >> (bits & 7)) & mask)
    return np.asarray(((a << 16 | b << 8 | c) >> (24 - widths[:count] - (bits & 7))) & mask)


class CheckedCodecs(Mapping[int, Callable[..., Any]]):
    """tifffile's functions that decompress, of which that for LZW looks at a stream first."""

    def __init__(self, codecs: Mapping[int, Callable[..., Any]]) -> None:
        self._codecs = codecs

    def __getitem__(self, number: int) -> Callable[..., Any]:
        codec = self._codecs[number]
        if number != LZW:
            return codec

        def decode(data: Any, *args: Any, out: Any = None, **options: Any) -> Any:
            check_lzw(bytes(data), out if isinstance(out, int) else None)
            return codec(data, *args, out=out, **options)

        return decode

    def __iter__(self) -> Iterator[int]:
        return iter(self._codecs)

    def __len__(self) -> int:
        return len(self._codecs)


def careful_tifffile() -> Any:
    """The module tifffile, looking at LZW before it is decoded: for all of this process."""
    import tifffile

    if not isinstance(tifffile.TIFF.DECOMPRESSORS, CheckedCodecs):
        tifffile.TIFF.DECOMPRESSORS = CheckedCodecs(tifffile.TIFF.DECOMPRESSORS)
    return tifffile
