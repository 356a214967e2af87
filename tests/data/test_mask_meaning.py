"""One way to read masks: channels, transparency, soft edges, numbers of objects and classes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_unet.data.catalog import open_dataset
from napari_unet.data.masks.mask_reading import MaskReading, reading_masks
from support.errors import raises_code

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset

SIDE = 48


def save(path: Path, pixels: NDArray[Any], **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels, **options)
    else:
        Image.fromarray(pixels).save(path, **options)


def make(root: Path, masks: list[NDArray[Any]], suffix: str = "png", **options: Any) -> Path:
    noise = np.random.default_rng(0)
    for number, mask in enumerate(masks):
        save(root / f"images/s{number}.png", noise.integers(0, 255, (SIDE, SIDE), np.uint8))
        save(root / f"masks/s{number}.{suffix}", mask, **options)
    return root


def blocks(count: int, seed: int, *, shuffled: bool = False) -> NDArray[np.uint16]:
    """Numbered squares of 6 pixels on a grid of 6 x 6, some of them touching corners."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((SIDE, SIDE), np.uint16)
    cells = np.sort(rng.permutation(36)[:count])
    numbers = rng.permutation(count) + 1 if shuffled else np.arange(count) + 1
    for cell, number in zip(cells, numbers, strict=True):
        row, column = divmod(int(cell), 6)
        mask[8 * row : 8 * row + 6, 8 * column : 8 * column + 6] = number
    return mask


def labels(dataset: Dataset) -> list[NDArray[np.uint8]]:
    return [sample.read_mask().labels for sample in dataset.samples]


def kinds(dataset: Dataset) -> list[str]:
    return [problem.kind for problem in dataset.problems]


@pytest.mark.parametrize("counts", [(3, 8, 12, 20, 31, 5), (6, 7, 5, 8)])
def test_values_of_one_piece_each_that_count_on_are_objects(tmp_path: Path, counts: tuple[int, ...]) -> None:
    masks = [blocks(count, seed) for seed, count in enumerate(counts)]
    dataset = open_dataset(make(tmp_path, masks, "tif"))
    assert dataset.classes == ("foreground",)
    assert kinds(dataset) == []
    for mask, sample in zip(masks, dataset.samples, strict=True):
        read = sample.read_mask()
        np.testing.assert_array_equal(read.objects, mask)
        np.testing.assert_array_equal(read.labels, mask > 0)


def test_as_many_objects_in_every_mask_are_told_as_doubtful(tmp_path: Path) -> None:
    dataset = open_dataset(make(tmp_path, [blocks(6, seed, shuffled=True) for seed in range(6)], "tif"))
    assert dataset.classes == ("foreground",)
    assert kinds(dataset) == ["interpretation"]
    assert dataset.problems[0].remedy == "if they are classes, say --masks-are classes"


def test_values_each_in_its_place_are_classes_and_that_is_told(tmp_path: Path) -> None:
    organs = np.zeros((SIDE, SIDE), np.uint8)
    for number in range(4):
        organs[10 * number + 1 : 10 * number + 7, 12 * number : 12 * number + 8] = number + 1
    dataset = open_dataset(make(tmp_path, [np.roll(organs, shift, (0, 1)) for shift in (0, 1, 2, 0, 1)]))
    assert len(dataset.classes) == 4
    assert kinds(dataset) == ["interpretation"]
    assert "--masks-are objects" in dataset.problems[0].remedy


def test_numbers_that_never_come_again_in_the_set_are_objects(tmp_path: Path) -> None:
    masks = []
    for seed, start in enumerate((0, 10, 20, 30)):
        mask = blocks(10, seed)
        masks.append(np.where(mask > 0, mask + start, 0).astype(np.uint16))
    dataset = open_dataset(make(tmp_path, masks, "tif"))
    assert dataset.classes == ("foreground",)
    np.testing.assert_array_equal(dataset[3].read_mask().objects, masks[3])


