"""Folders of images and masks: what goes with what, and what the values of masks mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.data.catalog import open_dataset
from napari_unet.data.formats import lossy_masks
from napari_unet.data.formats.image_mask_folders import find_pairs
from support.errors import raises_code
from support.file_builders import Write, corner, grey, jpeg, png, tiff


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("images/a.png", "masks/a.png"),
        ("image/a.png", "label/a.tif"),
        ("imgs/a.jpg", "labels/a.png"),
        ("images/a.png", "masks/a_mask.png"),
        ("a.png", "a_mask.png"),
        ("a.png", "a-label.png"),
        ("a.tif", "a_seg.tif"),
        ("train/images/a.png", "train/masks/a.png"),
        ("images/train/a.png", "masks/train/a.png"),
        ("train_images/a.png", "train_masks/a.png"),
        ("train/a.jpg", "train_masks/a_mask.gif"),
        ("data/images/a.png", "data/masks/a.png"),
        ("imgs/a.png", "imgs/labels/a.png"),
        ("labels/images/a.png", "labels/masks/a.png"),
        ("JPEGImages/a.jpg", "SegmentationClass/a.png"),
        ("Images/A.PNG", "Masks/a.png"),
        ("raw/a.png", "ground_truth/a.png"),
        ("img_001.png", "mask_001.png"),
        ("images/img_001.png", "masks/mask_001.png"),
        ("images/seg_001.png", "masks/seg_001.png"),
        ("input/a.png", "target/a.png"),
    ],
)
def test_usual_namings(image: str, mask: str) -> None:
    pairs, alone, problems = find_pairs([image, mask])
    assert pairs == [(image, mask)]
    assert not alone
    assert not problems


@pytest.mark.parametrize(
    "names",
    [
        ["images/a.png", "masks/a.png", "masks/a.tif"],
        ["images/a.png", "masks/a.png", "masks/a_mask.png"],
        ["images/a.png", "images/a.jpg", "masks/a.png"],
        ["images/a.png", "images/A.png", "masks/a.png"],
        ["a.png", "a_mask.png", "a_label.png"],
        ["images/a.png", "masks/a.png", "labels/a.png"],
    ],
)
def test_what_is_not_clear_is_never_guessed(names: Any) -> None:
    pairs, alone, problems = find_pairs(names)
    assert not pairs
    assert alone == [n for n in names if "mask" not in n and "label" not in n]
    (problem,) = problems
    assert problem.kind == "ambiguous"
    assert sorted(problem.names) == sorted(names)
    assert all(name in problem.message for name in names)


def test_exact_names_settle_it_where_each_has_its_own() -> None:
    names = ["images/1.png", "images/1_img.png", "masks/1.png", "masks/1_img.png"]
    pairs, _, problems = find_pairs(names)
    assert pairs == [("images/1.png", "masks/1.png"), ("images/1_img.png", "masks/1_img.png")]
    assert not problems


def test_unpaired_images_are_told_only_beside_labelled_ones() -> None:
    names = ["train/images/a.png", "train/images/b.png", "train/masks/a.png", "train/masks/c.png"]
    pairs, alone, problems = find_pairs([*names, "test/images/t.png"])
    assert pairs == [("train/images/a.png", "train/masks/a.png")]
    assert alone == ["train/images/b.png", "test/images/t.png"]
    assert [(p.kind, p.names) for p in problems] == [
        ("unpaired image", ("train/images/b.png",)),
        ("unpaired mask", ("train/masks/c.png",)),
    ]


names = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "images/", "masks/", "train/images/", "train/masks/", "x/"]),
    st.sampled_from(["a", "b", "A", "1", "10"]),
    st.sampled_from(["", "_mask", "_img"]),
    st.sampled_from([".png", ".tif"]),
)


@given(st.lists(names, unique=True))
def test_every_file_is_paired_or_accounted_for_once(files: Any) -> None:
    pairs, alone, problems = find_pairs(files)
    images, masks = [p.image for p in pairs], [p.mask for p in pairs]
    assert len({*images, *masks, *alone}) == len(images) + len(masks) + len(alone)
    told = {name for problem in problems for name in problem.names}
    assert {*images, *masks, *alone} | told == set(files)
    assert not told & {*images, *masks}


def dataset_of(
    folder: Write, masks: dict[str, bytes], extra: dict[str, bytes] | None = None, size: int = 2
) -> Any:
    suffixes = {name: "jpg" if data[:2] == b"\xff\xd8" else "png" for name, data in masks.items()}
    files = {f"images/{n}.png": png(grey(0, size)) for n in masks}
    files |= {f"masks/{n}.{suffixes[n]}": data for n, data in masks.items()}
    return open_dataset(folder(files | (extra or {})))


def square(*values: Any, dtype: Any = np.uint8) -> Any:
    return np.array(values, dtype).reshape(2, 2)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (square(0, 255, 0, 0), square(0, 0, 0, 0)),
        (square(0, 1, 0, 0), square(0, 0, 0, 0)),
        (square(0, 65535, 0, 0, dtype=np.uint16), square(0, 0, 0, 0)),
        (square(0, 65535, 0, 0, dtype=np.uint16), square(255, 0, 0, 0)),
        (square(0, 1, 0, 0, dtype=bool), square(0, 255, 255, 0)),
    ],
)
def test_black_and_white_of_any_depth(folder: Write, first: Any, second: Any) -> None:
    dataset = dataset_of(folder, {"a": png(first), "b": png(second)})
    assert dataset.classes == ("foreground",)
    assert np.array_equal(dataset[0].read_mask().labels, first > 0)
    assert np.array_equal(dataset[1].read_mask().labels, second > 0)
    assert not dataset.problems


def test_classes_mean_the_same_in_every_mask(folder: Write) -> None:
    dataset = dataset_of(folder, {"a": png(square(0, 128, 0, 0)), "b": png(square(255, 128, 0, 0))})
    assert dataset.classes == ("class 1", "class 2")
    assert dataset[0].read_mask().labels.tolist() == [[0, 1], [0, 0]]
    assert dataset[1].read_mask().labels.tolist() == [[2, 1], [0, 0]]


def test_small_numbers_are_the_classes_themselves(folder: Write) -> None:
    dataset = dataset_of(folder, {"a": png(square(0, 3, 0, 0)), "b": png(square(1, 3, 0, 0))})
    assert len(dataset.classes) == 3
    assert dataset[0].read_mask().labels.tolist() == [[0, 3], [0, 0]]


@pytest.mark.parametrize("mode", [None, "P"])
def test_255_beside_classes_is_unknown(folder: Write, mode: Any) -> None:
    first, second = square(0, 1, 2, 255), square(1, 0, 0, 0)
    dataset = dataset_of(folder, {"a": png(first, mode), "b": png(second, mode)})
    assert dataset.classes == ("class 1", "class 2")
    mask = dataset[0].read_mask()
    assert mask.labels.tolist() == [[0, 1], [2, 0]]
    assert mask.weights.dtype == np.float32
    assert mask.weights.tolist() == [[1, 1], [1, 0]]
    assert dataset[1].read_mask().labels.tolist() == [[1, 0], [0, 0]]
    assert dataset[1].read_mask().weights is None
    (told,) = dataset.problems
    assert told.kind == "interpretation"
    assert "255" in told.message


def test_255_is_unknown_beside_one_class_in_the_same_mask_alone(folder: Write) -> None:
    dataset = dataset_of(folder, {"a": png(square(0, 1, 255, 0))})
    assert dataset.classes == ("foreground",)
    assert dataset[0].read_mask().labels.tolist() == [[0, 1], [0, 0]]
    assert dataset[0].read_mask().weights.tolist() == [[1, 1], [0, 1]]
    apart = dataset_of(folder, {"a": png(square(0, 1, 0, 0)), "b": png(square(0, 255, 0, 0))})
    assert apart.classes == ("foreground",)
    assert [s.read_mask().labels.tolist() for s in apart.samples] == [[[0, 1], [0, 0]]] * 2
    assert apart[1].read_mask().weights is None


@pytest.mark.parametrize(
    ("values", "names", "classes", "last"),
    [
        ((1, 2, 255, 0), b"a\nb\n", 2, 0),  # the names end before 255
        ((1, 2, 255, 0), b"a\nb\nc\nd\n", 4, 0),  # 3 and 4 are in no mask
        ((1, 2, 255, 0), b"a\nb\nc\n", 3, 3),  # as many names as values: 255 is the third
        ((0, 1, 255, 0), b"a\n", 1, 0),
        ((32, 7, 255, 0), b"", 32, 0),
        ((33, 7, 255, 0), b"", 3, 3),  # grey values of three classes
        ((128, 0, 255, 0), b"", 2, 2),
    ],
)
def test_what_255_means_hangs_on_names_and_other_values(
    folder: Write, values: Any, names: bytes, classes: int, last: int
) -> None:
    extra = {"classes.txt": names} if names else {}
    dataset = dataset_of(folder, {"a": png(square(*values))}, extra)
    assert len(dataset.classes) == classes
    mask = dataset[0].read_mask()
    assert mask.labels[1, 0] == last
    if last:
        assert mask.weights is None
    else:
        assert mask.weights.tolist() == [[1, 1], [0, 1]]


def test_unknown_pixels_in_wider_numbers(folder: Write) -> None:
    mask = square(1, 0, 2, 255, dtype=np.int32)
    dataset = open_dataset(folder({"images/a.png": png(grey(0, 2)), "masks/a.tif": tiff(mask)}))
    assert dataset[0].read_mask().labels.tolist() == [[1, 0], [2, 0]]
    assert dataset[0].read_mask().weights.tolist() == [[1, 1], [1, 0]]


def test_many_numbers_up_to_255_are_objects_still(folder: Write) -> None:
    numbers = np.arange(256, dtype=np.uint8).reshape(16, 16)
    dataset = dataset_of(folder, {"a": png(numbers)}, size=16)
    assert dataset[0].read_mask().objects.max() == 255
    assert dataset[0].read_mask().weights is None


def test_palette_masks_are_their_indices(folder: Write) -> None:
    dataset = dataset_of(folder, {"a": png(square(0, 1, 2, 0), "P")})
    assert dataset[0].read_mask().labels.tolist() == [[0, 1], [2, 0]]


def test_colours_are_classes_in_one_order(folder: Write) -> None:
    red, green = np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2, 3), np.uint8)
    red[0, 0], green[0, 1] = (255, 0, 0), (0, 255, 0)
    white = square(255, 0, 0, 0)
    dataset = dataset_of(folder, {"a": png(red), "b": png(green), "c": png(white)})
    assert [s.read_mask().labels.max() for s in dataset.samples] == [2, 1, 3]
    assert dataset[0].read_mask().labels[0, 0] == 2


def test_too_many_colours(folder: Write) -> None:
    smooth = np.random.default_rng(0).integers(0, 255, (20, 20, 3), np.uint8)
    with raises_code("data.mask.colours"):
        dataset_of(folder, {"a": png(smooth)}, size=20)


def test_lossy_masks_are_cut_halfway(folder: Write) -> None:
    mask = np.kron(corner(), np.ones((8, 8), np.uint8))
    dataset = dataset_of(folder, {"a": jpeg(mask), "b": png(mask)}, size=48)
    assert all(np.array_equal(s.read_mask().labels, mask > 0) for s in dataset.samples)


@pytest.mark.parametrize("values", [(0, 128, 255), (0, 100)])
def test_lossy_masks_that_are_not_black_and_white_are_refused(folder: Write, values: Any) -> None:
    mask = np.repeat(np.repeat(np.array(values, np.uint8), 16)[None], 48, axis=0)
    if len(values) == 3:
        mask[:, 32:40] = 128
    with raises_code("data.mask.lossy", "JPEGs"):
        dataset_of(folder, {"a": jpeg(mask)}, size=48)


def test_lossy_masks_among_classes_are_refused(folder: Write) -> None:
    with raises_code("data.mask.lossy", "a JPEG"):
        dataset_of(folder, {"a": png(square(0, 1, 2, 0)), "b": jpeg(square(0, 255, 0, 0))})


def test_smoothed_masks_are_cut_halfway_and_that_is_told(folder: Write) -> None:
    mask = np.zeros((40, 40), np.uint8)
    mask[:, 20:] = 255
    mask[:, 19], mask[0, 20], mask[1, 20], mask[2, 20] = 64, 100, 191, 130
    dataset = dataset_of(folder, {"a": png(mask)}, size=40)
    assert [p.kind for p in dataset.problems] == ["interpretation"]
    assert np.array_equal(dataset[0].read_mask().labels, mask > 127)


def test_object_numbers(folder: Write) -> None:
    numbers = np.arange(100, dtype=np.uint16).reshape(10, 10)
    dataset = dataset_of(folder, {"a": png(numbers)}, size=10)
    assert dataset.classes == ("foreground",)
    assert np.array_equal(dataset[0].read_mask().objects, numbers)
    assert [p.kind for p in dataset.problems] == ["interpretation"]


def test_one_named_class_makes_numbers_objects(folder: Write) -> None:
    numbers = np.arange(16, dtype=np.uint8).reshape(4, 4)
    doubtful = dataset_of(folder, {"a": png(numbers)}, size=4)
    assert len(doubtful.classes) == 15
    assert [p.kind for p in doubtful.problems] == ["interpretation"]
    named = dataset_of(folder, {"a": png(numbers)}, {"classes.txt": b"cell\n"}, size=4)
    assert named.classes == ("cell",)
    assert named[0].read_mask().objects.max() == 15
    assert not named.problems


@pytest.mark.parametrize(
    "file",
    [
        {"classes.txt": "nerve\r\nGefäß\n".encode()},
        {"classes.txt": "background\nnerve\nGefäß".encode()},
        {"classes.json": '["nerve", "Gefäß"]'.encode()},
    ],
)
def test_named_classes(folder: Write, file: Any) -> None:
    dataset = dataset_of(folder, {"a": png(square(0, 1, 2, 0))}, file)
    assert dataset.classes == ("nerve", "Gefäß")
    assert dataset_of(folder, {"a": png(square(0, 2, 2, 0)), "b": png(square(1, 2, 0, 0))}, file).classes


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ({"classes.json": b"{"}, "data.classes.malformed"),
        ({"classes.json": b'{"a": 1}'}, "data.classes.malformed"),
        ({"classes.txt": b"a\nb\nc\n"}, "data.classes.count"),
    ],
)
def test_bad_class_names(folder: Write, file: Any, reason: str) -> None:
    with raises_code(reason):
        dataset_of(folder, {"a": png(square(0, 128, 255, 0))}, file)


def test_a_value_seen_only_later_is_told_not_taken_for_another(
    folder: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lossy_masks, "MASKS_LOOKED_AT", 5)
    masks = {f"m{n}": png(square(0, 255, 0, 0)) for n in range(40)}
    looked_at = {masks_name for masks_name in lossy_masks.sample_of_masks(list(masks))}
    other = next(name for name in masks if name not in looked_at)
    dataset = dataset_of(folder, masks | {other: png(square(0, 128, 0, 0))})
    samples = {s.id: s for s in dataset.samples}
    with raises_code("data.mask.values", other, "128"):
        samples[other].read_mask()
    assert sum(s.read_mask().labels.sum() for s in dataset.samples if s.id != other) == 39


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (np.array([[0.5, 0], [0, 300]], np.float32), ("data.mask.values", "fractions or NaN")),
        (np.array([[0.5, -0.5], [0, 1]], np.float32), ("data.mask.values", "fractions or NaN")),
        (np.array([[np.nan, 0], [0, 1]], np.float32), ("data.mask.values", "fractions or NaN")),
        (np.array([[-2, 0], [0, 1]], np.int16), ("data.mask.negative",)),
        ((np.arange(1600) * 40).reshape(40, 40).astype(np.uint16), ("data.mask.classes",)),
    ],
)
def test_masks_that_make_no_sense(folder: Write, mask: Any, reason: Any) -> None:
    with raises_code(*reason):
        open_dataset(folder({"images/a.png": png(grey()), "masks/a.tif": tiff(mask)}))


def test_whole_floats_are_classes(folder: Write) -> None:
    mask = np.array([[0, 1], [0, 2]], np.float32)
    dataset = open_dataset(folder({"images/a.png": png(grey(0, 2)), "masks/a.tif": tiff(mask)}))
    assert np.array_equal(dataset[0].read_mask().labels, mask)


def test_ids_keep_the_folder_where_stems_collide(folder: Write) -> None:
    stems = ("train/{}/1", "train/{}/2", "val/{}/1")
    files = {f"{stem.format(kind)}.png": png(corner()) for stem in stems for kind in ("images", "masks")}
    dataset = open_dataset(folder(files))
    assert sorted(s.id for s in dataset.samples) == ["2", "train_images_1_png", "val_images_1_png"]
    assert {s.reason for s in dataset.samples} == {
        "same stem in train/images/ and train/masks/",
        "same stem in val/images/ and val/masks/",
    }


def test_nothing_pairs_up(folder: Write) -> None:
    with raises_code("data.masks.missing"):
        open_dataset(folder({"images/a.png": png(grey()), "masks/b.png": png(grey())}), "image-mask-folders")
