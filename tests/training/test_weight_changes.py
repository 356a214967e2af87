"""A model answers with the weights it has now, however they came to be others."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import napari_unet
from napari_unet.data.dataset import Dataset
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.models.model import Model, load_model, save_model
from napari_unet.models.normalization import Normalization
from napari_unet.networks.registry import build_network, input_sizes
from napari_unet.progress import CancelToken, ignore_progress
from napari_unet.settings import (
    EvaluationSettings,
    FineTuneSettings,
    NetworkSettings,
    Recipe,
    TrainingSettings,
)
from napari_unet.training.feeding.batches import TrainingBatches
from napari_unet.training.feeding.mixed_batches import make_batches
from napari_unet.training.fine_tune import FineTuning
from napari_unet.training.fit import Training
from napari_unet.training.losses import make_loss
from napari_unet.training.warm import WarmModel
from napari_unet.workflow.finetune.held_out_gate import HeldOutGate
from napari_unet.workflow.train.trained_from import start_from

if TYPE_CHECKING:
    from collections.abc import Iterator

NETWORK = NetworkSettings(filters=2, depth=1)  # with batch normalization, which is folded away
SETTINGS = TrainingSettings(epochs=2, steps_per_epoch=2, batch_size=2, patch=16, learning_rate=0.05)
RESTARTS = TrainingSettings(
    epochs=4, steps_per_epoch=2, batch_size=2, patch=16, learning_rate=0.05, schedule="cosine_restarts"
)
IMAGES = np.random.default_rng(0).normal(size=(2, 16, 16, 1)).astype(np.float32)


pytestmark = pytest.mark.slow


def new_model(seed: int = 0, network: NetworkSettings = NETWORK) -> Model:
    recipe = Recipe(network=network, training=SETTINGS)
    return Model(recipe, Normalization(), ("one",), build_network(network, seed))


def squares(count: int = 2) -> Dataset:
    def sample(number: int) -> Sample:
        labels = np.zeros((16, 16), np.uint8)
        labels[2 : 8 + number % 5, 3:9] = 1
        image = (100 * labels + 50 + number).astype(np.uint8)[..., None]
        return Sample(f"{number}", lambda: image, lambda: ReferenceMask(labels))

    return Dataset("squares", "test", Path(), tuple(sample(n) for n in range(count)))


class Watched:
    """A model, and whether its folded copy says what its network says, whenever it is asked."""

    def __init__(self, model: Model | None = None) -> None:
        self.model = new_model() if model is None else model
        self.answers: list[np.ndarray[Any, Any]] = []
        self.check()

    def check(self, *_: object) -> float:
        """Compare the copy with the network itself, layer by layer; gives a score that grows."""
        said = self.model.outputs(IMAGES)
        logits = np.asarray(self.model.network(IMAGES, training=False), np.float32)
        np.testing.assert_allclose(said, 1 / (1 + np.exp(-logits)), atol=1e-5)
        self.answers.append(said)
        return len(self.answers) / 1000

    @property
    def different(self) -> int:
        """How many answers there were."""
        return len({a.tobytes() for a in self.answers})


def run_of(watched: Watched, settings: TrainingSettings, **more: Any) -> Training:
    data = TrainingBatches(squares(), Normalization(), settings, input_sizes(NETWORK), 1)
    return Training(
        watched.model.network,
        data,
        make_loss(NETWORK, settings),
        settings,
        validate=watched.check,
        weights_changed=watched.model.weights_changed,
        on_progress=watched.check,
        **more,
    )


def test_nothing_is_folded_again_while_nobody_says_that_weights_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched = Watched()
    refreshed: list[int] = []
    folded = watched.model._folded
    assert folded is not None
    assert folded.pairs
    monkeypatch.setattr(type(folded), "refresh", lambda self: refreshed.append(1))
    watched.check()
    assert refreshed == []
    watched.model.weights_changed()
    watched.check()
    watched.check()
    assert refreshed == [1]
    assert watched.different == 1


@pytest.mark.parametrize("settings", [SETTINGS, RESTARTS], ids=["plain", "restarts"])
def test_training_tells_after_every_step_and_every_exchange(settings: TrainingSettings) -> None:
    watched = Watched()
    epochs: list[dict[str, float]] = []

    def on_epoch(row: dict[str, float]) -> None:
        watched.check()
        epochs.append(row)

    state = run_of(watched, settings, on_epoch=on_epoch).run()
    watched.check()
    assert len(epochs) == settings.epochs
    assert watched.different > 2 * settings.epochs
    best = new_model(5).network
    best.set_weights(state.best)
    logits = np.asarray(best(IMAGES, training=False), np.float32)
    np.testing.assert_allclose(watched.answers[-1], 1 / (1 + np.exp(-logits)), atol=1e-5)


def test_training_that_resumes_tells() -> None:
    first = Watched()
    state = run_of(first, SETTINGS).run()
    watched = Watched(new_model(3))
    run = run_of(watched, SETTINGS)
    run.learner.compile(optimizer="adamw", loss="mse")
    run.learner.optimizer.build(run.learner.trainable_variables)
    state.optimizer = [np.array(v) for v in run.learner.optimizer.variables]
    run._start(state)
    watched.check()
    assert watched.different == 2


def test_training_that_recovers_tells() -> None:
    watched = Watched()
    run = run_of(watched, SETTINGS)
    run.run()
    watched.check()
    run._good = [w + 0.5 for w in run._weights()]
    run._recover()
    watched.check()
    assert not np.allclose(watched.answers[-1], watched.answers[-2], atol=1e-3)


def test_fine_tuning_tells_after_every_step_and_every_look() -> None:
    watched = Watched()
    settings = FineTuneSettings(megapixels=6 * 16 * 16 * 16 / 1e6, learning_rate=0.05)
    batches = make_batches(squares(), None, Normalization(), SETTINGS, settings, input_sizes(NETWORK), 1)
    tuning = FineTuning(
        watched.model.network,
        batches,
        make_loss(NETWORK, SETTINGS),
        SETTINGS,
        settings,
        1.0,
        validate=watched.check,
        on_validation=watched.check,
        weights_changed=watched.model.weights_changed,
        on_progress=watched.check,
    )
    tuning.run()
    watched.check()
    assert tuning.step > 1
    assert watched.different > tuning.step


def test_the_gate_tells_which_of_the_two_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched()
    before = watched.model.network.get_weights()
    watched.model.network.set_weights([w + 0.3 for w in before])
    watched.model.weights_changed()
    scores = HeldOutGate._scores

    def checked(gate: HeldOutGate, dataset: Dataset) -> dict[str, float]:
        watched.check()
        return scores(gate, dataset)

    monkeypatch.setattr(HeldOutGate, "_scores", checked)
    gate = HeldOutGate(watched.model, squares(3), EvaluationSettings(), ignore_progress, CancelToken())
    gate.compare(before)
    old, new = watched.answers[1:]
    np.testing.assert_array_equal(old, watched.answers[0])
    assert not np.allclose(old, new, atol=1e-3)
    watched.check()
    np.testing.assert_array_equal(watched.answers[-1], new)


def test_a_start_from_another_model_tells(tmp_path: Path) -> None:
    watched, other = Watched(), new_model(7)
    start_from(watched.model, save_model(other, tmp_path / "other"))
    watched.check()
    np.testing.assert_allclose(watched.answers[-1], other.outputs(IMAGES), atol=1e-5)
    assert watched.different == 2


def test_a_warm_model_tells() -> None:
    watched, other = Watched(), new_model(7)
    run_of(watched, SETTINGS).run()
    warm = WarmModel()
    warm.keep(watched.model)
    assert warm.take(other) is watched.model
    watched.check()
    np.testing.assert_allclose(watched.answers[-1], other.outputs(IMAGES), atol=1e-5)


def test_another_network_needs_no_telling(tmp_path: Path) -> None:
    watched = Watched(load_model(save_model(new_model(), tmp_path / "model")))
    watched.model.network = new_model(7).network
    watched.check()
    assert watched.different == 2


# Functions that change weights and need not say so, with the reason.
SILENT = {
    "models/keras_import/adoption.py": "a network on its way into a model",
    "models/keras_import/keras_graph.py": "a network on its way into a model",
    "models/weights.py": "a network on its way into a model",
    "models/model.py": "a network on its way into a model",
    "training/snapshots.py": "Training says it",
    "training/forecast.py": "the network is thrown away",
}
METHODS = {"set_weights", "train_on_batch", "fit", "load_weights"}  # of a network of Keras
FUNCTIONS = {"copy_weights", "use_pretrained", "load_weights"}  # of ours
ROOMS = ("models", "training", "inference", "evaluation", "export", "project", "workflow", "cli", "session")


def changes_weights(node: ast.AST) -> bool:
    """Whether a call changes the weights of a network: by its name, or as it learns from a batch."""
    if not isinstance(node, ast.Call):
        return False
    if any(k.arg == "training" and ast.unparse(k.value) == "True" for k in node.keywords):
        return True
    called = node.func
    if isinstance(called, ast.Attribute):
        return called.attr in METHODS
    return isinstance(called, ast.Name) and called.id in FUNCTIONS


def silent_functions(root: Path) -> Iterator[tuple[str, str]]:
    for room in ROOMS:
        for file in sorted((root / room).rglob("*.py")):
            for function in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if not isinstance(function, ast.FunctionDef):
                    continue
                says = "weights_changed" in ast.unparse(function)
                if not says and any(map(changes_weights, ast.walk(function))):
                    yield file.relative_to(root).as_posix(), function.name


def test_whoever_changes_weights_says_so() -> None:
    found = list(silent_functions(Path(napari_unet.__file__).parent))
    assert [f for f in found if f[0] not in SILENT] == []
    assert {f[0] for f in found} == set(SILENT)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("model.network.set_weights(w)", True),
        ("model.network.set_weights(w)\n    model.weights_changed()", False),
        ("network(batch, training=True)", True),
        ("network(batch, training=False)", False),
    ],
)
def test_who_does_not_is_found(tmp_path: Path, code: str, found: bool) -> None:
    (tmp_path / "workflow").mkdir()
    (tmp_path / "workflow" / "bad.py").write_text(f"def f(model, network, batch, w):\n    {code}\n")
    assert bool(list(silent_functions(tmp_path))) == found
