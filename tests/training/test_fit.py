"""Batches, the loop, and what a killed run leaves behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_unet.data.dataset import Dataset
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.errors import Cancelled
from napari_unet.models.model import Model
from napari_unet.models.normalization import Normalization
from napari_unet.networks.registry import build_network, input_sizes
from napari_unet.networks.sizes import InputSizes
from napari_unet.progress import CancelToken
from napari_unet.settings import AugmentationSettings, NetworkSettings, Recipe, TrainingSettings
from napari_unet.training.checkpoint import TrainingState, load_state, save_state
from napari_unet.training.feeding.batches import TrainingBatches
from napari_unet.training.feeding.prepared_sample import prepare_sample
from napari_unet.training.fit import Training, forget_momentum
from napari_unet.training.losses import make_loss
from napari_unet.training.schedule import learning_rate, progress_of
from napari_unet.training.warm import WarmModel
from support.errors import raises_code

pytestmark = pytest.mark.slow

NETWORK = NetworkSettings(filters=4, depth=1)
SIZES = input_sizes(NETWORK)


def disc_dataset(count: int = 4, shape: tuple[int, int] = (32, 40)) -> Dataset:
    """Bright discs on dark noise."""

    def sample(number: int) -> Sample:
        rng = np.random.default_rng(number)
        y, x = np.mgrid[: shape[0], : shape[1]]
        cy, cx = rng.integers(8, shape[0] - 8), rng.integers(8, shape[1] - 8)
        labels = (np.hypot(y - cy, x - cx) < 6).astype(np.uint8)
        image = (60 + 120 * labels + rng.integers(0, 40, shape)).astype(np.uint8)[..., None]
        return Sample(str(number), lambda: image, lambda: ReferenceMask(labels))

    return Dataset("discs", "test", Path(), tuple(sample(n) for n in range(count)))


def batches(training: TrainingSettings, dataset: Dataset | None = None) -> TrainingBatches:
    return TrainingBatches(
        disc_dataset() if dataset is None else dataset, Normalization(), training, SIZES, 1
    )


SETTINGS = TrainingSettings(
    epochs=3,
    steps_per_epoch=4,
    batch_size=2,
    patch=32,
    learning_rate=0.01,
    augmentation=AugmentationSettings(symmetry="dihedral", rotation=10, noise=0.1),
)


def training(settings: TrainingSettings = SETTINGS, **more: object) -> Training:
    precision = "float32" if settings.precision == "auto" else settings.precision
    network = build_network(NETWORK, settings.seed, precision)
    return Training(network, batches(settings), make_loss(NETWORK, settings), settings, **more)  # type: ignore[arg-type]


def test_a_batch_is_the_same_whenever_it_is_asked_for() -> None:
    one, two = batches(SETTINGS), batches(SETTINGS)
    late = one.batch(7)
    for step in range(3):
        two.batch(step)
    for a, b in zip(late, two.batch(7), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(late[0], one.batch(8)[0])
    stream = one.stream(7)
    np.testing.assert_array_equal(next(stream)[0], late[0])
    stream.close()


def test_shapes_of_a_batch() -> None:
    images, targets = batches(SETTINGS).batch(0)
    assert images.shape == (2, 32, 32, 1)
    assert targets.shape == (2, 32, 32, 2)
    assert images.dtype == targets.dtype == np.float32
    assert set(np.unique(targets)) <= {0, 1}


def test_unpadded_networks_get_a_wider_input_than_target() -> None:
    sizes = InputSizes(4, 44, 0, 20)
    maker = TrainingBatches(disc_dataset(), Normalization(), SETTINGS, sizes, 1)
    images, targets = maker.batch(0)
    assert images.shape[1:3] == (72, 72)
    assert targets.shape[1:3] == (32, 32)


def test_every_image_comes_once_a_pass() -> None:
    maker = batches(SETTINGS.model_copy(update={"patch": 64}), disc_dataset(6))
    drawn = [maker.drawn(position)[0] for position in range(12)]
    assert sorted(drawn[:6]) == sorted(drawn[6:]) == list(range(6))


def test_automatic_batches_and_steps() -> None:
    maker = batches(TrainingSettings(patch=32, megapixels=1.0))
    assert maker.batch_size == 16
    assert maker.total_steps == round(1e6 / (32 * 32 * 16))
    large = TrainingBatches(disc_dataset(2, (300, 300)), Normalization(), TrainingSettings(), SIZES, 1)
    assert large.shape == (256, 256)
    assert large.batch_size == 4


def test_a_mask_of_another_size_is_refused() -> None:
    wrong = Sample(
        "a", lambda: np.zeros((8, 9, 1), np.uint8), lambda: ReferenceMask(np.zeros((9, 8), np.uint8))
    )
    dataset = Dataset("d", "test", Path(), (wrong,))
    with raises_code("data.mask.size", "mask of a", "9 x 8", "8 x 9"):
        prepare_sample(dataset, wrong, Normalization(), SETTINGS)


def test_nothing_to_train_on_is_refused() -> None:
    with raises_code("training.images.missing"):
        batches(SETTINGS, Dataset("d", "test", Path(), ()))


def test_the_schedule_by_hand() -> None:
    settings = TrainingSettings(learning_rate=1.0, warm_up=0.2, epochs=10)
    assert learning_rate(settings, 0.1) == pytest.approx(0.5)
    assert learning_rate(settings, 0.2) == pytest.approx(1.0)
    assert learning_rate(settings, 0.6) == pytest.approx(0.01 + 0.99 * 0.5)
    assert learning_rate(settings, 1.0) == pytest.approx(0.01)
    assert progress_of(settings, 25, 100, 1e9) == 0.25
    assert progress_of(settings.model_copy(update={"minutes": 2.0}), 25, 100, 90.0) == 0.75


@pytest.mark.graphs
def test_training_learns_and_the_same_seed_gives_the_same_weights() -> None:
    rows: list[dict[str, float]] = []
    one = training(on_epoch=rows.append)
    one.run()
    two = training()
    two.run()
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[-1]["loss"] < rows[0]["loss"]
    for a, b in zip(one.network.get_weights(), two.network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.graphs
def test_a_resumed_run_ends_where_an_undisturbed_one_does(tmp_path: Path) -> None:
    whole = training()
    whole.run()
    file = tmp_path / "state.npz"
    cancel = CancelToken()

    def save_and_stop(state: TrainingState) -> None:
        save_state(state, file, "same")
        if state.epoch == 2:
            cancel.cancel()

    stopped = training(save=save_and_stop, cancel=cancel)
    with pytest.raises(Cancelled):
        stopped.run()
    again = training()
    finished = again.run(load_state(file, "same"))
    assert finished.epoch == 3
    assert [row["epoch"] for row in finished.history] == [1, 2, 3]
    for a, b in zip(whole.network.get_weights(), again.network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_state_of_another_run_or_a_cut_off_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "state.npz"
    save_state(TrainingState(step=3, average=[np.ones(2)]), file, "one")
    assert load_state(file, "one").step == 3
    with raises_code("training.state.different"):
        load_state(file, "two")
    file.write_bytes(file.read_bytes()[:100])
    with raises_code("training.state.unreadable"):
        load_state(file, "one")


def test_the_best_weights_are_kept() -> None:
    scores = iter([0.2, 0.9, 0.1])
    run = training(SETTINGS.model_copy(update={"steps_per_epoch": 5}), validate=lambda: next(scores, 0.0))
    run._validation_seconds = -1e9  # score after every epoch, however long it takes
    state = run.run()
    assert state.best_score == 0.9
    assert state.best_epoch == 2
    for kept, now in zip(state.best, run.network.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, now)


def test_work_and_not_the_clock_decides_which_epochs_are_scored() -> None:
    """A score takes 1.6 times what is due in an epoch: after 3 epochs 2 scores are 3.2, which is too much."""
    settings = SETTINGS.model_copy(update={"epochs": 8, "steps_per_epoch": 2})
    for seconds in (-1e9, 1e9):  # by the clock, all epochs would be scored, or none
        run = training(settings, validate=lambda: 0.5)
        run._validation_seconds = seconds
        run.validation_pixels = round(1.6 * 0.1 * 3 * 2 * run.batches.pixels_a_step)
        scored = [row["epoch"] for row in run.run().history if np.isfinite(row["validation_iou"])]
        assert scored == [1, 2, 4, 5, 7, 8]  # the last one always


def test_patience_stops_early() -> None:
    settings = SETTINGS.model_copy(update={"epochs": 50, "patience": 2})
    run = training(settings, validate=lambda: 0.5 if run.state.epoch == 1 else 0.1)  # type: ignore[has-type]
    run._validation_seconds = -1e9
    assert run.run().epoch == 3


def test_a_time_budget_ends_the_training() -> None:
    settings = SETTINGS.model_copy(update={"epochs": 0, "minutes": 0.02, "steps_per_epoch": 3})
    state = training(settings).run()
    assert 1.2 <= state.seconds < 20


def test_a_loss_that_is_not_a_number_ends_in_words() -> None:
    from keras import ops

    run = training()
    run.loss = lambda target, logits: ops.sum(logits) * float("nan")
    with raises_code("training.loss.diverged"):
        run.run()


@pytest.mark.parametrize("precision", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_after_a_stumble_it_goes_on_at_half_the_rate(precision: str) -> None:
    run = training(SETTINGS.model_copy(update={"precision": precision}))
    batch = run.batches.batch
    stumbled: list[int] = []

    def once_nan(step: int) -> tuple[np.ndarray, np.ndarray]:
        images, targets = batch(step)
        if step == 1 and not stumbled:
            stumbled.append(step)
            images = images * np.float32("nan")
        return images, targets

    run.batches.batch = once_nan  # type: ignore[method-assign]
    state = run.run()
    assert stumbled == [1]
    assert state.rate_factor == 0.5
    assert all(np.isfinite(w).all() for w in run.network.get_weights())


def test_forgetting_momentum_leaves_the_scale_of_the_loss() -> None:
    settings = SETTINGS.model_copy(update={"precision": "mixed_float16", "epochs": 1})
    run = training(settings)
    run.run()
    optimizer = run.learner.optimizer
    first = optimizer.initial_scale
    optimizer.dynamic_scale.assign(first / 4)
    forget_momentum(optimizer)
    assert float(optimizer.dynamic_scale) == first / 4
    assert int(optimizer.inner_optimizer.iterations) == 4  # one epoch of four steps
    moments = [v for v in optimizer.inner_optimizer.variables if "momentum" in v.path or "velocity" in v.path]
    assert len(moments) == 2 * len(run.network.trainable_variables)
    assert all(not np.asarray(v).any() for v in moments)
    forget_momentum(optimizer, restart=True)
    assert float(optimizer.dynamic_scale) == first
    assert int(optimizer.step_counter) == int(optimizer.inner_optimizer.iterations) == 0
    assert float(optimizer.learning_rate) > 0


def test_a_warm_network_in_half_precision_keeps_learning() -> None:
    settings = SETTINGS.model_copy(update={"precision": "mixed_float16"})

    def model() -> Model:
        network = build_network(NETWORK, 0, "mixed_float16")
        return Model(Recipe(name="a", network=NETWORK, training=settings), Normalization(), ("a",), network)

    kept = WarmModel()
    first, second = model(), model()
    run = training(settings)
    Training(first.network, run.batches, run.loss, settings).run()
    kept.keep(first)
    warm = kept.take(second)
    assert warm is first
    assert float(warm.network.optimizer.dynamic_scale) == warm.network.optimizer.initial_scale
    before = [np.array(v) for v in warm.network.trainable_variables]
    images, targets = run.batches.batch(0)
    for _ in range(2):  # as fine-tuning does it: not compiled once more, which would hide what was forgotten
        warm.network.train_on_batch(images, targets)
    assert all(np.isfinite(w).all() for w in warm.network.get_weights())
    assert any(
        (a != np.array(v)).any() for a, v in zip(before, warm.network.trainable_variables, strict=True)
    )


def test_what_was_learned_before_it_went_wrong_is_kept() -> None:
    run = training(validate=lambda: 0.7)
    batch = run.batches.batch
    run.batches.batch = lambda step: tuple(a * np.float32("nan" if step > 5 else 1) for a in batch(step))  # type: ignore[assignment, method-assign, return-value]
    state = run.run()
    assert state.epoch == 1
    assert state.best_score == 0.7
    assert all(np.isfinite(w).all() for w in run.network.get_weights())
