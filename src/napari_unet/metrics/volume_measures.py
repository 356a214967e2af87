"""Measurements of objects in three dimensions: volume, surface, sphericity."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# One of each two opposite directions from a voxel to those around it, (z, y, x).
DIRECTIONS = tuple(step for step in product((-1, 0, 1), repeat=3) if step > (0, 0, 0))
IN_VOXELS = (
    "volume_voxels", "centroid_z_px", "centroid_y_px", "centroid_x_px",
    "front", "top", "left", "back", "bottom", "right",
)  # fmt: skip
IN_UNITS = (
    "volume", "surface", "sphericity", "equivalent_diameter", "centroid_z", "centroid_y", "centroid_x",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class VolumeTable:
    """Measurements of the objects of a volume.

    Attributes
    ----------
    columns : dict
        Name to (N,) values, N objects by rising number: "object" and "label" (its class, 1..K) are int64,
        all others float64.
    unit : str
        Of lengths; empty where the size of a voxel is not known. Then a voxel is one long along all axes.
    """

    columns: dict[str, NDArray[np.generic]]
    unit: str = ""

    def __len__(self) -> int:
        return len(self.columns["object"])


def measure_volume_objects(
    objects: NDArray[np.integer],
    classes: NDArray[np.integer] | None = None,
    spacing: tuple[float, float, float] | None = None,
    unit: str = "",
) -> VolumeTable:
    """Measure every object of a volume.

    The volume is read slice by slice, so that it may be anything that has its shape and gives its slices.

    Parameters
    ----------
    objects : numpy.ndarray
        (Z, Y, X) integers, 0 background, one number an object; objects may touch.
    classes : numpy.ndarray, optional
        (highest number + 1,) integers: the class 1..K of each object; 1 without it.
    spacing : tuple of float, optional
        Length of the sides of a voxel, (z, y, x), in `unit`; all are 1 without it.
    unit : str
        Of the spacing.

    Returns
    -------
    VolumeTable
        Without a spacing, lengths are in voxels.

    Notes
    -----
    - ``surface`` is that of Crofton in 13 directions, with weights of the directions that suit voxels with
      unequal sides. That of balls is right within 3 %, flat faces along the axes come out about a tenth too
      small; counting faces of voxels would make a ball half as large again. Where an object is cut by the
      border of the volume, the cut is part of its surface.
    - ``sphericity`` is the surface of a ball of the same volume over the object's, at most 1 (Wadell 1935,
      doi:10.1086/624298).
    - ``equivalent_diameter`` is that of a ball of the same volume.
    - Centroids count from the centre of the first voxel. A box goes from front, top and left up to, not
      including, back, bottom and right.

    References
    ----------
    Legland et al. 2007, Image Analysis & Stereology 26, 83, doi:10.5566/ias.v26.p83-92 (surfaces on voxels).
    """
    sz, sy, sx = spacing or (1.0, 1.0, 1.0)
    sums = _Counted()
    before: NDArray[np.integer] | None = None
    for z in range(objects.shape[0]):
        here = np.asarray(objects[z])
        sums.add(z, here)
        sums.cross(before, here)
        before = here
    if before is not None:
        sums.cross(before, np.zeros_like(before))
    numbers = np.flatnonzero(sums.voxels)
    voxels = sums.voxels[numbers]
    of_voxel = sz * sy * sx
    surface = np.zeros(len(numbers))
    for step, weight in zip(DIRECTIONS, direction_weights(sz, sy, sx), strict=True):
        length = float(np.linalg.norm(np.multiply(step, (sz, sy, sx))))
        surface += 2 * weight * sums.crossings[step][numbers] * of_voxel / length
    volume = voxels * of_voxel
    with np.errstate(divide="ignore", invalid="ignore"):
        sphericity = np.minimum(1.0, np.pi ** (1 / 3) * (6 * volume) ** (2 / 3) / surface)
    centres = [total[numbers] / voxels for total in sums.places]
    boxes = [low[numbers] for low in sums.lows] + [high[numbers] for high in sums.highs]
    known = np.ones(len(numbers), np.int64) if classes is None else np.asarray(classes)[numbers]
    columns: dict[str, NDArray[np.generic]] = {
        "object": numbers.astype(np.int64),
        "label": known.astype(np.int64),
    }
    in_voxels = (voxels, *centres, *boxes)
    columns |= dict(zip(IN_VOXELS, (np.asarray(v, np.float64) for v in in_voxels), strict=True))
    diameter = (6 * volume / np.pi) ** (1 / 3)
    scaled = [centre * side for centre, side in zip(centres, (sz, sy, sx), strict=True)]
    columns |= dict(zip(IN_UNITS, (volume, surface, sphericity, diameter, *scaled), strict=True))
    return VolumeTable(columns, unit if spacing is not None else "")


def direction_weights(sz: float, sy: float, sx: float) -> NDArray[np.float64]:
    """Share of all directions that is nearest to each of the 13.

    Parameters
    ----------
    sz, sy, sx : float
        Sides of a voxel.

    Returns
    -------
    numpy.ndarray
        (13,) float64, of ``DIRECTIONS``; they make 1 together.
    """
    from scipy.spatial import SphericalVoronoi

    ends = np.array(DIRECTIONS, np.float64) * (sz, sy, sx)
    ends /= np.linalg.norm(ends, axis=1, keepdims=True)
    areas = SphericalVoronoi(np.concatenate([ends, -ends])).calculate_areas()
    shares = areas[: len(ends)] / areas[: len(ends)].sum()
    return np.asarray(shares, np.float64)


class _Counted:
    """What is counted of each object, slice after slice; arrays by the object's number."""

    def __init__(self) -> None:
        self.voxels = np.zeros(1)
        self.places = [np.zeros(1) for _ in range(3)]
        self.lows = [np.zeros(1) for _ in range(3)]
        self.highs = [np.zeros(1) for _ in range(3)]
        self.crossings = {step: np.zeros(1) for step in DIRECTIONS}

    def _grow(self, size: int) -> None:
        more = size - len(self.voxels)
        if more <= 0:
            return

        def longer(values: NDArray[np.float64], filled: float = 0.0) -> NDArray[np.float64]:
            return np.concatenate([values, np.full(more, filled)])

        self.voxels = longer(self.voxels)
        self.places = [longer(p) for p in self.places]
        self.lows = [longer(p, np.inf) for p in self.lows]
        self.highs = [longer(p) for p in self.highs]
        self.crossings = {step: longer(counts) for step, counts in self.crossings.items()}

    def add(self, z: int, here: NDArray[np.integer]) -> None:
        """Count the voxels of a slice."""
        y, x = np.nonzero(here)
        numbers = here[y, x].astype(np.int64)
        if not numbers.size:
            return
        self._grow(int(numbers.max()) + 1)
        size = len(self.voxels)
        self.voxels += np.bincount(numbers, minlength=size)
        for axis, place in enumerate((np.full(len(numbers), z), y, x)):
            self.places[axis] += np.bincount(numbers, place, minlength=size)
            np.minimum.at(self.lows[axis], numbers, place)
            np.maximum.at(self.highs[axis], numbers, place + 1)

    def cross(self, before: NDArray[np.integer] | None, here: NDArray[np.integer]) -> None:
        """Count how often lines in each direction enter or leave an object between two slices, or within."""
        wide = np.pad(here, 1)
        behind = np.zeros_like(wide) if before is None else np.pad(before, 1)
        for dz, dy, dx in DIRECTIONS:
            first = behind if dz else wide
            one = first[max(-dy, 0) : first.shape[0] - max(dy, 0), max(-dx, 0) : first.shape[1] - max(dx, 0)]
            other = wide[max(dy, 0) : wide.shape[0] + min(dy, 0), max(dx, 0) : wide.shape[1] + min(dx, 0)]
            differ = one != other
            ends = np.concatenate([one[differ], other[differ]]).astype(np.int64)
            counts = self.crossings[(dz, dy, dx)]
            found = np.bincount(ends, minlength=len(counts))
            found[0] = 0
            counts += found[: len(counts)]
