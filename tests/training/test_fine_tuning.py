"""Fine-tuning: what a batch is made of, what stays frozen, when it ends, and which weights are kept."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from napari_unet.data.dataset import Dataset
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.errors import Cancelled
from napari_unet.models.normalization import Normalization
from napari_unet.networks.registry import build_network, input_sizes
from napari_unet.progress import CancelToken, Progress
from napari_unet.settings import FineTuneSettings, NetworkSettings, TrainingSettings
from napari_unet.training import fine_tune
from napari_unet.training.feeding.mixed_batches import MixedBatches, make_batches
from napari_unet.training.feeding.prepared_sample import prepare_sample
from napari_unet.training.fine_tune import FineTuning
from napari_unet.training.losses import make_loss

pytestmark = pytest.mark.slow

NETWORK = NetworkSettings(filters=4, depth=2)
TRAINING = TrainingSettings(patch=32)
SETTINGS = FineTuneSettings(batch_pixels=8 * 32 * 32)


def dataset(count: int, value: int, shape: tuple[int, int] = (32, 32), known: float = 1.0) -> Dataset:
    """Images of one grey with a bright disc; of each the first rows are verified."""

    def sample(number: int) -> Sample:
        y, x = np.mgrid[: shape[0], : shape[1]]
        labels = (np.hypot(y - 12 - number, x - 14) < 7).astype(np.uint8)
        image = (value + 90 * labels + np.random.default_rng(number).integers(0, 9, shape)).astype(np.uint8)
        weights = None
        if known < 1:
            weights = np.zeros(shape, np.float32)
            weights[: max(1, int(known * shape[0]))] = 1
        return Sample(str(number), lambda: image[..., None], lambda: ReferenceMask(labels, weights=weights))

    return Dataset("discs", "test", Path(), tuple(sample(n) for n in range(count)))


def mixed(
    corrections: Dataset, replay: Dataset | None, settings: FineTuneSettings = SETTINGS
) -> MixedBatches:
    range_only = Normalization(intensities="range")
    return make_batches(corrections, replay, range_only, TRAINING, settings, input_sizes(NETWORK), 1)


def test_corrections_and_replay_keep_their_shares() -> None:
    batches = mixed(dataset(2, 0), dataset(3, 140), SETTINGS.model_copy(update={"replay": 0.25}))
    assert (batches.size, batches.replayed) == (8, 2)
    for step in range(4):
        darkest = batches.batch(step)[0].min(axis=(1, 2, 3))
        assert (darkest > 0.5).sum() == 2
    again = mixed(dataset(2, 0), dataset(3, 140), SETTINGS.model_copy(update={"replay": 0.25}))
    np.testing.assert_array_equal(batches.batch(3)[0], again.batch(3)[0])


def test_even_one_correction_is_in_every_batch_and_replay_may_be_missing() -> None:
    everything = mixed(dataset(1, 0), dataset(30, 140), SETTINGS.model_copy(update={"replay": 1.0}))
    assert (everything.size, everything.replayed) == (8, 7)
    assert mixed(dataset(1, 0), None).replayed == 0
    assert mixed(dataset(1, 0), dataset(3, 140), SETTINGS.model_copy(update={"replay": 0.0})).replayed == 0


def test_few_images_to_replay_are_met_as_often_as_corrected_ones() -> None:
    half = SETTINGS.model_copy(update={"replay": 0.5})
    assert mixed(dataset(3, 0), dataset(1, 140), half).replayed == 2  # of 8: one image of four
    assert mixed(dataset(3, 0), dataset(3, 140), half).replayed == 4
    assert mixed(dataset(3, 0), dataset(9, 140), half).replayed == 4


def test_patches_of_two_sizes_of_images_have_one_shape() -> None:
    batches = mixed(dataset(1, 0, (24, 24)), dataset(1, 150, (32, 32)))
    assert batches.batch(0)[0].shape[1:3] == (32, 32)


def test_a_few_strokes_are_looked_at_and_heard() -> None:
    large = dataset(1, 0, (128, 128), known=1 / 128)  # one row of 128
    prepared = prepare_sample(large, large.samples[0], Normalization(), TRAINING)
    assert prepared.sparse
    assert set(prepared.foreground[:, 0]) == {0}
    batches = mixed(large, None)
    weights = batches.batch(0)[1][..., -1]
    assert (weights.reshape(len(weights), -1).sum(axis=1) > 0).all()
    # 32 of 1024 pixels are known: raised from 1 to a quarter of 1024 / 32.
    assert weights.max() == pytest.approx(8.0)


def test_what_is_annotated_whole_keeps_its_weights() -> None:
    assert set(np.unique(mixed(dataset(2, 0), None).batch(0)[1][..., -1])) == {1.0}


def tuning(seconds: float = 1.5, settings: FineTuneSettings = SETTINGS, **more: object) -> FineTuning:
    network = build_network(NETWORK, 0)
    return FineTuning(
        network, mixed(dataset(1, 0), dataset(2, 20)), make_loss(NETWORK, TRAINING), TRAINING, settings,
        seconds, **more,  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_budget_of_pixels_does_not_go_by_the_clock() -> None:
    pixels = SETTINGS.model_copy(update={"megapixels": 16 * 8 * 32 * 32 / 1e6})
    scores = iter(range(99))
    told: list[Progress] = []
    run = tuning(1e-3, pixels, validate=lambda: float(next(scores)), on_progress=told.append)
    history = run.run()
    assert run.step == 16
    assert [row["step"] for row in history] == [2, 4, 6, 8, 10, 12, 14, 16]
    assert [p.done for p in told] == pytest.approx([n / 16 for n in range(1, 16)])


def test_pixels_without_a_finite_loss_are_spent_as_well() -> None:
    pixels = SETTINGS.model_copy(update={"megapixels": 3 * 8 * 32 * 32 / 1e6})
    run = tuning(1.0, pixels)
    run.loss = lambda target, logits: float("nan") * make_loss(NETWORK, TRAINING)(target, logits)
    before = run.network.get_weights()
    run.run()
    assert run.step == 0
    for a, b in zip(before, run.network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def statistics(network: object) -> list[np.ndarray]:
    return [np.array(v) for v in network.variables if "moving" in v.path]  # type: ignore[attr-defined]


def test_it_learns_in_its_time_and_batch_statistics_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count(0, 0.02)  # a clock that runs by being read: the machine's speed has no say
    monkeypatch.setattr(fine_tune, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    run = tuning(2.0)
    before = statistics(run.network)
    kernels = [np.array(w) for w in run.network.get_weights()]
    history = run.run()
    assert 2.0 <= next(ticks) < 2.4  # the last step and the last look read it a dozen times
    assert history[-1]["loss"] < history[0]["loss"] or len(history) == 1
    assert len(before) > 0
    for a, b in zip(before, statistics(run.network), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(not np.array_equal(a, b) for a, b in zip(kernels, run.network.get_weights(), strict=True))


def test_the_best_weights_are_kept() -> None:
    scores = iter([0.9, 0.3, 0.2, 0.1] + [0.0] * 99)
    seen: list[tuple[float, list[np.ndarray]]] = []
    run = tuning(settings=SETTINGS.model_copy(update={"megapixels": 0.1}))
    run.validate = lambda: next(scores)
    run.on_validation = lambda row: seen.append((row["held_out_iou"], run.network.get_weights()))
    run.run()
    assert len(seen) >= 2
    best = max(seen, key=lambda s: s[0])[1]
    for a, b in zip(best, run.network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_without_a_score_the_last_weights_are_kept() -> None:
    last: list[list[np.ndarray]] = []
    run = tuning(settings=SETTINGS.model_copy(update={"megapixels": 0.1}))
    run.on_validation = lambda row: last.append(run.network.get_weights())
    run.run()
    for a, b in zip(last[-1], run.network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_stop_keeps_what_was_learned_long_before_the_time_is_up() -> None:
    told: list[Progress] = []
    run = tuning(600.0, on_progress=told.append)
    run.stop = lambda: run.step > 3
    history = run.run()
    assert run.stopped
    assert len(history) == 1
    assert "loss" in told[-1].values


def test_cancel_is_heard() -> None:
    token = CancelToken()
    run = tuning(600.0, cancel=token, on_progress=lambda progress: token.cancel())
    with pytest.raises(Cancelled):
        run.run()
    assert run.step <= 2


def test_the_anchor_takes_back_a_share_of_the_way() -> None:
    run = tuning(1.0, SETTINGS.model_copy(update={"anchor": 4.0}))
    run._begin()
    kernel, first = run._anchors[0]
    kernel.assign(first + 0.8)
    run._draw_back(0.25)
    np.testing.assert_allclose(np.asarray(kernel), first + 0.6, atol=1e-6)


def test_batches_of_other_images_can_have_the_same_shape() -> None:
    large, small = (
        mixed(dataset(1, 0, (32, 32)), None),
        mixed(dataset(2, 0, (16, 16)), dataset(1, 150, (16, 16))),
    )
    small.share_shape(large)
    assert small.batch(0)[0].shape[1:3] == large.batch(0)[0].shape[1:3]
