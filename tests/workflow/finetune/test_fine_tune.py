"""The round from corrections to a verdict: what is learned from, kept aside, written and left alone."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.data.catalog import open_dataset
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.engine.inline import InlineEngine, run_inline
from napari_unet.engine.process import ProcessEngine
from napari_unet.engine.task import FromCaller
from napari_unet.errors import Cancelled
from napari_unet.evaluation.leakage import TrainingMembership
from napari_unet.models.model import load_model, save_model
from napari_unet.models.model_folder import read_settings
from napari_unet.models.rehearsal import Rehearsal, RehearsalCrop, read_rehearsal, write_rehearsal
from napari_unet.progress import CancelToken, Progress
from napari_unet.settings import EvaluationSettings, FineTuneSettings
from napari_unet.training.warm import warm_model
from napari_unet.workflow.finetune.fine_tune_task import FineTuned, FineTuneTask
from napari_unet.workflow.finetune.held_out_gate import HeldOutGate, NotJudging, counts_note
from napari_unet.workflow.finetune.training_examples import (
    confident_mask,
    is_reserved,
    open_replay,
    read_corrections,
    set_aside,
)
from napari_unet.workflow.inputs.image_reference import CallReference, FileReference
from napari_unet.workflow.inputs.labelled_images import LabelledImage, as_dataset
from napari_unet.workflow.train.preview import Preview
from napari_unet.workflow.train.recipes import recipe
from napari_unet.workflow.train.train_task import TrainTask
from support.errors import raises_code

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.slow


SHORT = FineTuneSettings(seconds=3.0, batch_pixels=2**15)
TINY = ["filters=2", "depth=2", "epochs=1", "steps_per_epoch=8", "batch_size=4", "held_out=0.25"]


@pytest.fixture(scope="module")
def model(salt_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "start"
    run_inline(TrainTask(salt_folder, out, recipe("fast", TINY)))
    return out


def picture(number: int) -> tuple[np.ndarray, np.ndarray]:
    """A bright band on dark noise."""
    rng = np.random.default_rng(number)
    labels = np.zeros((48, 48), np.uint8)
    top = int(rng.integers(4, 30))
    labels[top : top + 12] = 1
    return (40 + 150 * labels + rng.integers(0, 30, labels.shape)).astype(np.uint8)[..., None], labels


def correction(number: int, identifier: str = "", weights: np.ndarray | None = None) -> LabelledImage:
    image, labels = picture(number)
    reference = CallReference(identifier or f"band{number}", FromCaller(lambda: image))
    return LabelledImage(reference, labels, weights)


def corrections(count: int) -> tuple[LabelledImage, ...]:
    return tuple(correction(n) for n in range(count))


def files(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def run(
    model: Path,
    out: Path,
    given: tuple[LabelledImage, ...],
    tell: Callable[[Progress], Any] | None = None,
    **more: Any,
) -> FineTuned:
    return run_inline(
        FineTuneTask(model, given, out, **{"settings": SHORT, **more}), tell or (lambda p: None)
    )


def test_one_in_five_is_for_judging_and_which_does_not_depend_on_the_others() -> None:
    reserved = [is_reserved(f"image {n}") for n in range(2000)]
    assert 0.17 < np.mean(reserved) < 0.23
    assert reserved == [is_reserved(f"image {n}") for n in range(2000)]


def test_from_five_on_one_in_five_judges_even_if_chance_spares_none(model: Path) -> None:
    seen = TrainingMembership(read_settings(model)[3])
    names = [name for n in range(99) if not is_reserved(name := f"x{n}")][:11]

    def parts(count: int, reserve: bool = True) -> tuple[list[str], list[str]]:
        samples = [Sample(i, partial(_image, n), partial(_mask, n)) for n, i in enumerate(names[:count])]
        dataset = as_dataset("corrections", samples, ("foreground",))
        learned, judges = set_aside(samples, dataset, seen, reserve=reserve)
        return [s.id for s in learned], [s.id for s in judges]

    assert [len(parts(n)[1]) for n in (1, 4, 5, 9, 10, 11)] == [0, 0, 1, 1, 2, 2]
    learned, judges = parts(11)
    assert set(learned) | set(judges) == set(names)
    assert not set(learned) & set(judges)
    assert parts(11, reserve=False) == (names, [])


@pytest.mark.graphs  # step by step too few steps fit into its seconds
def test_a_round_leaves_the_old_model_alone_and_tells_what_the_new_one_saw(
    model: Path, tmp_path: Path
) -> None:
    before = files(model)
    told: list[Progress] = []
    given = corrections(14)
    result = run(model, tmp_path / "new", given, told.append)
    assert files(model) == before
    kept = {c.id for c in given if is_reserved(c.id)}
    assert kept
    assert set(result.held_out) == kept
    assert set(result.learned_from) == {c.id for c in given} - kept
    assert set(result.comparison.images) == kept
    assert result.cross_validated == ()
    assert result.replayed == "recorded training data"
    assert result.replay_sentence.endswith("still where they were")
    held = TrainingMembership(read_settings(model)[3]).split
    assert held is not None
    assert result.forgetting is not None
    assert set(result.forgetting.images) == set(held.held_out)
    assert result.steps > 0
    values = [p.values for p in told if "held_out_iou" in p.values]
    assert values
    assert all("loss" in v for v in values)
    provenance = read_settings(result.model)[3]
    assert provenance["parent"] == str(model)
    assert provenance["lineage"][0]["model"] == str(model)
    assert provenance["comparison"]["verdict"] == result.comparison.verdict
    assert provenance["verdict"] == result.verdict
    assert provenance["line"]["point"] == result.point
    assert set(provenance["corrections"]) == {c.id for c in given}
    seen = TrainingMembership(provenance)
    for one in given:
        image = one.image.image()  # type: ignore[union-attr]
        assert seen.part(image) == ("held-out" if one.id in kept else "train")
    old = TrainingMembership(read_settings(model)[3])
    assert old.part(picture(0)[0]) == "unseen"
    assert sorted(files(result.model)) == ["metrics.csv", "model.weights.h5", "settings.json", "split.json"]
    assert load_model(result.model).recipe.network == load_model(model).recipe.network


def test_an_image_the_model_has_learned_from_never_judges_it(model: Path, tmp_path: Path) -> None:
    name = next(f"x{n}" for n in range(99) if is_reserved(f"x{n}"))
    part = np.zeros((48, 48), np.float32)
    part[:4] = 1
    first = run(model, tmp_path / "a", (correction(0), correction(1, name, part)))
    assert name in first.learned_from  # strokes on it: not done, so nothing to judge by
    second = run(first.model, tmp_path / "b", (correction(0), correction(1, name)))
    assert name in second.learned_from
    assert second.held_out == second.cross_validated == second.comparison.images == ()
    assert second.forgetting is not None  # of the data that the first model was trained on
    assert len(read_settings(second.model)[3]["lineage"]) == 2


def test_replay_of_the_training_data_judges_on_what_was_held_out(
    model: Path, salt_folder: Path, tmp_path: Path
) -> None:
    split = TrainingMembership(read_settings(model)[3]).split
    assert split is not None
    dataset = open_dataset(salt_folder)
    corrected = split.held_out[0]
    given = (*corrections(3), LabelledImage(FileReference(salt_folder, dataset.format, corrected)))
    result = run(model, tmp_path / "new", given, replay=salt_folder)
    assert result.replayed == "training data"
    assert set(result.comparison.images) <= {c.id for c in given}
    assert result.forgetting is not None
    assert set(result.forgetting.images) == set(split.held_out) - {corrected}
    assert not set(result.forgetting.images) & set(result.comparison.images)


def test_replay_of_a_data_set_the_model_never_saw_is_refused(
    model: Path, nuclei_folder: Path, tmp_path: Path
) -> None:
    with raises_code("data.replay.different"):
        run(model, tmp_path / "new", corrections(2), replay=nuclei_folder)


@pytest.fixture
def stranger(model: Path, tmp_path: Path) -> Path:
    """The model on a machine that does not have its data."""
    loaded = load_model(model)
    loaded.provenance["data"]["path"] = str(tmp_path / "gone")
    return save_model(loaded, tmp_path / "stranger")


def test_other_images_are_replayed_with_the_models_own_predictions(stranger: Path, tmp_path: Path) -> None:
    others = tuple(correction(n).image for n in range(50, 54))
    result = run(stranger, tmp_path / "new", corrections(2), others=others)
    assert result.replayed == "own predictions"
    assert result.forgetting is None  # a model always agrees with itself


def test_the_rehearsal_set_of_a_model_is_replayed_judges_and_travels_on(
    stranger: Path, tmp_path: Path
) -> None:
    crops = []
    for number in range(60, 72):
        image, labels = picture(number)
        crops.append(RehearsalCrop(f"crop{number}", image, labels))
    write_rehearsal(stranger, Rehearsal(tuple(crops)))
    others = (correction(50).image,)
    result = run(stranger, tmp_path / "new", corrections(1), others=others)
    assert result.replayed == "rehearsal set"
    assert result.replay_sentence == "replayed 6 crops of the rehearsal set inside the model"
    assert result.forgetting is not None
    assert len(result.forgetting.images) == 6  # one in two judges and is not replayed
    assert "the old model was trained on these images" in result.forgetting.note
    assert set(result.comparison.images) == {"band0, first half", "band0, second half"}
    carried = read_rehearsal(result.model)
    assert carried is not None
    assert [c.id for c in carried.crops] == [c.id for c in crops]


def test_with_nothing_to_judge_by_that_is_said_before_the_training(
    stranger: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = run(stranger, tmp_path / "a", corrections(1))
    told: list[Progress] = []
    caplog.clear()
    second = run(first.model, tmp_path / "b", corrections(1), told.append)
    assert not second.judged
    assert second.first_button == "discard"
    assert second.sentence.startswith("not judged")
    begun = next(n for n, p in enumerate(told) if p.message.startswith("Learning"))
    assert any("nothing judges" in p.message.lower() for p in told[:begun])
    assert "nothing judges the new kind" in caplog.text
    assert second.point == 0.5  # where nothing can be measured half of the way is taken


def test_confidence_by_hand() -> None:
    probabilities = np.array([[[0.95], [0.7], [0.5], [0.05], [0.3]]], np.float32)
    mask = np.array([[1, 1, 0, 0, 0]], np.uint8)
    weights = confident_mask(probabilities, mask, "sigmoid").weights
    assert weights is not None
    np.testing.assert_allclose(weights, [[1, 0.5, 0, 1, 0.5]], atol=1e-6)
    two = np.array([[[0.05, 0.9], [0.05, 0.05]]], np.float32)
    weights = confident_mask(two, np.array([[2, 0]], np.uint8), "softmax").weights
    assert weights is not None
    np.testing.assert_allclose(weights, [[1, 1]], atol=1e-6)


def test_the_preview_shows_the_image_that_was_asked_for_and_stop_keeps_the_best(
    model: Path, tmp_path: Path
) -> None:
    told: list[Progress] = []
    image = np.zeros((30, 41, 1), np.uint8)
    long = SHORT.model_copy(update={"seconds": 12.0})
    asked = FromCaller(lambda: ("mine", image))
    enough = FromCaller(lambda: any(isinstance(p.piece, Preview) for p in told))
    result = run(
        model, tmp_path / "new", corrections(4), told.append, settings=long, preview=asked, stop=enough
    )
    pieces = [p.piece for p in told if isinstance(p.piece, Preview)]
    assert result.stopped
    assert pieces[0].id == "mine"
    assert pieces[0].probabilities.shape == (30, 41, 1)
    assert (tmp_path / "new" / "settings.json").exists()


def test_a_warm_network_learns_as_a_cold_one_does(model: Path, tmp_path: Path) -> None:
    pixels = SHORT.model_copy(update={"megapixels": 0.05})
    warm_model().take(load_model(model))  # whatever another test left
    cold = run(model, tmp_path / "cold", corrections(3), settings=pixels, reserve=False)
    kept = warm_model()._warm
    assert kept is not None
    warm = run(model, tmp_path / "warm", corrections(3), settings=pixels, reserve=False)
    assert warm_model()._warm is kept
    assert cold.steps == warm.steps > 0
    weights = [load_model(r.model).network.get_weights() for r in (cold, warm)]
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_only_a_model_of_the_same_kind_is_warm(model: Path) -> None:
    one, other = load_model(model), load_model(model)
    one.network.compile(loss="mse")
    warm_model().keep(one)
    changed = other.recipe.training.model_copy(update={"loss": "dice"})
    other.recipe = other.recipe.model_copy(update={"training": changed})
    assert warm_model().take(other) is other
    warm_model().keep(one)
    assert warm_model().take(load_model(model)) is one
    again = load_model(model)
    assert warm_model().take(again) is again  # it was taken out
    warm_model().keep(again)  # was never trained, so nothing is built
    assert warm_model().take(again) is again


def test_the_gate_judges_as_many_as_there_is_time_for_but_not_too_few(model: Path) -> None:
    loaded = load_model(model)
    samples = [Sample(f"{n}", partial(_image, n), partial(_mask, n)) for n in range(60)]
    held = as_dataset("held out", samples, loaded.classes)
    gate = HeldOutGate(loaded, held, EvaluationSettings(), lambda p: None, CancelToken())
    weights = loaded.network.get_weights()
    hurried = gate.compare(weights, seconds=0.0)
    assert hurried.images == tuple(s.id for s in gate.judges[:24])
    assert hurried.note == ("24 of 60 held-out images judge: 12 choose the weights, 24 there was no time for")
    patient = gate.compare(weights)
    assert len(patient.images) == len(gate.judges) == 48
    counts = "48 of 60 held-out images judge: 12 choose the weights"
    assert patient.note == counts
    assert patient.old == patient.new
    assert gate.hurry() == 2.0  # salt is the same from left and right
    assert gate.hurry() == 1.0
    assert gate.compare(weights).note == f"judged without flips, which the time did not allow; {counts}"


def test_what_became_of_every_held_out_image_is_told() -> None:
    assert counts_note(NotJudging(), 0, 30, 30) == ""
    # As once seen by a person: 320 in the split, "132 of 268" in the verdict.
    assert counts_note(NotJudging(learned=38, corrected=2), 12, 268, 132) == (
        "132 of 320 held-out images judge: 38 the model has learned from, as they are or as copies, "
        "2 were corrected, 12 choose the weights, 136 there was no time for"
    )
    assert counts_note(NotJudging(damaged=1), 0, 5, 5) == ("5 of 6 held-out images judge: 1 cannot be used")
    assert counts_note(NotJudging(beyond=120, most=200), 12, 188, 188) == (
        "188 of 320 held-out images judge: 120 are beyond the 200 that a round looks at, "
        "12 choose the weights"
    )


@pytest.mark.graphs  # step by step too few steps fit into its seconds
def test_the_counts_of_a_round_add_up_to_the_split(
    model: Path, salt_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of eight images held out one is corrected, one is beyond what a round looks at, six judge."""
    monkeypatch.setattr("napari_unet.workflow.finetune.training_examples.MOST_JUDGED", 7)
    monkeypatch.setattr("napari_unet.workflow.finetune.judges.MOST_JUDGED", 7)
    split = TrainingMembership(read_settings(model)[3]).split
    assert split is not None
    dataset = open_dataset(salt_folder)
    assert len(split.held_out) == 8
    taken = open_replay(salt_folder, None, TrainingMembership(read_settings(model)[3]), 0)
    assert len(taken.held_out) == 7
    assert set(taken.beyond) == set(split.held_out) - {s.id for s in taken.held_out.samples}
    corrected = taken.held_out.samples[0].id
    given = (*corrections(2), LabelledImage(FileReference(salt_folder, dataset.format, corrected)))
    result = run(model, tmp_path / "new", given, replay=salt_folder, reserve=False)
    assert result.forgetting is not None
    assert len(result.forgetting.images) == 6
    assert result.forgetting.note.endswith(
        "the weights were chosen on these images too; 6 of 8 held-out images judge: 1 was corrected, "
        "1 is beyond the 7 that a round looks at"
    )


