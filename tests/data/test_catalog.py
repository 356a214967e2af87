from __future__ import annotations

import multiprocessing
import pickle
import subprocess
import sys
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.data.catalog import FORMATS, open_dataset, open_images, recognize
from napari_unet.data.files.source import open_source
from napari_unet.errors import DataError
from support.errors import raises_code
from support.file_builders import Write, corner, grey, jpeg, png, tiff, unreadable, zipped

if TYPE_CHECKING:
    from pathlib import Path

PAIRS = {
    "images/a.png": png(grey(1)),
    "images/b.png": png(grey(2)),
    "masks/a.png": png(corner()),
    "masks/b.png": png(corner(0)),
}
LAYOUTS = {
    "tgs-salt": {
        "train/images/a.png": png(grey()),
        "train/masks/a.png": png(corner()),
        "depths.csv": b"id,z\n",
    },
    "ultrasound-nerve": {"train/1_1.tif": tiff(grey()), "train_masks.csv": b"subject,img,pixels\n1,1,\n"},
    "isbi2012": {
        "train/image/0.png": png(np.zeros((512, 512), np.uint8)),
        "train/label/0.png": png(np.full((512, 512), 255, np.uint8)),
    },
    "dsb2018": {f"stage1_train/{n}/images/{n}.png": png(grey()) for n in "ab"}
    | {f"stage1_train/{n}/masks/1.png": png(corner()) for n in "ab"},
    "cell-tracking": {"01/t000.tif": tiff(grey()), "01_GT/SEG/man_seg000.tif": tiff(corner(1))},
    "image-mask-folders": PAIRS,
    "run-length-csv": {"a.png": png(grey()), "runs.csv": b"id,rle_mask\na,1 2\n"},
    "outlines": {
        "a.png": png(grey()),
        "a.json": b'{"shapes": [{"label": "cell", "points": [[0, 0], [3, 0], [3, 2]]}], "flags": {}}',
    },
    "pairs-csv": {"p.png": png(grey()), "q.png": png(corner()), "pairs.csv": b"image,mask\np.png,q.png\n"},
}


def test_the_formats_have_the_names_of_the_command_line() -> None:
    assert set(FORMATS) == {*LAYOUTS, "images"}
    assert all(name == layout.name and layout.title for name, layout in FORMATS.items())


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_recognized_in_folder_zip_and_zip_of_zip(
    folder: Write, tmp_path: Path, name: Any
) -> None:
    path = tmp_path / "set.zip"
    nested = tmp_path / "nested.zip"
    path.write_bytes(zipped(LAYOUTS[name]))
    nested.write_bytes(zipped({"inner.zip": path.read_bytes(), "readme.md": b"hello"}))
    opened = [open_dataset(p) for p in (folder(LAYOUTS[name]), path)]
    if name not in {"tgs-salt", "ultrasound-nerve", "isbi2012", "pairs-csv"}:  # these need their place
        opened.append(open_dataset(nested))
    for dataset in opened:
        assert dataset.format == name
        assert len(dataset) >= 1
        for sample in dataset.samples:
            assert sample.reason
            assert sample.image_name
            assert sample.mask_name
            assert sample.read_mask().labels.shape == sample.read_image().shape[:2]
        assert unreadable(dataset) == []


def test_the_nested_zip_of_a_kaggle_download(tmp_path: Path) -> None:
    tgs = {f"images/{n}.png": png(grey(n)) for n in range(3)} | {
        f"masks/{n}.png": png(corner()) for n in range(3)
    }
    outer = tmp_path / "tgs.zip"
    test = zipped({"images/9.png": png(grey(9))})
    outer.write_bytes(zipped({"train.zip": zipped(tgs), "test.zip": test, "depths.csv": b"id,z\n1,5\n"}))
    dataset = open_dataset(outer)
    assert (dataset.format, len(dataset), [s.id for s in dataset.unlabelled]) == ("tgs-salt", 3, ["9"])
    assert dataset[1].properties == {"z": 5}
    assert np.array_equal(dataset[2].read_image()[..., 0], grey(2))