def test_classes_in_many_pieces_stay_classes(tmp_path: Path) -> None:
    masks = [
        np.where(blocks(20, seed) > 0, blocks(20, seed) % 3 + 1, 0).astype(np.uint8) for seed in range(5)
    ]
    dataset = open_dataset(make(tmp_path, masks))
    assert len(dataset.classes) == 3
    assert kinds(dataset) == []
    np.testing.assert_array_equal(labels(dataset)[2], masks[2])


def test_a_person_says_what_values_are(tmp_path: Path) -> None:
    make(tmp_path, [blocks(count, count) for count in (3, 5, 9)], "tif")
    with reading_masks(MaskReading("classes")):
        dataset = open_dataset(tmp_path)
    assert len(dataset.classes) == 9
    assert dataset.masks_are == "classes"
    np.testing.assert_array_equal(labels(dataset)[1], blocks(5, 5))
    with raises_code("settings.masks.unknown"):
        MaskReading("cells")  # type: ignore[arg-type]


@pytest.mark.parametrize("background", ["first", "last", "absent"])
@pytest.mark.parametrize("full", [1, 255])
@pytest.mark.parametrize("axes", ["CYX", "YXC"])
def test_one_channel_a_class(tmp_path: Path, background: str, full: int, axes: str) -> None:
    classes = [np.where(blocks(9, seed) > 0, blocks(9, seed) % 3 + 1, 0) for seed in range(3)]
    order = {"first": [0, 1, 2, 3], "last": [1, 2, 3, 0], "absent": [1, 2, 3]}[background]
    stacks = [np.stack([(c == n) * full for n in order], -1).astype(np.uint8) for c in classes]
    if axes == "CYX":
        stacks = [np.ascontiguousarray(np.moveaxis(s, 2, 0)) for s in stacks]
    options = {"photometric": "minisblack", "metadata": {"axes": axes}}
    if axes == "YXC":
        options |= {"planarconfig": "contig"}
    dataset = open_dataset(make(tmp_path, stacks, "tif", **options))
    assert len(dataset.classes) == 3
    for expected, found in zip(classes, labels(dataset), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_two_channels_and_pages_are_channels_too(tmp_path: Path) -> None:
    mask = blocks(9, 1) > 0
    pages = np.stack([~mask, mask]).astype(np.uint8)
    dataset = open_dataset(make(tmp_path, [pages], "tif", photometric="minisblack"))
    assert dataset.classes == ("foreground",) or len(dataset.classes) == 1
    np.testing.assert_array_equal(labels(dataset)[0], mask)


def test_channels_that_overlap_are_refused(tmp_path: Path) -> None:
    stack = np.zeros((3, SIDE, SIDE), np.uint8)
    stack[0, :10] = stack[1, 5:15] = 1
    make(tmp_path, [stack], "tif", photometric="minisblack", metadata={"axes": "CYX"})
    with raises_code("data.mask.overlap", 5 * SIDE):
        open_dataset(tmp_path)


@pytest.mark.parametrize("values", [(1, 255), (1, 65535), (255, 65535)])
def test_true_is_written_in_many_ways(tmp_path: Path, values: tuple[int, int]) -> None:
    masks = [(blocks(6, s) > 0) * np.uint16(values[s % 2]) for s in range(4)]
    if max(values) == 255:
        masks = [m.astype(np.uint8) for m in masks]
    dataset = open_dataset(make(tmp_path, masks, "tif"))
    assert dataset.classes == ("foreground",)
    for mask, found in zip(masks, labels(dataset), strict=True):
        np.testing.assert_array_equal(found, mask > 0)


@pytest.mark.parametrize("colour", [0, 255])
def test_masks_drawn_in_transparency(tmp_path: Path, colour: int) -> None:
    masks = [blocks(count, count) > 0 for count in (4, 7)] + [np.zeros((SIDE, SIDE), bool)]
    pictures = [np.dstack([np.full((SIDE, SIDE, 3), colour), m * 255]).astype(np.uint8) for m in masks]
    dataset = open_dataset(make(tmp_path, pictures))
    for mask, found in zip(masks, labels(dataset), strict=True):
        np.testing.assert_array_equal(found, mask)
    assert "transparency" in dataset.masks


def test_soft_masks_are_cut_halfway(tmp_path: Path) -> None:
    soft = np.linspace(0, 1, SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE)
    dataset = open_dataset(make(tmp_path, [soft], "tif"))
    np.testing.assert_array_equal(labels(dataset)[0], soft > 0.5)
    assert kinds(dataset) == ["interpretation"]
    assert dataset.masks == "grey from 0 to 1: above 0.5 is foreground"


@pytest.mark.parametrize(("suffix", "options"), [("jpg", {"quality": 80}), ("webp", {"quality": 60})])
def test_lossy_masks_read_as_exact_ones(tmp_path: Path, suffix: str, options: dict[str, int]) -> None:
    masks = [(blocks(8, seed) > 0).astype(np.uint8) * 255 for seed in range(3)]
    dataset = open_dataset(make(tmp_path, masks, suffix, **options))
    for mask, found in zip(masks, labels(dataset), strict=True):
        assert (found == (mask > 0)).mean() > 0.98
    assert "saved with loss" in dataset.masks


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.float32])
def test_minus_one_is_unknown(tmp_path: Path, dtype: type) -> None:
    mask = (blocks(9, 2) > 0).astype(dtype)  # type: ignore[var-annotated]
    mask[0, :5] = -1
    dataset = open_dataset(make(tmp_path, [mask], "tif"))
    read = dataset[0].read_mask()
    np.testing.assert_array_equal(read.labels, mask == 1)
    assert read.weights is not None
    np.testing.assert_array_equal(read.weights == 0, mask == -1)
    assert kinds(dataset) == ["interpretation"]


