"""The rehearsal set of a model: what goes in comes out, and what is damaged is refused."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.dataset import Dataset
from napari_unet.data.image_hash import image_hash
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.models import rehearsal as rehearsal_module
from napari_unet.models.model_folder import REHEARSAL_FILE, check_place
from napari_unet.models.normalization import Normalization
from napari_unet.models.rehearsal import Rehearsal, RehearsalCrop, read_rehearsal, write_rehearsal
from napari_unet.workflow.train.choose_rehearsal import choose_rehearsal
from support.errors import raises_code

if TYPE_CHECKING:
    import pytest

IMAGE = np.arange(12, dtype=np.uint16).reshape(3, 4, 1)
LABELS = np.array([[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 2]], np.uint8)
OBJECTS = np.array([[0, 7, 7, 0], [0, 7, 7, 0], [0, 0, 0, 9]], np.int32)
CROPS = (
    RehearsalCrop("a/1", IMAGE, LABELS, OBJECTS, "0123"),
    RehearsalCrop("b", np.full((2, 2, 3), 0.5, np.float32), np.zeros((2, 2), np.uint8)),
)


def test_what_goes_in_comes_out_of_a_folder_and_of_a_zip(tmp_path: Path) -> None:
    write_rehearsal(tmp_path, Rehearsal(CROPS, 2.0, {"licence": "CC0"}))
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.write(tmp_path / REHEARSAL_FILE, f"model/{REHEARSAL_FILE}")
    for place in (tmp_path, tmp_path / "model.zip"):
        found = read_rehearsal(place)
        assert found is not None
        assert (found.zoom, found.about, len(found)) == (2.0, {"licence": "CC0"}, 2)
        first, second = found.crops
        assert (first.id, first.source, second.id) == ("a/1", "0123", "b")
        np.testing.assert_array_equal(first.image, IMAGE)
        assert first.image.dtype == np.uint16
        assert second.image.dtype == np.float32
        np.testing.assert_array_equal(first.labels, LABELS)
        np.testing.assert_array_equal(first.objects, OBJECTS)
        assert second.objects is None


def test_crops_come_at_the_size_of_the_images_they_were_cut_from() -> None:
    crop = Rehearsal(CROPS[:1], 2.0).full_size()[0]
    assert crop.image.shape == (6, 8, 1)
    assert crop.image.dtype == np.uint16
    np.testing.assert_array_equal(crop.labels, LABELS.repeat(2, axis=0).repeat(2, axis=1))
    np.testing.assert_array_equal(crop.objects, OBJECTS.repeat(2, axis=0).repeat(2, axis=1))


def test_a_model_without_one_has_none_and_an_older_one_is_taken_away(tmp_path: Path) -> None:
    assert read_rehearsal(tmp_path) is None
    write_rehearsal(tmp_path, Rehearsal(CROPS))
    check_place(tmp_path)  # a file of ours: the folder may become a model again
    write_rehearsal(tmp_path, None)
    assert list(tmp_path.iterdir()) == []


def changed(folder: Path, **arrays: np.ndarray) -> Path:
    """The set in the folder with other arrays under some names."""
    with np.load(folder / REHEARSAL_FILE) as before:
        content = {**dict(before), **arrays}
    np.savez_compressed(folder / REHEARSAL_FILE, allow_pickle=False, **content)
    return folder


def test_what_is_damaged_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_rehearsal(tmp_path, Rehearsal(CROPS))
    with np.load(tmp_path / REHEARSAL_FILE) as arrays:
        about = json.loads(arrays["about"].tobytes())
    good = (tmp_path / REHEARSAL_FILE).read_bytes()
    with raises_code("model.rehearsal.damaged"):
        read_rehearsal(changed(tmp_path, labels0=np.zeros((5, 5), np.uint8)))
    (tmp_path / REHEARSAL_FILE).write_bytes(good[: len(good) // 2])
    with raises_code("model.rehearsal.damaged"):
        read_rehearsal(tmp_path)
    (tmp_path / REHEARSAL_FILE).write_bytes(good)
    assert about["version"] == 1  # earlier programs read it
    newer = np.frombuffer(json.dumps({**about, "version": 3}).encode(), np.uint8)
    with raises_code("model.newer", 3):
        read_rehearsal(changed(tmp_path, about=newer))
    monkeypatch.setattr(rehearsal_module, "MOST_BYTES", 100)
    with raises_code("model.large"):
        read_rehearsal(tmp_path)


def test_objects_that_would_run_code_are_never_unpickled(tmp_path: Path) -> None:
    write_rehearsal(tmp_path, Rehearsal(CROPS[:1]))
    stream = io.BytesIO()
    np.save(stream, np.array([Path("x")], object), allow_pickle=True)
    with zipfile.ZipFile(tmp_path / REHEARSAL_FILE) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / REHEARSAL_FILE, "w") as archive:
        for name, content in {**members, "image0.npy": stream.getvalue()}.items():
            archive.writestr(name, content)
    with raises_code("model.rehearsal.damaged"):
        read_rehearsal(tmp_path)


def picture(level: int, top: int, left: int) -> Sample:
    """A colour image of 40 x 50 pixels with one bright object of 10 x 10 pixels."""
    labels = np.zeros((40, 50), np.uint8)
    labels[top : top + 10, left : left + 10] = 1
    image = np.full((40, 50, 4), 255, np.uint8)
    image[..., :3] = (level + 60 * labels)[..., None]
    objects = labels.astype(np.int32) * 5
    return Sample(f"{level}-{top}", lambda: image, lambda: ReferenceMask(labels, objects))


def test_crops_are_cut_around_what_is_there_and_are_the_same_for_a_seed() -> None:
    samples = tuple(picture(level, top, 30) for level in (20, 40, 60) for top in (5, 25))
    dataset = Dataset("discs", "test", Path(), samples, licence="CC0", citation="someone")
    found = choose_rehearsal(dataset, Normalization(channels=1), 4, side=20)
    assert len(found) == 4
    assert found.zoom == 1
    assert found.about == {"name": "discs", "licence": "CC0", "citation": "someone"}
    assert len({c.id for c in found.crops}) == 4
    by_id = {s.id: s for s in samples}
    for crop in found.crops:
        assert crop.image.shape == (20, 20, 1)  # grey stored as RGBA needs one channel
        assert crop.labels.any()
        assert set(np.unique(crop.objects)) == {0, 1}
        level = int(crop.id.split("-")[0])
        np.testing.assert_array_equal(crop.image[..., 0], level + 60 * crop.labels)
        assert crop.source == image_hash(by_id[crop.id].read_image())
    again = choose_rehearsal(dataset, Normalization(channels=1), 4, side=20)
    assert [c.id for c in again.crops] == [c.id for c in found.crops]


def test_a_model_of_a_smaller_scale_gets_crops_at_that() -> None:
    dataset = Dataset("discs", "test", Path(), (picture(20, 5, 30),))
    found = choose_rehearsal(dataset, Normalization(channels=1, scale=0.5), 1, side=10)
    assert found.zoom == 2
    assert found.crops[0].image.shape == (10, 10, 1)
    assert found.full_size()[0].image.shape == (20, 20, 1)
    assert found.full_size()[0].labels.shape == (20, 20)


def test_bright_and_dark_images_take_turns() -> None:
    def sample(name: str, bright: bool) -> Sample:
        labels = np.zeros((32, 32), np.uint8)
        labels[8:16, 8:16] = 1
        image = (200 - 150 * labels if bright else 20 + 150 * labels)[..., None].astype(np.uint8)
        return Sample(name, lambda: image, lambda: ReferenceMask(labels))

    many = [sample(f"dark{n}", False) for n in range(8)]
    dataset = Dataset("two kinds", "test", Path(), (*many, sample("b1", True), sample("b2", True)))
    names = {c.id for c in choose_rehearsal(dataset, Normalization(), 4, side=16).crops}
    assert {"b1", "b2"} <= names
    assert len(names) == 4


def test_a_copied_model_folder_carries_its_set(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    write_rehearsal(tmp_path / "a", Rehearsal(CROPS))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    found = read_rehearsal(tmp_path / "b")
    assert found is not None
    assert len(found) == 2
