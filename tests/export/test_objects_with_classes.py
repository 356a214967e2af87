"""Objects of several classes through files of numbers and back: the same objects and classes."""

from __future__ import annotations

import csv
import json
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from napari_unet.data.catalog import open_dataset
from napari_unet.data.files.source import open_source
from napari_unet.data.masks.mask_reading import MaskReading, reading_masks
from napari_unet.data.masks.numbered_objects import NumberedObjects
from napari_unet.export.formats import FORMATS
from napari_unet.export.masks import write_objects
from napari_unet.export.segmented import SegmentedImage
from napari_unet.export.stacks import StackFile, StackSlice
from napari_unet.workflow.inputs.mask_folder import GivenMasks
from support.errors import raises_code
from support.file_builders import png

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.export.segmented import Numbers

CLASSES = ("Zelle, groß", "nerve & vessel")
MASK = np.zeros((12, 20), np.uint8)
MASK[1:6, 1:6], MASK[1:6, 6:11], MASK[8:11, 2:15], MASK[0:3, 18:20] = 1, 1, 2, 2
OBJECTS = np.zeros((12, 20), np.int32)  # the first two touch; the fourth is at the border
OBJECTS[1:6, 1:6], OBJECTS[1:6, 6:11], OBJECTS[8:11, 2:15], OBJECTS[0:3, 18:20] = 1, 2, 3, 4
OBJECTS[2:4, 2:4] = MASK[2:4, 2:4] = 0  # a hole


def image(
    mask: np.ndarray = MASK, objects: np.ndarray = OBJECTS, ties: tuple[int, ...] = (3,)
) -> SegmentedImage:
    return SegmentedImage("a", mask, partial(np.asarray, objects), CLASSES, "a.png", ties=ties)


