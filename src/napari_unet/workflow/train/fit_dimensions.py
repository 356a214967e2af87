"""How many slices of a volume a network sees, and how: by the size of its voxels and by memory."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from napari_unet.data.volumes.said_voxel_size import voxel_size_of
from napari_unet.data.volumes.slices import check_slices, place_of
from napari_unet.data.volumes.voxel_size import ABOUT_CUBIC, CUBIC, parse_voxel_size
from napari_unet.errors import SettingsError
from napari_unet.networks.registry import architecture, check_volumes, flat_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.data.sample import Sample
    from napari_unet.settings import NetworkSettings, TrainingSettings

log = logging.getLogger(__name__)

THICK = 4.0  # times as thick as wide: little continues from slice to slice
FEWEST_SLICES = 16  # of a volume for three dimensions
STEP_VOXELS = 2**18  # of a step of training in three dimensions
VOXEL_BYTES = 160  # that training holds for each voxel of a step and each filter
SHARE = 0.6  # of the free memory that a step may take
SEEN = ((2.0, 7), (4.0, 5))  # slices of 2.5D up to so many times as thick as wide; else the fewest
FEWEST_SEEN = 3
UNKNOWN_SEEN = 5


def fit_dimensions(
    network: NetworkSettings, training: TrainingSettings, scale: float, samples: Sequence[Sample]
) -> tuple[dict[str, Any], str]:
    """Settle what a recipe leaves to the voxels: dimensions, slices, flat levels.

    Parameters
    ----------
    network, training : NetworkSettings, TrainingSettings
        As a person chose them; dimensions other than "2d".
    scale : float
        By which slices are resized.
    samples : sequence of Sample
        Slices to train on.

    Returns
    -------
    network : dict
        Settings of the network that are settled now.
    voxel_size : str
        As settings have it; empty if nobody knows.

    Raises
    ------
    DataError
        If an image is no slice of a volume.
    SettingsError
        If the network cannot be built so.
    """
    check_slices(samples)
    voxel = parse_voxel_size(training.voxel_size) if training.voxel_size else voxel_size_of(samples)
    thick = None if voxel is None else voxel.anisotropy * scale
    chosen, why = network.dimensions, ""
    if chosen == "auto":
        chosen, why = _chosen(network, training, thick, samples)
    changes: dict[str, Any] = {"dimensions": chosen}
    if chosen == "2.5d":
        changes["slices"] = network.slices or _slices_seen(thick)
        how = f"2.5D: each slice is seen with {changes['slices'] - 1} neighbours"
    else:
        changes["slices"] = 0
        changes["flat_levels"] = network.flat_levels
        if "flat_levels" not in network.model_fields_set:
            changes["flat_levels"] = flat_levels(thick, network.depth)
        check_volumes(network.model_copy(update=changes))
        if training.border_weight > 0:
            raise SettingsError(
                f"border_weight={training.border_weight:g} is for two dimensions",
                code="settings.dimensions.setting",
                expected="for 3d: border_weight=0",
                remedy="add --set border_weight=0, or choose dimensions=2.5d",
            )
        how = f"3D, with {changes['flat_levels']} of {network.depth} poolings within slices"
    log.warning("%s, because %s.", how, why or f"{_thickness(thick)} and dimensions={chosen} was chosen")
    return changes, "" if voxel is None else voxel.text


def _chosen(
    network: NetworkSettings, training: TrainingSettings, thick: float | None, samples: Sequence[Sample]
) -> tuple[Any, str]:
    """2.5d or 3d, and why."""
    import psutil

    if not architecture(network.name).takes_volumes:
        return "2.5d", f"the network {network.name} is two-dimensional"
    flat = flat_settings(network)
    if training.border_weight > 0:
        flat.append(f"border_weight={training.border_weight:g}")
    if flat:
        return "2.5d", f"{flat[0]} is for two dimensions"
    if thick is None:
        return "2.5d", "the files do not say how thick a slice is (--set voxel_size=50x5x5nm tells it)"
    if thick > THICK:
        return "2.5d", _thickness(thick)
    places = [place for place in map(place_of, samples[:1]) if place is not None]
    deepest = max((len(place.slices) for place in places), default=0)
    if deepest < FEWEST_SLICES:
        return "2.5d", f"a volume has {deepest} slices"
    needed = VOXEL_BYTES * network.filters * STEP_VOXELS
    free = int(psutil.virtual_memory().available)
    words = f"a step in 3D takes about {needed / 2**30:.1f} GB of memory"
    if needed > SHARE * free:
        return "2.5d", f"{words} and {free / 2**30:.1f} GB are free"
    return "3d", f"{_thickness(thick)} and {words}"


def _slices_seen(thick: float | None) -> int:
    if thick is None:
        return UNKNOWN_SEEN
    return next((count for most, count in SEEN if thick < most), FEWEST_SEEN)


def _thickness(thick: float | None) -> str:
    if thick is None:
        return "the files do not say how thick a slice is"
    if 1 / CUBIC < thick < CUBIC:
        return "a slice is about as thick as a pixel is wide"
    return f"a slice is {thick:.2g} times as thick as a pixel is wide"


def flat_levels(thick: float | None, depth: int) -> int:
    """Levels, from the finest, at which voxels are twice as thick as wide or more.

    Parameters
    ----------
    thick : float or None
        How many times, at the finest level; each pooling within slices halves it.
    depth : int
        Levels there are.
    """
    levels = 0
    while thick is not None and thick >= ABOUT_CUBIC and levels < depth:
        thick /= 2
        levels += 1
    return levels
