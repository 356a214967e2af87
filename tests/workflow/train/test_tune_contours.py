"""The weight of watershed contours, chosen on images that may be chosen by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_unet.cli import main
from napari_unet.data.catalog import open_dataset
from napari_unet.data.dataset import Dataset
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.models.card import ModelCard
from napari_unet.models.model import load_model
from napari_unet.workflow.segment.segment_samples import segment_samples
from napari_unet.workflow.train.tune_contours import rand_error_of
from support.errors import cli_error
from support.tiny_models import provenance_of, write_tiny_model

pytestmark = pytest.mark.slow


def test_the_error_falls_where_contours_close_a_gap() -> None:
    truth = np.ones((32, 41), np.uint8)
    truth[:, 20] = 0
    found = np.full(truth.shape, 0.95, np.float32)
    found[:, 19:22] = 0.1
    found[14:18, 19:22] = 0.7
    sample = Sample("a", lambda: truth, lambda: ReferenceMask(truth))
    error = rand_error_of(Dataset("made", "folders", Path("made"), (sample,)), ["a"], [found])
    # One region for two of equal size: V = (1 / 2) / (1 / 2 * 1 / 2 + 1 / 2 * 1) = 2 / 3.
    assert error(0.0, 0.5) == pytest.approx(1 / 3, abs=0.05)
    assert error(0.5, 0.5) < 0.1


def test_the_command_writes_a_model_that_draws_contours(
    salt_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    salt = open_dataset(salt_folder)
    ids = [s.id for s in salt.samples]
    start = write_tiny_model(tmp_path / "m", provenance=provenance_of(salt, ids[:8], ids[16:]))
    out = tmp_path / "refined"
    assert (
        main(["refine", str(start), "--data", str(salt_folder), "--out", str(out), "--tune-threshold"]) == 0
    )
    said = capsys.readouterr().out
    assert said.startswith("Rand error on 8 images: ")
    card = ModelCard.read(out)
    assert card.provenance["refinement"]["rand_error"] <= card.provenance["refinement"]["rand_error_before"]
    assert card.provenance["refinement"]["images"] == 8
    assert set(ids[8:16]) <= set(card.provenance["split"]["validation"])
    model = load_model(start)
    drawn = model.recipe.inference.model_copy(update={"refinement": 0.5})
    (plain,), (lined,) = (
        segment_samples(salt.samples[:1], model, settings) for settings in (model.recipe.inference, drawn)
    )
    assert (lined.probabilities != plain.probabilities).any()
    classes = write_tiny_model(tmp_path / "two", classes=("one", "two"))
    assert (
        cli_error("refine", classes, "--data", salt_folder, "--out", tmp_path / "x").code
        == "model.classes.count"
    )
