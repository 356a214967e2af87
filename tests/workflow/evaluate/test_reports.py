"""Reports on disk and scores of kept predictions, with tiny models on a made-up set."""

from __future__ import annotations

import csv
import html
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.data.catalog import open_dataset
from napari_unet.engine.inline import InlineEngine, run_inline
from napari_unet.errors import Cancelled, OutputError
from napari_unet.models.card import ModelCard
from napari_unet.progress import CancelToken, Progress
from napari_unet.session.images.collection import Collection
from napari_unet.session.quality.score_table import ScoreTable
from napari_unet.session.session import Session
from napari_unet.workflow.evaluate.compare_task import CompareReportTask, names_of
from napari_unet.workflow.evaluate.evaluate_task import EvaluateTask
from napari_unet.workflow.evaluate.shell_commands import training_command
from support.errors import raises_code
from support.tiny_models import provenance_of, write_tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def salt(salt_tiles: Callable[[int], Path]) -> Path:
    return salt_tiles(10)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, salt: Path) -> dict[str, Path]:
    """grey: trained on the first four of the salt set; other: on none of it; two: of two classes."""
    folder = tmp_path_factory.mktemp("models")
    dataset = open_dataset(salt)
    ids = [s.id for s in dataset.samples]
    return {
        "grey": write_tiny_model(folder / "grey", provenance=provenance_of(dataset, ids[:4], ids[4:])),
        "other": write_tiny_model(folder / "other", seed=3),
        "two": write_tiny_model(folder / "two", classes=("one", "two"), seed=1),
    }


