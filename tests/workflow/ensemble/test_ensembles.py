"""Ensembles through the workflow: made, chosen, trained, used, judged, all on synthetic salt."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.cli import main
from napari_unet.data.catalog import open_dataset
from napari_unet.data.masks.mask_pixels import decode_labels
from napari_unet.data.sample import Sample
from napari_unet.data.split import Split
from napari_unet.engine.inline import InlineEngine, run_inline
from napari_unet.evaluation.leakage import TrainingMembership
from napari_unet.metrics.object_confidence import EVIDENCE, ObjectConfidence
from napari_unet.metrics.object_confidence import KEY as CONFIDENCE
from napari_unet.models.card import ModelCard
from napari_unet.models.ensemble import Ensemble, load_any
from napari_unet.models.model import load_model
from napari_unet.session.images.collection import Collection
from napari_unet.session.session import Session
from napari_unet.workflow.ensemble import ensemble_task
from napari_unet.workflow.ensemble.ensemble_task import EnsembleTask, merged_provenance
from napari_unet.workflow.ensemble.train_members import TrainMembersTask, folds
from napari_unet.workflow.review.quality_estimate import agreement_of_members
from napari_unet.workflow.segment.segment_samples import segment_samples
from napari_unet.workflow.train.recipes import recipe
from napari_unet.workflow.train.train_task import TrainTask
from support.errors import cli_error, raises_code
from support.tiny_models import provenance_of, write_tiny_model

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.data.dataset import Dataset

pytestmark = pytest.mark.slow

QUICK = ("epochs=1", "steps_per_epoch=2", "filters=2", "depth=2", "batch_size=2", "patch=32")


@pytest.fixture(scope="module")
def salt(salt_folder: Path) -> Dataset:
    return open_dataset(salt_folder)


@pytest.fixture(scope="module")
def models(salt: Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three, trained, so they say, on the first 8 tiles, with the last 8 held out."""
    folder, ids = tmp_path_factory.mktemp("members"), [s.id for s in salt.samples]
    about = provenance_of(salt, ids[:8], ids[16:])
    return [write_tiny_model(folder / n, provenance=about, seed=s) for s, n in enumerate("abc")]


def test_an_ensemble_is_the_weighted_mean_of_its_members(
    models: list[Path], salt: Dataset, tmp_path: Path
) -> None:
    run_inline(EnsembleTask(tuple(models), tmp_path / "many"))
    many = load_any(tmp_path / "many")
    assert isinstance(many, Ensemble)
    many.members = tuple(replace(m, weight=w) for m, w in zip(many.members, (0.5, 0.3, 0.2), strict=True))
    samples = salt.samples[:3]
    alone = [[r.probabilities for r in segment_samples(samples, load_model(m))] for m in models]
    for n, result in enumerate(segment_samples(samples, many)):
        expected = 0.5 * alone[0][n] + 0.3 * alone[1][n] + 0.2 * alone[2][n]
        np.testing.assert_allclose(result.probabilities, expected, atol=2e-3)
        away = sum(w * (a[n] - expected) ** 2 for w, a in zip((0.5, 0.3, 0.2), alone, strict=True))
        np.testing.assert_allclose(result.disagreement, np.sqrt(away)[..., 0], atol=2e-3)
    whole = [r.probabilities for r in segment_samples(samples, many)]
    many.room = 0
    for one, other in zip(whole, segment_samples(samples, many), strict=True):
        np.testing.assert_array_equal(one, other.probabilities)


