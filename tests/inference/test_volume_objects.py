"""Objects in three dimensions: connected, by their shape, or by what the network learned."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.inference.volumes.volume_objects import find_volume_objects
from napari_unet.networks.layers.object_depth import distance_map
from napari_unet.settings import InferenceSettings


def balls(centres: list[tuple[int, int, int]], radius: float, thick: float = 1.0) -> np.ndarray:
    """(Z, Y, X) int32: balls, numbered, in a volume whose slices are so many times as thick as wide."""
    z, y, x = np.mgrid[: round(24 / thick), :24, :40].astype(float)
    found = np.zeros(z.shape, np.int32)
    for number, (cz, cy, cx) in enumerate(centres, start=1):
        found[np.sqrt(((z - cz) * thick) ** 2 + (y - cy) ** 2 + (x - cx) ** 2) <= radius] = number
    return found


def settings(how: str) -> InferenceSettings:
    return InferenceSettings(objects=how)


def test_what_touches_over_a_corner_in_another_slice_is_one_object() -> None:
    mask = np.zeros((3, 4, 4), np.uint8)
    mask[0, 0, 0] = mask[1, 1, 1] = 1
    mask[2, 3, 3] = 1
    mask[0, 0, 1] = 2
    found = find_volume_objects(mask, settings("connected"))
    assert found[0, 0, 0] == found[1, 1, 1] == 1
    assert (found[2, 3, 3], found[0, 0, 1]) == (2, 3)  # classes are never joined
    assert found.max() == 3


@pytest.mark.parametrize("thick", [1.0, 3.0])
@pytest.mark.parametrize("how", ["shape", "learned"])
def test_balls_that_touch_are_parted(how: str, thick: float) -> None:
    middle = round(12 / thick)
    numbered = balls([(middle, 12, 11), (middle, 12, 27)], 8.9, thick)
    mask = (numbered > 0).astype(np.uint8)
    depth = distance_map(numbered, (thick, 1.0, 1.0))
    found = find_volume_objects(
        mask, settings(how), separation=depth, separation_kind="distance", anisotropy=thick
    )
    assert find_volume_objects(mask, settings("connected")).max() == 1
    assert found.max() == 2
    assert ((found > 0) == (mask > 0)).all()
    for number in (1, 2):
        inside = found[numbered == number]
        assert (inside == np.bincount(inside).argmax()).mean() > 0.95


def test_a_learned_border_parts_what_touches() -> None:
    mask = np.ones((6, 10, 20), np.uint8)
    border = np.zeros(mask.shape, np.float32)
    border[:, :, 9:11] = 1
    found = find_volume_objects(mask, settings("auto"), separation=border, separation_kind="border")
    assert (found.max(), len(np.unique(found[:, :, :9])), len(np.unique(found[:, :, 11:]))) == (2, 1, 1)


def test_an_empty_volume_has_no_objects() -> None:
    empty = np.zeros((3, 4, 5), np.uint8)
    for how in ("connected", "shape"):
        assert find_volume_objects(empty, settings(how)).max() == 0
