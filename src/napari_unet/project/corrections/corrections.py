"""What a person painted: strokes in, masks with what is verified out."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.split import Split
from napari_unet.errors import DataError
from napari_unet.project.corrections.background_writer import BackgroundWriter, NoWriter
from napari_unet.project.corrections.correction import IGNORE, Correction, CorrectionStats, MaskVersion
from napari_unet.project.corrections.mask_edits import NO_RUNS, MaskEdits, check_masks
from napari_unet.project.corrections.memory_store import MemoryStore, frozen
from napari_unet.project.corrections.stroke import (
    CUT,
    JOINED,
    VERIFIED,
    Box,
    Stroke,
    changed_runs,
    ends_in,
    mark_bits,
    marked_pixels,
    states,
    takes_back,
)
from napari_unet.project.corrections.stroke import joined as one_stroke
from napari_unet.project.corrections.take_over import take_over
from napari_unet.project.corrections.taught_objects import taught_objects

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.data.sample import ReferenceMask

RESERVED_OF = 5  # every fifth image judges and is never trained on


class Corrections(Mapping[str, Correction]):
    """Owns what people painted on images: first in memory, then in the folder of a project.

    In a project every change is on its way to the disk when a method returns. ``in_memory`` makes those that
    have no folder yet; those of a project take them over, stroke by stroke. Arrays that are handed out are
    read-only and never change. All methods may be called from any thread.

    Parameters
    ----------
    files : MemoryStore
        Where the masks are.
    split : Split
        Of the project; empty if it has none.
    lock : threading.RLock
        That of the files.

    Attributes
    ----------
    reserve : bool
        Whether every fifth image judges and is never trained on, as the split holds out none.
    """

    def __init__(self, files: MemoryStore, split: Split, lock: Any) -> None:
        self._files, self._lock, self._split = files, lock, split
        self._edits = MaskEdits(files, lock)
        self._marks: dict[str, tuple[int, tuple[NDArray[np.bool_] | None, NDArray[np.bool_] | None]]] = {}
        self.reserve = not split.held_out

    @classmethod
    def in_memory(cls) -> Corrections:
        """Corrections of images that no project has yet."""
        corrections = cls(MemoryStore(), Split(()), threading.RLock())
        corrections.writer = NoWriter()
        return corrections

    @property
    def writer(self) -> BackgroundWriter | NoWriter | None:
        """What writes strokes and masks; None while every change is refused."""
        return self._edits.writer

    @writer.setter
    def writer(self, writer: BackgroundWriter | NoWriter | None) -> None:
        self._edits.writer = writer

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
            return frozen(self._stored(identifier))

    def mask(self, identifier: str) -> NDArray[np.uint8]:
        """(Y, X) uint8: the mask of an image as a person left it; errors as of the correction."""
        with self._lock:
            mask = self._stored(identifier).mask
            mask.flags.writeable = False
            return mask

    def _stored(self, identifier: str) -> Correction:
        stored = self._files.load(identifier)
        if stored is None:
            raise KeyError(identifier)
        return stored

    def __iter__(self) -> Iterator[str]:
        with self._lock:
            return iter(list(self._files.stats))

    def __len__(self) -> int:
        return len(self._files.stats)

    def __contains__(self, identifier: object) -> bool:
        return identifier in self._files.stats

    def stats(self, identifier: str) -> CorrectionStats:
        """What is known of a correction without its pixels; all zero if nobody worked on the image."""
        return self._files.stats_of(identifier)

    def has_unknown(self, identifier: str) -> bool:
        """Whether some pixels of a mask are unknown, as nobody painted them: it holds strokes alone."""
        with self._lock:
            stored = self._files.load(identifier)
            if stored is None or not (stored.prediction == IGNORE).any():
                return False
            return bool(((stored.mask == IGNORE) & ~stored.verified).any())

    def total(self) -> CorrectionStats:
        """Strokes, pixels and seconds of all images together."""
        with self._lock:
            every = list(self._files.stats.values())
        return CorrectionStats(
            strokes=sum(e.strokes for e in every),
            changed=sum(e.changed for e in every),
            seconds=sum(e.seconds for e in every),
        )

    def has_evidence(self, identifier: str) -> bool:
        """Whether a person verifies something of an image: what was painted, or all of it."""
        return self.stats(identifier).is_evidence

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
        joined: NDArray[np.bool_] | None = None,
        cut: NDArray[np.bool_] | None = None,
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
        joined : numpy.ndarray, optional
            (Y, X) bool: pixels in which objects are one from now on; they are verified, too. See ``joined``.
        cut : numpy.ndarray, optional
            (Y, X) bool: pixels along which an object was cut apart; they are verified, too.

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
            check_masks(identifier, before, after)
            y0, x0, y1, x1 = (int(n) for n in box or (0, 0, *before.shape))
            old, new = before[y0:y1, x0:x1], after[y0:y1, x0:x1]
            touched = old != new
            stored = self._files.load(identifier)
            if stored is None and joined is cut is None and not touched.any():
                return None
            stored = stored or self._edits.begin(identifier, before)
            check_masks(identifier, stored.mask, after)
            verified = stored.verified[y0:y1, x0:x1]
            wanted = states(new, verified | touched)
            for marked, mark in ((joined, JOINED), (cut, CUT)):
                if marked is not None:
                    wanted[marked[y0:y1, x0:x1]] |= np.uint16(VERIFIED | mark)
            runs = changed_runs(states(stored.mask[y0:y1, x0:x1], verified), wanted, (y0, x0))
            stroke = self._edits.stroke(identifier, stored, kind, runs)
            undone = self._edits.undoable[identifier]
            last = undone[-1] if undone else None
            if begun == 0 and last and last.kind == kind and last.number == stored.stats.number:
                if not stroke.pixels:
                    return None
                stroke = replace(stroke, begun=0)
                undone[-1] = one_stroke(last, stroke)
                return self._edits.do(stored, stroke)
            stroke = replace(stroke, begun=max(begun, 1))
            if undone and joined is cut is None and takes_back(stroke, undone[-1]):
                return self._edits.do(stored, self._edits.inverse(identifier, stored))
            if not stroke.pixels:
                return None
            self._edits.remember(stroke)
            return self._edits.do(stored, stroke)

    def undo(self, identifier: str) -> Stroke | None:
        """Take the last stroke on an image back; None if there is none of this session."""
        with self._lock:
            stored = self._files.load(identifier)
            if stored is None or not self._edits.undoable[identifier]:
                return None
            return self._edits.do(stored, self._edits.inverse(identifier, stored))

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
                check_masks(identifier, mask, mask)
                stored = self._edits.begin(identifier, mask)
            if stored.stats.done == done:
                return None
            if done and mask is not None:
                stored = self._edits.rebase(stored, identifier, mask)
            stroke = self._edits.stroke(identifier, stored, "done" if done else "not done", NO_RUNS)
            saved = self._edits.do(stored, replace(stroke, done=done))
            self._edits.save(identifier)
            return saved

    def revert(self, identifier: str, prediction: NDArray[np.uint8] | None = None) -> Stroke | None:
        """Go back to what was predicted, or to a newer prediction; nothing is verified any more."""
        with self._lock:
            stored = self._files.load(identifier)
            if stored is None:
                return None
            wanted = stored.prediction if prediction is None else prediction
            return self._edits.become(
                stored, identifier, "revert", wanted, np.zeros_like(stored.verified), False
            )

    def fill_unknown(self, identifier: str, mask: NDArray[np.uint8]) -> Stroke | None:
        """Let a predicted mask say what nobody painted; what is painted stays, and nothing more is verified.

        Parameters
        ----------
        identifier : str
            Of an image with strokes.
        mask : numpy.ndarray
            (Y, X) uint8, 0 background, 1..K classes.

        Returns
        -------
        Stroke or None
            Can be undone as any other; None if nothing changed.
        """
        with self._lock:
            stored = self._files.load(identifier)
            if stored is None:
                return None
            check_masks(identifier, stored.mask, mask)
            whole = np.where(stored.verified & (stored.mask != IGNORE), stored.mask, mask)
            return self._edits.become(
                stored, identifier, "preview", whole, stored.verified, stored.stats.done
            )

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
            marks = (
                mark_bits(history, mask.shape),
                mark_bits([s for s in history if s.number <= number], mask.shape),
            )
            return self._edits.become(stored, identifier, "earlier version", mask, verified, done, marks)

    def joined(self, identifier: str) -> NDArray[np.bool_] | None:
        """(Y, X) bool, read-only: pixels in which a person joined objects; None if there are none.

        None, too, where the history cannot be read: the mask is right, and its objects are separated as the
        model does it.
        """
        return self._marked(identifier)[0]

    def cut(self, identifier: str) -> NDArray[np.bool_] | None:
        """(Y, X) bool, read-only: pixels along which a person cut objects apart; as ``joined`` else."""
        return self._marked(identifier)[1]

    def _marked(self, identifier: str) -> tuple[NDArray[np.bool_] | None, NDArray[np.bool_] | None]:
        with self._lock:
            number = self.stats(identifier).number
            known = self._marks.get(identifier)
            if known is None or known[0] != number:
                try:
                    history = self._files.history(identifier) if number else []
                except DataError:
                    history = []
                found = marked_pixels(history, JOINED), marked_pixels(history, CUT)
                for pixels in found:
                    if pixels is not None:
                        pixels.flags.writeable = False
                known = self._marks[identifier] = number, found
            return known[1]

    def reference(self, identifier: str) -> ReferenceMask:
        """What can be learned from an image, also of where objects are one and where they are two.

        Returns
        -------
        ReferenceMask
            As ``Correction.reference``, without ``objects`` where nothing was joined or cut apart. Else what
            lies within 6 pixels of a join or a cut is known, too. ``objects`` are numbered. A negative number
            is that of an object in a pixel of which nobody said where the object ends.

        Raises
        ------
        KeyError, DataError
            As of the correction.
        """
        with self._lock:
            correction = self[identifier]
            marks = [m for m in self._marked(identifier) if m is not None]
        return correction.reference() if not marks else taught_objects(correction, marks)

    def save(self) -> None:
        """Have all masks written that changed; the journal shrinks when they are."""
        with self._lock:
            self._edits.save_all()

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
        return take_over(self._edits, identifier, other._edits, name, since, fresh=fresh)

    def forget(self, identifier: str) -> None:
        """Know nothing of an image any more, as it has another owner, or its file cannot be read."""
        with self._lock:
            self._marks.pop(identifier, None)
            self._edits.forget(identifier)

    # learning

    def part(self, identifier: str) -> str:
        """What the correction of an image is for: "train", "validation" or "held-out".

        The project's split decides. Where that holds no image out, every fifth is, by hash of its id,
        whether done already or not, so that what judges later was never trained on.
        """
        known = self._split.part_of(identifier)
        if known in {"validation", "held-out"}:
            return known
        if not self.reserve:
            return "train"
        digest = blake2b(identifier.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return "held-out" if int.from_bytes(digest, "big") % RESERVED_OF == 0 else "train"