def test_a_held_out_image_that_the_model_has_learned_from_is_counted_apart(
    model: Path, salt_folder: Path, tmp_path: Path
) -> None:
    split = TrainingMembership(read_settings(model)[3]).split
    assert split is not None
    names = (split.train[0], *split.held_out[:3])
    judges = tuple(FileReference(salt_folder, None, name) for name in names)
    result = run(model, tmp_path / "new", corrections(2), judges=judges, reserve=False)
    # Three are too few to tell, so the corrections judge by cross-validation as well.
    assert set(result.comparison.images) == {*split.held_out[:3], "band0", "band1"}
    assert "3 of 4 held-out images judge: 1 the model has learned from" in result.comparison.note


def _image(number: int) -> np.ndarray:
    return picture(number)[0]


def _mask(number: int) -> ReferenceMask:
    return ReferenceMask(picture(number)[1])


def test_cancel_leaves_nothing(model: Path, tmp_path: Path) -> None:
    token = CancelToken()
    task = FineTuneTask(model, corrections(3), tmp_path / "new", SHORT)

    def tell(progress: Progress) -> None:
        if progress.message.startswith("Learning"):
            token.cancel()

    with pytest.raises(Cancelled):
        task.run(tell, token)
    assert not (tmp_path / "new").exists()


