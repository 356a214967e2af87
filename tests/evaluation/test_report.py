from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.data.sample import ReferenceMask
from napari_unet.evaluation.report.report_files import notes, summary_lines, table_lines, write_report
from napari_unet.evaluation.score import Evaluation
from napari_unet.settings import EvaluationSettings
from support.errors import raises_code

if TYPE_CHECKING:
    from pathlib import Path

FULL = np.ones((2, 2), np.uint8)
HALF = np.array([[1, 1], [0, 0]], np.uint8)
NONE = np.zeros((2, 2), np.uint8)


def evaluation(parts: tuple[str, ...] = ("held-out",) * 3, **more: object) -> Evaluation:
    found = Evaluation(**more)  # type: ignore[arg-type]
    pairs = ((FULL, FULL), (FULL, HALF), (NONE, NONE))
    for name, part, (reference, predicted) in zip("abc", parts, pairs, strict=True):
        found.add(name, f"group {name}", part, ReferenceMask(reference), predicted)
    return found


def test_overall_scores_by_hand() -> None:
    overall = evaluation(competition="tgs-salt").overall()
    assert overall["images"] == 3
    assert overall["mean_iou"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert overall["mean_dice"] == pytest.approx((1 + 2 / 3 + 1) / 3)
    assert overall["pooled_iou"] == pytest.approx(6 / 8)
    assert overall["pixel_error"] == pytest.approx(2 / 12)
    assert overall["competition"]["score"] == pytest.approx((1 + 0 + 1) / 3)
    assert overall["ci95"]["mean_iou"] == [None, None]
    assert overall["no_interval"] == "no interval: 3 groups, at least 5 are needed"
    assert overall["seen_in_training"] is False


def test_images_that_were_trained_on_are_kept_out() -> None:
    found = evaluation(("train", "held-out", "validation"))
    assert found.overall()["images"] == 1
    assert found.overall()["mean_iou"] == 0.5
    assert "2 images were used in training" in notes(found)[0]
    every = evaluation(("train", "train", "validation"))
    assert every.overall()["images"] == 3
    assert every.overall()["seen_in_training"] is True
    assert "flatter" in notes(every)[0]


def test_empty_images_can_be_left_out_or_count_nothing() -> None:
    skip = evaluation(settings=EvaluationSettings(empty="skip")).overall()
    assert skip["mean_iou"] == pytest.approx(0.75)
    zero = evaluation(settings=EvaluationSettings(empty="zero")).overall()
    assert zero["mean_iou"] == pytest.approx(0.5)


def test_the_report_keeps_the_contract(tmp_path: Path) -> None:
    found = evaluation(("train", "held-out", "held-out"))
    path = write_report(tmp_path / "new" / "r", found, model={"m": 1}, data={}, settings={})
    report = json.loads(path.read_text())
    assert set(report) >= {"overall", "images", "model", "data", "settings", "overall_seen"}
    assert set(report["overall"]) >= {"mean_iou", "pooled_iou", "mean_dice", "images", "ci95"}
    assert report["model"] == {"m": 1}
    with (path.parent / "iou.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:6] == ["image", "group", "iou", "dice", "empty_reference", "empty_prediction"]
    assert [row["image"] for row in rows] == ["b", "a", "c"]  # worst first
    assert float(rows[0]["iou"]) == 0.5
    assert rows[2]["empty_reference"] == rows[2]["empty_prediction"] == "true"
    assert rows[1]["part"] == "train"


def test_numbers_that_do_not_exist_are_null_not_nan(tmp_path: Path) -> None:
    found = Evaluation(settings=EvaluationSettings(empty="skip"))
    found.add("a", "g", "unseen", ReferenceMask(NONE), NONE)
    path = write_report(tmp_path, found, model={}, data={}, settings={})
    report = json.loads(path.read_text())
    assert report["overall"]["mean_iou"] is None
    assert report["overall"]["ci95"]["mean_iou"] == [None, None]


def test_several_classes_have_a_column_each(tmp_path: Path) -> None:
    found = Evaluation(("nerve", "vessel"))
    found.add("a", "g", "unseen", ReferenceMask(np.array([[1, 2]], np.uint8)), np.array([[1, 1]], np.uint8))
    write_report(tmp_path, found, model={}, data={}, settings={})
    with (tmp_path / "iou.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["iou_nerve"]) == 0.5
    assert float(row["iou_vessel"]) == 0
    assert found.overall()["per_class"]["nerve"]["pooled_iou"] == 0.5


def test_a_folder_that_cannot_be_made_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with raises_code("output.unwritable"):
        write_report(tmp_path / "file" / "r", evaluation(), model={}, data={}, settings={})


def test_what_the_shell_shows() -> None:
    text = "\n".join([*table_lines(evaluation(), 2), *summary_lines(evaluation())])
    assert "b       0.500   0.667  held-out" in text
    assert "and 1 more, none worse" in text
    assert "mean IoU      0.833 (no interval: 3 groups, at least 5 are needed) over 3 images" in text
    assert "c" not in [line.split(" ")[0] for line in text.splitlines()]
    other = evaluation(settings=EvaluationSettings(confidence=0.9))
    for name in "defg":
        other.add(name, name, "held-out", ReferenceMask(np.ones((2, 2), np.uint8)), np.ones((2, 2), np.uint8))
    assert "(90 % interval" in summary_lines(other)[0]
    assert other.overall()["confidence"] == 0.9


@pytest.mark.parametrize(
    ("layout", "column", "values"),
    [("tgs-salt", "tgs_score", [0, 1, 1]), ("ultrasound-nerve", "nerve_score", [2 / 3, 1, 1])],
)
def test_a_competitions_score_has_its_column(
    tmp_path: Path, layout: str, column: str, values: list[float]
) -> None:
    write_report(tmp_path, evaluation(competition=layout), model={}, data={}, settings={})
    with (tmp_path / "iou.csv").open() as file:
        found = [float(row[column]) for row in csv.DictReader(file)]
    assert found == pytest.approx(values, abs=1e-6)
    competition = json.loads((tmp_path / "report.json").read_text())["overall"]["competition"]
    assert competition["score"] == pytest.approx(np.mean(values))
    assert set(competition) == {"name", "score"}


def test_other_data_sets_have_no_competition() -> None:
    assert "competition" not in evaluation(competition="isbi2012").overall()
    assert "competition" not in Evaluation(("a", "b"), competition="tgs-salt").overall()


def test_scores_per_class_by_hand() -> None:
    found = Evaluation(("nerve", "vessel"))
    one, two = np.array([[1, 1, 2, 0]], np.uint8), np.array([[1, 0, 0, 0]], np.uint8)
    found.add("a", "g", "unseen", ReferenceMask(one), two)
    found.add("b", "h", "unseen", ReferenceMask(two), two)
    overall = found.overall()
    nerve, vessel = overall["per_class"]["nerve"], overall["per_class"]["vessel"]
    assert nerve["mean_iou"] == pytest.approx((1 / 2 + 1) / 2)
    assert nerve["mean_dice"] == pytest.approx((2 / 3 + 1) / 2)
    assert nerve["pooled_iou"] == pytest.approx(2 / 3)
    assert nerve["pooled_dice"] == pytest.approx(4 / 5)
    # The vessel is in neither mask of the second image, which does not count for it.
    assert vessel["mean_iou"] == vessel["mean_dice"] == 0
    assert overall["mean_iou"] == pytest.approx(((1 / 2 + 0) / 2 + 1) / 2)
    assert overall["pooled_iou"] == pytest.approx(2 / 4)
    assert set(overall["ci95"]) == {"mean_iou", "mean_dice", "pooled_iou"}


def test_object_scores_per_class_by_hand() -> None:
    """Of the first class one is found and one missed; that of the second is found in the wrong class."""
    found = Evaluation(("small", "large"))
    reference = np.zeros((6, 12), np.uint8)
    reference[1:3, 1:3] = reference[4, 4:6] = 1
    reference[1:5, 7:11] = 2
    numbers = np.where(reference == 2, 3, reference).astype(np.int32)
    numbers[4, 4:6] = 2
    predicted = np.zeros_like(reference)
    predicted[1:3, 1:3] = predicted[1:5, 7:11] = 1
    theirs = np.where(predicted > 0, numbers, 0)
    found.add("a", "g", "unseen", ReferenceMask(reference, numbers), predicted, (numbers, theirs))
    small, large = found.overall()["per_class"].values()
    # Of the first class one hit, one missed, one too many: 2 / 4, and 1 / 3 at every threshold.
    assert small["f1_50"] == pytest.approx(1 / 2)
    assert small["ap"] == pytest.approx(1 / 3)
    assert small["pq"] == pytest.approx(1 / 2)
    assert large["f1_50"] == large["ap"] == large["pq"] == 0
    assert found.overall()["scores"]["f1_50"]["pooled"] == pytest.approx(2 / 5)
    found.add("b", "h", "unseen", ReferenceMask(reference, numbers), reference, (numbers, numbers))
    small, large = found.overall()["per_class"].values()
    assert large["f1_50"] == pytest.approx(
        2 / 3
    )  # over both images: 1 hit of 1 predicted and 2 in the reference


def test_what_callers_tell_is_made_valid_json(tmp_path: Path) -> None:
    model = {"loss": [np.float32(0.5), float("nan"), float("inf")], "path": tmp_path, "n": np.int64(3)}
    path = write_report(tmp_path, evaluation(), model=model, data={"k": {1: (True,)}}, settings={})

    def refuse(word: str) -> None:
        raise AssertionError(word)

    report = json.loads(path.read_text(), parse_constant=refuse)
    assert report["model"] == {"loss": [0.5, None, None], "path": str(tmp_path), "n": 3}
    assert report["data"] == {"k": {"1": [True]}}


def test_an_image_of_which_nothing_is_known_comes_last_and_counts_for_nothing(tmp_path: Path) -> None:
    found = Evaluation()
    found.add("d", "g", "unseen", ReferenceMask(FULL, weights=np.zeros((2, 2), np.float32)), NONE)
    found.scores.extend(evaluation().scores)
    write_report(tmp_path, found, model={}, data={}, settings={})
    with (tmp_path / "iou.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    assert (last["image"], last["iou"], last["pixel_error"]) == ("d", "", "")
    assert found.overall()["mean_iou"] == evaluation().overall()["mean_iou"]


def test_neither_file_changes_when_one_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_report(tmp_path, evaluation(), model={"n": 1}, data={}, settings={})
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    write = type(tmp_path).write_text

    def full(self: Path, text: str, **more: str) -> int:
        if self.suffix == ".json":
            raise OSError(28, "No space left on device")
        return write(self, text, **more)

    monkeypatch.setattr(type(tmp_path), "write_text", full)
    changed = evaluation(("train", "held-out", "held-out"))
    with raises_code("output.unwritable", "report.json", "No space left"):
        write_report(tmp_path, changed, model={"n": 2}, data={}, settings={})
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
