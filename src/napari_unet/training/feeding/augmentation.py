"""Random changes to image, labels and weights together, and the cutting of patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.settings import AugmentationSettings

ELASTIC_GRID = 3  # control points either way, as in the paper


@dataclass(frozen=True, eq=False)
class Patch:
    """What the network sees of one image, and what it should say.

    Attributes
    ----------
    image : numpy.ndarray
        (Y, X, C) float32.
    labels : numpy.ndarray
        (Y, X) uint8.
    weights : numpy.ndarray
        (Y, X) float32, 0 outside the image and where nothing is annotated.
    separation : numpy.ndarray or None
        (Y, X) float32 in [0, 1], what tells touching objects apart; negative where that is not known.
    """

    image: NDArray[np.float32]
    labels: NDArray[np.uint8]
    weights: NDArray[np.float32]
    separation: NDArray[np.float32] | None = None


def cut_patch(
    source: Patch,
    centre: tuple[float, float],
    shape: tuple[int, int],
    settings: AugmentationSettings,
    rng: np.random.Generator,
) -> Patch:
    """Cut a patch out of an image, warped and changed as the settings say.

    Beyond the image's borders the image is mirrored, as in the paper, with weight 0.

    Parameters
    ----------
    source : Patch
        The whole image.
    centre : tuple of float
        (y, x) of the patch's centre in the image.
    shape : tuple of int
        (Y, X) of the patch.
    settings : AugmentationSettings
        What may be done.
    rng : numpy.random.Generator
        Decides what is done.

    Returns
    -------
    Patch
        Of the shape asked for.
    """
    turns = int(rng.integers(4)) if settings.symmetry == "dihedral" else 0
    flip = settings.symmetry != "none" and rng.random() < 0.5
    size = shape[::-1] if turns % 2 else shape
    warps = settings.rotation > 0 or settings.scale > 0 or settings.elastic > 0
    if warps and rng.random() < settings.warp_probability:
        patch = warp(source, sampling_map(centre, size, settings, rng))
    else:
        patch = _window(source, centre, size)
    image, labels, weights = (_turn(a, turns, flip) for a in (patch.image, patch.labels, patch.weights))
    separation = None if patch.separation is None else _turn(patch.separation, turns, flip)
    return Patch(change_intensities(image, settings, rng), labels, weights, separation)


def _turn(array: NDArray, turns: int, flip: bool) -> NDArray:  # type: ignore[type-arg]
    array = np.rot90(array, turns) if turns else array
    return array[:, ::-1] if flip else array


def _window(source: Patch, centre: tuple[float, float], shape: tuple[int, int]) -> Patch:
    """The window around a centre, mirrored where it leaves the image."""
    have = source.labels.shape
    start = [round(c - (n - 1) / 2) for c, n in zip(centre, shape, strict=True)]
    inside = [(max(s, 0), min(s + n, h)) for s, n, h in zip(start, shape, have, strict=True)]
    if all(b - a == n for (a, b), n in zip(inside, shape, strict=True)):
        window = tuple(slice(a, b) for a, b in inside)
        separation = None if source.separation is None else source.separation[window]
        return Patch(source.image[window], source.labels[window], source.weights[window], separation)
    rows, columns = (mirrored_indices(s, n, h) for s, n, h in zip(start, shape, have, strict=True))
    grid = np.ix_(rows, columns)
    weights = np.zeros(shape, np.float32)
    (y0, y1), (x0, x1) = inside
    if y1 > y0 and x1 > x0:
        weights[y0 - start[0] : y1 - start[0], x0 - start[1] : x1 - start[1]] = source.weights[y0:y1, x0:x1]
    separation = None if source.separation is None else source.separation[grid]
    return Patch(source.image[grid], source.labels[grid], weights, separation)


def mirrored_indices(start: int, count: int, size: int) -> NDArray[np.intp]:
    """Indices start..start + count along an axis of `size`, mirrored at its ends without repeat.

    Returns
    -------
    numpy.ndarray
        (count,) in 0..size - 1.
    """
    period = max(2 * size - 2, 1)
    wrapped = np.arange(start, start + count) % period
    return np.where(wrapped < size, wrapped, period - wrapped)


def sampling_map(
    centre: tuple[float, float],
    shape: tuple[int, int],
    settings: AugmentationSettings,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Random turn, zoom, deformation: (Y, X, 2) float32, x and y that each pixel of the patch comes from."""
    import cv2

    angle = np.deg2rad(rng.uniform(-settings.rotation, settings.rotation))
    zoom = np.exp(rng.uniform(-1, 1) * np.log1p(settings.scale))
    y = np.arange(shape[0], dtype=np.float32)[:, None] - (shape[0] - 1) / 2
    x = np.arange(shape[1], dtype=np.float32)[None, :] - (shape[1] - 1) / 2
    cos, sin = np.float32(np.cos(angle) / zoom), np.float32(np.sin(angle) / zoom)
    sampling = np.empty((*shape, 2), np.float32)
    sampling[..., 0] = cos * x - sin * y + np.float32(centre[1])
    sampling[..., 1] = sin * x + cos * y + np.float32(centre[0])
    if settings.elastic > 0:
        coarse = rng.normal(0, settings.elastic, (ELASTIC_GRID, ELASTIC_GRID, 2)).astype(np.float32)
        sampling += cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return sampling


