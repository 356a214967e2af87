"""Star-convex polygons: what goes in comes out, touching objects stay apart, turned images agree."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.inference.objects import find_objects
from napari_unet.inference.predict import FLIPS, predict_probabilities
from napari_unet.inference.shapes.stars import Stars, find_stars, star_objects, suppress
from napari_unet.networks.layers.object_depth import distance_map
from napari_unet.networks.layers.star_shape import LONGEST, UNIT, directions, encode, turned_rays
from napari_unet.networks.sizes import InputSizes
from napari_unet.settings import InferenceSettings
from napari_unet.training.feeding.star_targets import star_distances


def discs() -> np.ndarray:
    """Two ellipses that touch, one alone, one cut by the border, as a network would find them."""
    y, x = np.mgrid[:64, :80]
    objects = np.zeros((64, 80), np.int32)
    for number, (cy, cx, ry, rx) in enumerate(
        ((20, 20, 9, 12), (36, 24, 8, 11), (40, 60, 12, 8), (10, 74, 8, 9))
    ):
        objects[((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 <= 1] = number + 1
    return objects


def said(objects: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    distances = star_distances(np.pad(objects, 30))[30:-30, 30:-30]
    return distance_map(objects), np.maximum(distances, 0) / np.float32(LONGEST)


def test_objects_come_back_from_their_depth_and_rays() -> None:
    truth = discs()
    found = star_objects(*said(truth))
    assert found.max() == 4
    for number in range(1, 5):
        mine = truth == number
        other = np.bincount(found[mine]).argmax()
        assert other > 0
        iou = (mine & (found == other)).sum() / (mine | (found == other)).sum()
        assert iou > 0.85


def test_nothing_is_found_in_nothing() -> None:
    nothing = np.zeros((8, 9), np.float32), np.zeros((8, 9, 32), np.float32)
    assert not star_objects(*nothing).any()
    assert len(find_stars(*nothing)) == 0


def test_the_deeper_of_two_on_one_place_stays() -> None:
    rays = np.full((3, 32), 6.0)
    stars = Stars(np.array([[10.0, 10], [11, 12], [10, 30]]), rays, np.array([0.9, 0.8, 0.7]))
    kept = suppress(stars)
    assert kept.middles.tolist() == [[10, 10], [10, 30]]
    assert len(suppress(stars, overlap=1.0)) == 3
    # One within another is left out however large the other is.
    rays[0] = 20.0
    assert len(suppress(Stars(stars.middles, rays, stars.depth))) < 3


def test_each_ray_has_its_place_in_a_turned_image() -> None:
    assert turned_rays((False, False, False)).tolist() == list(range(32))
    for flip in FLIPS["dihedral"]:
        assert sorted(turned_rays(flip)) == list(range(32))
    assert turned_rays((False, True, False))[0] == 16  # left is right
    assert turned_rays((False, False, True))[0] == 8  # right is down
    np.testing.assert_allclose(directions()[8], [1, 0], atol=1e-12)


@pytest.mark.parametrize("symmetry", ["horizontal", "dihedral"])
def test_answers_to_turned_images_agree_where_the_network_is_right(symmetry: str) -> None:
    """A network that measures the rays of what it is given says the same however that is turned."""

    def measure(images: np.ndarray) -> np.ndarray:
        out = [
            np.concatenate([i, np.maximum(star_distances(i[..., 0].astype(np.int32)), 0)], -1) for i in images
        ]
        return np.stack(out) / np.float32(64)

    picture = discs()[:48, :48].astype(np.float32)[..., None]
    plain, turned = (
        next(
            predict_probabilities(
                [picture], measure, InputSizes(), InferenceSettings(flips=f, tile=64), None, rays=32
            )
        )
        for f in ("none", symmetry)
    )
    inner = (slice(8, 40), slice(8, 40))
    # Steps are rounded the other way at .5, so that single rays may differ by a step.
    assert np.abs(plain[inner] - turned[inner]).max() <= 1.5 / 64
    assert np.abs(plain[inner] - turned[inner]).mean() < 0.05 / 64


def test_logits_become_shares_of_pixels_of_the_image() -> None:
    assert encode(np.array([2.0], np.float32), 0.5).item() == pytest.approx(2 * UNIT / 0.5 / LONGEST)
    assert encode(np.array([-1.0, 1e6], np.float32), 1.0).tolist() == [0, 1]


def test_depth_of_polygons_parts_a_mask_as_the_polygons_do() -> None:
    truth = discs()
    found = star_objects(*said(truth))
    mask = (truth > 0).astype(np.uint8)
    objects = find_objects(mask, InferenceSettings(), None, distance_map(found), "distance")
    assert objects.max() == 4
    assert ((objects > 0) == (mask > 0)).all()
    assert objects[20, 20] != objects[36, 24]
