"""From corrections to a verdict in a session: what can be learned, kept, discarded and rolled back."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.data.catalog import open_dataset
from napari_unet.data.synthetic import write_synthetic
from napari_unet.errors import Cancelled, OutputError
from napari_unet.models.image_statistics import describe_image
from napari_unet.project.corrections.disk_mask import DiskMask
from napari_unet.session.images.collection import Collection
from napari_unet.workflow.finetune.fine_tune_task import FineTuneTask
from napari_unet.workflow.large_images.layers.stroke_mask import make_stroke_mask
from napari_unet.workflow.segment.suggest_model import suggest
from support.lesson import copy_that_knows

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.progress import CancelToken
    from support.lesson import Lesson

pytestmark = pytest.mark.slow

SECONDS = 1.5


def test_what_is_in_the_way_is_said_one_thing_after_another(lesson: Lesson) -> None:
    learning, session = lesson.learning, lesson.session
    card = session.workspace.model
    session.workspace.choose_model(None)
    assert learning.obstacle() == "Open a model first."
    session.workspace.choose_model(card)
    assert learning.obstacle() == "Correct a mask first: paint on it, or mark it done."
    assert learning.summary() == ""
    assert learning.fine_tune(SECONDS) is None
    lesson.make_project()
    assert learning.obstacle() == "Correct a mask first: paint on it, or mark it done."
    lesson.correct(lesson.ids_of("held-out")[0], done=True)
    assert learning.obstacle() == "The corrected images so far are all held out: correct one more image."
    assert learning.fine_tune(SECONDS) is None
    lesson.correct(lesson.ids_of("train")[0])
    assert learning.obstacle() == ""
    lesson.background.job = object()  # type: ignore[assignment]
    assert learning.obstacle() == "Learning is under way."
    lesson.background.job = None
    assert lesson.failures == []


def test_what_there_is_to_learn_from_is_summed_up(lesson: Lesson) -> None:
    lesson.corrected(2)
    total = lesson.project.corrections.total()
    summary = lesson.learning.summary()
    assert summary.startswith("2 corrected images to learn from; 2 strokes, ")
    assert f"{total.changed:,} pixels, 0 min" in summary
    lesson.correct(lesson.ids_of("held-out")[0], done=True)
    assert lesson.learning.summary().startswith("2 corrected images to learn from, 1 to judge by; 3 strokes")


def test_what_was_painted_on_a_large_image_teaches_by_parts(lesson: Lesson, tmp_path: Path) -> None:
    lesson.make_project()
    identifier = lesson.ids_of("train")[0]
    entry, classes = lesson.collection.entries[identifier], lesson.collection.classes
    height, width, channels = lesson.collection.image(identifier).shape
    path = make_stroke_mask(entry.sample, (height, width, channels), tmp_path, "strokes", classes)
    disk = DiskMask(path, identifier)
    entry.use_disk(disk)
    learning = lesson.learning
    assert learning.obstacle() == "Correct a mask first: paint on it, or mark it done."
    before = disk.mask()
    after = before.copy()
    after[2:6, 2:20], after[10:14, 2:20] = 1, 0
    disk.paint(before, after, (0, 0))
    assert learning.obstacle() == ""
    assert learning.summary().startswith("1 corrected image to learn from; 1 stroke, 144 pixels")
    assert [(fact.title, fact.value) for fact in learning.facts()][:2] == [("Train", "1"), ("Held-out", "0")]
    job = learning.fine_tune(SECONDS)
    assert job is not None
    assert job.error is None
    assert lesson.failures == []
    result = lesson.candidate.result
    assert result is not None
    assert tuple(result.learned_from) == (f"{identifier} [0:{height}, 0:{width}]",)
    disk.close()


def test_a_round_makes_two_versions_and_keep_uses_the_second(lesson: Lesson, model: Path) -> None:
    lesson.corrected(3)
    session, learning, project = lesson.session, lesson.learning, lesson.project
    # One that the model has trained on could not judge.
    unseen = [i for i in lesson.ids_of("held-out") if session.workspace.row(i).part == "held-out"]
    judge = unseen[0]
    lesson.correct(judge, done=True)
    plain = next(i for i in lesson.ids_of("train") if lesson.collection.entries[i].status == "new")
    session.segment([plain])
    before = session.workspace.mask(plain)
    looks: list[dict[str, float]] = []
    previews: list[Any] = []
    lesson.background.validated.connect(looks.append)
    lesson.background.previewed.connect(previews.append)
    job = learning.fine_tune(SECONDS)
    assert job is not None
    assert job.error is None
    assert lesson.failures == []
    assert lesson.background.job is None
    assert looks == lesson.background.curve
    assert {"seconds", "loss", "held_out_iou", "old_iou"} <= set(looks[0])
    assert previews[0].id == session.workspace.current
    first, second = lesson.candidate.versions
    assert (first.name, first.note, first.parent) == ("v001", "from start", 0)
    assert first.scores == {"validation_iou": 0.5}
    assert (second.name, second.parent) == ("v002", 1)
    result = lesson.candidate.result
    assert result is not None
    assert second.note == result.comparison.verdict
    assert second.scores["held_out_iou"] == pytest.approx(result.comparison.new_iou)
    assert second.corrections == project.corrections.seen()
    assert set(result.learned_from) == set(lesson.ids_of("train")[:3])
    assert judge in result.comparison.images
    assert lesson.candidate.version == second
    assert lesson.in_use() == 1
    assert session.workspace.model is not None
    assert session.workspace.model.path == model
    assert learning.obstacle() == "Keep or discard the new version first."
    lesson.candidate.keep()
    assert lesson.failures == []
    assert lesson.candidate.version is None
    assert lesson.in_use() == 2
    assert session.workspace.model.path == second.path
    assert session.workspace.row(plain).status == "segmented"  # by the new version
    assert (session.workspace.mask(plain) != before).any()
    assert session.workspace.row(judge).status == "done"
    assert learning.obstacle() == ""
    assert [c.path for c in session.candidate.suggestible() if c.path in (first.path, second.path)] == [
        second.path
    ]
    lesson.candidate.roll_back()
    assert lesson.in_use() == 1
    assert session.workspace.model.path == first.path
    assert [c.path for c in session.candidate.suggestible() if c.path in (first.path, second.path)] == [
        first.path
    ]
    np.testing.assert_array_equal(session.workspace.mask(plain), before)
    lesson.candidate.roll_back(2)
    assert lesson.in_use() == 2
    lesson.candidate.roll_back()
    lesson.candidate.roll_back()
    assert lesson.failures == ["there is no earlier version to go back to; keep a second version first"]


def test_after_a_roll_back_the_version_that_was_rejected_is_not_suggested(
    lesson: Lesson, model: Path, tmp_path: Path
) -> None:
    """Nor is it in the next session, where all versions are listed from the disk."""
    lesson.make_project()
    session, project = lesson.session, lesson.project
    look = describe_image(lesson.collection.image(lesson.collection.ids[0]))
    for note in ("good", "rejected"):
        session.workspace.add_models(
            project.models.add(copy_that_knows(model, look, tmp_path / note), note=note).path
        )
    for number in (1, 2):
        project.models.keep(number)
    assert project.models.roll_back().number == 1
    versions = [project.models.version(n).path for n in (1, 2)]
    assert set(versions) <= set(session.workspace.models)  # both can still be chosen by hand
    offered = session.candidate.suggestible()
    assert [c.path for c in offered if c.path in versions] == versions[:1]
    assert model in {
        c.path for c in offered
    }  # models that are no version of the project are offered as before
    found = suggest(look, 1, offered)
    assert found is not None
    assert found.card.path == versions[0]
    # Of all models the rejected one alone would fit as well.
    alone = suggest(look, 1, [session.workspace.models[versions[1]]])
    assert alone is not None


def test_discard_leaves_the_old_version_in_use_and_the_next_round_starts_from_it(lesson: Lesson) -> None:
    lesson.corrected()
    session, learning = lesson.session, lesson.learning
    card = session.workspace.model
    learning.fine_tune(SECONDS)
    lesson.candidate.discard()
    assert lesson.in_use() == 1
    assert session.workspace.model is card
    assert [(v.number, v.discarded) for v in lesson.candidate.versions] == [(1, False), (2, True)]
    assert lesson.candidate.version is None
    learning.fine_tune(SECONDS)
    # The start is a version already.
    assert [(v.number, v.parent) for v in lesson.candidate.versions] == [(1, 0), (2, 1), (3, 1)]
    assert lesson.failures == []


def test_a_model_in_a_zip_learns_too(lesson: Lesson, model: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        for file in model.iterdir():
            archive.write(file, file.name)
    lesson.session.workspace.load_model(tmp_path / "packed.zip")
    lesson.corrected()
    lesson.learning.fine_tune(SECONDS)
    assert lesson.failures == []
    assert lesson.candidate.versions[0].note == "from packed"
    assert lesson.candidate.version is not None


@pytest.mark.parametrize("how", ["cancelled", "failed"])
def test_a_round_that_ends_early_leaves_all_as_it_was(
    lesson: Lesson, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    lesson.corrected()
    session, learning = lesson.session, lesson.learning
    card, rows = session.workspace.model, session.workspace.rows()
    masks = [session.workspace.mask(r.id) for r in rows]

    def broken(self: FineTuneTask, on_progress: Any, cancel: CancelToken) -> Any:
        if how == "failed":
            raise OutputError("the disk is full", code="output.unwritable")
        raise Cancelled

    with monkeypatch.context() as patched:
        patched.setattr(FineTuneTask, "run", broken)
        for _ in range(2):
            learning.fine_tune(SECONDS)
    assert lesson.failures == (["the disk is full"] * 2 if how == "failed" else [])
    assert lesson.background.job is None
    assert lesson.candidate.version is None
    assert lesson.candidate.result is None
    assert [v.name for v in lesson.candidate.versions] == ["v001"]
    assert lesson.in_use() == 1
    assert session.workspace.model is card
    assert session.workspace.rows() == rows
    for row, mask in zip(rows, masks, strict=True):
        np.testing.assert_array_equal(session.workspace.mask(row.id), mask)
    assert learning.obstacle() == ""


def test_stop_ends_early_and_judges_what_is_best_so_far(lesson: Lesson) -> None:
    lesson.corrected()
    lesson.background.validated.connect(lambda row: lesson.background.stop())
    lesson.learning.fine_tune(60.0)
    result = lesson.candidate.result
    assert result is not None
    assert result.stopped
    assert result.seconds < 30
    assert lesson.candidate.version is not None
    # It is for that round alone.
    lesson.background.validated.disconnect()
    lesson.candidate.discard()
    lesson.learning.fine_tune(SECONDS)
    assert lesson.candidate.result is not None
    assert not lesson.candidate.result.stopped


def test_what_was_judged_is_kept_where_it_belongs(lesson: Lesson, tmp_path: Path) -> None:
    """The person looks at other images before the verdict is answered."""
    lesson.corrected()
    lesson.learning.fine_tune(SECONDS)
    project = lesson.project
    other = open_dataset(write_synthetic("salt", tmp_path / "other", 2, seed=5))
    shown = Collection("other", other.samples, other)
    lesson.session.workspace.show(shown)
    lesson.settle()
    assert lesson.learning.project is None
    lesson.candidate.keep()
    assert lesson.failures == []
    assert project.models.current is not None
    assert project.models.current.number == 2
    lesson.session.workspace.show(lesson.collection)


def test_held_out_images_teach_nothing_before_and_after_they_are_done(lesson: Lesson) -> None:
    lesson.corrected(2)
    painted, done = [
        i for i in lesson.ids_of("held-out") if lesson.session.workspace.row(i).part == "held-out"
    ][:2]
    lesson.correct(painted)
    lesson.correct(done, done=True)
    lesson.learning.fine_tune(SECONDS)
    result = lesson.candidate.result
    assert result is not None
    assert set(result.learned_from) == set(lesson.ids_of("train")[:2])
    assert painted not in result.held_out  # its strokes judge nothing; its reference may
    assert done in result.comparison.images
