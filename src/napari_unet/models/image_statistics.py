"""A quick look at an image: a few numbers by which images of one kind are alike.

A model keeps the looks of what it was trained on, so that it can be said in milliseconds, without the
network, whether another image is of that kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.models.normalization import LUMA, Span, limits_of, to_float

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

SIDE = 512  # pixels in the middle of an image that are looked at
FAINTEST = 1e-6
TINY = 1e-30
BRIGHT = 0.5
# The least by which images of one kind may differ in each number.
FLOOR = np.array([0.06, 0.06, 0.5, 0.12, 0.25, 0.05], np.float64)
ALIKE = 1.2  # root mean square of the differences, in deviations, up to which a look fits

ImageStatistics = tuple[float, ...]


def describe_image(image: NDArray[np.generic]) -> ImageStatistics:
    """Numbers that tell kinds of images apart, whatever their size and number of bits.

    Parameters
    ----------
    image : numpy.ndarray
        (Y, X, C) or (Y, X), any real dtype; the middle 512 x 512 pixels are looked at.

    Returns
    -------
    tuple of float
        Of intensities between the 1st and 99th percentile, scaled to 0 to 1: median; share above a half;
        skewness; share of fine detail (below two pixels); logarithm of the detail up and down over that
        left and right; colourfulness. All zero for a constant image.
    """
    import cv2

    middle = _middle(image)
    limits = limits_of(middle)
    span = None if limits is None else Span(limits[0], max(limits[1] - limits[0], TINY))
    values = to_float(middle, span)
    colour = values.shape[2] == 3
    grey = np.asarray(values @ LUMA if colour else values[..., 0], np.float32)
    low, high = (float(v) for v in np.percentile(grey, (1, 99)))
    if high - low < FAINTEST:
        return (0.0,) * len(FLOOR)
    unit = np.clip((grey - low) / (high - low), 0, 1)
    spread = max(float(unit.std()), FAINTEST)
    fine = unit - cv2.GaussianBlur(unit, (0, 0), 2)
    down, across = (_steps(unit, axis) + FAINTEST for axis in (0, 1))
    shown = float((values.max(axis=2) - values.min(axis=2)).mean()) / (high - low) if colour else 0.0
    return (
        float(np.median(unit)),
        float((unit > 0.5).mean()),
        float(((unit - unit.mean()) ** 3).mean()) / spread**3,
        float(fine.std()) / spread,
        float(np.log(down / across)),
        min(shown, 1.0),
    )


def _steps(unit: NDArray[np.float32], axis: int) -> float:
    """Mean step along an axis; 0 where there is one pixel alone."""
    return float(np.abs(np.diff(unit, axis=axis)).mean()) if unit.shape[axis] > 1 else 0.0


def _middle(image: NDArray[np.generic]) -> NDArray[np.generic]:
    window = []
    for size in image.shape[:2]:
        start = max(0, (size - SIDE) // 2)
        window.append(slice(start, start + SIDE))
    return image[tuple(window)]


def kind_of(statistics: ImageStatistics) -> str:
    """What people call a look: "bright" or "dark", by the median."""
    return "bright" if statistics[0] > BRIGHT else "dark"


def summarize_statistics(described: Iterable[tuple[str, ImageStatistics]]) -> list[dict[str, Any]]:
    """Looks of a training set, kind by kind, to be stored with a model.

    Parameters
    ----------
    described : iterable of (str, ImageStatistics)
        Name of a kind, and the look of an image of it.

    Returns
    -------
    list of dict
        kind, images, mean and deviation of every number; JSON throughout.
    """
    kinds: dict[str, list[ImageStatistics]] = {}
    for kind, statistics in described:
        kinds.setdefault(kind, []).append(statistics)
    return [
        {
            "kind": kind,
            "images": len(found),
            "mean": [round(float(v), 4) for v in np.mean(found, axis=0)],
            "deviation": [round(float(v), 4) for v in np.std(found, axis=0)],
        }
        for kind, found in sorted(kinds.items())
    ]


def closest_kind(statistics: ImageStatistics, kinds: Sequence[Mapping[str, Any]]) -> tuple[str, float]:
    """The kind of training images that a look is closest to.

    Parameters
    ----------
    statistics : ImageStatistics
        Of an image.
    kinds : sequence of mapping
        As ``summarize_statistics`` gives them.

    Returns
    -------
    kind : str
        Its name; empty without kinds.
    difference : float
        Root mean square of the differences in deviations; up to ``ALIKE`` the image is of that kind.
    """
    best, least = "", float("inf")
    for kind in kinds:
        try:
            mean, deviation = np.array(kind["mean"], float), np.array(kind["deviation"], float)
            difference = (np.array(statistics) - mean) / np.hypot(deviation, FLOOR)
        except (KeyError, TypeError, ValueError):
            continue  # of another program, or damaged: nothing can be said by it
        distance = float(np.sqrt((difference**2).mean()))
        if distance < least:
            best, least = str(kind.get("kind", "")), distance
    return best, least
