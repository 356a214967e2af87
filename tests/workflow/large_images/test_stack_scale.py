"""Images that are never in memory as a whole: the scale is found as for those that are."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

from napari_unet.data.files.lazy_stack import LazyStack, lazy_stack
from napari_unet.errors import Cancelled, OutputError
from napari_unet.models.model import Model, load_model
from napari_unet.models.normalization import Normalization
from napari_unet.networks.sizes import InputSizes
from napari_unet.progress import CancelToken
from napari_unet.settings import InferenceSettings, NetworkSettings
from napari_unet.workflow.large_images import stack_scale as scale_module
from napari_unet.workflow.large_images import start_result
from napari_unet.workflow.large_images.segment_large import segment_stack
from napari_unet.workflow.large_images.stack_scale import stack_scale
from support.errors import raises_code
from support.known_sizes import sure_of_middle_sizes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def squares(side: int, count: int = 6) -> NDArray[np.uint8]:
    """(Y, X): bright squares on black, as far apart as they are wide; a quarter of the image is empty."""
    cell = np.zeros((2 * side, 2 * side), np.uint8)
    cell[side // 2 : side // 2 + side, side // 2 : side // 2 + side] = 255
    image = np.tile(cell, (count, count))
    image[: image.shape[0] // 2, : image.shape[1] // 2] = 0
    return image


def known_sizes(**changes: Any) -> Any:
    return SimpleNamespace(
        normalization=Normalization(channels=1, intensities="range", **changes),
        recipe=SimpleNamespace(network=NetworkSettings(), training=SimpleNamespace(pixel_size="")),
        classes=("square",),
        outputs=sure_of_middle_sizes,
        sizes=InputSizes(multiple=1, minimum=1),
    )


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale_module, "_found", {})


def scale_of(stack: LazyStack, model: Any, **changes: Any) -> float:
    return stack_scale(stack, model, InferenceSettings(flips="none", find_scale=True, **changes), "model")


@pytest.mark.parametrize(("side", "scale"), [(5, 2.0), (20, 1.0), (34, 0.5), (100, 0.25)])
def test_objects_of_unknown_sizes_are_seen_at_another_scale(
    side: int, scale: float, caplog: pytest.LogCaptureFixture
) -> None:
    assert scale_of(lazy_stack(squares(side), "slide"), known_sizes()) == scale
    assert (f"slide is segmented at {scale:g} times the size" in caplog.text) == (scale != 1)


def test_the_models_own_scale_comes_first() -> None:
    # 34 pixels are 17 to the network.
    assert scale_of(lazy_stack(squares(34)), known_sizes(scale=0.5)) == 1.0


def test_nothing_is_read_where_no_scale_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LazyStack, "read", lambda *_: pytest.fail("read"))
    settings = InferenceSettings(find_scale=False)
    assert stack_scale(lazy_stack(squares(34)), known_sizes(), settings, "model") == 1.0


def test_channels_that_do_not_fit_are_named_first() -> None:
    channels = np.stack([squares(34)] * 5)
    with raises_code("model.channels.count", "slide does not fit", "5: 0 to 4"):
        scale_of(lazy_stack(channels, "slide", axes="cyx"), known_sizes())


def test_what_was_found_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = lazy_stack(squares(34), "slide", axes="yx")
    assert scale_of(stack, known_sizes()) == 0.5
    monkeypatch.setattr(LazyStack, "read", lambda *_: pytest.fail("read"))
    assert scale_of(stack, known_sizes()) == 0.5
    with pytest.raises(pytest.fail.Exception):
        scale_of(stack, known_sizes(), threshold=0.4)


def test_at_most_sixteen_parts_of_four_images_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read = LazyStack.read
    places: list[Any] = []

    def note(self: LazyStack, index: Any, rows: slice, columns: slice) -> Any:
        places.append((index, rows, columns))
        return read(self, index, rows, columns)

    monkeypatch.setattr(LazyStack, "read", note)
    images = np.zeros((9, 1000, 1400), np.uint8)
    images[8, 700:, 1100:] = squares(34)[-300:, -300:]  # all objects are in one corner of the last image
    assert scale_of(lazy_stack(images, axes="tyx"), known_sizes()) == 0.5
    parts = {
        (index, rows.start, columns.start) for index, rows, columns in places if rows.stop - rows.start > 64
    }
    assert len(parts) == 64  # smaller ones are read for the fingerprint
    assert {index for index, *_ in parts} == {(0,), (3,), (5,), (8,)}


@pytest.mark.slow
def test_a_large_image_is_segmented_at_its_scale_and_resumes_at_no_other(
    tmp_path: Path, grey_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_unet.inference.budget.LARGEST_TILE", 128)
    model: Model = load_model(grey_model)
    noise = np.random.default_rng(0).integers(0, 255, (40, 48)).astype(np.uint8)
    image = np.kron(noise, np.ones((8, 8), np.uint8))
    monkeypatch.setattr(start_result, "stack_scale", lambda *_: 0.5)
    found = segmented(image, model, tmp_path / "a.ome.zarr")
    halved = replace(model, normalization=model.normalization.model_copy(update={"scale": 0.5}))
    monkeypatch.setattr(start_result, "stack_scale", lambda *_: 1.0)
    np.testing.assert_array_equal(found, segmented(image, halved, tmp_path / "halved.ome.zarr"))
    assert (segmented(image, model, tmp_path / "as it is.ome.zarr") != found).mean() > 0.05

    class Stopping(CancelToken):
        asked = 0

        @property
        def cancelled(self) -> bool:
            self.asked += 1
            return self.asked > 3

    monkeypatch.setattr(start_result, "stack_scale", lambda *_: 0.5)
    with pytest.raises(Cancelled):
        segment_stack(lazy_stack(image, "b"), model, tmp_path / "b.ome.zarr", cancel=Stopping())
    monkeypatch.setattr(start_result, "stack_scale", lambda *_: 1.0)
    with pytest.raises(OutputError, match="other settings"):
        segment_stack(lazy_stack(image, "b"), model, tmp_path / "b.ome.zarr")


def segmented(image: NDArray[np.uint8], model: Model, out: Path) -> NDArray[np.uint8]:
    return np.asarray(zarr.open_group(segment_stack(lazy_stack(image, "a"), model, out), mode="r")["0"])
