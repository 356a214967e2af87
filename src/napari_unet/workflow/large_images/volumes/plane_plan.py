"""Volumes that are never in memory as a whole, seen in three planes by a network of images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.volumes.lazy_volume import PART_VOXELS, LazyVolume, voxels_of
from napari_unet.data.volumes.voxel_size import VoxelSize
from napari_unet.inference.budget import ALWAYS, GIGABYTE, NATIVE_SPARE, SPARE
from napari_unet.inference.predict import BATCH_PIXELS
from napari_unet.inference.volumes.plane_blocks import SLAB_VOXELS, PlanePlan, plan_plane_blocks
from napari_unet.models import native
from napari_unet.models.ensemble import Ensemble
from napari_unet.models.intensities import Intensities, measure, prepare_part
from napari_unet.models.volumes.normalized_volume import normalization_of_slices
from napari_unet.networks.graphs.cost import held_values
from napari_unet.settings import SEPARATION_CHANNELS
from napari_unet.workflow.inputs.pixel_scaling import resizing
from napari_unet.workflow.large_images.plan import Block, check_channels
from napari_unet.workflow.large_images.volumes.volume_plan import (
    LargeVolume,
    VolumeIntensities,
    several,
)
from napari_unet.workflow.segment.three_planes import (
    check_cubic,
    check_planes,
    note_unknown_size,
    plane_network,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_unet.data.files.lazy_stack import LazyStack
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.models.model import Model
    from napari_unet.settings import InferenceSettings, LargeImageSettings

LOOKED_AT = 256  # pixels; what is held grows with the area


class PlaneIntensities(VolumeIntensities):
    """The numbers by which every part of each slice is prepared as the whole slice would be.

    Attributes
    ----------
    slices : tuple of Intensities
        Of every slice.
    """

    slices: tuple[Intensities, ...] = ()


@dataclass(frozen=True, eq=False)
class PlaneVolume(LargeVolume):
    """Everything that decides what becomes of volumes in three planes. A block is a slab of planes.

    Its normalization is that of single slices, not resized.

    Attributes
    ----------
    scales : tuple of float
        By which planes are resized along Z, Y and X.
    """

    plan: PlanePlan  # type: ignore[assignment]
    scales: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def pixels(self, block: Block) -> int:
        """Voxels of the result, of which each is answered for three times."""
        return voxels_of(*self.plan.result(block.number)) // (3 * max(len(self.members), 1))

    def measure(self, image: int) -> Intensities:
        """Look at each slice of one volume, as the normalization wants it."""
        index, (deep, height, width) = self.stack.indices[image], self.stack.size
        # Slices that the source reads at once are read once, where they fit into memory.
        together = max(1, min(self.stack.thickness, PART_VOXELS // (height * width)))
        found: list[Intensities] = []
        for first in range(0, deep, together):
            depth = slice(first, min(first + together, deep))
            if together == 1:
                at = self.stack.slice_index(index, first)
                read = partial(self.stack.slices.parts, at)  # type: ignore[arg-type]
                found.append(measure(self.normalization, read, (height, width)))
                continue
            rows, columns = slice(0, height), slice(0, width)
            for one in self.stack.read(index, depth, rows, columns):
                part = [(rows, columns, one)]
                found.append(measure(self.normalization, partial(iter, part), (height, width)))
        blank = tuple(z for z, one in enumerate(found) if one.constant)
        return PlaneIntensities(slices=tuple(found), blank=blank, constant=len(blank) == deep)

    def read_tile(self, block: Block, intensities: Intensities) -> NDArray[np.float32]:
        """Read what the network is shown of a slab: (N, A, B, C) float32, with neighbours."""
        assert isinstance(intensities, PlaneIntensities)
        box = self.plan.source(block.number)
        values = self.stack.read(self.stack.indices[block.image], *box)
        prepared = np.stack(
            [
                prepare_part(self.normalization, one, intensities.slices[z], self.stack.name)
                for z, one in enumerate(values, start=box[0].start)
            ]
        )
        axis, _, _ = self.plan.slab(block.number)
        return np.moveaxis(prepared, axis, 0)


class PlaneRunner:
    """Runs slabs of planes.

    Parameters
    ----------
    large : PlaneVolume
        How it is gone about.
    model : Model
        That answers.
    """

    def __init__(self, large: PlaneVolume, model: Model) -> None:
        self.plan = large.plan
        self.network = plane_network(model, large.settings, large.scales)

    def run(self, blocks: Sequence[Block], tiles: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float16]]:
        """What the network says of slabs, (N, A, B, K) float16 each."""
        found = []
        for block, tile in zip(blocks, tiles, strict=True):
            axis, _, _ = self.plan.slab(block.number)
            found.append(np.stack(list(self.network.answers(tile, axis, self.plan.wanted(block.number)))))
        return found


def plan_planes(
    stack: LazyStack,
    model: AnyModel,
    settings: InferenceSettings,
    large: LargeImageSettings,
    chunk: tuple[int, ...] | None = None,
    *,
    apart: bool = False,
    disagreement: bool = False,
) -> LargeVolume:
    """Decide how the volumes of a stack are gone about in three planes.

    Parameters
    ----------
    stack : LazyStack
        With an axis z, each slice alone.
    model : Model
        Whose network takes images.
    settings, large, chunk, apart
        As ``plan_large_volume``.
    disagreement : bool
        Whether it is wanted how far answers along the axes, of all members of an ensemble, lie apart.

    Raises
    ------
    DataError
        If the stack has no axis z, or its voxels are not about cubic.
    ModelError
        If the channels do not fit the model.
    SettingsError
        If the answers of the network cannot be averaged so.
    """
    check_planes(model.recipe.network, settings)
    if isinstance(model, Ensemble) or disagreement:
        planned: list[LargeVolume] = []
        for one in (one for _, one in model.models()) if isinstance(model, Ensemble) else [model]:
            planned.append(plan_planes(stack, one, settings, large, chunk, apart=apart))
            chunk = planned[0].chunk
        return several(planned, model, disagreement, apart)
    volume = LazyVolume(stack)
    pixel, distance = stack.pixel_size, stack.slice_distance
    voxel = None if pixel is None or distance is None else VoxelSize(distance, pixel)
    if not check_cubic(stack.name, voxel, model):
        note_unknown_size()
    slices = model.recipe.network.seen_slices
    check_channels(stack.with_neighbours(slices) if slices > 1 else stack, model)
    y, x = resizing(model, pixel)
    fitting = _fitting(model, settings, large, volume)
    cell = None if chunk is None else (chunk[-3], chunk[-2], chunk[-1])
    plan = plan_plane_blocks(volume.size, slices // 2, int(min(SLAB_VOXELS, fitting)), cell)
    usual = plan_plane_blocks(volume.size, slices // 2, SLAB_VOXELS, cell)
    wanted = len(model.classes) + (SEPARATION_CHANNELS[model.recipe.network.separation] if apart else 0)
    return PlaneVolume(
        volume, settings, plan, 1, plan.cell, plan.slabs == usual.slabs,
        normalization_of_slices(model.normalization, slices), wanted, scales=((y + x) / 2, y, x),
    )  # fmt: skip


def _fitting(
    model: Model, settings: InferenceSettings, large: LargeImageSettings, volume: LazyVolume
) -> float:
    """Voxels of a slab that fit into memory: one that is read, one that is answered for, one written."""
    network = model.inference_network
    side = model.sizes.at_least(LOOKED_AT)
    halved = any(layer.compute_dtype in {"float16", "bfloat16"} for layer in network.layers)
    held = held_values(network, (side, side)) / side**2 * (2 if halved else 4)
    held *= NATIVE_SPARE if native.is_wanted(network) else SPARE
    batch = max(settings.batch_pixels or BATCH_PIXELS, settings.tile**2)
    free = large.memory * GIGABYTE - ALWAYS - held * batch
    raw = volume.shape[2] * (8 + np.dtype(volume.slices.dtype).itemsize)
    return float(max(free, 0.0) / (2 * raw + 8 * model.recipe.network.outputs))
