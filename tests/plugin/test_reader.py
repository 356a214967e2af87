from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_unet.data.catalog import open_dataset
from napari_unet.data.dataset import Dataset
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.data.stack import make_a_stack
from napari_unet.data.synthetic import write_synthetic
from napari_unet.plugin.dataset_layers import PROPERTIES_KEY, layers_of
from napari_unet.plugin.reader import get_reader
from napari_unet.session.images.layer_metadata import METADATA_KEY
from support.errors import raises_code


def read(path: Path | str) -> list[tuple[Any, dict[str, Any], str]]:
    reader = get_reader(str(path))
    assert reader is not None
    return reader(str(path))


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder))
    return path


def in_memory(images: list[np.ndarray], masks: list[ReferenceMask | None]) -> Dataset:
    samples = [
        Sample(str(i), lambda image=image: image, None if mask is None else lambda mask=mask: mask)  # type: ignore[misc]
        for i, (image, mask) in enumerate(zip(images, masks, strict=True))
    ]
    return Dataset(
        "made",
        "synthetic",
        Path("made"),
        tuple(s for s in samples if s.has_mask),
        tuple(s for s in samples if not s.has_mask),
    )


@pytest.mark.parametrize("as_zip", [False, True])
def test_a_set_of_one_size_is_one_lazy_stack(salt_folder: Path, tmp_path: Path, as_zip: bool) -> None:
    path = zipped(salt_folder, tmp_path / "salt.zip") if as_zip else salt_folder
    (images, about, kind), (masks, about_masks, masks_kind) = read(path)
    assert (kind, masks_kind) == ("image", "labels")
    assert (images.shape, images.dtype) == ((30, 101, 101, 3), np.uint8)
    assert (masks.shape, masks.dtype) == ((30, 101, 101), np.uint8)
    assert images.chunks[0] == masks.chunks[0] == (1,) * 30
    assert about["rgb"]
    assert about_masks["name"] == f"{about['name']} reference"
    opened = about["metadata"][METADATA_KEY]
    whole = (*opened.dataset.samples, *opened.dataset.unlabelled)
    assert opened.ids == tuple(sample.id for sample in whole)
    assert opened.role == "images"
    assert about_masks["metadata"][METADATA_KEY].role == "reference"
    assert about_masks["metadata"][METADATA_KEY].dataset is opened.dataset
    for index in (0, 7, 23, 29):
        np.testing.assert_array_equal(images[index], whole[index].read_image())
        truth = whole[index].read_mask().labels if whole[index].has_mask else np.zeros((101, 101))
        np.testing.assert_array_equal(masks[index], truth)


def test_what_the_set_tells_of_every_image_goes_along(salt_folder: Path) -> None:
    (_, about, _), _ = read(salt_folder)
    told = about["metadata"][PROPERTIES_KEY]
    opened = about["metadata"][METADATA_KEY]
    assert told["name"] == list(opened.ids)
    assert told["z"][3] == opened.dataset.samples[3].properties["z"]
    assert len(told["z"]) == 30


def test_only_what_is_looked_at_is_read(salt_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"image": 0, "mask": 0}
    image, mask = Sample.read_image, Sample.read_mask

    def count_image(sample: Sample) -> Any:
        counts["image"] += 1
        return image(sample)

    def count_mask(sample: Sample) -> Any:
        counts["mask"] += 1
        return mask(sample)

    monkeypatch.setattr(Sample, "read_image", count_image)
    monkeypatch.setattr(Sample, "read_mask", count_mask)
    (images, _, _), (masks, _, _) = read(salt_folder)
    assert counts == {"image": 1, "mask": 1}
    np.asarray(images[5])
    np.asarray(masks[5])
    np.asarray(images[5])
    assert counts == {"image": 2, "mask": 2}


