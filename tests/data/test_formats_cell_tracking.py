from __future__ import annotations

import pickle
from typing import Any

import numpy as np

from napari_unet.data.catalog import open_dataset
from napari_unet.data.formats.cell_tracking import count_cells
from support.errors import raises_code
from support.file_builders import Write, grey, tiff


def cells(*numbers: int, size: int = 12) -> np.ndarray:
    """(12, 12) uint16 with one row a cell, numbered as given; 0 leaves its row out."""
    mask = np.zeros((size, size), np.uint16)
    for row, number in enumerate(numbers):
        mask[row, :4] = number
    return mask


def sequence(
    gold: dict[int, np.ndarray], silver: dict[int, np.ndarray], name: str = "01", frames: int = 6
) -> Any:
    files = {f"{name}/t{n:03d}.tif": tiff(grey(n, 12), compression="lzw") for n in range(frames)}
    files |= {f"{name}_GT/SEG/man_seg{n:03d}.tif": tiff(m, compression="lzw") for n, m in gold.items()}
    return files | {f"{name}_ST/SEG/man_seg{n:03d}.tif": tiff(m) for n, m in silver.items()}


FIVE = cells(1, 2, 3, 4, 5)


def test_gold_comes_before_silver_and_frames_without_either_are_unlabelled(folder: Write) -> None:
    gold = {1: cells(7, 8, 9, 10, 11)}
    dataset = open_dataset(folder({f"DIC/{n}": d for n, d in sequence(gold, {1: FIVE, 4: FIVE}).items()}))
    assert (dataset.format, dataset.classes) == ("cell-tracking", ("cell",))
    assert [s.id for s in dataset.samples] == ["01_t001", "01_t004"]
    assert [s.reason for s in dataset.samples] == [
        "gold mask of the same frame",
        "silver mask of the same frame",
    ]
    assert [s.id for s in dataset.unlabelled] == ["01_t000", "01_t002", "01_t003", "01_t005"]
    mask = dataset[0].read_mask()
    assert np.array_equal(mask.objects, gold[1])
    assert mask.objects.dtype == np.int32
    assert mask.weights is None
    assert np.array_equal(mask.labels, gold[1] > 0)
    assert np.array_equal(dataset[0].read_image()[..., 0], grey(1, 12))


def test_a_partial_gold_mask_is_completed_from_its_silver_one(folder: Write) -> None:
    # Silver cell 3 lies under gold cell 9; the other four are added.
    dataset = open_dataset(folder(sequence({1: cells(0, 0, 9, 0, 0)}, {1: FIVE})))
    mask = dataset[0].read_mask()
    assert mask.weights is None
    assert mask.objects[:5, 0].tolist() == [10, 11, 9, 13, 14]
    assert count_cells(mask.objects) == 5


def test_a_partial_gold_mask_alone_tells_nothing_about_the_rest(folder: Write) -> None:
    gold, silver = {2: cells(0, 3, 0, 0, 0)}, {n: FIVE for n in (0, 1, 3, 4)}
    dataset = open_dataset(folder(sequence(gold, silver)))
    mask = dataset[2].read_mask()
    assert np.array_equal(mask.weights, (gold[2] > 0).astype(np.float32))
    assert mask.labels.sum() == mask.weights.sum() == 4


def test_cells_may_multiply_along_a_sequence(folder: Write) -> None:
    few, many = cells(1, 2), cells(*range(1, 12))
    silver = {0: few, 1: few, 3: few, 4: few, **{n: many for n in range(20, 30)}}
    dataset = open_dataset(folder(sequence({2: few}, silver, frames=30)))
    # Held against all masks of the sequence, two cells would look like a part.
    assert dataset[2].read_mask().weights is None


def test_groups_are_sequences_or_blocks_of_the_only_one(folder: Write) -> None:
    one = sequence({}, {n: FIVE for n in range(20)}, frames=20)
    dataset = open_dataset(folder(one))
    assert dataset.groups()[:4] == ("sequence 01 block 0",) * 2 + ("sequence 01 block 1",) * 2
    assert len(set(dataset.groups())) == 10
    assert "block of frames" in dataset.group_rule
    both = open_dataset(folder(one | sequence({}, {0: FIVE}, "02")))
    assert set(both.groups()) == {"sequence 01", "sequence 02"}
    assert both.group_rule == "sequence"


def test_sequences_of_the_same_number_in_two_folders_stay_apart(folder: Write) -> None:
    files = {f"a/{n}": d for n, d in sequence({}, {0: FIVE}).items()}
    files |= {f"b/{n}": d for n, d in sequence({}, {0: cells(1, 2)}).items()}
    dataset = open_dataset(folder(files))
    assert [s.id for s in dataset.samples] == ["a_01_t000", "b_01_t000"]
    assert [count_cells(s.read_mask().objects) for s in dataset.samples] == [5, 2]


def test_masks_without_frames_are_told(folder: Write) -> None:
    dataset = open_dataset(folder(sequence({9: FIVE}, {0: FIVE})))
    assert [(p.kind, p.names) for p in dataset.problems] == [("unpaired mask", ("01_GT/SEG/man_seg009.tif",))]


def test_tracking_masks_are_left_out_and_that_is_told(folder: Write) -> None:
    dataset = open_dataset(folder(sequence({}, {0: FIVE}) | {"01_GT/TRA/man_track000.tif": tiff(FIVE)}))
    assert [(p.kind, p.names) for p in dataset.problems] == [("left out", ("01_GT/TRA/man_track000.tif",))]


def test_samples_travel_between_processes(folder: Write) -> None:
    dataset = open_dataset(folder(sequence({2: cells(0, 3)}, {n: FIVE for n in (0, 1, 3)})))
    again = pickle.loads(pickle.dumps(dataset.samples))
    for here, there in zip(dataset.samples, again, strict=True):
        assert np.array_equal(here.read_mask().objects, there.read_mask().objects)
    assert pickle.loads(pickle.dumps(again))[2].read_mask().weights is not None


def test_volumes_and_sequences_without_masks_are_told(folder: Write) -> None:
    files = sequence({}, {}) | {"01_GT/SEG/man_seg_000_010.tif": tiff(FIVE)}
    with raises_code("data.mask.volume"):
        open_dataset(folder(files))
    with raises_code("data.masks.missing"):
        open_dataset(folder(sequence({}, {})), format="cell-tracking")


def test_gold_and_silver_of_two_sizes_are_told(folder: Write) -> None:
    dataset = open_dataset(folder(sequence({0: cells(1)}, {0: cells(1, 2, 3, size=11)})))
    with raises_code("data.mask.size", "12 x 12", "11 x 11"):
        dataset[0].read_mask()