def test_an_ensemble_has_a_confidence_of_objects(
    models: list[Path], salt_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ones = np.ones(len(EVIDENCE))
    own = ObjectConfidence(ones, ones, ones, 0.0, np.array([0.0]), np.array([0.5]), 60, 5)
    about = {**ModelCard.read(models[0]).provenance, CONFIDENCE: own.to_json()}
    last = write_tiny_model(tmp_path / "last", provenance=about, seed=5)
    run_inline(EnsembleTask((models[0], last), tmp_path / "plain"))
    found = ObjectConfidence.of(load_any(tmp_path / "plain").provenance)
    assert found is not None
    assert found.words == "60 objects of 5 validation images of the model last"
    # With images that may choose it is fitted to the ensemble.
    asked: list[str] = []

    def fit(model: Any, dataset: Any, cancel: Any, *_: Any) -> ObjectConfidence:
        assert isinstance(model, Ensemble)
        asked.extend(s.id for s in dataset.samples)
        return replace(own, objects=99)

    monkeypatch.setattr(ensemble_task, "fit_object_confidence", fit)
    run_inline(EnsembleTask((models[0], last), tmp_path / "fitted", data=salt_folder))
    assert asked == [s.id for s in open_dataset(salt_folder).samples[8:16]]  # neither trained on nor held out
    found = ObjectConfidence.of(ModelCard.read(tmp_path / "fitted").provenance)
    assert found is not None
    assert found.words == "99 objects of 5 validation images"


def test_one_model_disagrees_with_itself_under_flips(models: list[Path], salt: Dataset) -> None:
    model = load_model(models[0])
    (result,) = segment_samples(salt.samples[:1], model, disagreement=True)
    (plain,) = segment_samples(salt.samples[:1], model)
    assert plain.disagreement is None
    assert result.disagreement is not None
    assert result.disagreement.shape == result.mask.shape
    assert 0 < result.disagreement.max() <= 0.5


def test_what_is_seen_by_one_is_seen_by_all(models: list[Path], salt: Dataset, tmp_path: Path) -> None:
    ids = [s.id for s in salt.samples]
    other = write_tiny_model(tmp_path / "d", provenance=provenance_of(salt, ids[6:12], ids[16:20]))
    run_inline(EnsembleTask((models[0], other), tmp_path / "many"))
    card = ModelCard.read(tmp_path / "many")
    assert card.members == (("a", 0.5), ("d", 0.5))
    seen = TrainingMembership(card.provenance)
    parts = [seen.part(salt.image(s)) for s in salt.samples]
    assert parts == ["train"] * 12 + ["unseen"] * 4 + ["held-out"] * 8
    assert card.provenance["data"]["name"] == salt.name


def test_equal_names_of_different_images_are_kept_apart() -> None:
    one = {"image_hashes": {"1": "aa", "2": "bb"}, "split": Split(("1",), ("2",)).to_json()}
    two = {"image_hashes": {"1": "cc", "3": "bb"}, "split": Split((), (), ("1",)).to_json()}
    merged = merged_provenance([one, two])
    split = Split.from_json(merged["split"], "merged")
    assert merged["image_hashes"] == {"1": "aa", "2": "bb", "1 cc": "cc"}
    assert (split.train, split.validation, split.held_out) == (("1",), ("2",), ("1 cc",))


def test_greedy_is_no_worse_than_the_best_and_its_images_count_as_validation(
    models: list[Path], salt: Dataset, salt_folder: Path, tmp_path: Path
) -> None:
    chosen = run_inline(EnsembleTask(tuple(models), tmp_path / "g", "greedy", salt_folder))
    assert chosen.images == 8  # neither those trained on nor those held out
    assert chosen.score is not None
    assert chosen.score >= max(chosen.scores) - 1e-9
    assert sum(chosen.weights) == pytest.approx(1)
    card = ModelCard.read(tmp_path / "g")
    assert card.validation_iou == pytest.approx(chosen.score)
    assert len(card.members) == sum(w > 0 for w in chosen.weights)
    seen = TrainingMembership(card.provenance)
    assert [seen.part(salt.image(s)) for s in salt.samples][8:16] == ["validation"] * 8
    weighted = run_inline(EnsembleTask(tuple(models), tmp_path / "w", "weighted", salt_folder))
    assert weighted.scores == chosen.scores
    assert weighted.uniform == chosen.uniform


def test_an_ensemble_of_ensembles_has_their_members(models: list[Path], tmp_path: Path) -> None:
    run_inline(EnsembleTask(tuple(models[:2]), tmp_path / "two"))
    run_inline(EnsembleTask((tmp_path / "two", models[2]), tmp_path / "three"))
    assert [n for n, _ in ModelCard.read(tmp_path / "three").members] == ["a", "b", "c"]


def test_what_cannot_be_averaged_or_chosen_is_refused(
    models: list[Path], salt_folder: Path, salt: Dataset, tmp_path: Path
) -> None:
    two = write_tiny_model(tmp_path / "two", classes=("one", "two"))
    five = write_tiny_model(tmp_path / "five", 5)
    with raises_code("model.classes.different"):
        run_inline(EnsembleTask((models[0], two), tmp_path / "out"))
    with raises_code("model.channels.different"):
        run_inline(EnsembleTask((models[0], five), tmp_path / "out"))
    with raises_code("settings.ensemble.images"):
        run_inline(EnsembleTask((models[0],), tmp_path / "out", "greedy"))
    with raises_code("model.head.unknown", "'c1'"):
        run_inline(EnsembleTask((models[0],), tmp_path / "out", head="c1"))
    ids = [s.id for s in salt.samples]
    knows_all = write_tiny_model(tmp_path / "all", provenance=provenance_of(salt, ids[:20], ids[20:]))
    with raises_code("data.heldout.missing", "20 that one", "4 held"):
        run_inline(EnsembleTask((knows_all,), tmp_path / "out", "greedy", salt_folder))
    assert not (tmp_path / "out").exists()


def test_doubts_of_an_ensemble_are_those_between_its_members(models: list[Path], tmp_path: Path) -> None:
    run_inline(EnsembleTask((models[0], models[0]), tmp_path / "same"))
    run_inline(EnsembleTask(tuple(models), tmp_path / "many"))
    rng = np.random.default_rng(0)
    samples = [Sample(n, lambda: rng.integers(0, 255, (20, 33, 1)).astype(np.uint8)) for n in "pq"]
    wrong = Sample("wrong", lambda: np.zeros((9, 9, 7), np.uint8))
    same = agreement_of_members([samples[0], wrong, samples[1]], load_any(tmp_path / "same"))
    assert [d.id for d in same] == ["p", "q"]
    assert all(d.agreement == 1 and d.by_members for d in same)
    assert all(d.agreement < 1 for d in agreement_of_members(samples, load_any(tmp_path / "many")))


def test_folds_by_groups_cover_all_and_hold_out_the_same() -> None:
    groups = {str(n): "abcdefg"[n % 7] for n in range(28)}
    split = Split(tuple(map(str, range(20))), ("20", "21"), tuple(map(str, range(22, 28))), groups=groups)
    split = replace(split, held_out=tuple(i for i in split.held_out))
    found = folds(split, 3)
    assert [f.held_out for f in found] == [split.held_out] * 3
    every = sorted(map(int, sum((f.validation for f in found), ())))
    assert every == list(range(22))
    for fold in found:
        assert not {groups[i] for i in fold.train} & {groups[i] for i in fold.validation}
        assert sorted([*fold.train, *fold.validation], key=int) == [str(n) for n in range(22)]
        assert 6 <= len(fold.validation) <= 9
    with raises_code("settings.folds.many", "8 folds", "7"):
        folds(split, 8)


@pytest.mark.parametrize("kind", ["folds", "snapshots"])
def test_members_are_trained_and_a_stopped_training_goes_on(
    kind: str, salt_folder: Path, tmp_path: Path
) -> None:
    begun: list[Any] = []
    out = tmp_path / "many"
    train = TrainTask(salt_folder, out, recipe("fast", QUICK))
    task = TrainMembersTask(train, kind, 2, begun.append)  # type: ignore[arg-type]
    many = run_inline(task)
    assert begun == [1, 2]
    assert sorted(p.name for p in out.iterdir()) == ["members", "settings.json", "split.json"]
    names = [m.name for m in many.members]
    assert names == [kind[:-1], kind[:-1]]
    whole = (out / "settings.json").read_text()
    parents = [
        json.loads((p / "settings.json").read_text())["provenance"]["parent"]
        for p in sorted((out / "members").iterdir())
    ]
    assert [bool(p) for p in parents] == [False, kind == "snapshots"]
    # As after a kill: the last member and the ensemble's own settings are not there yet.
    (out / "settings.json").unlink()
    shutil.rmtree(out / "members" / f"02-{kind[:-1]}")
    run_inline(replace(task, train=replace(train, resume=True)))
    assert begun == [1, 2, 2]
    again = json.loads((out / "settings.json").read_text())
    for content in (again, before := json.loads(whole)):
        content["provenance"].pop("seconds")
        for member in content["members"]:
            member.pop("hash")  # HDF5 keeps the time
    assert again == before


def test_the_command_line(
    models: list[Path], salt_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names, out = [str(m) for m in models], tmp_path / "many"
    made = ["ensemble", *names, "--out", str(out), "--choose", "weighted", "--data", str(salt_folder)]
    assert main([*made, "--flips", "horizontal"]) == 0
    assert "mean IoU on 8 images: this ensemble" in capsys.readouterr().out
    image = next((salt_folder / "test" / "images").iterdir())
    masks = tmp_path / "masks"
    assert main(["segment", str(image), "--model", str(out), "--out", str(masks), "--disagreement"]) == 0
    assert {p.name for p in masks.iterdir()} == {f"{image.stem}.png", f"{image.stem}_disagreement.tif"}
    import tifffile

    spread = tifffile.imread(masks / f"{image.stem}_disagreement.tif")
    assert spread.shape == decode_labels((masks / f"{image.stem}.png").read_bytes(), "m").shape
    assert 0 < spread.max() <= 0.5
    assert main(["evaluate", str(salt_folder), "--model", str(out), "--out", str(tmp_path / "r")]) == 0
    report = json.loads((tmp_path / "r" / "report.json").read_text())
    assert report["overall"]["images"] == 8
    capsys.readouterr()
    assert cli_error("train", salt_folder, "--out", tmp_path / "t", "--init", out).code == "model.ensemble"
    assert main([*made[:-2], "--choose", "greedy", "--overwrite"]) == 2
    assert "give one with --data" in capsys.readouterr().err


def test_the_window_s_session_uses_an_ensemble_but_does_not_teach_it(
    models: list[Path], salt: Dataset, tmp_path: Path
) -> None:
    run_inline(EnsembleTask(tuple(models), tmp_path / "many"))
    session = Session(InlineEngine(), lambda call: call())
    session.workspace.show(Collection(salt.name, salt.samples[:2], salt))
    session.workspace.load_model(tmp_path / "many")
    assert session.workspace.model is not None
    assert session.workspace.model.name == "many"
    session.segment([salt.samples[0].id])
    assert session.workspace.collection is not None
    assert session.workspace.collection.entries[salt.samples[0].id].status == "segmented"
    assert "no single network" in session.learning.obstacle()
    session.close()
