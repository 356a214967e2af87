"""Projects, tables and submissions whose names are composed on one system and in parts on another."""

from __future__ import annotations

import csv
import shutil
import unicodedata
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from napari_unet.data.catalog import open_dataset, open_images
from napari_unet.data.file_names import composed
from napari_unet.engine.inline import run_inline
from napari_unet.project.project import Project
from napari_unet.workflow.evaluate.submit import SubmitTask

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("é", "Zelle ü", "세포", "plain")
FORMS = ("NFC", "NFD")
OTHER = {"NFC": "NFD", "NFD": "NFC"}
NFC = sorted(NAMES)


def spelled(name: str, form: str) -> str:
    return unicodedata.normalize(form, name)  # type: ignore[arg-type]


def picture(number: int) -> np.ndarray:
    return np.uint8(np.add.outer(np.arange(24) * 3, np.arange(30) * (number + 1)) % 251)  # type: ignore[return-value]


def mask(number: int) -> np.ndarray:
    pixels = np.zeros((24, 30), np.uint8)
    pixels[3 : 9 + number, 4:12] = 255
    return pixels


def runs(pixels: np.ndarray) -> str:
    """By hand: column by column, counted from 1."""
    flat = np.flatnonzero(pixels.T.ravel()) + 1
    starts = flat[np.r_[True, np.diff(flat) > 1]]
    ends = flat[np.r_[np.diff(flat) > 1, True]]
    return " ".join(f"{a} {b - a + 1}" for a, b in zip(starts, ends, strict=True))


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def rename_all(folder: Path, form: str) -> None:
    """As a copy to another system leaves them."""
    for path in sorted(folder.rglob("*"), key=lambda p: -len(p.parts)):
        path.rename(path.with_name(spelled(path.name, form)))


def pairs(folder: Path, form: str) -> Path:
    for number, name in enumerate(NAMES):
        save(folder / "images" / f"{spelled(name, form)}.png", picture(number))
        save(folder / "masks" / f"{spelled(name, form)}.png", mask(number))
    return folder


@pytest.mark.parametrize("form", FORMS)
def test_ids_do_not_depend_on_the_system(tmp_path: Path, form: str) -> None:
    data = pairs(tmp_path, form)
    assert sorted(s.id for s in open_dataset(data).samples) == NFC
    assert sorted(s.id for s in open_images([data / "images"])) == NFC
    assert sorted(s.id for s in open_images(sorted((data / "images").iterdir()))) == NFC


@pytest.mark.parametrize("form", FORMS)
def test_a_project_travels_with_its_images_and_corrections(tmp_path: Path, form: str) -> None:
    here = tmp_path / spelled("für mich", form)
    data = pairs(here / "data", form)
    with Project.create(here / "project", open_dataset(data)) as project:
        for name in NAMES:
            painted = np.zeros((24, 30), np.uint8)
            painted[2:4, : len(name)] = 1
            project.corrections.record(name, np.zeros_like(painted), painted)
        assert project.save()
    rename_all(tmp_path, OTHER[form])
    there = tmp_path / spelled("für mich", OTHER[form])
    for read_only in (True, False):
        with Project.open(there / "project", read_only=read_only) as project:
            assert project.images.check().good
            assert sorted(project.ids) == NFC
            for name in NAMES:
                assert project.corrections.mask(name).sum() == 2 * len(name)
                assert project.images.sample(name).read_image().shape == (24, 30, 1)
    with Project.open(there / "project") as project:
        elsewhere = pairs(tmp_path / "elsewhere", form)
        assert project.relink(elsewhere).good
        assert sorted(s.id for s in project.images.samples()) == NFC


