"""Star-convex networks through the same workflow: trained, saved, used, averaged, judged by objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.data.catalog import open_dataset
from napari_unet.engine.hardware import default_precision
from napari_unet.engine.inline import run_inline
from napari_unet.models.ensemble import load_any
from napari_unet.models.model import load_model
from napari_unet.workflow.ensemble.ensemble_task import EnsembleTask
from napari_unet.workflow.segment.segment_samples import segment_samples, with_depth
from napari_unet.workflow.train.recipes import recipe
from napari_unet.workflow.train.train_task import TrainTask

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

QUICK = (
    "epochs=1",
    "steps_per_epoch=3",
    "filters=2",
    "depth=2",
    "batch_size=2",
    "patch=48",
    "separation=star",
)


def test_trained_saved_used_and_averaged(nuclei_folder: Path, tmp_path: Path) -> None:
    trained = run_inline(TrainTask(nuclei_folder, tmp_path / "m", recipe("fast", QUICK)))
    model = load_model(tmp_path / "m", default_precision())  # that it was trained in
    x = np.random.default_rng(0).standard_normal((1, 16, 16, model.normalization.channels)).astype(np.float32)
    outputs = model.outputs(x)
    assert outputs.shape == (1, 16, 16, 34)
    assert ((outputs >= 0) & (outputs <= 1)).all()
    np.testing.assert_array_equal(outputs, trained.outputs(x))
    samples = open_dataset(nuclei_folder).samples[:2]
    alone = list(segment_samples(samples, model))
    for result in alone:
        assert result.separation_kind == "distance"
        assert result.outputs.shape == (*result.mask.shape, 2)
        assert ((result.objects > 0) == (result.mask > 0)).all()
    run_inline(EnsembleTask((tmp_path / "m", tmp_path / "m"), tmp_path / "two"))
    for one, both in zip(
        alone, segment_samples(samples, load_any(tmp_path / "two", default_precision())), strict=True
    ):
        np.testing.assert_allclose(one.probabilities, both.probabilities, atol=1e-3)
        assert both.separation_kind == "distance"


def test_polygons_take_the_place_of_the_rays() -> None:
    y, x = np.mgrid[:40, :60]
    outputs = np.zeros((40, 60, 34), np.float32)
    for cx in (20, 34):  # two discs of radius 8 that overlap a little in the probability
        inside = (y - 20) ** 2 + (x - cx) ** 2 <= 64
        outputs[inside, 0] = 1
        outputs[..., 1] = np.maximum(outputs[..., 1], 1 - np.hypot(y - 20, x - cx) / 8)
    outputs[..., 2:] = 8 / 1024
    found = with_depth(outputs, 1)
    assert found.shape == (40, 60, 2)
    np.testing.assert_array_equal(found[..., 0], outputs[..., 0])
    assert found[20, 20, 1] > 0.5
    assert found[20, 34, 1] > 0.5
    assert found[20, 27, 1] < 0.5
    assert found[0, 0, 1] == 0
