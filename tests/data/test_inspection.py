from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.data.catalog import open_dataset
from napari_unet.data.dataset import Dataset, Problem
from napari_unet.data.inspection.inspect_dataset import inspect_dataset
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from napari_unet.data.inspection.inspection import Inspection

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
        raise DataError("broken.png cannot be read", code="data.image.unreadable")

    samples.append(Sample("broken", fail, lambda: ReferenceMask(block)))
    problem = Problem("unpaired mask", "x_mask.png has no image", "add the image", ("x_mask.png",))
    return Dataset("made up", "test", Path("here"), tuple(samples), problems=(problem,))


def test_without_masks_the_images_are_described_all_the_same() -> None:
    grey = Sample("grey", lambda: np.arange(12, dtype=np.uint16).reshape(3, 4, 1))
    black = Sample("black", lambda: np.zeros((3, 4, 3), np.uint8))
    found = inspect_dataset(Dataset("mine", "images", Path("here"), (), unlabelled=(grey, black)))
    assert found.shapes == {"4 x 3": 2}
    assert found.dtypes == {"uint16": 1, "uint8": 1}
    assert found.channels == {"1": 1, "3, all equal": 1}
    assert names(found, "one value") == {"black"}
    assert "mine: 2 images, no masks\n  sizes      4 x 3 (2)\n" in found.summary()


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


def blots(seed: int) -> np.ndarray:
    """(48, 48, 1) uint8 with 25 squares of their own grey, so that no two seeds look alike."""
    squares = np.random.default_rng(seed).integers(20, 220, (6, 6))
    return np.kron(squares, np.ones((8, 8))).astype(np.uint8)[..., None]


def look_alikes(groups: Any = None) -> Dataset:
    images = {
        "one": blots(1),
        "two": blots(2),
        "three": blots(3),
        "one, brighter": np.clip(blots(1).astype(int) + 25, 0, 255).astype(np.uint8),
        "two, turned": np.rot90(blots(2)).copy(),
        "three again": blots(3),
        "black": np.zeros((48, 48, 1), np.uint8),
        "black too": np.zeros((48, 48, 1), np.uint8),
        **{f"other {n}": blots(10 + n) for n in range(4)},
    }
    mask = np.zeros((48, 48), np.uint8)
    mask[4:20, 4:20] = 1
    samples = tuple(Sample(n, lambda i=i: i, lambda: ReferenceMask(mask)) for n, i in images.items())  # type: ignore[misc]
    return Dataset("look-alikes", "test", Path("here"), samples, find_groups=groups)


def of_kind(found: Inspection, kind: str) -> list[Problem]:
    return [p for p in found.problems if p.kind == kind]


def test_near_duplicates_are_named_once_beside_exact_copies() -> None:
    found = inspect_dataset(look_alikes())
    (near,) = of_kind(found, "near-duplicates")
    assert near.names == ("one = one, brighter", "two = two, turned")
    assert "4 images show nearly the same as others" in near.message
    assert "in 2 sets" in near.message
    (exact,) = of_kind(found, "duplicates")
    assert exact.names == ("three = three again",)
    assert "one = one, brighter" in found.summary()
    # Shown with the images, but nothing is left out for it.
    assert found.look_alikes() == {
        "one": "the image shows the same as one, brighter",
        "one, brighter": "the image shows the same as one",
        "two": "the image shows the same as two, turned",
        "two, turned": "the image shows the same as two",
    }
    assert set(found.images_with_problems()) == {"three again", "black", "black too"}


def test_near_duplicates_of_one_group_stay_together_anyway() -> None:
    found = inspect_dataset(look_alikes(lambda samples: [s.id.split(",")[0] for s in samples]))
    assert not of_kind(found, "near-duplicates")


def test_frames_of_a_film_are_one_sentence_without_names() -> None:
    base = blots(1).astype(int)
    mask = np.ones((48, 48), np.uint8)
    samples = tuple(
        Sample(f"frame {n}", lambda n=n: (base + n).astype(np.uint8), lambda: ReferenceMask(mask))  # type: ignore[misc]
        for n in range(6)
    )
    found = inspect_dataset(Dataset("film", "test", Path("here"), samples))
    # Brighter frames are equal in the form that is compared, yet not to the last bit.
    (near,) = of_kind(found, "near-duplicates")
    assert "6 images show nearly the same as others" in near.message
    assert near.names == ()
    assert found.look_alikes() == {}


def test_copies_in_two_parts_of_a_split_are_named_with_their_parts() -> None:
    parts = dict.fromkeys((s.id for s in look_alikes()), "train")
    parts |= {"one, brighter": "held-out", "three again": "validation", "black too": "held-out"}
    found = inspect_dataset(look_alikes(), parts=parts)
    (between,) = of_kind(found, "near-duplicates between parts")
    assert between.names == (
        "one, brighter = one (held-out, train)",
        "three again = three (validation, train)",
    )
    assert "2 images of one part of the split are in another part as well" in between.message
    assert not of_kind(found, "near-duplicates")  # "two" and "two, turned" are both trained on
    assert found.look_alikes()["three"] == "the image shows the same as three again"
    assert found.look_alikes()["one, brighter"] == "the image shows the same as one"
    apart = {s.id: "" for s in look_alikes()}
    assert not of_kind(inspect_dataset(look_alikes(), parts=apart), "near-duplicates between parts")


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
