"""The window's list of problems is that of `inspect`, and leaving them out keeps them from scores."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_unet.data.catalog import open_dataset
from napari_unet.session.images.collection import Collection
from napari_unet.session.images.data_problems import DataProblems

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def write_set(root: Path) -> None:
    noise = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for number in range(4):
        image = noise.integers(0, 255, (32, 32), np.uint8)
        mask = np.zeros((32, 32), np.uint8)
        mask[5:20, 8:25] = 255
        if number == 1:
            image[:] = 9
        if number == 2:
            mask[:] = 0
            mask[:, :10] = 255
        Image.fromarray(image).save(root / f"images/s{number}.png")
        Image.fromarray(mask).save(root / f"masks/s{number}.png")


def test_problems_come_to_the_rows_and_can_be_left_out(tmp_path: Path) -> None:
    write_set(tmp_path)
    dataset = open_dataset(tmp_path)
    collection = Collection("set", dataset.samples, dataset)
    told: list[tuple[str, ...]] = []
    done = threading.Event()

    def dispatch(function: Callable[[], None]) -> None:
        function()
        done.set()

    problems = DataProblems(dispatch, told.append)
    problems.look_for(collection)
    assert done.wait(60)
    problems.close()
    assert {*collection.flawed} >= {"s1", "s2"}
    assert "s0" not in collection.flawed or "s3" not in collection.flawed
    assert sorted(told[0]) == sorted(collection.flawed)
    assert collection.row("s1").problem == "the image has one value throughout"
    assert collection.row("s2").problem == "the mask is pure vertical stripes"
    for entry in collection.entries.values():
        entry.iou, entry.prediction = 0.5, SimpleNamespace()  # type: ignore[assignment]
    assert len(collection.scored()[0]) == 4
    collection.leave_out_flaws = True
    assert set(collection.scored()[0]) == set(collection.entries) - set(collection.flawed)
