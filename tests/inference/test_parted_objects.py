"""Objects found part by part are those of the whole image, to the pixel, however it is cut."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import ndimage

from napari_unet.inference import agglomeration, parted_objects
from napari_unet.inference.agglomeration import Contacts, inside_of
from napari_unet.inference.objects import UNKNOWN, find_objects, flood, way_of
from napari_unet.inference.parted_objects import (
    ObjectWay,
    Window,
    join_objects,
    look_for_cores,
    number_parted,
)
from napari_unet.settings import InferenceSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

SHAPE = (173, 211)
CUTS = {
    "thin": ([0, 1, 3, 40, 41, 120, 173], [0, 2, 60, 61, 62, 150, 211]),
    "even": ([*range(0, 173, 37), 173], [*range(0, 211, 50), 211]),
    "whole": ([0, 173], [0, 211]),
}


def found_by_parts(
    mask: np.ndarray,
    probabilities: np.ndarray,
    separation: np.ndarray,
    way: ObjectWay,
    cuts: tuple[Sequence[int], Sequence[int]],
    around: int = 4,
) -> tuple[np.ndarray, np.ndarray]:
    """Objects of a mask that is looked at in parts alone, and the class of each."""
    rows, columns = ([slice(a, b) for a, b in pairwise(c)] for c in cuts)
    places = {(r, c): (rows[r], columns[c]) for r in range(len(rows)) for c in range(len(columns))}
    shape = (mask.shape[0], mask.shape[1])
    wide = way.grown_into(mask)

    def read(y: slice, x: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return mask[y, x], probabilities[y, x], separation[y, x]

    height, cores, looked = np.zeros(shape, np.float32), np.zeros(shape, np.int32), {}
    for place, where in places.items():
        looked[place], height[where], cores[where] = look_for_cores(read, *where, shape, way)
    joined = join_objects(looked)
    for place, where in places.items():
        cores[where] = joined.of_cores[place][cores[where]]
    numbers = np.zeros(shape, np.int32)
    for place, where in places.items():
        numbers[where] = number_parted(
            lambda y, x: (wide[y, x], height[y, x], cores[y, x]),
            *where,
            shape,
            joined.of_pieces[place],
            around,
        )
    assert joined.count == numbers.max(initial=0)
    if way.how != "agglomerate":
        return numbers, joined.classes
    seen = []
    for y, x in places.values():
        more = (slice(y.start, y.stop + 1), slice(x.start, x.stop + 1))
        inside = inside_of(wide[more], probabilities[more])
        seen.append(Contacts.of_part(numbers[more], wide[more], inside, numbers[y, x].shape))
    table = Contacts.of_parts(seen).joined(joined.count, way.join)
    return np.where(mask > 0, table[numbers], 0), joined.classes[np.unique(table, return_index=True)[1]]


def assert_same_objects(found: np.ndarray, expected: np.ndarray) -> None:
    """One number of the one for each number of the other, background included."""
    pairs = np.unique(np.stack([found.ravel(), expected.ravel()]), axis=1)
    assert pairs.shape[1] == len(np.unique(expected)) == len(np.unique(found))
    np.testing.assert_array_equal(found > 0, expected > 0)


def smooth_field(seed: int, sigma: float) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(SHAPE), sigma)
    return (0.5 + noise / (4 * noise.std())).clip(0, 1).astype(np.float16).astype(np.float32)


def blobs(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A mask of two classes with objects of many sizes, one of them across most of the image."""
    separation = smooth_field(seed, 3)
    first, second = smooth_field(seed + 100, 7), smooth_field(seed + 200, 12)
    mask = np.where(first > 0.45, 1, 0).astype(np.uint8)
    mask[(second > 0.62)] = 2
    mask[80:90, 10:200] = 1
    return mask, np.stack([first, second], axis=-1), separation


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(
    ("objects", "kind"),
    [
        ("connected", "none"),
        ("learned", "distance"),
        ("learned", "border"),
        ("probability", "none"),
        ("shape", "none"),
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_objects_are_those_of_the_whole(seed: int, objects: str, kind: str, cut: str) -> None:
    mask, probabilities, separation = blobs(seed)
    settings = InferenceSettings(objects=objects, core=0.55)
    expected = find_objects(mask, settings, probabilities, separation, kind)
    way = ObjectWay(way_of(settings, probabilities, separation, kind), kind, 0.55)
    found, classes = found_by_parts(mask, probabilities, separation, way, CUTS[cut])
    connected = find_objects(mask, InferenceSettings(objects="connected"))
    assert objects == "connected" or expected.max() > connected.max() + 10  # some are told apart
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(classes[found], mask)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("classes", [1, 2])
def test_fragments_are_joined_as_in_the_whole(classes: int, cut: str) -> None:
    """Of many pairs the mean is the same, so that their order decides, too."""
    fine, coarse = smooth_field(4, 2.5), smooth_field(5, 9)
    mask = np.where(fine > 0.42, 1 + (coarse > 0.5) * (classes == 2), 0).astype(np.uint8)
    steps = np.rint(smooth_field(6, 3) * 6) / 6
    probabilities = np.stack([steps, 1 - steps][:classes], axis=-1).astype(np.float16).astype(np.float32)
    settings = InferenceSettings(objects="agglomerate", join=0.5)
    expected = find_objects(mask, settings, probabilities)
    fragments = find_objects(mask, InferenceSettings(objects="shape"))
    apart = find_objects(mask, settings.model_copy(update={"join": 1.1}), probabilities)
    assert 30 < expected.max() < apart.max() - 30
    assert apart.max() > fragments.max() - 30
    way = ObjectWay("agglomerate", join=0.5)
    found, classes_of = found_by_parts(mask, probabilities, probabilities[..., 0], way, CUTS[cut])
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(classes_of[found], mask)


@pytest.mark.parametrize("cut", CUTS)
def test_pieces_of_which_nothing_is_sure_are_those_of_the_whole(cut: str) -> None:
    mask = (smooth_field(4, 2.5) > 0.55).astype(np.uint8)
    probabilities = np.where(smooth_field(6, 12) > 0.55, 0.9, 0.6)[..., None].astype(np.float32)
    pieces, count = ndimage.label(mask, np.ones((3, 3)))
    assert 15 < count - len(np.unique(pieces[(mask > 0) & (probabilities[..., 0] > 0.7)])) < count - 5
    expected = find_objects(mask, InferenceSettings(objects="agglomerate", join=0.7), probabilities)
    way = ObjectWay("agglomerate", join=0.7)
    found, _ = found_by_parts(mask, probabilities, probabilities[..., 0], way, CUTS[cut])
    np.testing.assert_array_equal(found, expected)


def test_a_part_looks_as_far_as_something_sure_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """A square of which the network is sure, and at a thread of seven pixels what it is not sure of, no
    farther than 14 steps: no core. The part that begins there must not take it for a cell.
    """
    for module in (agglomeration, parted_objects):
        monkeypatch.setattr(module, "NEAR", 14)
    monkeypatch.setattr(parted_objects, "AROUND", 4)
    y, x = np.ogrid[: SHAPE[0], : SHAPE[1]]
    away = abs(y - 53)
    sure = (away < 4) & (x > 45) & (x < 53)
    mask = (sure | ((away == 0) & (x > 52) & (x < 60)) | ((x > 59) & (away + x - 52 <= 14))).astype(np.uint8)
    probabilities = np.where(sure, 0.9, np.where(mask > 0, 0.6, 0.05))[..., None].astype(np.float32)
    expected = find_objects(mask, InferenceSettings(objects="agglomerate", join=0.8), probabilities)
    assert expected.max() == 1
    way = ObjectWay("agglomerate", join=0.8)
    cuts = ([0, 100, 173], [0, 60, 90, 211])
    found, _ = found_by_parts(mask, probabilities, probabilities[..., 0], way, cuts)
    np.testing.assert_array_equal(found, expected)


def test_plateaus_are_shared_as_in_the_whole() -> None:
    # All heights are equal, so that only the turn of each pixel decides.
    mask = np.ones(SHAPE, np.uint8)
    separation = np.zeros(SHAPE, np.float32)
    for y, x in ((20, 20), (20, 190), (150, 100), (90, 95)):
        separation[y - 4 : y + 4, x - 4 : x + 4] = 1
    flat = np.ones((*SHAPE, 1), np.float32)
    expected = find_objects(mask, InferenceSettings(objects="learned"), flat, separation, "distance")
    assert expected.max() == 4
    for cut in CUTS.values():
        found, _ = found_by_parts(mask, flat, separation, ObjectWay("learned", "distance"), cut)
        assert_same_objects(found, expected)


def test_what_may_be_claimed_from_beyond_is_unknown() -> None:
    height = np.array([[0.9, 0.5, 0.2, 0.3, 0.4, 0.3]], np.float32)
    markers = np.array([[1, 0, 0, 0, 0, 0]])
    everywhere = np.ones((1, 6), bool)
    edge = np.zeros((1, 6), bool)
    edge[0, -1] = True
    assert flood(height, markers, everywhere).tolist() == [[1] * 6]
    # On its way down from 0.5 the marker claims the saddle before anything comes up to 0.3 from the right.
    beyond = [[1, 1, 1, UNKNOWN, UNKNOWN, UNKNOWN]]
    assert flood(height, markers, everywhere, edge).tolist() == beyond


def test_a_window_knows_where_the_image_continues() -> None:
    window = Window.around(slice(0, 10), slice(20, 30), 5, (12, 30))
    assert (window.rows, window.columns) == (slice(0, 12), slice(15, 30))
    assert window.inner == (slice(0, 10), slice(5, 15))
    assert window.cut == (False, False, True, False)
    assert window.near_cut(2).sum() == 24


@pytest.mark.parametrize("objects", ["learned", "shape", "probability"])
def test_what_lies_around_an_object_does_not_change_it(objects: str) -> None:
    mask, probabilities, separation = blobs(3)
    settings = InferenceSettings(objects=objects, core=0.55)

    def numbered(mask: np.ndarray) -> np.ndarray:
        return find_objects(mask, settings, probabilities, separation, "distance")

    pieces, count = ndimage.label(mask == 1, np.ones((3, 3)))
    largest = int(np.bincount(pieces.ravel())[1:].argmax()) + 1
    assert count > 2
    alone = np.where((pieces == largest) | (mask == 2), mask, 0).astype(np.uint8)
    here = pieces == largest
    if objects != "shape":  # of which the smoothing sees neighbours
        assert_same_objects(np.where(here, numbered(alone), 0), np.where(here, numbered(mask), 0))
