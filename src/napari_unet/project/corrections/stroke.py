"""A stroke: what changed on one image at one time, small enough to be written at once."""

from __future__ import annotations

import json
import math
import struct
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.file_names import composed
from napari_unet.errors import DataError
from napari_unet.plain_json import BAD_CONTENT, parse_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

Box = tuple[int, int, int, int]  # first row, first column, row and column behind the last

VERIFIED = 256  # bit above the eight of the class
JOINED = 512  # bit of what a stroke sets: objects that meet in these pixels are one
CUT = 1024  # the same: objects were cut apart here
KNOWN = 255 + VERIFIED  # bits that a mask and its verified pixels hold
# What is no work of the hand and does not count as a stroke.
QUIET = {"undo", "done", "not done", "prediction", "revert", "earlier version", "preview"}
MAX_PIXELS = 2**31
MAX_BEGUN = 2**20
HEAD = struct.Struct("<H")


@dataclass(frozen=True, eq=False)
class Stroke:
    """What changed on one image at one time.

    Attributes
    ----------
    number : int
        Counts the strokes of a project from 1; later is larger.
    image : str
        Id of the image.
    time : float
        Seconds since 1970.
    kind : str
        What did it: "paint", "undo", "fill holes".
    shape : tuple of int
        (Y, X) of the mask.
    box : tuple of int
        First row, first column, row and column behind the last; all zero where no pixel changed.
    gaps, lengths : numpy.ndarray
        (N,) uint32: pixels of the box, row by row, that stay before each run, and those of the run.
    before, after : numpy.ndarray
        (N,) uint16: class of the run, plus 256 where the person verified it; `after` plus 512 where the
        stroke joined objects, and plus 1024 where it cut them apart.
    done_before, done : bool
        Whether the person verified the whole image.
    seconds : float
        Worked since the stroke before.
    begun : int
        Strokes of the hand that began in it: 0 for what one drag of the brush painted since it was last
        written, which is about every half second.
    """

    number: int
    image: str
    time: float
    kind: str
    shape: tuple[int, int]
    box: Box
    gaps: NDArray[np.uint32]
    lengths: NDArray[np.uint32]
    before: NDArray[np.uint16]
    after: NDArray[np.uint16]
    done_before: bool = False
    done: bool = False
    seconds: float = 0.0
    begun: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "image", composed(self.image))  # as ids are, on every system

    @property
    def pixels(self) -> int:
        """How many changed."""
        return int(self.lengths.sum())

    def inverse(self, **changes: Any) -> Stroke:
        """The stroke that takes this one back."""
        return replace(
            self,
            before=self.after,
            after=self.before,
            done_before=self.done,
            done=self.done_before,
            **changes,
        )

    def where(self) -> NDArray[np.bool_]:
        """(height of the box, width of the box) bool: the pixels that changed."""
        y0, x0, y1, x1 = self.box
        area = (y1 - y0) * (x1 - x0)
        counts = np.zeros(2 * len(self.gaps) + 1, np.int64)
        counts[0:-1:2], counts[1::2] = self.gaps, self.lengths
        counts[-1] = area - counts.sum()
        turns = np.zeros(len(counts), bool)
        turns[1::2] = True
        return np.repeat(turns, counts).reshape(y1 - y0, x1 - x0)

    def values(self) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
        """Before and after: (P,) uint16 each, of the pixels that changed, row by row."""
        return np.repeat(self.before, self.lengths), np.repeat(self.after, self.lengths)

    def apply(self, mask: NDArray[np.uint8], verified: NDArray[np.bool_]) -> None:
        """Do to a mask what was done.

        Parameters
        ----------
        mask : numpy.ndarray
            (Y, X) uint8; written to.
        verified : numpy.ndarray
            (Y, X) bool; written to.

        Raises
        ------
        DataError
            If the mask has another shape.
        """
        if mask.shape != self.shape:
            raise DataError(
                f"a stroke on {self.image} does not fit its mask",
                code="data.stroke.size",
                expected=f"a mask of {self.shape[1]} x {self.shape[0]} pixels",
                got=f"{mask.shape[1]} x {mask.shape[0]}",
                remedy="use the project with the images it was made with",
            )
        if not len(self.gaps):
            return
        y0, x0, y1, x1 = self.box
        where = self.where()
        after = np.repeat(self.after, self.lengths)
        mask[y0:y1, x0:x1][where] = (after & 255).astype(np.uint8)
        verified[y0:y1, x0:x1][where] = after & VERIFIED != 0

    def to_bytes(self) -> bytes:
        """Header as JSON, then the runs, deflated."""
        header = {
            "n": self.number, "id": self.image, "t": round(self.time, 3), "kind": self.kind,
            "shape": self.shape, "box": self.box, "runs": len(self.gaps),
            "done": [int(self.done_before), int(self.done)], "s": round(self.seconds, 2),
        }  # fmt: skip
        if self.begun != 1:
            header["begun"] = self.begun
        text = json.dumps(header, separators=(",", ":")).encode()
        planes = b"".join(_planes(a) for a in (self.gaps, self.lengths, self.before, self.after))
        return HEAD.pack(len(text)) + text + zlib.compress(planes)

    @classmethod
    def from_bytes(cls, data: bytes) -> Stroke:
        """Read what ``to_bytes`` wrote.

        Raises
        ------
        DataError
            If it is damaged; nothing larger than the image is ever built.
        """
        try:
            (length,) = HEAD.unpack_from(data)
            text, blob = data[2 : 2 + length], data[2 + length :]
            header = parse_json(text)
            height, width = (int(n) for n in header["shape"])
            y0, x0, y1, x1 = (int(n) for n in header["box"])
            runs = int(header["runs"])
            area = (y1 - y0) * (x1 - x0)
            inside = 0 <= y0 <= y1 <= height and 0 <= x0 <= x1 <= width
            if not inside or height * width > MAX_PIXELS or not 0 <= runs <= area:
                raise ValueError("a box outside of its image")
            raw = zlib.decompressobj().decompress(blob, 12 * runs + 1)
            if len(raw) != 12 * runs:
                raise ValueError("runs are missing")
            gaps = _from_planes(raw[: 4 * runs], np.uint32)
            lengths = _from_planes(raw[4 * runs : 8 * runs], np.uint32)
            if int(gaps.sum(dtype=np.int64) + lengths.sum(dtype=np.int64)) > area:
                raise ValueError("runs leave their box")
            before, after = header["done"]
            begun = int(header.get("begun", 1))  # earlier versions do not say it
            if not 0 <= begun <= MAX_BEGUN:
                raise ValueError("strokes that cannot be counted")
            seconds, moment = float(header["s"]), float(header["t"])
            if not (math.isfinite(seconds) and math.isfinite(moment)):
                raise ValueError("a time that is no number")
            return cls(
                int(header["n"]), str(header["id"]), moment, str(header["kind"]),
                (height, width), (y0, x0, y1, x1), gaps, lengths,
                _from_planes(raw[8 * runs : 10 * runs], np.uint16),
                _from_planes(raw[10 * runs :], np.uint16),
                bool(before), bool(after), seconds, begun,
            )  # fmt: skip
        except (*BAD_CONTENT, struct.error, zlib.error) as error:
            raise DataError("a stroke is damaged", code="data.stroke.damaged", reason=str(error)) from error


