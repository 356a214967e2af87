"""Learning while a person paints: rounds follow each other, and nothing is used by itself."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from napari_unet.evaluation.compare import compare
from napari_unet.workflow.evaluate.compare_models import CompareTask
from napari_unet.workflow.finetune.fine_tune_task import FineTuned, FineTuneTask

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_unet.evaluation.compare import Comparison
    from support.lesson import Lesson

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("step_by_step")]

NAMES = [f"judge {n}" for n in range(8)]


def verdict(gain: float) -> Comparison:
    return compare(NAMES, [0.5] * 8, [0.5 + gain] * 8)


class Rounds:
    """Stands in for learning: every round ends at once, with the next of given gains."""

    def __init__(self, gains: list[float], meanwhile: Callable[[], Any] = lambda: None) -> None:
        self.gains, self.meanwhile = gains, meanwhile
        self.learned: list[set[str]] = []

    def run(self, task: FineTuneTask, on_progress: Any, cancel: Any) -> FineTuned:
        self.learned.append({c.id for c in task.corrections})
        shutil.copytree(task.model, task.out)
        self.meanwhile()
        comparison = verdict(self.gains[len(self.learned) - 1])
        return FineTuned(task.out, comparison, (), (), (), "nothing", 1, 1.0)


def use(rounds: Rounds, monkeypatch: pytest.MonkeyPatch) -> Rounds:
    monkeypatch.setattr(FineTuneTask, "run", lambda *arguments: rounds.run(*arguments))
    return rounds


def test_a_round_follows_when_there_are_new_strokes_and_only_then(
    lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = use(Rounds([0.1, 0.2, 0.3]), monkeypatch)
    lesson.corrected(2)
    learning, session = lesson.learning, lesson.session
    card = session.workspace.model
    learning.keep_learning(True, 60.0)
    assert len(rounds.learned) == 1
    learning.go_on()
    assert len(rounds.learned) == 1  # nothing new
    held_out = lesson.ids_of("held-out")[0]
    lesson.correct(held_out)
    learning.go_on()
    assert len(rounds.learned) == 1  # what judges teaches nothing
    fresh = lesson.ids_of("train")[2]
    lesson.correct(fresh)
    learning.go_on()
    assert rounds.learned[1] == {*lesson.ids_of("train")[:2], fresh}
    # Twice better, and still nobody's choice but the person's.
    assert lesson.in_use() == 1
    assert session.workspace.model is card
    assert lesson.names() == [(1, "from", False), (2, "better", True), (3, "better", False)]
    assert learning.candidate is not None
    assert learning.candidate.number == 3
    learning.keep()
    assert lesson.in_use() == 3
    assert lesson.failures == []
    # The next one goes on from what is in use.
    lesson.correct(lesson.ids_of("train")[3])
    learning.go_on()
    assert learning.versions[-1].parent == 3
    learning.keep_learning(False, 60.0)
    lesson.correct(lesson.ids_of("train")[4])
    learning.go_on()
    assert len(rounds.learned) == 3


def test_of_two_on_offer_the_better_stays_and_a_worse_one_is_never_used(
    lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(Rounds([0.1, -0.2]), monkeypatch)
    lesson.corrected(2)
    learning = lesson.learning
    learning.keep_learning(True, 60.0)
    first = learning.result
    lesson.correct(lesson.ids_of("train")[2])
    learning.go_on()
    assert lesson.names() == [(1, "from", False), (2, "better", False), (3, "worse", True)]
    assert learning.candidate is not None
    assert learning.candidate.number == 2
    assert learning.result is first
    assert learning.note == "The round after it was no better; v002 is still on offer."
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
    assert learning.candidate is not None
    assert learning.candidate.parent == 1
    assert learning.candidate.note == "worse"  # though it was better than what it started from
    assert learning.candidate.scores["difference"] == pytest.approx(-0.1)
    assert lesson.in_use() == 2


def test_cancel_ends_the_rounds(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = use(Rounds([0.1, 0.1]), monkeypatch)
    lesson.corrected(2)
    lesson.learning.keep_learning(True, 60.0)
    lesson.learning.cancel()
    lesson.correct(lesson.ids_of("train")[2])
    lesson.learning.go_on()
    assert len(rounds.learned) == 1
    assert not lesson.learning.keep_going


def test_effort_is_told_once_a_round_was_kept(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    use(Rounds([0.1]), monkeypatch)
    lesson.corrected(2)
    learning = lesson.learning
    assert learning.effort() is None
    learning.fine_tune(60.0)
    assert learning.effort() is None
    learning.keep()
    effort = learning.effort()
    assert effort is not None
    assert effort.gain == pytest.approx(0.1)
    assert effort.corrections == 2
    assert (effort.low, effort.expected, effort.high) == pytest.approx((0.0, 0.125, 0.25))


def test_an_offer_moves_along_with_its_project(
    lesson: Lesson, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(Rounds([0.1]), monkeypatch)
    lesson.corrected(2)
    learning = lesson.learning
    learning.fine_tune(60.0)
    lesson.session.painting.use_folder(tmp_path / "mine")
    lesson.settle()
    assert lesson.failures == []
    assert learning.candidate is not None
    assert learning.candidate.path == tmp_path / "mine" / "models" / "v002"
    learning.keep()
    assert lesson.in_use() == 2
    assert lesson.project.folder == tmp_path / "mine"
    assert lesson.session.workspace.model is not None
    assert lesson.session.workspace.model.path == tmp_path / "mine" / "models" / "v002"
