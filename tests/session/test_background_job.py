"""Learning while a person paints: rounds follow each other, and nothing is used by itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from napari_unet.data.catalog import open_dataset
from napari_unet.data.synthetic import write_synthetic
from napari_unet.engine.inline import InlineEngine
from napari_unet.engine.task import Job, ignore_end
from napari_unet.errors import DataError
from napari_unet.progress import ignore_progress
from napari_unet.session.images.collection import Collection
from napari_unet.session.learn.learning import Learning
from napari_unet.session.learn.new_model import NewModelTraining
from napari_unet.workflow.evaluate.compare_models import CompareTask
from napari_unet.workflow.finetune.train_version import TrainVersionTask
from napari_unet.workflow.train.forecast_task import PlanTask
from napari_unet.workflow.train.recipes import recipe
from support.rounds import Rounds, use, verdict

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.evaluation.compare import Comparison
    from support.lesson import Lesson

pytestmark = pytest.mark.slow


class Queue(InlineEngine):
    """Runs a task when ``run`` is called: what a person sees while another process is at work."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def submit(self, task: Any, on_progress: Any = ignore_progress, on_end: Any = ignore_end) -> Job:
        self.jobs.append(Job(task, on_progress, on_end))
        return self.jobs[-1]

    def run(self) -> None:
        job = self.jobs.pop(0)
        job.end("done", job.task.run(job.on_progress, job.cancel_token))
        job.on_end(job)