def _planes(array: NDArray[Any]) -> bytes:
    """Bytes of the same weight together, which deflates to half the size."""
    little = array.astype(array.dtype.newbyteorder("<"))
    return little.view(np.uint8).reshape(len(array), array.itemsize).T.tobytes()


def _from_planes(data: bytes, dtype: type[np.uint16 | np.uint32]) -> NDArray[Any]:
    size = np.dtype(dtype).itemsize
    together = np.frombuffer(data, np.uint8).reshape(size, -1).T
    return np.ascontiguousarray(together).view(np.dtype(dtype).newbyteorder("<")).reshape(-1).astype(dtype)


def joined(first: Stroke, second: Stroke) -> Stroke:
    """Two strokes on one image, the second right after the first, as one with the number of the second."""
    y0, x0, y1, x1 = second.box
    if first.pixels and second.pixels:
        y0, x0 = min(y0, first.box[0]), min(x0, first.box[1])
        y1, x1 = max(y1, first.box[2]), max(x1, first.box[3])
    elif first.pixels:
        y0, x0, y1, x1 = first.box
    before, after = np.zeros((y1 - y0, x1 - x0), np.uint16), np.zeros((y1 - y0, x1 - x0), np.uint16)
    # What was there before the first, and what the second left, stand in the end.
    for states_there, order, which in ((before, (second, first), 0), (after, (first, second), 1)):
        for stroke in order:
            if stroke.pixels:
                top, left, bottom, right = stroke.box
                part = states_there[top - y0 : bottom - y0, left - x0 : right - x0]
                part[stroke.where()] = stroke.values()[which]
    box, gaps, lengths, old, new = changed_runs(before, after, (y0, x0))
    return replace(
        second,
        kind=first.kind,
        box=box,
        gaps=gaps,
        lengths=lengths,
        before=old,
        after=new,
        done_before=first.done_before,
        seconds=first.seconds + second.seconds,
        begun=first.begun + second.begun,
    )


