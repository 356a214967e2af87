from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_unet.data.catalog import open_dataset
from napari_unet.data.dataset import Dataset
from napari_unet.data.masks.mask_pixels import decode_labels
from napari_unet.data.masks.run_length import decode_run_lengths
from napari_unet.data.sample import Sample
from napari_unet.plugin import export_writer, writer
from napari_unet.session.images.layer_metadata import MASK_KEY, METADATA_KEY, OpenedData, ShownMask
from support.errors import raises_code

RNG = np.random.default_rng(0)
BINARY = (RNG.random((13, 17)) > 0.6).astype(np.uint8)
STACK = RNG.integers(0, 4, (3, 13, 17)).astype(np.int32)


def known(*ids: str) -> dict[str, Any]:
    samples = tuple(Sample(name, lambda: np.zeros((13, 17, 1), np.uint8)) for name in ids)
    opened = OpenedData(Dataset("made", "synthetic", Path(), samples), ids)
    return {"name": "masks", "metadata": {METADATA_KEY: opened}}


@pytest.mark.parametrize("suffix", ["tif", "tiff"])
@pytest.mark.parametrize("labels", [BINARY, STACK, STACK * 20_000, STACK[None]])
def test_tiff_keeps_every_number(tmp_path: Path, labels: np.ndarray, suffix: str) -> None:
    path = str(tmp_path / f"masks.{suffix}")
    assert writer.write_tiff(path, labels, {"name": "masks"}) == [path]
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) == labels[..., 0, 0].size
    np.testing.assert_array_equal(np.squeeze(tifffile.imread(path)), np.squeeze(labels))


def test_lazy_stacks_and_several_scales_are_written(tmp_path: Path) -> None:
    import dask.array as da

    lazy = da.from_array(STACK, chunks=(1, 13, 17))
    writer.write_tiff(str(tmp_path / "a.tif"), lazy, {})
    writer.write_npy(str(tmp_path / "a.npy"), [STACK, STACK[:, ::2, ::2]], {"multiscale": True})
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), STACK)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), STACK)


def test_npy_keeps_the_array_as_it_is(tmp_path: Path) -> None:
    labels = np.array([[-1, 2**40]])
    writer.write_npy(str(tmp_path / "a.npy"), labels, {})
    back = np.load(tmp_path / "a.npy")
    assert back.dtype == labels.dtype
    np.testing.assert_array_equal(back, labels)