def test_a_damaged_mask_costs_itself_only(tmp_path: Path) -> None:
    masks = [(blocks(5, seed) > 0).astype(np.uint8) * 255 for seed in range(3)]
    make(tmp_path, masks)
    file = io.BytesIO()
    Image.fromarray(masks[1]).save(file, "png")
    (tmp_path / "masks/s1.png").write_bytes(file.getvalue()[:60])
    dataset = open_dataset(tmp_path)
    np.testing.assert_array_equal(dataset[0].read_mask().labels, masks[0] > 0)
    with raises_code("data.image.unreadable", "s1.png"):
        dataset[1].read_mask()


def test_images_with_problems_are_left_out(tmp_path: Path) -> None:
    masks = [(blocks(5, seed) > 0).astype(np.uint8) * 255 for seed in range(5)]
    masks[3] = np.zeros((SIDE, SIDE), np.uint8)
    masks[3][:, :9] = 255  # pure stripes
    make(tmp_path, masks)
    save(tmp_path / "images/s1.png", np.full((SIDE, SIDE), 7, np.uint8))
    save(tmp_path / "images/s4.png", np.asarray(Image.open(tmp_path / "images/s0.png")))
    with reading_masks(MaskReading(leave_out_problems=True)):
        dataset = open_dataset(tmp_path)
    assert {s.id for s in dataset.samples} < {"s0", "s2", "s4"}
    assert {"s1", "s3"} <= set(dataset.problems[-1].names)


def test_masks_whose_file_says_that_zero_is_white_are_turned_and_that_is_told(tmp_path: Path) -> None:
    stored = blocks(5, 0) > 0
    dataset = open_dataset(make(tmp_path / "white", [stored], "tif"))  # tifffile writes bool with 0 as white
    assert (labels(dataset)[0] == ~stored).all()
    told = [p.message for p in dataset.problems if p.kind == "interpretation"]
    assert told == ["masks/s0.tif says that 0 is white, so its zeros are taken as foreground"]
    dataset = open_dataset(make(tmp_path / "black", [stored], "tif", photometric="minisblack"))
    assert (labels(dataset)[0] == stored).all()
    assert "interpretation" not in kinds(dataset)