def table(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        return {row["image"]: row for row in csv.DictReader(file)}


def test_evaluate_writes_a_page_that_tells_seen_from_unseen(
    salt: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    found = run_inline(EvaluateTask(salt, tmp_path, models["grey"]))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["iou.csv", "report.html", "report.json"]
    page = (tmp_path / "report.html").read_text()
    assert "4 images that the model has seen in training" in page
    assert "The worst" in page
    assert f"napari-unet evaluate {salt} --model {models['grey']}" in page
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["threshold_curve"]["images"] == len(found.unseen) == 6
    # Nothing is dropped here, so the curve at the threshold used is the score.
    used = round(100 * report["threshold_curve"]["used"])
    assert report["threshold_curve"]["mean_iou"][used] == pytest.approx(report["overall"]["mean_iou"])
    assert "problems" in report and report["versions"]["keras"]


def test_compare_judges_on_what_neither_has_seen(salt: Path, models: dict[str, Path], tmp_path: Path) -> None:
    told: list[Progress] = []
    task = CompareReportTask(salt, models["grey"], models["other"], tmp_path)
    duel = run_inline(task, told.append)
    assert len(duel.comparison.images) == 6
    rows = table(tmp_path / "compare.csv")
    assert len(rows) == 10
    alone = run_inline(EvaluateTask(salt, tmp_path / "alone", models["other"]))
    for score in alone.scores:
        assert float(rows[score.image]["iou_new"]) == pytest.approx(score.iou, abs=1e-6)
    # Whether every file can be read is a stage of its own; then both models are one bar.
    comparing = [p for p in told if p.message == "Comparing"]
    assert [p.total for p in comparing] == [20] * 20
    assert [p.done for p in comparing] == list(range(1, 21))
    assert told[-20:] == comparing
    assert {p.message for p in told[:-20]} <= {"Reading"}
    assert "compare" in (tmp_path / "compare.html").read_text()


def test_models_of_other_classes_are_not_compared(
    salt: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    with raises_code("model.classes.different"):
        run_inline(CompareReportTask(salt, models["grey"], models["two"], tmp_path / "r"))
    assert not list((tmp_path / "r").iterdir())


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs a person without all rights")
def test_a_read_only_folder_is_refused_before_the_work(
    salt: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            run_inline(EvaluateTask(salt, tmp_path, models["grey"]), lambda _: pytest.fail("worked"))
    finally:
        tmp_path.chmod(0o700)


def test_a_place_that_is_no_folder_is_refused_before_the_work(
    salt: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with raises_code("output.unwritable"):
        run_inline(
            CompareReportTask(salt, models["grey"], models["other"], tmp_path / "file" / "r"),
            lambda _: pytest.fail("worked"),
        )


def test_what_is_cancelled_leaves_the_report_before_as_it_was(
    salt: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    run_inline(EvaluateTask(salt, tmp_path, models["grey"], inspect=False))
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    cancel = CancelToken()

    def stop(progress: Progress) -> None:
        if progress.message == "Scoring" and progress.done == 5:
            cancel.cancel()

    with pytest.raises(OutputError, match="would be replaced"):
        run_inline(EvaluateTask(salt, tmp_path, models["other"]), stop, cancel)
    with pytest.raises(Cancelled):
        run_inline(EvaluateTask(salt, tmp_path, models["other"], overwrite=True), stop, cancel)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_data_without_masks_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "images").mkdir()
    for number in range(2):
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "images" / f"{number}.png")
    with raises_code("data.masks.missing"):
        run_inline(EvaluateTask(tmp_path, tmp_path / "r", models["grey"]))


def test_models_of_one_name_are_told_apart_by_their_folders() -> None:
    assert names_of(Path("/a/one"), Path("/b/two.zip")) == ("one", "two")
    assert names_of(Path("/a/model"), Path("/b/model")) == ("a/model", "b/model")


def test_the_command_that_repeats_a_training_has_what_was_changed() -> None:
    from napari_unet.workflow.train.recipes import recipe

    assert training_command(recipe("fast"), "DATA", "OUT") == "napari-unet train DATA --out OUT --recipe fast"
    changed = recipe("fast", ["filters=32", "minutes=2"])
    line = training_command(changed, "my data", "OUT")
    assert "'my data'" in line
    assert recipe("fast", [w for w in line.split() if "=" in w]) == changed
    assert training_command(changed.model_copy(update={"name": "mine"}), "DATA", "OUT") == ""


# from the window


def at_once(function: Callable[[], None]) -> None:
    function()


@pytest.fixture
def session(salt: Path, models: dict[str, Path]) -> Iterator[Session]:
    session = Session(InlineEngine(), at_once)
    dataset = open_dataset(salt)
    session.workspace.show(Collection("salt", dataset.samples, dataset))
    session.workspace.choose_model(ModelCard.read(models["grey"]))
    yield session
    session.close()


def ids(session: Session) -> tuple[str, ...]:
    assert session.workspace.collection is not None
    return session.workspace.collection.ids


def test_the_board_scores_what_the_model_predicted_and_keeps_seen_images_apart(session: Session) -> None:
    board = ScoreTable(session.workspace, session.runner, session.history)
    board.watch(True)
    assert board.rows() == []
    session.segment(ids(session))
    assert board.stale == 0
    rows = {s.id: s for s in board.rows()}
    assert set(rows) == set(ids(session))
    for identifier, found in rows.items():
        assert found.row["iou"] == pytest.approx(session.workspace.row(identifier).iou)
        assert {"dice", "precision", "recall"} <= set(found.row)
    counted, seen = board.counted()
    assert (len(counted), seen) == (6, False)
    curve = board.curve()
    assert curve is not None
    assert curve.images == 6
    assert curve.at(session.workspace.inference.threshold) == pytest.approx(board.mean_iou())


def test_another_threshold_is_scored_anew_and_only_then(session: Session) -> None:
    board = ScoreTable(session.workspace, session.runner, session.history)
    board.watch(True)
    session.segment(ids(session))
    before = {s.id: s for s in board.rows()}
    board.refresh()
    assert all(before[s.id] is s for s in board.rows())
    session.workspace.set_postprocessing(0.9, 0)
    assert board.stale == 10
    curve = board.curve()
    board.refresh()
    assert board.stale == 0
    assert curve is not None
    # What the curve promised is what the masks made with that threshold score.
    assert board.mean_iou() == pytest.approx(curve.at(0.9))


def test_a_threshold_other_than_the_models_own_is_said_wherever_a_score_is(
    session: Session, salt: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    note = (
        "threshold 0.7 instead of the model's own 0.5: chosen while these images were looked at, "
        "so the scores flatter the model"
    )
    session.segment(ids(session))
    board = ScoreTable(session.workspace, session.runner, session.history)
    assert session.workspace.threshold_note == ""
    board.write_report(tmp_path / "own", lambda _: None)
    rows = table(tmp_path / "own" / "iou.csv")
    assert all("threshold_note" not in row for row in rows.values())
    assert "threshold 0.7" not in (tmp_path / "own" / "report.html").read_text()
    session.workspace.set_postprocessing(0.7, 0)
    assert session.workspace.threshold_note == note
    board.write_report(tmp_path / "window", lambda _: None)
    own = ModelCard.read(models["grey"]).recipe.inference
    inference = own.model_copy(update={"threshold": 0.7})
    run_inline(EvaluateTask(salt, tmp_path / "shell", models["grey"], inference=inference))
    for place in ("window", "shell"):
        rows = table(tmp_path / place / "iou.csv")
        assert len(rows) == 10
        assert all(row["threshold_note"] == note for row in rows.values())
        report = json.loads((tmp_path / place / "report.json").read_text())
        assert f"T{note[1:]}." in report["notes"]
        assert all("threshold_note" not in row for row in report["images"])
        page = html.unescape((tmp_path / place / "report.html").read_text())
        assert f"T{note[1:]}." in page
    session.workspace.set_postprocessing(0.5, 0)
    assert session.workspace.threshold_note == ""


def test_nothing_is_scored_while_nobody_looks(session: Session) -> None:
    board = ScoreTable(session.workspace, session.runner, session.history)
    session.segment(ids(session))
    assert board.rows() == []
    board.watch(True)
    assert len(board.rows()) == 10
    session.workspace.choose_model(None)
    assert board.rows() == []


def test_painted_masks_are_never_counted_as_the_models(session: Session, tmp_path: Path) -> None:
    board = ScoreTable(session.workspace, session.runner, session.history)
    board.watch(True)
    session.segment(ids(session))
    before = board.mean_iou()
    first = next(i for i in ids(session) if session.workspace.row(i).part not in ("train", "validation"))
    assert session.workspace.collection is not None
    reference = session.workspace.collection.reference(first)
    assert reference is not None
    session.painting.correct(first, reference.labels.copy())
    assert session.workspace.row(first).iou == 1.0
    board.refresh()
    assert board.mean_iou() == before
    pages: list[Any] = []
    board.write_report(tmp_path / "r", pages.append)
    assert pages == [tmp_path / "r" / "report.html"]
    report = json.loads((tmp_path / "r" / "report.json").read_text())
    assert report["overall"]["mean_iou"] == pytest.approx(before)
    assert report["settings"]["corrected"] == 1
    assert "1 image of these has a mask that a person corrected" in pages[0].read_text()


def test_the_windows_report_equals_that_of_the_shell(
    session: Session, salt: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    session.segment(ids(session))
    ScoreTable(session.workspace, session.runner, session.history).write_report(
        tmp_path / "window", lambda _: None
    )
    run_inline(EvaluateTask(salt, tmp_path / "shell", models["grey"]))
    window, shell = (json.loads((tmp_path / n / "report.json").read_text()) for n in ("window", "shell"))
    assert window["overall"] == shell["overall"]
    assert window["images"] == shell["images"]
    assert window["threshold_curve"] == shell["threshold_curve"]
    assert window["problems"] == shell["problems"]


def test_images_that_were_not_segmented_are_told_of(session: Session, tmp_path: Path) -> None:
    session.segment(ids(session)[:7])
    board = ScoreTable(session.workspace, session.runner, session.history)
    board.write_report(tmp_path, lambda _: None)
    page = (tmp_path / "report.html").read_text()
    assert "3 images with a reference were not segmented and are not in this report." in page
    assert "napari-unet evaluate" not in page  # it would give another report


def test_probabilities_that_are_gone_are_told_of(session: Session, tmp_path: Path) -> None:
    session.segment(ids(session))
    assert session.workspace.collection is not None
    for identifier in ids(session)[:2]:
        prediction = session.workspace.collection.entries[identifier].prediction
        assert prediction is not None
        assert prediction.file is not None
        prediction.file.unlink()
    board = ScoreTable(session.workspace, session.runner, session.history)
    board.watch(True)
    assert sum(bool(s.problem) for s in board.rows()) == 2
    board.write_report(tmp_path, lambda _: None)
    assert "2 images could not be scored: the probabilities of" in (tmp_path / "report.html").read_text()


def test_without_predictions_there_is_no_report(session: Session, tmp_path: Path) -> None:
    assert (
        ScoreTable(session.workspace, session.runner, session.history).write_report(tmp_path, lambda _: None)
        is None
    )
    assert not list(tmp_path.iterdir())