def test_a_round_follows_when_there_are_new_strokes_and_only_then(
    lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = use(Rounds([0.1, 0.2, 0.3]), monkeypatch)
    lesson.corrected(2)
    learning, session = lesson.learning, lesson.session
    card = session.workspace.model
    learning.keep_learning(True, 60.0)
    assert len(rounds.learned) == 1
    learning.start_waiting()
    assert len(rounds.learned) == 1  # nothing new
    held_out = lesson.ids_of("held-out")[0]
    lesson.correct(held_out)
    learning.start_waiting()
    assert len(rounds.learned) == 1  # what judges teaches nothing
    fresh = lesson.ids_of("train")[2]
    lesson.correct(fresh)
    learning.start_waiting()
    assert rounds.learned[1] == {*lesson.ids_of("train")[:2], fresh}
    # Twice better, and still nobody's choice but the person's.
    assert lesson.in_use() == 1
    assert session.workspace.model is card
    assert lesson.names() == [(1, "from", False), (2, "better", True), (3, "better", False)]
    assert lesson.candidate.version is not None
    assert lesson.candidate.version.number == 3
    lesson.candidate.keep()
    assert lesson.in_use() == 3
    assert lesson.failures == []
    # The next one continues from what is in use.
    lesson.correct(lesson.ids_of("train")[3])
    learning.start_waiting()
    assert lesson.candidate.versions[-1].parent == 3
    learning.keep_learning(False, 60.0)
    lesson.correct(lesson.ids_of("train")[4])
    learning.start_waiting()
    assert len(rounds.learned) == 3


def test_of_two_on_offer_the_better_stays_and_a_worse_one_is_never_used(
    lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(Rounds([0.1, -0.2]), monkeypatch)
    lesson.corrected(2)
    learning = lesson.learning
    learning.keep_learning(True, 60.0)
    first = lesson.candidate.result
    lesson.correct(lesson.ids_of("train")[2])
    learning.start_waiting()
    assert lesson.names() == [(1, "from", False), (2, "better", False), (3, "worse", True)]
    assert lesson.candidate.version is not None
    assert lesson.candidate.version.number == 2
    assert lesson.candidate.result is first
    assert lesson.candidate.note == "The round after it was no better; v002 still waits for a decision."
    assert lesson.in_use() == 1


def test_what_came_into_use_meanwhile_is_what_has_to_be_beaten(
    lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    lesson.corrected(2)
    compared: list[CompareTask] = []

    def judge(task: CompareTask, on_progress: Any, cancel: Any) -> Comparison:
        compared.append(task)
        return verdict(-0.1)

    monkeypatch.setattr(CompareTask, "run", judge)
    learning = lesson.learning

    def another() -> None:
        store = lesson.project.models
        store.add(lambda folder: (folder / "x").touch(), note="another", keep=True)

    use(Rounds([0.2], another), monkeypatch)
    learning.fine_tune(60.0)
    assert [t.old.name for t in compared] == ["v002"]
    assert lesson.candidate.version is not None
    assert lesson.candidate.version.parent == 1
    assert lesson.candidate.version.note == "worse"  # though it was better than what it started from
    assert lesson.candidate.version.scores["difference"] == pytest.approx(-0.1)
    assert lesson.in_use() == 2


def test_a_round_that_is_judged_again_ends_once_with_its_verdict(
    lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison is submitted where the round ends: nothing may follow, or look free, before it ends."""
    lesson.corrected(2)
    monkeypatch.setattr(CompareTask, "run", lambda *arguments: verdict(-0.1))
    store = lesson.project.models
    another = lambda: store.add(lambda folder: (folder / "x").touch(), note="another", keep=True)  # noqa: E731
    use(Rounds([0.2], another), monkeypatch)
    queue, background = Queue(), lesson.background
    background.make_engine = lambda: queue
    lesson.learning.fine_tune(60.0)
    free: list[bool] = []
    ended: list[int | None] = []
    background.changed.connect(lambda: free.append(background.job is None))
    background.ended.connect(
        lambda: ended.append(lesson.candidate.version and lesson.candidate.version.number)
    )
    queue.run()
    assert [type(j.task) for j in queue.jobs] == [CompareTask]
    assert True not in free
    assert ended == []
    assert lesson.candidate.version is None
    queue.run()
    assert free[-1]
    assert free.count(True) == 1
    assert ended == [3]
    assert not background.obstacle


def test_a_training_that_waits_for_its_project_waits_for_the_check_as_well(
    lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PlanTask, "run", lambda *arguments: None)
    queue, training = Queue(), lesson.new_model
    lesson.background.make_engine = lambda: queue
    tiny = recipe("fast", ["filters=2", "depth=2", "patch=64"])
    training.train("images", tiny)  # there is no project yet
    training.make_plan("images", tiny)
    assert training.obstacle() == "The check is under way."
    assert lesson.learning.obstacle() != "Learning is under way."
    until = time.monotonic() + 30
    while lesson.learning.project is None:
        assert time.monotonic() < until
        while lesson.waiting:
            lesson.waiting.pop(0)()
    assert [type(j.task) for j in queue.jobs] == [PlanTask]
    queue.run()
    assert [type(j.task) for j in queue.jobs] == [TrainVersionTask]
    assert training.obstacle() == "Learning is under way."
    queue.jobs.clear()
    lesson.background.job = None


def test_no_round_follows_on_other_images(
    lesson: Lesson, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Their corrections are of an earlier session: nobody painted, so nothing learns."""
    rounds = use(Rounds([0.1] * 9), monkeypatch)
    lesson.corrected(2)
    other = open_dataset(write_synthetic("salt", tmp_path / "other", 6, seed=5))
    shown = Collection("other", other.samples, other)
    lesson.session.workspace.show(shown)
    lesson.settle()
    lesson.learning.keep_learning(True, 60.0)  # there is nothing to learn from yet
    told: list[bool] = []
    lesson.learning.changed.connect(lambda: told.append(lesson.learning.keep_going))
    lesson.session.workspace.show(lesson.collection)
    lesson.settle()
    lesson.session.projects.project_changed.emit()
    assert told == [False]
    assert rounds.learned == []
    shown.close()


def test_corrections_that_cannot_be_read_are_said_in_a_sentence(
    lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*arguments: Any) -> Any:
        raise DataError("the mask of a cannot be read", code="data.mask.unreadable")

    lesson.corrected(2)
    monkeypatch.setattr(Learning, "examples", staticmethod(unreadable))
    monkeypatch.setattr(NewModelTraining, "_data", unreadable)
    assert lesson.learning.fine_tune(60.0) is None
    assert lesson.learning.compare(1, 1, lambda _: None) is None
    tiny = recipe("fast", ["filters=2", "depth=2", "patch=64"])
    lesson.new_model.make_plan("images", tiny)
    lesson.new_model.train("images", tiny)
    assert lesson.failures == ["the mask of a cannot be read"] * 4
    assert lesson.background.job is None


def test_a_run_of_another_program_is_not_offered_to_be_resumed(lesson: Lesson) -> None:
    lesson.make_project()
    folder = lesson.project.folder / "runs" / "1-train"
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "training-state.npz").touch()
    for content in ("[]", '{"recipe": 3, "source": "images"}', "{", '{"recipe": {}, "source": ["images"]}'):
        (folder / "settings.json").write_text(content)
        assert lesson.new_model.cut_short() is None


def test_cancel_ends_the_rounds(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = use(Rounds([0.1, 0.1]), monkeypatch)
    lesson.corrected(2)
    lesson.learning.keep_learning(True, 60.0)
    lesson.learning.cancel()
    lesson.correct(lesson.ids_of("train")[2])
    lesson.learning.start_waiting()
    assert len(rounds.learned) == 1
    assert not lesson.learning.keep_going


def test_effort_is_told_once_a_round_was_kept(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    use(Rounds([0.1]), monkeypatch)
    lesson.corrected(2)
    learning = lesson.learning
    assert learning.forecast() is None
    learning.fine_tune(60.0)
    assert learning.forecast() is None
    lesson.candidate.keep()
    stats = learning.forecast()
    assert stats is not None
    assert stats.gain == pytest.approx(0.1)
    assert stats.corrections == 2
    assert (stats.low, stats.expected, stats.high) == pytest.approx((0.0, 0.125, 0.25))


def test_an_offer_moves_along_with_its_project(
    lesson: Lesson, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(Rounds([0.1]), monkeypatch)
    lesson.corrected(2)
    learning = lesson.learning
    learning.fine_tune(60.0)
    lesson.session.projects.use_folder(tmp_path / "mine")
    lesson.settle()
    assert lesson.failures == []
    assert lesson.candidate.version is not None
    assert lesson.candidate.version.path == tmp_path / "mine" / "models" / "v002"
    lesson.candidate.keep()
    assert lesson.in_use() == 2
    assert lesson.project.folder == tmp_path / "mine"
    assert lesson.session.workspace.model is not None
    assert lesson.session.workspace.model.path == tmp_path / "mine" / "models" / "v002"
