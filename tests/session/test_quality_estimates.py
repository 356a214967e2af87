"""The queue where there is no reference: estimates of IoU, calibrated on what is known, kept up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.engine.inline import InlineEngine, run_inline
from napari_unet.engine.task import Job, ignore_end
from napari_unet.errors import Cancelled, DataError
from napari_unet.models.card import ModelCard
from napari_unet.progress import Progress, ignore_progress
from napari_unet.session.images.collection import Collection
from napari_unet.session.quality.disagreement import Disagreement
from napari_unet.session.quality.score_table import ScoreTable
from napari_unet.workflow.evaluate.stored_predictions import ScoreTask
from napari_unet.workflow.inputs.image_reference import refer
from napari_unet.workflow.review.disagreement_task import DisagreementTask
from napari_unet.workflow.review.estimate_task import EstimateTask
from napari_unet.workflow.review.quality_estimate import MemberAgreement
from napari_unet.workflow.review.queue import at_random
from napari_unet.workflow.segment.rescore_task import RescoreTask
from support.tiny_models import write_tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.session.session import Session

pytestmark = pytest.mark.usefixtures("step_by_step")

SIDE = 24


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[ModelCard]:
    folder = tmp_path_factory.mktemp("models")
    return [ModelCard.read(write_tiny_model(folder / str(n), seed=n)) for n in (0, 3)]


@pytest.fixture
def session(open_session: Callable[..., Session], models: list[ModelCard]) -> Session:
    waiting: list[Callable[[], None]] = []
    return open_session(models[0], dispatch=waiting.append)


def picture(seed: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 255, (SIDE, SIDE, 1), np.uint8)


def images(count: int, known: int = 0) -> Collection:
    """Made-up images; the first have a reference mask."""
    truth = np.zeros((SIDE, SIDE), np.uint8)
    truth[: SIDE // 2] = 1
    samples = []
    for number in range(count):
        load = (lambda: ReferenceMask(truth)) if number < known else None
        samples.append(Sample(f"i{number}", lambda n=number: picture(n), load))
    return Collection("made up", samples)


def segmented(session: Session, collection: Collection) -> list[str]:
    session.workspace.show(collection)
    session.segment(collection.ids)
    return list(collection.ids)


def test_every_image_without_a_reference_gets_an_estimate_and_a_reason(session: Session) -> None:
    ids = segmented(session, images(4, known=1))
    estimates = session.estimates
    assert estimates.missing() == ids[1:]
    assert session.workspace.row(ids[1]).rank is None
    told: list[Any] = []
    session.workspace.rows_changed.connect(told.extend)
    ended: list[int] = []
    estimates.start(lambda: ended.append(1))
    assert ended == [1]
    assert estimates.missing() == []
    rows = [session.workspace.row(i) for i in ids]
    assert rows[0].estimate is None
    assert rows[0].rank == rows[0].iou
    for row in rows[1:]:
        assert row.iou is None
        assert row.estimate is not None
        assert 0 <= row.estimate <= 1
        assert row.rank == row.estimate
        assert row.reason.startswith(f"estimated IoU {row.estimate:.2f}: ")
    assert set(ids[1:]) <= set(told)
    # With too few known images the estimate is what was measured, as it is.
    assert estimates.calibration.known == 0
    doubt = session.workspace.collection.entries[ids[1]].agreement
    assert rows[1].estimate == pytest.approx(doubt.raw)
    assert estimates.start() is None  # nothing is missing


def test_known_images_calibrate_the_others(session: Session) -> None:
    ids = segmented(session, images(14, known=10))
    entries = session.workspace.collection.entries
    session.estimates.start()
    assert session.estimates.calibration.known == 10
    known = [entries[i].iou for i in ids[:10]]
    for identifier in ids[10:]:
        # Isotonic regression never leaves the range of what it has seen.
        assert min(known) <= entries[identifier].estimate <= max(known)


def test_a_done_image_leaves_the_queue_and_teaches_the_estimate(session: Session) -> None:
    ids = segmented(session, images(9))
    estimates, entries = session.estimates, session.workspace.collection.entries
    estimates.start()
    order = estimates.queue()
    assert sorted(order) == sorted(ids)
    values = [entries[i].estimate for i in order]
    assert values == sorted(values)
    for identifier in order[:8]:
        # The person finds every mask wrong throughout.
        session.painting.correct(identifier, 1 - session.workspace.mask(identifier))
        session.painting.set_done([identifier])
    assert estimates.queue() == order[8:]
    assert estimates.calibration.known == 8
    assert entries[order[8]].estimate == pytest.approx(0.0, abs=1e-9)
    assert entries[order[0]].estimate is None


def test_what_is_ignored_is_left_out_of_what_is_known(session: Session) -> None:
    ids = segmented(session, images(8))
    session.estimates.start()
    for identifier in ids:
        mask = 1 - session.workspace.mask(identifier)
        mask[:, SIDE // 2 :] = session.workspace.mask(identifier)[:, SIDE // 2 :]
        mask[:, : SIDE // 2] = 255  # all that is wrong
        session.painting.correct(identifier, mask)
        session.painting.set_done([identifier])
    assert session.estimates.calibration.known == 8
    assert session.estimates.calibration.values == (1.0,) * len(session.estimates.calibration.values)


def test_next_to_correct_is_drawn_and_needs_no_estimate(session: Session) -> None:
    assert session.estimates.to_correct() == []
    assert session.estimates.next_to_correct() == ""
    ids = segmented(session, images(6))
    estimates, entries = session.estimates, session.workspace.collection.entries
    expected = at_random(ids)
    assert estimates.to_correct() == expected
    assert estimates.next_to_correct() == expected[0]
    assert [estimates.next_to_correct(i) for i in expected] == [*expected[1:], expected[0]]
    assert estimates.next_to_correct("none of them") == expected[0]
    assert all(entry.agreement is None for entry in entries.values())
    estimates.start()
    assert estimates.to_correct() == expected
    session.painting.set_done([expected[0]])
    assert estimates.to_correct() == expected[1:]
    # Where the IoU of an image is known, the worst comes first.
    entries[ids[5]].iou = 0.0
    assert estimates.to_correct() == estimates.queue()


def test_next_goes_on_through_the_queue_and_begins_again(session: Session) -> None:
    segmented(session, images(4))
    estimates = session.estimates
    estimates.start()
    first, second, third, fourth = estimates.queue()
    assert estimates.next_after(first) == second
    session.painting.set_done([third])
    assert estimates.next_after(second) == fourth
    assert estimates.next_after(fourth) == first
    session.painting.set_done([first, second, fourth])
    assert estimates.next_after(first) == ""


def test_a_new_model_is_estimated_anew_once_it_was_asked_for(
    session: Session, models: list[ModelCard]
) -> None:
    ids = segmented(session, images(3))
    session.estimates.start()
    before = [session.workspace.row(i).estimate for i in ids]
    session.workspace.choose_model(models[1])
    assert [session.workspace.row(i).estimate for i in ids] == [None] * 3
    session.segment(ids)
    after = [session.workspace.row(i).estimate for i in ids]
    assert None not in after
    assert after != before
    # Images nobody asked to be estimated are not.
    first = session.workspace.collection
    other = segmented(session, images(2))
    assert [session.workspace.row(i).estimate for i in other] == [None] * 2
    first.close()


def test_what_was_measured_before_a_stop_is_kept(session: Session) -> None:
    ids = segmented(session, images(3))

    class Stopping(InlineEngine):
        """Cancels after the first image."""

        def submit(self, task: Any, on_progress: Any = None, on_end: Any = None) -> Any:
            def progressed(progress: Any) -> None:
                on_progress(progress)
                if isinstance(progress.piece, MemberAgreement):
                    raise Cancelled

            return super().submit(task, progressed, on_end)

    session.runner.engine = Stopping()
    session.estimates.start()
    estimates = [session.workspace.row(i).estimate for i in ids]
    assert sum(e is not None for e in estimates) == 1
    assert session.estimates.missing() == ids[1:]


def test_the_task_tells_of_each_image_and_leaves_out_what_cannot_be_read(models: list[ModelCard]) -> None:
    def broken() -> np.ndarray[Any, Any]:
        raise DataError("it is gone", code="data.image.unreadable")

    samples = [Sample("a", lambda: picture(0)), Sample("b", broken), Sample("c", lambda: picture(2))]
    told: list[Any] = []
    task = EstimateTask(models[0].path, tuple(refer(s, None) for s in samples), models[0].recipe.inference)
    assert run_inline(task, told.append) == 2
    pieces = [p.piece for p in told if p.piece is not None]
    assert [p.id for p in pieces] == ["a", "c"]
    assert told[-1].seconds_left is not None
    assert {p.message for p in told} == {"Estimating IoU"}


class Queue(InlineEngine):
    """Runs a task only when it is told to: what a person sees while the computing process is at work."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def submit(self, task: Any, on_progress: Any = ignore_progress, on_end: Any = ignore_end) -> Job:
        self.jobs.append(Job(task, on_progress, on_end))
        return self.jobs[-1]

    def run(self) -> Job:
        """Run the next one, or end it if it was cancelled."""
        job = self.jobs.pop(0)
        if job.cancel_token.cancelled:
            job.end("cancelled")
        else:
            job.end("done", job.task.run(job.on_progress, job.cancel_token))
        job.on_end(job)
        return job


