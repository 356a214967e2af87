"""What a person does to masks: painting, verifying, going back; on disk from the first stroke."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_unet.errors import DataError, WorkbenchError
from napari_unet.project.corrections.correction import IGNORE
from napari_unet.project.corrections.corrections import Corrections

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from napari_unet.inference.edits.object_edits import ObjectEdit
    from napari_unet.project.corrections.correction import MaskVersion
    from napari_unet.project.corrections.disk_mask import DiskMask
    from napari_unet.project.corrections.stroke import Box
    from napari_unet.project.project import Project
    from napari_unet.session.images.collection import Collection
    from napari_unet.session.images.entry import Entry
    from napari_unet.session.projects.current_project import CurrentProject
    from napari_unet.session.task_runner import TaskRunner
    from napari_unet.session.workspace import Workspace


class Painting:
    """Changes the masks of the open images; ``Corrections`` own what comes of it, on disk or in memory.

    Parameters
    ----------
    workspace : Workspace
        Whose images are painted.
    runner : TaskRunner
        Tells what went wrong.
    projects : CurrentProject
        Has the project that what is painted goes to.
    """

    done_changed = Signal(tuple)  # ids of images that are done now, or not any more

    def __init__(self, workspace: Workspace, runner: TaskRunner, projects: CurrentProject) -> None:
        self.workspace, self.runner, self.projects = workspace, runner, projects
        self.accepted: tuple[str, ...] = ()  # ids that were accepted at once, last time
        self._last_predicted: tuple[object, object, NDArray[np.uint8] | None] | None = None

    @property
    def project(self) -> Project | None:
        """Of the open images; None while nobody painted."""
        return self.projects.project

    def prepare(self) -> None:
        """Somebody is about to paint: have a project to keep the strokes in."""
        self.projects.prepare()

    def correct(
        self,
        identifier: str,
        mask: NDArray[np.uint8],
        kind: str = "paint",
        *,
        box: Box | None = None,
        begun: int = 1,
        marks: ObjectEdit | None = None,
    ) -> None:
        """Take what a person made of a mask; one that is as predicted is no correction.

        Parameters
        ----------
        identifier : str
            Of the image.
        mask : numpy.ndarray
            (Y, X) uint8 with classes 0..K; stored as a copy.
        kind : str
            What did it.
        box : tuple of int, optional
            First row, first column, row and column behind the last, outside of which nothing changed since
            the mask was last corrected. Makes a stroke on a large image cheap.
        begun : int
            How many strokes of the hand began in it; 0: it is more of the last one.
        marks : ObjectEdit, optional
            Where objects were joined or cut apart, see ``Corrections.record``.
        """
        collection = self.workspace.collection
        if collection is None or identifier not in collection.entries:
            return
        entry = collection.entries[identifier]
        before = entry.corrected
        if before is None and entry.has_strokes_only:
            before, box = self.unknown_mask(identifier, mask.shape), None
        elif before is None:
            before, box = self._predicted(collection, identifier), None  # it may be another than was shown
        if before is None or before.shape != mask.shape:
            before, box = np.zeros_like(mask), None  # a mask of another size: reported when it is recorded
        start = before
        marked = {} if marks is None else {"joined": marks.joined, "cut": marks.cut}
        self._change(
            identifier,
            lambda kept, name: kept.record(name, start, mask, kind, box=box, begun=begun, **marked),
        )
        self.workspace.score_mask(identifier, mask)

    def begin_strokes(self, identifier: str) -> bool:
        """Begin a mask of which nothing is known, on an image without one; says whether it is begun now."""
        entry = self._entry(identifier)
        if entry is None or entry.disk is not None or entry.is_segmented or entry.is_corrected:
            return False
        entry.is_begun = True
        self.prepare()
        self.workspace.mask_changed.emit(identifier)
        self.workspace.rows_changed.emit((identifier,))
        return True

    def unknown_mask(self, identifier: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """(Y, X) uint8: the strokes on an image, or 255 everywhere while there is none."""
        entry = self._entry(identifier)
        if entry is not None and entry.known_as in entry.corrections:
            assert isinstance(entry.corrections, Corrections)
            return entry.corrections.mask(entry.known_as)
        return np.full(shape, IGNORE, np.uint8)

    def fill_unknown(self, identifier: str, mask: NDArray[np.uint8]) -> None:
        """Make a predicted mask (Y, X) uint8 that of an image; what is painted stays as it is."""
        collection, entry = self.workspace.collection, self._entry(identifier)
        if collection is None or entry is None or entry.disk is not None:
            return
        if entry.known_as not in entry.corrections:
            return  # nothing is painted: the mask is what a model says, and is segmented
        self._change(identifier, lambda kept, name: kept.fill_unknown(name, mask))
        self._show(identifier)

    def correct_part(
        self,
        disk: DiskMask,
        before: NDArray[np.uint8],
        after: NDArray[np.uint8],
        origin: tuple[int, int],
        kind: str = "paint",
        *,
        box: Box | None = None,
        begun: int = 1,
    ) -> None:
        """Take what a person made of a part of the mask of a large image; see ``DiskMask.paint``."""
        entries = self.workspace.collection.entries if self.workspace.collection is not None else {}
        identifier = next((i for i, entry in entries.items() if entry.disk is disk), "")
        try:
            disk.paint(before, after, origin, kind, box=box, begun=begun)
        except WorkbenchError as error:
            self.runner.failed.emit(error.sentence, "")
            self.workspace.mask_changed.emit(identifier)  # not what was wanted
            return
        if identifier:
            self.prepare()  # what learns from these strokes needs a project
            self.workspace.rows_changed.emit((identifier,))

    def _change(self, identifier: str, change: Callable[[Any, str], Any]) -> None:
        """Have a change made and stored by whoever owns the correction of an image."""
        collection = self.workspace.collection
        assert collection is not None
        entry = collection.entries[identifier]
        if entry.corrections.read_only and entry.disk is None:  # of a project that was closed
            entry.corrections = collection.memory
        try:
            change(entry.corrections, entry.known_as)
        except WorkbenchError as error:
            self.runner.failed.emit(error.sentence, "")
            self.workspace.mask_changed.emit(identifier)  # not what was wanted
            return
        self.projects.keep(identifier)

    def _predicted(self, collection: Collection, identifier: str) -> NDArray[np.uint8] | None:
        """The predicted mask, which every stroke on an image asks for; not to be written to."""
        prediction, settings = collection.entries[identifier].prediction, self.workspace.inference
        known = self._last_predicted
        if known is None or known[0] is not prediction or known[1] is not settings or prediction is None:
            mask = collection.predicted_mask(identifier, settings)
            known = self._last_predicted = prediction, settings, mask
        return known[2]

    def revert(self, identifier: str) -> None:
        """Go back to what was predicted; that, too, can be taken back from the image's versions."""
        collection = self.workspace.collection
        if collection is None:
            return
        mask = collection.predicted_mask(identifier, self.workspace.inference)
        self._change(identifier, lambda kept, name: kept.revert(name, mask))
        self._show(identifier)

    def undo(self, identifier: str) -> None:
        """Take back the last change of an image, painted or not.

        Raises
        ------
        DataError
            If there is none of this session.
        """
        entry = self._entry(identifier)
        if entry is None or entry.corrections.undo(entry.known_as) is None:
            raise DataError(f"there is nothing to undo on {identifier}", code="data.history.empty")
        self.projects.keep(identifier)
        self._show(identifier)

    def versions(self, identifier: str) -> tuple[MaskVersion, ...]:
        """Every state that the mask of an image was in, the oldest first; none if nobody worked on it.

        Raises
        ------
        DataError
            If its history cannot be read.
        """
        entry = self._entry(identifier)
        if entry is None or entry.known_as not in entry.corrections:
            return ()
        return entry.corrections.versions(entry.known_as)

    def _entry(self, identifier: str) -> Entry | None:
        collection = self.workspace.collection
        return None if collection is None else collection.entries.get(identifier)

    def revert_to(self, identifier: str, number: int) -> None:
        """Go back to an earlier version of the mask of an image; that can be taken back like a stroke.

        Raises
        ------
        DataError
            If there is no such version, or its history is damaged.
        """
        entry = self._entry(identifier)
        if entry is None:
            raise DataError(
                f"{identifier} has no version {number}",
                code="data.history.unknown",
                remedy="choose one of its versions",
            )
        entry.corrections.revert_to(entry.known_as, number)
        self.projects.keep(identifier)
        self._show(identifier)

    def verified(self, identifier: str) -> NDArray[np.bool_] | None:
        """What a person verified: what was painted, or all of an image that is done, but nothing ignored.

        Returns
        -------
        numpy.ndarray or None
            (Y, X) bool; None while there is no mask.
        """
        entry, mask = self._entry(identifier), self.workspace.mask(identifier)
        if entry is None or mask is None:
            return None
        if entry.done:
            return np.asarray(mask != IGNORE)
        if not entry.is_corrected:
            return np.zeros(mask.shape, bool)
        assert isinstance(entry.corrections, Corrections)
        return np.asarray(entry.corrections[entry.known_as].verified & (mask != IGNORE))

    def _show(self, identifier: str) -> None:
        """Show the mask of an image as it is now: a newer model may have predicted another one."""
        self.workspace.mask_changed.emit(identifier)
        entry, mask = self._entry(identifier), self.workspace.mask(identifier)
        assert entry is not None
        entry.score(None, self.workspace.evaluation.empty)  # what is known may be of another mask
        if mask is not None:
            self.workspace.score_mask(identifier, mask)
            return
        self.workspace.rows_changed.emit((identifier,))
        self.workspace.score_changed.emit(identifier)

    def set_done(self, identifiers: Iterable[str], done: bool = True, *, together: bool = False) -> None:
        """Verify the masks of images, which stay as they are from then on, or take that back.

        Parameters
        ----------
        identifiers : iterable of str
            Images without a mask are passed over.
        done : bool
            Whether the masks are right throughout.
        together : bool
            Whether these belong to an acceptance that comes in several calls.
        """
        collection = self.workspace.collection
        assert collection is not None
        known = (i for i in identifiers if i in collection.entries)
        ids = tuple(i for i in known if collection.entries[i].status != "new")
        if done and ids:
            fresh = tuple(i for i in ids if not collection.entries[i].done)
            self.accepted = (*self.accepted, *fresh) if together else fresh
        for identifier in ids:
            entry, mask = collection.entries[identifier], None
            if not entry.is_corrected:
                mask = collection.predicted_mask(identifier, self.workspace.inference)
            self._change(identifier, partial(_set_done, done=done, mask=mask))
            if not (done or entry.is_corrected):
                self._show(identifier)  # a newer model may have predicted another mask
        self.workspace.rows_changed.emit(ids)
        if not together:
            self.done_changed.emit(ids)  # one more whose IoU is known

    def edit_objects(
        self,
        identifier: str,
        change: Callable[[NDArray[np.uint8], NDArray[np.int32]], ObjectEdit],
        kind: str,
        objects: NDArray[np.int32] | None = None,
    ) -> None:
        """Change single objects of an image: "delete", "split" or "merge".

        Parameters
        ----------
        identifier : str
            Of the image.
        change : callable
            (mask, objects) -> ObjectEdit; of the mask as it is now.
        kind : str
            What its versions call it.
        objects : numpy.ndarray, optional
            (Y, X) int32: the objects of the mask as it is now, where they are known already.

        Raises
        ------
        DataError
            If there is no mask, or `change` finds nothing to do.
        """
        collection = self.workspace.collection
        mask = self.workspace.mask(identifier)
        if collection is None or mask is None:
            raise DataError(
                "there is no mask to change", code="data.mask.missing", remedy="segment the image first"
            )
        if objects is None:
            known = np.where(mask == IGNORE, 0, mask).astype(np.uint8)
            objects = collection.objects(identifier, known, self.workspace.inference)
        edit = change(mask, objects)
        self.correct(identifier, edit.mask, kind, marks=edit)
        self.workspace.mask_changed.emit(identifier)

    def edit(
        self, identifier: str, change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]], kind: str
    ) -> None:
        """Change the mask of an image by a function of it, like painting."""
        collection = self.workspace.collection
        mask = self.workspace.mask(identifier)
        if collection is None or mask is None:
            raise DataError(
                "there is no mask to change", code="data.mask.missing", remedy="segment the image first"
            )
        self.correct(identifier, change(mask.copy()), kind)
        self.workspace.mask_changed.emit(identifier)


def _set_done(kept: Corrections, name: str, *, done: bool, mask: NDArray[np.uint8] | None) -> None:
    kept.set_done(name, done, mask=mask)