def test_png_of_one_class_is_255(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    assert writer.write_png(str(path), BINARY, {"name": "mask"}) == [str(path)]
    np.testing.assert_array_equal(decode_labels(path.read_bytes(), path.name), BINARY * np.uint8(255))


def test_a_stack_becomes_a_folder_of_png(tmp_path: Path) -> None:
    made = writer.write_png(str(tmp_path / "masks.png"), STACK, known("a/1", "b", "c"))
    assert made == [str(tmp_path / "masks" / name) for name in ("a_1.png", "b.png", "c.png")]
    for path, labels in zip(made, STACK, strict=True):
        np.testing.assert_array_equal(decode_labels(Path(path).read_bytes(), path), labels)
    with raises_code("output.exists"):
        writer.write_png(str(tmp_path / "masks.png"), STACK, {})
    unnamed = writer.write_png(str(tmp_path / "other.png"), STACK, {"name": "My masks"})
    assert [Path(p).name for p in unnamed] == [f"My masks_{i}.png" for i in range(3)]


def test_run_lengths_have_a_row_a_slice(tmp_path: Path) -> None:
    binary = (STACK > 2).astype(np.uint8)
    binary[1] = 0
    path = tmp_path / "train.csv"
    assert writer.write_run_lengths(str(path), binary, known("x", "y,z", "w")) == [str(path)]
    lines = path.read_text().splitlines()
    assert lines[0] == "id,rle_mask"
    assert lines[2] == '"y,z",'
    runs = lines[1].removeprefix("x,")
    np.testing.assert_array_equal(decode_run_lengths(runs, (13, 17)), binary[0])


def test_run_lengths_of_objects_come_back_as_objects(tmp_path: Path) -> None:
    from PIL import Image

    for name in "abc":
        Image.new("L", (17, 13)).save(tmp_path / f"{name}.png")
    objects = np.zeros((3, 13, 17), np.int32)
    objects[0, :3, :3], objects[0, 5:9, 5:9], objects[2, 4:, 4:] = 1, 2, 1
    writer.write_run_lengths(str(tmp_path / "masks.csv"), objects, known("a", "b", "c"))
    dataset = open_dataset(tmp_path / "masks.csv")
    for sample, labels in zip(dataset.samples, objects, strict=True):
        np.testing.assert_array_equal(sample.read_mask().objects, labels)


def test_one_mask_is_a_row_with_the_layers_name(tmp_path: Path) -> None:
    writer.write_run_lengths(str(tmp_path / "a.csv"), BINARY, {"name": "cell"})
    assert (tmp_path / "a.csv").read_text().splitlines()[1].startswith("cell,")


@pytest.mark.parametrize(
    ("write", "labels", "sentence"),
    [
        ("write_tiff", np.array([[-1]]), ("output.mask.negative", "got -1")),
        ("write_png", np.array([[-1]]), ("output.mask.negative",)),
        ("write_run_lengths", np.array([[-1]]), ("output.mask.negative",)),
        ("write_tiff", np.array([[2**33]]), ("output.mask.objects",)),
        ("write_png", np.array([[70_000]]), ("output.mask.objects", "65535", "70000")),
        ("write_png", STACK[None], ("output.mask.dimensions", "got 4")),
        ("write_run_lengths", STACK[None], ("output.mask.dimensions",)),
    ],
)
def test_what_cannot_be_written_says_why(
    tmp_path: Path, write: str, labels: np.ndarray, sentence: str
) -> None:
    with raises_code(*sentence):
        getattr(writer, write)(str(tmp_path / "a.out"), labels, {})
    assert not list(tmp_path.iterdir())


def test_a_folder_that_refuses_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for write in (writer.write_tiff, writer.write_npy, writer.write_run_lengths):
        with raises_code("output.unwritable"):
            write(str(tmp_path / "file" / "a.x"), BINARY, {})


@pytest.mark.parametrize("name", ["a.tif", "a.tiff", "a.npy", "a.png", "a.csv"])
def test_napari_finds_the_writer_by_the_manifest(plugin_manager: Any, tmp_path: Path, name: str) -> None:
    from npe2 import io_utils

    path = str(tmp_path / name)
    layer = (BINARY, {"name": "mask", "metadata": {}}, "labels")
    assert io_utils._write(path, [layer], _pm=plugin_manager) == [path]
    assert Path(path).is_file()


def test_the_mask_of_a_stack_is_saved_with_all_its_slices(tmp_path: Path) -> None:
    """As the workbench shows it: objects of two classes, ignored pixels, one number through slices."""
    labels = np.zeros((11, 13, 17), np.int32)
    labels[:, 2:5, 2:5] = 7  # of class 1, in all slices
    labels[3, 8:10, 8:12] = 9  # of class 2
    labels[0, 12, :] = 1_000_000
    class_of = np.zeros(1_000_001, np.uint8)
    class_of[[7, 9, 1_000_000]] = 1, 2, 255
    samples = [Sample(f"s [{n}]", lambda: np.zeros((13, 17, 1), np.uint8), image_name="s") for n in range(11)]
    asked = []

    def slices() -> list[Sample]:
        asked.append(True)
        return samples

    shown = ShownMask(samples[3], ("cell", "debris"), lambda part: class_of[part], True, slices)
    about = {"name": "U-Net mask", "metadata": {MASK_KEY: shown}}
    wanted = np.where(labels == 1_000_000, 0, labels)
    writer.write_tiff(str(tmp_path / "plain.tif"), labels, about)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "plain.tif"), labels)
    export_writer.write_ome_tiff(str(tmp_path / "m.ome.tif"), labels, about)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "m.ome.tif"), wanted)
    made = export_writer.write_geojson(str(tmp_path / "m.geojson"), labels, about)
    assert [Path(path).name for path in made] == [f"s_{n:02}.geojson" for n in range(11)]
    found = json.loads(Path(made[3]).read_text())["features"]
    assert sorted(one["properties"]["classification"]["name"] for one in found) == ["cell", "debris"]
    assert asked  # what is on its way into the layer is there before it is read


def test_files_of_single_slices_are_numbered_with_zeros(tmp_path: Path) -> None:
    samples = [Sample(f"s [{n}]", lambda: np.zeros((4, 5, 1), np.uint8), image_name="s") for n in range(11)]
    labels = np.zeros((11, 4, 5), np.uint8)
    labels[10, 1, 2] = 1
    shown = ShownMask(samples[0], ("cell",), lambda part: part, False, lambda: samples)
    made = writer.write_png(str(tmp_path / "out.png"), labels, {"name": "x", "metadata": {MASK_KEY: shown}})
    assert [Path(path).name for path in made] == [f"s_{n:02}.png" for n in range(11)]
    np.testing.assert_array_equal(decode_labels(Path(made[10]).read_bytes(), "a.png"), labels[10] * 255)
