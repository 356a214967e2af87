"""Exports from data sets, mask files, projects and models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from napari_unet.cli import main
from napari_unet.data.catalog import open_dataset
from napari_unet.engine.inline import run_inline
from napari_unet.errors import Cancelled, OutputError
from napari_unet.export.naming import plan_files
from napari_unet.progress import CancelToken
from napari_unet.workflow.export.export_task import ExportTask
from napari_unet.workflow.export.mask_sources import ModelMasks, StoredMasks
from napari_unet.workflow.segment.segment_samples import segment_samples
from support.errors import cli_error, raises_code

if TYPE_CHECKING:
    from napari_unet.progress import Progress

pytestmark = pytest.mark.slow


def read_png(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_names_are_known_before_and_differ() -> None:
    plan = plan_files(["a/b", "a_b", "A_B"], Path("out"), ["png", "coco"], "{name}-{index:02}")
    assert [p.name for p in plan.paths] == ["a_b-01.png", "a_b-02.png", "A_B-03.png", "coco.json"]
    plan = plan_files(["a", "A"], Path("out"), ["png", "npy"])
    assert [p.name for p in plan.paths] == ["a_mask.png", "a_mask.npy", "A_mask_2.png", "A_mask_2.npy"]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("{name.__class__}", "settings.pattern.unknown"),
        ("{nam}", "settings.pattern.unknown"),
        ("{name", "settings.pattern.malformed"),
        ("{index:q}", "settings.pattern.malformed"),
        ("../{name}", "settings.pattern.name"),
        ("  ", "settings.pattern.name"),
        ("mask", "settings.pattern.ambiguous"),
    ],
)
def test_patterns_that_cannot_be_used(pattern: str, said: str) -> None:
    with raises_code(said):
        plan_files(["a", "b"], Path("out"), ["png"], pattern)


def test_formats_that_cannot_be_used() -> None:
    with raises_code("settings.format.missing"):
        plan_files(["a"], Path("out"), [])
    with raises_code("settings.format.unknown", "'bmp'"):
        plan_files(["a"], Path("out"), ["bmp"])


def test_reference_objects_of_a_data_set(nuclei_folder: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    task = ExportTask(
        StoredMasks(nuclei_folder), tmp_path, ("npy", "coco", "measurements"), numbers="objects"
    )
    result = run_inline(task, told.append)
    dataset = open_dataset(nuclei_folder)
    assert result.images == len(dataset) == told[-1].done
    assert len(result.paths) == len(dataset) + 2
    content = json.loads((tmp_path / "coco.json").read_text())
    count = 0
    for sample, about in zip(dataset, content["images"], strict=True):
        objects = dataset.mask(sample).objects
        assert objects is not None
        np.testing.assert_array_equal(np.load(tmp_path / f"{sample.id}_mask.npy"), objects)
        assert about["file_name"] == sample.image_name
        count += len(np.unique(objects[objects > 0]))
    assert len(content["annotations"]) == count
    rows = (tmp_path / "measurements.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == count + 1
    assert rows[0].endswith("intensity_mean_3,intensity_min_3,intensity_max_3,intensity_sum_3")


def test_nothing_is_replaced_unasked(nuclei_folder: Path, tmp_path: Path) -> None:
    task = ExportTask(StoredMasks(nuclei_folder), tmp_path, ("png",))
    first = run_inline(task).paths[0]
    first.write_bytes(b"mine")
    with pytest.raises(OutputError, match="and 1 more would be replaced"):
        run_inline(task)
    assert first.read_bytes() == b"mine"
    run_inline(ExportTask(StoredMasks(nuclei_folder), tmp_path, ("png",), overwrite=True))
    assert first.read_bytes() != b"mine"


def test_cancel_keeps_whole_files_and_no_other(nuclei_folder: Path, tmp_path: Path) -> None:
    token = CancelToken()

    def stop(progress: Progress) -> None:
        if progress.done == 2:
            token.cancel()

    with pytest.raises(Cancelled):
        run_inline(ExportTask(StoredMasks(nuclei_folder), tmp_path, ("png", "coco")), stop, token)
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".png", ".png"]


def test_mask_files(tmp_path: Path) -> None:
    folder, out = tmp_path / "masks", tmp_path / "out"
    folder.mkdir()
    numbered = np.array([[0, 3, 3, 9, 9]], np.uint8)
    Image.fromarray(numbered).save(folder / "numbered.png")
    Image.fromarray(np.array([[0, 255, 0, 255, 255]], np.uint8)).save(folder / "plain.png")
    run_inline(ExportTask(StoredMasks(folder), out, ("npy",), "{name}", "objects"))
    assert np.load(out / "numbered.npy").tolist() == [[0, 1, 1, 2, 2]]
    assert np.load(out / "plain.npy").tolist() == [[0, 1, 0, 2, 2]]
    names = tuple("abcdefghi")
    run_inline(ExportTask(StoredMasks(folder, classes=names), out, ("npy",), "{name}-{format}", "classes"))
    assert np.load(out / "numbered-npy.npy").tolist() == numbered.tolist()
    assert not (out / "plain-npy.npy").exists()  # 255 is none of nine classes
    (tmp_path / "none").mkdir()
    with raises_code("data.masks.missing"):
        run_inline(ExportTask(StoredMasks(tmp_path / "none"), out, ("npy",)))


def test_a_damaged_file_does_not_hold_up_the_others(nuclei_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    folder.mkdir()
    Image.fromarray(np.eye(3, dtype=np.uint8)).save(folder / "good.png")
    (folder / "cut.png").write_bytes((folder / "good.png").read_bytes()[:40])
    result = run_inline(ExportTask(StoredMasks(folder), tmp_path / "out", ("tiff",)))
    assert [p.name for p in result.paths] == ["good_mask.tif"]
    assert [p.name for p in result.problems] == ["cut"]
    (folder / "good.png").unlink()
    with raises_code("output.images.none"):
        run_inline(ExportTask(StoredMasks(folder), tmp_path / "other", ("tiff", "coco")))
    assert not (tmp_path / "other" / "coco.json").exists()


def test_masks_of_a_model(salt_folder: Path, tmp_path: Path) -> None:
    from napari_unet.data.catalog import open_images
    from napari_unet.engine.hardware import default_precision
    from napari_unet.models.model import load_model
    from support.tiny_models import write_tiny_model

    model = write_tiny_model(tmp_path / "model")
    images = salt_folder / "train" / "images"
    result = run_inline(ExportTask(ModelMasks((images,), model), tmp_path / "out", ("npy",), "{name}"))
    truth = list(segment_samples(open_images([images]), load_model(model, default_precision())))
    assert result.images == len(truth) == 24
    for segmentation in truth:
        exported = np.load(tmp_path / "out" / f"{segmentation.sample.id}.npy")
        np.testing.assert_array_equal(exported, segmentation.mask)


def test_the_command(nuclei_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    arguments = ["export", str(nuclei_folder), "--out", str(out), "--format", "geojson", "--format", "tiff"]
    assert main([*arguments, "--pixel-size", "0.5x0.25um", "--name", "{name}"]) == 0
    assert "6 images in 12 files" in capsys.readouterr().out
    content = json.loads(next(out.glob("*.geojson")).read_text(encoding="utf-8"))
    assert content["properties"]["pixel_size"] == {"y": 0.5, "x": 0.25, "unit": "µm"}
    assert cli_error(*arguments, "--name", "{name}").code == "output.exists"
    for size in ("0.5", "um", "0um", "1 parsec", "1x2x3um"):
        assert main([*arguments, "--pixel-size", size]) == 2
        assert size.strip("0.15xum ") in capsys.readouterr().err
    assert main(["export", "--out", str(out)]) == 2


def test_corrected_masks_of_a_project(
    salt_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from napari_unet.project.project import Project

    project, out = tmp_path / "project", tmp_path / "out"
    arguments = ["export", str(project), "--out", str(out), "--format", "npy", "--format", "coco"]
    masks = {}
    with Project.create(project, open_dataset(salt_folder)) as opened:
        assert cli_error(*arguments).code == "data.masks.missing"
        for number, name in enumerate(opened.ids[3:5]):
            mask = np.zeros((101, 101), np.uint8)
            mask[10:20, 30 : 50 + number] = 1
            mask[60:65, 60:65] = 255  # nobody knows: background in an export
            opened.corrections.record(name, np.zeros((101, 101), np.uint8), mask)
            masks[name] = mask == 1
    assert main(arguments) == 0
    assert "2 images in 3 files" in capsys.readouterr().out
    for name, mask in masks.items():
        np.testing.assert_array_equal(np.load(out / f"{name}_mask.npy"), mask)
    content = json.loads((out / "coco.json").read_text())
    assert [a["area"] for a in content["annotations"]] == [200, 210]
    assert {Path(i["file_name"]).stem for i in content["images"]} == masks.keys()
    assert sorted(p.name for p in out.iterdir()) == sorted(
        ["coco.json", *(f"{name}_mask.npy" for name in masks)]
    )


def test_an_image_with_strokes_only_is_left_out_and_named(
    salt_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from napari_unet.project.project import Project

    project, out = tmp_path / "project", tmp_path / "out"
    unknown = np.full((101, 101), 255, np.uint8)
    strokes = unknown.copy()
    strokes[:3] = 1
    arguments = ["export", str(project), "--out", str(out), "--format", "npy"]
    with Project.create(project, open_dataset(salt_folder)) as opened:
        opened.corrections.record(opened.ids[0], unknown, strokes)
        assert cli_error(*arguments).code == "data.masks.missing"
        opened.corrections.record(opened.ids[1], np.zeros_like(strokes), (strokes == 1).astype(np.uint8))
        ids = opened.ids
    assert main(arguments) == 3
    said = capsys.readouterr()
    assert "1 image in 1 file" in said.out
    assert f"{ids[0]} has strokes only" in said.out + said.err
    assert [p.name for p in out.iterdir()] == [f"{ids[1]}_mask.npy"]


def test_a_folder_that_cannot_be_written(nuclei_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("png", "coco", "ome-zarr", "imagej-roi", "measurements"):
        with raises_code("output.unwritable"):
            run_inline(ExportTask(StoredMasks(nuclei_folder), tmp_path / "file" / "out", (name,)))


def test_a_file_where_the_folder_should_be(nuclei_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with raises_code("output.folder.file", "out"):
        run_inline(ExportTask(StoredMasks(nuclei_folder), tmp_path / "out", ("npy",)))
    assert (tmp_path / "out").read_text() == "mine"


def test_images_are_not_taken_for_masks(tmp_path: Path) -> None:
    """Whoever names the folder of the images is told so; all of one value may be either."""
    pixels = np.arange(30, dtype=np.uint8).reshape(5, 6)
    for folder in ("images", "wrong"):
        (tmp_path / folder).mkdir()
        Image.fromarray(pixels).save(tmp_path / folder / "a.png")
        Image.fromarray(pixels * 0).save(tmp_path / folder / "b.png")
    source = StoredMasks(tmp_path / "images", tmp_path / "wrong")
    exported = run_inline(ExportTask(source, tmp_path / "out", ("npy",)))
    assert [p.sentence for p in exported.problems] == [
        "a.png is the image itself, not a mask of it; give the folder with the masks alone"
    ]
    assert [p.name for p in exported.paths] == ["b_mask.npy"]


def test_a_place_for_the_recipe_is_looked_for_first(nuclei_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    words = [
        "export",
        nuclei_folder,
        "--out",
        tmp_path / "out",
        "--save-run",
        tmp_path / "file" / "r.json",
    ]
    error = cli_error(*words)
    assert error.code == "output.unwritable"
    assert "r.json" in error.sentence
    assert not (tmp_path / "out").exists()
