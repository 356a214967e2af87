"""The page of a report: what it says in words, what it holds, that nothing in it can do harm."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.data.sample import ReferenceMask
from napari_unet.evaluation.report.methods_text import methods
from napari_unet.evaluation.report.report_data import ReportData
from napari_unet.evaluation.report.report_files import write_report
from napari_unet.evaluation.report.report_page import Background
from napari_unet.evaluation.report.summary_text import summary, warnings
from napari_unet.evaluation.score import Evaluation
from napari_unet.settings import EvaluationSettings, Recipe
from support.errors import raises_code
from support.pages import SHAPE, half, read

if TYPE_CHECKING:
    from pathlib import Path


def findings(count: int = 24, part: str = "held-out", **more: Any) -> ReportData:
    """Images a half of which is foreground; of the n-th, a quarter to all of it is found."""
    found = ReportData(Evaluation(**more))
    for number in range(count):
        mask = half((1, 2, 3, 4)[number % 4] / 8)
        likely = np.where(mask, 0.9, 0.1).astype(np.float32)[..., None]
        found.add(f"image {number}", f"group {number}", part, ReferenceMask(half(0.5)), mask, likely)
    return found


def written(folder: Path, found: ReportData, **more: Any) -> str:
    images = np.random.default_rng(0).integers(0, 255, (*SHAPE, 1)).astype(np.uint8)
    background = Background(
        title="a model on a set",
        program="napari-unet-workbench 0",
        curve=found.threshold_curve(),
        reliable=found.reliability(),
        threshold=0.5,
        galleries=found.galleries(lambda _: (images, ReferenceMask(half(0.5)))),
        **{"recipe": Recipe(), **more},
    )
    about: dict[str, Any] = {"name": "a set", "path": "a/path"}
    write_report(folder, found.evaluation, model={}, data=about, settings={}, background=background)
    return (folder / "report.html").read_text(encoding="utf-8")


def test_the_page_is_one_file_that_asks_nothing_of_a_network(tmp_path: Path) -> None:
    page = read(written(tmp_path, findings()))
    pictures = [a["src"] for tag, a in page.seen if tag == "img"]
    assert len(pictures) == 4 + 2 * 18  # plots; worst, middle and best, each plain and marked
    assert all(str(p).startswith("data:image/") for p in pictures)
    assert not [a for _, a in page.seen if a.get("href") or (a.get("src") and a["src"] not in pictures)]
    policy = next(a["content"] for tag, a in page.seen if a.get("http-equiv"))
    assert str(policy).startswith("default-src 'none'")
    for words in ("Mean IoU", "image 0", "The worst", "Around the median", "The best", "Versions"):
        assert words in page.text


def test_names_of_files_are_only_ever_text(tmp_path: Path) -> None:
    found = ReportData(Evaluation(("<b>class</b>", "b")))
    name = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}$x^2$"
    for number in range(3):
        found.add(f"{name} {number}", f"<i>{number}", "unseen", ReferenceMask(half(0.5)), half(0.25))
    problems = ({"message": f"{name} is odd", "remedy": name, "names": (name,)},)
    page = read(written(tmp_path, found, problems=problems, commands=(name,), remarks=(name,)))
    assert sum(tag == "script" for tag, _ in page.seen) == 1
    assert not [a for _, a in page.seen if "onerror" in a]
    assert f"{name} 0" in page.text
    assert "<b>class</b>" in page.text


def test_the_summary_says_how_good_on_what_and_where_it_fails() -> None:
    said = summary(findings().evaluation)
    assert said[0].startswith("On 24 images that the model has not seen the masks overlap the references")
    assert "mean IoU of 0.625 (95 % interval 0." in said[0]
    assert said[1] == "Half of the images score 0.625 or more; 6 (25%) score below 0.5."
    assert "All in all it marks 38% less than there is." in said
    assert "model" not in summary(findings().evaluation, of_model=False)[0]


def test_the_summary_tells_of_what_is_missed_invented_and_small() -> None:
    found = Evaluation()
    for number in range(18):
        size = (number % 3 + 1) / 8
        # What is small is missed, what is larger found.
        mask = half(0 if number % 3 == 0 else size)
        found.add(f"{number}", f"{number}", "unseen", ReferenceMask(half(size)), mask)
    found.add("nothing", "nothing", "unseen", ReferenceMask(half(0)), half(1))
    text = " ".join(summary(found))
    assert "In 6 of the 18 images with something in them it found nothing at all." in text
    assert "In the one image with nothing in it it found something." in text
    assert (
        "Images with little foreground score worse. The third with the least foreground (at most 12.5% of "
        "the pixels) has a mean IoU of 0.000, the third with the most 1.000." in text
    )


def test_classes_and_groups_that_stand_out_are_named() -> None:
    found = Evaluation(("nerve", "vessel", "bone"))
    for number in range(12):
        truth = np.array([[1, 1, 2, 2]], np.uint8)
        mask = np.array([[1, 1, 2, 0]] if number < 9 else [[0, 0, 0, 0]], np.uint8)
        found.add(f"{number}", f"subject {number // 3}", "unseen", ReferenceMask(truth), mask)
    text = " ".join(summary(found))
    assert "The best class is nerve (0.750), the worst vessel (0.375)." in text
    assert "Nothing is known of bone" in text
    assert "The weakest group with three images or more is subject 3: 0.000 over 3 images." in text


def test_warnings_of_what_makes_scores_less_than_they_seem() -> None:
    assert warnings(findings().evaluation) == []
    assert "flatter" in warnings(findings(part="train").evaluation)[0]
    assert warnings(findings(3).evaluation) == [
        "How far the score could be off is not known: no interval: 3 groups, at least 5 are needed."
    ]
    assert warnings(findings(6).evaluation) == [
        "6 images of 6 groups are few: another draw could give another score."
    ]
    one = Evaluation()
    one.add("a", "g", "unseen", ReferenceMask(half(0.5)), half(0.5))
    assert "no interval: 1 group, at least 5 are needed" in warnings(one)[0]
    both = findings().evaluation
    both.add("seen", "g", "train", ReferenceMask(half(0.5)), half(0.5))
    assert warnings(both) == []
    assert "1 image that the model was trained or chosen on is listed" in summary(both)[-1]


@pytest.mark.parametrize("rule", ["one", "zero", "skip"])
def test_images_with_nothing_in_them_make_a_report_too(tmp_path: Path, rule: str) -> None:
    found = ReportData(Evaluation(settings=EvaluationSettings(empty=rule)))
    for number in range(3):
        likely = np.zeros((*SHAPE, 1), np.float32)
        found.add(f"{number}", f"{number}", "unseen", ReferenceMask(half(0)), half(0), likely)
    text = read(written(tmp_path, found)).text
    expected = {"one": "mean IoU of 1.000", "zero": "mean IoU of 0.000", "skip": "nothing that a score"}
    assert expected[rule] in text
    assert "In all 3 images with nothing in them it rightly found nothing" in text


def test_one_image_makes_a_report_too(tmp_path: Path) -> None:
    text = read(written(tmp_path, findings(1))).text
    assert "On 1 image that the model has not seen" in text
    assert "no interval: 1 group, at least 5 are needed" in text


def test_an_image_of_which_no_pixel_counts_makes_a_report_too(tmp_path: Path) -> None:
    found = ReportData(Evaluation())
    unknown = ReferenceMask(half(1), weights=np.zeros(SHAPE, np.float32))
    found.add("a", "g", "unseen", unknown, half(0), np.zeros((*SHAPE, 1), np.float32))
    assert "nothing that a score could be of" in read(written(tmp_path, found)).text


def test_seen_images_stand_apart_in_the_page(tmp_path: Path) -> None:
    found = findings()
    for number in range(5):
        found.add(f"seen {number}", "g", "train", ReferenceMask(half(0.5)), half(0.5))
    page = written(tmp_path, found)
    counted, apart = page.split("5 images that the model has seen in training")
    assert "seen 0" not in counted
    assert apart.count('class="seen"') == 5
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["threshold_curve"]["images"] == 24
    assert report["threshold_curve"]["mean_iou"][50] == pytest.approx(0.625)
    assert report["reliability"]["expected_calibration_error"] > 0


def test_a_large_set_keeps_the_page_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_unet.evaluation.report.report_tables.MOST_CELLS", 900)
    page = written(tmp_path, findings(400))
    rows = page.count('<td class="id">image ')
    assert 20 <= rows <= 150
    assert f"{400 - rows:,} more are in iou.csv" in page
    assert (tmp_path / "iou.csv").read_text().count("\n") == 401


def test_none_of_the_three_files_changes_when_one_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, findings())
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert set(before) == {"iou.csv", "report.json", "report.html"}
    write = type(tmp_path).write_text

    def full(self: Path, text: str, **more: str) -> int:
        if self.suffix == ".html":
            raise OSError(28, "No space left on device")
        return write(self, text, **more)

    monkeypatch.setattr(type(tmp_path), "write_text", full)
    with raises_code("output.unwritable", "report.html", "No space left"):
        written(tmp_path, findings(5))
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_the_methods_paragraph_cites_what_was_used() -> None:
    provenance = {
        "split": {"train": ["a"] * 100, "validation": ["b"] * 10},
        "data": {"name": "salt"},
        "keras": "3.15 on tensorflow",
        "steps": 1234,
    }
    text, works = methods(findings().evaluation, Recipe(), provenance, "program 1", "salt")
    assert "Images were segmented with a U-Net [1] (depth 4, 16 filters in the first level" in text
    assert "trained on 100 images of salt with Keras 3.15 on tensorflow for 1,234 steps by AdamW" in text
    assert "Weights were chosen on 10 further images; no group was in more than one part" in text
    assert (
        "On 24 images of salt that took no part in training the mean intersection over union was 0.625"
        in text
    )
    assert works[0].startswith("Ronneberger") and "doi:10.1007/978-3-319-24574-4_28" in works[0]
    cited = {int(n) for group in re.findall(r"\[([\d, ]+)\]", text) for n in group.split(",")}
    assert cited == set(range(1, len(works) + 1))


@pytest.mark.parametrize(
    ("inference", "separation", "words"),
    [
        ({}, "distance", "thresholded at 0.5."),
        ({"least_depth": 0.45}, "border", "thresholded at 0.5."),
        (
            {"least_depth": 0.45},
            "distance",
            "thresholded at 0.5, and pieces nowhere deeper than 0.45 by its output were dropped.",
        ),
        (
            {"least_depth": 0.45, "minimum_size": 8},
            "distance",
            "and pieces nowhere deeper than 0.45 by its output or of fewer than 8 pixels were dropped.",
        ),
    ],
)
def test_the_methods_paragraph_says_which_pieces_are_dropped(
    inference: dict[str, float], separation: str, words: str
) -> None:
    recipe = Recipe.model_validate({"network": {"separation": separation}, "inference": inference})
    text, _ = methods(findings().evaluation, recipe, {}, "program 1", "salt")
    assert words in text


def test_the_methods_paragraph_names_whose_weights_were_started_from() -> None:
    weights = {"title": "ImageNet weights of EfficientNet-Lite0", "source": "arXiv:1905.11946"}
    text, works = methods(findings().evaluation, Recipe(), {"pretrained": weights}, "program 1", "salt")
    number = next(n for n, work in enumerate(works, 1) if work.startswith("Tan M, Le QV. EfficientNet"))
    assert f"trained, its encoder starting from ImageNet weights of EfficientNet-Lite0 [{number}], by" in text
    later = {"pretrained": weights, "parent": "model"}
    text, _ = methods(findings().evaluation, Recipe(), later, "program 1", "salt")
    assert "trained, starting from the weights of an earlier model, by" in text


def test_the_methods_paragraph_tells_of_fine_tuning() -> None:
    about = {"parent": "model", "replay": "rehearsal set", "line": {"point": 0.75}}
    text, works = methods(findings().evaluation, Recipe(), about, "program 1", "salt")
    number = next(n for n, work in enumerate(works, 1) if work.startswith("Wortsman M"))
    assert "crops of the earlier training images were replayed against forgetting" in text
    assert f"75 % of the way from the earlier ones to the fine-tuned ones [{number}]." in text
    whole = {**about, "line": {"point": 1.0}, "replay": "own predictions"}
    text, works = methods(findings().evaluation, Recipe(), whole, "program 1", "salt")
    assert "the earlier model's own predictions were replayed against forgetting." in text
    assert not [w for w in works if w.startswith("Wortsman")]


def test_given_masks_have_methods_without_a_network() -> None:
    text, works = methods(findings().evaluation, None, {}, "program 1", "salt")
    assert text.startswith("Given masks were scored with program 1")
    assert "took no part in training" not in text
    assert not [w for w in works if "Ronneberger" in w]
