"""Patches of volumes: cut, turned and warped, all slices alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.training.feeding.augmentation import (
    Patch,
    change_intensities,
    mirrored_indices,
    sampling_map,
    warp,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_unet.settings import AugmentationSettings

    Array = NDArray  # type: ignore[type-arg]


def cut_volume_patch(
    source: Patch,
    centre: Sequence[float],
    shape: tuple[int, int, int],
    settings: AugmentationSettings,
    rng: np.random.Generator,
    *,
    cubic: bool = False,
) -> Patch:
    """Cut a patch out of a volume, turned, warped and changed as the settings say.

    Flips and quarter turns are within slices, flips also along Z, if the symmetry is "dihedral"; cubic
    voxels are turned about all axes. Rotation, zoom and elastic deformation are within slices. Beyond the
    volume's borders it is mirrored, with weight 0.

    Parameters
    ----------
    source : Patch
        The whole volume, (Z, Y, X, C) and (Z, Y, X).
    centre : sequence of float
        (z, y, x) of the patch's centre in the volume.
    shape : tuple of int
        (Z, Y, X) of the patch.
    settings : AugmentationSettings
        What may be done.
    rng : numpy.random.Generator
        Decides what is done.
    cubic : bool
        Whether voxels are as long along all axes.

    Returns
    -------
    Patch
        Of the shape asked for.
    """
    order = (0, 1, 2)
    flips = [False, False, False]
    if settings.symmetry == "dihedral":
        rest = rng.permutation(3) if cubic else (0, *(1 + rng.permutation(2)))
        order = (int(rest[0]), int(rest[1]), int(rest[2]))
        flips = [bool(flip) for flip in rng.random(3) < 0.5]
    elif settings.symmetry == "horizontal":
        flips[2] = bool(rng.random() < 0.5)
    # Axis n of the patch is axis order[n] of the volume.
    size = [0, 0, 0]
    for axis, length in zip(order, shape, strict=True):
        size[axis] = length
    patch = _window(source, centre, (size[0], size[1], size[2]))

    def turned(array: Array) -> Array:
        array = array.transpose(*order, *range(3, array.ndim))
        return array[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]

    patch = _each(patch, turned)
    warps = settings.rotation > 0 or settings.scale > 0 or settings.elastic > 0
    if warps and rng.random() < settings.warp_probability:
        patch = _warped(patch, settings, rng)
    return Patch(
        change_intensities(np.ascontiguousarray(patch.image), settings, rng),
        patch.labels,
        patch.weights,
        patch.separation,
    )


def _each(patch: Patch, change: Callable[[Array], Array]) -> Patch:
    apart = None if patch.separation is None else change(patch.separation)
    return Patch(change(patch.image), change(patch.labels), change(patch.weights), apart)


def _window(source: Patch, centre: Sequence[float], shape: tuple[int, int, int]) -> Patch:
    """The window around a centre, mirrored where it leaves the volume."""
    have = source.labels.shape
    start = [round(c - (n - 1) / 2) for c, n in zip(centre, shape, strict=True)]
    if all(s >= 0 and s + n <= h for s, n, h in zip(start, shape, have, strict=True)):
        window = tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))
        return _each(source, lambda array: array[window])
    grid = np.ix_(*(mirrored_indices(s, n, h) for s, n, h in zip(start, shape, have, strict=True)))
    patch = _each(source, lambda array: array[grid])
    inside = np.ix_(
        *(
            (np.arange(s, s + n) >= 0) & (np.arange(s, s + n) < h)
            for s, n, h in zip(start, shape, have, strict=True)
        )
    )
    weights = np.zeros(shape, np.float32)
    weights[inside] = patch.weights[inside]
    return Patch(patch.image, patch.labels, weights, patch.separation)


def _warped(patch: Patch, settings: AugmentationSettings, rng: np.random.Generator) -> Patch:
    """All slices warped alike."""
    depth, height, width = patch.labels.shape
    middle = (height - 1) / 2, (width - 1) / 2
    sampling = sampling_map(middle, (height, width), settings, rng)
    slices: list[Patch] = []
    for z in range(depth):
        apart = None if patch.separation is None else np.ascontiguousarray(patch.separation[z])
        labels, weights = (np.ascontiguousarray(array[z]) for array in (patch.labels, patch.weights))
        slices.append(warp(Patch(np.ascontiguousarray(patch.image[z]), labels, weights, apart), sampling))
    image, labels, weights = (
        np.stack([getattr(one, name) for one in slices]) for name in ("image", "labels", "weights")
    )
    deep = [one.separation for one in slices if one.separation is not None]
    return Patch(image, labels, weights, np.stack(deep) if deep else None)