def warp(source: Patch, sampling: NDArray[np.float32]) -> Patch:
    """The patch whose pixels come from these places, (Y, X, 2) float32: x and y in the source."""
    import cv2

    channels = [
        cv2.remap(
            np.ascontiguousarray(source.image[..., c : c + 4]),
            sampling,
            None,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        ).reshape(*sampling.shape[:2], -1)
        for c in range(0, source.image.shape[2], 4)
    ]
    nearest = cv2.INTER_NEAREST
    labels = cv2.remap(source.labels, sampling, None, nearest, borderMode=cv2.BORDER_REFLECT_101)
    weights = cv2.remap(
        source.weights, sampling, None, nearest, borderMode=cv2.BORDER_CONSTANT, borderValue=0.0
    )
    separation = None
    if source.separation is not None:
        separation = cv2.remap(source.separation, sampling, None, nearest, borderMode=cv2.BORDER_REFLECT_101)
    image = channels[0] if len(channels) == 1 else np.concatenate(channels, axis=2)
    return Patch(image, labels, weights, separation)


def change_intensities(
    image: NDArray[np.float32], settings: AugmentationSettings, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Random brightness, contrast, gamma, uneven light, blur, noise, and exchange of bright and dark.

    Parameters
    ----------
    image : numpy.ndarray
        (Y, X, C) float32, about mean 0 and deviation 1.
    settings : AugmentationSettings
        How much of each.
    rng : numpy.random.Generator
        Decides how much.

    Returns
    -------
    numpy.ndarray
        (Y, X, C) float32.
    """
    import cv2

    gain, shift = np.float32(1), np.float32(0)
    if settings.invert > 0 and rng.random() < settings.invert:
        image = -image
    if settings.contrast > 0:
        gain = np.float32(np.exp(rng.uniform(-1, 1) * np.log1p(settings.contrast)))
    if settings.brightness > 0:
        shift = np.float32(rng.uniform(-settings.brightness, settings.brightness))
    if settings.gamma > 0:
        exponent = float(np.exp(rng.uniform(-1, 1) * np.log1p(settings.gamma)))
        low, high = float(image.min()), float(image.max())
        if high > low:
            unit = np.ascontiguousarray((image - low) / (high - low))
            bent = cv2.pow(unit, exponent).reshape(image.shape)
            image = bent * np.float32(high - low) + np.float32(low)
    if gain != 1 or shift != 0:
        image = image * gain + shift
    if settings.shading > 0:
        image = shade(image, settings.shading, rng)
    if settings.blur > 0:
        spread = float(rng.uniform(0, settings.blur))
        if spread > 0.1:  # less is no blur
            image = cv2.GaussianBlur(image, (0, 0), spread).reshape(image.shape)
    if settings.noise > 0:
        amount = np.float32(rng.uniform(0, settings.noise))
        image = image + amount * rng.standard_normal(image.shape, dtype=np.float32)
    return image


def shade(image: NDArray[np.float32], amount: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Light that is uneven: brighter here, darker there, as a lamp or the background of a slide makes it.

    Parameters
    ----------
    image : numpy.ndarray
        (Y, X, C) float32, about mean 0 and deviation 1.
    amount : float
        What is above the darkest pixel is multiplied by 1 / (1 + amount) to 1 + amount, and the result
        lifted or lowered by up to `amount`. Both are fields that a coarse 3x3 grid spans.
    rng : numpy.random.Generator
        Decides where.

    Returns
    -------
    numpy.ndarray
        (Y, X, C) float32.
    """
    import cv2

    coarse = rng.uniform(-1, 1, (ELASTIC_GRID, ELASTIC_GRID, 2)).astype(np.float32)
    fields: NDArray[np.float32] = cv2.resize(coarse, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    low = image.min()
    gain: NDArray[np.float32] = np.exp(fields[..., :1] * np.float32(np.log1p(amount)))
    shaded: NDArray[np.float32] = (image - low) * gain + (low + np.float32(amount) * fields[..., 1:])
    return shaded
