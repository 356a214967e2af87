from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.errors import SettingsError
from napari_unet.settings import Recipe
from napari_unet.workflow.recipes import (
    RECIPES,
    choose_scale,
    count_channels,
    fit_recipe,
    recipe,
    setting_paths,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_recipes_round_trip_and_every_setting_is_described() -> None:
    for chosen in RECIPES.values():
        assert Recipe.model_validate_json(chosen.model_dump_json()) == chosen
    assert all(setting_paths().values())


def test_the_recipe_of_the_paper() -> None:
    paper = RECIPES["paper"]
    network, training = paper.network, paper.training
    assert (network.filters, network.depth, network.padding, network.dropout) == (64, 4, "valid", 0.5)
    assert (network.normalization, network.block, network.activation) == ("none", "plain", "softmax")
    assert (training.optimizer, training.momentum, training.batch_size) == ("sgd", 0.99, 1)
    assert (training.border_weight, training.border_sigma, training.balance_classes) == (10, 5, True)
    assert training.augmentation.elastic == 10
    assert training.loss == "cross_entropy"


def test_settings_by_name_or_path() -> None:
    chosen = recipe(
        "fast", ["filters=32", "training.loss=lovasz", "elastic=4", "filters=8", "split_by_group=false"]
    )
    assert chosen.network.filters == 8
    assert chosen.training.loss == "lovasz"
    assert chosen.training.augmentation.elastic == 4
    assert chosen.training.split_by_group is False


def test_a_name_in_two_places_must_be_told_apart() -> None:
    with pytest.raises(SettingsError, match=r"ambiguous.*training\.augmentation\.scale"):
        recipe("fast", ["scale=0.5"])
    assert recipe("fast", ["augmentation.scale=0.5"]).training.augmentation.scale == 0.5


def test_grey_stored_as_colour_needs_one_channel() -> None:
    grey = np.zeros((4, 4, 3), np.uint8)
    colour = grey.copy()
    colour[0, 0, 0] = 9
    assert count_channels([grey, grey[..., :1]]) == 1
    assert count_channels([grey, colour]) == 3
    assert count_channels([np.zeros((4, 4, 4), np.uint8)]) == 1
    assert count_channels([np.random.default_rng(0).integers(0, 9, (4, 4, 6)).astype(np.uint8)]) == 6


def test_thick_structures_in_large_images_are_shrunk_and_thin_ones_are_not() -> None:
    def stripe(width: int, side: int) -> np.ndarray:
        mask = np.zeros((side, side), np.uint8)
        mask[:, 100 : 100 + width] = 1
        return mask

    assert choose_scale([stripe(6, 512)]) == 1.0
    assert choose_scale([stripe(24, 512)]) == 0.5
    assert choose_scale([stripe(60, 1024)]) == 0.25
    assert choose_scale([stripe(60, 300)]) == 1.0  # the image would get too small
    assert choose_scale([np.zeros((512, 512), np.uint8)]) == 1.0


def test_the_size_of_pixels_is_what_all_files_say(tmp_path: Path) -> None:
    import tifffile

    from napari_unet.data.catalog import open_dataset

    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for number in range(3):
        image = rng.integers(0, 255, (40, 40), dtype=np.uint8)
        pixels = {"resolution": (2e4, 2e4), "resolutionunit": 3}  # a centimetre: 0.5 µm
        tifffile.imwrite(tmp_path / "images" / f"{number}.tif", image, **pixels)
        tifffile.imwrite(tmp_path / "masks" / f"{number}.tif", (image > 127).astype(np.uint8) * 255)
    fast = recipe("fast")
    assert fit_recipe(fast, open_dataset(tmp_path)).training.pixel_size == "0.5 µm"
    told = recipe("fast", ["pixel_size=0.7um"])
    assert fit_recipe(told, open_dataset(tmp_path)).training.pixel_size == "0.7 µm"
    tifffile.imwrite(tmp_path / "images" / "1.tif", image, resolution=(1e4, 1e4), resolutionunit=3)
    assert fit_recipe(fast, open_dataset(tmp_path)).training.pixel_size == ""
    with pytest.raises(SettingsError, match="no size of a pixel"):
        fit_recipe(recipe("fast", ["pixel_size=small"]), open_dataset(tmp_path))
