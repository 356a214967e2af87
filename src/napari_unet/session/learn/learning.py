"""Fine-tuning in a session: what was painted teaches the model, and what comes of it is judged."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_unet.engine.task import FromCaller
from napari_unet.errors import WorkbenchError
from napari_unet.project.corrections.correction import CorrectionStats
from napari_unet.session.learn.facts import Fact
from napari_unet.session.learn.large_strokes import HELD_OUT, labelled_parts
from napari_unet.settings import FineTuneSettings
from napari_unet.workflow.finetune.learning_curve import forecast_of, rounds_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.engine.task import Job
    from napari_unet.evaluation.compare import Comparison
    from napari_unet.models.card import ModelCard
    from napari_unet.project.project import Project
    from napari_unet.session.images.collection import Collection
    from napari_unet.session.images.entry import Entry
    from napari_unet.session.learn.background_job import BackgroundJob
    from napari_unet.session.learn.candidate_version import CandidateVersion
    from napari_unet.session.painting import Painting
    from napari_unet.session.run_history import RunHistory
    from napari_unet.session.task_runner import TaskRunner
    from napari_unet.session.workspace import Workspace
    from napari_unet.workflow.finetune.fine_tune_task import FineTuned
    from napari_unet.workflow.finetune.learning_curve import Forecast
    from napari_unet.workflow.finetune.project_examples import ProjectExamples


class Learning:
    """Fine-tunes the model on the corrections of the project.

    Parameters
    ----------
    workspace : Workspace
        Whose model learns.
    runner : TaskRunner
        Says what went wrong.
    painting : Painting
        Whose project's corrections are learned from.
    history : RunHistory
        Where a round is remembered.
    background : BackgroundJob
        Where a round is computed.
    candidate : CandidateVersion
        Takes what comes of a round.

    Attributes
    ----------
    keep_going : bool
        Whether a round follows the other as long as there are new strokes.
    seconds : float
        Budget of such a round.
    """

    changed = Signal()  # whether a round follows the other

    def __init__(
        self,
        workspace: Workspace,
        runner: TaskRunner,
        painting: Painting,
        history: RunHistory,
        background: BackgroundJob,
        candidate: CandidateVersion,
    ) -> None:
        self.workspace, self.runner, self.painting, self.history = workspace, runner, painting, history
        self.background, self.candidate = background, candidate
        self.keep_going = False
        self.seconds = 60.0
        self._taught: dict[str, int] = {}  # strokes that the last round learned from

    @property
    def project(self) -> Project | None:
        """Whose corrections are learned from."""
        return self.painting.project

    def obstacle(self) -> str:
        """Why there can be no fine-tuning now; empty if there can."""
        project = self.project
        if self.workspace.model is None:
            return "Open a model first."
        if self.workspace.model.members:
            return "An ensemble has no single network that could learn: open one of its members instead."
        if self.background.obstacle:
            return self.background.obstacle
        if self.candidate.version is not None and not self.keep_going:
            return "Keep or discard the new version first."
        if project is None or not (project.corrections.touched() or self._large()):
            return "Correct a mask first: paint on it, or mark it done."
        if not self._teaching_strokes(project):
            return "The corrected images so far are all held out: correct one more image."
        return ""

    def _large(self) -> dict[str, Entry]:
        """Large images that a person painted on, by id; what is held out is not among them."""
        collection, project = self.workspace.collection, self.project
        if collection is None or project is None:
            return {}
        return {
            i: entry
            for i, entry in collection.entries.items()
            if entry.disk is not None and entry.disk.stats().verified
            if project.split.part_of(i) not in HELD_OUT
        }

    def summary(self) -> str:
        """What there is to learn from, in words."""
        project = self.project
        if project is None:
            return ""
        teaching = len(self._teaching_strokes(project))
        judging = len(project.corrections.touched()) + len(self._large()) - teaching
        total = self._total(project)
        words = f"{teaching} corrected image{'s' * (teaching != 1)} to learn from"
        if judging:
            words += f", {judging} to judge by"
        strokes = f"{total.strokes} stroke{'s' * (total.strokes != 1)}"
        return f"{words}; {strokes}, {total.changed:,} pixels, {total.seconds / 60:.0f} min"

    def facts(self) -> list[Fact]:
        """What there is to learn from, as a small table; empty before anything was corrected."""
        project = self.project
        if project is None or not (project.corrections.touched() or self._large()):
            return []
        total, teaching = self._total(project), len(self._teaching_strokes(project))
        touched = len(project.corrections.touched()) + len(self._large())
        painted = f"{total.seconds:.0f} s" if total.seconds < 60 else f"{total.seconds / 60:.0f} min"
        effort = self.forecast()
        gained = "" if effort is None else f" {effort.sentence}"
        return [
            Fact("Train", f"{teaching:,}", f"Corrected images that the model learns from.{gained}"),
            Fact(
                "Held-out",
                f"{touched - teaching:,}",
                "Corrected images that the model never learns from: they help to judge it.",
            ),
            Fact("Strokes", f"{total.strokes:,}", f"{total.changed:,} pixels were painted."),
            Fact("Painted", painted, "Time of painting on all images."),
        ]

    def _total(self, project: Project) -> CorrectionStats:
        """Work on all images, large ones too."""
        every = [project.corrections.total(), *(e.disk.stats() for e in self._large().values() if e.disk)]
        return CorrectionStats(
            strokes=sum(one.strokes for one in every),
            changed=sum(one.changed for one in every),
            seconds=sum(one.seconds for one in every),
        )

    def _teaching_strokes(self, project: Project) -> dict[str, int]:
        from napari_unet.workflow.finetune.project_examples import teaches

        corrections = project.corrections
        own = {i: n for i, n in corrections.seen().items() if teaches(corrections, i)}
        return own | {i: e.disk.stats().number for i, e in self._large().items() if e.disk is not None}

    # learning

    def fine_tune(self, seconds: float = 60.0) -> Job | None:
        """Learn from what was painted; the verdict comes to the candidate.

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
        try:
            project.corrections.save()
            first_version(project.models, card.path)
            out = project.new_folder("runs", "fine-tune", {"seconds": seconds}) / "model"
            examples = self.examples(project, collection, card)
        except WorkbenchError as error:
            self.runner.failed.emit(error.sentence, "")
            return None
        self._taught = self._teaching_strokes(project)
        large = [part for entry in self._large().values() for part in labelled_parts(entry)]
        task = FineTuneTask(
            card.path,
            (*examples.corrections, *large),
            out,
            FineTuneSettings(seconds=seconds),
            replay=examples.replay,
            replay_format=examples.replay_format,
            others=examples.others,
            judges=examples.judges,
            reserve=examples.reserve,
            preview=FromCaller(self.background.wanted_preview),
            stop=FromCaller(self.background.wants_stop),
            evaluation=self.workspace.evaluation,
        )
        current = project.models.current
        assert current is not None

        def finish(result: FineTuned) -> None:
            self.history.fine_tuned(task, result.replayed)
            self._judge(self.candidate.living(project), result, examples, current.number, collection)

        return self.background.run(task, collection, finish)

    @staticmethod
    def examples(project: Project, collection: Collection, card: ModelCard) -> ProjectExamples:
        """What there is to learn from, among the open images."""
        from napari_unet.workflow.finetune.project_examples import collect_examples

        entries = collection.entries
        return collect_examples(
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
        if self.background.job is not None or project is None or collection is None or card is None:
            return None
        try:
            one, other = (project.models.version(n).path for n in (first, second))
            judges = self.examples(project, collection, card).held_out
        except WorkbenchError as error:
            self.runner.failed.emit(error.sentence, "")
            return None
        task = CompareTask(one, other, judges, self.workspace.evaluation)
        return self.background.submit(task, collection, done, "The comparison")

    def forecast(self) -> Forecast | None:
        """What correcting has brought so far, and what it may bring; None before a person keeps a round."""
        project = self.project
        if project is None:
            return None
        try:
            current = project.models.current
            score = None if current is None else current.scores.get("held_out_iou")
            return forecast_of(rounds_of(project.models), 1 - score if score is not None else 1.0)
        except WorkbenchError:
            return None  # a damaged version is reported where versions are listed

    def start_waiting(self) -> None:
        """Begin the next round if that is wanted and there are strokes that no round has seen."""
        project = self.project
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
        self.start_waiting()
        self.changed.emit()

    def cancel(self) -> None:
        """Stop and forget this round; none follows by itself."""
        self.background.cancel()
        self.end_rounds()

    def end_rounds(self) -> None:
        """Let no round follow by itself: it was stopped, or other images are open, with other corrections."""
        self.keep_going = False
        self.changed.emit()

    def _judge(
        self,
        project: Project,
        result: FineTuned,
        examples: ProjectExamples,
        parent: int,
        collection: Collection,
    ) -> None:
        from napari_unet.workflow.evaluate.compare_models import CompareTask

        current = project.models.current
        if current is not None and current.number != parent and examples.held_out:
            # Another version came into use meanwhile: that is what the new one has to beat.
            task = CompareTask(current.path, result.model, examples.held_out, self.workspace.evaluation)

            def compared(comparison: Comparison) -> None:
                self.candidate.offer(project, replace(result, comparison=comparison), examples.seen, parent)

            self.background.submit(task, collection, compared)
            return
        self.candidate.offer(project, result, examples.seen, parent)
