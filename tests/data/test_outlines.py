"""Outlines of other programs as masks: the right pixels, classes and objects, and nothing silently wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_unet.data.catalog import find_format, open_dataset
from napari_unet.data.inspection.inspect_dataset import inspect_dataset
from napari_unet.data.outlines.fill import fill
from napari_unet.data.outlines.outline import DrawnOutline, Polygon, ring
from napari_unet.inference.postprocess import connected_objects
from support.drawn import (
    SHAPE,
    SQUARE,
    coco,
    cvat_xml,
    exported,
    geojson,
    image,
    labelme,
    region,
    roi_zip,
    square,
)
from support.errors import check, raises_code
from support.file_builders import png, tiff
from support.reading import within

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.data.dataset import Dataset
    from support.file_builders import Write

OTHER = [[30, 20], [32, 20], [32, 22], [30, 22]]  # four pixels


def only_mask(dataset: Dataset) -> np.ndarray:
    (sample,) = dataset.samples
    return sample.read_mask().labels


def pixels(corners: Any, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """Filled by us, in the whole image."""
    top, left, found = fill(DrawnOutline("", (Polygon((ring(corners, "it"),)),), 1), shape, "it")
    whole = np.zeros(shape, bool)
    whole[top : top + found.shape[0], left : left + found.shape[1]] = found
    return whole


def told(dataset: Dataset, kind: str) -> list[str]:
    return [problem.message for problem in dataset.problems if problem.kind == kind]


# What each program writes for the same square.
MARK = f'<polygon label="cell" points="{";".join(f"{x},{y}" for x, y in SQUARE)}"/>'
BOX = '<mask label="cell" rle="0,12" left="10" top="5" width="4" height="3"/>'
BACKUP = [
    {"shapes": [{"type": "polygon", "label": "cell", "frame": 0, "points": list(np.ravel(SQUARE) + 0.0)}]}
]
DATUMARO = {
    "categories": {"label": {"labels": [{"name": "cell"}]}},
    "items": [
        {
            "id": "a",
            "annotations": [{"type": "polygon", "label_id": 0, "points": np.ravel(SQUARE).tolist()}],
            "image": {"path": "a.png", "size": list(SHAPE)},
        }
    ],
}
RUNS = {"segmentation": {"size": list(SHAPE), "counts": [405, *[3, 37] * 3, 3, 1872]}}
FILES: dict[str, dict[str, bytes]] = {
    "geojson": {"a.geojson": geojson([("cell", SQUARE)])},
    "geojson of many": {"a_annotations.geojson": geojson([("cell", SQUARE)])},
    "coco": {"coco.json": coco({"a.png": [SQUARE]})},
    "coco, run lengths": {"coco.json": coco({"a.png": [RUNS]})},
    "labelme": {"a.json": labelme([("cell", SQUARE)])},
    "labelme, renamed": {"a.json": labelme([("cell", SQUARE)], "..\\old\\0001.png")},
    "imagej zip": {"a.zip": roi_zip({"0001.roi": region(SQUARE)})},
    "imagej zip of the only image": {"RoiSet.zip": roi_zip({"0001.roi": region(SQUARE)})},
    "imagej": {"a.roi": region(SQUARE)},
    "imagej folder": {"a/0006-0012.roi": region(SQUARE)},
    "cvat": {"annotations.xml": cvat_xml({"a.png": MARK})},
    "cvat, mask": {"annotations.xml": cvat_xml({"a.png": BOX})},
    "cvat, backup": {
        "annotations.json": json.dumps(BACKUP, default=float).encode(),
        "data/manifest.jsonl": b'{"version":"1.1"}\n{"type":"images"}\n{"name":"a","extension":".png"}\n',
    },
    "datumaro": {"annotations/default.json": json.dumps(DATUMARO).encode()},
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("place", ["", "images/"])
def test_every_program_gives_the_very_pixels(kind: str, place: str, folder: Write) -> None:
    dataset = open_dataset(folder({f"{place}a.png": image(), **FILES[kind]}))
    assert dataset.format == "outlines"
    assert dataset.classes == (("foreground",) if "imagej" in kind else ("cell",))
    (sample,) = dataset.samples
    mask = sample.read_mask()
    np.testing.assert_array_equal(mask.labels, square())
    assert mask.objects is not None
    np.testing.assert_array_equal(mask.objects, square())
    assert mask.weights is None
    assert (mask.overlap, mask.lost) == (0, 0)


def test_compressed_run_lengths_are_those_of_pycocotools(folder: Write) -> None:
    from pycocotools import mask as coco_masks

    speckled = np.asfortranarray(np.random.default_rng(0).random(SHAPE) < 0.3, np.uint8)
    found = coco_masks.encode(speckled)
    shape = {"size": list(SHAPE), "counts": found["counts"].decode()}
    path = folder({"a.png": image(), "c.json": coco({"a.png": [{"segmentation": shape}]})})
    np.testing.assert_array_equal(only_mask(open_dataset(path)), speckled)


@pytest.mark.parametrize("name", ["annotations.json", "annotations/instances.json", "images/coco.json"])
def test_one_file_for_a_folder_may_be_given_itself(name: str, folder: Write) -> None:
    path = folder({"images/a.png": image(), "images/b.png": image(1), name: coco({"a.png": [SQUARE]})})
    assert find_format(path / name) == "outlines"
    (path / "other.json").write_text('{"images": 3}')
    assert find_format(path / "other.json") is None
    dataset = open_dataset(path / name)
    np.testing.assert_array_equal(only_mask(dataset), square())
    assert [sample.id for sample in dataset.unlabelled] == ["b"]
    assert dataset.path == path / name


def test_inspect_says_what_was_found(folder: Write) -> None:
    two = coco({"a.png": [SQUARE, OTHER], "b.png": [OTHER]}, ("cell", "debris"))
    content = json.loads(two)
    content["annotations"][2]["category_id"] = 2
    files = {"a.png": image(), "b.png": image(1), "annotations.json": json.dumps(content).encode()}
    inspection = inspect_dataset(open_dataset(folder(files)))
    said = "2 images, 3 outlines of 2 classes from annotations.json: cell 2, debris 1"
    assert inspection.outlines == said
    assert said in inspection.summary()
    assert inspection.to_json()["outlines"] == said


def test_classes_are_numbered_as_the_files_say(folder: Write) -> None:
    """By their numbers in COCO, by classes.txt, else by name; a heading that is no class is left out."""
    names = ("nucleus", "cell")
    files = {"a.png": image(), "c.json": coco({"a.png": [SQUARE, {"category_id": 2, **RUNS}]}, names)}
    assert open_dataset(folder(files)).classes == names
    content = json.loads(files["c.json"])
    content["categories"] = [
        {"id": 0, "name": "cells", "supercategory": "none"},
        *({"id": n, "name": name, "supercategory": "cells"} for n, name in enumerate(names, start=1)),
    ]
    assert open_dataset(folder({**files, "c.json": json.dumps(content).encode()})).classes == names
    drawn = {"a.png": image(), "a.json": labelme([("nucleus", SQUARE), ("cell", OTHER)])}
    dataset = open_dataset(folder(drawn))
    assert dataset.classes == ("cell", "nucleus")
    assert only_mask(dataset)[5, 10] == 2
    dataset = open_dataset(folder({**drawn, "classes.txt": b"nucleus\ncell\n"}))
    assert dataset.classes == names
    assert only_mask(dataset)[5, 10] == 1
    with raises_code("data.classes.count", "nucleus"):
        open_dataset(folder({**drawn, "classes.txt": b"cell\n"}))


@pytest.mark.parametrize("classification", [{"name": "Tumor: Positive"}, {"names": ["Tumor", "Positive"]}])
def test_classes_of_every_qupath(classification: dict[str, Any], folder: Write) -> None:
    content = json.loads(geojson([("x", SQUARE)]))
    content["features"][0]["properties"]["classification"] = classification
    dataset = open_dataset(folder({"a.png": image(), "a.geojson": json.dumps(content).encode()}))
    assert dataset.classes == ("Tumor: Positive",)


def test_outside_an_annotated_region_nothing_is_known(folder: Write) -> None:
    around = [[8, 2], [20, 2], [20, 12], [8, 12]]
    drawn = [("Region*", around), ("cell", SQUARE), ("cell", OTHER)]
    dataset = open_dataset(folder({"a.png": image(), "a.geojson": geojson(drawn)}))
    assert dataset.classes == ("cell",)
    assert dataset.outlines.endswith("1 region bounds what is annotated")
    mask = dataset.samples[0].read_mask()
    known = np.zeros(SHAPE, np.float32)
    known[2:12, 8:20] = 1
    known[20:22, 30:32] = 1  # an object that somebody outlined is one, wherever it lies
    assert mask.weights is not None
    np.testing.assert_array_equal(mask.weights, known)
    assert mask.objects is not None
    assert int(mask.objects.max()) == 2
    assert "partial" in {problem.kind for problem in inspect_dataset(dataset).problems}


def test_other_names_for_regions_and_what_is_to_be_ignored(folder: Write) -> None:
    tissue = [[0, 0], [30, 0], [30, 40], [0, 40]]
    ignored = [[0, 0], [5, 0], [5, 40], [0, 40]]
    drawn = [("Tissue", tissue), ("cell", SQUARE), ("Ignore*", ignored)]
    files = {"a.png": image(), "a.geojson": geojson(drawn)}
    assert open_dataset(folder(files)).classes == ("Tissue", "cell")
    dataset = open_dataset(folder({**files, "regions.txt": b"tissue\n"}))
    assert dataset.classes == ("cell",)
    weights = dataset.samples[0].read_mask().weights
    assert weights is not None
    assert weights.sum() == 25 * 40
    assert weights[:, 5:30].all()


def test_a_box_without_an_outline_is_not_known(folder: Write) -> None:
    path = folder({"a.png": image(), "c.json": coco({"a.png": [SQUARE, {"bbox": [29, 19, 4, 4]}]})})
    dataset = open_dataset(path)
    (message,) = told(dataset, "boxes")
    assert message.startswith("1 object")
    mask = dataset.samples[0].read_mask()
    np.testing.assert_array_equal(mask.labels, square())
    assert mask.weights is not None
    assert np.argwhere(mask.weights == 0).min(axis=0).tolist() == [19, 29]
    assert (mask.weights == 0).sum() == 16


def test_what_is_doubtful_is_told(folder: Write) -> None:
    content = json.loads(geojson([("cell", SQUARE)]))
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}, "properties": {}}
    content["features"].append(point)
    path = folder({"a.png": image(), "b.png": image(1), "a.geojson": json.dumps(content).encode(),
                   "b.geojson": geojson([])})  # fmt: skip
    dataset = open_dataset(path)
    assert told(dataset, "not areas")[0].endswith("Point (1)")
    assert told(dataset, "no outline")[0].startswith("1 image")
    crowd = coco({"a.png": [{**RUNS, "iscrowd": 1}]})
    dataset = open_dataset(folder({"a.png": image(), "c.json": crowd}))
    assert told(dataset, "interpretation")[0].startswith("1 outline")


def test_an_object_without_a_pixel_is_told(folder: Write) -> None:
    thin = [[1, 1.6], [9, 1.6], [9, 2.4], [1, 2.4]]  # between the centres of two rows
    dataset = open_dataset(folder({"a.png": image(), "a.json": labelme([("cell", SQUARE), ("cell", thin)])}))
    assert dataset.samples[0].read_mask().lost == 1
    assert "lost" in {problem.kind for problem in inspect_dataset(dataset).problems}


def test_of_objects_that_overlap_the_smaller_is_on_top(folder: Write) -> None:
    within_it = [[11, 6], [13, 6], [13, 7], [11, 7]]
    drawn = [("b", within_it), ("a", SQUARE)]
    dataset = open_dataset(folder({"a.png": image(), "a.json": labelme(drawn)}))
    mask = dataset.samples[0].read_mask()
    assert mask.labels[6].tolist()[10:14] == [1, 2, 2, 1]
    assert mask.objects is not None
    assert mask.objects[6].tolist()[10:14] == [2, 1, 1, 2]
    assert mask.overlap == 2


def test_pages_of_a_stack_get_their_own_regions(folder: Write) -> None:
    stack = tiff(np.random.default_rng(0).integers(0, 200, (3, *SHAPE), np.uint8), photometric="minisblack")
    regions = {"1.roi": region(SQUARE, position=2), "2.roi": region(OTHER, position=3)}
    dataset = open_dataset(folder({"a.tif": stack, "a.zip": roi_zip(regions)}))
    assert [sample.id for sample in dataset.samples] == ["a_001", "a_002"]
    assert [sample.id for sample in dataset.unlabelled] == ["a_000"]
    np.testing.assert_array_equal(dataset.samples[0].read_mask().labels, square())
    assert dataset.samples[1].read_mask().labels.sum() == 4


def test_masks_that_are_images_come_before_outlines(folder: Write) -> None:
    files = {"images/a.png": image(), "masks/a.png": png(square()), "c.json": coco({"a.png": [OTHER]})}
    path = folder(files)
    dataset = open_dataset(path)
    assert dataset.format == "image-mask-folders"
    assert told(dataset, "not read")[0].startswith("c.json")
    assert only_mask(open_dataset(path, "outlines")).sum() == 4


def test_which_image_is_meant(folder: Write) -> None:
    """By folders where two have one name; left out, and told, where it is not clear."""
    files = {"train/a.png": image(), "val/a.png": image(1)}
    dataset = open_dataset(folder({**files, "val/a.json": labelme([("cell", SQUARE)])}))
    assert [sample.image_name for sample in dataset.samples] == ["val/a.png"]
    dataset = open_dataset(folder({**files, "c.json": coco({"train/a.png": [SQUARE]})}))
    assert [sample.image_name for sample in dataset.samples] == ["train/a.png"]
    with raises_code("data.outlines.ambiguous", "c.json", "train/a.png"):
        open_dataset(folder({**files, "c.json": coco({"a.png": [SQUARE]})}))
    named = {"a.png": image(), "b.png": image(1), "a.json": labelme([("cell", SQUARE)], "b.png")}
    with raises_code("data.outlines.ambiguous", "a.json", "b.png"):
        open_dataset(folder(named))
    twice = {
        "a.png": image(),
        "a.json": labelme([("cell", SQUARE)]),
        "a.geojson": geojson([("cell", SQUARE)]),
    }
    with raises_code("data.outlines.ambiguous", "a.json", "a.geojson"):
        open_dataset(folder(twice))


# Broken files: what is in a.json or another file, and the code of the error.
CROSSED = [[10, 5], [20, 15], [20, 5], [10, 15]]  # corners in a wrong order
BROKEN: dict[str, tuple[str, bytes, str]] = {
    "cut off": ("c.json", coco({"a.png": [SQUARE]})[:-40], "data.outlines.unreadable"),
    "not a number": (
        "a.json", labelme([("cell", [[0, 0], [float("nan"), 1], [3, 3]])]), "data.outlines.number",
    ),
    "infinite": ("a.json", labelme([("cell", [[0, 0], [1e999, 1], [3, 3]])]), "data.outlines.number"),
    "words": ("a.json", labelme([("cell", [["x", 0], [1, 1], [3, 3]])]), "data.outlines.malformed"),
    "outside": ("a.json", labelme([("cell", [[0, 0], [61.5, 1], [3, 3]])]), "data.outlines.outside"),
    "far outside": ("a.json", labelme([("cell", [[0, 0], [1e300, 1], [3, 3]])]), "data.outlines.outside"),
    "crossing": ("a.json", labelme([("cell", CROSSED)]), "data.outlines.crossing"),
    "another image": ("c.json", coco({"z.png": [SQUARE]}), "data.outlines.images"),
    "another size": ("a.json", labelme([("cell", SQUARE)], imageWidth=600), "data.outlines.size"),
    "some without a class": ("a.geojson", geojson([("cell", SQUARE), ("", OTHER)]), "data.outlines.class"),
    "a class for each object": (
        "a.json", labelme([(f"cell {n}", SQUARE) for n in range(40)]), "data.outlines.class",
    ),
    "runs that are too long": (
        "c.json", coco({"a.png": [{"segmentation": {"size": list(SHAPE), "counts": [0, 10**9]}}]}),
        "data.outlines.malformed",
    ),
    "runs of a large image": (
        "c.json", coco({"a.png": [{"segmentation": {"size": [10**5, 10**5], "counts": [0, 10**10]}}]}),
        "data.outlines.size",
    ),
    "runs that end in the middle": (
        "c.json", coco({"a.png": [{"segmentation": {"size": list(SHAPE), "counts": "o"}}]}),
        "data.outlines.malformed",
    ),
    "a large mask": (
        "annotations.xml",
        cvat_xml({"a.png": '<mask label="c" rle="0,5" left="0" top="0" width="99999" height="99999"/>'}),
        "data.outlines.outside",
    ),
    "entities": (
        "annotations.xml",
        b'<!DOCTYPE x [<!ENTITY a "aaaa">]>' + cvat_xml({"a.png": MARK}).partition(b"?>")[2],
        "data.outlines.unreadable",
    ),
    "no XML": ("annotations.xml", cvat_xml({"a.png": MARK})[:-20], "data.outlines.unreadable"),
    "no region": ("a.zip", roi_zip({"1.roi": b"Iout" + bytes(40)}), "data.outlines.malformed"),
    "a region cut off": ("a.zip", roi_zip({"1.roi": region(SQUARE)[:70]}), "data.outlines.malformed"),
    "a zip that writes outside": ("a.zip", roi_zip({"../1.roi": region(SQUARE)}), "data.archive.outside"),
    "a zip cut off": ("a.zip", roi_zip({"1.roi": region(SQUARE)})[:-9], "data.outlines.unreadable"),
    "a backup without its images": (
        "annotations.json", json.dumps(BACKUP, default=float).encode(), "data.outlines.unreadable",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_broken_is_one_sentence_with_a_code(kind: str, folder: Write) -> None:
    name, data, code = BROKEN[kind]
    with raises_code(code) as caught:
        only_mask(open_dataset(folder({"a.png": image(), name: data})))
    assert name in caught.value.sentence or "a.png" in caught.value.sentence
    assert "\n" not in caught.value.sentence


def test_a_bomb_is_refused_before_it_takes_memory(folder: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    import napari_unet.data.outlines.files as files
    import napari_unet.data.outlines.imagej as imagej

    path = folder({"a.png": image(), "a.json": labelme([("cell", SQUARE)])})
    monkeypatch.setattr(files, "MAX_BYTES", 100)
    with raises_code("data.outlines.large", "a.json"):
        open_dataset(path)
    monkeypatch.undo()
    monkeypatch.setattr(imagej, "MOST_BYTES", 100)
    with raises_code("data.outlines.large", "a.zip"):
        open_dataset(folder({"a.png": image(), "a.zip": roi_zip({"1.roi": region(SQUARE)})}))


def test_class_of_a_region(folder: Write) -> None:
    """Its property, what earlier exports called it, or its group; a name of digits alone says nothing."""
    for more, wanted in (
        ({"props": "class: ant\nnumber: 3\n", "group": 7}, "ant"),
        ({"name": "00012-big ant", "group": 1}, "big ant"),
        ({"name": "0012-0034", "group": 4}, "group 4"),
        ({"name": "12345678-1dd2-11b2-8080-808080808080"}, "foreground"),
    ):
        dataset = open_dataset(folder({"a.png": image(), "a.roi": region(SQUARE, **more)}))
        assert dataset.classes == (wanted,)


def test_one_broken_file_costs_its_image_alone(folder: Write) -> None:
    good, bad = labelme([("cell", SQUARE)]), labelme([("cell", SQUARE)])[:-30]
    dataset = open_dataset(folder({"a.png": image(), "b.png": image(1), "a.json": good, "b.json": bad}))
    assert [sample.id for sample in dataset.samples] == ["a", "b"]
    np.testing.assert_array_equal(dataset.samples[0].read_mask().labels, square())
    with raises_code("data.outlines.unreadable", "b.json"):
        dataset.samples[1].read_mask()
    (problem,) = (p for p in inspect_dataset(dataset).problems if p.kind == "unreadable")
    assert problem.names == ("b",)


def test_images_with_outlines_that_fit_nothing_can_still_be_segmented(folder: Write) -> None:
    from napari_unet.data.catalog import open_images

    path = folder({"a.png": image(), "c.json": coco({"z.png": [SQUARE]})})
    assert [sample.id for sample in open_images([path])] == ["a"]


@settings(max_examples=150, deadline=None)
@given(
    corners=st.lists(
        st.tuples(st.floats(0, 12, width=32), st.floats(0, 9, width=32)), min_size=3, max_size=7, unique=True
    )
)
def test_a_pixel_belongs_to_the_outline_around_its_centre(corners: list[tuple[float, float]]) -> None:
    polygon = shapely.Polygon(corners)
    if not polygon.is_valid or polygon.area == 0:
        return
    ours = pixels(corners, (9, 12))
    y, x = np.mgrid[:9, :12] + 0.5
    clear = shapely.distance(polygon.exterior, shapely.points(x, y)) > 1e-6
    np.testing.assert_array_equal(ours[clear], within(polygon, (9, 12))[clear])


@settings(max_examples=100, deadline=None)
@given(cuts=st.lists(st.tuples(st.floats(0, 8), st.floats(0, 8)), min_size=1, max_size=6))
def test_neighbours_share_no_pixel_and_leave_none_out(cuts: list[tuple[float, float]]) -> None:
    """The same ragged line is the right edge of one outline and the left edge of the other."""
    line = [(4.5, 0.0), *sorted(cuts, key=lambda cut: cut[1]), (3.5, 8.0)]
    if len({y for _, y in line}) < len(line):
        return
    left = pixels([(0, 0), *line, (0, 8)], (8, 8))
    right = pixels([(8, 0), (8, 8), *line[::-1]], (8, 8))
    assert (left ^ right).all()


@pytest.mark.parametrize("kind", ["coco", "geojson", "imagej-roi"])
@settings(max_examples=40, deadline=None)
@given(
    mask=arrays(
        np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9, min_side=2), elements=st.integers(0, 2)
    )
)
def test_what_we_export_comes_back_to_the_pixel(
    kind: str, mask: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Holes, touching objects, single pixels, pieces over corners; benchmarks/outlines.py has 10,000."""
    if not mask.any():
        mask[0, 0] = 1
    path: Path = tmp_path_factory.mktemp("set")
    objects = connected_objects(mask)
    exported(path, kind, {"a": (mask, objects)}, ("zebra", "ant"))
    found = open_dataset(path).samples[0].read_mask()
    np.testing.assert_array_equal(found.labels, mask)
    assert found.objects is not None
    np.testing.assert_array_equal(found.objects, objects)
    assert found.weights is None


