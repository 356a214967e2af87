"""The version that waits for Keep or Discard, and which version of a project's model is in use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from psygnal import Signal

from napari_unet.errors import WorkbenchError
from napari_unet.evaluation.compare import TIE
from napari_unet.models.card import ModelCard
from napari_unet.project.model_versions import ModelStore
from napari_unet.session.learn.verdict import verdict_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from napari_unet.project.model_version import Version
    from napari_unet.project.project import Project
    from napari_unet.session.painting import Painting
    from napari_unet.session.task_runner import TaskRunner
    from napari_unet.session.workspace import Workspace
    from napari_unet.workflow.finetune.fine_tune_task import FineTuned
    from napari_unet.workflow.finetune.train_version import Trained

Read = TypeVar("Read")


class CandidateVersion:
    """A new version of a project's model, with its verdict: the person keeps it or discards it.

    Nothing uses a version before the person says so.

    Parameters
    ----------
    workspace : Workspace
        Whose model changes once a person keeps a version.
    runner : TaskRunner
        Whose task must have ended before the model can be another one.
    painting : Painting
        Whose project the versions belong to.

    Attributes
    ----------
    version : Version or None
        Waits for ``keep`` or ``discard``.
    result : FineTuned or Trained or None
        The verdict of the last round; None once it is answered.
    note : str
        What a person should know besides the verdict, in a sentence.
    """

    changed = Signal()  # another version waits, another one is in use, or there is something else to say
    again = Signal(tuple)  # ids of images to be segmented with the model that is used now

    def __init__(self, workspace: Workspace, runner: TaskRunner, painting: Painting) -> None:
        self.workspace, self.runner, self.painting = workspace, runner, painting
        self.version: Version | None = None
        self.result: FineTuned | Trained | None = None
        self.note = ""
        self._home: Project | None = None  # of the version, whatever images are shown by now
        self._made_by: FineTuned | Trained | None = None  # what the version came of
        self._against = ""  # name of the version that it was judged against
        self.came_into_use = False  # whether the last answer put another version into use

    @property
    def project(self) -> Project | None:
        """Of the images that are open."""
        return self.painting.project

    @property
    def versions(self) -> tuple[Version, ...]:
        """Of the project of the images that are open, the oldest first; none if one is damaged."""
        return self._read(lambda store: store.versions()) or ()

    @property
    def in_use(self) -> Version | None:
        """The version in use in that project."""
        return self._read(lambda store: store.current)

    @property
    def earlier(self) -> Version | None:
        """The version that ``roll_back`` uses; None if there is none."""
        return self._read(lambda store: store.earlier)

    def _read(self, what: Callable[[ModelStore], Read]) -> Read | None:
        """Read the versions; None where one is damaged, which is said when the project is opened."""
        project = self.project
        try:
            return None if project is None else what(project.models)
        except WorkbenchError:
            return None

    @property
    def sentence(self) -> str:
        """The verdict and what else a person should know; empty if there is nothing to say."""
        words = []
        if self.result is not None:
            verdict = self.result.sentence
            words.append(f"{verdict[:1].upper()}{verdict[1:]}.")
        if self.note:
            words.append(self.note)
        if self.version is not None and self.result is None:
            than = f", judged against {self._against}" if self._against else ""
            words.append(f"{self.version.name} still waits for a decision: {self.version.note}{than}.")
        return " ".join(words)

    @property
    def headline(self) -> str:
        """The verdict on one line; ``sentence`` has all of it."""
        return verdict_line(self.result) if self.result is not None else self.sentence

    @property
    def fell(self) -> bool:
        """Whether the version on offer is worse than the one in use, or nothing tells that it is not."""
        from napari_unet.workflow.finetune.fine_tuned import FineTuned

        if self.version is None:
            return False
        worse = isinstance(self.result, FineTuned) and self.result.first_button == "discard"
        return worse or gained(self.version) < -TIE

    # on offer

    def offer(
        self,
        project: Project,
        result: FineTuned | Trained,
        seen: Mapping[str, int],
        parent: int | None,
        note: str = "",
    ) -> None:
        """Put a version on offer; of two on offer in one project the better one stays.

        Parameters
        ----------
        project : Project
            That the version goes into.
        result : FineTuned or Trained
            What came of learning.
        seen : mapping
            Id of every corrected image to the number of the last stroke on it, when learning began.
        parent : int or None
            The version it started from; 0 if from none.
        note : str
            What a person should know besides the verdict.
        """
        from napari_unet.workflow.finetune.rounds import add_version

        try:
            current = project.models.current
            fresh = add_version(project, result, seen, parent)
            before = self.version if self._home is project else None
            if before is not None and gained(before) > gained(fresh):
                project.models.discard(fresh.number)
                self.note = f"The round after it was no better; {before.name} still waits for a decision."
                self.result = self._made_by
                self.changed.emit()
                return
            if before is not None:
                project.models.discard(before.number)
        except WorkbenchError as error:
            self.runner.failed.emit(error.sentence, "")
            return
        self.version, self.result, self._home = fresh, result, project
        self._made_by, self.note, self.came_into_use = result, note, False
        self._against = "" if current is None else current.name
        self.changed.emit()

    def forget_verdict(self) -> None:
        """Let go of the verdict of the round before, as another one begins."""
        if self.result is not None or self.note:
            self.result, self.note, self.came_into_use = None, "", False
            self.changed.emit()

    def keep(self) -> None:
        """Use the new version from now on; images that were segmented before are segmented again."""
        project, version = self._home, self.version
        if project is None or version is None or self._waits():
            return
        if self._try(lambda: project.models.keep(version.number)):
            self.version = None
            self._use(version, f"{version.name} is in use now.")

    def discard(self) -> None:
        """Stay with the version in use."""
        project, version = self._home, self.version
        if project is None or version is None:
            return
        if self._try(lambda: project.models.discard(version.number)):
            self.version, self.result = None, None
            used = project.models.current
            self.note = f"{version.name} is discarded." + (f" {used.name} stays in use." if used else "")
            self.changed.emit()

    def living(self, project: Project) -> Project:
        """The project, or the one that took its place while it was learned from."""
        current = self.project
        return current if project.read_only and current is not None else project

    # in use

    def roll_back(self, number: int | None = None) -> None:
        """Use an earlier version again: the one before, which is always an older one, or a certain one."""
        project = self.project
        if project is None or self._waits():
            return
        found: list[Version] = []
        self._try(lambda: found.append(project.models.roll_back(number)))
        for version in found:
            if self.version is not None and self.version.path == version.path:
                self.version = None  # this is an answer as well
            self._use(version, f"{version.name} is in use now.")

    def _use(self, version: Version, note: str) -> None:
        self.result, self.note = None, note  # the verdict was of another choice
        self.came_into_use = True
        collection = self.workspace.collection
        before = []
        if collection is not None:
            before = [i for i, e in collection.entries.items() if e.prediction is not None]
        try:
            card = ModelCard.read(version.path)
        except WorkbenchError as error:
            self.runner.failed.emit(error.sentence, "")
            self.changed.emit()
            return
        self.workspace.choose_model(card, same_line=True)
        self.changed.emit()
        current = self.workspace.current
        home = self.project is not None and version.path.parent == self.project.models.folder
        if not before and home and current:
            before = [current]  # a first model has something to show at once
        if before:
            self.again.emit((*(i for i in before if i == current), *(i for i in before if i != current)))

    def _waits(self) -> bool:
        """Whether another task must end before the model can be changed; says so."""
        if self.runner.busy:
            self.runner.failed.emit("Segmentation is running: wait for its end, or cancel it.", "")
        return self.runner.busy

    def _try(self, change: Callable[[], Any]) -> bool:
        try:
            change()
        except WorkbenchError as error:
            self.runner.failed.emit(error.sentence, "")
            return False
        return True

    # another project

    def follow_project(self) -> None:
        """Keep offering a version whose project has moved into another folder."""
        from napari_unet.workflow.finetune.rounds import same_model

        version, project = self.version, self.project
        if version is None or project is None or self._home in (None, project):
            return
        if self._home is not None and not self._home.read_only:
            return  # it is open still, and other images are shown
        moved = [v for v in self.versions if same_model(v.path, version.path)]
        self._home, self.version = (project, moved[-1]) if moved else (None, None)
        self.changed.emit()

    def offer_versions(self) -> None:
        """Let the versions of the project be chosen; take the one in use if no model is chosen."""
        project = self.project
        if project is None:
            return
        try:
            version = project.models.current
            if version is None:
                return
            self.workspace.add_models(project.folder / "models")
            card = self.workspace.models.get(version.path) or ModelCard.read(version.path)
        except WorkbenchError as error:
            self.runner.failed.emit(error.sentence, "")
            return
        if self.workspace.model is None:
            self.workspace.choose_model(card)
        else:
            self.workspace.models_changed.emit()

    def left_to_segment(self) -> int:
        """Images that the version which just came into use did not segment; 0 where none just did."""
        collection = self.workspace.collection
        if not self.came_into_use or collection is None:
            return 0
        return sum(entry.prediction is None for entry in collection.entries.values())

    def suggestible(self) -> list[ModelCard]:
        """Models that may be suggested: of the versions of a project the one in use alone.

        So none that a person discarded or went back from, whatever images are open.
        """
        in_use: dict[Path, Path | None] = {}
        found = []
        for path, card in self.workspace.models.items():
            store = ModelStore.that_holds(path)
            if store is not None and store.folder not in in_use:
                try:
                    current = store.current
                except WorkbenchError:
                    current = None
                in_use[store.folder] = None if current is None else current.path
            if store is None or in_use[store.folder] == path:
                found.append(card)
        return found


def gained(version: Version) -> float:
    """IoU that a version was ahead of the one in use when it was judged; 0 where that is not known."""
    return float(version.scores.get("difference", 0.0))
