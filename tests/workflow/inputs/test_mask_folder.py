"""Masks made elsewhere: numbered ones are objects, plain ones their connected pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.cli import main
from napari_unet.data.catalog import open_dataset
from napari_unet.engine.inline import run_inline
from napari_unet.export.masks import write_mask
from napari_unet.inference.postprocess import connected_objects
from napari_unet.settings import EvaluationSettings
from napari_unet.workflow.evaluate.evaluate_task import EvaluateTask
from napari_unet.workflow.inputs.mask_folder import read_masks
from support.errors import raises_code

if TYPE_CHECKING:
    from pathlib import Path


def write_truth(data: Path, folder: Path, *, numbered: bool) -> None:
    dataset = open_dataset(data)
    for sample in dataset.samples:
        mask = dataset.mask(sample)
        shown = mask.objects if numbered and mask.objects is not None else mask.labels
        write_mask(folder / f"{sample.id}.tif", shown, max(1, int(shown.max())))


def test_numbered_masks_are_scored_as_objects(
    nuclei_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_truth(nuclei_folder, tmp_path / "masks", numbered=True)
    run = [
        "evaluate",
        str(nuclei_folder),
        "--masks",
        str(tmp_path / "masks"),
        "--out",
        str(tmp_path / "r"),
    ]
    assert main(run) == 0
    printed = capsys.readouterr().out
    assert "F1@0.5        1.000 over images, 1.000 over all objects" in printed
    assert "SEG           1.000" in printed
    assert "averaged over IoU 0.5 to 0.95: 1.000" in printed


def test_plain_masks_are_scored_by_their_connected_pieces(nuclei_folder: Path, tmp_path: Path) -> None:
    write_truth(nuclei_folder, tmp_path / "masks", numbered=False)
    task = EvaluateTask(nuclei_folder, tmp_path / "r", masks=tmp_path / "masks", inspect=False)
    evaluation = run_inline(task)
    dataset = open_dataset(nuclei_folder)
    for sample, score in zip(dataset.samples, evaluation.scores, strict=True):
        mask = dataset.mask(sample)
        assert mask.objects is not None
        assert score.values["objects_reference"] == len(np.unique(mask.objects)) - 1
        assert score.values["objects_predicted"] == connected_objects(mask.labels).max()
        assert score.iou == 1


@pytest.mark.parametrize(("scores", "measured"), [("overlap", False), ("auto", False), ("all", True)])
def test_objects_of_masks_without_numbers_only_when_all_scores_are_wanted(
    scores: str, measured: bool, salt_folder: Path, tmp_path: Path
) -> None:
    write_truth(salt_folder, tmp_path / "masks", numbered=False)
    task = EvaluateTask(
        salt_folder,
        tmp_path / "r",
        masks=tmp_path / "masks",
        settings=EvaluationSettings(scores=scores),
        inspect=False,
    )
    overall = run_inline(task).overall()["scores"]
    assert ("f1_50" in overall) == measured == ("v_rand" in overall)
    if measured:
        assert overall["f1_50"]["mean"] == overall["v_rand"]["mean"] == 1


def test_masks_that_do_not_belong_to_the_data_are_told(nuclei_folder: Path, tmp_path: Path) -> None:
    dataset = open_dataset(nuclei_folder)
    write_truth(nuclei_folder, tmp_path, numbered=True)
    (tmp_path / f"{dataset.samples[2].id}.tif").unlink()
    with raises_code("data.mask.missing", dataset.samples[2].id):
        list(read_masks(dataset, tmp_path))
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[0, 0] = 1, 2, 3
    from PIL import Image

    Image.fromarray(picture).save(tmp_path / f"{dataset.samples[2].id}.png")
    with raises_code("data.mask.classes"):
        list(read_masks(dataset, tmp_path))
