"""Trainings that start from the ImageNet weights in the program, and what their models say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.engine.inline import run_inline
from napari_unet.models.model import load_model
from napari_unet.models.model_folder import read_settings
from napari_unet.networks.encoders import efficientnet_lite as lite
from napari_unet.networks.encoders.vgg import PREFIX
from napari_unet.networks.registry import build_network
from napari_unet.networks.transfer import use_pretrained
from napari_unet.training.fit import to_numpy
from napari_unet.workflow.train.recipes import recipe
from napari_unet.workflow.train.train_task import TrainTask

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from napari_unet.models.model import Model

pytestmark = pytest.mark.slow

SHORT = [
    "network.name=encoder_unet", f"encoder={lite.NAME}", "depth=2", "filters=2", "epochs=1",
    "steps_per_epoch=5", "batch_size=2", "patch=32", "precision=float32", "averaging=0",
]  # fmt: skip


def trained(data: Path, out: Path, *changes: str, init: Path | None = None) -> Model:
    run_inline(TrainTask(data, out, recipe("fast", [*SHORT, *changes]), init=init))
    return load_model(out)


def stem(network: Any) -> np.ndarray:
    return to_numpy(network.get_layer(f"{PREFIX}stem").kernel)


def logits(network: Any) -> np.ndarray:
    return to_numpy(network.get_layer("logits").kernel)


def test_a_training_starts_from_the_weights_in_the_program(salt_folder: Path, tmp_path: Path) -> None:
    model = trained(salt_folder, tmp_path / "one", "frozen=1")
    assert model.recipe.training.pretrained == ""
    published = build_network(model.recipe.network)
    use_pretrained(published, model.recipe.network, "")
    np.testing.assert_array_equal(stem(model.network), stem(published))  # frozen
    assert not np.array_equal(logits(model.network), logits(published))
    told = model.provenance["pretrained"]
    assert (told["licence"], told["source"]) == ("Apache-2.0", "arXiv:1905.11946")
    # Who trains further owes them as much.
    further = trained(salt_folder, tmp_path / "two", init=tmp_path / "one")
    assert further.provenance["pretrained"] == told
    assert not np.array_equal(stem(further.network), stem(published))


def test_a_training_from_random_weights_owes_nothing(salt_folder: Path, tmp_path: Path) -> None:
    model = trained(salt_folder, tmp_path / "random", "frozen=1", "pretrained=none")
    at_random = build_network(model.recipe.network, model.recipe.training.seed)
    np.testing.assert_array_equal(stem(model.network), stem(at_random))
    assert not np.array_equal(logits(model.network), logits(at_random))
    assert "pretrained" not in read_settings(tmp_path / "random")[3]
