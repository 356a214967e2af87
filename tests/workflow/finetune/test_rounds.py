"""Rounds of learning from a project on the disk, without a window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.cli import main
from napari_unet.data.catalog import open_dataset
from napari_unet.data.sample import Sample
from napari_unet.project.project import Project
from napari_unet.workflow.finetune.project_examples import of_project
from support.errors import cli_error

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.workflow.inputs.image_reference import ImageReference

pytestmark = pytest.mark.slow

SHORT = ["--minutes", "0.02"]


@pytest.fixture
def folder(tmp_path: Path, salt_folder: Path) -> Path:
    """A project of the salt set; two images of its training part are corrected, one to judge by is done."""
    dataset = open_dataset(salt_folder)
    with Project.create(tmp_path / "project", dataset) as project:
        for identifier in project.split.train[:2]:
            paint(project, identifier)
        held = project.split.held_out[0]
        paint(project, held)
        project.corrections.set_done(held)
    return tmp_path / "project"


def paint(project: Project, identifier: str) -> None:
    truth = project.images.sample(identifier).read_mask().labels
    project.corrections.record(identifier, 1 - truth, truth)


def ids(references: tuple[ImageReference, ...]) -> set[str]:
    return {r.id for r in references}


def test_a_projects_split_says_what_teaches_and_what_judges(folder: Path, salt_model: Path) -> None:
    from napari_unet.models.card import ModelCard

    with Project.open(folder, read_only=True) as project:
        split = project.split
        material = of_project(project, {})
        assert {c.id for c in material.corrections} == set(split.train[:2])
        assert ids(material.judges) == set(split.held_out)  # the one that is done among them
        assert material.reserved == ()
        assert not ids(material.others) & {*split.held_out, *split.train[:2]}
        assert material.replay is None
        # What the model says it trained on is replayed.
        known = of_project(project, ModelCard.read(salt_model).provenance)
        assert known.replay is not None
        assert known.replay_format == "tgs-salt"
        # Of an image in part corrected only the strokes count.
        one = next(c for c in material.corrections if c.weights is None)
        assert one.labels is not None  # every pixel was wrong, so every pixel was painted


def test_where_nothing_is_held_out_every_fifth_done_image_is(tmp_path: Path) -> None:
    image = np.zeros((8, 8, 1), np.uint8)
    mask = np.ones((8, 8), np.uint8)
    names = [f"n{n}" for n in range(20)]
    with Project.create(tmp_path / "p", [Sample(n, lambda: image) for n in names]) as project:
        for name in names:
            project.corrections.record(name, 0 * mask, mask)
        reserved = {n for n in names if project.corrections.part(n) == "held-out"}
        assert 0 < len(reserved) < 20
        first = of_project(project, {})
        assert {c.id for c in first.corrections} == set(names) - reserved
        assert first.held_out == ()
        for name in names:
            project.corrections.set_done(name)
        second = of_project(project, {})
        assert {c.id for c in second.corrections} == set(names)  # the round parts them itself
        assert ids(second.held_out) == reserved


def test_finetune_takes_a_project_and_adds_a_version(
    folder: Path, salt_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["finetune", "--corrections", str(folder), *SHORT]
    assert cli_error(*command).code == "model.version.missing"
    assert main([*command, "--model", str(salt_model)]) == 0
    said = capsys.readouterr().out
    assert "learned from 2 corrected images" in said
    assert "replayed training data" in said
    assert f"project {folder} keep 2" in said
    with Project.open(folder, read_only=True) as project:
        first, second = project.models.versions()
        assert (first.note, second.parent) == ("from start", 1)
        assert project.models.current == first  # nothing is used by itself
        assert set(second.corrections) == set(project.corrections.touched())
        assert "held_out_iou" in second.scores
    # To a folder of its own, from the version in use, while another has the project.
    with Project.open(folder):
        assert main([*command, "--out", str(tmp_path / "new")]) == 0
    assert (tmp_path / "new" / "settings.json").exists()
    assert main(["project", str(folder), "keep", "2"]) == 0
    capsys.readouterr()


def test_finetune_of_a_project_says_what_is_wrong(
    folder: Path, salt_model: Path, tmp_path: Path, salt_folder: Path
) -> None:
    fresh = tmp_path / "fresh"
    Project.create(fresh, open_dataset(salt_folder)).close()
    memory = tmp_path / "memory"
    with Project.create(memory, [Sample("a", lambda: np.zeros((8, 8, 1), np.uint8))]) as project:
        project.corrections.record("a", np.zeros((8, 8), np.uint8), np.ones((8, 8), np.uint8))
    begin = ["finetune", "--model", str(salt_model), *SHORT, "--corrections"]
    for words, expected in (
        ([str(fresh)], "data.corrections.missing"),
        ([str(memory)], "data.images.missing"),
        ([str(folder), "--unverified", "255"], "settings.arguments.unused"),
        ([str(salt_folder)], "settings.arguments.missing"),
    ):
        assert cli_error(*begin, *words).code == expected
