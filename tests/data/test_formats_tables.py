"""CSV tables: of run lengths alone, and of pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_unet.data.catalog import open_dataset
from support.errors import raises_code
from support.file_builders import CORNER_RUNS, Write, corner, grey, png

IMAGES = {"pics/a.png": png(grey(1)), "pics/b.png": png(grey(2)), "pics/c.png": png(grey(3))}


@pytest.mark.parametrize("header", ["id,rle_mask", "img,pixels", "ImageId,EncodedPixels", "\ufeffid,rle"])
@pytest.mark.parametrize("ids", [("a", "b"), ("a.png", "b.png")])
def test_one_row_an_image(folder: Write, header: str, ids: Any) -> None:
    table = f"{header}\n{ids[0]},{CORNER_RUNS}\n{ids[1]},\n"
    root = folder(IMAGES | {"runs.csv": table.encode()})
    for path in (root, root / "runs.csv"):
        dataset = open_dataset(path)
        assert dataset.format == "run-length-csv"
        assert [s.id for s in dataset.samples] == ["a", "b"]
        assert [s.id for s in dataset.unlabelled] == ["c"]
        assert np.array_equal(dataset[0].read_mask().labels, corner() > 0)
        assert dataset[0].read_mask().objects is None
        assert not dataset[1].read_mask().labels.any()
        assert dataset[0].reason == "row in runs.csv"


def test_several_rows_an_image_are_objects(folder: Write) -> None:
    table = f"ImageId,EncodedPixels\na,{CORNER_RUNS}\na,36 1\nb,1 1\nc,-1\n"
    dataset = open_dataset(folder(IMAGES | {"runs.csv": table.encode()}))
    assert [int(s.read_mask().objects.max()) for s in dataset.samples] == [2, 1, 0]
    assert dataset[0].read_mask().objects[5, 5] == 2
    assert dataset[0].reason == "2 rows in runs.csv"


def test_subjects_are_groups(folder: Write) -> None:
    images = {"1_1.png": png(grey(1)), "1_2.png": png(grey(2)), "23_1.png": png(grey(3))}
    table = f"subject,img,pixels\n1,1,{CORNER_RUNS}\n1,2,\n23,1,\n"
    root = folder(images | {"my_masks.csv": table.encode()})
    dataset = open_dataset(root / "my_masks.csv")
    assert dataset.groups() == ("subject 1", "subject 1", "subject 23")


def test_a_table_beside_mask_files_leaves_them_alone(folder: Write) -> None:
    files = {"images/a.png": png(grey()), "masks/a.png": png(corner())}
    root = folder(files | {"train.csv": f"id,rle_mask\na,{CORNER_RUNS}\n".encode()})
    dataset = open_dataset(root / "train.csv")
    assert [s.image_name for s in dataset.samples] == ["images/a.png"]


def test_images_that_are_missing_or_twice_are_told(folder: Write) -> None:
    table = "id,rle_mask\na,\nb,\nz,\n"
    dataset = open_dataset(folder(IMAGES | {"more/b.png": png(grey()), "runs.csv": table.encode()}))
    assert [s.id for s in dataset.samples] == ["a"]
    assert sorted(s.id for s in dataset.unlabelled) == ["c", "more_b.png", "pics_b.png"]
    assert {(p.kind, p.names) for p in dataset.problems} == {
        ("missing image", ("z",)),
        ("ambiguous", ("more/b.png", "pics/b.png")),
    }


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("id,rle_mask\n../a,1 1\n", ("data.table.id",)),
        ("id,rle_mask\n..,1 1\n", ("data.table.id",)),
        ("id,rle_mask\nq,1 1\n", ("data.images.missing", "runs.csv")),
        ("id,rle_mask\n", ("data.images.missing",)),
        ("ImageId,ClassId,EncodedPixels\na,256,1 1\n", ("data.runs.classes",)),
    ],
)
def test_bad_tables_of_run_lengths(folder: Write, table: str, reason: Any) -> None:
    with raises_code(*reason):
        open_dataset(folder(IMAGES | {"runs.csv": table.encode()}) / "runs.csv")


def test_two_tables_of_run_lengths_are_not_guessed_between(folder: Write) -> None:
    table = b"id,rle_mask\na,\n"
    root = folder(IMAGES | {"one.csv": table, "two.csv": table, "sample_submission.csv": table})
    with raises_code("data.table.count", "2 tables", "one.csv, two.csv"):
        open_dataset(root)


def test_run_lengths_of_another_size_are_told(folder: Write) -> None:
    dataset = open_dataset(folder(IMAGES | {"runs.csv": b"id,rle_mask\na,30 8\n"}))
    with raises_code("data.runs.outside", "run lengths of a", "6 x 6"):
        dataset[0].read_mask()


PAIRS = {
    "x/1.png": png(grey(1)),
    "y/m 1.png": png(corner()),
    "x/2.png": png(grey(2)),
    "z.png": png(corner(0)),
}


def test_pairs(folder: Write) -> None:
    table = "mask,image,group,id\ny/m 1.png,x/1.png,left,one\nz.png,x/2.png,right,two\n,z.png,left,three\n"
    root = folder(PAIRS | {"pairs.csv": table.encode()})
    for path in (root, root / "pairs.csv"):
        dataset = open_dataset(path)
        assert (dataset.format, dataset.name if path != root else "pairs") == ("pairs-csv", "pairs")
        assert [(s.id, s.image_name, s.mask_name) for s in dataset.samples] == [
            ("one", "x/1.png", "y/m 1.png"),
            ("two", "x/2.png", "z.png"),
        ]
        assert [s.id for s in dataset.unlabelled] == ["three"]
        assert dataset.groups() == ("left", "right")
        assert dataset.group_rule == "column group"
        assert np.array_equal(dataset[0].read_mask().labels, corner() > 0)
        assert dataset[0].reason == "row in pairs.csv"


def test_pairs_with_windows_paths_and_no_more_columns(folder: Write) -> None:
    root = folder(PAIRS | {"pairs.csv": b"image,mask\nx\\1.png,y\\m 1.png\n"})
    dataset = open_dataset(root / "pairs.csv")
    assert [s.id for s in dataset.samples] == ["1"]
    assert (dataset.groups(), dataset.group_rule) == (("1",), "image")


@pytest.mark.parametrize("name", ["../1.png", "/etc/passwd", "C:\\x.png", "x/../../1.png", "\\\\host\\x.png"])
def test_pairs_may_not_lead_out_of_their_folder(folder: Write, name: str) -> None:
    root = folder(PAIRS | {"pairs.csv": f"image,mask\n{name},z.png\n".encode()})
    for path in (root, root / "pairs.csv"):
        with raises_code("data.table.path"):
            open_dataset(path)


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("image,mask\nx/1.png,gone.png\n", ("data.table.path", "gone.png")),
        ("image,mask\n,z.png\n", ("data.table.path",)),
        ("image,mask\n", ("data.table.empty",)),
        ("image,mask,id\nx/1.png,z.png,../a\n", ("data.table.id",)),
        ("image,mask,id\nx/1.png,z.png,a\nx/2.png,z.png,a\n", ("data.image.duplicate", "called a")),
        ("name,file\na,b\n", ("data.table.format",)),
        ("", ("data.table.format", "an empty file")),
    ],
)
def test_bad_tables_of_pairs(folder: Write, table: str, reason: Any) -> None:
    with raises_code(*reason):
        open_dataset(folder(PAIRS | {"pairs.csv": table.encode()}) / "pairs.csv")
