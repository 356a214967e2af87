"""How good the slices of a volume probably are, by a network in three dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from napari_unet.data.catalog import open_images
from napari_unet.models.model import load_model
from napari_unet.workflow.review.quality_estimate import agreement_of_members
from support.tiny_models import without_graphs
from support.volume_models import thresholding

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (6, 8, 12)


def write_volume(path: Path) -> Path:
    """A rod that is six pixels wide in the first slices and three in the last."""
    bright = np.zeros(SHAPE, bool)
    bright[:3, 2:6, 3:9] = True
    bright[3:, 2:6, 4:7] = True
    tifffile.imwrite(path, np.where(bright, 200, 0).astype(np.uint8), imagej=True, metadata={"axes": "ZYX"})
    return path


def test_slices_on_which_flips_disagree_come_first(tmp_path: Path) -> None:
    """A voxel is what lies to the left of it; flipped, what lies to the right. Both together are wider."""
    without_graphs()
    model = load_model(thresholding(tmp_path / "model", "3d", behind=1, axis=2))
    found = agreement_of_members(open_images([write_volume(tmp_path / "em.tif")]), model)
    # Six of the eight columns that one or the other has; then three of five.
    assert [one.agreement for one in found] == pytest.approx([6 / 8] * 3 + [3 / 5] * 3)
    # Four of eight columns are sure, four are even; then one of five.
    assert [one.expected for one in found] == pytest.approx([6 / 8] * 3 + [3 / 5] * 3, abs=0.02)
    assert [one.id for one in found] == [f"em_{z:03d}" for z in range(6)]
    assert not any(one.by_members for one in found)


def test_some_slices_are_measured_as_those_of_the_whole_volume(tmp_path: Path) -> None:
    without_graphs()
    model = load_model(thresholding(tmp_path / "model", "3d", behind=1))
    samples = list(open_images([write_volume(tmp_path / "em.tif")]))
    alone = agreement_of_members([samples[2], samples[4]], model)
    whole = agreement_of_members(samples, model)
    assert [one.id for one in alone] == [samples[2].id, samples[4].id]
    assert [one.agreement for one in alone] == [whole[2].agreement, whole[4].agreement] == [1, 1]
