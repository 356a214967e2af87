"""Reports of volumes: what is scored in three dimensions, by hand."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from napari_unet.data.masks.mask_reading import MaskReading, reading_masks
from napari_unet.engine.inline import run_inline
from napari_unet.evaluation.report.report_files import summary_lines
from napari_unet.models.model import Model, save_model
from napari_unet.models.normalization import Normalization
from napari_unet.networks.registry import build_network
from napari_unet.settings import EvaluationSettings, InferenceSettings, NetworkSettings, Recipe
from napari_unet.workflow.evaluate.compare_task import CompareReportTask
from napari_unet.workflow.evaluate.evaluate_task import EvaluateTask
from support.errors import raises_code

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def write_volume(folder: Path, slices: int = 6) -> Path:
    """Two numbered rods, of which the second is dark in the middle slices: to the model it is two."""
    reference = np.zeros((slices, 10, 12), np.uint16)
    reference[:, 1:3, 1:5] = 1000
    reference[:, 6:8, 6:10] = 2000
    image = np.where(reference > 0, 200, 0).astype(np.uint8)
    image[2:4, 6:8, 6:10] = 0
    for kind, array in (("images", image), ("masks", reference)):
        (folder / kind).mkdir(parents=True)
        tifffile.imwrite(folder / kind / "em.tif", array, imagej=True, metadata={"axes": "ZYX"})
    return folder


def thresholding(path: Path, dimensions: str) -> Path:
    """A model that marks what is bright, whatever lies around it."""
    settings = NetworkSettings(filters=1, depth=1, normalization="none", block="plain", dimensions=dimensions)
    network = build_network(settings)
    for layer in network.layers:
        if layer.name == "logits":
            kernel, bias = layer.get_weights()
            layer.set_weights([np.full_like(kernel, 100), bias * 0 - 20])
        elif layer.weights:
            kernel, bias = layer.get_weights()
            kernel = np.zeros_like(kernel)
            middle = tuple(n // 2 for n in kernel.shape[:-2])
            if layer.name.startswith("decode0_conv1"):
                kernel[(*middle, 0, 0)] = 1  # what the skip brings, and nothing from below
            elif not layer.name.startswith("up"):
                kernel[(*middle, 0, 0)] = 1
            layer.set_weights([kernel, bias * 0])
    own = Recipe(network=settings, inference=InferenceSettings(flips="none"))
    return save_model(Model(own, Normalization(intensities="range"), ("cell",), network), path)


@pytest.fixture(autouse=True)
def _masks_number_objects() -> Iterator[None]:
    with reading_masks(MaskReading("objects")):
        yield


def test_a_volume_is_scored_in_three_dimensions(tmp_path: Path) -> None:
    data, model = write_volume(tmp_path / "data"), thresholding(tmp_path / "model", "3d")
    evaluation = run_inline(EvaluateTask(data, tmp_path / "report", model))
    (block,) = evaluation.volumes
    assert (block.volume, block.slices, block.part) == ("em", (0, 1, 2, 3, 4, 5), "not known")
    # The first rod has 48 voxels and is found. Of the second 32 of 48 are found, in two pieces of 16.
    pairs = 48 * 47 + 2 * 16 * 15
    error = 1 - 2 * pairs / (2 * 48 * 47 + 48 * 47 + 2 * 16 * 15)
    assert block.scores.volume.adapted_rand_error == pytest.approx(error)
    assert block.scores.volume.to_json()["f1_50"] == pytest.approx(2 * 1 / (2 + 3))
    assert sorted(block.scores.worst_first[:2]) == [2, 3]

    content = json.loads((tmp_path / "report" / "report.json").read_text())
    (row,) = content["volumes"]
    assert row["adapted_rand_error"] == pytest.approx(error)
    assert [one["slice"] for one in row["slices"]][:2] in ([2, 3], [3, 2])
    with (tmp_path / "report" / "volumes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [one["slice"] for one in rows] == ["", "0", "1", "2", "3", "4", "5"]
    assert float(rows[0]["adapted_rand_error"]) == pytest.approx(error, abs=1e-6)
    assert float(rows[1]["pq"]) == 1
    (line,) = [line for line in summary_lines(evaluation) if "three dimensions" in line]
    assert line.startswith(f"em, slices 0 to 5 (not known): adapted Rand error {error:.3f}")
    assert "<h2>Volumes</h2>" in (tmp_path / "report" / "report.html").read_text()


def test_reports_of_images_have_no_volumes(tmp_path: Path) -> None:
    data, model = write_volume(tmp_path / "data"), thresholding(tmp_path / "model", "2d")
    assert run_inline(EvaluateTask(data, tmp_path / "report", model)).volumes == []
    assert not (tmp_path / "report" / "volumes.csv").exists()
    assert "volumes" not in json.loads((tmp_path / "report" / "report.json").read_text())


def test_pixels_alone_are_scored_if_a_person_says_so(tmp_path: Path) -> None:
    data, model = write_volume(tmp_path / "data", 3), thresholding(tmp_path / "model", "3d")
    settings = EvaluationSettings(scores="overlap")
    assert run_inline(EvaluateTask(data, tmp_path / "report", model, settings=settings)).volumes == []


# The first rod has 48 voxels and is found. Of the second 32 of 48 are found, in two pieces of 16.
PAIRS = 48 * 47 + 2 * 16 * 15
ERROR = 1 - 2 * PAIRS / (2 * 48 * 47 + 48 * 47 + 2 * 16 * 15)


def given_masks(folder: Path, data: Path, *, numbered: bool) -> Path:
    """What a program found of the volume, in one file with a page a slice: numbers, or 0 and 255."""
    bright = tifffile.imread(data / "images" / "em.tif") > 0
    found = np.where(bright, 255, 0).astype(np.uint8)
    if numbered:
        found = np.zeros(bright.shape, np.uint16)
        found[:, 1:3, 1:5] = 7
        found[:2, 6:8, 6:10] = 8
        found[4:, 6:8, 6:10] = 9
        found[~bright] = 0
    folder.mkdir()
    tifffile.imwrite(folder / "em.tif", found, imagej=True, metadata={"axes": "ZYX"})
    return folder


@pytest.mark.parametrize("numbered", [True, False])
def test_masks_of_a_volume_in_one_file_are_scored_in_three_dimensions(tmp_path: Path, numbered: bool) -> None:
    data = write_volume(tmp_path / "data")
    masks = given_masks(tmp_path / "masks", data, numbered=numbered)
    evaluation = run_inline(EvaluateTask(data, tmp_path / "report", masks=masks))
    (block,) = evaluation.volumes
    assert (block.volume, block.slices) == ("em", (0, 1, 2, 3, 4, 5))
    assert block.scores.volume.adapted_rand_error == pytest.approx(ERROR)
    assert [round(score.iou, 6) for score in evaluation.scores] == [1, 1, 0.5, 0.5, 1, 1]
    assert (tmp_path / "report" / "volumes.csv").is_file()


def test_masks_in_a_file_for_each_slice_are_scored_slice_by_slice(tmp_path: Path) -> None:
    data = write_volume(tmp_path / "data")
    (tmp_path / "masks").mkdir()
    for z, image in enumerate(tifffile.imread(data / "images" / "em.tif")):
        tifffile.imwrite(tmp_path / "masks" / f"em_{z:03d}.tif", np.where(image, 255, 0).astype(np.uint8))
    evaluation = run_inline(EvaluateTask(data, tmp_path / "report", masks=tmp_path / "masks"))
    assert evaluation.volumes == []
    assert len(evaluation.scores) == 6


def test_a_file_with_fewer_pages_is_not_the_mask_of_the_volume(tmp_path: Path) -> None:
    data = write_volume(tmp_path / "data")
    masks = given_masks(tmp_path / "masks", data, numbered=True)
    tifffile.imwrite(masks / "em.tif", tifffile.imread(masks / "em.tif")[:5], imagej=True)
    with raises_code("data.mask.missing", "em_000"):
        run_inline(EvaluateTask(data, tmp_path / "report", masks=masks))


def test_two_models_are_compared_in_three_dimensions_if_one_of_them_sees_volumes(tmp_path: Path) -> None:
    data = write_volume(tmp_path / "data")
    old, new = thresholding(tmp_path / "old", "2d"), thresholding(tmp_path / "new", "3d")
    comparison = run_inline(CompareReportTask(data, old, new, tmp_path / "report"))
    for side in (comparison.old, comparison.new):
        (block,) = side.evaluation.volumes
        assert block.scores.volume.adapted_rand_error == pytest.approx(ERROR)
    content = json.loads((tmp_path / "report" / "compare.json").read_text())
    (row,) = content["volumes"]
    assert (row["volume"], row["first_slice"], row["last_slice"]) == ("em", 0, 5)
    assert row["adapted_rand_error_old"] == row["adapted_rand_error_new"] == pytest.approx(ERROR)
    assert "<h2>Volumes</h2>" in (tmp_path / "report" / "compare.html").read_text()


def test_two_models_of_images_are_compared_image_by_image(tmp_path: Path) -> None:
    data = write_volume(tmp_path / "data")
    old, new = thresholding(tmp_path / "old", "2d"), thresholding(tmp_path / "new", "2d")
    comparison = run_inline(CompareReportTask(data, old, new, tmp_path / "report"))
    assert comparison.old.evaluation.volumes == []
    assert "volumes" not in json.loads((tmp_path / "report" / "compare.json").read_text())
