"""A large image of the window: at the model's pixel size, gone on with, never stuck."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr
from scipy import ndimage

from napari_unet.data.files.lazy_stack import lazy_stack
from napari_unet.data.files.pixel_size import PixelSize
from napari_unet.engine.hardware import default_precision
from napari_unet.engine.task import FromCaller
from napari_unet.errors import Cancelled
from napari_unet.models.ensemble import Ensemble, Member, load_any, save_ensemble
from napari_unet.models.model import Model, load_model, save_model
from napari_unet.networks.registry import build_network
from napari_unet.progress import CancelToken, Progress
from napari_unet.settings import LargeImageSettings
from napari_unet.workflow.inputs.image_reference import CallReference
from napari_unet.workflow.large_images.layers.segment_layer import SegmentLayerTask
from napari_unet.workflow.large_images.segment_large import segment_stack
from support.tiny_models import write_tiny_model

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

SMALL, LARGE = LargeImageSettings(memory=0.15), LargeImageSettings(memory=2)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((240, 320)), 4)
    return (noise * 8000 + 30_000).clip(0, 65_535).astype(np.uint16)


def task_of(image: np.ndarray, model: Path, folder: Path) -> SegmentLayerTask:
    pixels = image[..., None]
    reference = CallReference("a", FromCaller(lambda: pixels), region=FromCaller(lambda y, x: pixels[y, x]))
    settings = load_any(model).recipe.inference
    return SegmentLayerTask(model, reference, pixels.shape, folder, "a tiny", settings, SMALL)


def labels(path: Path) -> np.ndarray:
    return np.asarray(zarr.open_group(path, mode="r")["0"])


def test_the_image_is_seen_at_the_size_of_the_models_pixels(
    image: np.ndarray, grey_model: Path, tmp_path: Path
) -> None:
    model = load_model(grey_model)
    training = model.recipe.training.model_copy(update={"pixel_size": "0.5 um"})
    model.recipe = model.recipe.model_copy(update={"training": training})
    knows = save_model(model, tmp_path / "knows")
    task = task_of(image, knows, tmp_path / "masks")
    sized = replace(task, pixel_size=PixelSize(0.25, 0.25))
    plain, found = (one.run(lambda _: None, CancelToken()) for one in (task, sized))
    assert plain != found  # another size of its pixels makes another mask
    stack = lazy_stack(image, pixel_size=PixelSize(0.25, 0.25))
    model = load_model(knows, default_precision())
    expected = labels(segment_stack(stack, model, tmp_path / "a.ome.zarr", task.settings, SMALL))
    np.testing.assert_array_equal(labels(found), expected)
    assert (labels(plain) != expected).any()
    scales = zarr.open_group(found, mode="r").attrs["ome"]["multiscales"][0]["datasets"][0]
    assert scales["coordinateTransformations"][0]["scale"] == [0.25, 0.25]
    # Asked for again, each is there.
    assert task.run(lambda _: None, CancelToken()) == plain
    assert sized.run(lambda _: None, CancelToken()) == found


def test_another_memory_goes_on_or_begins_beside_but_never_refuses(
    image: np.ndarray, grey_model: Path, tmp_path: Path
) -> None:
    """Tiles decide the mask only of networks that look at all of them; their work is begun again."""
    model = load_model(grey_model)
    network = model.recipe.network.model_copy(update={"name": "scse_unet"})
    scse = Model(
        model.recipe.model_copy(update={"network": network}),
        model.normalization,
        model.classes,
        build_network(network),
    )
    sees_all = save_model(scse, tmp_path / "scse")
    for path, names in ((grey_model, ["a tiny.ome.zarr"]), (sees_all, ["a tiny-2.ome.zarr"])):
        folder = tmp_path / path.name / "masks"
        task = task_of(image, path, folder)
        cancel = CancelToken()

        def stop(progress: Progress, cancel: CancelToken = cancel) -> None:
            if hasattr(progress.piece, "rows"):
                cancel.cancel()

        with pytest.raises(Cancelled):
            task.run(stop, cancel)
        (started,) = folder.iterdir()
        assert started.name == "a tiny.ome.zarr.unfinished"
        out = replace(task, large=LARGE).run(lambda _: None, CancelToken())
        assert [out.name] == names


def test_an_ensemble_makes_the_mask_that_it_makes_of_files(
    image: np.ndarray, grey_model: Path, tmp_path: Path
) -> None:
    other = write_tiny_model(tmp_path / "other", seed=5)
    first = load_model(grey_model)
    members = (Member(grey_model, 0.5), Member(other, 0.5))
    both = save_ensemble(
        Ensemble(first.recipe, first.normalization, first.classes, {}, members), tmp_path / "both"
    )
    found = labels(task_of(image, both, tmp_path / "masks").run(lambda _: None, CancelToken()))
    expected = segment_stack(
        lazy_stack(image), load_any(both, default_precision()), tmp_path / "a.ome.zarr", None, SMALL
    )
    np.testing.assert_array_equal(found, labels(expected))
    assert (
        found != labels(task_of(image, other, tmp_path / "alone").run(lambda _: None, CancelToken()))
    ).any()


def test_specks_are_those_that_the_command_line_drops(image: np.ndarray, tmp_path: Path) -> None:
    plain = write_tiny_model(tmp_path / "plain", separation="distance")
    task = task_of(image, plain, tmp_path / "masks")
    counts = {}
    for least in (0.0, 0.7):
        settings = task.settings.model_copy(update={"least_depth": least})
        path = replace(task, settings=settings).run(lambda _: None, CancelToken())
        model = load_model(plain, default_precision())
        expected = segment_stack(lazy_stack(image), model, tmp_path / f"{least}.zarr", settings, SMALL)
        np.testing.assert_array_equal(labels(path), labels(expected))
        counts[least] = int((labels(path) > 0).sum())
    assert 0 < counts[0.7] < counts[0.0]
