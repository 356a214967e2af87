"""Networks trained alike and compared: the table, its files, and a comparison that continues."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.cli import main
from napari_unet.engine.inline import run_inline
from napari_unet.evaluation.report.network_comparison import ComparedNetwork, NetworkComparison, summary
from napari_unet.evaluation.report.network_page import cells_of, columns_of, markdown
from napari_unet.workflow.evaluate.compare_networks import CompareNetworksTask
from napari_unet.workflow.train.recipes import recipe
from support.errors import raises_code

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

CHANGES = ("epochs=2", "steps_per_epoch=2", "filters=2", "depth=2", "batch_size=2", "patch=32")


def overall(pooled: float, mean: float, low: float, high: float, rand: float) -> dict[str, Any]:
    scores = {"iou": {"mean": mean, "pooled": pooled}, "rand_error": {"mean": 9.0, "pooled": rand}}
    return {"pooled_iou": pooled, "images": 3, "scores": scores, "ci95": {"mean_iou": [low, high]}}


def contest() -> NetworkComparison:
    of_unet, of_fcn = overall(0.8, 0.7, 0.6, 0.75, 0.2), overall(0.6, 0.5, 0.4, 0.55, 0.4)
    of_deeplab = overall(0.9, 0.72, 0.65, 0.8, 0.1)
    networks = (
        ComparedNetwork("unet", "U-Net", "First.", 2_000_000, 6.4, 256, 100, 60.0, 150.0, of_unet),
        ComparedNetwork("fcn8s", "FCN-8s", "Blobs.", 8_400_000, 3.5, 256, 50, 61.0, 90.0, of_fcn),
        ComparedNetwork("segnet", "SegNet", "Memory.", problem="the loss is not a number any more"),
        ComparedNetwork("deeplab", "DeepLab", "Wide.", 1, 1.0, 256, 9, 60.0, 50.0, of_deeplab),
    )
    return NetworkComparison(networks, {"name": "made up"}, 1.0, "fast", "napari-unet compare-networks x")


def test_the_table_ranks_by_pooled_iou_and_measures_by_unet() -> None:
    rows = contest().rows()
    assert [row["network"] for row in rows] == ["deeplab", "unet", "fcn8s", "segnet"]
    assert [row["of_unet"] for row in rows] == [pytest.approx(1.125), 1.0, pytest.approx(0.75), None]
    assert [row["rand_error"] for row in rows] == [0.1, 0.2, 0.4, None]  # of all pixels, not the mean of 9
    titles = [title for title, _, _ in columns_of(contest())]
    assert titles[:5] == ["Network", "Pooled IoU", "of U-Net", "Mean IoU", "Rand error"]
    cells = cells_of(contest())
    assert cells[0][:5] == ["deeplab", "0.900", "112%", "0.720 (0.650 to 0.800)", "0.100"]
    assert all(len(row) == len(titles) for row in cells)


def test_the_summary_says_who_is_behind_and_what_went_wrong() -> None:
    said = summary(contest())
    assert said[0] == "DeepLab has the highest pooled IoU: 0.900."
    assert said[1] == "By their intervals 1 of the others is not clearly different: U-Net."
    assert said[2] == "Below 90% of U-Net's pooled IoU: FCN-8s (75.0%)."
    assert said[3] == "FCN-8s got 50 steps in its time, U-Net 100."
    assert said[4] == "SegNet: the loss is not a number any more."
    assert summary(replace(contest(), networks=())) == ["No network has a score."]
    assert markdown(contest()).count("\n| ") == 6  # head, rule and four networks


def test_why_a_network_is_behind_is_told_by_its_grid_its_steps_and_its_curve() -> None:
    unet, fcn, _, deeplab = contest().networks
    rising = ((30.0, 0.4), (74.0, 0.5), (75.0, 0.45), (90.0, 0.53), (100.0, 0.52))
    coarse = replace(fcn, grid=32, steps=67, curve=rising)
    said = replace(contest(), networks=(unet, coarse)).reasons(coarse)
    assert said == [
        "has one answer for 32 x 32 pixels, and loses what is thinner",
        "gained 0.030 of validation IoU in its last quarter, so more time brings more",
    ]
    flat = replace(deeplab, steps=100, curve=((50.0, 0.5), (100.0, 0.505)))
    assert contest().reasons(flat) == ["no longer improves: more of the same time brings nothing"]
    assert contest().reasons(replace(flat, curve=((50.0, 0.5),))) == []  # nothing is known


def test_networks_are_trained_judged_and_a_stopped_comparison_goes_on(
    salt_folder: Path, tmp_path: Path
) -> None:
    begun: list[Any] = []
    out = tmp_path / "report"
    task = CompareNetworksTask(
        salt_folder,
        ("unet", "fcn32s"),
        0,
        out,
        recipe("fast", CHANGES),
        changes=CHANGES,
        on_network=begun.append,
    )
    found = run_inline(task)
    assert begun == ["unet", "fcn32s"]
    with (out / "networks.csv").open() as file:
        rows = {row["network"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"unet", "fcn32s"}
    for name, row in rows.items():
        report = json.loads((out / name / "report.json").read_text())
        assert float(row["pooled_iou"]) == pytest.approx(report["overall"]["pooled_iou"], abs=1e-5)
        assert {r["part"] for r in report["images"]} == {"held-out"}
        settings = json.loads((out / name / "model" / "settings.json").read_text())
        assert settings["recipe"]["network"]["name"] == name
        assert float(row["steps"]) == 4
        assert float(row["ms_per_megapixel"]) > 0
    splits = [json.loads((out / n / "model" / "split.json").read_text()) for n in rows]
    assert splits[0] == splits[1] == json.loads((out / "split.json").read_text())
    page = (out / "networks.html").read_text()
    assert page.count("data:image/svg+xml") >= 2
    assert "http" not in page.replace("http-equiv", "").replace("https://doi.org", "")
    assert "--set depth=2" in page
    # As after a kill in the second network; the first is not touched.
    before = (out / "unet" / "model" / "settings.json").stat().st_mtime_ns
    shutil.rmtree(out / "fcn32s")
    again = run_inline(task)
    assert (out / "unet" / "model" / "settings.json").stat().st_mtime_ns == before
    assert again.networks[0] == found.networks[0]
    np.testing.assert_allclose(again.networks[1].pooled_iou, found.networks[1].pooled_iou, atol=1e-3)
    with raises_code("output.different", "minutes"):
        run_inline(replace(task, minutes=3.0))


def test_what_cannot_be_compared_is_refused(salt_folder: Path, tmp_path: Path) -> None:
    task = CompareNetworksTask(salt_folder, ("unet", "unet"), 0, tmp_path / "r")
    with raises_code("settings.networks.duplicate"):
        run_inline(task)
    with raises_code("settings.network.unknown", "'net'"):
        run_inline(replace(task, networks=("net",)))
    split = {"format": "napari-unet split", "version": 1, "train": ["a"], "validation": [], "held_out": [],
             "seed": 0, "groups": {}, "group_rule": "image", "data": "x", "note": "too few"}  # fmt: skip
    (tmp_path / "split.json").write_text(json.dumps(split))
    with raises_code("data.heldout.missing", "too few"):
        run_inline(replace(task, networks=("unet",), split=tmp_path / "split.json"))


def test_a_network_that_fails_is_in_the_table(salt_folder: Path, tmp_path: Path) -> None:
    wrong = recipe("fast", (*CHANGES, "pretrained=imagenet"))
    found = run_inline(CompareNetworksTask(salt_folder, ("unet",), 0, tmp_path / "r", wrong))
    assert "no published weights for the network unet" in found.networks[0].problem
    assert "no published weights" in (tmp_path / "r" / "networks.html").read_text()


def test_networks_that_do_not_take_a_setting_are_compared_without_it(
    salt_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r"
    words = ["--recipe", "tgs-salt", "--minutes", "0", "--networks", "unet,fcn32s", "--out", str(out)]
    changes = [word for change in CHANGES for word in ("--set", change)]
    assert main(["compare-networks", str(salt_folder), *words, *changes]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "With presence=false, as they take nothing else: FCN-32s." in said
    with (out / "networks.csv").open() as file:
        rows = {row["network"]: row for row in csv.DictReader(file)}
    assert {name: row["note"] for name, row in rows.items()} == {"unet": "", "fcn32s": "presence=false"}
    assert all(row["pooled_iou"] and not row["problem"] for row in rows.values())
    settings = {name: json.loads((out / name / "model" / "settings.json").read_text()) for name in rows}
    assert settings["unet"]["recipe"]["network"]["presence"]
    assert not settings["fcn32s"]["recipe"]["network"]["presence"]
