"""A network that answers many batches at one time is asked so, and gives the same masks in the same order."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from napari_unet.errors import Cancelled
from napari_unet.inference import predict
from napari_unet.inference.predict import predict_probabilities
from napari_unet.networks.sizes import InputSizes
from napari_unet.progress import CancelToken
from napari_unet.settings import InferenceSettings

SIZES = InputSizes(multiple=8, minimum=8)
SETTINGS = InferenceSettings(batch_pixels=8 * 8 * 8, flips="none")  # eight images of 8 x 8 pixels


class Doubling:
    """A network that gives half of what it gets; in two lanes, of which every other answer is late."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.in_lanes_batches: list[int] = []
        self.threads: set[str] = set()
        self.answered = 0

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.batches.append(len(images))
        return images / 2

    def in_lanes(self) -> tuple[predict.Network, int]:
        return self.answer, 2

    def answer(self, images: np.ndarray) -> np.ndarray:
        self.in_lanes_batches.append(len(images))
        self.threads.add(threading.current_thread().name)
        self.answered += 1
        if self.answered % 2:
            time.sleep(0.01)
        if images.max() > 400:
            raise MemoryError
        return images / 2


def images(count: int) -> list[np.ndarray]:
    return [np.full((8, 8, 1), number / 1000, np.float32) for number in range(count)]


def test_lanes_open_once_enough_came_and_keep_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "LANES_AFTER", 3)
    network = Doubling()
    found = list(predict_probabilities(images(203), network, SIZES, SETTINGS))
    np.testing.assert_allclose([f[0, 0, 0] for f in found], np.arange(203) / 2000, rtol=1e-6)
    # 3 batches of 8, then each lane gets half as many at a time; the last 3 are filled up to 4.
    assert network.batches == [8, 8, 8]
    assert network.in_lanes_batches == [4] * 45
    assert len(network.threads) == 2


def test_few_images_open_no_lanes() -> None:
    network = Doubling()
    list(predict_probabilities(images(15 * 8), network, SIZES, SETTINGS))
    assert network.batches == [8] * 15
    assert not network.in_lanes_batches


def test_an_image_of_another_size_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "LANES_AFTER", 1)
    asked = 0

    def some() -> object:
        nonlocal asked
        for image in [*images(8), np.ones((16, 16, 1), np.float32), *images(400)]:
            asked += 1
            yield image

    results = predict_probabilities(some(), Doubling(), SIZES, SETTINGS)  # type: ignore[arg-type]
    for _ in range(9):
        found = next(results)
    assert found.shape == (16, 16, 1)
    assert asked < 9 + predict.MAX_BATCH + 4 * 4  # no more than wait, and what the lanes work on


def test_errors_and_cancelling_end_the_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "LANES_AFTER", 1)
    bad = [*images(30), np.full((8, 8, 1), 500, np.float32), *images(60)]
    with pytest.raises(MemoryError):
        list(predict_probabilities(bad, Doubling(), SIZES, SETTINGS))
    cancel = CancelToken()
    results = predict_probabilities(images(200), Doubling(), SIZES, SETTINGS, cancel)
    next(results)
    cancel.cancel()
    with pytest.raises(Cancelled):
        list(results)
    assert not [t for t in threading.enumerate() if t.name.startswith("lane")]
