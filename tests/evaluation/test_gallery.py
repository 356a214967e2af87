from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from napari_unet.data.sample import ReferenceMask
from napari_unet.evaluation.report.gallery import (
    SIDE,
    MaskKeeper,
    choose,
    data_address,
    marked_picture,
    plain_picture,
)
from napari_unet.evaluation.score import Evaluation


def scored(*shares: float) -> Evaluation:
    """Images of 100 pixels, all annotated, of which a share is found."""
    found = Evaluation()
    for number, share in enumerate(shares):
        mask = np.zeros((1, 100), np.uint8)
        mask[:, : round(100 * share)] = 1
        found.add(f"{number}", "g", "unseen", ReferenceMask(np.ones((1, 100), np.uint8)), mask)
    return found


def names(evaluation: Evaluation, each: int) -> dict[str, list[float]]:
    return {k: [round(s.iou, 2) for s in v] for k, v in choose(evaluation.scores, each).items()}


def test_worst_middle_and_best_are_chosen_once_each() -> None:
    shares = [0.9, 0.1, 0.5, 0.3, 0.7, 0.8, 0.2, 0.6, 0.4]
    assert names(scored(*shares), 2) == {"worst": [0.1, 0.2], "median": [0.4, 0.5], "best": [0.8, 0.9]}
    assert names(scored(*shares), 6) == {
        "worst": [0.1, 0.2, 0.3],
        "median": [0.4, 0.5, 0.6],
        "best": [0.7, 0.8, 0.9],
    }
    assert names(scored(0.5), 6) == {"worst": [0.5], "median": [], "best": []}
    assert names(scored(0.5, 0.6), 6) == {"worst": [0.5], "median": [], "best": [0.6]}
    assert names(scored(), 6) == {"worst": [], "median": [], "best": []}


def test_images_with_nothing_in_either_mask_are_shown_only_where_there_are_no_others() -> None:
    nothing = np.zeros((1, 100), np.uint8)
    found = scored(0.2)
    found.add("empty", "g", "unseen", ReferenceMask(nothing), nothing)
    assert [s.image for v in choose(found.scores).values() for s in v] == ["0"]
    alone = Evaluation()
    alone.add("empty", "g", "unseen", ReferenceMask(nothing), nothing)
    assert [s.image for s in choose(alone.scores)["worst"]] == ["empty"]


def test_of_images_with_nothing_right_the_most_wrong_comes_first() -> None:
    found = Evaluation()
    for name, count in (("a", 1), ("b", 50)):
        mask = np.zeros((1, 100), np.uint8)
        mask[:, :count] = 1
        found.add(name, "g", "unseen", ReferenceMask(np.zeros((1, 100), np.uint8)), mask)
    assert choose(found.scores)["worst"][0].image == "b"


def test_masks_come_back_as_they_were_or_shrunk() -> None:
    keeper = MaskKeeper()
    small = np.random.default_rng(0).integers(0, 3, (40, 50)).astype(np.uint8)
    keeper.keep("small", small)
    keeper.keep("large", np.repeat(np.repeat(small, 20, axis=0), 20, axis=1))
    assert np.array_equal(keeper.mask("small"), small)  # type: ignore[arg-type]
    shrunk = keeper.mask("large")
    assert shrunk is not None
    assert shrunk.shape == (256, SIDE)
    assert keeper.mask("other") is None


def test_errors_have_their_colours_half_over_the_image() -> None:
    plain = np.full((1, 4, 3), 100, np.uint8)
    reference = ReferenceMask(np.array([[1, 0, 1, 0]], np.uint8))
    marked = marked_picture(plain, reference, np.array([[1, 1, 0, 0]], np.uint8))
    assert marked[0].tolist() == [[93, 140, 166], [156, 97, 50], [170, 164, 83], [100, 100, 100]]
    ignored = ReferenceMask(reference.labels, weights=np.array([[1, 0, 1, 1]], np.float32))
    assert marked_picture(plain, ignored, np.array([[1, 1, 0, 0]], np.uint8))[0, 1].tolist() == [100] * 3


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((5, 4, 1), np.uint16),
        np.full((5, 4, 2), np.nan, np.float32),
        np.arange(60, dtype=np.int16).reshape(5, 4, 3),
        np.ones((5, 4, 5), bool),
        np.zeros((1, 1, 1), np.float64),
    ],
)
def test_any_image_makes_a_picture(image: np.ndarray) -> None:
    picture = plain_picture(image)
    assert picture.shape == (*image.shape[:2], 3)
    assert picture.dtype == np.uint8


def test_large_images_are_shrunk_and_colours_kept() -> None:
    image = np.zeros((1000, 2000, 3), np.uint8)
    image[..., 1] = 200
    picture = plain_picture(image)
    assert picture.shape == (160, SIDE, 3)
    assert (picture == [0, 200, 0]).all()


def test_addresses_hold_the_picture() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (30, 20, 3)).astype(np.uint8)
    kind, data = data_address(picture).split(";base64,")
    assert kind == "data:image/png"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), picture)
    large = data_address(np.repeat(np.repeat(picture, 10, axis=0), 10, axis=1))
    assert large.startswith("data:image/jpeg")
