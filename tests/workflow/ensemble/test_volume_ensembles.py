"""Ensembles of models that see several slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from napari_unet.data.catalog import open_images
from napari_unet.engine.inline import run_inline
from napari_unet.models.ensemble import load_any
from napari_unet.models.model import Model, load_model, save_model
from napari_unet.models.normalization import Normalization
from napari_unet.networks.registry import build_network
from napari_unet.settings import InferenceSettings, NetworkSettings, Recipe, TrainingSettings
from napari_unet.workflow.ensemble.ensemble_task import EnsembleTask
from napari_unet.workflow.ensemble.train_members import TrainMembersTask
from napari_unet.workflow.segment.segment_samples import segment_samples
from napari_unet.workflow.train.recipes import recipe
from napari_unet.workflow.train.train_task import TrainTask
from support.errors import raises_code

if TYPE_CHECKING:
    from pathlib import Path

QUICK = ("filters=2", "depth=1", "epochs=1", "steps_per_epoch=2", "patch=16", "patch_depth=4", "batch_size=2")
WAYS = {
    "2.5d": NetworkSettings(filters=2, depth=1, dimensions="2.5d", slices=3, input_channels=3),
    "3d": NetworkSettings(filters=2, depth=1, dimensions="3d"),
}


def write_stack(file: Path, slices: int) -> np.ndarray:
    image = np.random.default_rng(0).integers(0, 255, (slices, 16, 20)).astype(np.uint8)
    image[:, 4:12, 4:12] |= 128
    file.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(file, image, imagej=True, metadata={"axes": "ZYX", "spacing": 1.0, "unit": "um"},
                     resolution=(1.0, 1.0))  # fmt: skip
    return image


def member(way: str, seed: int, path: Path, scale: float = 1.0) -> Path:
    settings = WAYS[way]
    own = Recipe(
        network=settings, inference=InferenceSettings(flips="none"), training=TrainingSettings(scale=scale)
    )
    normalization = Normalization(channels=settings.input_channels, scale=scale)
    return save_model(Model(own, normalization, ("rod",), build_network(settings, seed)), path)


@pytest.mark.parametrize("way", sorted(WAYS))
def test_the_answer_is_the_mean_of_the_members(tmp_path: Path, way: str) -> None:
    write_stack(tmp_path / "em.tif", 6)
    paths = tuple(member(way, seed, tmp_path / f"m{seed}", 1.0 - 0.5 * (seed == 2)) for seed in (1, 2))
    run_inline(EnsembleTask(paths, tmp_path / "both"))
    samples = open_images([tmp_path / "em.tif"])
    alone = [[r.probabilities for r in segment_samples(samples, load_model(path))] for path in paths]
    together = list(segment_samples(samples, load_any(tmp_path / "both")))
    assert len(together) == 6
    for first, second, both in zip(*alone, together, strict=True):
        np.testing.assert_allclose(both.probabilities, (first + second) / 2, atol=2e-3)
        assert both.disagreement is not None
        half = np.abs(first - second)[..., 0] / 2  # the deviation of two is half of what lies between them
        np.testing.assert_allclose(both.disagreement, half, atol=2e-3)


def test_members_that_see_other_slices_are_not_averaged(tmp_path: Path) -> None:
    paths = member("2.5d", 1, tmp_path / "a"), member("3d", 1, tmp_path / "b")
    with raises_code("model.slices.different", "dimensions=2.5d, slices=3", "dimensions=3d"):
        run_inline(EnsembleTask(paths, tmp_path / "both"))


@pytest.mark.slow
def test_members_are_trained_on_a_volume(tmp_path: Path) -> None:
    image = write_stack(tmp_path / "data" / "images" / "em.tif", 24)
    (tmp_path / "data" / "masks").mkdir()
    mask = np.zeros_like(image)
    mask[:, 4:12, 4:12] = 1
    tifffile.imwrite(tmp_path / "data" / "masks" / "em.tif", mask, imagej=True, metadata={"axes": "ZYX"})
    train = TrainTask(tmp_path / "data", tmp_path / "many", recipe("fast", [*QUICK, "dimensions=3d"]))
    run_inline(TrainMembersTask(train, "seeds", 2))
    many = load_any(tmp_path / "many")
    results = list(segment_samples(open_images([tmp_path / "data" / "images"]), many))
    assert len(results) == 24
    assert all(result.disagreement is not None for result in results)
