from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from napari_unet.models.image_statistics import NAMES, describe_image
from napari_unet.models.likeness import KEY, Likeness, visible_numbers
from napari_unet.models.normalization import Normalization

GREY = Normalization(channels=1, intensities="robust")


def look(**numbers: float) -> tuple[float, ...]:
    """All zero but these."""
    return tuple(numbers.get(name, 0.0) for name in NAMES)


def blobs(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 12, (128, 128)).astype(np.uint8)
    for y, x in rng.integers(5, 110, (14, 2)):
        image[y : y + 9, x : x + 9] += 100
    return image


@pytest.fixture(scope="module")
def of_blobs() -> Likeness:
    looks = [describe_image(blobs(seed)) for seed in range(30)]
    found = Likeness.of_training(looks, [str(n) for n in range(30)], GREY)
    assert found is not None
    return found


def test_a_distance_by_hand() -> None:
    rows = np.array([[0.1, 0.5], [0.9, 0.9]])
    one = Likeness(("median", "octave_1"), rows, np.array([0.1, 0.2]), limit=2.0)
    # Half of the variance in the first octave has the root 0.7: one scale from the first row, which is three
    # scales away in the median, too.
    found = one.compare(look(median=0.4, octave_1=0.49))
    assert found.distance == pytest.approx(np.sqrt((3**2 + 1**2) / 2) / 2)
    assert (found.is_unlike, found.why) == (True, "brighter")
    near = one.compare(look(median=0.9, octave_1=0.81))
    assert near.distance == pytest.approx(0)
    assert (near.is_unlike, near.why) == (False, "")


def test_the_limit_by_hand() -> None:
    """Twenty groups a tenth apart: each is as far from the next, the last one alone twice as far."""
    medians = [0.01 * n for n in range(19)] + [0.20]
    found = Likeness.of_training([look(median=m) for m in medians], [str(n) for n in range(20)], GREY)
    assert found is not None
    scale = np.hypot(np.std(medians), 0.06)
    numbers = len(visible_numbers(GREY))
    assert found.false_alarms == 0.05
    assert found.limit == pytest.approx(0.02 / scale / np.sqrt(numbers))  # the 20th of 20: 21 * 0.95
    assert found.compare(look(median=0.24)).distance == pytest.approx(2)
    assert found.compare(look(median=0.19)).distance == pytest.approx(0.5)


def test_images_of_one_group_do_not_vouch_for_each_other() -> None:
    medians = [0.1 * (n // 2) for n in range(20)]  # pairs of equal images
    found = Likeness.of_training([look(median=m) for m in medians], [str(n // 2) for n in range(20)], GREY)
    assert found is not None
    assert found.compare(look(median=0.95)).distance == pytest.approx(0.5)
    assert found.false_alarms == pytest.approx(1 / 11)  # of ten groups none can be told from the 5 %


def test_of_few_groups_nothing_is_said() -> None:
    looks = [look(median=0.1 * n) for n in range(4)]
    assert Likeness.of_training(looks, [str(n) for n in range(4)], GREY) is None
    assert Likeness.of_training([look()] * 12, [str(n) for n in range(12)], GREY) is None  # all equal


def test_images_of_the_same_kind_are_like_and_others_are_not(of_blobs: Likeness) -> None:
    alarms = sum(of_blobs.compare(describe_image(blobs(seed))).is_unlike for seed in range(100, 140))
    assert alarms <= 4
    one = blobs(200)
    larger = of_blobs.compare(describe_image(np.kron(one, np.ones((4, 4), np.uint8))))
    assert (larger.is_unlike, larger.why) == (True, "coarser structures")
    inverted = of_blobs.compare(describe_image(255 - one))
    assert (inverted.is_unlike, inverted.why) == (True, "brighter")
    noise = np.random.default_rng(0).normal(0, 40, one.shape)
    noisy = of_blobs.compare(describe_image((one + noise).astype(np.float32)))
    assert noisy.is_unlike
    fine = np.tile(np.array([[0, 0, 0, 90], [0, 0, 0, 0]], np.uint8), (64, 32))
    assert of_blobs.compare(describe_image(fine)).is_unlike


def test_what_the_network_cannot_see_is_not_compared() -> None:
    assert {"colourfulness", "brightness", "contrast"}.isdisjoint(visible_numbers(GREY))
    seen = visible_numbers(Normalization(channels=3, intensities="range"))
    assert {"colourfulness", "brightness", "contrast"} <= set(seen)
    small = visible_numbers(GREY.model_copy(update={"scale": 0.25}))
    assert [name for name in small if name.startswith(("octave", "fine"))] == [
        "octave_3", "octave_4", "octave_5",
    ]  # fmt: skip


def test_false_alarms_are_counted_on_images_that_were_not_trained_on() -> None:
    looks = [look(median=0.01 * n) for n in range(20)]
    others = [look(median=0.05), look(median=0.6), look(median=0.7)]
    found = Likeness.of_training(looks, [str(n) for n in range(20)], GREY, others)
    assert found is not None
    assert (found.measured, found.measured_on) == (2, 3)


def test_it_comes_back_from_a_model_as_it_was(of_blobs: Likeness) -> None:
    text = json.dumps(of_blobs.to_json())
    back = Likeness.of_model({KEY: json.loads(text)})
    assert back is not None
    assert back.names == of_blobs.names
    for seed in (1, 300):
        one = describe_image(blobs(seed))
        assert back.compare(one).distance == pytest.approx(of_blobs.compare(one).distance, abs=0.02)


@pytest.mark.parametrize(
    "said",
    [
        None, [], {}, {"numbers": ["median"]}, "?",
        {"numbers": ["median"], "rows": [[0, 1]], "scale": [1], "limit": 1, "false_alarms": 0.05},
        {"numbers": ["later"], "rows": [[0]], "scale": [1], "limit": 1, "false_alarms": 0.05},
        {"numbers": ["median"], "rows": [[0]], "scale": [0], "limit": 1, "false_alarms": 0.05},
        {"numbers": ["median"], "rows": [], "scale": [1], "limit": 1, "false_alarms": 0.05},
    ],
)  # fmt: skip
def test_older_later_and_damaged_models_say_nothing(said: Any) -> None:
    assert Likeness.of_model({KEY: said}) is None
    assert Likeness.of_model({}) is None


def test_what_was_learned_later_is_known(of_blobs: Likeness) -> None:
    stripes = describe_image(np.tile(np.array([0, 0, 200, 200], np.uint8), (64, 16)))
    assert of_blobs.compare(stripes).is_unlike
    learned = of_blobs.with_more([stripes, stripes])
    assert not learned.compare(stripes).is_unlike
    assert len(learned.rows) == len(np.unique(of_blobs.rows.round(3), axis=0)) + 1  # one row for both
