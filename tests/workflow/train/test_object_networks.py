"""Mask R-CNN through the same workflow: trained, saved, used, averaged; and what it is refused for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.data.catalog import open_dataset
from napari_unet.engine.inline import run_inline
from napari_unet.export.models.onnx_model import onnx_model
from napari_unet.models.model import Model, load_model
from napari_unet.models.normalization import Normalization
from napari_unet.networks.registry import build_network
from napari_unet.settings import NetworkSettings, Recipe
from napari_unet.workflow.finetune.fine_tune_task import FineTuneTask
from napari_unet.workflow.segment.segment_samples import segment_samples
from napari_unet.workflow.train.forecast_task import PlanTask
from napari_unet.workflow.train.recipes import fit_recipe, own_separation, recipe
from napari_unet.workflow.train.train_task import TrainTask
from support.errors import raises_code

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

QUICK = ("epochs=1", "steps_per_epoch=2", "filters=2", "batch_size=1", "patch=64", "flips=none")
QUICK += ("network.name=mask_rcnn",)  # type: ignore[assignment]


def test_trained_saved_used_and_refused(nuclei_folder: Path, tmp_path: Path) -> None:
    trained = run_inline(TrainTask(nuclei_folder, tmp_path / "m", recipe("fast", QUICK)))
    model = load_model(tmp_path / "m")
    assert model.recipe.network.separation == "objects"
    x = np.random.default_rng(0).standard_normal((1, 64, 32, model.normalization.channels)).astype(np.float32)
    outputs = model.outputs(x)
    assert outputs.shape == (1, 64, 32, 2)
    assert ((outputs >= 0) & (outputs <= 1)).all()
    np.testing.assert_array_equal(outputs, trained.outputs(x))
    np.testing.assert_array_equal(outputs[..., :1], model.probabilities(x))
    for result in segment_samples(open_dataset(nuclei_folder).samples[:1], model):
        assert result.separation_kind == "distance"
        assert result.outputs.shape == (*result.mask.shape, 2)
        assert ((result.objects > 0) == (result.mask > 0)).all()
    with raises_code("model.network.objects"):
        run_inline(FineTuneTask(tmp_path / "m", (), tmp_path / "n"))
    with raises_code("model.network.objects"):
        onnx_model(model)


def test_network_and_separation_go_together(nuclei_folder: Path) -> None:
    mine = NetworkSettings(name="mask_rcnn")
    assert own_separation(mine) == "objects"
    assert own_separation(NetworkSettings(separation="star")) == "star"
    with raises_code("settings.separation.unsupported", "border"):
        own_separation(mine.model_copy(update={"separation": "border"}))
    with raises_code("settings.separation.unsupported"):
        fit_recipe(recipe("fast", ["separation=objects"]), open_dataset(nuclei_folder))


def test_a_training_of_it_is_forecast(nuclei_folder: Path) -> None:
    plan = run_inline(PlanTask(nuclei_folder, recipe("fast", QUICK)))
    assert plan.recipe.network.separation == "objects"
    assert plan.step is not None
    assert plan.step.seconds > 0


@pytest.mark.graphs
def test_one_picture_is_learned_by_heart() -> None:
    """Three discs, each found once, within a few hundred steps."""
    from napari_unet.inference.objects import find_objects, split_outputs
    from napari_unet.inference.postprocess import mask_from_probabilities
    from napari_unet.metrics.objects import tally_objects
    from napari_unet.settings import InferenceSettings, TrainingSettings
    from napari_unet.training.fit import compile_network
    from napari_unet.training.learner import learner_for
    from napari_unet.training.losses import make_loss

    y, x = np.mgrid[:64, :96]
    numbers = np.zeros((64, 96), np.float32)
    for number, (cy, cx, radius) in enumerate([(18, 20, 9), (40, 50, 12), (30, 78, 8)], start=1):
        numbers[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = number
    noise = np.random.default_rng(0).normal(0, 0.2, numbers.shape)
    images = (2.0 * (numbers > 0) - 0.7 + noise)[None, ..., None].astype(np.float32)
    targets = np.stack([numbers > 0, numbers, np.ones_like(numbers)], axis=-1)[None].astype(np.float32)
    settings = NetworkSettings(name="mask_rcnn", filters=4, separation="objects")
    network = build_network(settings, seed=0)
    learner, tell = learner_for(network, settings)
    training = TrainingSettings(learning_rate=3e-3)
    compile_network(learner, make_loss(settings, training), training)
    for step in range(150):
        learner.train_on_batch(*tell(images, targets, step))
    model = Model(Recipe(network=settings), Normalization(), ("disc",), network)
    # At the second size it is made for sizes that are only known when it runs.
    assert model.outputs(np.zeros((2, 32, 64, 1), np.float32)).shape == (2, 32, 64, 2)
    probabilities, depth = split_outputs(model.outputs(images)[0], 1)
    mask = mask_from_probabilities(probabilities)
    objects = find_objects(mask, InferenceSettings(), probabilities, depth, "distance")
    assert objects.max() == 3
    assert tally_objects(numbers.astype(np.int32), objects).f1(0.5) == 1.0


def test_of_two_classes_each_has_its_channel() -> None:
    """Whatever the activation: an object network knows no background channel."""
    settings = NetworkSettings(
        name="mask_rcnn", filters=2, classes=2, activation="softmax", separation="objects", input_channels=1
    )
    model = Model(
        Recipe(network=settings), Normalization(), ("left", "right"), network=build_network(settings)
    )
    x = np.random.default_rng(0).standard_normal((1, 64, 64, 1)).astype(np.float32)
    assert model.outputs(x).shape == (1, 64, 64, 3)  # left, right, depth
    assert model.probabilities(x).shape == (1, 64, 64, 2)
