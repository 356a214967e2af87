"""A quick look at an image: a few numbers by which images of one kind are alike.

A model keeps the looks of what it was trained on, so that it can be said in milliseconds, without the
network, whether another image is of that kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.models.normalization import LUMA, USUAL_TOPS, Span, limits_of, to_float

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

LOOKED_AT = 2**14  # pixels, about, that percentiles are taken of
OCTAVES = 5  # from details of 2 pixels to those of 32
# What each number of ``describe_image`` is; the first six distinguish kinds.
NAMES = (
    "median", "bright_share", "skewness", "fine_share", "direction", "colourfulness",
    *(f"octave_{n}" for n in range(1, OCTAVES + 1)), "brightness", "contrast",
)  # fmt: skip
OF_KINDS = len(FLOOR)

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
        First of intensities between the 1st and 99th percentile, scaled to 0 to 1. Median. Share above a
        half. Skewness. Share of fine detail (below two pixels). Logarithm of the detail up and down over
        that left and right. Colourfulness. Share of the variance in details of 2, 4, 8, 16 and 32 pixels.
        Then of intensities as they are, 0 to 1 of the range of their dtype: mean, and distance of these
        percentiles.
        All zero for a constant image. ``NAMES`` has their names.
    """
    import cv2

    middle = _middle(image)
    limits = limits_of(middle)
    span = None if limits is None else Span(limits[0], max(limits[1] - limits[0], TINY))
    values = to_float(middle, span)
    colour = values.shape[2] == 3
    grey = np.asarray(values @ LUMA if colour else values[..., 0], np.float32)
    looked_at = grey.ravel()[:: max(1, grey.size // LOOKED_AT) | 1]  # an odd step meets every column
    low, median, high = (float(v) for v in np.percentile(looked_at, (1, 50, 99)))
    if high - low < FAINTEST:
        return (0.0,) * len(NAMES)
    unit = np.clip((grey - np.float32(low)) / np.float32(high - low), 0, 1)
    mean, spread = _mean_and_spread(unit)
    spread = max(spread, FAINTEST)
    away = unit - np.float32(mean)
    fine = unit - cv2.GaussianBlur(unit, (0, 0), 2)
    down, across = (_steps(unit, axis) + FAINTEST for axis in (0, 1))
    shown = _colourfulness(values) / (high - low) if colour else 0.0
    return (
        (median - low) / (high - low),
        float((unit > 0.5).mean()),
        float((away * away * away).mean()) / spread**3,
        _mean_and_spread(fine)[1] / spread,
        float(np.log(down / across)),
        min(shown, 1.0),
        *_octaves(unit, spread),
        *(value / _top(span) for value in _as_stored(float(grey.mean()), high - low, span)),
    )


def _octaves(unit: NDArray[np.float32], spread: float) -> list[float]:
    """Share of the variance that is lost each time that 2 x 2 pixels become their mean."""
    import cv2

    shares, before = [], spread**2
    for _ in range(OCTAVES):
        height, width = (n // 2 for n in unit.shape)
        if not height or not width:
            shares.append(0.0)
            continue
        even = unit[: 2 * height, : 2 * width]
        unit = np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.float32)
        after = _mean_and_spread(unit)[1] ** 2
        shares.append(max(before - after, 0.0) / spread**2)
        before = after
    return shares


def _mean_and_spread(values: NDArray[np.float32]) -> tuple[float, float]:
    import cv2

    mean, deviation = cv2.meanStdDev(values)
    return float(mean.item()), float(deviation.item())


def _colourfulness(values: NDArray[np.float32]) -> float:
    """Mean distance between the largest and the smallest channel."""
    red, green, blue = (values[..., c] for c in range(3))
    most = np.maximum(np.maximum(red, green), blue)
    return float((most - np.minimum(np.minimum(red, green), blue)).mean())


def _as_stored(mean: float, contrast: float, span: Span | None) -> tuple[float, float]:
    return (mean, contrast) if span is None else (mean * span.size + span.offset, contrast * span.size)


def _top(span: Span | None) -> float:
    """What counts as 1: the top of the dtype, or of the smallest type of a picture that holds the values."""
    if span is None:
        return 1.0
    most = max(abs(span.offset), abs(span.offset + span.size))
    return next((top for top in USUAL_TOPS if most <= top), most)


def _steps(unit: NDArray[np.float32], axis: int) -> float:
    """Mean step along an axis; 0 where there is one pixel alone."""
    return float(np.abs(np.diff(unit, axis=axis)).mean()) if unit.shape[axis] > 1 else 0.0


def middle(size: int) -> slice:
    """The rows, or columns, that are looked at of so many."""
    start = max(0, (size - SIDE) // 2)
    return slice(start, min(start + SIDE, size))


def _middle(image: NDArray[np.generic]) -> NDArray[np.generic]:
    return image[tuple(middle(size) for size in image.shape[:2])]


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
        kinds.setdefault(kind, []).append(statistics[:OF_KINDS])
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
            difference = (np.array(statistics[:OF_KINDS]) - mean) / np.hypot(deviation, FLOOR)
        except (KeyError, TypeError, ValueError):
            continue  # of another program, or damaged: nothing can be said by it
        distance = float(np.sqrt((difference**2).mean()))
        if distance < least:
            best, least = str(kind.get("kind", "")), distance
    return best, least
