"""The device on which Keras computes decides on the precision, whoever asks."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_unet.data.catalog import open_dataset
from napari_unet.data.sample import Sample
from napari_unet.engine import hardware
from napari_unet.engine.inline import run_inline
from napari_unet.errors import Cancelled
from napari_unet.settings import InferenceSettings
from napari_unet.workflow.own_project import own_projects
from napari_unet.workflow.predict import PredictTask
from napari_unet.workflow.recipes import fit_recipe, recipe
from napari_unet.workflow.references import refer
from napari_unet.workflow.segment import GPU_BATCH_PIXELS, segment_samples

sys.path.insert(0, str(Path(__file__).parents[1]))

from tiny_models import write_tiny_model

SOURCE = Path(hardware.__file__).parents[1]
CARDS = {"NVIDIA A100": "mixed_bfloat16", "Tesla T4": "mixed_float16", "Tesla P100": "float32"}


@pytest.fixture(params=list(CARDS))
def card(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A graphics processor, beside a processor that says the opposite."""
    name = str(request.param)
    features = frozenset({"amx_bf16"} if name == "Tesla P100" else ())
    monkeypatch.setattr(hardware, "working_gpu", lambda: name)
    monkeypatch.setattr(hardware, "processor_features", lambda: features)
    return name


def test_training_takes_the_precision_of_the_card(card: str, salt_folder: Path) -> None:
    fitted = fit_recipe(recipe("fast"), open_dataset(salt_folder))
    assert fitted.training.precision == CARDS[card]


def test_segmenting_takes_precision_and_batches_of_the_card(
    card: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    class Cache:
        def load(self, path: Path, precision: str) -> Any:
            asked.append(precision)
            raise Cancelled

    monkeypatch.setattr("napari_unet.workflow.predict.warm_models", Cache)
    sample = Sample("a", lambda: np.zeros((16, 16, 1), np.uint8))
    task = PredictTask(tmp_path, (refer(sample, None),), tmp_path, InferenceSettings())
    with pytest.raises(Cancelled):
        run_inline(task)
    assert asked == [CARDS[card]]
    taken: list[int] = []
    monkeypatch.setattr(
        "napari_unet.workflow.segment._by_one",
        lambda samples, model, settings, *rest: taken.append(settings.batch_pixels) or [],
    )
    from napari_unet.models.model import load_model

    list(segment_samples([sample], load_model(write_tiny_model(tmp_path / "m"))))
    assert taken == [GPU_BATCH_PIXELS]


def test_nobody_decides_on_a_precision_but_by_the_one_function() -> None:
    """`precision_for` takes a device from whoever calls it: only the doctor, who asks another process."""
    callers, arguments = set(), []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(node, "func", None)
            called = getattr(name, "id", getattr(name, "attr", ""))
            if called == "precision_for":
                callers.add(path.relative_to(SOURCE).as_posix())
            elif called == "default_precision":
                arguments += [(path.name, len(node.args) + len(node.keywords))]  # type: ignore[attr-defined]
    assert callers == {"engine/hardware.py", "workflow/doctor.py"}
    assert len(arguments) > 20
    assert all(count == 0 for _, count in arguments)


def test_projects_of_the_tests_are_not_among_the_persons(tmp_path_factory: pytest.TempPathFactory) -> None:
    """On every system alike: platformdirs heeds other variables on Windows than on Linux, none on macOS."""
    from platformdirs import user_data_path

    assert own_projects().is_relative_to(tmp_path_factory.getbasetemp())
    assert not own_projects().is_relative_to(user_data_path("napari-unet"))
