"""Weights that are damaged, or of another network than their settings say: a sentence, and no memory."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest

from napari_unet.errors import ModelError
from napari_unet.models.ensemble import load_any
from napari_unet.models.model import Model, load_model, save_model
from napari_unet.models.model_folder import MEMBERS, SETTINGS_FILE, WEIGHTS_FILE, read_settings
from napari_unet.models.normalization import Normalization
from napari_unet.networks.registry import build_network, count_parameters
from napari_unet.settings import NetworkSettings, Recipe
from support.errors import raises_code

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow

TINY = NetworkSettings(filters=2, depth=2)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = build_network(TINY, 1)
    model = Model(Recipe(network=TINY), Normalization(), ("cell",), network)
    return save_model(model, tmp_path_factory.mktemp("whole") / "m")


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "m"))


def change_settings(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    file = folder / SETTINGS_FILE
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def name_encoder(encoder: str, content: dict[str, Any]) -> None:
    content["recipe"]["network"].update(name="encoder_unet", encoder=encoder)


@pytest.mark.parametrize("name", ["unet", "fcn8s", "mask_rcnn", "encoder_unet"])
def test_parameters_are_counted_without_memory(name: str) -> None:
    separation = "objects" if name == "mask_rcnn" else "none"
    settings = NetworkSettings(name=name, filters=4, depth=3, separation=separation)
    assert count_parameters(settings) == build_network(settings).count_params()


def test_a_large_network_is_counted_in_no_memory() -> None:
    before = psutil.Process().memory_info().rss
    assert count_parameters(NetworkSettings(filters=64, depth=6)) > 500_000_000  # 2 GB
    assert psutil.Process().memory_info().rss - before < 2**28


def test_settings_of_a_huge_network_beside_tiny_weights(copy: Path, tmp_path: Path) -> None:
    before = psutil.Process().memory_info().rss
    change_settings(copy, lambda c: c["recipe"]["network"].update(filters=64, depth=6))
    size = (copy / WEIGHTS_FILE).stat().st_size
    with raises_code("model.weights.small", f"a file of {size:,} bytes"):
        load_model(copy)
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", copy)
    with raises_code("model.weights.small"):
        load_model(packed)
    for encoder in ("VGG19", "ConvNeXtXLarge"):
        change_settings(copy, partial(name_encoder, encoder))
        with raises_code("model.weights.small"):
            load_model(copy)
    assert psutil.Process().memory_info().rss - before < 2**29


@pytest.mark.parametrize(
    "asked",
    [
        {"filters": 2**20},
        {"depth": 60},
        {"filters": 512, "depth": 7},
        {"input_channels": 10**6},
        {"classes": 10**6},
    ],
)
def test_settings_that_no_network_has(copy: Path, asked: dict[str, int]) -> None:
    change_settings(copy, lambda c: c["recipe"]["network"].update(asked))
    for read in (load_model, read_settings, load_any):
        with raises_code("model.settings.damaged"):
            read(copy)


@pytest.mark.parametrize("asked", [{"batch_pixels": 10**15}, {"tile_size": 10**9}, {"minimum_size": -1}])
def test_inference_that_would_take_all_memory(copy: Path, asked: dict[str, int]) -> None:
    change_settings(copy, lambda c: c["recipe"]["inference"].update(asked))
    with raises_code("model.settings.damaged"):
        load_model(copy)


def test_ten_thousand_members(copy: Path) -> None:
    each = {"path": "members/a", "weight": 1e-4}
    change_settings(copy, lambda c: c.update({MEMBERS: [each] * 10_000, "version": 2}))
    with raises_code("model.settings.damaged", "10000 members"):
        load_any(copy)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_cut_off(copy: Path, share: float) -> None:
    weights = copy / WEIGHTS_FILE
    data = weights.read_bytes()
    weights.write_bytes(data[: int(share * len(data))])
    with raises_code("model.weights.unreadable", "an intact file"):
        load_model(copy)


def test_flipped_bytes_of_the_header_and_of_groups(copy: Path) -> None:
    """Nothing but a model that works, or a sentence, comes of it."""
    weights = copy / WEIGHTS_FILE
    data = weights.read_bytes()
    noise = np.random.default_rng(0)
    refused = 0
    for place in [0, 9, 13, 20, 40, 60, *noise.integers(96, 4096, 6)]:
        damaged = bytearray(data)
        damaged[int(place)] ^= int(noise.integers(1, 256))
        weights.write_bytes(damaged)
        try:
            load_model(copy)
        except ModelError as error:
            assert error.code.startswith("model.weights.")
            assert "\n" not in error.sentence
            refused += 1
    assert refused > 2


def rebuilt(folder: Path, change: Callable[[Any, str, Any], None]) -> None:
    """Write the file of weights again, each array by a function."""
    import h5py

    source = folder / WEIGHTS_FILE
    target = folder / "other.h5"
    with h5py.File(source) as old, h5py.File(target, "w") as new:

        def copy_item(name: str, item: Any) -> None:
            if isinstance(item, h5py.Group):
                new.require_group(name).attrs.update(item.attrs)
            else:
                change(new, name, item)

        new.attrs.update(old.attrs)
        old.visititems(copy_item)
    target.replace(source)


@pytest.mark.parametrize("kind", ["renamed", "text", "complex", "bytes", "flat", "empty", "scalar"])
def test_other_arrays(copy: Path, kind: str) -> None:
    import h5py

    def change(new: Any, name: str, item: Any) -> None:
        values = item[()]
        match kind:
            case "renamed":
                new.create_dataset(name.replace("layers/", "strata/"), data=values)
            case "text":
                new.create_dataset(name, data=["one"] * max(np.size(values), 1), dtype=h5py.string_dtype())
            case "complex":
                new.create_dataset(name, data=np.asarray(values) + 1j)
            case "bytes":
                new.create_dataset(name, data=np.void(np.asarray(values).tobytes()))
            case "flat":
                new.create_dataset(name, data=np.ravel(values))
            case "empty":
                new.create_dataset(name, data=h5py.Empty("f4"))
            case "scalar":
                new.create_dataset(name, data=1.0)

    rebuilt(copy, change)
    with raises_code("model.weights.unreadable"):
        load_model(copy)


def test_an_array_of_a_million_millions_that_takes_no_room(copy: Path) -> None:
    before = psutil.Process().memory_info().rss

    def change(new: Any, name: str, item: Any) -> None:
        new.create_dataset(name, (10**6, 10**6), "f4", chunks=(512, 512), compression="gzip")

    rebuilt(copy, change)
    assert (copy / WEIGHTS_FILE).stat().st_size < 10**6
    with raises_code("model.weights.unreadable", "numbers, the network has"):
        load_model(copy)
    assert psutil.Process().memory_info().rss - before < 2**28
