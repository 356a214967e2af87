"""Masks in the forms that people bring: read rightly, or refused, or told; never taken for something else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_unet.data.catalog import open_dataset
from napari_unet.data.inspection.inspect_dataset import inspect_dataset
from support.errors import raises_code

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset

COUNT = 6


def objects(number: int) -> NDArray[np.uint8]:
    """Two to five squares of 12 x 12, numbered from 1."""
    mask = np.zeros((64, 96), np.uint8)
    for place in range(2 + number % 4):
        top, left = 4 + place // 3 * 30 + number, 4 + place % 3 * 30
        mask[top : top + 12, left : left + 12] = place + 1
    return mask


def classes(number: int) -> NDArray[np.uint8]:
    """The same in two classes by turns."""
    found = objects(number)
    return np.where(found > 0, (found - 1) % 2 + 1, 0).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0)
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for number in range(COUNT):
        image = noise.integers(0, 60, (64, 96), np.uint8) + (objects(number) > 0) * np.uint8(120)
        Image.fromarray(image).save(tmp_path / f"images/c{number}.png")
    return tmp_path


def fill(folder: Path, write: Callable[[int], None]) -> Path:
    for number in range(COUNT):
        write(number)
    return folder


def white(number: int) -> NDArray[np.uint8]:
    return (objects(number) > 0).astype(np.uint8) * np.uint8(255)


def foreground_is_right(dataset: Dataset) -> None:
    assert len(dataset) == COUNT
    for number, sample in enumerate(dataset.samples):
        np.testing.assert_array_equal(sample.read_mask().labels > 0, objects(number) > 0)


def told(dataset: Dataset, kind: str) -> list[str]:
    return [p.message for p in inspect_dataset(dataset).problems if p.kind == kind]


@pytest.mark.parametrize("suffix", ["gif", "bmp", "jpg", "jpeg", "png", "tif", "webp", "ppm"])
@pytest.mark.parametrize("mode", ["L", "RGB", "1"])
def test_black_and_white_in_every_format(folder: Path, suffix: str, mode: str) -> None:
    if (suffix, mode) in {("gif", "RGB"), ("webp", "1"), ("jpg", "1"), ("jpeg", "1")}:
        pytest.skip("no such files")
    options = {"lossless": True} if suffix == "webp" else {}

    def write(number: int) -> None:
        picture = Image.fromarray(white(number)).convert(mode)
        picture.save(folder / f"masks/c{number}.{suffix}", **options)

    fill(folder, write)
    dataset = open_dataset(folder)
    assert dataset.classes == ("foreground",)
    foreground_is_right(dataset)


@pytest.mark.parametrize("name", ["c{}_mask.png", "c{} - Copy.png", "c{} copy.png", "c{} (1).png", "C{}.PNG"])
def test_names_of_masks(folder: Path, name: str) -> None:
    fill(folder, lambda n: Image.fromarray(white(n)).save(folder / "masks" / name.format(n)))
    foreground_is_right(open_dataset(folder))


@pytest.mark.parametrize("white_value", [255, 65535, 1.0, 0.75])
def test_values_of_white(folder: Path, white_value: float) -> None:
    dtype = np.float32 if isinstance(white_value, float) else np.uint16
    fill(
        folder,
        lambda n: tifffile.imwrite(folder / f"masks/c{n}.tif", (objects(n) > 0) * dtype(white_value)),
    )
    foreground_is_right(open_dataset(folder))


def test_one_colour_in_a_jpeg_is_foreground_and_two_are_refused(folder: Path) -> None:
    def red(number: int) -> None:
        picture = np.zeros((64, 96, 3), np.uint8)
        picture[objects(number) > 0] = (255, 0, 0)
        Image.fromarray(picture).save(folder / f"masks/c{number}.jpg", quality=90, subsampling=0)

    def red_and_green(number: int) -> None:
        picture = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0]], np.uint8)[classes(number)]
        Image.fromarray(picture).save(folder / f"masks/c{number}.jpg", quality=90)

    fill(folder, red)
    foreground_is_right(open_dataset(folder))
    fill(folder, red_and_green)
    with raises_code("data.mask.lossy", "several colours"):
        open_dataset(folder)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_folder_of_masks_for_each_image(folder: Path, suffix: str) -> None:
    def write(number: int) -> None:
        (folder / f"masks/c{number}").mkdir()
        numbered = objects(number)
        for which in range(1, numbered.max() + 1):
            one = (numbered == which).astype(np.uint8) * np.uint8(255)
            Image.fromarray(one).save(folder / f"masks/c{number}/{which}.{suffix}", quality=90)

    fill(folder, write)
    (folder / "masks/c5/extra").mkdir()
    dataset = open_dataset(folder)
    foreground_is_right(dataset)
    for number, sample in enumerate(dataset.samples):
        found = sample.read_mask().objects
        assert found is not None
        assert len(np.unique(found)) - 1 == 2 + number % 4
    assert dataset.samples[0].reason == "2 object masks in masks/c0/"


def test_an_image_without_its_folder_of_masks_is_told(folder: Path) -> None:
    (folder / "masks/c0").mkdir()
    Image.fromarray(white(0)).save(folder / "masks/c0/1.png")
    dataset = open_dataset(folder)
    assert [s.id for s in dataset.samples] == ["c0"]
    assert len(dataset.unlabelled) == COUNT - 1
    assert len([p for p in dataset.problems if p.kind == "unpaired image"]) == COUNT - 1


def test_one_object_an_image_each_with_a_number_of_its_own_is_a_doubt(folder: Path) -> None:
    def write(number: int) -> None:
        one = (objects(number) == 1).astype(np.uint16) * np.uint16(number + 1)
        tifffile.imwrite(folder / f"masks/c{number}.tif", one)

    fill(folder, write)
    (message,) = told(open_dataset(folder), "interpretation")
    assert message.startswith("the 6 values in masks like masks/c")
    assert "hardly a value is in two masks" in message


def test_annotations_that_cannot_be_read_are_told(folder: Path) -> None:
    (folder / "masks").rmdir()
    (folder / "README.txt").write_text("about")
    assert told(open_dataset(folder), "not read") == []
    (folder / "annotations.json").write_text(json.dumps({"notes": []}))
    np.save(folder / "images/c0_seg.npy", objects(0))
    (message,) = told(open_dataset(folder), "not read")
    assert message.endswith("annotations.json and 1 other file cannot be read")


def test_masks_that_pair_with_nothing_are_told(folder: Path) -> None:
    fill(folder, lambda n: Image.fromarray(white(n)).save(folder / f"masks/other{n}.png"))
    (message,) = told(open_dataset(folder), "unpaired mask")
    assert message.startswith("masks/other0.png and 5 other files look like masks")


@pytest.mark.parametrize(
    ("palette", "object_index", "inverted"),
    [((0, 0, 0, 255, 255, 255), 1, False), ((255, 255, 255, 0, 0, 0), 0, True)],
    ids=["black first", "white first"],
)
def test_what_is_white_in_a_picture_of_two_colours_is_the_object(
    palette: tuple[int, ...], object_index: int, inverted: bool
) -> None:
    import io

    from PIL import Image

    from napari_unet.data.masks.mask_pixels import decode_stored

    indices = np.full((6, 8), 1 - object_index, np.uint8)
    indices[2:4, 3:6] = object_index
    picture = Image.fromarray(indices, mode="P")
    picture.putpalette(palette)
    file = io.BytesIO()
    picture.save(file, "PNG")
    found = decode_stored(file.getvalue(), "m.png")
    assert np.argwhere(found.numbers).tolist() == [[y, x] for y in (2, 3) for x in (3, 4, 5)]
    assert found.inverted is inverted
