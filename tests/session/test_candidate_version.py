"""What a person answers to a new version, and what the window says and does after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from napari_unet.data.catalog import open_dataset
from napari_unet.data.synthetic import write_synthetic
from napari_unet.models.card import ModelCard
from napari_unet.models.image_statistics import describe_image
from napari_unet.project.model_versions import ModelStore
from napari_unet.session.images.collection import Collection
from support.lesson import Lesson, copy_that_knows
from support.rounds import Rounds, use

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.fixture
def lesson(salt: Path, model: Path, no_pause: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lesson]:
    """Rounds end at once, each better than the one before."""
    use(Rounds([0.1] * 9), monkeypatch)
    lesson = Lesson(salt, model).corrected(2)
    yield lesson
    lesson.session.close()


def learn(lesson: Lesson) -> None:
    """Have a new version on offer."""
    lesson.learning.fine_tune(60.0)
    assert lesson.candidate.version is not None


def learn_and_keep(lesson: Lesson) -> None:
    learn(lesson)
    lesson.candidate.keep()


def test_each_answer_takes_the_verdict_away_and_says_what_is_in_use(lesson: Lesson) -> None:
    candidate = lesson.candidate
    told: list[str] = []
    candidate.changed.connect(lambda: told.append(candidate.sentence))
    learn(lesson)
    assert candidate.result is not None
    verdict = candidate.sentence
    assert verdict.endswith(".")
    assert verdict[:-1].lower() == candidate.result.sentence.lower()
    candidate.keep()
    assert candidate.sentence == "v002 is in use now."
    assert candidate.result is None
    candidate.roll_back()
    assert candidate.sentence == "v001 is in use now."
    learn(lesson)
    candidate.discard()
    assert candidate.sentence == "v003 is discarded. v001 stays in use."
    assert candidate.result is None
    # Whoever listens has seen each of them; the next round begins without a word.
    assert [words for words in told if words.startswith("v")] == [
        "v002 is in use now.",
        "v001 is in use now.",
        "v003 is discarded. v001 stays in use.",
    ]
    assert "" in told
    assert lesson.failures == []


def test_rolling_back_does_not_go_forward(lesson: Lesson) -> None:
    candidate = lesson.candidate
    learn_and_keep(lesson)
    assert candidate.earlier is not None
    assert candidate.earlier.number == 1
    candidate.roll_back()
    assert lesson.in_use() == 1
    assert candidate.earlier is None
    candidate.roll_back()
    assert lesson.in_use() == 1
    assert lesson.failures.pop() == "there is no earlier version to go back to; keep a second version first"
    candidate.roll_back(2)
    assert lesson.in_use() == 2
    # Learning keeps v001 where the model that all began with was chosen by hand: nothing is older.
    lesson.project.models.keep(1)
    assert candidate.earlier is None
    learn(lesson)
    assert candidate.earlier is None
    candidate.keep()
    assert lesson.in_use() == 3
    assert candidate.earlier is not None
    assert candidate.earlier.number == 1
    assert lesson.failures == []


def test_the_threshold_that_a_person_set_stays_with_the_versions_of_one_model(
    lesson: Lesson, model: Path
) -> None:
    workspace, candidate = lesson.session.workspace, lesson.candidate
    plain = next(i for i, e in lesson.collection.entries.items() if e.sample.has_mask and e.status == "new")
    lesson.session.segment([plain])
    learn_and_keep(lesson)
    assert workspace.postprocessing == (0.5, 0)  # nobody set anything
    workspace.set_postprocessing(0.76, 3)
    learn_and_keep(lesson)
    assert workspace.postprocessing == (0.76, 3)
    assert workspace.model is not None
    assert workspace.model.recipe.inference.threshold == 0.5
    entry = lesson.collection.entries[plain]
    assert entry.scored_with == (0.76, 3)  # it was segmented again with that
    candidate.roll_back()
    assert workspace.postprocessing == (0.76, 3)
    candidate.roll_back(1)
    assert workspace.postprocessing == (0.76, 3)
    assert entry.scored_with == (0.76, 3)
    # Another model has a threshold of its own.
    workspace.load_model(model)
    assert workspace.postprocessing == (0.5, 0)


def test_a_version_on_offer_says_what_it_was_judged_against(lesson: Lesson) -> None:
    candidate = lesson.candidate
    learn_and_keep(lesson)
    learn(lesson)
    candidate.roll_back()
    assert candidate.version is not None
    assert (
        candidate.sentence
        == "v001 is in use now. v003 still waits for a decision: better, judged against v002."
    )
    candidate.keep()
    assert candidate.sentence == "v003 is in use now."


def test_a_version_on_offer_that_is_used_waits_no_more(lesson: Lesson) -> None:
    candidate = lesson.candidate
    learn(lesson)
    candidate.roll_back(2)  # the button beside the list of versions
    assert lesson.in_use() == 2
    assert candidate.version is None
    candidate.discard()
    assert candidate.sentence == "v002 is in use now."
    assert lesson.failures == []


def test_what_a_person_went_back_from_is_never_suggested(lesson: Lesson, salt: Path, tmp_path: Path) -> None:
    """Neither with other images, nor by another session that opens the folder of the versions."""
    session, candidate = lesson.session, lesson.candidate
    learn_and_keep(lesson)
    candidate.roll_back()
    store = lesson.project.models
    first, second = (store.version(n).path for n in (1, 2))
    session.workspace.add_models(store.folder)
    other = open_dataset(write_synthetic("salt", tmp_path / "other", 2, seed=5))
    session.workspace.show(Collection("other", other.samples, other))
    lesson.settle()
    assert candidate.project is None
    suggested = {c.path for c in candidate.suggestible()}
    assert {first, second} <= set(session.workspace.models)
    assert first in suggested
    assert second not in suggested
    # A copy of it elsewhere is a model as any other.
    look = describe_image(lesson.collection.image(lesson.collection.ids[0]))
    copied = copy_that_knows(second, look, tmp_path / "v002")
    session.workspace.add_models(copied)
    assert copied in {c.path for c in candidate.suggestible()}
    session.workspace.show(lesson.collection)


def test_the_same_model_again_forgets_nothing(lesson: Lesson, model: Path) -> None:
    workspace = lesson.session.workspace
    current = workspace.current
    lesson.session.segment([current])
    prediction = lesson.collection.entries[current].prediction
    assert prediction is not None
    workspace.choose_model(ModelCard.read(model))
    assert lesson.collection.entries[current].prediction is prediction


def test_damaged_versions_are_said_once_and_stop_nothing(lesson: Lesson) -> None:
    candidate = lesson.candidate
    learn_and_keep(lesson)
    (lesson.project.models.folder / "versions.json").write_text("{")
    assert candidate.versions == ()
    assert candidate.in_use is None
    assert candidate.earlier is None
    assert lesson.learning.forecast() is None
    candidate.suggestible()
    assert lesson.failures == []
    lesson.session.projects.project_changed.emit()
    assert len(lesson.failures) == 1
    assert "versions.json cannot be read" in lesson.failures[0]


def test_a_round_whose_versions_are_damaged_meanwhile_ends_with_a_sentence(
    lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = lesson.project.models
    use(Rounds([0.1], lambda: (store.folder / "versions.json").write_text("{")), monkeypatch)
    ended: list[bool] = []
    lesson.background.ended.connect(lambda: ended.append(lesson.background.job is None))
    lesson.learning.fine_tune(60.0)
    assert ended == [True]
    assert lesson.candidate.version is None
    assert len(lesson.failures) == 1
    assert "versions.json cannot be read" in lesson.failures[0]


def test_a_model_is_of_a_store_where_it_is_a_version(lesson: Lesson, model: Path) -> None:
    learn_and_keep(lesson)
    store = lesson.project.models
    held = ModelStore.that_holds(store.version(2).path)
    assert held is not None
    assert held.folder == store.folder
    assert ModelStore.that_holds(model) is None
