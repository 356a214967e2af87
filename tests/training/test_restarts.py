"""Descents of the learning rate, the snapshots at their ends, and the average of those."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.data.dataset import Dataset
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.models.normalization import Normalization
from napari_unet.networks.registry import build_network, input_sizes
from napari_unet.settings import NetworkSettings, TrainingSettings
from napari_unet.training import fit
from napari_unet.training.checkpoint import TrainingState, load_state, save_state
from napari_unet.training.feeding.batches import TrainingBatches
from napari_unet.training.fit import Training
from napari_unet.training.losses import make_loss
from napari_unet.training.schedule import descents, learning_rate
from napari_unet.training.snapshots import average_of, remeasure_batch_norm

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

NETWORK = NetworkSettings(filters=2, depth=1)
RESTARTS = TrainingSettings(
    schedule="cosine_restarts",
    restarts=2,
    epochs=4,
    steps_per_epoch=4,
    batch_size=2,
    patch=16,
    averaging=0.0,
    learning_rate=0.01,
    warm_up=0.1,
)


def test_the_rate_comes_down_three_times() -> None:
    assert descents(RESTARTS) == [0.5, 0.75, 1.0]
    assert descents(TrainingSettings()) == [1.0]
    rate = [learning_rate(RESTARTS, p) for p in (0.1, 0.3, 0.4999999, 0.5, 0.625, 0.75, 1.0)]
    assert rate == pytest.approx([0.01, 0.00505, 0.0001, 0.005, 0.00255, 0.005, 0.0001], rel=1e-3)


def test_the_mean_of_the_last_snapshots_by_hand() -> None:
    snapshots = [np.full((2,), float(n)) for n in (1, 10, 2, 20, 6, 60)]  # three, of two arrays each
    assert [a[0] for a in average_of(snapshots, 2, 2)] == [4, 40]
    assert [a[0] for a in average_of(snapshots, 2, 3)] == [3, 30]


def training(score: object, settings: TrainingSettings = RESTARTS) -> Training:
    def sample(number: int) -> Sample:
        labels = np.zeros((16, 16), np.uint8)
        labels[2 : 8 + number, 3:9] = 1
        image = (100 * labels + 50).astype(np.uint8)[..., None]
        return Sample(str(number), lambda: image, lambda: ReferenceMask(labels))

    data = Dataset("squares", "test", Path(), tuple(sample(n) for n in range(2)))
    batches = TrainingBatches(data, Normalization(), settings, input_sizes(NETWORK), 1)
    return Training(
        build_network(NETWORK),
        batches,
        make_loss(NETWORK, settings),
        settings,
        validate=score,  # type: ignore[arg-type]
    )


def test_the_average_of_snapshots_is_taken_where_it_scores_best(tmp_path: Path) -> None:
    scores = iter([0.1, 0.5, 0.3, 0.4, 0.6, 0.55])  # four ends of epochs; the average of two, of three
    run = training(lambda: next(scores))
    state = run.run()
    size = len(run.network.get_weights())
    assert len(state.snapshots) == 3 * size  # at epochs 2, 3 and 4
    assert (state.best_score, state.averaged) == (0.6, 2)
    found = run.network.get_weights()
    kernels = [n for n, w in enumerate(found) if w.ndim == 4]
    wanted = average_of(state.snapshots, size, 2)
    for n in kernels:
        np.testing.assert_array_equal(found[n], wanted[n])
    assert any(np.ptp([state.snapshots[n], state.snapshots[n + size]], axis=0).max() > 0 for n in kernels)
    save_state(state, tmp_path / "s.npz", "f")
    again = load_state(tmp_path / "s.npz", "f")
    assert (len(again.snapshots), again.averaged) == (3 * size, 2)


def test_a_descent_that_ends_while_the_network_is_scored_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes a second, a score two: 29 steps and the first score pass half of the minute."""
    clock = SimpleNamespace(now=0.0)

    def take(seconds: float) -> float:
        clock.now += seconds
        return 0.5

    monkeypatch.setattr(fit, "time", SimpleNamespace(monotonic=lambda: clock.now))
    run = training(lambda: take(2), RESTARTS.model_copy(update={"minutes": 1.0, "steps_per_epoch": 29}))
    real = run.batches.stream

    def slowly(step: int) -> Iterator[object]:
        for batch in real(step):
            take(1)
            yield batch

    run.batches.stream = slowly  # type: ignore[method-assign, assignment]
    state = run.run()
    assert [row["step"] for row in state.history] == [29, 43, 56]  # at 29 + 2, 45 + 2 and 60 + 2 seconds
    assert len(state.snapshots) == 3 * len(state.average)


def test_a_single_descent_is_kept_where_it_scores_best() -> None:
    scores = iter([0.1, 0.5, 0.3, 0.7, 0.6, 0.55])
    run = training(lambda: next(scores))
    state: TrainingState = run.run()
    assert (state.best_score, state.averaged, state.best_epoch) == (0.7, 0, 4)
    for found, wanted in zip(run.network.get_weights(), state.snapshots[-len(state.best) :], strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_statistics_are_those_of_what_the_network_computes_now() -> None:
    run = training(lambda: 0.0)
    network = run.network
    norm = next(layer for layer in network.layers if type(layer).__name__ == "BatchNormalization")
    gamma, beta, *_ = norm.get_weights()
    norm.set_weights([gamma, beta, np.full_like(beta, 7), np.full_like(beta, 9)])
    remeasure_batch_norm(network, run.batches)
    import keras

    before = keras.Model(network.input, norm.input)
    seen = np.concatenate([np.asarray(before(run.batches.batch(n)[0])) for n in range(60)])
    np.testing.assert_allclose(norm.get_weights()[2], seen.mean(axis=(0, 1, 2)), atol=0.05 * 7 + 0.1)
