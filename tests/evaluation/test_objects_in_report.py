"""A report measures the objects that it scores, with the columns of exports."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.sample import ReferenceMask
from napari_unet.evaluation.report.report_data import ReportData
from napari_unet.evaluation.report.report_files import write_report
from napari_unet.evaluation.report.report_page import Background
from napari_unet.evaluation.score import Evaluation
from napari_unet.metrics.measurement_rows import measurement_names

if TYPE_CHECKING:
    from pathlib import Path


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


def test_where_objects_are_not_scored_there_is_no_table(tmp_path: Path) -> None:
    page = report(tmp_path, objects=False)
    assert "median area" not in page
    assert sorted(path.name for path in tmp_path.iterdir()) == ["iou.csv", "report.html", "report.json"]
