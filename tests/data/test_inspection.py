from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_unet.data.catalog import open_dataset
from napari_unet.data.dataset import Dataset, Problem
from napari_unet.data.inspection import Inspection, inspect_dataset
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.errors import DataError

RNG = np.random.default_rng(0)


def texture() -> np.ndarray:
    return np.kron(RNG.integers(0, 255, (8, 8)), np.ones((8, 8))).astype(np.uint8)[..., None]


def made_up() -> Dataset:
    """One image for each thing that can be wrong."""
    block = np.zeros((64, 64), np.uint8)
    block[10:30, 10:40] = 1
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, 20:] = 1
    one, two, three = texture(), texture(), texture()
    images = {
        "plain": (one, ReferenceMask(block)),
        "copy": (one.copy(), ReferenceMask(block)),
        "alike": (np.clip(two.astype(int) + 2, 0, 255).astype(np.uint8), ReferenceMask(block)),
        "contradicts": (two, ReferenceMask(np.zeros_like(block))),
        "black": (np.zeros_like(one), ReferenceMask(np.zeros_like(block))),
        "striped": (texture(), ReferenceMask(stripes)),
        "full": (texture(), ReferenceMask(np.ones_like(block))),
        "small mask": (texture(), ReferenceMask(block[:50])),
        "overlap": (three, ReferenceMask(block, block.astype(np.int32), overlap=4)),
        "partial": (texture(), ReferenceMask(block, weights=block.astype(np.float32))),
    }
    samples = [Sample(n, lambda i=i: i, lambda m=m: m) for n, (i, m) in images.items()]  # type: ignore[misc]

    def fail() -> np.ndarray:
        raise DataError("broken.png cannot be read")

    samples.append(Sample("broken", fail, lambda: ReferenceMask(block)))
    problem = Problem("unpaired mask", "x_mask.png has no image", "add the image", ("x_mask.png",))
    return Dataset("made up", "test", Path("here"), tuple(samples), problems=(problem,))


def names(inspection: Inspection, kind: str) -> set[str]:
    return {name for p in inspection.problems if kind in p.message for name in p.names}


def test_everything_that_is_wrong_is_found_and_has_a_remedy() -> None:
    found = inspect_dataset(made_up())
    assert names(found, "one value") == {"black"}
    assert names(found, "vertical stripes") == {"striped"}
    assert names(found, "foreground throughout") == {"full"}
    assert names(found, "differ in size") == {"small mask"}
    assert names(found, "overlap") == {"overlap"}
    assert names(found, "annotate only some") == {"partial"}
    assert names(found, "copies of one another") == {"plain = copy"}
    assert names(found, "contradict") == {"alike / contradicts"}
    assert names(found, "cannot be read") == {"broken"}
    assert names(found, "has no image") == {"x_mask.png"}
    assert all(p.remedy for p in found.problems)
    assert found.labelled == 11
    assert found.empty == 2
    assert found.shapes == {"64 x 64": 10}


def test_the_summary_and_json_tell_it() -> None:
    found = inspect_dataset(made_up())
    text = found.summary()
    for part in ("made up: test, 11 images", "64 x 64 (10)", "2 empty", "alike / contradicts", "remedy: "):
        assert part in text
    content = found.to_json()
    assert content["empty_share"] == pytest.approx(2 / 11, abs=1e-4)
    assert {p["kind"] for p in content["problems"]} >= {"duplicates", "stripes", "unreadable"}


@pytest.mark.parametrize(
    ("name", "labelled", "unlabelled", "layout"),
    [
        ("tgs-salt", 3198, 100, "tgs-salt"),
        ("ultrasound-nerve", 70, 25, "ultrasound-nerve"),
        ("ultrasound-nerve-256", 1597, 0, "ultrasound-nerve"),
        ("isbi2012", 24, 30, "isbi2012"),
        ("dsb2018", 240, 0, "dsb2018"),
        ("usgra-seg", 182, 0, "image-mask-folders"),
        ("dic-hela", 30, 0, "cell-tracking"),
    ],
)
def test_the_real_sets_are_recognized_and_counted(
    data_root: Path, name: str, labelled: int, unlabelled: int, layout: str
) -> None:
    dataset = open_dataset(data_root / f"{name}.zip")
    assert dataset.format == layout
    assert len(dataset) == labelled
    assert len(dataset.unlabelled) == unlabelled


def test_the_quirks_of_the_real_nerve_set(data_root: Path) -> None:
    found = inspect_dataset(open_dataset(data_root / "ultrasound-nerve.zip"))
    assert found.shapes == {"580 x 420": 70}
    assert found.empty == 70 - 27
    pairs = names(found, "contradict")
    assert {"1_9 / 1_14", "1_35 / 1_36"} <= pairs
    assert any("2_20_mask.tif" in p.message for p in found.problems)
    assert found.groups["rule"] == "subject"


@pytest.mark.slow
def test_the_quirks_of_the_real_salt_set(data_root: Path) -> None:
    found = inspect_dataset(open_dataset(data_root / "tgs-salt.zip"))
    assert found.empty_share == pytest.approx(0.39, abs=0.005)
    assert found.channels == {"3, all equal": 3198}
    assert len(names(found, "one value")) == 59
    assert len(names(found, "vertical stripes")) == 87


def test_the_partial_mask_of_the_real_hela_set(data_root: Path) -> None:
    found = inspect_dataset(open_dataset(data_root / "dic-hela.zip"))
    assert names(found, "annotate only some") == {"01_t067"}


@pytest.mark.parametrize(("filled", "told"), [(1, True), (2, True), (3, False), (0, False)])
def test_masks_that_are_mostly_empty_are_told(filled: int, told: bool) -> None:
    samples = []
    for number in range(10):
        labels = np.zeros((64, 64), np.uint8)
        labels[5 : 30 + number, 5:30] = number < filled
        image, mask = texture(), ReferenceMask(labels)
        samples.append(Sample(f"s{number}", lambda i=image: i, lambda m=mask: m))
    found = inspect_dataset(Dataset("sparse", "made-up", Path(), tuple(samples)))
    messages = [p.message for p in found.problems if p.kind == "mostly empty"]
    wanted = f"{10 - filled} of 10 masks are empty, and count as background throughout"
    assert messages == ([wanted] if told else [])
