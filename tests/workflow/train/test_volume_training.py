"""From stacks to a model and back: training and segmenting in 2.5 and in three dimensions."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from napari_unet.data.catalog import open_dataset, open_images
from napari_unet.errors import Cancelled, SettingsError
from napari_unet.models.model import Model, load_model, save_model
from napari_unet.models.normalization import Normalization
from napari_unet.networks.registry import build_network
from napari_unet.progress import CancelToken, ignore_progress
from napari_unet.settings import InferenceSettings, NetworkSettings, Recipe
from napari_unet.workflow.segment.segment_samples import segment_samples
from napari_unet.workflow.train.forecast_task import PlanTask
from napari_unet.workflow.train.recipes import fit_recipe, recipe
from napari_unet.workflow.train.train_task import TrainTask
from support.errors import raises_code

if TYPE_CHECKING:
    from pathlib import Path

QUICK = ("filters=2", "depth=1", "epochs=1", "steps_per_epoch=2", "patch=16", "patch_depth=4", "batch_size=2")


def write_stack(folder: Path, slices: int = 20, spacing: float = 1.0, name: str = "em") -> Path:
    """A bright rod through all slices on dark noise, and its masks."""
    luck = np.random.default_rng(0)
    masks = np.zeros((slices, 24, 20), np.uint8)
    masks[:, 6:14, 5:12] = 1
    image = (luck.integers(0, 60, masks.shape) + 150 * masks).astype(np.uint8)
    for kind, array in (("images", image), ("masks", masks)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(
            folder / kind / f"{name}.tif", array, imagej=True, resolution=(1.0, 1.0),
            metadata={"axes": "ZYX", "spacing": spacing, "unit": "um"},
        )  # fmt: skip
    return folder


def model_of(settings: NetworkSettings) -> Model:
    own = Recipe(network=settings, inference=InferenceSettings(flips="none"))
    channels = settings.input_channels
    return Model(own, Normalization(channels=channels), ("foreground",), build_network(settings, 1))


def fitted(folder: Path, *changes: str) -> Recipe:
    return fit_recipe(recipe("fast", ["network.name=unet", *changes]), open_dataset(folder))


@pytest.mark.slow
@pytest.mark.parametrize("dimensions", ["2.5d", "3d"])
def test_a_stack_becomes_a_model_that_segments_its_slices(tmp_path: Path, dimensions: str) -> None:
    data = write_stack(tmp_path / "data")
    chosen = recipe("fast", [*QUICK, f"dimensions={dimensions}", "held_out=0.2"])
    TrainTask(data, tmp_path / "model", chosen).run(ignore_progress, CancelToken())
    model = load_model(tmp_path / "model")
    network = model.recipe.network
    assert network.dimensions == dimensions
    assert network.input_channels == (7 if dimensions == "2.5d" else 1)
    assert model.recipe.training.voxel_size == "1 x 1 x 1 µm"
    split = model.provenance["split"]
    assert [len(split[part]) for part in ("train", "validation", "held_out")] == [10, 2, 4]
    assert len(model.provenance["image_hashes"]) == 20  # of slices alone, as any other model knows them
    results = list(segment_samples(open_images([data / "images" / "em.tif"]), model))
    assert [result.sample.id for result in results] == [f"em_{z:03d}" for z in range(20)]
    assert all(result.mask.shape == (24, 20) for result in results)


def test_a_network_in_three_dimensions_is_given_the_volume(tmp_path: Path) -> None:
    data = write_stack(tmp_path, 4)
    model = model_of(NetworkSettings(filters=2, depth=1, dimensions="3d"))
    stack = tifffile.imread(data / "images" / "em.tif").astype(np.float32)
    normalized = ((stack - stack.mean()) / stack.std())[None, ..., None]
    logits = np.asarray(model.network.predict_on_batch(normalized))[0, ..., 0]
    results = list(segment_samples(open_images([data / "images" / "em.tif"]), model))
    found = np.stack([result.probabilities[..., 0] for result in results])
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-logits)), atol=2e-3)


def test_one_slice_is_seen_with_those_around_it(tmp_path: Path) -> None:
    """The network pools two slices into one: one before and one behind are read for one that is wanted."""
    data = write_stack(tmp_path, 9)
    model = model_of(NetworkSettings(filters=2, depth=1, dimensions="3d"))
    stack = tifffile.imread(data / "images" / "em.tif").astype(np.float32)[3:6]
    normalized = ((stack - stack.mean()) / stack.std())[..., None]
    mirrored = np.concatenate([normalized, normalized[-2:-1]])[None]  # to a size that the network takes
    logits = np.asarray(model.network.predict_on_batch(mirrored))[0, ..., 0]
    samples = open_images([data / "images" / "em.tif"])
    (result,) = segment_samples(samples[4:5], model)
    np.testing.assert_allclose(result.probabilities[..., 0], 1 / (1 + np.exp(-logits[1])), atol=2e-3)


def test_one_channel_of_a_volume_is_seen_with_the_same_channel_around_it(tmp_path: Path) -> None:
    luck = np.random.default_rng(3)
    both = luck.integers(0, 255, (9, 2, 24, 20)).astype(np.uint8)
    labels = {"Labels": ["DAPI", "actin"] * 9}
    for name, values, more in (
        ("both", both, {"axes": "ZCYX", **labels}),
        ("one", both[:, 1], {"axes": "ZYX"}),
    ):
        tifffile.imwrite(tmp_path / f"{name}.tif", values, imagej=True, metadata=more)
    model = model_of(NetworkSettings(filters=2, depth=1, dimensions="3d"))
    model.normalization = Normalization(channels=1, channel_names=("actin",))
    found = []
    for name in ("both", "one"):
        sample = open_images([tmp_path / f"{name}.tif"])[4]
        found.append(next(segment_samples([sample], model)).probabilities)
    np.testing.assert_array_equal(found[0], found[1])


def test_a_network_of_several_slices_is_given_the_neighbours(tmp_path: Path) -> None:
    data = write_stack(tmp_path, 4)
    settings = NetworkSettings(filters=2, depth=1, dimensions="2.5d", slices=3, input_channels=3)
    model = model_of(settings)
    stack = tifffile.imread(data / "images" / "em.tif")
    seen = np.stack([stack[1], stack[0], stack[1]], axis=-1)  # of the first slice, mirrored
    prepared = model.normalization.prepare(seen)[None]
    logits = np.asarray(model.network.predict_on_batch(prepared))[0, ..., 0]
    first = next(segment_samples(open_images([data / "images" / "em.tif"]), model))
    np.testing.assert_allclose(first.probabilities[..., 0], 1 / (1 + np.exp(-logits)), atol=2e-3)


@pytest.mark.parametrize(
    ("spacing", "slices", "dimensions", "seen", "flat"),
    [(1.0, 20, "3d", 0, 0), (3.0, 20, "3d", 0, 1), (8.0, 20, "2.5d", 3, 0), (1.0, 8, "2.5d", 7, 0)],
)
def test_dimensions_follow_voxels_and_slices(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    spacing: float,
    slices: int,
    dimensions: str,
    seen: int,
    flat: int,
) -> None:
    data = write_stack(tmp_path, slices, spacing)
    with caplog.at_level(logging.WARNING):
        network = fitted(data, "dimensions=auto").network
    assert (network.dimensions, network.slices, network.flat_levels) == (dimensions, seen, flat)
    (sentence,) = caplog.messages
    assert sentence.startswith("3D" if dimensions == "3d" else "2.5D")
    again = fit_recipe(Recipe(network=network), open_dataset(data)).network
    assert again == network  # a recipe that was fitted stays as it is


@pytest.mark.parametrize(
    ("asked", "network", "dimensions"),
    [("auto", "encoder_unet", "2.5d"), ("2.5d", "encoder_unet", "2.5d"), ("3d", "unet", "3d")],
)
def test_fast_sees_slices_with_a_pretrained_encoder_and_blocks_without(
    tmp_path: Path, asked: str, network: str, dimensions: str
) -> None:
    chosen = recipe("fast", [f"dimensions={asked}"])
    fitted = fit_recipe(chosen, open_dataset(write_stack(tmp_path, 20, 1.0))).network
    assert (fitted.name, fitted.dimensions) == (network, dimensions)
    with pytest.raises(SettingsError) as caught:
        fit_recipe(recipe("fast", ["dimensions=3d", "network.name=encoder_unet"]), open_dataset(tmp_path))
    assert caught.value.code == "settings.dimensions.network"


def test_what_a_person_sets_stays(tmp_path: Path) -> None:
    data = write_stack(tmp_path)
    chosen = fitted(data, "dimensions=2.5d", "slices=3", "voxel_size=40x4x4nm")
    assert (chosen.network.slices, chosen.network.input_channels) == (3, 3)
    assert chosen.training.voxel_size == "40 x 4 x 4 nm"
    assert fitted(data, "dimensions=3d", "voxel_size=40x4x4nm").network.flat_levels == 3
    assert fitted(data, "dimensions=3d", "flat_levels=0", "voxel_size=40x4x4nm").network.flat_levels == 0


def test_three_planes_are_for_networks_of_images(tmp_path: Path) -> None:
    data = write_stack(tmp_path)
    assert fitted(data, "orthogonal=true").inference.orthogonal
    with raises_code("settings.planes.unsupported"):
        fitted(data, "dimensions=3d", "orthogonal=true")
    with raises_code("settings.planes.unsupported"):
        fitted(data, "separation=star", "orthogonal=true")


def test_two_dimensions_stay_as_they_were(tmp_path: Path) -> None:
    network = fitted(write_stack(tmp_path)).network
    assert (network.dimensions, network.slices, network.flat_levels, network.input_channels) == (
        "2d",
        0,
        0,
        1,
    )


def test_a_network_of_images_is_chosen_for_2_5_dimensions(tmp_path: Path) -> None:
    data = write_stack(tmp_path)
    assert fitted(data, "dimensions=auto", "network.name=segnet").network.dimensions == "2.5d"
    with raises_code("settings.dimensions.network", "segnet"):
        fitted(data, "dimensions=3d", "network.name=segnet")


@pytest.mark.parametrize("change", ["border_weight=10", "presence=true", "padding=valid", "separation=star"])
def test_what_is_flat_is_never_dropped_in_silence(
    tmp_path: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = write_stack(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert fitted(data, "dimensions=auto", change).network.dimensions == "2.5d"
    assert f"because {change} is for two dimensions" in caplog.text
    with raises_code("settings.dimensions.setting", change):
        fitted(data, "dimensions=3d", change)


@pytest.mark.slow
def test_the_forecast_knows_patches_of_volumes(tmp_path: Path) -> None:
    data = write_stack(tmp_path)
    plan = PlanTask(data, recipe("fast", [*QUICK, "dimensions=3d"])).run(ignore_progress, CancelToken())
    assert plan.patch == (4, 16, 16)
    assert plan.pictures.shape[1:] == (16, 16, 3)
    assert "4 x 16 x 16" in plan.forecast_words(1)


def test_what_takes_single_slices_refuses_a_model_of_several(tmp_path: Path) -> None:
    path = save_model(model_of(NetworkSettings(filters=2, depth=1, dimensions="3d")), tmp_path / "model")
    samples = open_images([write_stack(tmp_path / "data", 4) / "images" / "em.tif"])
    with raises_code("model.volume.several"):
        next(segment_samples(samples, load_model(path), disagreement=True))


@pytest.mark.slow
def test_a_training_in_three_dimensions_that_was_stopped_resumes_as_if_it_was_not(tmp_path: Path) -> None:
    data = write_stack(tmp_path / "data")
    quick = [word for word in QUICK if not word.startswith("epochs")]
    chosen = recipe("fast", [*quick, "dimensions=3d", "epochs=3"])

    def stop_after_the_first(row: dict[str, float]) -> None:
        if row["epoch"] == 1:
            stopped.cancel()

    stopped = CancelToken()
    half = TrainTask(data, tmp_path / "half", chosen, on_epoch=stop_after_the_first)
    with pytest.raises(Cancelled):
        half.run(ignore_progress, stopped)
    assert not (tmp_path / "half" / "settings.json").exists()
    TrainTask(data, tmp_path / "half", chosen, resume=True).run(ignore_progress, CancelToken())
    TrainTask(data, tmp_path / "whole", chosen).run(ignore_progress, CancelToken())
    first, second = (load_model(tmp_path / name) for name in ("half", "whole"))
    assert first.provenance["steps"] == second.provenance["steps"] == 6
    for resumed, uninterrupted in zip(first.network.get_weights(), second.network.get_weights(), strict=True):
        np.testing.assert_allclose(resumed, uninterrupted, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("dimensions", ["2.5d", "3d"])
def test_a_few_annotated_slices_are_enough_to_train_on(
    tmp_path: Path, dimensions: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Of 20 slices numbers 2, 7, 12 and 17 are annotated; all others are 255, which is not known."""
    data = write_stack(tmp_path / "data")
    masks = tifffile.imread(data / "masks" / "em.tif")
    known = [2, 7, 12, 17]
    masks[[z for z in range(20) if z not in known]] = 255
    tifffile.imwrite(data / "masks" / "em.tif", masks, imagej=True, metadata={"axes": "ZYX"})
    chosen = recipe("fast", [*QUICK, f"dimensions={dimensions}", "held_out=0.2", "validation=0.2"])
    with caplog.at_level(logging.WARNING):
        TrainTask(data, tmp_path / "model", chosen).run(ignore_progress, CancelToken())
    split = load_model(tmp_path / "model").provenance["split"]
    parts = [[int(i[-3:]) for i in split[part]] for part in ("train", "validation", "held_out")]
    assert parts == [[2, 7], [12], [17]]
    assert any("learns from 2 annotated slices" in message for message in caplog.messages)
