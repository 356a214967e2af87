"""Volumes that are never in memory as a whole, on their way to a mask: what is decided before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.volumes.lazy_volume import LazyVolume, voxels_of
from napari_unet.export.ome_zarr import LabelShape
from napari_unet.inference.budget import ALWAYS, GIGABYTE, NATIVE_SPARE, SPARE
from napari_unet.inference.tiling import TILE_VOXELS
from napari_unet.inference.volumes.several_plans import SeveralPlans
from napari_unet.inference.volumes.volume_blocks import VolumePlan, plan_volume_blocks
from napari_unet.models import native
from napari_unet.models.ensemble import Ensemble
from napari_unet.models.intensities import Intensities, measure, prepare_part
from napari_unet.models.normalization import scaled_shape
from napari_unet.networks.graphs.cost import held_values
from napari_unet.settings import SEPARATION_CHANNELS
from napari_unet.workflow.inputs.pixel_scaling import resizing
from napari_unet.workflow.large_images.plan import Block, LargeImage, check_channels
from napari_unet.workflow.large_images.volumes.tile_answers import TileAnswers
from napari_unet.workflow.segment.segment_volumes import one_answer_only

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.data.files.lazy_stack import LazyStack
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.models.normalization import Normalization
    from napari_unet.settings import InferenceSettings, LargeImageSettings

LOOKED_AT = 64  # voxels; what is held grows with the number of voxels


class VolumeIntensities(Intensities):
    """The numbers by which every part of a volume is prepared as the whole would be.

    Attributes
    ----------
    blank : tuple of int
        Numbers of the slices in which all pixels that hold data are equal: nothing is marked there.
    """

    blank: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class LargeVolume(LargeImage):
    """Everything that decides what becomes of volumes, and how it is gone about.

    A block is a tile of ``VolumePlan``; the files of the result are its cells.
    """

    stack: LazyVolume  # type: ignore[assignment]
    plan: VolumePlan  # type: ignore[assignment]
    chunk: tuple[int, ...]  # type: ignore[assignment]

    def pixels(self, block: Block) -> int:
        """Voxels of the result."""
        return voxels_of(*self.plan.result(block.number)) // max(len(self.members), 1)

    def lacking(self, there: set[tuple[int, ...]], store: Path) -> list[Block]:
        """The tiles whose answers are needed still.

        Parameters
        ----------
        there : set of tuple
            Numbers of the files of the result that are there.
        store : pathlib.Path
            Where answers of tiles are.
        """
        found = []
        for image, index in enumerate(self.stack.indices):
            answers = TileAnswers(store, image)
            tiles: set[int] = set()
            for cell in range(self.plan.cells):
                if (*index, *self.plan.place(cell)) in there:
                    continue
                needed = self.plan.tiles_of(cell)
                lack = [tile for tile in needed if not answers.has(tile)]
                # A kill may come between the last answer and the cell: one of them is asked again then.
                tiles.update(lack or needed[-1:])
            found += [Block(image, tile) for tile in sorted(tiles)]
        return found

    def label_shape(self, dtype: str) -> LabelShape:
        """What the labels are like."""
        stack = self.stack
        return LabelShape(
            stack.leading, stack.size, self.chunk, dtype, stack.pixel_size, stack.slices.slice_distance
        )

    @property
    def tiles(self) -> list[int]:
        """What decides the result where there are others than if all memory was there."""
        return list(self.plan.tile_shape)

    def measure(self, image: int) -> Intensities:
        """Look at one volume, as its normalization wants it."""
        index, (deep, height, width) = self.stack.indices[image], self.stack.size

        found = measure(self.normalization, lambda: self.stack.parts(index), (deep * height, width))
        return VolumeIntensities(**found.model_dump(), blank=self._blank(index))

    def _blank(self, index: tuple[int, ...]) -> tuple[int, ...]:
        """Numbers of the slices in which there is nothing to see."""
        from napari_unet.models.normalization import known_pixels

        height = self.stack.size[1]
        first: dict[int, NDArray[Any]] = {}
        seen: set[int] = set()
        for rows, _, values in self.stack.parts(index):
            z = rows.start // height
            if z in seen:
                continue
            known = known_pixels(values)
            flat = values.reshape(-1, values.shape[2]) if known is None else values[known]
            if z not in first and len(flat):
                first[z] = flat[0]
            if z in first and bool((flat != first[z]).any()):
                seen.add(z)
        return tuple(z for z in range(self.stack.size[0]) if z not in seen)

    def read_tile(self, block: Block, intensities: Intensities) -> NDArray[np.float32]:
        """Read what the network is shown: (Z, Y, X, C) float32."""
        index = self.stack.indices[block.image]
        values = self.stack.read(index, *self.plan.source(block.number))
        prepared = prepare_volume(self.normalization, values, intensities, self.stack.name)
        return self.plan.cut(prepared, block.number)

    @cached_property
    def cells(self) -> int:
        """Of all volumes."""
        return len(self.stack.indices) * self.plan.cells


def prepare_volume(
    normalization: Normalization, values: NDArray[np.generic], intensities: Intensities, name: str
) -> NDArray[np.float32]:
    """As ``prepare_part``, of (Z, Y, X, C)."""
    deep, height, width, channels = values.shape
    tall = prepare_part(normalization, values.reshape(deep * height, width, channels), intensities, name)
    return tall.reshape(deep, height, width, -1)


def plan_large_volume(
    stack: LazyStack,
    model: AnyModel,
    settings: InferenceSettings,
    large: LargeImageSettings,
    chunk: tuple[int, ...] | None = None,
    *,
    apart: bool = False,
    disagreement: bool = False,
) -> LargeVolume:
    """Decide how the volumes of a stack are gone about.

    Parameters
    ----------
    stack : LazyStack
        With an axis z.
    model : Model or Ensemble
        Whose networks take volumes.
    settings : InferenceSettings
        Flips, threshold, minimum size.
    large : LargeImageSettings
        Memory. As many voxels go into a tile as if the volume was in memory, where that suffices.
    chunk : tuple of int, optional
        (Z, Y, X) of the files of a result that was begun.
    apart : bool
        Whether what the network says to tell objects apart is wanted.
    disagreement : bool
        Whether it is wanted how far the members of an ensemble lie apart.

    Raises
    ------
    DataError
        If the stack has no axis z.
    ModelError
        If the channels do not fit the model, or one model would have to be compared with itself.
    """
    if isinstance(model, Ensemble):
        planned = []
        for _, one in model.models():
            planned.append(plan_large_volume(stack, one, settings, large, chunk, apart=apart))
            chunk = planned[0].chunk
        return several(planned, model, disagreement, apart)
    if disagreement:
        raise one_answer_only()
    volume = LazyVolume(stack)
    check_channels(stack, model)
    network = model.inference_network
    outputs, channels = model.recipe.network.outputs, stack.shape[2]
    looked_at = [one.at_least(LOOKED_AT) for one in model.sizes.per_axis(3)]
    halved = any(layer.compute_dtype in {"float16", "bfloat16"} for layer in network.layers)
    held = held_values(network, tuple(looked_at)) / np.prod(looked_at)
    spare = NATIVE_SPARE if native.is_wanted(network) else SPARE
    each = held * (2 if halved else 4) * spare + 4.0 * (3 * channels + 3 * outputs)
    fitting = max(large.memory * GIGABYTE - ALWAYS, 0) / each
    y, x = resizing(model, stack.pixel_size)
    height, width = volume.size[1:]
    shown = scaled_shape((height, width), y)[0], scaled_shape((height, width), x)[1]
    cell = None if chunk is None else (chunk[-3], chunk[-2], chunk[-1])
    plan = plan_volume_blocks(volume.size, shown, model.sizes, int(min(TILE_VOXELS, fitting)), cell)
    usual = plan_volume_blocks(volume.size, shown, model.sizes, TILE_VOXELS, cell)
    exact = plan.tile_shape == usual.tile_shape
    wanted = len(model.classes) + (SEPARATION_CHANNELS[model.recipe.network.separation] if apart else 0)
    return LargeVolume(volume, settings, plan, 1, plan.cell, exact, model.normalization, wanted)


def several(planned: Sequence[LargeVolume], model: AnyModel, spread: bool, apart: bool) -> LargeVolume:
    """How the members of an ensemble, or one model as a voice for each axis, go about volumes together.

    Parameters
    ----------
    planned : sequence of LargeVolume
        How each does, with the same cells.
    model : Model or Ensemble
        Which it is.
    spread, apart : bool
        As ``plan_large_volume`` takes them, `disagreement` and `apart`.
    """
    classes, first = len(model.classes), planned[0]
    weights = [m.weight for m in model.members] if isinstance(model, Ensemble) else [1.0]
    # What tells objects apart counts only if all members say it.
    channels = classes + (SEPARATION_CHANNELS[model.recipe.network.separation] if apart else 0)
    plans = tuple(one.plan for one in planned)
    plan = SeveralPlans(first.plan.full, first.plan.cell, plans, tuple(weights), classes, spread)
    exact = all(one.exact for one in planned)
    members = tuple(replace(one, channels=channels) for one in planned)
    return replace(
        first, plan=plan, exact=exact, channels=channels, members=members, spread=spread,  # type: ignore[arg-type]
    )  # fmt: skip