@pytest.mark.parametrize("form", FORMS)
def test_the_table_of_tgs_and_its_files_may_differ(tmp_path: Path, form: str) -> None:
    rows = ["id,rle_mask"], ["id,z"]
    for number, name in enumerate(NAMES):
        save(tmp_path / "train" / "images" / f"{spelled(name, form)}.png", picture(number))
        rows[0].append(f"{spelled(name, OTHER[form])},{runs(mask(number))}")
        rows[1].append(f"{spelled(name, OTHER[form])},{100 + number}")
    (tmp_path / "train.csv").write_text("\n".join(rows[0]), encoding="utf-8")
    (tmp_path / "depths.csv").write_text("\n".join(rows[1]), encoding="utf-8")
    dataset = open_dataset(tmp_path)
    assert (dataset.format, len(dataset)) == ("tgs-salt", 4)
    for sample in dataset.samples:
        number = NAMES.index(sample.id)
        assert sample.properties["z"] == 100 + number
        np.testing.assert_array_equal(dataset.mask(sample).labels, mask(number) > 0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("files", [False, True])
def test_nuclei_by_table_or_by_files(tmp_path: Path, form: str, files: bool) -> None:
    rows = ["ImageId,EncodedPixels"]
    for number, name in enumerate(NAMES):
        folder = tmp_path / "stage1_train" / spelled(name, OTHER[form] if files else form)
        save(folder / "images" / f"{spelled(name, form)}.png", picture(number))
        if files:
            save(folder / "masks" / "1.png", mask(number))
        rows.append(f"{spelled(name, OTHER[form])},{runs(mask(number))}")
    (tmp_path / "stage1_train_labels.csv").write_text("\n".join(rows), encoding="utf-8")
    dataset = open_dataset(tmp_path)
    assert (dataset.format, sorted(s.id for s in dataset.samples)) == ("dsb2018", NFC)
    for sample in dataset.samples:
        np.testing.assert_array_equal(dataset.mask(sample).labels, mask(NAMES.index(sample.id)) > 0)


@pytest.mark.parametrize("form", FORMS)
def test_other_tables_of_run_lengths_and_of_pairs(tmp_path: Path, form: str) -> None:
    table = ["image,rle"]
    listed = ["image,mask,id"]
    for number, name in enumerate(NAMES):
        there, told = spelled(name, form), spelled(name, OTHER[form])
        save(tmp_path / "a" / f"{there}.png", picture(number))
        save(tmp_path / "b" / f"{there}.png", mask(number))
        table.append(f"{told}.png,{runs(mask(number))}")
        listed.append(f"a/{told}.png,b/{told}.png,{told}")
    (tmp_path / "a" / "masks.csv").write_text("\n".join(table), encoding="utf-8")
    (tmp_path / "pairs.csv").write_text("\n".join(listed), encoding="utf-8")
    for path in (tmp_path / "a", tmp_path / "pairs.csv"):
        dataset = open_dataset(path)
        assert sorted(s.id for s in dataset.samples) == NFC
        for sample in dataset.samples:
            np.testing.assert_array_equal(dataset.mask(sample).labels, mask(NAMES.index(sample.id)) > 0)


@pytest.mark.parametrize("form", FORMS)
def test_a_submission_has_the_ids_that_the_competition_wrote(tmp_path: Path, form: str) -> None:
    data = tmp_path / "data"
    save(data / "train" / "images" / "t.png", picture(0))
    save(data / "train" / "masks" / "t.png", mask(0))
    wanted = [spelled(name, OTHER[form]) for name in reversed(NAMES)]
    for number, name in enumerate(NAMES):
        save(data / "test" / "images" / f"{spelled(name, form)}.png", picture(number))
        save(tmp_path / "masks" / f"{spelled(name, OTHER[form])}.png", mask(number))
    (data / "depths.csv").write_text("id,z\nt,1\n")
    lines = ["id,rle_mask", *(f"{name},1 1" for name in wanted)]
    (data / "sample_submission.csv").write_text("\n".join(lines), encoding="utf-8")
    written = run_inline(SubmitTask(data, tmp_path / "s.csv", masks=tmp_path / "masks"))
    assert written.checked == "sample_submission.csv"
    with (tmp_path / "s.csv").open(newline="", encoding="utf-8") as file:
        found = [(row["id"], row["rle_mask"]) for row in csv.DictReader(file)]
    assert found == [(name, runs(mask(NAMES.index(composed(name))))) for name in wanted]


def test_a_mask_that_was_named_after_letters_in_parts_is_found(tmp_path: Path) -> None:
    """Projects made before ids were composed: accents had become underscores in the names of files."""
    data = pairs(tmp_path / "data", "NFC")
    with Project.create(tmp_path / "project", open_dataset(data)) as project:
        project.corrections.record("é", np.zeros((24, 30), np.uint8), np.ones((24, 30), np.uint8))
        assert project.save()
    folder = tmp_path / "project"
    (folder / "masks" / "é.tif").rename(folder / "masks" / "e_.tif")
    for history in (folder / "history").glob("é*"):
        history.rename(history.with_name("e_.strokes"))
    text = (folder / "project.json").read_text(encoding="utf-8")
    (folder / "project.json").write_text(text.replace('"é"', '"e\u0301"'), encoding="utf-8")
    shutil.rmtree(folder / "journal", ignore_errors=True)
    with Project.open(folder) as project:
        assert sorted(project.ids) == NFC
        assert project.corrections.mask("é").sum() == 24 * 30
