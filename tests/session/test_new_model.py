"""A new model from nothing in a session: planned, trained, judged, cut short, resumed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.data.catalog import open_dataset
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.data.synthetic import write_synthetic
from napari_unet.engine.task import Job
from napari_unet.errors import OutputError
from napari_unet.evaluation.leakage import TrainingMembership
from napari_unet.models.card import ModelCard
from napari_unet.progress import CancelToken, ignore_progress
from napari_unet.project.project import Project
from napari_unet.session.images.collection import Collection
from napari_unet.training.feeding.augmentation import Patch
from napari_unet.training.forecast import StepCost
from napari_unet.workflow.finetune.train_version import Trained
from napari_unet.workflow.inputs.labelled_images import corrected_images
from napari_unet.workflow.train.forecast_task import Plan, PlanTask, picture
from napari_unet.workflow.train.recipes import recipe
from support.lesson import Lesson

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

TINY = recipe("fast", ["filters=2", "depth=2", "patch=64", "batch_size=4"])
MINUTES = 0.02


@pytest.fixture
def model(grey_model: Path) -> Path:
    """It knows no data, so that all of the set may be new to it."""
    return grey_model


def test_a_plan_tells_split_cost_and_samples(salt: Path) -> None:
    plan = PlanTask(salt, TINY).run(ignore_progress, CancelToken())
    assert plan.split_words.startswith(f"24 images of {open_dataset(salt).name}: {len(plan.split.train)} to")
    assert "2 held out for the test" in plan.split_words
    assert plan.step is not None
    assert plan.step.seconds > 0
    assert plan.batch == 4
    assert plan.recipe.training.precision != "auto"
    assert 2**27 < plan.memory < 2**36  # this process holds TensorFlow at least
    assert plan.pictures.shape == (12, 64, 64, 3)
    assert len({p.tobytes() for p in plan.pictures}) > 6  # changed at random, not twelve times the same
    # By hand: of an hour less the 12 s that the first step takes to build, 0.5 s a step.
    known = replace(plan, step=StepCost(0.5, 12.0, 2**30, 3), memory=2**31, free=2**33)
    assert known.steps(60.0) == 7176
    passes = round(7176 * 4 / len(plan.split.train))
    assert known.forecast_words(60.0).startswith(
        f"About 7,176 steps of 4 patches of 64 x 64 (0.5 s each), {passes:,} for every image; "
        "about 2.0 GB of memory, 8.0 GB are free."
    )
    assert "whole course of this recipe would take 305 min" in known.forecast_words(60.0)
    assert "whole course" not in known.forecast_words(200.0)
    assert "may not be enough" in replace(known, free=2**30).forecast_words(60.0)
    chosen = known.recipe_for(60.0).training
    assert (chosen.minutes, chosen.steps_per_epoch) == (60.0, 7176 // 20)


def test_a_network_that_does_not_fit_into_memory_is_not_tried(
    salt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "napari_unet.workflow.train.forecast_task.expected_bytes", lambda network, batches: 2**60
    )
    plan = PlanTask(salt, TINY).run(ignore_progress, CancelToken())
    assert plan.step is None
    assert plan.forecast_words(5.0).startswith("This network needs about 1073741824.0 GB of memory")


def test_expected_memory_by_hand(salt: Path) -> None:
    """One level down: the sizes of what each layer keeps, counted by hand."""
    from napari_unet.models.normalization import Normalization
    from napari_unet.networks.registry import build_network, input_sizes
    from napari_unet.training.feeding.batches import TrainingBatches
    from napari_unet.training.forecast import expected_bytes

    plain = recipe(
        "fast", ["filters=1", "depth=1", "block=plain", "normalization=none", "patch=32", "batch_size=2"]
    )
    network = build_network(plain.network, 0, "float32")
    dataset = open_dataset(salt)
    batches = TrainingBatches(
        dataset, Normalization(channels=1), plain.training, input_sizes(plain.network), 1
    )
    y, x = batches.shape
    counted = 0
    for layer in network.layers:
        channels = layer.output.shape[-1]
        size = np.array([1, 1, 1], float)
        counted += channels * size[0]
    got = expected_bytes(network, batches) - 4 * 6 * network.count_params()
    # Every layer keeps at least a quarter of the pixels, none more than all of them.
    assert 2 * 4 * y * x * counted / 4 <= got <= 2 * 4 * y * x * counted


def test_a_sample_shows_borders_and_darkens_what_does_not_count() -> None:
    image = np.full((4, 6, 1), 0.5, np.float32)
    image[0, 0], image[0, 1] = 0, 1
    labels = np.zeros((4, 6), np.uint8)
    labels[:, 3:] = 1
    weights = np.ones((4, 6), np.float32)
    weights[3] = 0
    shown = picture(Patch(image, labels, weights))
    assert shown[1, 2].tolist() == [229, 158, 0]
    assert shown[1, 4].tolist() != [229, 158, 0]
    assert shown[3, 5, 0] < shown[1, 5, 0]


def test_a_model_is_trained_planned_judged_and_kept(lesson: Lesson) -> None:
    learning, session = lesson.learning, lesson.session
    anew = lesson.new_model
    assert set(anew.sources()) == {"images"}
    anew.make_plan("images", TINY)
    assert lesson.failures == []
    assert isinstance(anew.plan, Plan)
    assert learning.project is None
    anew.train("images", anew.plan.recipe_for(MINUTES))
    lesson.settle()  # a project was made for it first
    assert lesson.failures == []
    project = lesson.project
    result = lesson.candidate.result
    assert isinstance(result, Trained)
    assert lesson.background.losses
    assert [v.note for v in lesson.candidate.versions] == ["from grey", f"trained again, {result.verdict}"]
    fresh = lesson.candidate.version
    assert fresh is not None
    assert fresh.parent == 0
    assert result.comparison is not None
    card = ModelCard.read(fresh.path)
    split = TrainingMembership(card.provenance).split
    assert split is not None
    assert set(split.held_out) == set(project.split.held_out)  # judged as all of the project is
    assert set(result.comparison.images) == set(split.held_out)
    assert anew.obstacle() == "Keep or discard the new version first."
    assert lesson.candidate.note.startswith("Forecast: ")
    lesson.candidate.keep()
    assert session.workspace.model is not None
    assert session.workspace.model.path == fresh.path
    assert session.workspace.row(session.workspace.current).status == "segmented"
    # Any two versions, on what neither was trained on.
    told: list[Any] = []
    learning.compare(1, 2, told.append)
    (comparison,) = told
    assert set(comparison.images) == set(split.held_out)
    assert comparison.new == pytest.approx(result.comparison.new, abs=1e-6)


def test_stop_keeps_the_best_and_cancel_can_be_resumed(
    lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    anew = lesson.new_model
    lesson.make_project()
    begun = TINY.model_copy(
        update={"training": TINY.training.model_copy(update={"minutes": 30.0, "steps_per_epoch": 3})}
    )

    jobs: list[Job] = []

    class Recorded(Job):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            jobs.append(self)

    # The inline engine runs to the end at once, so what cancels comes from within.
    def cancel(row: dict[str, float]) -> None:
        if len(lesson.background.curve) >= 2:
            jobs[-1].cancel()

    monkeypatch.setattr("napari_unet.engine.inline.Job", Recorded)
    lesson.background.validated.connect(cancel)
    anew.train("images", begun)
    lesson.background.validated.disconnect(cancel)
    assert lesson.candidate.version is None
    left = anew.cut_short()
    assert left is not None
    assert left.recipe == begun
    assert left.source == "images"
    lesson.background.validated.connect(
        lambda row: lesson.background.stop() if len(lesson.background.curve) >= 2 else None
    )
    anew.resume(left)
    assert lesson.failures == []
    assert isinstance(lesson.candidate.result, Trained)
    assert lesson.candidate.result.stopped
    assert lesson.candidate.result.steps > 6  # it went on, and did not begin again
    assert lesson.candidate.version is not None
    assert anew.cut_short() is None


def test_corrections_are_parted_as_the_project_parts_them(tmp_path: Path) -> None:
    image = np.zeros((8, 8, 1), np.uint8)
    mask = np.ones((8, 8), np.uint8)
    samples = {f"n{n}": Sample(f"n{n}", lambda: image) for n in range(20)}
    with Project.create(tmp_path / "p", list(samples.values())) as project:
        held = [i for i in samples if project.corrections.part(i) == "held-out"]
        for name in samples:
            project.corrections.record(name, 0 * mask, mask)
        data = corrected_images(project, samples, None, {})
        assert data.split is not None
        assert data.split.validation == ()
        assert not set(held) & set(data.split.train)
        assert data.split.held_out == ()  # painted on, but nobody says they are right
        for name in samples:
            project.corrections.set_done(name)
        data = corrected_images(project, samples, None, {})
        assert data.split is not None
        assert set(data.split.held_out) == set(held)
        assert len(data.split.validation) == (20 - len(held)) // 5
        assert len(data.split.train) == 20 - len(held) - len(data.split.validation)
        assert len(data.items) == 20


def test_layers_at_hand_are_trained_on(model: Path, no_pause: None, salt: Path) -> None:
    """Images that are in no file, one of them alone: batch statistics and all."""
    lesson = Lesson(salt, model)
    rng = np.random.default_rng(0)
    labels = np.zeros((48, 48), np.uint8)
    labels[10:30, 12:40] = 1
    image = (60 + 120 * labels + rng.integers(0, 20, labels.shape)).astype(np.uint8)[..., None]
    one = Sample("layer", lambda: image, lambda: ReferenceMask(labels))
    lesson.session.workspace.show(Collection("layers", [one]))
    lesson.settle()
    anew = lesson.new_model
    assert anew.sources() == {"images": "the layers: 1 image with masks"}
    anew.make_plan("images", TINY)
    assert anew.plan is not None
    assert "too few to keep any aside" in anew.plan.split_words
    anew.train("images", anew.plan.recipe_for(MINUTES))
    lesson.settle()
    assert lesson.failures == []
    result = lesson.candidate.result
    assert isinstance(result, Trained)
    assert result.comparison is None
    assert result.sentence.startswith("trained; no image was held out to judge by")
    lesson.candidate.keep()
    assert lesson.session.workspace.mask("layer") is not None
    lesson.session.close()


def test_a_training_that_waits_for_a_project_starts_on_its_own_images_or_not_at_all(
    lesson: Lesson, tmp_path: Path
) -> None:
    session = lesson.session
    lesson.make_project()  # the images of `lesson` have a project
    dataset = open_dataset(write_synthetic("salt", tmp_path / "other", 8))
    other = Collection("other", (*dataset.samples, *dataset.unlabelled), dataset)
    session.workspace.show(other)
    started: list[Any] = []
    lesson.background.run = lambda task, collection, finish: started.append((task.data, collection))  # type: ignore[method-assign, assignment, return-value]
    told: list[Any] = []
    session.projects.noted.connect(told.append)
    lesson.new_model.train("images", TINY)  # waits: the project of `other` is being made
    session.workspace.show(lesson.collection)
    lesson.settle()
    assert started == []
    assert "The training on other was not started." in told
    session.workspace.show(other)
    lesson.settle()
    assert started == []  # a wish that was dropped does not come back
    lesson.new_model.train("images", TINY)
    lesson.settle()
    assert started == [(dataset.path, other)]
    other.close()


def test_a_training_whose_project_cannot_be_made_does_not_wait_for_ever(
    lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **more: Any) -> Any:
        raise OutputError("the disk is full", code="output.unwritable")

    monkeypatch.setattr("napari_unet.session.projects.current_project.Project.create", refuse)
    told: list[Any] = []
    lesson.session.projects.noted.connect(told.append)
    for _ in range(2):  # the second is asked for before the project is tried again
        lesson.new_model.train("images", TINY)
        lesson.settle()
        assert lesson.new_model._waiting is None
    assert told == [f"The training on {lesson.collection.name} was not started."] * 2


def test_of_layers_the_images_without_a_mask_are_counted(model: Path, no_pause: None, salt: Path) -> None:
    lesson = Lesson(salt, model)
    labels = np.zeros((48, 48), np.uint8)
    labels[10:30, 12:40] = 1
    samples = [
        Sample(f"s [{n}]", lambda: labels[..., None], (lambda: ReferenceMask(labels)) if n == 4 else None)
        for n in range(15)
    ]
    collection = Collection("layers", samples)
    lesson.session.workspace.show(collection)
    lesson.settle()
    anew = lesson.new_model
    assert anew.without_mask() == "1 of 15 images has a mask; the others are left out"
    assert anew.sources() == {"images": "the layers: 1 of 15 images has a mask; the others are left out"}
    data, _, _ = anew._data("images")
    assert [item.id for item in data.items] == ["s [4]"]  # type: ignore[union-attr]
    collection.model = None
    collection.masks_mean(("class 1", "class 2"))
    assert anew.without_mask() == "1 of 15 images has a mask of 2 classes; the others are left out"
    lesson.session.close()
