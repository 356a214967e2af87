"""Learning in a sitting: what was painted becomes a new version, judged, kept or discarded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_unet.engine.task import FromCaller
from napari_unet.errors import WorkbenchError
from napari_unet.models.card import ModelCard
from napari_unet.session.background_job import Beside
from napari_unet.session.new_model import TrainingAnew
from napari_unet.settings import FineTuneSettings
from napari_unet.workflow.finetune.learning_curve import effort_of, rounds_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari_unet.engine.task import Job
    from napari_unet.evaluation.compare import Comparison
    from napari_unet.project.model_version import Version
    from napari_unet.project.project import Project
    from napari_unet.session.collection import Collection
    from napari_unet.session.painting import Painting
    from napari_unet.session.run_history import SessionRuns
    from napari_unet.session.task_runner import TaskRunner
    from napari_unet.session.workspace import Workspace
    from napari_unet.workflow.finetune.fine_tune_task import FineTuned
    from napari_unet.workflow.finetune.learning_curve import Effort
    from napari_unet.workflow.finetune.project_examples import Material
    from napari_unet.workflow.finetune.train_version import Trained


class Learning(Beside):
    """Fine-tunes the model at hand on the corrections of the project at hand.

    It computes beside the session, so that segmenting and painting go on: in a process of its own where
    ``make_engine`` gives one.

    Parameters
    ----------
    workspace : Workspace
        Whose model learns.
    runner : TaskRunner
        Where tasks run.
    """

    again = Signal(tuple)  # ids of images to be segmented with the model that is used now

    def __init__(
        self, workspace: Workspace, runner: TaskRunner, painting: Painting, runs: SessionRuns
    ) -> None:
        super().__init__(workspace, runner)
        self.painting, self.runs = painting, runs
        self.result: FineTuned | Trained | None = None
        self.candidate: Version | None = None  # waits for keep or discard
        self.note = ""  # what a person should know of the last round besides its verdict
        self.keep_going = False  # whether a round follows the other as long as there are new strokes
        self.seconds = 60.0  # budget of such a round
        self._judged_in: Project | None = None  # whose the candidate is, whatever is at hand by then
        self._offered: FineTuned | Trained | None = None  # what the candidate came of
        self._taught: dict[str, int] = {}  # strokes that the last round learned from
        self.anew = TrainingAnew(self)
        painting.projects.project_changed.connect(self._follow_project)

    def close(self) -> None:
        """Stop what runs and leave nothing behind."""
        self.keep_going = False
        super().close()

    def forget(self) -> None:
        """Let go of the verdict of the round before."""
        self.result, self.note = None, ""

    @property
    def project(self) -> Project | None:
        """Whose corrections are learned from."""
        return self.painting.project

    @property
    def versions(self) -> tuple[Version, ...]:
        """Of the project at hand, the oldest first."""
        project = self.project
        return project.models.versions() if project is not None else ()

    def obstacle(self) -> str:
        """Why there can be no fine-tuning now; empty if there can."""
        project = self.project
        if self.workspace.model is None:
            return "Open a model first."
        if self.workspace.model.members:
            return "An ensemble has no single network that could learn: open one of its members instead."
        if self.job is not None:
            return "Learning is under way."
        if self.candidate is not None and not self.keep_going:
            return "Keep or discard the new version first."
        if project is None or not project.corrections.touched():
            return "Correct a mask first: paint on it, or mark it done."
        if not self._teaching_strokes(project):
            return "What is corrected so far is kept for judging: correct one more image."
        return ""

    def summary(self) -> str:
        """What there is to learn from, in words."""
        project = self.project
        if project is None:
            return ""
        touched = project.corrections.touched()
        judging = len(touched) - len(self._teaching_strokes(project))
        total = project.corrections.total()
        words = f"{len(touched) - judging} corrected image{'s' * (len(touched) - judging != 1)} to learn from"
        if judging:
            words += f", {judging} to judge by"
        strokes = f"{total.strokes} stroke{'s' * (total.strokes != 1)}"
        return f"{words}; {strokes}, {total.changed:,} pixels, {total.seconds / 60:.0f} min"

    @staticmethod
    def _teaching_strokes(project: Project) -> dict[str, int]:
        from napari_unet.workflow.finetune.project_examples import teaches

        corrections = project.corrections
        return {i: n for i, n in corrections.seen().items() if teaches(corrections, i)}

    # learning

    def fine_tune(self, seconds: float = 60.0) -> Job | None:
        """Learn from what was painted; the verdict comes with ``changed``.

        Parameters
        ----------
        seconds : float
            Budget, from the click to the verdict.

        Returns
        -------
        Job or None
            None if there is an obstacle.
        """
        from napari_unet.workflow.finetune.fine_tune_task import FineTuneTask
        from napari_unet.workflow.finetune.rounds import first_version

        project = self.project
        if (
            self.obstacle()
            or project is None
            or self.workspace.model is None
            or self.workspace.collection is None
        ):
            return None
        collection, card = self.workspace.collection, self.workspace.model
        project.corrections.save()
        try:
            first_version(project.models, card.path)
            out = project.new_folder("runs", "fine-tune", {"seconds": seconds}) / "model"
        except WorkbenchError as error:
            self.runner.failed.emit(error.sentence, "")
            return None
        material = self.material(project, collection, card)
        self._taught = self._teaching_strokes(project)
        task = FineTuneTask(
            card.path,
            material.corrections,
            out,
            FineTuneSettings(seconds=seconds),
            replay=material.replay,
            replay_format=material.replay_format,
            others=material.others,
            judges=material.judges,
            reserve=material.reserve,
            preview=FromCaller(self.wanted_preview),
            stop=FromCaller(self.wants_stop),
            evaluation=self.workspace.evaluation,
        )
        current = project.models.current
        assert current is not None

        def finish(result: FineTuned) -> None:
            self.runs.fine_tuned(task)
            self._judge(self.living(project), result, material, current.number)

        return self.run(task, collection, finish)

    @staticmethod
    def material(project: Project, collection: Collection, card: ModelCard) -> Material:
        """What there is to learn from, among the images at hand."""
        from napari_unet.workflow.finetune.project_examples import gather

        entries = collection.entries
        return gather(
            project,
            {i: e.sample for i, e in entries.items()},
            collection.dataset,
            card.provenance,
            lambda i: entries[i].part,
            {i: e.group for i, e in entries.items()},
        )

    def compare(self, first: int, second: int, done: Callable[[Comparison], None]) -> Job | None:
        """Put two versions on the images that were held out from both.

        Parameters
        ----------
        first, second : int
            Numbers of versions.
        done : callable
            Takes the Comparison of the second against the first.

        Returns
        -------
        Job or None
            None if something runs, or there is nothing to compare on.
        """
        from napari_unet.workflow.evaluate.compare_models import CompareTask

        project, collection, card = self.project, self.workspace.collection, self.workspace.model
        if self.job is not None or project is None or collection is None or card is None:
            return None
        try:
            one, other = (project.models.version(n).path for n in (first, second))
        except WorkbenchError as error:
            self.runner.failed.emit(error.sentence, "")
            return None
        judges = self.material(project, collection, card).held_out
        return self.submit(CompareTask(one, other, judges, self.workspace.evaluation), collection, done)

    def effort(self) -> Effort | None:
        """What correcting has brought so far, and what it may bring; None before the first kept round."""
        project = self.project
        if project is None:
            return None
        try:
            current = project.models.current
            score = None if current is None else current.scores.get("held_out_iou")
            return effort_of(rounds_of(project.models), 1 - score if score is not None else 1.0)
        except WorkbenchError:
            return None  # a damaged version is told where versions are listed

    def go_on(self) -> None:
        """Begin the next round if that is wanted and there are strokes that no round has seen."""
        project = self.project
        self.anew.go_on()
        if not self.keep_going or self.obstacle() or project is None:
            return
        if self._teaching_strokes(project) != self._taught:
            self.fine_tune(self.seconds)

    def keep_learning(self, wanted: bool, seconds: float) -> None:
        """Let a round follow the other while the person paints, or let the present one be the last.

        Parameters
        ----------
        wanted : bool
            Whether to.
        seconds : float
            Budget of a round.
        """
        self.keep_going, self.seconds = wanted, seconds
        self.go_on()
        self.changed.emit()

    def cancel(self) -> None:
        """Stop and forget this round; none follows by itself."""
        self.keep_going = False
        if self.job is not None:
            self.job.cancel()
        self.changed.emit()

    # the gate

    def _judge(self, project: Project, result: FineTuned, material: Material, parent: int) -> None:
        from napari_unet.workflow.evaluate.compare_models import CompareTask

        current = project.models.current
        if current is not None and current.number != parent and material.held_out:
            # Another version came into use meanwhile: that is what the new one has to beat.
            task = CompareTask(current.path, result.model, material.held_out, self.workspace.evaluation)

            def compared(comparison: Comparison) -> None:
                self.offer(project, replace(result, comparison=comparison), material.seen, parent)

            self.submit(task, self._learns_from, compared)
            return
        self.offer(project, result, material.seen, parent)

    def offer(
        self, project: Project, result: FineTuned | Trained, seen: Mapping[str, int], parent: int | None
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
        """
        from napari_unet.workflow.finetune.rounds import add_version

        try:
            fresh = add_version(project, result, seen, parent)
            before = self.candidate if self._judged_in is project else None
            if before is not None and gained(before) > gained(fresh):
                project.models.discard(fresh.number)
                self.note = f"The round after it was no better; {before.name} is still on offer."
                self.result = self._offered
                return
            if before is not None:
                project.models.discard(before.number)
        except WorkbenchError as error:
            self.runner.failed.emit(error.sentence, "")
            return
        self.candidate, self.result, self._judged_in = fresh, result, project
        self._offered = result

    def keep(self) -> None:
        """Use the new version from now on; images that were segmented before are segmented anew."""
        project, version = self._judged_in, self.candidate
        if project is None or version is None or self._waits():
            return
        if self._try(lambda: project.models.keep(version.number)):
            self.candidate, self.note = None, ""
            self._use(version)

    def discard(self) -> None:
        """Go on with the version before."""
        project, version = self._judged_in, self.candidate
        if project is None or version is None:
            return
        if self._try(lambda: project.models.discard(version.number)):
            self.candidate, self.note = None, ""
            self.changed.emit()

    def _waits(self) -> bool:
        """Whether another task must end before the model can be changed; says so."""
        if self.runner.busy:
            self.runner.failed.emit("Segmentation is running: wait for its end, or cancel it.", "")
        return self.runner.busy

    def roll_back(self, number: int | None = None) -> None:
        """Use an earlier version again: the one before, or a certain one."""
        project = self.project
        if project is None or self._waits():
            return
        found: list[Version] = []
        self._try(lambda: found.append(project.models.roll_back(number)))
        if found:
            self._use(found[0])

    def _use(self, version: Version) -> None:
        collection = self.workspace.collection
        before = []
        if collection is not None:
            before = [i for i, e in collection.entries.items() if e.prediction is not None]
        try:
            card = ModelCard.read(version.path)
        except WorkbenchError as error:
            self.runner.failed.emit(error.sentence, "")
            return
        self.workspace.choose_model(card)
        self.changed.emit()
        current = self.workspace.current
        home = self.project is not None and version.path.parent == self.project.models.folder
        if not before and home and current:
            before = [current]  # a first model has something to show at once
        if before:
            self.again.emit((*(i for i in before if i == current), *(i for i in before if i != current)))

    def living(self, project: Project) -> Project:
        """The project, or the one that took its place while it was learned from."""
        at_hand = self.project
        return at_hand if project.read_only and at_hand is not None else project

    def _follow_project(self) -> None:
        """Go on offering a version whose project has moved into another folder; start what waited for one."""
        from napari_unet.workflow.finetune.rounds import same_model

        self.go_on()
        version, project = self.candidate, self.project
        if version is None or project is None or self._judged_in in (None, project):
            return
        if self._judged_in is not None and not self._judged_in.read_only:
            return  # it is open still, beside the one at hand
        moved = [v for v in project.models.versions() if same_model(v.path, version.path)]
        self._judged_in, self.candidate = (project, moved[-1]) if moved else (None, None)

    def _try(self, change: Callable[[], Any]) -> bool:
        try:
            change()
        except WorkbenchError as error:
            self.runner.failed.emit(error.sentence, "")
            return False
        return True


def gained(version: Version) -> float:
    """IoU that a version was ahead of the one in use when it was judged; 0 where that is not known."""
    return float(version.scores.get("difference", 0.0))
