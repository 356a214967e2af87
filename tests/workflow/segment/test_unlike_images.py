"""Images that do not look like the training images of a model are named, and are segmented all the same."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_unet.cli import main
from napari_unet.data.sample import Sample
from napari_unet.engine.inline import run_inline
from napari_unet.models.card import ModelCard
from napari_unet.models.image_statistics import describe_image
from napari_unet.models.likeness import KEY, Likeness
from napari_unet.workflow.evaluate.evaluate_task import EvaluateTask
from napari_unet.workflow.segment.segment_task import SegmentTask
from napari_unet.workflow.segment.unlike_images import UnlikeImages

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


def spots(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 12, (64, 64)).astype(np.uint8)
    for y, x in rng.integers(4, 54, (6, 2)):
        image[y : y + 7, x : x + 7] = 150
    return image


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, grey_model: Path) -> Path:
    """A tiny model that was trained, so it says, on spots."""
    folder = tmp_path_factory.mktemp("models") / "spots"
    shutil.copytree(grey_model, folder)
    file = folder / "settings.json"
    content = json.loads(file.read_text())
    looks = [describe_image(spots(seed)) for seed in range(30)]
    likeness = Likeness.of_training(looks, [str(n) for n in range(30)], ModelCard.read(folder).normalization)
    assert likeness is not None
    content["provenance"][KEY] = likeness.to_json()
    file.write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One image of spots, and the same inverted and four times as large, with masks."""
    folder = tmp_path_factory.mktemp("data")
    images = {"same": spots(100), "inverted": 255 - spots(100)}
    images["larger"] = np.kron(spots(101), np.ones((4, 4), np.uint8))
    for kind in ("images", "masks"):
        (folder / kind).mkdir()
    for name, image in images.items():
        Image.fromarray(image).save(folder / "images" / f"{name}.png")
        Image.fromarray(((image > 100) * 255).astype(np.uint8)).save(folder / "masks" / f"{name}.png")
    return folder


SENTENCE = (
    "2 of 3 images do not look like those that the model was trained on (mostly brighter): inverted, larger. "
    "Check their masks"
)


def test_segment_names_them(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["segment", str(data / "images"), "--model", str(model), "--out", str(out)]) == 0
    assert sorted(file.name for file in out.iterdir()) == ["inverted.png", "larger.png", "same.png"]
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1] == f"note: {SENTENCE}"


def test_a_large_image_is_compared_by_its_middle(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, tile in (("same", spots(100)), ("inverted", 255 - spots(100))):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.tile(tile, (4, 4)), tile=(64, 64))
    files = [str(tmp_path / f"{name}.tif") for name in ("same", "inverted")]
    out = str(tmp_path / "out")
    assert main(["segment", *files, "--stream", "--model", str(model), "--out", out]) == 0
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1] == (
        "note: 1 of 2 images does not look like those that the model was trained on (brighter): "
        "inverted.tif. Check the mask"
    )


def test_older_models_name_none(
    grey_model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = run_inline(SegmentTask((data / "images",), grey_model, tmp_path / "out"))
    assert (len(written), written.unlike) == (3, "")
    assert "look like" not in capsys.readouterr().err


def test_a_report_names_them(model: Path, data: Path, tmp_path: Path) -> None:
    run_inline(EvaluateTask(data, tmp_path, model, inspect=False))
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["unlike"] == {
        "compared": 3,
        "false_alarms": 0.05,
        "images": [
            {"image": "inverted", "why": "brighter"},
            {"image": "larger", "why": "coarser structures"},
        ],
    }
    assert f"{SENTENCE}." in content["notes"]
    assert f"{SENTENCE}." in (tmp_path / "report.html").read_text()
    assert KEY not in content["model"]["provenance"]  # too long for a report


def test_a_report_on_an_older_model_says_not_known(grey_model: Path) -> None:
    card = ModelCard.read(grey_model)
    unlike = UnlikeImages(card.provenance, card.normalization)
    image = spots(0)[..., None]
    unlike.look(Sample("one", lambda: image), image)
    assert (unlike.is_known, unlike.to_json(), unlike.sentence) == (False, None, "")


def test_at_most_five_are_named(model: Path) -> None:
    card = ModelCard.read(model)
    unlike = UnlikeImages(card.provenance, card.normalization)
    image = (255 - spots(100))[..., None]
    for number in range(7):
        unlike.look(Sample(f"i{number}", lambda: image), image)
    assert unlike.sentence == (
        "7 of 7 images do not look like those that the model was trained on (brighter): "
        "i0, i1, i2, i3, i4 and 2 more. Check their masks"
    )
