"""The map of where a model is unsure, kept up with the current image while it is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from napari_unet.data.sample import Sample
from napari_unet.engine.hardware import default_precision
from napari_unet.engine.inline import InlineEngine, run_inline
from napari_unet.engine.task import Job
from napari_unet.models.card import ModelCard
from napari_unet.models.model import load_model
from napari_unet.session.images.collection import Collection
from napari_unet.workflow.ensemble.ensemble_task import EnsembleTask
from napari_unet.workflow.review.disagreement_task import DisagreementTask
from napari_unet.workflow.segment.predict_task import PredictTask
from napari_unet.workflow.segment.prediction import Region
from napari_unet.workflow.segment.segment_samples import segment_samples
from support.tiny_models import write_tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_unet.session.session import Session

pytestmark = pytest.mark.slow

SIDE = 24


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelCard]:
    folder = tmp_path_factory.mktemp("models")
    one, other = (write_tiny_model(folder / n, seed=s) for s, n in enumerate("ab"))
    run_inline(EnsembleTask((one, other), folder / "both"))
    return {name: ModelCard.read(folder / name) for name in ("a", "b", "both")}


class Desk(InlineEngine):
    """An engine whose tasks of one kind wait until they are let go."""

    def __init__(self) -> None:
        self.kinds: list[type] = []
        self.held: list[Job] = []

    def submit(self, task: Any, *callbacks: Any) -> Job:
        if type(task) not in self.kinds:
            return super().submit(task, *callbacks)
        callbacks = (*callbacks, lambda _: None)[:2]
        job = Job(task, *callbacks)
        job.on_cancel = lambda: self.let_go(job)
        self.held.append(job)
        return job

    def let_go(self, job: Job) -> None:
        self.held.remove(job)
        if job.cancel_token.cancelled:
            job.end("cancelled")
        else:
            job.end("done", run_inline(job.task, job.on_progress))
        job.on_end(job)


@pytest.fixture
def session(open_session: Callable[..., Session], cards: dict[str, ModelCard]) -> Session:
    waiting: list[Callable[[], None]] = []
    pictures = [np.random.default_rng(n).integers(0, 255, (SIDE, SIDE + 8, 1), np.uint8) for n in range(3)]
    images = Collection("made up", [Sample(f"i{n}", lambda p=p: p) for n, p in enumerate(pictures)])
    return open_session(cards["both"], images, waiting.append, Desk())


def watched(session: Session) -> Any:
    from napari_unet.session.quality.disagreement import Disagreement

    return Disagreement(session.workspace, session.runner)


def said_alone(session: Session, card: ModelCard, identifier: str) -> np.ndarray[Any, Any]:
    sample = session.workspace.collection.entries[identifier].sample
    (found,) = segment_samples([sample], load_model(card.path, default_precision()))
    return found.probabilities[..., 0]


def test_of_two_members_it_is_half_of_their_difference(session: Session, cards: dict[str, ModelCard]) -> None:
    unsure = watched(session)
    session.segment(("i0",))
    assert unsure.values() is None  # nobody asked
    unsure.want(True)
    assert unsure.words() == ""
    a, b = (said_alone(session, cards[n], "i0") for n in "ab")
    np.testing.assert_allclose(unsure.values(), abs(a - b) / 2, atol=2e-3)
    assert unsure.values().max() > 0.01


def test_one_model_is_held_against_its_answer_to_the_mirror_image(
    session: Session, cards: dict[str, ModelCard]
) -> None:
    session.workspace.choose_model(cards["a"])
    unsure = watched(session)
    session.segment(("i0",))
    unsure.want(True)
    straight = said_alone(session, cards["a"], "i0")
    picture = session.workspace.collection.entries["i0"].sample.read_image()
    mirrored = Sample("mirrored", lambda: np.ascontiguousarray(picture[:, ::-1]))
    (found,) = segment_samples([mirrored], load_model(cards["a"].path, default_precision()))
    back = found.probabilities[:, ::-1, 0]
    np.testing.assert_allclose(unsure.values(), abs(straight - back) / 2, atol=2e-3)


def test_it_follows_the_image_at_hand_the_prediction_and_the_model(
    session: Session, cards: dict[str, ModelCard]
) -> None:
    unsure, told = watched(session), []
    unsure.changed.connect(lambda: told.append(unsure.words()))
    unsure.want(True)
    assert told[-1].startswith("Segment the image")
    session.segment(("i0", "i1"))
    first = np.array(unsure.values())
    assert told[-1] == ""
    session.workspace.select("i1")
    second = np.array(unsure.values())
    assert not np.array_equal(first, second)
    session.workspace.select("i2")
    assert unsure.values() is None
    assert told[-1].startswith("Segment the image")
    session.workspace.select("i0")
    np.testing.assert_array_equal(unsure.values(), first)
    session.workspace.choose_model(cards["a"])  # what another model said is gone
    assert unsure.values() is None
    session.segment(("i0",))
    assert not np.array_equal(unsure.values(), first)
    unsure.want(False)
    session.segment(("i1",))
    session.workspace.select("i1")
    assert unsure.values() is None


def test_a_part_or_too_much_is_not_compared(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    unsure = watched(session)
    unsure.want(True)
    session.segment(("i0",), Region(0, 0, 8, SIDE), (SIDE, SIDE + 8))
    assert unsure.words().startswith("Only a part is segmented")
    monkeypatch.setattr("napari_unet.session.quality.disagreement.MOST_PIXELS", SIDE * (SIDE + 8) - 1)
    session.segment(("i0",))
    assert unsure.words().startswith("Too large")
    assert unsure.values() is None


def test_what_a_person_asks_for_comes_first(session: Session) -> None:
    desk, unsure = cast("Desk", session.runner.engine), watched(session)
    session.segment(("i0",))
    desk.kinds = [DisagreementTask, PredictTask]
    unsure.want(True)
    (asked,) = desk.held
    assert unsure.words().startswith("Comparing")
    job = session.segment(("i1",))
    assert asked.state == "cancelled"
    assert desk.held == [job]
    desk.let_go(job)
    (again,) = desk.held
    assert isinstance(again.task, DisagreementTask)
    session.workspace.select("i1")  # another image is current: it is the one that is asked about now
    assert again.state == "cancelled"
    (last,) = desk.held
    assert last.task.image.id == "i1"  # type: ignore[attr-defined]
    desk.let_go(last)
    assert unsure.values().shape == (SIDE, SIDE + 8)
    assert desk.held == []


def test_a_failure_is_told_once_and_the_map_is_not_asked_for_again(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    unsure, told = watched(session), []
    session.runner.failed.connect(lambda sentence, _: told.append(sentence))
    session.segment(("i0", "i1"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    unsure.want(True)
    monkeypatch.setattr(np, "save", full)
    session.workspace.select("i1")
    session.workspace.select("i1")
    session.workspace.mask_changed.emit("i1")
    assert len(told) == 1
    assert "No space left" in told[0]
    assert unsure.words() == "The image could not be compared."
    monkeypatch.undo()
    unsure.want(True)
    assert unsure.values() is not None


def test_a_map_that_is_gone_from_the_disk_is_made_anew(session: Session) -> None:
    unsure = watched(session)
    session.segment(("i0",))
    unsure.want(True)
    before = np.array(unsure.values())
    (file,) = session.workspace.collection.folder.glob("disagreement-*")
    path: Path = file
    path.unlink()
    unsure.follow()
    np.testing.assert_array_equal(unsure.values(), before)