@pytest.mark.parametrize("separation", ["none", "distance"])
def test_training_on_outlines_equals_training_on_masks(separation: Any, folder: Write) -> None:
    """Batch n is all that step n sees, so equal batches are equal trainings, to the bit."""
    from napari_unet.models.normalization import Normalization
    from napari_unet.networks.sizes import InputSizes
    from napari_unet.settings import TrainingSettings
    from napari_unet.training.feeding.batches import TrainingBatches

    rng = np.random.default_rng(3)
    masks = {name: connected_objects((rng.random(SHAPE) < 0.5).astype(np.uint8)) for name in "abc"}
    images = {f"images/{name}.png": image(ord(name)) for name in masks}
    stored = folder(
        images
        | {"classes.txt": b"cell"}
        | {f"masks/{name}.tif": tiff(m.astype(np.uint16)) for name, m in masks.items()}
    )
    drawn = folder(images)
    for kind in ("coco", "geojson", "imagej-roi"):
        (drawn / kind).mkdir()
        exported(drawn / kind, kind, {n: ((m > 0).astype(np.uint8), m) for n, m in masks.items()}, ("cell",))
        for name in masks:
            (drawn / kind / f"{name}.png").write_bytes(images[f"images/{name}.png"])

    def batches(path: Path) -> list[np.ndarray]:
        dataset = open_dataset(path)
        assert len(dataset) == 3
        maker = TrainingBatches(
            dataset, Normalization(), TrainingSettings(patch=32, batch_size=2), InputSizes(1, 0), 1,
            separation=separation,
        )  # fmt: skip
        return [array for step in range(3) for array in maker.batch(step)]

    wanted = batches(stored)
    for kind in ("coco", "geojson", "imagej-roi"):
        for ours, theirs in zip(batches(drawn / kind), wanted, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_the_error_travels_with_its_code(folder: Write) -> None:
    """A mask that cannot be made says the same in the worker's process."""
    import pickle

    dataset = open_dataset(folder({"a.png": image(), "a.json": labelme([("cell", CROSSED)])}))
    (sample,) = pickle.loads(pickle.dumps(dataset.samples))
    with raises_code("data.outlines.crossing") as caught:
        sample.read_mask()
    check(caught.value, "data.outlines.crossing", "outline 1 (cell) of a.json")
