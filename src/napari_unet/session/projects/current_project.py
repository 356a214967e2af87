"""The project of the open images: found, made, moved and closed while a person paints."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_unet.engine.task import describe_failure
from napari_unet.errors import Cancelled, WorkbenchError
from napari_unet.progress import CancelToken
from napari_unet.project.corrections.corrections import Corrections
from napari_unet.project.project import Project
from napari_unet.project.project_file import PROJECT_FILE
from napari_unet.session.auto_project import find_again, given_images, own_folder
from napari_unet.session.found_project import Found, look_through, replay_into, take_all

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_unet.session.images.collection import Collection
    from napari_unet.session.task_runner import TaskRunner
    from napari_unet.session.workspace import Workspace

RETRY_SECONDS = 30.0  # until a project that could not be opened or made is tried again


class CurrentProject:
    """The project that keeps what is painted on the open images.

    A collection has its project from the moment somebody is about to paint. It is one that the person made
    or opened, or one of its own in the person's data folder. That one is found again when the same data is
    opened. Until then what is painted is in ``Collection.memory``, and the project takes it over.

    Parameters
    ----------
    workspace : Workspace
        Whose images are painted.
    runner : TaskRunner
        Whose thread makes projects.
    """

    noted = Signal(str)  # something a person should know, in one sentence
    project_changed = Signal()
    project_failed = Signal(object)  # the collection whose project could not be opened or made

    def __init__(self, workspace: Workspace, runner: TaskRunner) -> None:
        self.workspace, self.runner = workspace, runner
        self.automatic = True  # whether a project is made without being asked for
        self.by_collection: dict[int, Project] = {}  # by the id of the collection
        self.wanted: dict[Path, Path] = {}  # folder of a project by the data it is opened for next
        self._owners: dict[int, Collection] = {}  # held, so that no other gets the id of one
        self._opened: dict[Path, Project] = {}  # by folder: two collections may be of one data set
        self._making: dict[int, tuple[Collection, CancelToken]] = {}
        self._ends: dict[int, Callable[[], None]] = {}  # what is to be done once a project is made
        self._wished: set[int] = set()  # collections whose project is wanted while one is looked for
        self._failed: dict[int, tuple[float, str]] = {}  # when to try again, and what was said
        self._refused = (0, "")  # which image a project did not take last, and why
        self._retry: threading.Timer | None = None
        self._closing = False

    @property
    def project(self) -> Project | None:
        """Of the open images; None while nobody painted."""
        return self.by_collection.get(id(self.workspace.collection))

    @property
    def busy(self) -> bool:
        """Whether a project is being looked for or made."""
        return bool(self._making)

    def finish(self) -> None:
        """Make no project any more that nobody waits for; ahead of ``close``, which waits for the others."""
        if self._retry is not None:
            self._retry.cancel()
        for key in list(self._failed):
            if self.automatic and self._owners[key].unsaved:
                del self._failed[key]
                self._prepare(self._owners[key])  # the other window may be closed by now
        self._closing = True
        for owner, cancel in self._making.values():
            if not owner.unsaved:
                cancel.cancel()

    def close(self) -> None:
        """Save and let go of all projects, those too that were being made."""
        for key in list(self._ends):
            self._end(key)
        for project in self._opened.values():
            project.close(discard=True)
        for known in (self._opened, self.by_collection, self._owners, self._failed):
            known.clear()

    def look(self) -> None:
        """Open the project that the open images have from an earlier session, if they have one."""
        collection = self.workspace.collection
        if collection is None or not len(collection) or not self.automatic or self.project is not None:
            return
        dataset = collection.dataset
        wanted = None if dataset is None else self.wanted.pop(dataset.path.resolve(), None)

        def look(cancel: CancelToken) -> Project | None:
            folder = wanted or own_folder(collection)
            return self._open(folder, collection) if (folder / PROJECT_FILE).is_file() else None

        self._in_background(collection, look)

    def prepare(self) -> None:
        """Somebody is about to paint: have a project to keep the strokes in."""
        collection = self.workspace.collection
        if collection is not None and len(collection) and self.automatic and self.project is None:
            self._prepare(collection)

    def _prepare(self, collection: Collection) -> None:
        if id(collection) in self._making:
            self._wished.add(id(collection))
            return
        self._in_background(
            collection, lambda cancel: self._open_or_create(own_folder(collection), collection, cancel)
        )

    def use_folder(self, folder: Path) -> None:
        """Keep the corrections of the open images in a folder: a project there, or a new one."""
        collection, before = self.workspace.collection, self.project
        if collection is None:
            self.runner.failed.emit("Open images first: a project belongs to images.", "")
            return
        if id(collection) in self._making:
            self.runner.failed.emit("A project is being opened: try again in a moment.", "")
            return
        if before is not None and before.folder.resolve() == folder.expanduser().resolve():
            return

        def change(cancel: CancelToken) -> Project:
            project = self._open_or_create(folder, collection, cancel)
            if before is not None:
                project.models.take_over(before.models)
            return project

        self._failed.pop(id(collection), None)
        self._in_background(collection, change)

    def keep(self, identifier: str) -> None:
        """Have what was just done to an image in its project: now, or as soon as there is one."""
        collection, project = self.workspace.collection, self.project
        if collection is not None and collection.entries[identifier].disk is not None:
            return  # a large image keeps its strokes next to its mask
        if collection is None or project is None:
            self.prepare()
            return
        entry = collection.entries[identifier]
        if entry.corrections is project.corrections and entry.known_as == identifier:
            return
        # It came to the collection later, has another name now, or is not the image that the project knew.
        try:
            replay_into(project, identifier, entry, fresh=True)
        except WorkbenchError as error:
            if (id(entry), error.sentence) != self._refused:
                self._refused = id(entry), error.sentence
                self.runner.failed.emit(error.sentence, "")
            return
        if isinstance(entry.corrections, Corrections) and entry.corrections.is_in_memory:
            entry.corrections.forget(entry.known_as)
        entry.corrections, entry.known_as = project.corrections, identifier

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
            may_be_empty=True,
            cancel=cancel,
        )
        self._opened[folder.resolve()] = project
        return project

    def _open(self, folder: Path, collection: Collection) -> Project:
        known = self._opened.get(folder.resolve())
        if known is not None and not known.read_only:
            return known
        project = Project.open(folder, images=given_images(collection), dispatch=self.runner.dispatch)
        try:
            find_again(project, collection)
        except WorkbenchError:
            project.close(discard=True)
            raise
        self._opened[folder.resolve()] = project
        return project

    def _in_background(self, collection: Collection, make: Callable[[CancelToken], Project | None]) -> None:
        """Have a project made in a thread, with what was painted so far; then use it."""
        key, before = id(collection), self.by_collection.get(id(collection))
        again, said = self._failed.get(key, (0.0, ""))
        if key in self._making or self._closing:
            return
        if time.monotonic() < again:
            self.project_failed.emit(collection)
            return
        cancel = CancelToken()
        self._making[key] = collection, cancel

        def work() -> None:
            try:
                project = make(cancel)
                found = None if project is None else look_through(collection, project, before)
            except Cancelled:
                self._ends[key] = lambda: failed("")
            except Exception as error:  # noqa: BLE001 - the end of a thread: reported, as an engine does
                sentence = describe_failure(error).sentence
                self._ends[key] = lambda: failed(sentence)
            else:
                self._ends[key] = lambda: ready(found)
            self.runner.dispatch(lambda: self._end(key))

        def failed(sentence: str) -> None:
            del self._making[key]
            self._wished.discard(key)
            self._failed[key] = time.monotonic() + RETRY_SECONDS, sentence
            self._owners[key] = collection
            self._try_later(collection)
            if sentence not in ("", said) and not self._closing:
                self.runner.failed.emit(f"{sentence}; painting continues in memory until then", "")
            if not self._closing:
                self.project_failed.emit(collection)

        def ready(found: Found | None) -> None:
            del self._making[key]
            wished = key in self._wished
            self._wished.discard(key)
            self._failed.pop(key, None)
            if found is None:
                if collection.unsaved or wished:  # painted, or asked for, while it was looked for
                    self._prepare(collection)
                return
            self._use(collection, found)

        self.runner.in_background(work)

    def _try_later(self, collection: Collection) -> None:
        """Try again without being asked, as somebody may have painted and gone away."""

        def again() -> None:
            if self.automatic and collection.unsaved and id(collection) not in self.by_collection:
                self._prepare(collection)

        if not self._closing:
            self._retry = threading.Timer(max(RETRY_SECONDS, 1.0), lambda: self.runner.dispatch(again))
            self._retry.daemon = True
            self._retry.start()

    def _end(self, key: int) -> None:
        end = self._ends.pop(key, None)
        if end is not None:
            end()

    def _use(self, collection: Collection, found: Found) -> None:
        """Let a project own what is painted on a collection; no mask is read here, in the window's thread."""
        project = found.project
        for owner in [k for k, p in self.by_collection.items() if p is found.before is not None]:
            del self.by_collection[owner]  # which is found again when that collection is shown
        self.by_collection[id(collection)], self._owners[id(collection)] = project, collection
        project.saving_changed.connect(self._on_saving, unique=True)
        painted = {i for i, e in collection.entries.items() if e.corrections.is_in_memory and e.is_corrected}
        problems = take_all(collection, found)
        collection.memory = Corrections.in_memory()
        collection.left = [e for e in collection.left if e.sample.id in problems]
        restored = []
        for identifier, entry in collection.entries.items():
            if identifier in problems:
                entry.problem = problems[identifier]
                continue
            if identifier in found.others and identifier not in found.taken:
                entry.corrections, entry.known_as = collection.memory, identifier
                entry.problem = found.others[identifier]
                continue
            if entry.disk is not None:
                continue
            shown = entry.is_corrected
            entry.corrections, entry.known_as = project.corrections, identifier
            counts = found.counts.get(identifier)
            if not entry.is_corrected:
                continue
            if isinstance(counts, str):
                entry.problem = counts
            elif identifier in found.counts:
                entry.score(counts, self.workspace.evaluation.empty)
            if not shown:
                restored.append(identifier)
        if not self._closing:
            self._tell(collection, found, problems, restored, painted & found.counts.keys())
        if found.before is None:
            self._on_changed()
        else:
            self._let_go(found.before)

    def _let_go(self, project: Project) -> None:
        """Close a project in a thread: what it cannot save is in the one that stands in for it."""

        def close() -> None:
            project.close(discard=True)
            self.runner.dispatch(closed)

        def closed() -> None:
            folder = project.folder.resolve()
            if self._opened.get(folder) is project:
                del self._opened[folder]
            self._on_changed()

        self.runner.in_background(close)

    def _on_changed(self) -> None:
        if not self._closing:
            self.project_changed.emit()

    def _tell(
        self, collection: Collection, found: Found, problems: dict[str, str], restored: list[str],
        merged: set[str],
    ) -> None:  # fmt: skip
        """Say what a project brought."""
        for note in found.project.notes:
            self.noted.emit(note)
        for sentence in dict.fromkeys(problems.values()):
            self.runner.failed.emit(sentence, "")
        others = [i for i in found.others if i not in found.taken]
        if others:
            self.noted.emit(f"{len(others)} of the corrected images changed since: see their rows.")
        if restored:
            count = f"{len(restored):,} corrected image{'s' * (len(restored) != 1)}"
            verb = "are" if len(restored) > 1 else "is"
            self.noted.emit(f"{count} {verb} restored from your last session.")
        changed = (*others, *problems, *restored, *merged)
        if changed and collection is self.workspace.collection:
            self.workspace.rows_changed.emit(changed)
            if self.workspace.current in {*restored, *merged}:
                self.workspace.mask_changed.emit(self.workspace.current)

    def _on_saving(self, trouble: str) -> None:
        self.noted.emit(trouble or "All strokes are saved again.")
