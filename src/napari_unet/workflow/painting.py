"""What a person does to masks: painting, vouching, going back; kept on disk from the first stroke."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_unet.errors import DataError, WorkbenchError
from napari_unet.workflow.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from napari_unet.workflow.collection import Collection
    from napari_unet.workflow.corrections import Corrections
    from napari_unet.workflow.session import Session

MaskEdit = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


def own_folder(collection: Collection) -> Path:
    """Where the project of a collection goes by itself: in the person's data folder, by name and place."""
    from platformdirs import user_data_path

    from napari_unet.export.masks import safe_stem

    dataset = collection.dataset
    place = str(dataset.path.resolve()) if dataset is not None else "|".join(collection.ids)
    mark = hashlib.blake2b(place.encode("utf-8", "replace"), digest_size=4).hexdigest()
    return user_data_path("napari-unet") / "projects" / f"{safe_stem(collection.name)[:60]}-{mark}"


class Painting:
    """The corrections of the collection at hand, and the project that keeps them.

    A collection has its project from the moment somebody is about to paint: one that the person made or
    opened, or one of its own in the person's data folder, which is found again when the same data is
    opened. While it is being made strokes wait in memory.

    Parameters
    ----------
    session : Session
        Whose images are painted.
    """

    told = Signal(str)  # something a person should know, in one sentence
    project_changed = Signal()

    def __init__(self, session: Session) -> None:
        self.session = session
        self.projects: dict[int, Project] = {}  # by the id of the collection
        self.automatic = True  # whether a project is made without being asked for
        self._making: set[int] = set()
        self._failed: set[int] = set()
        self._waiting: dict[int, list[Callable[[Corrections], Any]]] = {}

    @property
    def project(self) -> Project | None:
        """Of the collection at hand; None while nobody painted."""
        return self.projects.get(id(self.session.collection))

    def close(self) -> None:
        """Save and let go of all projects."""
        for project in self.projects.values():
            project.close(discard=True)
        self.projects.clear()

    # projects

    def look_for_project(self) -> None:
        """Open the project that the collection at hand has from an earlier sitting, if it has one."""
        collection = self.session.collection
        if collection is None or not len(collection) or not self.automatic or self.project is not None:
            return
        folder = own_folder(collection)
        if (folder / "project.json").is_file():
            self._aside(collection, lambda: self._open(folder, collection))

    def prepare(self) -> None:
        """Somebody is about to paint: have a project to keep the strokes in."""
        collection = self.session.collection
        if collection is None or not len(collection) or not self.automatic or self.project is not None:
            return
        folder = own_folder(collection)

        def make() -> Project:
            if (folder / "project.json").is_file():
                return self._open(folder, collection)
            return self._create(folder, collection)

        self._aside(collection, make)

    def use_folder(self, folder: Path) -> None:
        """Keep the corrections of the collection at hand in a folder: a project there, or a new one."""
        collection = self.session.collection
        if collection is None:
            self.session.failed.emit("Open images first: a project belongs to images.", "")
            return
        before = self.projects.pop(id(collection), None)

        def change() -> Project:
            if (folder / "project.json").is_file():
                project = self._open(folder, collection)
            else:
                project = self._create(folder, collection)
            if before is not None:
                carry_over(before, project)
                before.close()
            return project

        def back() -> None:
            if before is not None:
                self.projects[id(collection)] = before

        self._failed.discard(id(collection))
        self._aside(collection, change, back)

    def _open(self, folder: Path, collection: Collection) -> Project:
        given: Any = collection.dataset
        if given is None:
            given = [e.sample for e in collection.entries.values()]
        return Project.open(folder, images=given, dispatch=self.session.dispatch)

    def _create(self, folder: Path, collection: Collection) -> Project:
        given: Any = collection.dataset
        if given is None:
            given = [e.sample for e in collection.entries.values()]
        return Project.create(
            folder, given, name=collection.name, classes=collection.classes, dispatch=self.session.dispatch
        )

    def _aside(
        self, collection: Collection, make: Callable[[], Project], back: Callable[[], None] | None = None
    ) -> None:
        key = id(collection)
        if key in self._making or key in self._failed:
            return
        self._making.add(key)

        def work() -> None:
            try:
                project = make()
            except WorkbenchError as error:
                sentence = error.sentence
                self.session.dispatch(lambda: failed(sentence))
            else:
                self.session.dispatch(lambda: ready(project))

        def failed(sentence: str) -> None:
            self._making.discard(key)
            self._failed.add(key)
            if back is not None:
                back()
            self.session.failed.emit(f"{sentence}; painting goes on in memory until then", "")

        def ready(project: Project) -> None:
            self._making.discard(key)
            self.projects[key] = project
            project.saving_changed.connect(self._on_saving)
            self._restore(collection, project)
            for change in self._waiting.pop(key, []):
                self._try(change, project)
            self.project_changed.emit()

        self.session.run_aside(work)

    def _on_saving(self, trouble: str) -> None:
        self.told.emit(trouble or "All strokes are saved again.")

    def _restore(self, collection: Collection, project: Project) -> None:
        """Show what was corrected in earlier sittings; what was painted in this one goes first."""
        restored = []
        for identifier in project.corrections:
            entry = collection.entries.get(identifier)
            if entry is None or entry.corrected is not None:
                continue
            try:
                correction = project.corrections[identifier]
            except WorkbenchError as error:
                entry.problem = error.sentence
                continue
            effort = project.corrections.effort(identifier)
            if not effort.done and not effort.vouched:
                continue
            entry.corrected, entry.done = correction.mask, effort.done
            collection.count(identifier, correction.mask, self.session.evaluation.empty)
            restored.append(identifier)
        for note in project.notes:
            self.told.emit(note)
        if restored and collection is self.session.collection:
            self.session.rows_changed.emit(tuple(restored))
            if self.session.current in restored:
                self.session.mask_changed.emit(self.session.current)

    def _keep(self, change: Callable[[Corrections], Any]) -> None:
        """Have a change kept on disk, now or as soon as there is a project."""
        project = self.project
        if project is not None:
            self._try(change, project)
        elif self.automatic and id(self.session.collection) not in self._failed:
            self._waiting.setdefault(id(self.session.collection), []).append(change)
            self.prepare()

    def _try(self, change: Callable[[Corrections], Any], project: Project) -> None:
        try:
            change(project.corrections)
        except WorkbenchError as error:
            self.session.failed.emit(error.sentence, "")

    # masks

    def correct(self, identifier: str, mask: NDArray[np.uint8], kind: str = "paint") -> None:
        """Take what a person made of a mask; one that is as predicted is no correction.

        Parameters
        ----------
        identifier : str
            Of the image.
        mask : numpy.ndarray
            (Y, X) uint8 with classes 0..K; kept as a copy.
        kind : str
            What did it.
        """
        session, collection = self.session, self.session.collection
        if collection is None or identifier not in collection.entries:
            return
        entry = collection.entries[identifier]
        predicted = collection.predicted_mask(identifier, session.inference)
        if predicted is None or predicted.shape != mask.shape:
            predicted = np.zeros_like(mask)
        before = predicted if entry.corrected is None else entry.corrected
        after = mask.copy()
        if before.shape == after.shape:
            self._keep(lambda corrections: corrections.record(identifier, before, after, kind))
        same = np.array_equal(predicted, mask)
        entry.corrected = None if same and not entry.done else after
        session.score_mask(identifier, mask)

    def revert(self, identifier: str) -> None:
        """Go back to what was predicted; that, too, can be taken back from the image's versions."""
        session, collection = self.session, self.session.collection
        if collection is None:
            return
        entry = collection.entries[identifier]
        entry.corrected = None
        entry.done = False
        mask = collection.predicted_mask(identifier, session.inference)
        self._keep(lambda corrections: corrections.revert(identifier, mask))
        session.mask_changed.emit(identifier)
        if mask is None:
            entry.score(None, session.evaluation.empty)
            session.rows_changed.emit((identifier,))
            session.score_changed.emit(identifier)
        else:
            session.score_mask(identifier, mask)

    def undo(self, identifier: str) -> None:
        """Take back the last change of an image, painted or not.

        Raises
        ------
        DataError
            If there is none of this sitting.
        """
        session, collection, project = self.session, self.session.collection, self.project
        if collection is None or project is None or project.corrections.undo(identifier) is None:
            raise DataError(f"there is nothing to undo on {identifier}")
        entry = collection.entries[identifier]
        correction, effort = project.corrections[identifier], project.corrections.effort(identifier)
        entry.done = effort.done
        entry.corrected = correction.mask if effort.done or effort.vouched else None
        session.mask_changed.emit(identifier)
        session.score_mask(identifier, correction.mask)

    def set_done(self, identifiers: Iterable[str], done: bool = True) -> None:
        """Vouch for the masks of images, which stay as they are from then on, or take that back."""
        session, collection = self.session, self.session.collection
        assert collection is not None
        ids = tuple(i for i in identifiers if collection.entries[i].status != "new")
        for identifier in ids:
            entry = collection.entries[identifier]
            entry.done = done
            predicted = collection.predicted_mask(identifier, session.inference)
            if done and entry.corrected is None:
                entry.corrected = predicted
            elif not done and predicted is not None and np.array_equal(predicted, entry.corrected):  # type: ignore[arg-type]
                entry.corrected = None
            self._keep(_done(identifier, done, predicted))
        session.rows_changed.emit(ids)

    def edit(
        self, identifier: str, change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]], kind: str
    ) -> None:
        """Change the mask of an image by a function of it, as if it had been painted."""
        session, collection = self.session, self.session.collection
        mask = session.mask(identifier)
        if collection is None or mask is None:
            raise DataError("there is no mask to change", remedy="segment the image first")
        self.correct(identifier, change(mask.copy()), kind)
        session.mask_changed.emit(identifier)


def _done(identifier: str, done: bool, predicted: NDArray[np.uint8] | None) -> Callable[[Corrections], Any]:
    return lambda corrections: corrections.set_done(identifier, done, mask=predicted)


def carry_over(old: Project, new: Project) -> None:
    """Take the corrections of one project into another that has none of these images yet."""
    for identifier in old.corrections:
        if identifier in new.corrections or identifier not in new.ids:
            continue
        correction = old.corrections[identifier]
        new.corrections.record(identifier, correction.prediction, correction.mask, "taken over")
        if old.corrections.effort(identifier).done:
            new.corrections.set_done(identifier, mask=correction.mask)