def test_automatic_estimates_give_way_to_what_a_person_asks_for_and_resume(session: Session) -> None:
    ids = segmented(session, images(4))
    session.estimates.start()  # estimates of these images are wanted from now on
    engine = session.runner.engine = Queue()
    session.segment(ids[:2])
    assert session.runner.busy
    for identifier in ids[:2]:
        session.workspace.collection.entries[identifier].agreement = None
    engine.run()
    (automatic,) = engine.jobs
    assert isinstance(automatic.task, EstimateTask)
    assert not session.runner.busy  # Segment and Keep are free
    assert not session.candidate._waits()
    assert session.segment(ids[2:]) is not None
    assert automatic.cancel_token.cancelled
    assert engine.run() is automatic
    assert session.runner.busy  # the end of the estimate is not that of the person's task
    engine.run()
    assert not session.runner.busy
    (again,) = engine.jobs
    assert [reference.id for reference in again.task.images] == session.estimates.missing()
    engine.run()
    assert engine.jobs == []
    assert session.estimates.missing() == []
    assert all(session.workspace.row(i).estimate is not None for i in ids)


@pytest.mark.parametrize("asked", ["rescore", "disagreement", "scores"])
def test_automatic_estimates_do_not_hold_up_what_is_looked_at(session: Session, asked: str) -> None:
    """One task runs at a time, so that one behind an estimate of many images would wait for all of them."""
    ids = segmented(session, images(4, known=2))
    session.estimates.start()
    session.workspace.select(ids[0])
    disagreement, scoreboard = (
        Disagreement(session.workspace, session.runner),
        ScoreTable(session.workspace, session.runner, session.history),
    )
    session.workspace.collection.entries[ids[2]].agreement = None
    engine = session.runner.engine = Queue()
    session.estimates.keep_up()
    (automatic,) = engine.jobs
    assert isinstance(automatic.task, EstimateTask)
    kind: type
    if asked == "rescore":
        kind = RescoreTask
        session.workspace.inference = session.workspace.inference.model_copy(update={"threshold": 0.6})
        session.rescore()
    elif asked == "disagreement":
        kind = DisagreementTask
        disagreement.want(True)
    else:
        kind = ScoreTask
        scoreboard.watch(True)
    assert automatic.cancel_token.cancelled
    assert [type(job.task) for job in engine.jobs] == [EstimateTask, kind]
    assert engine.run() is automatic
    assert isinstance(engine.run().task, kind)
    (again,) = engine.jobs
    assert [reference.id for reference in again.task.images] == [ids[2]]  # type: ignore[attr-defined]
    engine.run()
    assert session.estimates.missing() == []


def test_estimates_of_another_model_are_not_taken(session: Session, models: list[ModelCard]) -> None:
    ids = segmented(session, images(2))
    session.estimates.start()
    engine = session.runner.engine = Queue()
    session.workspace.collection.entries[ids[0]].agreement = None
    session.estimates.keep_up()
    (job,) = engine.jobs
    session.workspace.choose_model(models[1])
    assert job.cancel_token.cancelled
    job.on_progress(Progress(1, 1, "late", piece=MemberAgreement(ids[0], 0.5, 0.5)))
    assert session.workspace.collection.entries[ids[0]].agreement is None
