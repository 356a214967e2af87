"""Objects of volumes found part by part are those of the whole volume, to the voxel and the number."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import ndimage

from napari_unet.inference import agglomeration
from napari_unet.inference.volumes import parted_volumes
from napari_unet.inference.volumes.parted_volumes import PartedVolume
from napari_unet.inference.volumes.volume_objects import find_volume_objects
from napari_unet.settings import InferenceSettings

SHAPE = (18, 36, 43)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parted_volumes, "AROUND", 4)
    monkeypatch.setattr(parted_volumes, "SIDE", 17)


def field(seed: int, sigma: float) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(SHAPE), sigma)
    return (0.5 + noise / (4 * noise.std())).clip(0, 1).astype(np.float16).astype(np.float32)


def boxes(sides: tuple[int, int, int]) -> list[tuple[slice, slice, slice]]:
    ways = [
        [slice(a, min(a + side, size)) for a in range(0, size, side)]
        for side, size in zip(sides, SHAPE, strict=True)
    ]
    return [(z, y, x) for z, y, x in product(*ways)]


def parted(
    mask: np.ndarray, probabilities: np.ndarray, how: str, **more: float
) -> tuple[np.ndarray, np.ndarray]:
    objects = np.zeros(SHAPE, np.uint32)
    height = np.zeros(SHAPE, np.float32)
    pieces, cores = np.zeros(SHAPE, np.uint32), np.zeros(SHAPE, np.uint32)
    volume = PartedVolume(
        mask,
        height,
        pieces,
        cores,
        objects,
        boxes((9, 20, 24)),
        how,
        boxes((18, 20, 43)),
        probabilities,
        **more,
    )
    found = volume.number()
    assert found.count == objects.max()
    return objects, found.classes


@pytest.mark.parametrize("anisotropy", [1.0, 2.5])
@pytest.mark.parametrize("how", ["shape", "probability", "agglomerate"])
def test_objects_are_those_of_the_whole(how: str, anisotropy: float) -> None:
    """Of many pairs of fragments the mean is the same, so that their order decides, too."""
    fine, coarse = field(1, 1.7), field(2, 6)
    mask = np.where(fine > 0.56, 1 + (coarse > 0.5), 0).astype(np.uint8)
    steps = np.rint(field(3, 1.5) * 6) / 6
    probabilities = np.stack([steps, 1 - steps], axis=-1).astype(np.float16).astype(np.float32)
    settings = InferenceSettings(objects=how, join=0.5)
    expected = find_volume_objects(mask, settings, probabilities, anisotropy=anisotropy)
    if how != "agglomerate":
        connected = find_volume_objects(mask, InferenceSettings(objects="connected"))
        assert expected.max() > connected.max() + 5
    else:
        apart = find_volume_objects(
            mask, settings.model_copy(update={"join": 1.1}), probabilities, anisotropy=anisotropy
        )
        assert expected.max() < apart.max() - 2
    found, classes = parted(mask, probabilities, how, join=0.5, anisotropy=anisotropy)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(classes[found], mask)


def test_pieces_of_which_nothing_is_sure_are_those_of_the_whole() -> None:
    mask = (field(1, 1.2) > 0.68).astype(np.uint8)
    probabilities = np.where(field(3, 4) > 0.7, 0.9, 0.6)[..., None].astype(np.float16).astype(np.float32)
    pieces, count = ndimage.label(mask, np.ones((3, 3, 3)))
    assert 15 < count - len(np.unique(pieces[(mask > 0) & (probabilities[..., 0] > 0.7)])) < count - 5
    settings = InferenceSettings(objects="agglomerate", join=0.7)
    expected = find_volume_objects(mask, settings, probabilities)
    found, _ = parted(mask, probabilities, "agglomerate", join=0.7)
    np.testing.assert_array_equal(found, expected)


def test_a_part_looks_as_far_as_something_sure_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cube of which the network is sure, and at a thread of seven voxels what it is not sure of, no farther
    than 20 steps: no core. The part that begins there must not take it for a cell.
    """
    for module in (agglomeration, parted_volumes):
        monkeypatch.setattr(module, "NEAR", 20)
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    away = abs(z - 8) + abs(y - 8)
    sure = (abs(z - 8) < 4) & (abs(y - 8) < 4) & (x > 2) & (x < 10)
    thread = (away == 0) & (x > 9) & (x < 17)
    mask = (sure | thread | ((x > 16) & (away + x - 9 <= 20) & (abs(y - 8) < 8))).astype(np.uint8)
    probabilities = np.where(sure, 0.9, np.where(mask > 0, 0.6, 0.05))[..., None].astype(np.float32)
    settings = InferenceSettings(objects="agglomerate", join=0.8)
    whole = find_volume_objects(mask, settings, probabilities)
    assert whole.max() == 1
    found, _ = parted(mask, probabilities, "agglomerate", join=0.8)
    np.testing.assert_array_equal(found, whole)


@pytest.mark.parametrize("how", ["shape", "agglomerate"])
def test_a_volume_without_background_is_one_object(how: str) -> None:
    mask = np.ones(SHAPE, np.uint8)
    probabilities = np.ones((*SHAPE, 1), np.float32)
    whole = find_volume_objects(mask, InferenceSettings(objects=how), probabilities)
    assert set(np.unique(whole)) == {1}
    found, _ = parted(mask, probabilities, how)
    assert set(np.unique(found)) == {1}
