from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.data.sample import ReferenceMask
from napari_unet.data.split import Split
from napari_unet.errors import SettingsError
from napari_unet.settings import Recipe
from napari_unet.workflow.train.dataset_scan import ImageFacts, facts_of, needed_channels
from napari_unet.workflow.train.recipes import (
    RECIPES,
    choose_scale,
    fit_recipe,
    own_recipe,
    recipe,
    setting_paths,
    with_open_channels,
)
from napari_unet.workflow.train.train_task import ADDED, evenly, training_fingerprint
from support.errors import raises_code

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


def test_each_known_set_has_a_recipe_of_its_name_that_is_offered_where_another_is_taken() -> None:
    from napari_unet.data.catalog import FORMATS

    named = {"tgs-salt", "ultrasound-nerve", "isbi2012", "dsb2018", "cell-tracking"}
    assert named == set(FORMATS) & set(RECIPES)
    for name in named:
        assert RECIPES[name].name == name
        assert RECIPES[name].training.tune_threshold
        assert RECIPES[name].inference.flips == "auto"
        assert f"--recipe {name}" in own_recipe(name, "fast")
        assert own_recipe(name, name) == ""
    assert own_recipe("image-mask-folders", "fast") == ""


@pytest.mark.parametrize(
    ("sides", "scale"), [((420, 580), 160 / 580), ((256, 256), 160 / 256), ((90, 80), 1.0)]
)
def test_images_are_shrunk_to_a_side_and_never_enlarged(
    tmp_path: Path, sides: tuple[int, int], scale: float
) -> None:
    import cv2

    from napari_unet.data.catalog import open_dataset

    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for number in range(2):
        mask = np.zeros(sides, np.uint8)
        mask[20:60, 20:60] = 255
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), mask // 2 + number)
        cv2.imwrite(str(tmp_path / "masks" / f"{number}.png"), mask)
    data = open_dataset(tmp_path)
    assert fit_recipe(recipe("ultrasound-nerve"), data).training.scale == pytest.approx(scale)
    assert fit_recipe(recipe("ultrasound-nerve", ["training.scale=0.5"]), data).training.scale == 0.5


def test_validation_images_are_taken_from_all_of_the_part() -> None:
    ids = tuple("abcdefghij")
    assert evenly(ids, 3) == ("a", "d", "g")
    assert evenly(ids, 10) == ids
    assert len(set(evenly(ids, 9))) == 9


def test_settings_that_came_later_do_not_keep_an_older_state_from_going_on() -> None:
    plain = Recipe()
    for *rooms, name, default in ADDED:
        place = plain
        for room in rooms:
            place = getattr(place, str(room))
        assert getattr(place, str(name)) == default
    unet = "network.name=unet"
    old, new = (fingerprint_of(recipe("fast", [unet, *change])) for change in ([], ["side=64"]))
    assert old == fingerprint_of(recipe("fast", [unet, "megapixels=9", "restarts=2"]))
    assert old != new
    # As it was written when tiles were of 512 pixels and overlapped by 64.
    assert old == "4c74715c9a1839f0b3506159199ea363da97f0f21109b2dc713cff2d75e917f2"
    assert old == fingerprint_of(recipe("fast", [unet, "tile=256", "overlap=32"]))


def fingerprint_of(chosen: Recipe) -> str:
    return training_fingerprint(chosen, Split(("a",)))


def test_settings_by_name_or_path() -> None:
    chosen = recipe(
        "fast", ["filters=32", "training.loss=lovasz", "elastic=4", "filters=8", "split_by_group=false"]
    )
    assert chosen.network.filters == 8
    assert chosen.training.loss == "lovasz"
    assert chosen.training.augmentation.elastic == 4
    assert chosen.training.split_by_group is False


def test_a_name_in_two_places_must_be_told_apart() -> None:
    with raises_code("settings.ambiguous", "training.augmentation.scale"):
        recipe("fast", ["scale=0.5"])
    assert recipe("fast", ["augmentation.scale=0.5"]).training.augmentation.scale == 0.5


def test_grey_stored_as_colour_needs_one_channel() -> None:
    grey = np.zeros((4, 4, 3), np.uint8)
    colour = grey.copy()
    colour[0, 0, 0] = 9
    assert needed_channels(grey) == needed_channels(grey[..., :1]) == 1
    assert needed_channels(colour) == 3
    assert needed_channels(np.zeros((4, 4, 4), np.uint8)) == 4
    assert needed_channels(np.zeros((4, 4, 2), np.uint8)) == 2
    assert needed_channels(np.random.default_rng(0).integers(0, 9, (4, 4, 6)).astype(np.uint8)) == 6


def test_thick_structures_in_large_images_are_shrunk_and_thin_ones_are_not() -> None:
    def stripe(width: int, side: int) -> ImageFacts:
        mask = np.zeros((side, side), np.uint8)
        mask[:, 100 : 100 + width] = 1
        return facts_of(mask[..., None], ReferenceMask(mask))

    assert choose_scale([stripe(6, 512)]) == 1.0
    assert choose_scale([stripe(24, 512)]) == 0.5
    assert choose_scale([stripe(60, 1024)]) == 0.25
    assert choose_scale([stripe(60, 300)]) == 1.0  # the image would get too small
    assert stripe(24, 512).thickness == 24  # 2 x 24 x 512 pixels over 2 x 512 edges
    assert choose_scale([stripe(0, 512)]) == 1.0


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
    with raises_code("settings.pixel.malformed"):
        fit_recipe(recipe("fast", ["pixel_size=small"]), open_dataset(tmp_path))


def test_one_channel_that_a_person_set_is_not_overwritten(tmp_path: Path) -> None:
    import tifffile

    from napari_unet.data.catalog import open_dataset

    for number in range(3):
        for folder, shape in (("images", (2, 40, 60)), ("masks", (40, 60))):
            (tmp_path / folder).mkdir(exist_ok=True)
            values = np.random.default_rng(number).integers(0, 2, shape, np.uint8) * 255
            axes = "CYX"[-len(shape) :]
            tifffile.imwrite(
                tmp_path / folder / f"{number}.tif", values, photometric="minisblack", metadata={"axes": axes}
            )
    data = open_dataset(tmp_path)
    assert fit_recipe(recipe("fast"), data).network.input_channels == 2
    assert fit_recipe(recipe("fast", ["input_channels=2"]), data).network.input_channels == 2
    chosen = recipe("fast", ["input_channels=1"])
    with pytest.raises(
        SettingsError, match=r"input_channels=1 contradicts.*expected 2.*1 channel with --channel"
    ):
        fit_recipe(chosen, data)
    # In a file every setting is written down, chosen or not.
    stored = Recipe.model_validate_json(recipe("fast").model_dump_json())
    assert fit_recipe(with_open_channels(stored), data).network.input_channels == 2