def test_what_cannot_be_learned_from_is_refused_in_words(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "new"
    nothing = np.zeros((48, 48), np.float32)
    image, labels = picture(0)
    two = LabelledImage(CallReference("a", FromCaller(lambda: image)), labels * np.uint8(2))
    with raises_code("training.corrections.missing"):
        run(model, out, ())
    with raises_code("training.corrections.missing"):
        run(model, out, (correction(0, weights=nothing),))
    with raises_code("model.classes.unknown", "mask of a"):
        run(model, out, (two,))
    with raises_code("data.image.duplicate", "corrections", "band0"):
        run(model, out, (correction(0), correction(0)))
    with raises_code("output.input"):
        run(model, model, corrections(2))
    assert not out.exists()


def test_the_task_travels_to_the_engine_and_back(model: Path, tmp_path: Path) -> None:
    job = InlineEngine().submit(FineTuneTask(model, corrections(2), tmp_path / "new", SHORT))
    assert job.state == "done"
    assert isinstance(job.result, FineTuned)


def test_it_runs_in_the_computing_process_with_images_only_the_caller_has(
    model: Path, tmp_path: Path
) -> None:
    image = picture(0)[0]
    told: list[Progress] = []
    engine = ProcessEngine()
    try:
        task = FineTuneTask(
            model,
            corrections(12),
            tmp_path / "new",
            SHORT,
            others=tuple(correction(n).image for n in range(50, 53)),
            preview=FromCaller(lambda: ("mine", image)),
            stop=FromCaller(lambda: False),
        )
        result = engine.submit(task, told.append).wait(120)
    finally:
        engine.close()
    assert isinstance(result, FineTuned)
    assert result.held_out
    pieces = [p.piece for p in told if p.piece is not None]
    assert isinstance(pieces[0], Preview)
    assert pieces[0].probabilities.shape == (48, 48, 1)


def write_masks(folder: Path, masks: list[np.ndarray]) -> Path:
    from PIL import Image

    for number, mask in enumerate(masks):
        for room, pixels in (("images", picture(number)[0][..., 0]), ("masks", mask)):
            (folder / room).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / room / f"{number}.png")
    return folder