def test_images_of_several_sizes_show_the_first(nuclei_folder: Path) -> None:
    (image, about, _), (mask, about_mask, _) = read(nuclei_folder)
    first = open_dataset(nuclei_folder).samples[0]
    np.testing.assert_array_equal(image, first.read_image())
    np.testing.assert_array_equal(mask, first.read_mask().objects)
    assert mask.dtype == np.int32
    assert about["metadata"][METADATA_KEY].ids == about_mask["metadata"][METADATA_KEY].ids == (first.id,)
    assert len(about["metadata"][METADATA_KEY].dataset) == 6


def test_unlabelled_images_of_another_size_stay_out_of_the_stack() -> None:
    mask = ReferenceMask(np.ones((4, 5), np.uint8))
    small, large = np.zeros((4, 5, 1), np.uint8), np.zeros((9, 9, 1), np.uint8)
    layers = layers_of(in_memory([small, small, large], [mask, mask, None]))
    assert [data.shape for data, _, _ in layers] == [(2, 4, 5), (2, 4, 5)]


def test_many_channels_become_as_many_layers() -> None:
    images = [np.full((4, 5, 6), i, np.uint16) for i in range(3)]
    (data, about, _), *_ = layers_of(in_memory(images, [ReferenceMask(np.zeros((4, 5), np.uint8))] * 3))
    assert data.shape == (3, 4, 5, 6)
    assert about["channel_axis"] == 3
    (data, about, _), *_ = layers_of(in_memory(images[:1], [None]))
    assert about["channel_axis"] == 2


@pytest.mark.parametrize(
    ("first", "limits"),
    [
        (np.zeros((2, 2, 1), np.uint8), [0, 255]),
        (np.array([[[7], [900]]], np.uint16), [7, 900]),
        (np.zeros((2, 2, 1), np.uint16), [0, 65535]),
        (np.array([[[0.5], [np.nan], [2.0]]], np.float32), [0.5, 2]),
        (np.full((2, 2, 1), 3, np.float32), [3, 4]),
        (np.zeros((2, 2, 1), bool), [0, 1]),
    ],
)
def test_limits_of_the_contrast_come_from_the_first_image_at_most(first: Any, limits: list[float]) -> None:
    dataset = Dataset("made", "synthetic", Path(), (Sample("a", lambda: first),), ())
    assert layers_of(dataset)[0][1]["contrast_limits"] == limits


def test_palettes_and_alpha_fit_into_a_stack(tmp_path: Path) -> None:
    # All three have one header or the other, and what is in them is known after reading alone.
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    grey = np.full((6, 8), 90, np.uint8)
    palette = Image.fromarray(np.ones((6, 8), np.uint8))
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.save(tmp_path / "images/a.png")
    Image.fromarray(grey).save(tmp_path / "images/b.png")
    for name in "ab":
        Image.fromarray((grey > 0).astype(np.uint8)).save(tmp_path / f"masks/{name}.png")
    (images, _, _), _ = read(tmp_path)
    assert images.shape == (2, 6, 8, 3)
    assert np.asarray(images[0])[0, 0].tolist() == [10, 20, 30]
    assert np.asarray(images[1])[0, 0].tolist() == [90, 90, 90]


def test_headers_speak_for_all_when_time_is_over(salt_folder: Path) -> None:
    samples = open_dataset(salt_folder).samples
    assert make_a_stack(samples)
    assert make_a_stack(samples, seconds=0)
    assert make_a_stack(samples[:1])


