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
from napari_unet.workflow.evaluate.evaluate_task import EvaluateTask

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
