"""From masks to objects: connected pieces, or pieces that are cut where objects touch."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.inference.agglomeration import agglomerate, may_be_core, over_borders
from napari_unet.inference.postprocess import connected_objects

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_unet.settings import InferenceSettings, Separation

    Cores = tuple[NDArray[np.float32], NDArray[np.bool_]]  # height, and what grows downhill from where

SMOOTH = 1.0  # pixels; noise must not make two peaks of one
RISE_OF_SHAPE = 1.0  # pixels that a neck is narrower than the objects on both its sides
RISE_OF_PROBABILITY = 0.1
RISE_OF_DEPTH = 0.15  # by a network's output, which is 1 in the middle of every object
SMALLEST_CORE = 4  # pixels; what is smaller is noise in a network's borders
SQUARE = 256  # pixels: side of the squares in which seeds spread
STEPS = 8  # of spreading between two looks whether anything changed
MOST_LOOKS, MOST_ROUNDS = 64, 64  # in a square, and at all squares; what winds further spreads pixel by pixel
FIRST = 2.0**40  # below all heights: markers grow before anything else, in the order of rows
UNKNOWN = np.iinfo(np.int32).max
NOWHERE = 1e6  # pixels to the edge of a mask that has none
BAND = 64  # rows that are smoothed together
_SHARES = [math.exp(-((by / SMOOTH) ** 2) / 2) for by in range(5)]
WEIGHTS = tuple(np.float32(share / (2 * sum(_SHARES) - _SHARES[0])) for share in _SHARES)


def find_objects(
    mask: NDArray[np.uint8],
    settings: InferenceSettings,
    probabilities: NDArray[np.float32] | None = None,
    separation: NDArray[np.float32] | None = None,
    separation_kind: Separation = "none",
) -> NDArray[np.int32]:
    """Number the objects of a mask as the settings say.

    Every pixel of the mask belongs to exactly one object, and objects never cross from one class to
    another. So the mask may as well be one that a person corrected.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) uint8, 0 background, 1..K.
    settings : InferenceSettings
        ``objects`` says how touching objects are separated, ``core`` from which depth on a pixel is of an
        object's core where the network learned borders.
    probabilities : numpy.ndarray, optional
        (Y, X, K) float32 in [0, 1]; without them "probability" goes by the shape.
    separation : numpy.ndarray, optional
        (Y, X) float32 in [0, 1], the network's own output for it; without it "learned" cuts nothing.
    separation_kind : str
        What that output was trained to be, "distance" or "border".

    Returns
    -------
    numpy.ndarray
        (Y, X) int32, 0 background, 1..N: those of class 1 first.

    Notes
    -----
    Cores are found and grown to the mask's edge by the watershed transform, controlled by markers
    (Meyer, Beucher 1990, doi:10.1016/1047-3203(90)90014-M). Cores are

    - learned border: connected pixels whose probability times (1 - border) is above ``core``;
    - learned distance: regional maxima of the smoothed output that rise 0.15 above the saddle to a higher
      one;
    - probability, shape: the same of the smoothed probability, and of the distance to the mask's edge, that
      rise 0.1, and one pixel;
    - agglomerate: as of shape, of the sure pixels alone, see ``agglomeration.may_be_core``.

    A piece of the mask without a core is an object of its own. Those of "agglomerate" are joined afterwards,
    see ``agglomeration.agglomerate``.
    """
    how = way_of(settings, probabilities, separation, separation_kind)
    if how == "connected" or not mask.any():
        return connected_objects(mask)

    def cores_of(inside: NDArray[np.bool_], probability: NDArray[np.float32] | None) -> Cores:
        if how == "learned":
            assert separation is not None
            if separation_kind == "border":
                return border_cores(inside, probability, separation, settings.core)
            return maxima(inside, smoothed(separation), RISE_OF_DEPTH)
        return peaks(inside, probability if how == "probability" else None)

    if how == "agglomerate" and probabilities is not None:
        return joined_from_cores(mask, probabilities, cores_of, settings.join)
    return grown_from_cores(mask, probabilities, cores_of)


def way_of(
    settings: InferenceSettings,
    probabilities: NDArray[np.float32] | None,
    separation: NDArray[np.float32] | None,
    separation_kind: Separation,
) -> str:
    """What the settings come to with what there is; never "auto"."""
    how = settings.objects
    if how == "auto":
        how = "connected" if separation is None else "learned"
    if how == "learned" and (separation is None or separation_kind == "none"):
        how = "connected"
    if how in {"probability", "agglomerate"} and probabilities is None:
        how = "shape"
    return how


def grown_from_cores(
    mask: NDArray[np.uint8],
    probabilities: NDArray[np.float32] | None,
    cores_of: Callable[[NDArray[np.bool_], NDArray[np.float32] | None], Cores],
) -> NDArray[np.int32]:
    """Find the cores of each class, and let them grow to the edge of the mask.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) or (Z, Y, X) uint8, 0 background, 1..K.
    probabilities : numpy.ndarray, optional
        Of each class, in a last axis.
    cores_of : callable
        (inside, probability) -> (height, cores), all of the mask's shape. Cores grow downhill.

    Returns
    -------
    numpy.ndarray
        int32 of the mask's shape, 0 background, 1..N: those of class 1 first.
    """
    objects = np.zeros(mask.shape, np.int32)
    count = 0
    for label in np.unique(mask[mask > 0]):
        inside = mask == label
        probability = None
        if probabilities is not None:
            probability = probabilities[..., min(int(label), probabilities.shape[-1]) - 1]
        grown = _grow(inside, *cores_of(inside, probability))
        objects[inside] = grown[inside] + count
        count += int(grown.max(initial=0))
    return objects


def joined_from_cores(
    mask: NDArray[np.uint8],
    probabilities: NDArray[np.float32],
    cores_of: Callable[[NDArray[np.bool_], NDArray[np.float32] | None], Cores],
    least: float,
) -> NDArray[np.int32]:
    """As ``grown_from_cores``; what no border parts is joined, see ``agglomeration.agglomerate``."""
    wide = over_borders(mask)

    def sure_cores(inside: NDArray[np.bool_], probability: NDArray[np.float32] | None) -> Cores:
        assert probability is not None
        return cores_of(may_be_core(inside & (mask > 0), probability), probability)

    fragments = grown_from_cores(wide, probabilities, sure_cores)
    return np.where(mask > 0, agglomerate(fragments, wide, probabilities, least), 0).astype(np.int32)


def split_outputs(
    outputs: NDArray[np.float32], classes: int
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Part what a network says of classes from what it says of objects.

    Parameters
    ----------
    outputs : numpy.ndarray
        (Y, X, K) or (Y, X, K + 1).
    classes : int
        K.

    Returns
    -------
    probabilities : numpy.ndarray
        (Y, X, K), a view.
    separation : numpy.ndarray or None
        (Y, X), a view; None if there is none.
    """
    return outputs[..., :classes], outputs[..., classes] if outputs.shape[-1] > classes else None


