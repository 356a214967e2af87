"""Objects between the painted slices of a volume: proposed first, part of the mask once a person accepts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_unet.errors import DataError, WorkbenchError
from napari_unet.inference.edits.fill_between import fill_between
from napari_unet.project.corrections.correction import IGNORE
from napari_unet.session.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_unet.session.images.collection import Collection
    from napari_unet.session.painting import Painting
    from napari_unet.session.task_runner import TaskRunner
    from napari_unet.session.workspace import Workspace

FARTHEST = 64  # slices between two painted ones
KIND = "fill between slices"  # what versions of a mask call it


@dataclass(frozen=True, eq=False)
class FillProposal:
    """Voxels that would be painted; nothing of them is in the mask.

    Attributes
    ----------
    slices : dict
        Id of each slice to its proposal, (Y, X) uint8: class where an object is, 0 elsewhere.
    objects : int
        How many objects were interpolated.
    guided : bool
        Whether the network's probability helped.
    """

    slices: dict[str, NDArray[np.uint8]]
    objects: int
    guided: bool

    @property
    def voxels(self) -> int:
        """How many there are."""
        return int(sum(np.count_nonzero(part) for part in self.slices.values()))


@dataclass(frozen=True, eq=False)
class _Painted:
    """Objects of a slice that a person painted, each (Y, X) bool with its class."""

    objects: tuple[tuple[int, NDArray[np.bool_]], ...]


@dataclass(frozen=True, eq=False)
class _Gap:
    """An object between two slices in which it was painted: their places, its class and its two shapes."""

    label: int
    low: int
    high: int
    first: NDArray[np.bool_]
    last: NDArray[np.bool_]


class FillBetween:
    """Proposes what lies between painted slices, and paints it when it is accepted.

    Parameters
    ----------
    workspace : Workspace
        Whose volume is in view.
    runner : TaskRunner
        Whose thread computes.
    painting : Painting
        Records what is accepted, slice by slice.
    """

    changed = Signal()  # there is another proposal, or none, or what was accepted can be undone or not

    def __init__(self, workspace: Workspace, runner: TaskRunner, painting: Painting) -> None:
        self.workspace, self.runner, self.painting = workspace, runner, painting
        self.proposal: FillProposal | None = None
        self.computing = False
        self._accepted: dict[str, NDArray[np.uint8]] = {}  # masks as they were left
        self._waiting: list[Callable[[], None]] = []  # what is painted or taken back still
        self._stayed = 0  # slices that changed since they were filled
        workspace.leaving.connect(self.finish)
        workspace.collection_changed.connect(self._forget)

    def _forget(self) -> None:
        self.proposal, self._accepted = None, {}
        self.changed.emit()

    @property
    def undoable(self) -> int:
        """How many slices the last fill painted; ``undo`` leaves out those that changed since."""
        return len(self._accepted)

    def propose(self, point: tuple[int, int] | None = None) -> None:
        """Interpolate objects from the slice in view to the nearest painted slices; errors go to ``failed``.

        Where nothing was painted in the slice in view, the painted slices before and after it count.

        Parameters
        ----------
        point : tuple of int, optional
            Row and column of the one object that is wanted; else every object that was painted in this slice.
        """
        collection, current, slices = self.workspace.collection, self.workspace.current, self.workspace.volume
        if collection is None or self.computing:
            return
        if not slices:
            self.runner.failed.emit(_unpainted().sentence, "")
            return
        self.computing = True

        def work() -> None:
            found: FillProposal | WorkbenchError
            try:
                found = self._interpolate(collection, slices, current, point)
            except WorkbenchError as error:
                found = error
            self.runner.dispatch(lambda: self._take(collection, found))

        self.runner.in_background(work)

    def _take(self, collection: Collection, found: FillProposal | WorkbenchError) -> None:
        self.computing = False
        if collection is not self.workspace.collection:
            return
        if isinstance(found, WorkbenchError):
            self.runner.failed.emit(found.sentence, "")
            return
        self.proposal = found
        self.changed.emit()

    def discard(self) -> None:
        """Forget the proposal."""
        self.proposal = None
        self.changed.emit()

    def accept(self) -> None:
        """Paint the proposal: its voxels are verified from now on. What was painted before stays as it is.

        A slice at a time, so that the window does not wait for many.
        """
        if self.proposal is None:
            return
        self.finish()
        self._accepted = {}
        self._waiting = [partial(self._paint, i, part) for i, part in self.proposal.slices.items()]
        self.proposal = None
        self.changed.emit()
        self._next()

    def undo(self) -> None:
        """Take the last accepted fill back, in all its slices but those that changed since."""
        self.finish()
        accepted, self._accepted, self._stayed = self._accepted, {}, 0
        self._waiting = [partial(self._take_back, i, mask) for i, mask in accepted.items()]
        self._waiting.append(self._say_what_stayed)
        self.changed.emit()
        self._next()

    def finish(self) -> None:
        """Bring to its end what was begun."""
        while self._waiting:
            self._waiting.pop(0)()
        self.changed.emit()

    @property
    def busy(self) -> bool:
        """Whether something is computed, painted or taken back."""
        return self.computing or bool(self._waiting)

    def _next(self) -> None:
        if self._waiting:
            self._waiting.pop(0)()
            self.runner.dispatch(self._next)
        else:
            self.changed.emit()

    def _paint(self, identifier: str, wanted: NDArray[np.uint8]) -> None:
        before = self._mask(identifier, wanted.shape)
        free = (wanted > 0) & ~self._verified(identifier, wanted.shape)
        if before.shape != wanted.shape or np.array_equal(before[free], wanted[free]):
            return
        after = np.where(free, wanted, before).astype(np.uint8)
        self.painting.correct(identifier, after, KIND)
        self._accepted[identifier] = after
        self._show(identifier)

    def _take_back(self, identifier: str, left: NDArray[np.uint8]) -> None:
        mask = self.workspace.mask(identifier)
        if mask is None or not np.array_equal(mask, left):
            self._stayed += 1
            return
        try:
            self.painting.undo(identifier)
        except WorkbenchError as error:
            self.runner.failed.emit(error.sentence, "")
        self._show(identifier)

    def _say_what_stayed(self) -> None:
        if self._stayed:
            words = f"{self._stayed} slices" if self._stayed > 1 else "1 slice"
            sentence = (
                f"The fill stays in {words}, as you changed the mask there since: undo it there by hand."
            )
            self.runner.succeeded.emit(Outcome(sentence, is_note=True))

    def _show(self, identifier: str) -> None:
        self.workspace.rows_changed.emit((identifier,))
        if self.workspace.current == identifier:
            self.workspace.mask_changed.emit(identifier)

    def _mask(self, identifier: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """(Y, X) uint8: the mask of a slice; one of which nothing is known is begun where there is none."""
        mask = self.workspace.mask(identifier)
        if mask is not None:
            return mask
        self.painting.begin_strokes(identifier)
        return self.painting.unknown_mask(identifier, shape)

    def _verified(self, identifier: str, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        verified = self.painting.verified(identifier)
        return np.zeros(shape, bool) if verified is None else verified

    # finding objects, in any thread

    def _interpolate(
        self, collection: Collection, slices: Sequence[str], current: str, point: tuple[int, int] | None
    ) -> FillProposal:
        view = slices.index(current)
        here = self._objects(collection, current, point)
        gaps = self._gaps(collection, slices, view, here, (-1, 1))
        if not gaps and (point is None or not here.objects):  # the slice in view lies between painted ones
            place, before = self._painted_before(collection, slices, view)
            gaps = [g for g in self._gaps(collection, slices, place, before, (1,)) if g.high > view]
        if not gaps:
            raise _unpainted()
        found: dict[str, NDArray[np.uint8]] = {}
        guided = False
        for gap in gaps:
            between = slices[gap.low : gap.high + 1]
            probability = self._probability(collection, between, gap.label, gap.first.shape)
            filled = fill_between(gap.first, gap.last, gap.high - gap.low - 1, probability)
            guided |= probability is not None
            for identifier, part in zip(slices[gap.low + 1 : gap.high], filled, strict=True):
                free = part & ~self._verified(identifier, part.shape)
                into = found.setdefault(identifier, np.zeros(part.shape, np.uint8))
                into[free & (into == 0)] = gap.label
        return FillProposal(found, len(gaps), guided)

    def _gaps(
        self,
        collection: Collection,
        slices: Sequence[str],
        place: int,
        painted: _Painted,
        steps: tuple[int, ...],
    ) -> list[_Gap]:
        """From the objects of a slice to the nearest slices with the same objects, before or after it."""
        gaps = []
        for label, shape in painted.objects:
            for step in steps:
                other = self._partner(collection, slices, place, step, label, shape)
                if other is not None and abs(other[0] - place) > 1:
                    low, high = sorted((place, other[0]))
                    ends = (shape, other[1]) if step > 0 else (other[1], shape)
                    gaps.append(_Gap(label, low, high, *ends))
        return gaps

    def _painted_before(
        self, collection: Collection, slices: Sequence[str], view: int
    ) -> tuple[int, _Painted]:
        """The nearest slice before the one in view in which a person painted objects, and these."""
        for z in range(view - 1, max(view - FARTHEST - 2, -1), -1):
            if collection.entries[slices[z]].is_corrected:
                painted = self._objects(collection, slices[z])
                if painted.objects:
                    return z, painted
        return view, _Painted(())

    def _objects(
        self, collection: Collection, identifier: str, point: tuple[int, int] | None = None
    ) -> _Painted:
        """Objects of a slice of which a person painted something; or the one at a point, painted or not."""
        settings = self.workspace.inference
        mask = collection.mask(identifier, settings)
        if mask is None:
            return _Painted(())
        known = np.where(mask == IGNORE, 0, mask).astype(np.uint8)
        numbers = collection.objects(identifier, known, settings)
        if point is not None:
            wanted = [int(numbers[point])]
        else:
            painted = self._verified(identifier, mask.shape) & (known > 0)
            wanted = np.unique(numbers[painted]).tolist()
        return _Painted(tuple((int(known[numbers == n][0]), numbers == n) for n in wanted if n > 0))

    def _partner(
        self,
        collection: Collection,
        slices: Sequence[str],
        place: int,
        step: int,
        label: int,
        shape: NDArray[np.bool_],
    ) -> tuple[int, NDArray[np.bool_]] | None:
        """The nearest slice on one side in which the object was painted, and its shape there."""
        for z in range(place + step, place + step * (FARTHEST + 2), step):
            if not 0 <= z < len(slices):
                return None
            if not collection.entries[slices[z]].is_corrected:
                continue
            alike = [other for of, other in self._objects(collection, slices[z]).objects if of == label]
            alike = [other for other in alike if other.shape == shape.shape]
            best = max(alike, key=lambda other: int(np.count_nonzero(other & shape)), default=None)
            if best is None:
                continue
            if (best & shape).any():
                return z, best
            nearest = min(alike, key=lambda other: _widths_between(shape, other))
            if _widths_between(shape, nearest) <= abs(z - place):
                return z, nearest
        return None

    def _probability(
        self, collection: Collection, slices: Sequence[str], label: int, shape: tuple[int, ...]
    ) -> NDArray[np.float32] | None:
        """(Z, Y, X) float32: probability of a class in slices; None unless all were segmented."""
        found = []
        for identifier in slices:
            said = collection.said(identifier)
            if said is None or said[0].shape[:2] != shape or not collection.entries[identifier].is_whole:
                return None
            found.append(np.asarray(said[0][..., label - 1], np.float32))
        return np.stack(found)


def _widths_between(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """How far apart the centres of two shapes lie, in widths of the larger one: 1 a slice is not too far."""
    centres = [np.argwhere(shape).mean(axis=0) for shape in (one, other)]
    width = 2 * np.sqrt(max(np.count_nonzero(one), np.count_nonzero(other)) / np.pi)
    return float(np.linalg.norm(centres[1] - centres[0]) / width)


def _unpainted() -> DataError:
    return DataError(
        "there is no object to fill between slices",
        code="data.fill.unpainted",
        expected="an object that is painted in two slices: the slice in view is one of them, or between them",
        remedy="paint it in two slices, with one or more slices between them, then fill",
    )
