"""What was done in a session is saved as a recipe, and repeated outside it to the same masks and scores."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.cli import main
from napari_unet.data.catalog import open_dataset
from napari_unet.data.files.pixel_size import PixelSize, parse_pixel_size
from napari_unet.data.masks.mask_pixels import decode_labels
from napari_unet.engine.inline import run_inline
from napari_unet.models.card import ModelCard
from napari_unet.session.export_masks import current_masks
from napari_unet.session.images.collection import Collection
from napari_unet.session.quality.score_table import ScoreTable
from napari_unet.workflow.export.export_task import ExportTask
from napari_unet.workflow.replay.run_record import ExportRun, RunRecord, SegmentRun
from support.tiny_models import write_tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_unet.session.session import Session

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def salt(salt_tiles: Callable[[int], Path]) -> Path:
    return salt_tiles(6)


@pytest.fixture
def session(open_session: Callable[..., Session], salt: Path, grey_model: Path) -> Session:
    dataset = open_dataset(salt)
    every = (*dataset.samples, *dataset.unlabelled)
    return open_session(grey_model, Collection(dataset.name, every, dataset))


def test_masks_of_some_images_with_a_moved_threshold(session: Session, tmp_path: Path) -> None:
    collection = session.workspace.collection
    assert collection is not None
    some = collection.ids[1:4]
    session.segment(some)
    # Between the lowest and the highest probability, so that the threshold decides.
    prediction = collection.entries[some[0]].prediction
    assert prediction is not None
    values = prediction.probabilities()
    session.workspace.set_postprocessing(float(np.median(values)), 3)
    session.history.save("segment", tmp_path / "run.json", lambda _: None)
    assert main(["run", str(tmp_path / "run.json"), "--out", str(tmp_path / "out")]) == 0
    files = sorted((tmp_path / "out").iterdir())
    assert [f.stem for f in files] == sorted(some)
    for file in files:
        mask = collection.mask(file.stem, session.workspace.inference)
        assert mask is not None
        np.testing.assert_array_equal(decode_labels(file.read_bytes(), file.name) > 0, mask > 0)
    first = collection.mask(some[0], session.workspace.inference)
    assert first is not None
    assert 0.1 < float((first > 0).mean()) < 0.9


def test_an_export_is_repeated_to_the_same_bytes(session: Session, tmp_path: Path) -> None:
    assert session.workspace.collection is not None
    session.segment(session.workspace.collection.ids)
    size = PixelSize(0.5, 0.25, "nm")
    source = current_masks(session.workspace, session.workspace.collection.ids)
    task = ExportTask(source, tmp_path / "first", ("npy", "coco"), "{name}-m", "classes", False, size)
    session.runner.run(
        task, 8, lambda _: None, lambda _: session.history.exported(task, source, session.workspace.inference)
    )
    session.history.save("export", tmp_path / "run.json", lambda _: None)
    recipe = RunRecord.load(tmp_path / "run.json")
    assert isinstance(recipe.run, ExportRun)
    assert recipe.run.pixel_size == "0.5x0.25 nm"
    assert main(["run", str(tmp_path / "run.json"), "--out", str(tmp_path / "again")]) == 0
    names = sorted(f.name for f in (tmp_path / "first").glob("*.npy"))
    assert len(names) == len(session.workspace.collection.ids)
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_a_report_is_repeated_to_the_same_scores(session: Session, tmp_path: Path) -> None:
    assert session.workspace.collection is not None
    session.segment(session.workspace.collection.ids)
    session.workspace.set_postprocessing(0.4, 0)
    pages: list[Path] = []
    ScoreTable(session.workspace, session.runner, session.history).write_report(
        tmp_path / "first", pages.append
    )
    assert len(pages) == 1
    session.history.save("report", tmp_path / "run.json", lambda _: None)
    assert main(["run", str(tmp_path / "run.json"), "--out", str(tmp_path / "again")]) == 0
    first, again = (
        list(csv.DictReader((tmp_path / f / "iou.csv").read_text().splitlines())) for f in ("first", "again")
    )
    assert len(first) == 6
    assert first == again


def test_another_model_forgets_the_recipe_of_its_masks(session: Session, tmp_path: Path) -> None:
    assert session.workspace.collection is not None
    session.segment(session.workspace.collection.ids[:1])
    done = session.history.finished["segment"]().run
    assert isinstance(done, SegmentRun)
    assert done.names == session.workspace.collection.ids[:1]
    session.workspace.choose_model(ModelCard.read(write_tiny_model(tmp_path / "other", seed=4)))
    assert "segment" not in session.history.finished


def test_the_size_of_pixels_that_layers_tell_goes_along(session: Session, tmp_path: Path) -> None:
    assert session.workspace.collection is not None
    ids = session.workspace.collection.ids
    session.segment(ids)
    third = PixelSize(1 / 3, 1 / 3)  # no ten digits hold it
    source = current_masks(session.workspace, ids, dict.fromkeys(ids, third))
    run_inline(ExportTask(source, tmp_path / "first", ("npy",)))
    session.history.exported(ExportTask(source, tmp_path, ("coco",)), source, session.workspace.inference)
    run = session.history.finished["export"]().run
    assert isinstance(run, ExportRun)
    assert parse_pixel_size(run.pixel_size) == third
    source = current_masks(session.workspace, ids, {ids[0]: third})
    run_inline(ExportTask(source, tmp_path / "again", ("npy",)))
    session.history.exported(ExportTask(source, tmp_path, ("coco",)), source, session.workspace.inference)
    done = session.history.finished["export"]()
    sizes = [image.pixel_size for image in done.images["images"]]
    assert parse_pixel_size(sizes[0]) == third
    assert sizes[1:] == [""] * (len(ids) - 1)