def test_an_image_that_differs_after_all_says_so(salt_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(salt_folder, tmp_path / "salt")
    layers = read(tmp_path / "salt")
    victim = layers[0][1]["metadata"][METADATA_KEY].dataset.samples[9]
    Image.new("RGB", (20, 10)).save(tmp_path / "salt" / victim.image_name)
    with raises_code("data.image.size", "101 x 101", "20 x 10"):
        np.asarray(layers[0][0][9])


def test_one_damaged_image_does_not_hide_the_others(salt_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(salt_folder, tmp_path / "salt")
    victim = open_dataset(salt_folder).samples[9]
    (tmp_path / "salt" / victim.image_name).write_bytes(b"no image")
    (images, _, _), _ = read(tmp_path / "salt")
    assert images.shape[0] == 30
    with raises_code("data.image.unreadable", victim.id):
        np.asarray(images[9])


def test_a_table_and_a_stack_are_read(salt_folder: Path, tmp_path: Path) -> None:
    import tifffile

    (images, _, _), _ = read(salt_folder / "train.csv")
    assert images.shape[1:] == (101, 101, 3)
    volume = np.random.default_rng(0).integers(0, 255, (5, 32, 32), np.uint8)
    tifffile.imwrite(tmp_path / "train-volume.tif", volume)
    assert get_reader(str(tmp_path / "train-volume.tif")) is None
    tifffile.imwrite(tmp_path / "train-labels.tif", (volume > 99).astype(np.uint8) * np.uint8(255))
    (images, _, _), (masks, _, _) = read(tmp_path / "train-volume.tif")
    np.testing.assert_array_equal(images, volume)
    np.testing.assert_array_equal(masks, volume > 99)


def test_what_is_no_data_set_is_left_to_others(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    Image.new("L", (8, 8)).save(plain / "a.png")
    Image.new("L", (8, 8)).save(plain / "b.png")
    (plain / "points.csv").write_text("index,axis-0,axis-1\n0,1,2\n")
    (tmp_path / "set.zarr" / "images").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for path in (plain / "a.png", plain / "points.csv", tmp_path / "set.zarr"):
        assert get_reader(str(path)) is None
    for ours in (plain, tmp_path / "empty", zipped(plain, tmp_path / "plain.zip")):
        assert get_reader(str(ours)) is not None
    assert get_reader(str(tmp_path / "missing.zip")) is None
    assert get_reader("https://example.org/set.zip") is None
    assert get_reader([str(plain / "a.png"), str(plain / "b.png")]) is None


def test_a_damaged_set_says_what_is_wrong(salt_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.zip").write_bytes(b"PK\3\4 no more came")
    with raises_code("data.archive.unreadable"):
        read(tmp_path / "cut.zip")
    shutil.copytree(salt_folder, tmp_path / "salt")
    (tmp_path / "salt" / "depths.csv").write_text("id,z\nabc,deep\n")
    with raises_code("data.table.value"):
        read(tmp_path / "salt")


@pytest.mark.parametrize("as_zip", [False, True])
def test_the_real_salt_opens_as_two_stacks(data_root: Path, tmp_path: Path, as_zip: bool) -> None:
    path = data_root / "tgs-salt.zip"
    if not path.is_file():
        pytest.skip("the real set is not here")
    if not as_zip:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(tmp_path)
        path = tmp_path
    (images, _, _), (masks, _, _) = read(path)
    assert images.shape[0] == masks.shape[0] > 3000
    assert np.asarray(images[-1]).shape == (101, 101, 3)


def test_napari_finds_the_reader_by_the_manifest(plugin_manager: Any, salt_folder: Path) -> None:
    from npe2 import io_utils

    layers = io_utils._read([str(salt_folder)], stack=False, _pm=plugin_manager)
    assert [layer[2] for layer in layers] == ["image", "labels"]
    patterns = {
        name: bool(list(plugin_manager.iter_compatible_readers(str(salt_folder / name))))
        for name in ("set.zip", "SET.ZIP", "table.csv", "train-volume.tif", "a.png", "a.tif", "b.v2.zip")
    }
    assert [name for name, ours in patterns.items() if not ours] == ["a.png", "a.tif"]


def test_synthetic_sets_of_every_kind_open(tmp_path: Path) -> None:
    for kind in ("nerve", "membranes"):
        (images, about, _), (masks, _, _) = read(write_synthetic(kind, tmp_path / kind, 4))
        assert images.shape == masks.shape
        assert images.shape[0] == 5
        assert about["contrast_limits"] == [0, 255]
