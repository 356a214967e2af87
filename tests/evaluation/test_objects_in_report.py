"""A report measures the objects that it scores, with the columns of exports."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.files.pixel_size import PixelSize
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.evaluation.report.object_section import object_section
from napari_unet.evaluation.report.report_data import ReportData
from napari_unet.evaluation.report.report_files import write_report
from napari_unet.evaluation.report.report_page import Background, model_facts
from napari_unet.evaluation.score import Evaluation
from napari_unet.metrics.measurement_rows import measurement_names
from napari_unet.metrics.object_confidence import EVIDENCE, KEY, ObjectConfidence
from napari_unet.settings import Recipe
from napari_unet.workflow.evaluate.predicted_masks import Predicted, measures_of

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.metrics.object_measures import ObjectTable


def report(folder: Path, *, objects: bool) -> str:
    mask = np.zeros((12, 12), np.uint8)
    mask[1:5, 1:5], mask[6:8, 2:10] = 1, 1
    numbers = np.zeros(mask.shape, np.int32)
    numbers[1:5, 1:5], numbers[6:8, 2:10] = 1, 2
    findings = ReportData(Evaluation(("nucleus",)))
    reference = ReferenceMask(mask, numbers if objects else None)
    for name in ("a", "b"):
        found = (numbers, numbers) if objects else None
        findings.add(name, name, "unseen", reference, mask, None, found)
    background = Background("Title", "program", objects=findings.objects)
    write_report(folder, findings.evaluation, model={}, data={}, settings={}, background=background)
    return (folder / "report.html").read_text(encoding="utf-8")


def test_objects_are_measured_in_a_table_and_a_sentence(tmp_path: Path) -> None:
    page = report(tmp_path, objects=True)
    assert "The masks of 2 images have 4 nuclei, median area 16 px." in page
    with (tmp_path / "objects.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == measurement_names(0)
    assert [(r["image"], r["object"], r["class"], r["area_px"]) for r in rows] == [
        ("a", "1", "nucleus", "16"), ("a", "2", "nucleus", "16"),
        ("b", "1", "nucleus", "16"), ("b", "2", "nucleus", "16"),
    ]  # fmt: skip
    assert float(rows[1]["eccentricity"]) > 0.9
    assert (rows[0]["confidence"], rows[0]["unit"]) == ("", "")


def squares() -> tuple[Any, Any]:
    """Squares of 4 and of 2 pixels: the mask, and the objects."""
    numbers = np.zeros((12, 12), np.int32)
    numbers[1:5, 1:5], numbers[7:9, 2:4] = 1, 2
    return np.where(numbers == 2, 2, numbers).astype(np.uint8), numbers


def look() -> ObjectTable:
    """As an evaluation measures: with intensities, probabilities and the size of a pixel."""
    mask, numbers = squares()
    image = np.arange(144, dtype=np.uint16).reshape(12, 12, 1)
    said = np.stack([(mask == label) * share for label, share in ((1, 0.75), (2, 0.5))], axis=-1)
    found = Predicted(Sample("a", lambda: image), mask, lambda: numbers, said.astype(np.float32))
    return measures_of(found, numbers, ("cell", "dot"), None, size=PixelSize(0.5, 0.25, "µm"))


def test_a_report_has_confidence_intensities_and_physical_units(tmp_path: Path) -> None:
    mask, numbers = squares()
    empty = np.zeros_like(mask)
    findings = ReportData(Evaluation(("cell", "dot")))
    reference = ReferenceMask(mask, numbers)
    findings.add("a", "a", "unseen", reference, mask, None, (numbers, numbers), look)
    findings.add("b", "b", "unseen", reference, empty, None, (numbers, empty.astype(np.int32)))
    background = Background("Title", "program", objects=findings.objects)
    write_report(tmp_path, findings.evaluation, model={}, data={}, settings={}, background=background)
    with (tmp_path / "objects.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == measurement_names(1, 2)
    names = ("class", "tie", "area", "unit", "confidence", "intensity_mean", "intensity_max")
    # 16 and 4 pixels of 0.5 x 0.25 µm; the mean of rows 1 to 4 and columns 1 to 4 is 2.5 * 12 + 2.5.
    assert [tuple(r[n] for n in names) for r in rows] == [
        ("cell", "", "2", "µm", "0.75", "32.5", "52"), ("dot", "", "0.5", "µm", "0.5", "92.5", "99"),
    ]  # fmt: skip
    stored = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["objects"]
    assert stored == [
        {"image": "a", "objects": 2, "cell": 1, "dot": 1, "median_area_px": 10.0, "median_area": 1.25,
         "unit": "µm", "mean_confidence": 0.625},
        {"image": "b", "objects": 0, "cell": 0, "dot": 0, "median_area_px": None, "median_area": None,
         "unit": "", "mean_confidence": None},
    ]  # fmt: skip
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    section = page[page.index("<h2>Objects</h2>") :]
    assert "How many objects an image has" in section
    assert "2 images: 0 to 2, median 1." in section
    assert section.count('<img src="data:image/svg+xml;base64,') == 2
    assert "1.25 µm²" in section


def test_the_least_certain_object_comes_first() -> None:
    found = object_section({"a": look()}, ("cell", "dot"))
    assert found is not None
    titles = [column["title"] for column in found["table"]["columns"]]
    assert titles[:5] == ["Image", "Object", "Class", "Confidence", "Area (px)"]
    first, second = (row["cells"] for row in found["table"]["rows"])
    assert first[:5] == ["a", "2", "dot", "0.500", "4"]
    assert second[:5] == ["a", "1", "cell", "0.750", "16"]
    assert found["table"]["title"] == "2 objects, least certain first"
    assert object_section({}, ("cell",)) is None


def test_a_report_says_what_the_confidence_was_measured_on() -> None:
    ones = np.ones(len(EVIDENCE))
    own = ObjectConfidence(ones, ones, ones, 0.0, np.array([0.0]), np.array([0.5]), 60, 5, "nuclei")
    facts = dict(model_facts(Recipe(), {KEY: own.to_json()}, {}))
    words = "measured on 60 objects of 5 validation images of the model nuclei"
    assert facts["Confidence of objects"] == words
    assert "Confidence of objects" not in dict(model_facts(Recipe(), {}, {}))


def test_where_objects_are_not_scored_there_is_no_table(tmp_path: Path) -> None:
    page = report(tmp_path, objects=False)
    assert "median area" not in page
    assert sorted(path.name for path in tmp_path.iterdir()) == ["iou.csv", "report.html", "report.json"]
