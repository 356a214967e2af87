"""TGS Salt, Ultrasound Nerve, ISBI 2012 and the 2018 Data Science Bowl."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_unet.data.catalog import open_dataset
from support.errors import raises_code
from support.file_builders import CORNER_RUNS, Write, corner, grey, jpeg, png, tiff, unreadable, zipped

CORNER = (corner() > 0).astype(np.uint8)
EMPTY = np.zeros((6, 6), np.uint8)


def kinds(dataset: Any) -> Any:
    return sorted((p.kind, p.names) for p in dataset.problems)


TGS = {
    "train/images/aa.png": png(np.stack([grey(1)] * 3, -1)),
    "train/images/bb.png": png(np.stack([grey(2)] * 3, -1)),
    "train/images/cc.png": png(np.stack([grey(3)] * 3, -1)),
    "train/masks/aa.png": png(corner(65535, dtype=np.uint16)),
    "train/masks/bb.png": png(EMPTY),
    "train.csv": f"id,rle_mask\naa,{CORNER_RUNS}\nbb,\ncc,{CORNER_RUNS}\n".encode(),
    "depths.csv": b"id,z\naa,306\nbb,50\ncc,959\ntt,77\n",
    "test/images/tt.png": png(np.stack([grey(4)] * 3, -1)),
}


def test_tgs(folder: Write) -> None:
    dataset = open_dataset(folder(TGS))
    assert dataset.format == "tgs-salt"
    assert [s.id for s in dataset.samples] == ["aa", "bb", "cc"]
    assert [s.id for s in dataset.unlabelled] == ["tt"]
    assert dataset.classes == ("salt",)
    assert dataset.group_rule == "mosaic"
    assert [s.properties["z"] for s in (*dataset.samples, *dataset.unlabelled)] == [306, 50, 959, 77]
    first, second, third = dataset.samples
    assert np.array_equal(first.read_image(), np.stack([grey(1)] * 3, -1))
    assert np.array_equal(first.read_mask().labels, CORNER)
    assert np.array_equal(second.read_mask().labels, EMPTY)
    assert np.array_equal(third.read_mask().labels, CORNER)
    assert first.reason == "same name in train/images and train/masks, row in train.csv"
    assert (third.mask_name, third.reason) == ("train.csv", "row in train.csv")
    assert not dataset.problems
    assert unreadable(dataset) == []


def test_tgs_without_its_table_or_without_its_masks(folder: Write) -> None:
    without_table = {n: d for n, d in TGS.items() if n != "train.csv"}
    dataset = open_dataset(folder(without_table))
    assert [s.id for s in dataset.samples] == ["aa", "bb"]
    assert [s.id for s in dataset.unlabelled] == ["cc", "tt"]
    assert kinds(dataset) == [("unpaired image", ("train/images/cc.png",))]
    without_masks = {n: d for n, d in TGS.items() if "/masks/" not in n}
    dataset = open_dataset(folder(without_masks))
    assert np.array_equal(dataset[0].read_mask().labels, CORNER)


def test_tgs_where_file_and_table_disagree_it_is_told(folder: Write) -> None:
    files = TGS | {"train.csv": f"id,rle_mask\naa,1 1\nbb,\ncc,{CORNER_RUNS}\n".encode()}
    dataset = open_dataset(folder(files))
    with raises_code("data.mask.contradiction", "train/masks/aa.png", "got 5"):
        dataset[0].read_mask()
    assert unreadable(dataset) == ["aa"]


def test_tgs_with_two_files_of_one_name_takes_neither(folder: Write) -> None:
    files = TGS | {"train/masks/aa.jpg": jpeg(corner()), "train/masks/zz.png": png(EMPTY)}
    dataset = open_dataset(folder(files))
    assert dataset[0].mask_name == "train.csv"
    assert kinds(dataset) == [
        ("ambiguous", ("train/masks/aa.jpg", "train/masks/aa.png")),
        ("unpaired mask", ("train/masks/zz.png",)),
    ]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"train.csv": b"id,rle_mask\n../../etc/passwd,1 1\n"}, ("data.table.id",)),
        ({"train.csv": b"id,rle_mask\n,1 1\n"}, ("data.table.id",)),
        ({"train.csv": b"id,rle_mask\naa\n"}, ("data.table.damaged", "line 2", "train.csv")),
        ({"train.csv": b"\xff\xfe\x00"}, ("data.table.unreadable", "train.csv")),
        ({"train.csv": b"name,mask\naa,1 1\n"}, ("data.table.columns", "column id")),
        ({"depths.csv": b"id,z\naa,deep\n"}, ("data.table.value",)),
    ],
)
def test_tgs_with_bad_tables(folder: Write, files: Any, reason: Any) -> None:
    with raises_code(*reason):
        open_dataset(folder(TGS | files), format="tgs-salt")


def test_tgs_with_runs_out_of_range_is_told_when_the_mask_is_read(folder: Write) -> None:
    dataset = open_dataset(folder(TGS | {"train.csv": b"id,rle_mask\ncc,36 2\n"}))
    with raises_code("data.runs.outside", "run lengths of cc"):
        dataset[-1].read_mask()


NERVE = {
    "train/1_1.tif": tiff(grey(1), compression="lzw"),
    "train/1_1_mask.tif": tiff(corner(), compression="lzw"),
    "train/1_2.tif": tiff(grey(2)),
    "train/12_3.tif": tiff(grey(3)),
    "train/12_3_mask.tif": tiff(EMPTY),
    "train/2_20_mask.tif": tiff(EMPTY),
    "train_masks.csv": f"subject,img,pixels\n1,1,{CORNER_RUNS}\n1,2,{CORNER_RUNS}\n12,3,\n".encode(),
    "test/1.tif": tiff(grey(4)),
}


def test_nerve(folder: Write) -> None:
    dataset = open_dataset(folder(NERVE))
    assert dataset.format == "ultrasound-nerve"
    assert [s.id for s in dataset.samples] == ["1_1", "1_2", "12_3"]
    assert [s.id for s in dataset.unlabelled] == ["test_1"]
    assert dataset.groups() == ("subject 1", "subject 1", "subject 12")
    assert dataset.group_rule == "subject"
    assert [s.mask_name for s in dataset.samples] == [
        "train/1_1_mask.tif", "train_masks.csv", "train/12_3_mask.tif",
    ]  # fmt: skip
    assert [int(s.read_mask().labels.sum()) for s in dataset.samples] == [6, 6, 0]
    assert kinds(dataset) == [("unpaired mask", ("train/2_20_mask.tif",))]
    assert unreadable(dataset) == []


def test_nerve_copies_with_lossy_masks(folder: Write) -> None:
    big = np.kron(corner(), np.ones((8, 8), np.uint8))
    files = {
        "images/3_7.jpg": jpeg(np.stack([big // 2] * 3, -1)),
        "masks/3_7_mask.jpg": jpeg(big),
        "images/4_1.jpg": jpeg(big // 2),
        "masks/4_1_mask.jpg": jpeg(big),
    }
    dataset = open_dataset(folder(files))
    assert (dataset.format, dataset.groups()) == ("ultrasound-nerve", ("subject 3", "subject 4"))
    assert np.array_equal(dataset[0].read_mask().labels, big > 127)


def test_numbers_alone_do_not_make_a_nerve(folder: Write) -> None:
    classes = np.array([[0, 1], [2, 2]], np.uint8)
    files = {"images/3_7.png": png(classes), "masks/3_7_mask.png": png(classes)}
    dataset = open_dataset(folder(files))
    assert dataset.format == "image-mask-folders"
    assert np.array_equal(dataset[0].read_mask().labels, classes)


def test_nerve_frames_are_known_by_their_size(folder: Write) -> None:
    frame = tiff(np.zeros((420, 580), np.uint8))
    assert open_dataset(folder({"1_1.tif": frame, "1_1_mask.tif": frame})).format == "ultrasound-nerve"


def test_nerve_with_a_bad_table(folder: Write) -> None:
    with raises_code("data.table.id"):
        open_dataset(folder(NERVE | {"train_masks.csv": b"subject,img,pixels\n../1,2,\n"}))


def slice_of(value: Any) -> Any:
    return png(np.full((512, 512), value, np.uint8))


ISBI = {f"train/image/{n}.png": slice_of(n) for n in (0, 2, 3, 10)} | {
    f"train/label/{n}.png": slice_of(255 * (n > 2)) for n in (0, 2, 3, 10)
}


def test_isbi_slices_are_in_the_order_of_their_numbers(folder: Write) -> None:
    dataset = open_dataset(folder(ISBI | {"test/11.png": slice_of(1), "test/9.png": slice_of(1)}))
    assert (dataset.format, dataset.classes) == ("isbi2012", ("cell interior",))
    assert [s.id for s in dataset.samples] == ["0", "2", "3", "10"]
    assert [s.id for s in dataset.unlabelled] == ["test_9", "test_11"]
    assert dataset.groups() == ("slices 0-2", "slices 0-2", "slices 3-5", "slices 9-11")
    assert [int(s.read_mask().labels.max()) for s in dataset.samples] == [0, 0, 1, 1]
    assert dataset[3].read_image()[0, 0, 0] == 10


def test_isbi_unpaired(folder: Write) -> None:
    files = {n: d for n, d in ISBI.items() if n not in ("train/label/0.png", "train/image/2.png")}
    dataset = open_dataset(folder(files))
    assert [s.id for s in dataset.unlabelled] == ["0"]
    assert kinds(dataset) == [
        ("unpaired image", ("train/image/0.png",)),
        ("unpaired mask", ("train/label/2.png",)),
    ]


def test_numbered_slices_of_classes_are_not_isbi(folder: Write) -> None:
    labels = np.zeros((512, 512), np.uint8)
    labels[0, :2] = 1, 2
    dataset = open_dataset(folder({"train/image/1.png": slice_of(1), "train/label/1.png": png(labels)}))
    assert (dataset.format, len(dataset.classes)) == ("image-mask-folders", 2)


def test_isbi_stacks(folder: Write) -> None:
    volume = np.stack([grey(n) for n in range(4)])
    labels = np.stack([corner(255), corner(0), corner(0), corner(255)])
    options = {"photometric": "minisblack"}
    root = folder(
        {
            "train-volume.tif": tiff(volume, **options),
            "train-labels.tif": tiff(labels, **options),
            "test-volume.tif": tiff(volume[:2], **options),
        }
    )
    for path in (root, root / "train-volume.tif"):
        dataset = open_dataset(path)
        assert dataset.format == "isbi2012"
        assert [s.id for s in dataset.samples] == ["0", "1", "2", "3"]
        assert [s.id for s in dataset.unlabelled] == ["test_000", "test_001"]
        assert np.array_equal(dataset[2].read_image()[..., 0], volume[2])
        assert [int(s.read_mask().labels.sum()) for s in dataset.samples] == [6, 0, 0, 6]
        assert dataset.groups() == ("slices 0-2",) * 3 + ("slices 3-5",)
        assert not dataset.problems


def test_isbi_stacks_of_different_length(folder: Write) -> None:
    options = {"photometric": "minisblack"}
    root = folder(
        {
            "train-volume.tif": tiff(np.zeros((4, 6, 6), np.uint8), **options),
            "train-labels.tif": tiff(np.zeros((3, 6, 6), np.uint8), **options),
        }
    )
    with raises_code("data.stack.length", "4 slices", "got 3"):
        open_dataset(root)


def nucleus(rows: Any, columns: Any) -> Any:
    mask = np.zeros((6, 6), np.uint8)
    mask[rows, columns] = 255
    return png(mask)


DSB = {
    "stage1_train/n1/images/n1.png": png(np.dstack([grey(1)] * 3 + [np.full((6, 6), 255, np.uint8)])),
    "stage1_train/n1/masks/x.png": nucleus(slice(0, 3), slice(0, 3)),
    "stage1_train/n1/masks/y.png": nucleus(slice(2, 4), slice(2, 4)),
    "stage1_train/n2/images/n2.png": png(grey(2)),
    "stage1_train/n2/masks/z.png": nucleus(slice(5, 6), slice(0, 6)),
    "stage1_test/n3/images/n3.png": png(grey(3)),
}


def test_dsb_nuclei_are_objects_and_the_smaller_stays_on_top(folder: Write) -> None:
    dataset = open_dataset(folder(DSB))
    assert (dataset.format, dataset.classes) == ("dsb2018", ("nucleus",))
    assert [s.id for s in dataset.samples] == ["n1", "n2"]
    assert [s.id for s in dataset.unlabelled] == ["n3"]
    assert dataset[0].read_image().shape == (6, 6, 3)
    mask = dataset[0].read_mask()
    expected = np.zeros((6, 6), np.int32)
    expected[:3, :3] = 1
    expected[2:4, 2:4] = 2
    assert mask.objects.dtype == np.int32
    assert np.array_equal(mask.objects, expected)
    assert np.array_equal(mask.labels, expected > 0)
    assert mask.overlap == 1
    assert dataset[0].reason == "2 object masks in the same folder"
    assert not dataset.problems


def test_dsb_from_its_table(folder: Write) -> None:
    files = {n: d for n, d in DSB.items() if "/masks/" not in n}
    table = f"ImageId,EncodedPixels\nn1,{CORNER_RUNS}\nn1,36 1\nn2,6 1\n"
    dataset = open_dataset(folder(files | {"stage1_train_labels.csv": table.encode()}))
    assert dataset.format == "dsb2018"
    assert [int(s.read_mask().objects.max()) for s in dataset.samples] == [2, 1]
    assert dataset[1].read_mask().objects[5, 0] == 1
    assert [s.id for s in dataset.unlabelled] == ["n3"]


ONE = {
    "images/n1.png": png(grey(1)),
    "masks/x.png": nucleus(slice(0, 3), slice(0, 3)),
    "masks/y.png": nucleus(slice(2, 4), slice(3, 5)),
}


@pytest.mark.parametrize("above", ["n1", "stage1_train/n1", "train/n1"])
def test_dsb_with_one_image(folder: Write, above: str) -> None:
    root = folder({f"{above}/{name}": data for name, data in ONE.items()})
    archive = root.with_name("one.zip")
    archive.write_bytes(zipped({f"{above}/{name}": data for name, data in ONE.items()}))
    for path in (root, root / above, archive):
        dataset = open_dataset(path)
        assert dataset.format == "dsb2018"
        assert [s.id for s in dataset.samples] == ["n1"]
        assert dataset[0].read_image().shape == (6, 6, 1)
        objects = dataset[0].read_mask().objects
        assert (objects == 1).sum() == 9
        assert (objects == 2).sum() == 4
        assert not dataset.problems
        assert not dataset.unlabelled


def test_one_pair_of_the_folders_name_is_no_dsb(folder: Write) -> None:
    pair = {"cells/images/cells.png": png(grey()), "cells/masks/cells.png": png(corner())}
    assert open_dataset(folder(pair)).format == "image-mask-folders"
    more = {"cells/images/a.png": png(grey()), "cells/masks/a.png": png(corner())}
    dataset = open_dataset(folder(pair | more))
    assert (dataset.format, len(dataset)) == ("image-mask-folders", 2)


def test_dsb_problems(folder: Write) -> None:
    files = DSB | {
        "stage1_train/n4/images/n4.png": png(grey(4)),
        "stage1_train/n5/masks/a.png": nucleus(0, 0),
        "copy/n2/images/n2.png": png(grey(2)),
    }
    dataset = open_dataset(folder(files))
    assert [s.id for s in dataset.samples] == ["n1"]
    assert sorted(p.kind for p in dataset.problems) == ["ambiguous", "unpaired image", "unpaired mask"]


def test_dsb_masks_of_several_sizes_are_told(folder: Write) -> None:
    dataset = open_dataset(folder(DSB | {"stage1_train/n2/masks/w.png": png(np.zeros((5, 6), np.uint8))}))
    with raises_code("data.mask.size", "6 x 5", "6 x 6"):
        dataset[1].read_mask()
