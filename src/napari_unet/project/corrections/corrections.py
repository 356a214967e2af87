"""What a person painted: strokes in, masks with what is verified out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_unet.errors import DataError, OutputError
from napari_unet.project.corrections.background_writer import BackgroundWriter, NoWriter
from napari_unet.project.corrections.correction import Correction, MaskSnapshot, MaskVersion
from napari_unet.project.corrections.mask_files import CorrectionStats, StoredCorrection
from napari_unet.project.corrections.memory_store import MemoryStore, frozen
from napari_unet.project.corrections.stroke import (
    Box,
    Stroke,
    changed_runs,
    done_again,
    ends_in,
    joined,
    states,
    takes_back,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.data.sample import Sample

IDLE_SECONDS = 30.0  # a longer pause between two strokes is no work
RESERVED_OF = 5  # every fifth image judges and is never trained on
MOST_UNDONE = 100
MOST_UNSAVED = 4  # images whose masks are in memory only though their strokes are written
NO_RUNS = changed_runs(np.zeros((0, 0), np.uint16), np.zeros((0, 0), np.uint16))
Part = Literal["train", "held-out"]


class Corrections(Mapping[str, Correction]):
    """Owns what people painted on images: first in memory, then in the folder of a project.

    In a project every change is on its way to the disk when a method returns. ``in_memory`` makes those that
    have no folder yet; those of a project take them over, stroke by stroke. Arrays that are handed out are
    read-only and never change. All methods may be called from any thread.

    Parameters
    ----------
    samples : callable
        (id) -> the sample of an image.
    files : MemoryStore
        Where masks are kept.
    part_of : callable
        (id) -> part in the project's split, or None.
    reserve : bool
        Whether every fifth image judges and is never trained on.
    lock : threading.RLock
        That of the files.
    clock : callable
        () -> seconds since 1970.
    """

    def __init__(
        self,
        samples: Callable[[str], Sample],
        files: MemoryStore,
        part_of: Callable[[str], str | None],
        reserve: bool,
        lock: Any,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sample, self._files, self._part_of = samples, files, part_of
        self.reserve = reserve
        self._clock = clock
        self._lock: Any = lock
        self._undoable: dict[str, list[Stroke]] = {}
        self._last_time: float | None = None
        self.writer: BackgroundWriter | NoWriter | None = None

    @classmethod
    def in_memory(cls) -> Corrections:
        """Corrections of images that no project has yet."""

        def nothing(identifier: str) -> Sample:
            raise KeyError(identifier)

        corrections = cls(nothing, MemoryStore(), lambda identifier: None, True, threading.RLock())
        corrections.writer = NoWriter()
        return corrections

    # reading

    @property
    def read_only(self) -> bool:
        """Whether every change is refused, as the project is closed or only looked at."""
        return self.writer is None

    @property
    def is_in_memory(self) -> bool:
        """Whether they have no folder yet."""
        return isinstance(self.writer, NoWriter)

    def __getitem__(self, identifier: str) -> Correction:
        """The correction of an image.

        Raises
        ------
        KeyError
            If nobody worked on it.
        DataError
            If its file cannot be read.
        """
        with self._lock:
            stored = self._files.load(identifier)
            if stored is None:
                raise KeyError(identifier)
            frozen(stored)
            return Correction(identifier, stored.mask, stored.verified, stored.prediction, stored.stats)

    def mask(self, identifier: str) -> NDArray[np.uint8]:
        """(Y, X) uint8: the mask of an image as a person left it; errors as of the correction."""
        with self._lock:
            stored = self._files.load(identifier)
            if stored is None:
                raise KeyError(identifier)
            stored.mask.flags.writeable = False
            return stored.mask

    def __iter__(self) -> Iterator[str]:
        with self._lock:
            return iter(list(self._files.stats))

    def __len__(self) -> int:
        return len(self._files.stats)

    def __contains__(self, identifier: object) -> bool:
        return identifier in self._files.stats

    def stats(self, identifier: str) -> CorrectionStats:
        """What is known of a correction without its pixels; all zero if nobody worked on the image."""
        return self._files.stats.get(identifier, CorrectionStats())

    def total(self) -> CorrectionStats:
        """Strokes, pixels and seconds of all images together; ``number`` is that of the last stroke."""
        with self._lock:
            every = list(self._files.stats.values())
        return CorrectionStats(
            max((e.number for e in every), default=0),
            False,
            sum(e.strokes for e in every),
            sum(e.changed for e in every),
            sum(e.seconds for e in every),
            sum(e.verified for e in every),
        )

    @property
    def last(self) -> int:
        """Number of the last stroke."""
        return self._files.last

    def has_evidence(self, identifier: str) -> bool:
        """Whether a person verifies something of an image: what was painted, or all of it."""
        stats = self.stats(identifier)
        return stats.done or stats.verified > 0

    def touched(self) -> tuple[str, ...]:
        """Ids of the images with evidence: something painted, or done."""
        return tuple(i for i in self if self.has_evidence(i))

    def seen(self) -> dict[str, int]:
        """Id of every image with evidence to the number of its last stroke: what a model trained now sees."""
        return {i: self.stats(i).number for i in self.touched()}

    # changing

    def record(
        self,
        identifier: str,
        before: NDArray[np.uint8],
        after: NDArray[np.uint8],
        kind: str = "paint",
        *,
        box: Box | None = None,
        begun: int = 1,
    ) -> Stroke | None:
        """Take a change of a mask; the person verified the pixels that differ.

        A change that takes the last stroke back is an undo: what was not verified before is not now.

        Parameters
        ----------
        identifier : str
            Of the image.
        before, after : numpy.ndarray
            (Y, X) uint8, 0 background, 1..K classes, 255 ignore. For the first stroke on an image,
            `before` is what the model predicted.
        kind : str
            What did it.
        box : tuple of int, optional
            First row, first column, row and column behind the last, outside of which nothing changed.
        begun : int
            How many strokes of the hand began in it. 0: it is more of the last one, which is counted,
            taken back and listed with it as one.

        Returns
        -------
        Stroke or None
            None if nothing changed.

        Raises
        ------
        DataError
            If the image is unknown, or a mask does not fit it.
        OutputError
            If the project is open for reading only.
        """
        with self._lock:
            _check_masks(identifier, before, after)
            y0, x0, y1, x1 = (int(n) for n in box or (0, 0, *before.shape))
            old, new = before[y0:y1, x0:x1], after[y0:y1, x0:x1]
            touched = old != new
            stored = self._files.load(identifier)
            if stored is None and not touched.any():
                return None
            stored = stored or self._begin(identifier, before)
            _check_masks(identifier, stored.mask, after)
            verified = stored.verified[y0:y1, x0:x1]
            runs = changed_runs(
                states(stored.mask[y0:y1, x0:x1], verified), states(new, verified | touched), (y0, x0)
            )
            stroke = self._stroke(identifier, stored, kind, runs)
            undone = self._undoable.get(identifier, [])
            last = undone[-1] if undone else None
            if begun == 0 and last and last.kind == kind and last.number == stored.stats.number:
                if not stroke.pixels:
                    return None
                stroke = replace(stroke, begun=0)
                undone[-1] = joined(last, stroke)
                return self._apply(stored, stroke)
            stroke = replace(stroke, begun=max(begun, 1))
            if undone and takes_back(stroke, undone[-1]):
                return self._apply(stored, self._inverse(stored, undone.pop()))
            if not stroke.pixels:
                return None
            self._undoable.setdefault(identifier, []).append(stroke)
            del self._undoable[identifier][:-MOST_UNDONE]
            return self._apply(stored, stroke)

    def undo(self, identifier: str) -> Stroke | None:
        """Take the last stroke on an image back; None if there is none of this session."""
        with self._lock:
            undoable = self._undoable.get(identifier)
            stored = self._files.load(identifier)
            if not undoable or stored is None:
                return None
            return self._apply(stored, self._inverse(stored, undoable.pop()))

    def set_done(
        self, identifier: str, done: bool = True, *, mask: NDArray[np.uint8] | None = None
    ) -> Stroke | None:
        """Verify the whole mask of an image, or take that back.

        Parameters
        ----------
        identifier : str
            Of the image.
        done : bool
            Whether it is right throughout.
        mask : numpy.ndarray, optional
            (Y, X) uint8, what was predicted; needed where nobody worked on the image yet.

        Raises
        ------
        DataError
            If nobody worked on it, and there is no mask.
        """
        with self._lock:
            stored = self._files.load(identifier)
            if stored is None:
                if not done:
                    return None
                if mask is None:
                    raise DataError(
                        f"{identifier} has no mask yet", code="data.mask.missing", remedy="segment it first"
                    )
                _check_masks(identifier, mask, mask)
                stored = self._begin(identifier, mask)
            if stored.stats.done == done:
                return None
            if done and mask is not None:
                stored = self._based_on(stored, identifier, mask)
            stroke = self._stroke(identifier, stored, "done" if done else "not done", NO_RUNS)
            saved = self._apply(stored, replace(stroke, done=done))
            self._save(identifier)
            return saved

    def revert(self, identifier: str, prediction: NDArray[np.uint8] | None = None) -> Stroke | None:
        """Go back to what was predicted, or to a newer prediction; nothing is verified any more."""
        with self._lock:
            stored = self._files.load(identifier)
            if stored is None:
                return None
            wanted = stored.prediction if prediction is None else prediction
            return self._become(stored, identifier, "revert", wanted, np.zeros_like(stored.verified), False)

    def versions(self, identifier: str) -> tuple[MaskVersion, ...]:
        """Every state that the mask of an image was in, the oldest first.

        Raises
        ------
        DataError
            If its history cannot be read.
        """
        with self._lock:
            history = self._files.history(identifier)
        found = [MaskVersion(0, 0.0, "prediction", 0)]
        for stroke in history:
            pixels = stroke.pixels
            if stroke.begun == 0 and len(found) > 1:  # more of the same drag
                pixels += found.pop().pixels
            found.append(MaskVersion(stroke.number, stroke.time, stroke.kind, pixels))
        return tuple(found)

    def revert_to(self, identifier: str, number: int) -> Stroke | None:
        """Go back to an earlier version of an image; that is a change like others and can be taken back.

        Parameters
        ----------
        identifier : str
            Of the image.
        number : int
            Of the version.

        Raises
        ------
        DataError
            If there is no such version, or its history is damaged.
        """
        with self._lock:
            stored = self._files.load(identifier)
            history = self._files.history(identifier)
            if stored is None or number not in {0, *(s.number for s in history)}:
                raise DataError(
                    f"{identifier} has no version {number}",
                    code="data.history.unknown",
                    remedy="choose one of its versions",
                )
            mask, verified, done = stored.mask.copy(), stored.verified.copy(), stored.stats.done
            for stroke in reversed([s for s in history if s.number > number]):
                if not ends_in(stroke, mask, verified):
                    raise DataError(
                        f"the history of {identifier} does not fit its mask",
                        code="data.history.damaged",
                        remedy="go back to a later version, or to the prediction",
                    )
                stroke.inverse().apply(mask, verified)
                done = stroke.done_before
            return self._become(stored, identifier, "earlier version", mask, verified, done)

    def save(self) -> None:
        """Have all masks written that changed; the journal shrinks when they are."""
        with self._lock:
            for identifier in self._files.unsaved():
                self._save(identifier)

    # another owner

    def take_over(
        self, identifier: str, other: Corrections, name: str, since: int = 0, *, fresh: bool = False
    ) -> int:
        """Do to an image what was done to it elsewhere, stroke by stroke; each can be taken back here.

        Where both are painted, what was painted there goes first; what was painted here stays elsewhere.

        Parameters
        ----------
        identifier : str
            Of the image.
        other : Corrections
            Where it was painted; stays as it is.
        name : str
            Id of the image there.
        since : int
            Number of the last stroke there that was taken over before.
        fresh : bool
            Whether what is here is of another image, and goes: only its history stays.

        Returns
        -------
        int
            Number of the last stroke that is taken over now.

        Raises
        ------
        DataError
            If the image is unknown here, or of another size, or is not to be read there.
        OutputError
            If the project is open for reading only.
        """
        with other._lock:
            theirs = other._files.load(name)
            if theirs is None or theirs.stats.number <= since:
                return since
            frozen(theirs)
            undoable = len(other._undoable.get(name, ()))
            try:
                strokes = [s for s in other._files.history(name) if s.number > since]
            except DataError:
                strokes = []  # the mask is there all the same
        with self._lock:
            stored = self._start(identifier, theirs.prediction, fresh=fresh) if not since else None
            for stroke in strokes:
                self._do_again(identifier, stroke)
            if stored is not None:
                self._undoable[identifier] = (
                    self._undoable.get(identifier, [])[-undoable:] if undoable else []
                )
            mine = self._files.load(identifier)
            assert mine is not None
            if not strokes or (stored is not None and not _equal(mine, theirs)):
                painted = theirs.verified | theirs.stats.done
                mask = theirs.mask if stored is not None else np.where(painted, theirs.mask, mine.mask)
                verified = theirs.verified if stored is not None else theirs.verified | mine.verified
                done = theirs.stats.done or (stored is None and mine.stats.done)
                self._become(mine, identifier, "taken over", mask, verified, done)
        return theirs.stats.number

    def forget(self, identifier: str) -> None:
        """Know nothing of an image any more, as it has another owner, or its file cannot be read."""
        with self._lock:
            self._files.forget(identifier)
            self._undoable.pop(identifier, None)

    def _start(
        self, identifier: str, prediction: NDArray[np.uint8], *, fresh: bool
    ) -> StoredCorrection | None:
        """What strokes from elsewhere begin with; None if they fall on what is painted here."""
        self._check_size(identifier, prediction)
        try:
            stored = self._files.load(identifier)
        except DataError:
            if not fresh:
                raise
            self._files.forget(identifier)
            stored = None
        if stored is None:
            return self._begin(identifier, prediction)
        if fresh:
            none = np.zeros_like(stored.verified)
            self._become(stored, identifier, "prediction", prediction, none, False)
            self._undoable.pop(identifier, None)
            return self._files.load(identifier)
        based = self._based_on(stored, identifier, prediction)
        return None if self.has_evidence(identifier) else based

    def _do_again(self, identifier: str, stroke: Stroke) -> None:
        """Do a stroke from elsewhere to a mask that may be another one than it was made on."""
        stored = self._files.load(identifier)
        assert stored is not None
        known, number = self._undoable.setdefault(identifier, []), self._files.last + 1
        then: dict[str, Any] = {"number": number, "time": stroke.time, "seconds": stroke.seconds}
        if stroke.kind == "undo" and known:
            self._apply(stored, replace(self._inverse(stored, known.pop()), **then))
            return
        done = stored.stats.done
        again = replace(done_again(stroke, stored.mask, stored.verified, done), image=identifier, **then)
        if not again.pixels and again.done == done:
            return
        more = stroke.begun == 0 and bool(known) and known[-1].number == stored.stats.number
        if stroke.begun == 0 and not more:
            again = replace(again, begun=1)
        if more:
            known[-1] = joined(known[-1], again)
        elif stroke.kind not in ("undo", "done", "not done", "prediction"):
            known.append(again)
            del known[:-MOST_UNDONE]
        self._apply(stored, again)

    # learning

    def part(self, identifier: str) -> str:
        """What the correction of an image is for: "train", "validation" or "held-out".

        The project's split decides. Where that holds no image out, every fifth is, by hash of its id,
        whether done already or not, so that what judges later was never trained on.
        """
        known = self._part_of(identifier)
        if known in {"validation", "held-out"}:
            return known
        if not self.reserve:
            return "train"
        digest = blake2b(identifier.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return "held-out" if int.from_bytes(digest, "big") % RESERVED_OF == 0 else "train"

    def samples(self, part: Part = "train") -> list[Sample]:
        """Samples to learn from, or, held out, to judge by: a snapshot, with weights for what is known.

        Parameters
        ----------
        part : str
            "train": whatever is verified. "held-out": images that are done.
        """
        found = []
        for identifier in self.touched():
            if self.part(identifier) != part or (part == "held-out" and not self.stats(identifier).done):
                continue
            sample = self._sample(identifier)
            reference = self[identifier].reference()
            found.append(
                replace(sample, load_mask=MaskSnapshot.of(reference), mask_name="", reason="corrected")
            )
        return found

    # inside

    def _begin(self, identifier: str, prediction: NDArray[np.uint8]) -> StoredCorrection:
        self._writable()
        self._check_size(identifier, prediction)
        start = prediction.copy()
        start.flags.writeable = False
        stored = StoredCorrection(start, np.zeros(start.shape, bool), start, CorrectionStats())
        self._files.put(identifier, stored)
        # Ahead of the first stroke, which says nothing of the pixels that it left alone.
        self._save(identifier, first=True)
        return stored

    def _check_size(self, identifier: str, mask: NDArray[np.uint8]) -> None:
        shape = self._files.shape(identifier)
        if shape is not None and mask.shape != shape:
            raise DataError(
                f"the mask does not fit the image {identifier}",
                code="data.mask.size",
                expected=f"{shape[1]} x {shape[0]} pixels",
                got=f"{mask.shape[1]} x {mask.shape[0]}",
                remedy="segment it again",
            )

    def _based_on(
        self, stored: StoredCorrection, identifier: str, prediction: NDArray[np.uint8]
    ) -> StoredCorrection:
        """The correction of an image on what is predicted now, where nothing of it is verified."""
        if self.has_evidence(identifier) or np.array_equal(stored.mask, prediction):
            return stored
        _check_masks(identifier, stored.mask, prediction)
        runs = changed_runs(states(stored.mask, stored.verified), states(prediction, stored.verified))
        self._apply(stored, self._stroke(identifier, stored, "prediction", runs))
        based = self._files.load(identifier)
        assert based is not None
        return based

    def _become(
        self, stored: StoredCorrection, identifier: str, kind: str, mask: NDArray[np.uint8],
        verified: NDArray[np.bool_], done: bool,
    ) -> Stroke | None:  # fmt: skip
        _check_masks(identifier, stored.mask, mask)
        runs = changed_runs(states(stored.mask, stored.verified), states(mask, verified))
        stroke = replace(self._stroke(identifier, stored, kind, runs), done=done)
        if not stroke.pixels and stored.stats.done == done:
            return None
        self._undoable.setdefault(identifier, []).append(stroke)
        return self._apply(stored, stroke)

    def _stroke(
        self,
        identifier: str,
        stored: StoredCorrection,
        kind: str,
        runs: tuple[Box, NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint16], NDArray[np.uint16]],
    ) -> Stroke:
        now = self._clock()
        worked = 0.0 if self._last_time is None else min(max(now - self._last_time, 0), IDLE_SECONDS)
        shape = (int(stored.mask.shape[0]), int(stored.mask.shape[1]))
        done = stored.stats.done
        return Stroke(self._files.last + 1, identifier, now, kind, shape, *runs, done, done, worked)

    def _inverse(self, stored: StoredCorrection, stroke: Stroke) -> Stroke:
        done = stored.stats.done
        inverse = self._stroke(stroke.image, stored, "undo", NO_RUNS)
        back = stroke.inverse(
            number=inverse.number, time=inverse.time, kind="undo", seconds=inverse.seconds, begun=1
        )
        changed_done = stroke.done != stroke.done_before
        return replace(back, done_before=done, done=stroke.done_before if changed_done else done)

    def _apply(self, stored: StoredCorrection, stroke: Stroke) -> Stroke:
        self._writable()
        assert self.writer is not None
        self._files.take(stroke, stored)
        self._last_time = stroke.time
        self.writer.append(stroke)
        if self._files.journal_is_full():
            self.save()
        older = self._files.changed_before(MOST_UNSAVED)
        if older:
            self._save(older)
        return stroke

    def _save(self, identifier: str, *, first: bool = False) -> None:
        self._writable()
        assert self.writer is not None
        self.writer.save(identifier, first=first)

    def _writable(self) -> None:
        if self.writer is None:
            raise OutputError(
                "the project is open for reading only",
                code="output.project.readonly",
                remedy="open it again without reading only",
            )


def _check_masks(identifier: str, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> None:
    for mask in (before, after):
        if mask.ndim != 2 or mask.dtype != np.uint8 or mask.shape != before.shape:
            raise DataError(
                f"the mask of {identifier} does not fit",
                code="data.mask.size",
                expected=f"uint8 of shape {before.shape}",
                got=f"{mask.dtype} of shape {mask.shape}",
                remedy="give masks of one image, before and after",
            )


def _equal(one: StoredCorrection, other: StoredCorrection) -> bool:
    same = np.array_equal(one.mask, other.mask) and np.array_equal(one.verified, other.verified)
    return same and one.stats.done == other.stats.done
