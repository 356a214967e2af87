"""Slices that only the window has are segmented with their neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.data.sample import Sample
from napari_unet.progress import CancelToken
from napari_unet.settings import InferenceSettings
from napari_unet.workflow.inputs.image_reference import HeldVolume, refer
from napari_unet.workflow.segment.predict_task import PredictTask
from napari_unet.workflow.segment.prediction import Region
from support.volume_models import rods, thresholding

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_unet.progress import Progress
    from napari_unet.workflow.segment.prediction import Prediction

BRIGHT = rods()


class Slice:
    """Reads a slice, and knows its volume."""

    def __init__(self, z: int, volume: Callable[[], HeldVolume]) -> None:
        self.z, self.volume = z, volume

    def __call__(self) -> np.ndarray:
        return np.where(BRIGHT[self.z], 200, 0).astype(np.uint8)[..., None]

    @property
    def place(self) -> Any:
        return self.volume().place(self.z)


def slices(z: list[int]) -> tuple[Any, ...]:
    loads = {n: Slice(n, lambda: volume) for n in range(len(BRIGHT))}
    volume = HeldVolume("rods", loads)
    return tuple(refer(Sample(f"rods [{n}]", loads[n]), None) for n in z)


def run(task: PredictTask) -> list[Progress]:
    told: list[Progress] = []
    task.run(told.append, CancelToken())
    return told


def masks(told: list[Progress]) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for progress in told:
        piece: Prediction | Any = progress.piece
        if piece is not None:
            found[piece.id] = np.asarray(piece.probabilities())[..., 0] > 0.5
    return found


@pytest.fixture(scope="module", params=["2.5d", "3d"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answers each voxel with the one before it."""
    return thresholding(tmp_path_factory.mktemp("models") / request.param, request.param, behind=1)


def test_one_slice_is_seen_with_those_before_it(model: Path, tmp_path: Path) -> None:
    # The rod with a gap is not in slice 2, but in slice 1, which the network looks at.
    told = run(PredictTask(model, slices([2]), tmp_path, InferenceSettings()))
    np.testing.assert_array_equal(masks(told)["rods [2]"], BRIGHT[1])
    assert BRIGHT[1].sum() != BRIGHT[2].sum()


def test_a_part_of_a_slice_is_seen_with_that_part_of_the_others(model: Path, tmp_path: Path) -> None:
    part = Region(0, 2, 8, 10)
    told = run(PredictTask(model, slices([2]), tmp_path, InferenceSettings(), part, (8, 10)))
    np.testing.assert_array_equal(masks(told)["rods [2]"][part.slices], BRIGHT[1][part.slices])


def test_the_slice_in_view_comes_first_and_then_the_volume(model: Path, tmp_path: Path) -> None:
    told = run(PredictTask(model, slices([4, 0, 1, 2, 3, 5]), tmp_path, InferenceSettings()))
    pieces = [progress for progress in told if progress.piece is not None]
    assert pieces[0].piece.id == "rods [4]"  # type: ignore[attr-defined]
    found = masks(told)
    for z in range(1, 6):
        np.testing.assert_array_equal(found[f"rods [{z}]"], BRIGHT[z - 1])
    # Progress never goes back, ends at the end, and says how long it takes still.
    done = [progress.done for progress in told]
    assert done == sorted(done)
    assert (done[-1], told[-1].total) == (6, 6)
    assert all(progress.seconds_left is not None for progress in told[2:])


def test_a_volume_in_three_dimensions_tells_of_slices_before_the_first_is_finished(tmp_path: Path) -> None:
    model = thresholding(tmp_path / "3d", "3d", behind=1)
    told = run(PredictTask(model, slices(list(range(6))), tmp_path, InferenceSettings()))
    finished = [n for n, progress in enumerate(told) if progress.piece is not None]
    assert any(progress.done > 0 and progress.piece is None for progress in told[: finished[1]])
