"""What a network that sees several slices as channels takes of each slice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_unet.data.catalog import open_images
from napari_unet.errors import ModelError
from napari_unet.models.card import ModelCard
from napari_unet.models.normalization import Normalization
from napari_unet.settings import NetworkSettings, Recipe
from napari_unet.training.feeding.slice_channels import SliceChannels, with_seen_slices

SEES_THREE = NetworkSettings(dimensions="2.5d", slices=3, input_channels=3)


def test_slices_saved_in_colour_are_made_grey_one_by_one(tmp_path: Path) -> None:
    for z, grey in enumerate((10, 20, 60, 200)):
        Image.new("RGB", (5, 4), (grey, grey, grey)).save(tmp_path / f"s{z}.png")
    samples = open_images([tmp_path])
    seen = [with_seen_slices(sample, SEES_THREE).read_image() for sample in samples]
    assert [image.shape for image in seen] == [(4, 5, 3)] * 4
    assert [image.dtype for image in seen] == [np.uint8] * 4
    assert [list(image[0, 0]) for image in seen] == [[20, 10, 20], [10, 20, 60], [20, 60, 200], [60, 200, 60]]


def test_a_colour_counts_by_its_brightness() -> None:
    red = np.full((1, 1, 3), (200, 0, 0), np.uint8)
    assert SliceChannels(1, (), True, "s")(red).tolist() == [[[60]]]  # 0.299 * 200 = 59.8
    values = np.full((1, 1, 3), (0.5, 0, 0), np.float32)
    assert SliceChannels(1, (), None, "s")(values)[0, 0, 0] == np.float32(0.1495)


def test_grey_slices_are_repeated_for_a_network_of_colour() -> None:
    grey = np.full((2, 2, 1), 7, np.uint16)
    assert SliceChannels(3, (), None, "s")(grey).tolist() == [[[7, 7, 7]] * 2] * 2


def test_two_channels_are_never_averaged() -> None:
    with pytest.raises(ModelError) as error:
        SliceChannels(1, (), None, "s")(np.zeros((2, 2, 2), np.uint8))
    assert (error.value.expected, error.value.got) == ("1 channel", "2: 0 to 1")
    with pytest.raises(ModelError):
        SliceChannels(1, (), False, "s")(np.zeros((2, 2, 3), np.uint8))  # three stains, no colour


def test_a_network_that_sees_an_image_alone_gets_it_as_it_is(tmp_path: Path) -> None:
    Image.new("RGB", (5, 4), (1, 2, 3)).save(tmp_path / "one.png")
    (sample,) = open_images([tmp_path])
    assert with_seen_slices(sample, NetworkSettings()) is sample


def test_a_card_counts_the_channels_of_one_slice() -> None:
    recipe = Recipe(network=SEES_THREE)
    card = ModelCard(Path("em"), recipe, Normalization(channels=3), ("cell",), {})
    assert card.mismatch(1) == ""
    assert card.mismatch(3, colour=True) == ""
    assert card.mismatch(2).startswith("The model takes images with 1 channel, this one has 2")
