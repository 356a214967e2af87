"""What a person does to masks: painting, vouching, going back; kept on disk from the first stroke."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_unet.engine.task import describe_failure
from napari_unet.errors import Cancelled, DataError, WorkbenchError
from napari_unet.progress import CancelToken
from napari_unet.project.correction import IGNORE
from napari_unet.project.project import Project
from napari_unet.project.project_file import PROJECT_FILE
from napari_unet.session.auto_project import carry_over, find_again, given_images, other_images, own_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.metrics.overlap import OverlapCounts
    from napari_unet.project.correction import MaskVersion
    from napari_unet.project.corrections import Corrections
    from napari_unet.project.stroke import Box
    from napari_unet.session.collection import Collection
    from napari_unet.session.task_runner import TaskRunner
    from napari_unet.session.workspace import Workspace

MOST_IN_MEMORY = 4  # painted masks that are kept ready; older ones are read from the project
RETRY_SECONDS = 30.0  # until a project that could not be opened or made is tried again
Found = dict[str, "OverlapCounts | str | None"]  # agreement of a correction, or why it cannot be read


class Painting:
    """The corrections of the collection at hand, and the project that keeps them.

    A collection has its project from the moment somebody is about to paint: one that the person made or
    opened, or one of its own in the person's data folder, which is found again when the same data is
    opened. While it is being made strokes wait in memory.

    Parameters
    ----------
    workspace : Workspace
        Whose images are painted.
    runner : TaskRunner
        Whose thread makes projects.
    """

    told = Signal(str)  # something a person should know, in one sentence
    project_changed = Signal()
    done_changed = Signal(tuple)  # ids of images that are done now, or not any more
    project_failed = Signal(object)  # the collection whose project could not be opened or made

    def __init__(self, workspace: Workspace, runner: TaskRunner) -> None:
        self.workspace, self.runner = workspace, runner
        self.projects: dict[int, Project] = {}  # by the id of the collection
        self.automatic = True  # whether a project is made without being asked for
        self.accepted: tuple[str, ...] = ()  # ids that were vouched for at once, last time
        self._owners: dict[int, Collection] = {}  # kept, so that no other gets the id of one
        self._opened: dict[Path, Project] = {}  # by folder: two collections may be of one data set
        self._making: dict[int, CancelToken] = {}
        self._ends: dict[int, Callable[[], None]] = {}  # what is to be done once a project is made
        self._wished: set[int] = set()  # collections whose project is wanted while one is looked for
        self._failed: dict[int, tuple[float, str]] = {}  # when to try again, and what was told
        self._waiting: dict[int, list[Callable[[Corrections], Any]]] = {}
        self._last_predicted: tuple[object, object, NDArray[np.uint8] | None] | None = None
        self._lately: dict[int, dict[str, None]] = {}  # by collection: painted masks in memory, oldest first
        self._closing = False

    @property
    def project(self) -> Project | None:
        """Of the collection at hand; None while nobody painted."""
        return self.projects.get(id(self.workspace.collection))

    @property
    def busy(self) -> bool:
        """Whether a project is being looked for or made."""
        return bool(self._making)

    def finish(self) -> None:
        """Make no project any more that nobody waits for; ahead of ``close``, which waits for the others."""
        self._closing = True
        for key, cancel in self._making.items():
            if not self._waiting.get(key):
                cancel.cancel()

    def close(self) -> None:
        """Save and let go of all projects, those too that were being made."""
        for key in list(self._ends):
            self._end(key)
        for project in self._opened.values():
            project.close(discard=True)
        for known in (self._opened, self.projects, self._owners, self._lately):
            known.clear()

    # projects

    def look_for_project(self) -> None:
        """Open the project that the collection at hand has from an earlier sitting, if it has one."""
        collection = self.workspace.collection
        if collection is None or not len(collection) or not self.automatic or self.project is not None:
            return

        def look(cancel: CancelToken) -> Project | None:
            folder = own_folder(collection)
            return self._open(folder, collection) if (folder / PROJECT_FILE).is_file() else None

        self._aside(collection, look)

    def prepare(self) -> None:
        """Somebody is about to paint: have a project to keep the strokes in."""
        collection = self.workspace.collection
        if collection is None or not len(collection) or not self.automatic or self.project is not None:
            return
        self._prepare(collection)

    def _prepare(self, collection: Collection) -> None:
        if id(collection) in self._making:
            self._wished.add(id(collection))
            return
        self._aside(
            collection, lambda cancel: self._open_or_create(own_folder(collection), collection, cancel)
        )

    def use_folder(self, folder: Path) -> None:
        """Keep the corrections of the collection at hand in a folder: a project there, or a new one."""
        collection = self.workspace.collection
        if collection is None:
            self.runner.failed.emit("Open images first: a project belongs to images.", "")
            return
        if id(collection) in self._making:
            self.runner.failed.emit("A project is being opened: try again in a moment.", "")
            return
        before = self.project
        if before is not None and before.folder.resolve() == folder.expanduser().resolve():
            return

        def change(cancel: CancelToken) -> Project:
            project = self._open_or_create(folder, collection, cancel)
            if before is not None:
                carry_over(before, project)
                project.models.take_over(before.models)
                before.close(discard=True)  # what it could not save is in the new one
                self._opened.pop(before.folder.resolve(), None)
            return project

        def back() -> None:
            if before is not None:
                self.projects.update(users)

        users = {key: project for key, project in self.projects.items() if project is before}
        for key in users:
            del self.projects[key]
        self._failed.pop(id(collection), None)
        self._aside(collection, change, back)

    def _open_or_create(self, folder: Path, collection: Collection, cancel: CancelToken) -> Project:
        if (folder / PROJECT_FILE).is_file():
            return self._open(folder, collection)
        project = Project.create(
            folder,
            given_images(collection),
            name=collection.name,
            classes=collection.classes,
            dispatch=self.runner.dispatch,
            skip_unreadable=True,
            cancel=cancel,
        )
        self._opened[folder.resolve()] = project
        return project

    def _open(self, folder: Path, collection: Collection) -> Project:
        known = self._opened.get(folder.resolve())
        if known is not None:
            return known
        project = Project.open(folder, images=given_images(collection), dispatch=self.runner.dispatch)
        try:
            find_again(project, collection)
        except WorkbenchError:
            project.close(discard=True)
            raise
        self._opened[folder.resolve()] = project
        return project

    def _aside(
        self,
        collection: Collection,
        make: Callable[[CancelToken], Project | None],
        back: Callable[[], None] | None = None,
    ) -> None:
        """Have a project made in a thread, then take it to hand."""
        key = id(collection)
        again, told = self._failed.get(key, (0.0, ""))
        if key in self._making or self._closing:
            return
        if time.monotonic() < again:
            self.project_failed.emit(collection)
            return
        cancel = self._making[key] = CancelToken()

        def work() -> None:
            try:
                project = make(cancel)
                others = {} if project is None else other_images(collection, project)
                found = {} if project is None else self._look(collection, project, others)
            except Cancelled:
                self._ends[key] = lambda: failed("")
            except Exception as error:  # noqa: BLE001 - the end of a thread: told, as an engine does
                sentence = describe_failure(error).sentence
                self._ends[key] = lambda: failed(sentence)
            else:
                self._ends[key] = lambda: ready(project, others, found)
            self.runner.dispatch(lambda: self._end(key))

        def failed(sentence: str) -> None:
            del self._making[key]
            if back is not None:
                back()
            # What was painted is in the entries, and taken from there once this works.
            self._waiting.pop(key, None)
            self._wished.discard(key)
            self._failed[key] = time.monotonic() + RETRY_SECONDS, sentence
            if sentence not in ("", told) and not self._closing:
                self.runner.failed.emit(f"{sentence}; painting goes on in memory until then", "")
            if not self._closing:
                self.project_failed.emit(collection)

        def ready(project: Project | None, others: dict[str, str], found: Found) -> None:
            del self._making[key]
            waiting = self._waiting.pop(key, [])
            wished = key in self._wished
            self._wished.discard(key)
            if project is None:
                if waiting or wished:  # painted, or asked for, while it was looked for
                    if waiting:
                        self._waiting[key] = waiting
                    self._prepare(collection)
                return
            self.projects[key], self._owners[key] = project, collection
            project.saving_changed.connect(self._on_saving, unique=True)
            self._restore(collection, project, others, found)
            if self._failed.pop(key, None) is not None:
                self._catch_up(collection, project)
            else:
                for change in waiting:
                    self._try(change, project)
            if not self._closing:
                self.project_changed.emit()

        self.runner.in_background(work)

    def _end(self, key: int) -> None:
        end = self._ends.pop(key, None)
        if end is not None:
            end()

    def _catch_up(self, collection: Collection, project: Project) -> None:
        """Keep what was painted while there was no project."""
        for identifier, entry in collection.entries.items():
            if not entry.is_corrected or entry.is_stored_in(project.corrections):
                continue
            mask, done = entry.corrected, entry.done
            if mask is None:
                continue
            before = collection.predicted_mask(identifier, self.workspace.inference)
            if identifier in project.corrections:
                before = project.corrections[identifier].mask
            if before is None or before.shape != mask.shape:
                before = np.zeros_like(mask)
            self._try(_painted(identifier, before, mask, "paint"), project)
            if done:
                self._try(_done(identifier, True, mask), project)

    def _on_saving(self, trouble: str) -> None:
        self.told.emit(trouble or "All strokes are saved again.")

    @staticmethod
    def _look(collection: Collection, project: Project, others: dict[str, str]) -> Found:
        """Compare what was corrected with the reference masks; in a thread, as every mask is decoded."""
        found: Found = {}
        for identifier in project.corrections.touched():
            if identifier not in collection.entries or identifier in others:
                continue
            try:
                found[identifier] = collection.overlap(identifier, project.corrections.mask(identifier))
            except WorkbenchError as error:
                found[identifier] = error.sentence
        return found

    def _restore(
        self, collection: Collection, project: Project, others: dict[str, str], found: Found
    ) -> None:
        """Show what was corrected in earlier sittings; what was painted in this one goes first.

        No mask is read here, in the window's thread: each is read from the project when it is shown.
        """
        restored = []
        for identifier in project.corrections:
            entry = collection.entries.get(identifier)
            effort = project.corrections.effort(identifier)
            if entry is None or not (effort.done or effort.vouched):
                continue
            if entry.is_stored:  # in the project before this one
                entry.store(project.corrections, identifier)
                continue
            if entry.is_corrected:
                continue
            if identifier in others:
                entry.problem = others[identifier]
                continue
            known = found.get(identifier)
            if isinstance(known, str):
                entry.problem = known
                continue
            entry.store(project.corrections, identifier)
            entry.done = effort.done
            entry.score(known, self.workspace.evaluation.empty)
            restored.append(identifier)
        if self._closing:
            return
        for note in project.notes:
            self.told.emit(note)
        if others:
            self.told.emit(f"{len(others)} of the corrected images changed since: see their rows.")
            self.workspace.rows_changed.emit(tuple(others))
        if not restored:
            return
        count = f"{len(restored):,} corrected image{'s' * (len(restored) != 1)}"
        self.told.emit(f"{count} of an earlier sitting {'are' if len(restored) > 1 else 'is'} here again.")
        if collection is self.workspace.collection:
            self.workspace.rows_changed.emit(tuple(restored))
            if self.workspace.current in restored:
                self.workspace.mask_changed.emit(self.workspace.current)

    def _keep(self, change: Callable[[Corrections], Any]) -> None:
        """Have a change kept on disk, now or as soon as there is a project."""
        project, key = self.project, id(self.workspace.collection)
        if project is not None:
            self._try(change, project)
        elif self.automatic:
            if key not in self._failed:
                self._waiting.setdefault(key, []).append(change)
            self.prepare()

    def _try(self, change: Callable[[Corrections], Any], project: Project) -> None:
        try:
            change(project.corrections)
        except WorkbenchError as error:
            self.runner.failed.emit(error.sentence, "")

    def _know(self, identifier: str) -> None:
        """Add an image to the project that came to the collection after it was made."""
        project, collection = self.project, self.workspace.collection
        if project is None or collection is None or identifier in project.ids:
            return
        sample = collection.entries[identifier].sample
        try:
            project.add_images([sample])
        except WorkbenchError as error:
            self.runner.failed.emit(error.sentence, "")

    # masks

    def correct(
        self,
        identifier: str,
        mask: NDArray[np.uint8],
        kind: str = "paint",
        *,
        box: Box | None = None,
        begun: int = 1,
    ) -> None:
        """Take what a person made of a mask; one that is as predicted is no correction.

        Parameters
        ----------
        identifier : str
            Of the image.
        mask : numpy.ndarray
            (Y, X) uint8 with classes 0..K; kept as a copy.
        kind : str
            What did it.
        box : tuple of int, optional
            First row, first column, row and column behind the last, outside of which nothing changed since
            the mask was last corrected. Makes a stroke on a large image cheap.
        begun : int
            How many strokes of the hand began in it; 0: it is more of the last one.
        """
        collection = self.workspace.collection
        if collection is None or identifier not in collection.entries:
            return
        entry = collection.entries[identifier]
        predicted = self._predicted(collection, identifier)
        if predicted is None or predicted.shape != mask.shape:
            predicted = np.zeros_like(mask)
        corrected = entry.corrected
        if corrected is None:
            box = None  # the prediction may have changed since it was shown
        before = predicted if corrected is None else corrected
        after = mask.copy()
        if before.shape != after.shape:
            before, box = np.zeros_like(after), None  # of a picture of another size: told if it is kept
        self._know(identifier)
        self._keep(_painted(identifier, before, after, kind, box, begun))
        y0, x0, y1, x1 = box or (0, 0, 0, 0)
        same = np.array_equal(predicted[y0:y1, x0:x1], mask[y0:y1, x0:x1]) and np.array_equal(predicted, mask)
        entry.corrected = None if same and not entry.done else after
        self.workspace.score_mask(identifier, mask)
        self._let_go(collection, identifier)

    def _let_go(self, collection: Collection, identifier: str) -> None:
        """Keep the masks that were painted last in memory, and read older ones from the project.

        Only once their strokes are on the disk: while there is no project, or it cannot be written, all stay.
        """
        lately = self._lately.setdefault(id(collection), {})
        lately.pop(identifier, None)
        lately[identifier] = None
        project = self.projects.get(id(collection))
        if project is None:
            return
        for older in list(lately)[:-MOST_IN_MEMORY]:
            if not project.corrections.is_on_disk(older):
                return
            del lately[older]
            entry = collection.entries.get(older)
            if entry is None or not entry.is_corrected or entry.is_stored:
                continue
            known = entry.corrected
            if known is not None and np.array_equal(project.corrections.mask(older), known):
                entry.store(project.corrections, older)
                project.corrections.save_mask(older)  # which lets go of it in the project as well

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
        entry = collection.entries[identifier]
        entry.corrected = None
        entry.done = False
        mask = collection.predicted_mask(identifier, self.workspace.inference)
        self._keep(lambda corrections: corrections.revert(identifier, mask))
        self.workspace.mask_changed.emit(identifier)
        if mask is None:
            entry.score(None, self.workspace.evaluation.empty)
            self.workspace.rows_changed.emit((identifier,))
            self.workspace.score_changed.emit(identifier)
        else:
            self.workspace.score_mask(identifier, mask)

    def undo(self, identifier: str) -> None:
        """Take back the last change of an image, painted or not.

        Raises
        ------
        DataError
            If there is none of this sitting.
        """
        collection, project = self.workspace.collection, self.project
        if collection is None or project is None or project.corrections.undo(identifier) is None:
            raise DataError(f"there is nothing to undo on {identifier}", code="data.history.empty")
        self._show_kept(identifier)

    def versions(self, identifier: str) -> tuple[MaskVersion, ...]:
        """Every state that the mask of an image was in, the oldest first; none if nobody worked on it.

        Raises
        ------
        DataError
            If its history cannot be read.
        """
        project = self.project
        if project is None or identifier not in project.corrections:
            return ()
        return project.corrections.versions(identifier)

    def revert_to(self, identifier: str, number: int) -> None:
        """Go back to an earlier version of the mask of an image; that can be taken back like a stroke.

        Raises
        ------
        DataError
            If there is no such version, or its history is damaged.
        """
        project = self.project
        if self.workspace.collection is None or project is None:
            raise DataError(
                f"{identifier} has no version {number}",
                code="data.history.unknown",
                remedy="choose one of its versions",
            )
        project.corrections.revert_to(identifier, number)
        self._show_kept(identifier)

    def vouched(self, identifier: str) -> NDArray[np.bool_] | None:
        """What a person vouches for: what was painted, or all of an image that is done, but nothing ignored.

        Returns
        -------
        numpy.ndarray or None
            (Y, X) bool; None while there is no mask.
        """
        collection, project = self.workspace.collection, self.project
        mask = self.workspace.mask(identifier)
        if collection is None or mask is None:
            return None
        entry = collection.entries[identifier]
        if entry.done:
            return np.asarray(mask != IGNORE)
        if project is not None and identifier in project.corrections:
            correction = project.corrections[identifier]
            return np.asarray(correction.vouched & (correction.mask != IGNORE))
        predicted = collection.predicted_mask(identifier, self.workspace.inference)
        if predicted is None or predicted.shape != mask.shape:
            predicted = np.zeros_like(mask)
        return np.asarray((mask != predicted) & (mask != IGNORE))

    def _show_kept(self, identifier: str) -> None:
        """Show the mask of an image as its project has it now."""
        collection, project = self.workspace.collection, self.project
        assert collection is not None
        assert project is not None
        entry = collection.entries[identifier]
        correction, effort = project.corrections[identifier], project.corrections.effort(identifier)
        entry.done = effort.done
        entry.corrected = correction.mask if effort.done or effort.vouched else None
        self._let_go(collection, identifier)
        self.workspace.mask_changed.emit(identifier)
        shown = self.workspace.mask(identifier)  # a newer model may have predicted another one
        self.workspace.score_mask(identifier, correction.mask if shown is None else shown)

    def set_done(self, identifiers: Iterable[str], done: bool = True, *, together: bool = False) -> None:
        """Vouch for the masks of images, which stay as they are from then on, or take that back.

        Parameters
        ----------
        identifiers : iterable of str
            Images without a mask are passed over.
        done : bool
            Whether the masks are right throughout.
        together : bool
            Whether these belong to an acceptance that is told in several calls.
        """
        collection = self.workspace.collection
        assert collection is not None
        known = (i for i in identifiers if i in collection.entries)
        ids = tuple(i for i in known if collection.entries[i].status != "new")
        if done and ids:
            fresh = tuple(i for i in ids if not collection.entries[i].done)
            self.accepted = (*self.accepted, *fresh) if together else fresh
        for identifier in ids:
            entry = collection.entries[identifier]
            entry.done = done
            predicted = collection.predicted_mask(identifier, self.workspace.inference)
            if done and not entry.is_corrected:
                entry.corrected = predicted
            elif not done and predicted is not None and np.array_equal(predicted, entry.corrected):  # type: ignore[arg-type]
                entry.corrected = None
            self._know(identifier)
            self._keep(_done(identifier, done, entry.corrected if predicted is None else predicted))
            self._let_go(collection, identifier)
        self.workspace.rows_changed.emit(ids)
        if not together:
            self.done_changed.emit(ids)  # one more whose IoU is known

    def edit(
        self, identifier: str, change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]], kind: str
    ) -> None:
        """Change the mask of an image by a function of it, as if it had been painted."""
        collection = self.workspace.collection
        mask = self.workspace.mask(identifier)
        if collection is None or mask is None:
            raise DataError(
                "there is no mask to change", code="data.mask.missing", remedy="segment the image first"
            )
        self.correct(identifier, change(mask.copy()), kind)
        self.workspace.mask_changed.emit(identifier)


def _done(identifier: str, done: bool, predicted: NDArray[np.uint8] | None) -> Callable[[Corrections], Any]:
    return lambda corrections: corrections.set_done(identifier, done, mask=predicted)


def _painted(
    identifier: str,
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    kind: str,
    box: Box | None = None,
    begun: int = 1,
) -> Callable[[Corrections], Any]:
    return lambda corrections: corrections.record(identifier, before, after, kind, box=box, begun=begun)
