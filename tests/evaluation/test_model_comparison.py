"""Two models on the same images: what is said, what is counted, and the page."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.data.sample import ReferenceMask
from napari_unet.evaluation.report.comparison_page import caveats, summary, write_model_comparison
from napari_unet.evaluation.report.model_comparison import ModelComparison
from napari_unet.evaluation.report.report_data import ReportData
from napari_unet.evaluation.score import Evaluation
from napari_unet.settings import Recipe
from support.pages import SHAPE, half, read

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def findings(shares: Sequence[float], parts: Sequence[str]) -> ReportData:
    """Images foreground throughout, of which a share is found."""
    found = ReportData(Evaluation())
    for number, (share, part) in enumerate(zip(shares, parts, strict=True)):
        found.add(f"image {number}", f"group {number}", part, ReferenceMask(half(1)), half(share))
    return found


def duel(old: Sequence[float], new: Sequence[float], parts: Sequence[str] = ()) -> ModelComparison:
    parts = parts or ["unseen"] * len(old)
    return ModelComparison(("first", "second"), findings(old, parts), findings(new, ["unseen"] * len(new)))


def written(folder: Path, found: ModelComparison) -> str:
    image = np.random.default_rng(0).integers(0, 255, (*SHAPE, 1)).astype(np.uint8)
    write_model_comparison(
        folder,
        found,
        models=({"path": "a/first", "classes": ["x"]}, {"path": "<b>/second", "classes": ["x"]}),
        recipes=(Recipe(), Recipe()),
        data={"name": "a set", "path": "a/path"},
        settings={},
        galleries=found.galleries(lambda _: (image, ReferenceMask(half(1)))),
        command="napari-unet compare",
        versions=(("Python", "3"),),
        program="napari-unet-workbench 0",
    )
    return (folder / "compare.html").read_text(encoding="utf-8")


def test_a_model_that_is_better_everywhere_is_called_better() -> None:
    found = duel([0.25, 0.5, 0.25, 0.5, 0.25, 0.5], [0.5, 0.75, 0.5, 0.75, 0.5, 0.75])
    assert found.comparison.verdict == "better"
    assert found.comparison.difference == pytest.approx(0.25)
    said = summary(found)
    assert said[0] == (
        "second is better than first. "
        "On 6 images that neither has seen the mean IoU went from 0.375 to 0.625."
    )
    assert "The difference is +0.250 (95 % interval +0.250 to +0.250" in said[1]
    assert said[2] == "6 images are better, 0 worse, 0 the same within 0.001."


def test_the_table_begins_with_the_greatest_loss(tmp_path: Path) -> None:
    found = duel([0.5, 1.0, 0.5, 0.5], [0.75, 0.25, 0.5, 0.25])
    page = read(written(tmp_path, found))
    with (tmp_path / "compare.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [r["image"] for r in rows] == ["image 1", "image 3", "image 2", "image 0"]
    assert [float(r["difference"]) for r in rows] == [-0.75, -0.25, 0, 0.25]
    assert float(rows[0]["dice_new"]) == pytest.approx(0.4)
    report = json.loads((tmp_path / "compare.json").read_text())
    assert (report["comparison"]["wins"], report["comparison"]["losses"]) == (1, 2)
    assert report["old"]["mean_iou"] == pytest.approx(0.625)
    assert report["differences"]["dice"]["difference"] == pytest.approx(
        (0.857143 + 0.4 + 2 / 3 + 0.4) / 4 - 0.75
    )
    pictures = [a for tag, a in page.seen if tag == "img"]
    assert len(pictures) == 2 + 3 * 3  # plots; one gain and two losses, each plain and marked twice
    assert "IoU 1.000 before, 0.250 now" in page.text
    assert "<b>/second" in page.text


def test_images_that_either_has_seen_count_for_nothing() -> None:
    found = duel([0.5, 0.5, 0.5], [1.0, 0.5, 0.25], ["train", "unseen", "unseen"])
    assert found.fair
    assert found.comparison.images == ("image 1", "image 2")
    assert found.comparison.difference == pytest.approx(-0.125)
    every = duel([0.5, 0.5], [1.0, 0.5], ["train", "validation"])
    assert not every.fair
    assert len(every.comparison.images) == 2
    assert "has seen every one" in every.comparison.note
    # The terminal prints what the page warns of.
    assert "one of the two has seen every one of these images in training" in caveats(every)[0]
    unknown = duel([0.5] * 3, [0.6] * 3, ["not known"] * 3)
    assert "neither has seen" not in summary(unknown)[0]
    assert "It is not known whether one of the two has seen 3 images of these in training." in caveats(
        unknown
    )


def test_one_image_and_equal_models_make_a_report_too(tmp_path: Path) -> None:
    text = read(written(tmp_path, duel([0.5], [0.5]))).text
    assert "There is no clear difference between second and first" in text
    assert "too few to tell" in text


def two_kinds(right: bool) -> ReportData:
    """Five images with an object of either class; the second one is found in its class, or not at all."""
    found = ReportData(Evaluation(("small", "large")))
    reference = np.zeros(SHAPE, np.uint8)
    reference[1:3, 1:3], reference[1:3, 5:8] = 1, 2
    numbers = reference.astype(np.int32)
    predicted = reference if right else np.where(reference == 2, 0, reference).astype(np.uint8)
    for number in range(5):
        pair = numbers, predicted.astype(np.int32)
        found.add(
            f"image {number}", f"group {number}", "unseen", ReferenceMask(reference, numbers), predicted,
            objects=pair,
        )  # fmt: skip
    return found


def test_objects_of_each_class_are_compared(tmp_path: Path) -> None:
    found = ModelComparison(("first", "second"), two_kinds(False), two_kinds(True))
    said = summary(found)
    assert "Objects by class, F1@0.5: small +0.000, large +1.000." in said
    page = read(written(tmp_path, found))
    headings = ("F1@0.5, first", "F1@0.5, second", "AP, first", "PQ, second")
    assert all(heading in page.text for heading in headings)