def smoothed(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Smooth (Y, X) float32 by a Gaussian: the same, to the bit, in a part of an image and in the whole."""
    width = len(WEIGHTS) - 1
    padded = np.pad(np.asarray(values, np.float32), width, mode="reflect")
    smooth = np.empty(values.shape, np.float32)
    for start in range(0, len(smooth), BAND):  # as much as a processor has near it
        band = smooth[start : start + BAND]
        above = padded[start : start + len(band) + 2 * width]
        band[...] = _weighed(_weighed(above, width).T, width).T
    return smooth


def _weighed(values: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Weigh rows with those above and below; `width` rows less at either end."""
    size = len(values) - 2 * width
    total = values[width : width + size] * WEIGHTS[0]
    for by, weight in enumerate(WEIGHTS[1:], start=1):
        both = values[width + by : width + by + size] + values[width - by : width - by + size]
        both *= weight
        total += both
    return total


def border_cores(
    inside: NDArray[np.bool_],
    probability: NDArray[np.float32] | None,
    border: NDArray[np.float32],
    core: float,
) -> Cores:
    """How far from borders pixels are, by the network, and which are far enough to be cores."""
    import cv2

    certain = inside.astype(np.float32) if probability is None else probability
    height = np.asarray(certain * (1 - border), np.float32)
    cores = (height > core) & inside
    _, pieces, statistics, _ = cv2.connectedComponentsWithStats(cores.astype(np.uint8), connectivity=4)
    tiny = statistics[:, cv2.CC_STAT_AREA] < SMALLEST_CORE
    tiny[0] = False
    cores[tiny[pieces]] = False
    return height, cores


def peaks(inside: NDArray[np.bool_], probability: NDArray[np.float32] | None) -> Cores:
    """Probability, or distance to the mask's edge, and its maxima."""
    if probability is None:
        distance = distance_within(np.pad(inside, 1, mode="edge"))[1:-1, 1:-1]
        height, rise = smoothed(distance), RISE_OF_SHAPE
    else:
        height, rise = smoothed(probability), RISE_OF_PROBABILITY
    return maxima(inside, height, rise)


def distance_within(inside: NDArray[np.bool_], sides: tuple[float, ...] | None = None) -> NDArray[np.float32]:
    """Distance to the mask's edge, the same to the bit wherever the mask lies in an image.

    Parameters
    ----------
    inside : numpy.ndarray
        (Y, X) or (Z, Y, X) bool: the mask.
    sides : tuple of float, optional
        Of a pixel along each axis; else 1.
    """
    from scipy import ndimage

    if inside.all():
        return np.full(inside.shape, NOWHERE, np.float32)
    return np.asarray(ndimage.distance_transform_edt(inside, sides), np.float32)


def maxima(inside: NDArray[np.bool_], height: NDArray[np.float32], rise: float) -> Cores:
    """A height where the mask is, and its maxima that rise above the saddle to a higher one by so much.

    Each piece of the mask is looked at by itself, so that it has the same maxima in any image that holds it.
    """
    height = np.where(inside, height, 0).astype(np.float32)
    return height, (height - filled_up(height, lowered(inside, height, rise)) >= rise) & inside


def lowered(inside: NDArray[np.bool_], height: NDArray[np.float32], rise: float) -> NDArray[np.float32]:
    """What maxima rise from, at most: the height without the rise, and a little for rounding."""
    rounding = np.float32(2 * np.finfo(np.float32).resolution) * np.abs(height)
    return np.where(inside, height - np.float32(rise) - rounding, np.float32(0))


def filled_up(height: NDArray[np.float32], seeds: NDArray[np.float32]) -> NDArray[np.float32]:
    """The seeds, spread downhill and level under the height (morphological reconstruction)."""
    spread = np.minimum(seeds, height)
    if height.ndim == 2 and _has_spread(spread, height):
        return spread
    from skimage.morphology import reconstruction

    return np.asarray(reconstruction(spread, height, method="dilation"), np.float32)


def _has_spread(seeds: NDArray[np.float32], height: NDArray[np.float32]) -> bool:
    """Spread seeds in place, square by square, until none changes; whether that was soon enough.

    In a square all pixels take a step at once. Pixel by pixel takes ten times as long, unless ways wind.
    """
    rows, columns = (range(-(-size // SQUARE)) for size in height.shape)
    waiting = set(itertools.product(rows, columns))
    for _ in range(MOST_ROUNDS):
        now, waiting = sorted(waiting), set()
        for row, column in now:
            place = tuple(slice(max(n * SQUARE - 1, 0), (n + 1) * SQUARE + 1) for n in (row, column))
            if _spread_within(seeds[place], height[place]):
                around = itertools.product(range(row - 1, row + 2), range(column - 1, column + 2))
                waiting.update((y, x) for y, x in around if y in rows and x in columns)
        if not waiting:
            return True
    return False


def _spread_within(seeds: NDArray[np.float32], height: NDArray[np.float32]) -> bool:
    """Spread seeds in place until nothing changes, or for a while; whether anything did."""
    import cv2

    around, wider = np.ones((3, 3), np.uint8), np.empty(seeds.shape, np.float32)
    steps = 1  # most squares have changed for the last time
    for taken in range(MOST_LOOKS):
        before = seeds.copy()
        for _ in range(steps):
            cv2.dilate(seeds, around, dst=wider)
            np.minimum(wider, height, out=seeds)
        if np.array_equal(seeds, before):
            return taken > 0
        steps = STEPS
    return True


def _grow(
    inside: NDArray[np.bool_], height: NDArray[np.float32], cores: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """Number cores and let them grow downhill until they meet; what has no core is whole.

    Each piece is grown by itself, so that nothing elsewhere in the image decides it.
    """
    from scipy import ndimage

    markers, count = ndimage.label(cores)  # not over corners, so that a thin border parts
    pieces, found = ndimage.label(inside, structure=np.ones((3,) * inside.ndim, bool))
    piece_of = np.zeros(count + 1, np.int64)
    piece_of[markers[cores]] = pieces[cores]
    cores_in = np.bincount(piece_of[1:], minlength=found + 1)
    number = np.zeros(found + 1, np.int32)
    number[piece_of[1:]] = np.arange(1, count + 1)
    without = np.flatnonzero(cores_in[1:] == 0) + 1
    number[without] = count + np.arange(1, len(without) + 1)
    contested = cores_in > 1
    number[contested] = 0
    grown = np.asarray(number[pieces], np.int32)
    if contested.any():
        several = contested[pieces]
        grown[several] = flood(height, markers, several)[several]
    return grown


def flood(
    height: NDArray[np.float32],
    markers: NDArray[np.integer],
    inside: NDArray[np.bool_],
    unknown: NDArray[np.bool_] | None = None,
) -> NDArray[np.int32]:
    """Let markers grow downhill within a mask until they meet.

    Parameters
    ----------
    height : numpy.ndarray
        (Y, X) or (Z, Y, X) float32.
    markers : numpy.ndarray
        Of that shape, integers, 0 none; those outside the mask do not count.
    inside : numpy.ndarray
        Of that shape, bool: the mask.
    unknown : numpy.ndarray, optional
        Of that shape, bool: pixels of the mask that something beyond the array may claim.

    Returns
    -------
    numpy.ndarray
        int32 of that shape: the markers, grown; ``UNKNOWN`` where something beyond may claim a pixel.

    Notes
    -----
    What is unknown grows before all markers, and markers begin in the order of rows. So a pixel that a
    marker has here it has in the whole image, too, whatever claims the unknown pixels there, and whenever.
    The proof is by induction over the pixels, in the order in which markers claim them. What comes from
    beyond is nowhere earlier than it is here: not by its height and, of equal heights, not by its turn.
    """
    from skimage.segmentation import watershed

    level = -height.astype(np.float64)
    seeds = np.where(inside, markers, 0).astype(np.int32)
    ordered = np.flatnonzero(seeds)
    level.ravel()[ordered] = np.arange(len(ordered)) - FIRST
    if unknown is not None:
        beyond = np.flatnonzero(unknown & inside & (seeds == 0))
        level.ravel()[beyond] = np.arange(len(beyond)) - 2 * FIRST
        seeds.ravel()[beyond] = UNKNOWN
    around = np.ones((3,) * inside.ndim, bool)
    return np.asarray(watershed(level, seeds, mask=inside, connectivity=around), np.int32)