def test_a_named_format_is_obeyed(folder: Write) -> None:
    path = folder(LAYOUTS["tgs-salt"])
    assert open_dataset(path).format == "tgs-salt"
    assert open_dataset(path, format="image-mask-folders").format == "image-mask-folders"
    with raises_code("data.masks.missing"):
        open_dataset(path, format="isbi2012")
    with raises_code("settings.format.unknown", "'tgs'", "tgs-salt"):
        open_dataset(path, format="tgs")


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "holds no image.*got no files"),
        ({"notes.txt": b""}, "holds no image.*got 1 file; give a folder that holds images"),
        ({"tgs.zip": b""}, "open one of the zips in it, like tgs.zip"),
    ],
)
def test_wrong_folders(folder: Write, files: Any, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        open_dataset(folder(files))


def test_an_image_is_no_data_set(folder: Write) -> None:
    with raises_code("data.set.image", "a.png"):
        open_dataset(folder(PAIRS) / "images" / "a.png")


def test_several_sets_in_one_folder_are_told(folder: Write) -> None:
    several = {f"one/{n}": d for n, d in LAYOUTS["cell-tracking"].items()}
    several |= {f"two/{n}.png": png(grey(n)) for n in range(30)}
    with raises_code("data.set.ambiguous", "30 image files"):
        open_dataset(folder(several))
    named = open_dataset(folder(several), format="cell-tracking")
    assert [(p.kind, len(p.names)) for p in named.problems] == [("left out", 30)]


def test_a_mask_of_another_size_is_told_when_it_is_read(folder: Write) -> None:
    dataset = open_dataset(folder(PAIRS | {"masks/b.png": png(np.zeros((6, 5), np.uint8))}))
    dataset[0].read_mask()
    message = ("data.mask.size", "masks/b.png", "images/b.png", "6 x 6", "5 x 6")
    with raises_code(*message):
        dataset[1].read_mask()
    assert unreadable(dataset) == ["b"]


def test_damaged_files_are_told_by_name_and_do_not_stop_the_check(folder: Write) -> None:
    whole = PAIRS["images/a.png"]
    dataset = open_dataset(folder(PAIRS | {"images/a.png": whole[: len(whole) // 2], "c.csv": b"x"}))
    with raises_code("data.image.unreadable", "images/a.png"):
        dataset.image(dataset[0])
    assert unreadable(dataset) == ["a"]


def test_opening_reads_no_image(folder: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder(LAYOUTS["tgs-salt"] | {"train/images/b.png": b"not read", "train/masks/b.png": b"not read"})
    assert len(open_dataset(path)) == 2


def read_in_another_process(samples: Any) -> Any:
    return [(s.id, int(s.read_image()[0, 0, 0]), int(s.read_mask().labels.sum())) for s in samples]


@pytest.mark.parametrize("packed", [False, True])
def test_samples_can_be_read_in_a_spawned_process(folder: Write, tmp_path: Path, packed: bool) -> None:
    path = folder(PAIRS)
    if packed:
        path = tmp_path / "outer.zip"
        path.write_bytes(zipped({"train.zip": zipped(PAIRS), "x.csv": b""}, zipfile.ZIP_STORED))
    samples = open_dataset(path).samples
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(read_in_another_process, (samples,)) == [("a", 1, 6), ("b", 2, 0)]


@pytest.mark.parametrize("name", LAYOUTS)
def test_samples_of_every_layout_can_be_pickled(folder: Write, name: Any) -> None:
    dataset = open_dataset(folder(LAYOUTS[name]))
    samples = (*dataset.samples, *dataset.unlabelled)
    assert samples
    for before, after in zip(samples, pickle.loads(pickle.dumps(samples)), strict=True):
        assert (after.id, after.group, after.has_mask) == (before.id, before.group, before.has_mask)
        np.testing.assert_array_equal(after.read_image(), before.read_image())


def test_opening_imports_no_image_library_and_nothing_heavy(folder: Write) -> None:
    code = (
        "import sys; from napari_unet.data.catalog import open_dataset; open_dataset(sys.argv[1])\n"
        "heavy = {'PIL', 'tifffile', 'imagecodecs', 'scipy', 'pandas', 'cv2', 'keras'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    path = folder(LAYOUTS["tgs-salt"])
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_images_from_files_stacks_folders_and_zips(folder: Write, tmp_path: Path) -> None:
    stack = tiff(np.stack([grey(n) for n in range(3)]), photometric="minisblack")
    root = folder(
        {"plain/a.png": png(grey(7)), "plain/notes.txt": b"", "s.tif": stack, "b.jpg": jpeg(grey(8))}
    )
    packed = tmp_path / "packed.zip"
    packed.write_bytes(zipped({"c.png": png(grey(9)), "a.png": png(grey(10))}))
    samples = open_images([root / "s.tif", str(root / "b.jpg"), root / "plain", packed])
    assert [s.id for s in samples] == ["s_000", "s_001", "s_002", "b", "a", "a_2", "c"]
    assert [int(s.read_image()[0, 0, 0]) for s in samples if s.id != "b"] == [0, 1, 2, 7, 10, 9]
    assert samples[1].image_name == "s.tif[1]"
    assert not any(s.has_mask for s in samples)


def test_images_of_a_data_set_are_all_of_them_with_their_masks(folder: Write) -> None:
    names = {"images/c.png": png(grey(3)), "images/d.png": png(grey(4)), "images/d.jpg": jpeg(grey(4)),
             "masks/d.png": png(corner())}  # fmt: skip
    samples = open_images([folder(PAIRS | names)])
    assert [s.has_mask for s in samples] == [True, True, False, False, False]
    assert [s.image_name for s in samples] == [
        "images/a.png", "images/b.png", "images/c.png", "images/d.jpg", "images/d.png",
    ]  # fmt: skip


def test_ids_of_images_are_unique_whatever_they_are_called(folder: Write) -> None:
    root = folder(
        {"p/a.png": png(grey()), "q/a.png": png(grey()), "q/a_2.png": png(grey()), "r/a.png": png(grey())}
    )
    ids = [s.id for s in open_images([root])]
    assert ids == ["a", "a_3", "a_2", "a_4"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone.png", ("data.file.missing", "gone.png")),
        ("text.txt", ("data.image.format",)),
        ("empty", ("data.images.missing",)),
    ],
)
def test_images_that_are_not_there(folder: Write, name: str, reason: Any) -> None:
    root = folder({"text.txt": b"hello", "empty/readme.md": b""})
    with raises_code(*reason):
        open_images([root / name])


def test_a_damaged_stack_is_told_by_name(folder: Write) -> None:
    root = folder({"bad.tif": b"II*\0garbage"})
    (sample,) = open_images([root / "bad.tif"])
    with raises_code("data.image.unreadable", "bad.tif"):
        sample.read_image()


REAL = {
    "tgs-salt": ("tgs-salt", 3198, 100, ("salt",), {}),
    "ultrasound-nerve": ("ultrasound-nerve", 70, 25, ("nerve",), {"unpaired mask": 1}),
    "ultrasound-nerve-256": ("ultrasound-nerve", 1597, 0, ("nerve",), {}),
    "isbi2012": ("isbi2012", 24, 30, ("cell interior",), {}),
    "dsb2018": ("dsb2018", 240, 0, ("nucleus",), {}),
    "usgra-seg": ("image-mask-folders", 182, 0, ("class 1", "class 2"), {}),
    "dic-hela": ("cell-tracking", 30, 0, ("cell",), {}),
}


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("way", ["zip", "folder", "zip in zip"])
@pytest.mark.slow
def test_real_data(real_data: Path, tmp_path: Path, name: Any, way: str) -> None:
    path = real_data / f"{name}.zip"
    if way == "folder":
        with zipfile.ZipFile(path) as archive:
            archive.extractall(tmp_path / "unpacked")
        path = tmp_path / "unpacked"
    elif way == "zip in zip":
        inner, path = path, tmp_path / "outer.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            archive.write(inner, "data.zip")
    dataset = open_dataset(path)
    format, labelled, unlabelled, classes, problems = REAL[name]
    assert dataset.format == format
    assert (len(dataset), len(dataset.unlabelled), dataset.classes) == (labelled, unlabelled, classes)
    kinds = [p.kind for p in dataset.problems]
    assert {kind: kinds.count(kind) for kind in kinds} == problems
    assert dataset.licence or name == "usgra-seg"
    some = replace(
        dataset, samples=dataset.samples[:: max(1, labelled // 8)], unlabelled=dataset.unlabelled[:2]
    )
    assert unreadable(some) == []
    for sample in some.samples:
        mask = sample.read_mask()
        assert mask.labels.max() <= len(classes)


def test_real_nerve_masks_that_are_not_empty(real_data: Path) -> None:
    dataset = open_dataset(real_data / "ultrasound-nerve.zip")
    assert sum(bool(s.read_mask().labels.any()) for s in dataset.samples) == 27
    assert dataset[0].read_image().shape == (420, 580, 1)


def test_recognize_names_the_layout(folder: Write) -> None:
    assert recognize(open_source(folder(PAIRS))) == "image-mask-folders"
