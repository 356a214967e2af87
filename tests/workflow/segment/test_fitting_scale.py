"""Another scale is taken where objects are far smaller or larger than a model knows, and nowhere else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.data.sample import Sample
from napari_unet.inference.postprocess import connected_objects, expected_iou
from napari_unet.models.normalization import Normalization
from napari_unet.networks.sizes import InputSizes
from napari_unet.settings import InferenceSettings
from napari_unet.workflow.segment.fitting_scale import FittingScale, busiest
from support.known_sizes import sure_of_middle_sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray


def squares(side: int, apart: int, count: int = 4) -> NDArray[np.uint8]:
    """(Y, X, 1): bright squares on black."""
    size = count * (side + apart)
    image = np.zeros((size, size, 1), np.uint8)
    for row in range(count):
        for column in range(count):
            y, x = (n * (side + apart) + apart // 2 for n in (row, column))
            image[y : y + side, x : x + side] = 255
    return image


@pytest.fixture
def fitting() -> FittingScale:
    network = SimpleNamespace(activation="sigmoid")
    model: Any = SimpleNamespace(
        normalization=Normalization(channels=1, intensities="range"),
        recipe=SimpleNamespace(network=network),
        classes=("square",),
        outputs=sure_of_middle_sizes,
        sizes=InputSizes(multiple=1, minimum=1),
    )
    settings = InferenceSettings(flips="none")
    return FittingScale(model, settings, lambda sample: sample.read_image())


def improved(fitting: FittingScale, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    sample = Sample("a", lambda: image)
    outputs = sure_of_middle_sizes(fitting.model.normalization.prepare(image, "a")[None])[0]
    return fitting.improve(sample, outputs)


@pytest.mark.parametrize(
    ("side", "apart", "scale"), [(6, 12, 2.0), (3, 12, 4.0), (48, 40, 0.5), (96, 60, 0.25)]
)
def test_small_and_large_objects_are_seen_at_another_scale(
    fitting: FittingScale, side: int, apart: int, scale: float, caplog: pytest.LogCaptureFixture
) -> None:
    image = squares(side, apart)
    outputs = improved(fitting, image)
    assert fitting.chosen == {"a": scale}
    assert outputs.shape == image.shape
    mask = outputs[..., 0] > 0.5
    truth = image[..., 0] > 0
    assert (mask & truth).sum() / (mask | truth).sum() > 0.6
    assert connected_objects(mask.astype(np.uint8)).max() == 16
    fitting.tell()
    assert f"at {scale:g} times the size" in caplog.text


def test_objects_of_known_sizes_are_seen_once(fitting: FittingScale) -> None:
    image = squares(12, 20)
    outputs = sure_of_middle_sizes(fitting.model.normalization.prepare(image, "a")[None])[0]

    def read(sample: Sample) -> NDArray[np.uint8]:
        raise AssertionError(f"{sample.id} was read again")

    fitting.read = read
    assert fitting.improve(Sample("a", lambda: image), outputs) is outputs
    assert fitting.chosen == {}


def test_an_image_without_objects_stays_as_it_is(
    fitting: FittingScale, caplog: pytest.LogCaptureFixture
) -> None:
    assert not improved(fitting, np.zeros((64, 64, 1), np.uint8)).any()
    fitting.tell()
    assert (fitting.chosen, caplog.text) == ({}, "")


def test_the_busiest_part_has_the_most_contrast_and_the_parts_cover_all() -> None:
    image = np.zeros((100, 250, 1), np.float32)
    image[80:90, 230:240] = 1
    part = busiest(image, 60)
    assert part.shape == (60, 60, 1)
    assert part.sum() == 100
    assert busiest(image, 400).shape == image.shape


def test_what_probabilities_promise() -> None:
    p = np.zeros((10, 10, 1), np.float32)
    p[:2, :5, 0] = 0.8  # 8 of 10 pixels are right, as far as the network knows
    p[9, :, 0] = 0.2  # and 2 more are missed
    mask = (p[..., 0] > 0.5).astype(np.uint8)
    assert expected_iou(p, mask) == pytest.approx((8 + 0.2) / (10 + 2 + 0.2))