def written(folder: Path, kind: str, one: SegmentedImage) -> Path:
    """A data set of one image, whose mask is an export."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    (folder / "images" / "a.png").write_bytes(png(np.zeros(one.mask.shape, np.uint8)))
    entry = FORMATS[kind]
    assert entry.write is not None
    entry.write(folder / "masks" / f"a{entry.suffix}", one, "objects")
    return folder


@pytest.mark.parametrize("kind", ["tiff", "png", "ome-tiff"])
def test_numbers_come_back_with_their_classes(kind: str, tmp_path: Path) -> None:
    dataset = open_dataset(written(tmp_path, kind, image()))
    assert dataset.classes == CLASSES
    back = dataset.samples[0].read_mask()
    np.testing.assert_array_equal(back.labels, MASK)
    np.testing.assert_array_equal(back.objects, OBJECTS)
    # As masks to be scored, too, whatever order the classes have there.
    given = GivenMasks(open_source(tmp_path / "masks"), [], CLASSES[::-1])
    name = next(iter(given.source.sizes))
    found = given.read(name)
    np.testing.assert_array_equal(found.labels, np.where(MASK > 0, 3 - MASK, 0))
    np.testing.assert_array_equal(found.objects, OBJECTS)


def test_a_person_who_knows_better_is_heard(tmp_path: Path) -> None:
    folder = written(tmp_path, "tiff", image())
    with reading_masks(MaskReading(masks_are="objects")):
        dataset = open_dataset(folder)
    assert dataset.classes == ("foreground",)


@pytest.mark.parametrize("kind", ["tiff", "png", "ome-tiff"])
def test_no_object_at_all_and_thousands(kind: str, tmp_path: Path) -> None:
    nothing = np.zeros((8, 8), np.int32)
    dataset = open_dataset(written(tmp_path / "none", kind, image(nothing.astype(np.uint8), nothing, ())))
    assert dataset.classes == CLASSES
    assert not dataset.samples[0].read_mask().labels.any()
    objects = np.arange(1, 10_001, dtype=np.int32).reshape(100, 100)  # all of them touch
    mask = (1 + objects % 2).astype(np.uint8)
    dataset = open_dataset(written(tmp_path / "many", kind, image(mask, objects, tuple(range(1, 99)))))
    back = dataset.samples[0].read_mask()
    np.testing.assert_array_equal(back.labels, mask)
    np.testing.assert_array_equal(back.objects, objects)


def test_numbers_that_were_changed_since_are_an_error(tmp_path: Path) -> None:
    folder = written(tmp_path, "tiff", image())
    path = folder / "masks" / "a.tif"
    with tifffile.TiffFile(path) as file:
        text = file.pages[0].description
    changed = OBJECTS.astype(np.uint8).copy()
    changed[11, 19] = 9
    tifffile.imwrite(path, changed, description=text, metadata=None)
    dataset = open_dataset(folder)
    with raises_code("data.mask.numbered"):
        dataset.samples[0].read_mask()


def test_files_of_two_sets_of_classes(tmp_path: Path) -> None:
    folder = written(tmp_path, "tiff", image())
    (folder / "images" / "b.png").write_bytes(png(np.zeros(MASK.shape, np.uint8)))
    other = SegmentedImage("b", MASK, partial(np.asarray, OBJECTS), ("nerve & vessel", "fat"), "b.png")
    write = FORMATS["tiff"].write
    assert write is not None
    write(folder / "masks" / "b.tif", other, "objects")
    dataset = open_dataset(folder)
    assert dataset.classes == (*CLASSES, "fat")
    np.testing.assert_array_equal(dataset.samples[1].read_mask().labels, np.where(MASK > 0, MASK + 1, 0))
    (folder / "classes.txt").write_text("nerve & vessel\nfat\n")
    with raises_code("data.classes.count"):
        open_dataset(folder)


def test_the_file_of_segment_says_classes_and_ties(tmp_path: Path) -> None:
    path = write_objects(tmp_path / "a.tif", OBJECTS, image().numbered)
    with tifffile.TiffFile(path) as file:
        about = json.loads(file.pages[0].description)
    assert about["classes"] == list(CLASSES)
    assert about["class_of_object"] == "0 1 1 2 2"
    assert about["tied_objects"] == "3"
    single = NumberedObjects.of(OBJECTS, (MASK > 0).astype(np.uint8), ("cell",))
    path = write_objects(tmp_path / "b.tif", OBJECTS, single)
    with tifffile.TiffFile(path) as file:
        assert "class_of_object" not in file.pages[0].description


@pytest.mark.parametrize("kind", ["tiff", "ome-tiff"])
def test_a_stack_in_one_file(kind: str, tmp_path: Path) -> None:
    suffix = FORMATS[kind].suffix
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    tifffile.imwrite(tmp_path / "images" / "a.tif", np.zeros((2, *MASK.shape), np.uint8))
    file = StackFile(tmp_path / "masks" / f"a{suffix}", kind, "objects", (2,))
    for place, (objects, mask) in enumerate([(OBJECTS, MASK), (np.where(OBJECTS == 3, 7, 0), MASK)]):
        one = image(mask, objects)
        said = NumberedObjects.of(objects, mask, CLASSES, (3,) if place == 0 else (7,))
        file.add(objects, one, StackSlice("a", (place,), (2,)), said)
    file.write()
    dataset = open_dataset(tmp_path)
    assert dataset.classes == CLASSES
    second = dataset.samples[1].read_mask()
    np.testing.assert_array_equal(second.labels, np.where(OBJECTS == 3, 2, 0))
    np.testing.assert_array_equal(second.objects, np.where(OBJECTS == 3, 7, 0))


def test_ties_are_in_outlines_and_tables(tmp_path: Path) -> None:
    geojson = FORMATS["geojson"].write
    assert geojson is not None
    features = json.loads(geojson(tmp_path / "a.geojson", image(), "objects").read_text())["features"]
    assert ["Tie of classes" in f["properties"]["measurements"] for f in features] == [
        False,
        False,
        True,
        False,
    ]
    for kind, name in (("coco", "a.json"), ("measurements", "a.csv")):
        gather = FORMATS[kind].gather
        assert gather is not None
        with gather(tmp_path / name, "objects") as add:
            add(image())
    annotations = json.loads((tmp_path / "a.json").read_text())["annotations"]
    assert ["attributes" in one for one in annotations] == [False, False, True, False]
    with (tmp_path / "a.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["class"], row["tie"]) for row in rows] == [
        (CLASSES[0], "0"), (CLASSES[0], "0"), (CLASSES[1], "1"), (CLASSES[1], "0"),
    ]  # fmt: skip


@pytest.mark.parametrize("numbers", ["objects", "classes"])
def test_run_lengths_come_back_with_their_classes(numbers: Numbers, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(np.zeros(MASK.shape, np.uint8)))
    (tmp_path / "classes.txt").write_text("\n".join(CLASSES), encoding="utf-8")
    gather = FORMATS["run-lengths"].gather
    assert gather is not None
    with gather(tmp_path / "runs.csv", numbers) as add:
        add(image())
    dataset = open_dataset(tmp_path)
    assert dataset.classes == CLASSES
    back = dataset.samples[0].read_mask()
    np.testing.assert_array_equal(back.labels, MASK)
    if numbers == "objects":
        np.testing.assert_array_equal(back.objects, OBJECTS)
    else:
        assert back.objects is None


def test_run_lengths_of_classes_that_are_named_in_the_table(tmp_path: Path) -> None:
    """As Kaggle's tables of several classes: a row a class; an image of nothing has no run."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.png").write_bytes(png(np.zeros((2, 3), np.uint8)))
    (tmp_path / "t.csv").write_text("ImageId,ClassId,EncodedPixels\na,big,1 2\na,ant,5 1\nb,,\n")
    dataset = open_dataset(tmp_path)
    assert dataset.classes == ("ant", "big")
    masks = {sample.id: sample.read_mask().labels.tolist() for sample in dataset.samples}
    assert masks == {"a": [[2, 0, 1], [2, 0, 0]], "b": [[0, 0, 0], [0, 0, 0]]}


def test_each_label_of_an_ome_zarr_has_its_class(tmp_path: Path) -> None:
    import zarr

    write = FORMATS["ome-zarr"].write
    assert write is not None
    group = zarr.open_group(write(tmp_path / "a.ome.zarr", image(), "objects"), mode="r")["labels/masks"]
    np.testing.assert_array_equal(np.asarray(group["0"]), OBJECTS)
    properties = dict(group.attrs)["ome"]["image-label"]["properties"]
    found = {one["label-value"]: (one["class"], "tie of classes" in one) for one in properties}
    assert found == {
        1: (CLASSES[0], False), 2: (CLASSES[0], False), 3: (CLASSES[1], True), 4: (CLASSES[1], False),
    }  # fmt: skip
