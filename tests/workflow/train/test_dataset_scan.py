"""Every image and mask is read once before a training starts, and what is found is right."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from napari_unet.data.catalog import open_dataset
from napari_unet.data.dataset import ArrayCache, Dataset
from napari_unet.data.image_hash import image_hash
from napari_unet.data.inspection.resemblance import fingerprint
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.data.synthetic import write_synthetic
from napari_unet.models.normalization import Normalization
from napari_unet.progress import CancelToken, ignore_progress
from napari_unet.workflow.train.dataset_scan import DatasetScan, facts_of
from napari_unet.workflow.train.recipes import recipe
from napari_unet.workflow.train.train_task import TrainTask
from napari_unet.workflow.train.training_data import prepare_training

if TYPE_CHECKING:
    from collections.abc import Callable


def test_the_facts_of_an_image() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    image[..., 0] = 51  # a fifth of the range, in one channel of three
    labels = np.zeros((4, 6), np.uint8)
    labels[:, :2] = 1
    labels[0, 2] = 2
    weights = np.ones((4, 6), np.float32)
    weights[3] = 0
    facts = facts_of(image, ReferenceMask(labels, weights=weights), intensities=True)
    assert (facts.shape, facts.channels) == ((4, 6), 3)
    assert facts.hash == image_hash(image)
    assert facts.fingerprint == fingerprint(image)
    assert facts.coverage == 9 / 24
    assert facts.thickness == 2 * 9 / 5  # three steps right of two pixels, one of three, one below the third
    assert facts.pixels[:3].tolist() == [11, 6, 1]  # of the three rows that are known
    assert facts.pixels.sum() == 18
    assert len(facts.mask_hashes) == 2
    assert sorted(facts.intensities) == [1, 3]
    assert facts.intensities[3].total == pytest.approx([24 * 0.2, 0, 0])
    assert facts.intensities[3].squares == pytest.approx([24 * 0.04, 0, 0])
    assert facts.intensities[1].total == pytest.approx([24 * 0.2 * 0.299])


def test_an_image_is_read_when_its_facts_are_first_asked_for_and_not_again() -> None:
    read: Counter[str] = Counter()

    def load(name: str) -> Callable[[], Any]:
        def loaded() -> Any:
            read[name] += 1
            return (
                np.zeros((2, 3, 1), np.uint8) if name == "image" else ReferenceMask(np.ones((2, 3), np.uint8))
            )

        return loaded

    sample = Sample("a", load("image"), load("mask"))
    scan = DatasetScan(Dataset("set", "test", Path(), (sample,), cache=ArrayCache(0)))
    assert not read
    assert [scan[sample].coverage, scan[sample].shape, scan.coverages()] == [1.0, (2, 3), {"a": 1.0}]
    assert read == {"image": 1, "mask": 1}


class StartError(Exception):
    """Raised where the first epoch would start."""


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each image and mask is read, where nothing that was read stays in memory."""
    counted: Counter[str] = Counter()
    for what in ("read_image", "read_mask"):
        original = getattr(Sample, what)

        def counting(self: Sample, original: Any = original, what: str = what) -> Any:
            counted[f"{what} {self.id}"] += 1
            return original(self)

        monkeypatch.setattr(Sample, what, counting)
    monkeypatch.setattr(ArrayCache, "get", lambda self, key, load: load())
    return counted


@pytest.mark.parametrize(
    "settings",
    [[], ["intensities=dataset", "balance_classes=true"], ["side=32", "tune_threshold=true"]],
    ids=["plain", "of the data set", "by side"],
)
def test_each_image_and_mask_is_read_once_before_training_starts(
    settings: list[str], reads: Counter[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(self: object, state: object) -> None:
        raise StartError

    monkeypatch.setattr("napari_unet.workflow.train.train_task.Training.run", start)
    data = write_synthetic("nuclei", tmp_path / "nuclei", 8)
    chosen = recipe("fast", [*settings, "validation=0", "filters=4", "depth=2"])
    with pytest.raises(StartError):
        TrainTask(data, tmp_path / "model", chosen).run(ignore_progress, CancelToken())
    ids = [sample.id for sample in open_dataset(data).samples]
    assert len(ids) == 8
    assert reads == {f"{what} {name}": 1 for name in ids for what in ("read_image", "read_mask")}


def test_tiles_are_grouped_by_the_pixels_that_were_read_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = open_dataset(write_synthetic("salt", tmp_path / "salt", 12))
    assert data.group_rule == "mosaic"
    for sample in data.samples:
        data.image(sample)
    monkeypatch.setattr(Sample, "load_image", None, raising=False)
    monkeypatch.setattr(Dataset, "image", lambda self, sample: self.cache.get((sample.id, "image"), stop))
    assert len(data.groups()) == 12


def stop() -> None:
    raise AssertionError("read once more")


def test_mean_and_deviation_are_those_of_the_training_images(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for number, value in enumerate((0, 51, 102, 153)):
        mask = np.zeros((40, 40), np.uint8)
        mask[10:30, 10:30] = 255
        image = np.full((40, 40), value, np.uint8)
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), image)
        cv2.imwrite(str(tmp_path / "masks" / f"{number}.png"), mask)
    chosen = recipe("fast", ["intensities=dataset", "validation=0", "held_out=0"])
    data = prepare_training(tmp_path, None, chosen, None, ignore_progress, CancelToken())
    found = data.normalization()
    assert isinstance(found, Normalization)
    assert found.mean == pytest.approx((0.3,))  # of 0, 0.2, 0.4, 0.6
    assert found.deviation == pytest.approx((np.sqrt(0.05),))