def masks_of(given: tuple[LabelledImage, ...]) -> list[ReferenceMask]:
    return [c.image.mask() for c in given]  # type: ignore[union-attr,misc]


def test_255_beside_classes_is_not_vouched_for(tmp_path: Path) -> None:
    labels = picture(0)[1].copy()
    labels[40:] = 255
    given, others, notes = read_corrections(write_masks(tmp_path, [labels, picture(1)[1]]), 1)
    first, second = masks_of(given)
    assert first.weights is not None
    np.testing.assert_array_equal(first.weights == 0, labels == 255)
    np.testing.assert_array_equal(first.labels, np.where(labels == 1, 1, 0))
    assert second.weights is None
    assert others == ()
    assert any("255" in note for note in notes)


def test_black_and_white_masks_are_vouched_for_unless_said_otherwise(tmp_path: Path) -> None:
    folder = write_masks(tmp_path, [picture(n)[1] * np.uint8(255) for n in range(2)])
    given, _, notes = read_corrections(folder, 1)
    assert masks_of(given)[0].weights is None
    assert masks_of(given)[0].labels.max() == 1
    assert any("--unverified 255" in note for note in notes)
    given, _, notes = read_corrections(folder, 1, unverified=255)
    mask = masks_of(given)[0]
    assert mask.weights is not None
    np.testing.assert_array_equal(mask.weights == 0, picture(0)[1] == 1)
    assert notes == []


def test_any_value_can_mean_not_vouched_for(tmp_path: Path) -> None:
    labels = picture(0)[1] * np.uint8(255)
    labels[40:] = 128
    given, _, _ = read_corrections(write_masks(tmp_path, [labels]), 1, unverified=128)
    mask = masks_of(given)[0]
    assert mask.weights is not None
    np.testing.assert_array_equal(mask.weights == 0, labels == 128)
    np.testing.assert_array_equal(mask.labels, labels == 255)
    given, _, _ = read_corrections(write_masks(tmp_path / "b", [labels]), 2, unverified=128)
    with raises_code("data.mask.classes"):
        masks_of(given)