def done_again(stroke: Stroke, mask: NDArray[np.uint8], verified: NDArray[np.bool_], done: bool) -> Stroke:
    """The stroke that sets on another mask what this one set: the same pixels, to the same.

    Parameters
    ----------
    stroke : Stroke
        What was done.
    mask, verified : numpy.ndarray
        (Y, X) uint8 and bool, of the other mask.
    done : bool
        Whether the person verifies all of that.
    """
    y0, x0, y1, x1 = stroke.box
    before = states(mask[y0:y1, x0:x1], verified[y0:y1, x0:x1])
    after = before.copy()
    if stroke.pixels:
        after[stroke.where()] = stroke.values()[1]
        before[stroke.where()] |= stroke.values()[0] & np.uint16(JOINED | CUT)  # or losing them is no change
    box, gaps, lengths, old, new = changed_runs(before, after, (y0, x0))
    changed = stroke.done != stroke.done_before
    return replace(
        stroke, box=box, gaps=gaps, lengths=lengths, before=old, after=new,
        done_before=done, done=stroke.done if changed else done,
    )  # fmt: skip


def takes_back(stroke: Stroke, last: Stroke) -> bool:
    """Whether a stroke sets all pixels, and only those, that the last one set, to what they were."""
    if stroke.box != last.box or stroke.pixels != last.pixels or not stroke.pixels:
        return False
    if not np.array_equal(stroke.where(), last.where()):
        return False
    return np.array_equal(stroke.values()[1] & 255, last.values()[0] & 255)


def ends_in(stroke: Stroke, mask: NDArray[np.uint8], verified: NDArray[np.bool_]) -> bool:
    """Whether a mask is what a stroke left."""
    y0, x0, y1, x1 = stroke.box
    now = states(mask[y0:y1, x0:x1], verified[y0:y1, x0:x1])
    return not stroke.pixels or np.array_equal(now[stroke.where()], stroke.values()[1] & KNOWN)


def marked_pixels(strokes: Iterable[Stroke], mark: int) -> NDArray[np.bool_] | None:
    """The pixels in which a person joined objects, or cut them apart.

    Parameters
    ----------
    strokes : iterable of Stroke
        All on one image, the oldest first.
    mark : int
        ``JOINED`` or ``CUT``.

    Returns
    -------
    numpy.ndarray or None
        (Y, X) bool: what a stroke marked, until another one changes it; an undo brings it back. None if there
        are none.
    """
    done: list[Stroke] = []
    for stroke in strokes:
        if stroke.kind != "undo":
            done.append(stroke)
            continue
        while done and done[-1].begun == 0:  # parts of one drag are taken back together
            done.pop()
        if done:
            done.pop()
    if not any((stroke.after & mark).any() for stroke in done):
        return None
    marked = np.zeros(done[0].shape, bool)
    for stroke in done:
        if stroke.pixels:
            y0, x0, y1, x1 = stroke.box
            marked[y0:y1, x0:x1][stroke.where()] = stroke.values()[1] & mark != 0
    return marked if marked.any() else None


def mark_bits(strokes: Iterable[Stroke], shape: tuple[int, ...]) -> NDArray[np.uint16]:
    """(Y, X) uint16: ``JOINED`` and ``CUT`` of every pixel after these strokes, all on one image."""
    known, bits = list(strokes), np.zeros(shape, np.uint16)
    for mark in (JOINED, CUT):
        marked = marked_pixels(known, mark)
        if marked is not None:
            bits[marked] |= np.uint16(mark)
    return bits


def states(mask: NDArray[np.uint8], verified: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Class, plus 256 where verified, in one number a pixel, uint16."""
    return mask.astype(np.uint16) + verified.astype(np.uint16) * np.uint16(VERIFIED)


def changed_runs(
    before: NDArray[np.uint16], after: NDArray[np.uint16], origin: tuple[int, int] = (0, 0)
) -> tuple[Box, NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint16], NDArray[np.uint16]]:
    """Runs of equal change, row by row, within the smallest box around all changes.

    Parameters
    ----------
    before, after : numpy.ndarray
        (Y, X) uint16 of ``states``.
    origin : tuple of int
        Row and column of their first pixel in the whole image.

    Returns
    -------
    tuple
        Box, gaps, lengths, before, after, as in ``Stroke``.
    """
    changed = before != after
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    if not len(rows):
        none, no_state = np.zeros(0, np.uint32), np.zeros(0, np.uint16)
        return (0, 0, 0, 0), none, none, no_state, no_state
    y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    inside = changed[y0:y1, x0:x1].ravel()
    old, new = before[y0:y1, x0:x1].ravel(), after[y0:y1, x0:x1].ravel()
    # A run ends where the change does, and where it becomes another one.
    parts = np.ones(len(inside), bool)
    parts[1:] = (inside[1:] != inside[:-1]) | (old[1:] != old[:-1]) | (new[1:] != new[:-1])
    starts = np.flatnonzero(parts & inside)
    parts |= ~inside
    bounds = np.append(np.flatnonzero(parts), len(inside))
    ends = bounds[np.searchsorted(bounds, starts, side="right")]
    gaps = starts - np.concatenate([[0], ends[:-1]])
    box = (y0 + origin[0], x0 + origin[1], y1 + origin[0], x1 + origin[1])
    return (
        box,
        gaps.astype(np.uint32),
        (ends - starts).astype(np.uint32),
        old[starts].copy(),
        new[starts].copy(),
    )
