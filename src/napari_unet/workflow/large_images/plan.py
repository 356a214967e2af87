"""A large image on its way to a mask: what is decided before, and one block after another."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from napari_unet.engine.hardware import has_gpu
from napari_unet.errors import ModelError
from napari_unet.export.ome_zarr import LabelShape
from napari_unet.inference.blocks import BlockPlan, plan_blocks
from napari_unet.inference.budget import NATIVE_SPARE, SPARE, TileCost, batch_for, fit
from napari_unet.inference.ensembles.ensemble import flips_of
from napari_unet.inference.predict import (
    FLIPS,
)
from napari_unet.inference.shared_tiles import SharedTiles, plan_shared_tiles
from napari_unet.models import native
from napari_unet.models.ensemble import Ensemble
from napari_unet.models.intensities import Intensities, are_constant, measure, prepare_part
from napari_unet.models.normalization import known_pixels, scaled_shape
from napari_unet.networks.graphs.cost import reach
from napari_unet.networks.graphs.partial_output import partial_output
from napari_unet.networks.registry import architecture, check_sees_one_slice
from napari_unet.settings import RAYS, SEPARATION_CHANNELS
from napari_unet.workflow.inputs.pixel_scaling import resizing
from napari_unet.workflow.segment.segment_samples import GPU_BATCH_PIXELS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.data.files.lazy_stack import LazyStack
    from napari_unet.inference.predict import Flip
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.models.model import Model
    from napari_unet.models.normalization import Normalization
    from napari_unet.settings import InferenceSettings, LargeImageSettings

    Network = Callable[[NDArray[np.float32]], NDArray[np.float32]]

log = logging.getLogger(__name__)
LARGEST_CHUNK = 1024  # pixels of a file of the result, either way


@dataclass(frozen=True)
class Block:
    """A part of one image of a stack: which image, which block of it."""

    image: int
    number: int


@dataclass(frozen=True, eq=False)
class LargeImage:
    """Everything that decides what becomes of a stack, and how it is gone about.

    Attributes
    ----------
    stack : LazyStack
        The images.
    settings : InferenceSettings
        Flips, threshold, minimum size.
    plan : BlockPlan
        Of each image.
    batch : int
        Tiles that run together.
    chunk : tuple of int
        (Y, X) of a file of the result.
    exact : bool
        Whether blocks see all that the network does, so that the result does not depend on the plan.
    normalization : Normalization
        How the network wants the images.
    channels : int
        How many of the network's answers are wanted: classes, and what tells objects apart.
    rays : int
        How many of them, the last, are distances along rays.
    weight : float
        Share of the network in the answer.
    shared : SharedTiles or None
        Tiles of a network whose blocks share them.
    members : tuple of LargeImage
        The same blocks, as each voice goes about them: the members of an ensemble, or one model that is asked
        about the image in several ways.
    flip : tuple of bool or None
        The one way in which the image is looked at; None: all those of the settings.
    presence : bool
        Whether the network says, after the classes, whether there is anything in the image.
    spread : bool
        Whether it is wanted how far the voices lie apart, in one channel more.
    """

    stack: LazyStack
    settings: InferenceSettings
    plan: BlockPlan
    batch: int
    chunk: tuple[int, int]
    exact: bool
    normalization: Normalization
    channels: int
    rays: int = 0
    weight: float = 1.0
    shared: SharedTiles | None = None
    members: tuple[LargeImage, ...] = ()
    flip: Flip | None = None
    presence: bool = False
    spread: bool = False

    @property
    def flips(self) -> tuple[Flip, ...]:
        """Ways to look at the image that are averaged."""
        return FLIPS[self.settings.flips] if self.flip is None else (self.flip,)

    @cached_property
    def blocks(self) -> list[Block]:
        """All, image by image, row by row."""
        return [
            Block(image, number)
            for image in range(len(self.stack.indices))
            for number in range(len(self.plan))
        ]

    def pixels(self, block: Block) -> int:
        """Of the result."""
        rows, columns = self.plan.result(block.number)
        return int((rows.stop - rows.start) * (columns.stop - columns.start))

    def chunks(self, block: Block) -> list[tuple[int, ...]]:
        """Numbers of the files of the result that a block fills."""
        index = self.stack.indices[block.image]
        ranges = [
            range(part.start // side, -(-part.stop // side))
            for part, side in zip(self.plan.result(block.number), self.chunk, strict=True)
        ]
        return [(*index, row, column) for row in ranges[0] for column in ranges[1]]

    def lacking(self, there: set[tuple[int, ...]], store: Path) -> list[Block]:
        """Blocks that are to be computed still, where these files of the result are there."""
        return [block for block in self.blocks if not there.issuperset(self.chunks(block))]

    def label_shape(self, dtype: str) -> LabelShape:
        """What the labels are like."""
        stack = self.stack
        return LabelShape(
            stack.leading, stack.shape[:2], self.chunk, dtype, stack.pixel_size, stack.slice_distance
        )

    @property
    def tiles(self) -> list[int]:
        """What decides the result where blocks do not see all that the network does."""
        return [self.plan.rows.block, self.plan.columns.block]

    def measure(self, image: int) -> Intensities:
        """Look at one image; see ``measure_image``."""
        return measure_image(self, image)

    def read_tile(self, block: Block, intensities: Intensities) -> NDArray[np.float32]:
        """Read what the network is shown of a block; see ``read_tile``."""
        return read_tile(self, block, intensities)


def plan_large_image(
    stack: LazyStack,
    model: AnyModel,
    settings: InferenceSettings,
    large: LargeImageSettings,
    chunk: tuple[int, int] | None = None,
    *,
    apart: bool = False,
    disagreement: bool = False,
    scale: float = 1.0,
) -> LargeImage:
    """Decide how a stack is gone about.

    Parameters
    ----------
    stack : LazyStack
        The images.
    model : Model or Ensemble
        To be put on them.
    settings : InferenceSettings
        Flips, threshold, minimum size; pixels of a batch.
    large : LargeImageSettings
        Memory and context.
    chunk : tuple of int, optional
        (Y, X) of the files of a result that was begun.
    apart : bool
        Whether what the network says to tell objects apart is wanted.
    disagreement : bool
        Whether it is wanted how far the members of an ensemble, or one model's answers to the flipped image,
        lie apart.
    scale : float
        By how much more the images are resized than the model wants by itself.

    Raises
    ------
    ModelError
        If the channels do not fit the model.
    """
    if stack.seen == 1:
        check_sees_one_slice(model.recipe.network, "an image that is segmented in blocks")
    check_channels(stack, model)
    separation = model.recipe.network.separation
    channels = len(model.classes) + (SEPARATION_CHANNELS[separation] if apart else 0)
    channels += asks_presence(model, settings)
    rays = RAYS if apart and separation == "star" else 0
    if not isinstance(model, Ensemble):
        alone = _plan(stack, model, settings, large, chunk, channels, rays, scale=scale)
        if not disagreement:
            return alone
        flips = flips_of(settings.flips)
        voices = (replace(alone, weight=1 / len(flips), flip=flip) for flip in flips)
        return replace(alone, members=tuple(voices), spread=True)

    def each(block: tuple[int, int] | None) -> list[LargeImage]:
        return [
            replace(_plan(stack, one, settings, large, chunk, channels, rays, block), weight=member.weight)
            for member, one in model.models()
        ]

    planned = each(None)
    block = (
        min(one.plan.rows.block for one in planned),
        min(one.plan.columns.block for one in planned),
    )
    members = each(block)
    first = members[0]
    return replace(
        first, weight=1.0, exact=all(one.exact for one in members),
        batch=min(one.batch for one in members), members=tuple(members), spread=disagreement,
    )  # fmt: skip


def _plan(
    stack: LazyStack,
    model: Model,
    settings: InferenceSettings,
    large: LargeImageSettings,
    chunk: tuple[int, int] | None,
    channels: int,
    rays: int,
    block: tuple[int, int] | None = None,
    scale: float = 1.0,
) -> LargeImage:
    """Decide how one network goes about a stack, with blocks of its choice or of these (Y, X)."""
    height, width, colours = stack.shape
    y, x = (scale * factor for factor in resizing(model, stack.pixel_size))
    shown = scaled_shape((height, width), y)[0], scaled_shape((height, width), x)[1]
    sizes = model.sizes

    def planned(plan: BlockPlan, batch: int, exact: bool, shared: SharedTiles | None = None) -> LargeImage:
        sides = tuple(_chunk(axis.block, axis.full) for axis in (plan.rows, plan.columns))
        return LargeImage(
            stack, settings, plan, batch, chunk or (sides[0], sides[1]), exact, model.normalization,
            channels, rays, shared=shared, presence=presence,
        )  # fmt: skip

    presence = asks_presence(model, settings)
    if presence or architecture(model.recipe.network.name).decode_detections is not None:
        piece = block or chunk or (0, 0)
        tiles = plan_shared_tiles((height, width), shown, sizes, settings.tile, settings.overlap, piece)
        return planned(tiles.plan, 1, True, tiles)
    network = model.inference_network
    sees = reach(network)
    halo = large.context if large.context >= 0 else (settings.overlap if sees is None else sees)
    exact = bool(sizes.margin) or (sees is not None and halo >= sees)
    halved = any(layer.compute_dtype in {"float16", "bfloat16"} for layer in network.layers)
    itemsize = 2 if halved else 4
    known = network, sizes, itemsize, colours, model.recipe.network.outputs
    spare = NATIVE_SPARE if native.is_wanted(network) else SPARE

    def plan_for(most: int) -> BlockPlan:
        return plan_blocks((height, width), shown, sizes, halo, most, chunk or (0, 0), block)

    whole = plan_for(sys.maxsize).tile_shape
    cost = TileCost.of(*known, spare=spare, whole=whole)
    worth = settings.batch_pixels or (GPU_BATCH_PIXELS if has_gpu() else 0)
    budget = fit(cost, sizes, large.memory, worth)
    plan = plan_for(budget.tile)
    narrow = partial_output(network) if budget.batch == 1 and len(plan) > 1 and not sizes.margin else None
    if narrow is not None:
        # Tiles run one by one, so each may answer for its middle alone, which takes less of everything.
        cost = TileCost.of(*known, narrow, -(-halo // sizes.step) * sizes.step, spare, whole)
        plan = replace(plan_for(fit(cost, sizes, large.memory, worth).tile), partial=True)
    batch = (
        1
        if plan.partial
        else batch_for(cost, plan.tile_shape, large.memory, worth, len(FLIPS[settings.flips]))
    )
    return planned(plan, batch, exact)


def asks_presence(model: AnyModel, settings: InferenceSettings) -> bool:
    """Whether masks are made empty where a network says that there is nothing in an image.

    It says so of each tile as a whole. So its tiles have to be those that the image has in memory.
    """
    return settings.least_presence > 0 and model.recipe.network.presence


def pixel_outputs(
    model: Model, *, presence: bool = False
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """As ``Model.outputs``, (N, Y', X', K) float32; what is said of an image as a whole only if wanted."""
    return model.predictor(separation=model.recipe.network.separation != "none", presence=presence)


def _chunk(block: int, full: int) -> int:
    """Side of the files: the largest that divides a block; of a single block any will do."""
    if block >= full:
        return -(-full // -(-full // LARGEST_CHUNK))
    return next(block // n for n in range(1, block + 1) if block % n == 0 and block // n <= LARGEST_CHUNK)


def check_channels(stack: LazyStack, model: AnyModel) -> None:
    """Refuse channels that the model cannot take; which of several is meant only a person knows.

    Raises
    ------
    ModelError
        With the names of the channels there are.
    """
    have, wanted = stack.shape[2], model.normalization.channels
    if have == wanted or (stack.seen == 1 and stack.colour and model.normalization.takes(have)):
        return
    names = ", ".join(stack.channels) or f"0 to {have - 1}"
    raise ModelError(
        f"{stack.name} does not fit the model",
        code="model.channels.count",
        expected=f"{wanted} channel{'s' * (wanted > 1)}",
        got=f"{have}: {names}",
        remedy="choose with --channel" if have > wanted else "take another model",
    )


def measure_image(large: LargeImage, image: int) -> Intensities:
    """Look at one image of the stack, as the normalization of the network wants it."""
    index = large.stack.indices[image]
    height, width, _ = large.stack.shape
    found = measure(large.normalization, lambda: large.stack.parts(index), (height, width))
    if large.stack.seen > 1:  # there is nothing to see if that is so of the slice itself
        alone = large.stack.with_neighbours(1)
        return found.model_copy(update={"constant": are_constant(alone.parts(index))})
    return found


def note_constant(large: LargeImage, image: int, found: Intensities) -> None:
    """Tell a person that there is nothing to see in one image of the stack."""
    if not found.constant:
        return
    index = large.stack.indices[image]
    at = ", ".join(f"{axis} {n}" for (axis, _), n in zip(large.stack.leading, index, strict=True))
    name = f"{large.stack.name} at {at}" if at else large.stack.name
    log.warning("%s is constant: there is nothing to see, so its mask is empty", name)


def leave_blank(large: LargeImage, block: Block, mask: NDArray[np.uint8], constant: bool) -> None:
    """Empty the mask of a block where the image holds no data, as is done with small images."""
    if constant:
        mask[:] = 0
    elif large.stack.may_lack_data:
        index = large.stack.indices[block.image]
        alone = large.stack.with_neighbours(1)
        known = known_pixels(alone.read(index, *large.plan.result(block.number)))
        if known is not None:
            mask[~known] = 0


def read_tile(large: LargeImage, block: Block, intensities: Intensities) -> NDArray[np.float32]:
    """Read what the network is shown of a block: (Y, X, C) float32."""
    prepared = _prepared(large, block.image, large.plan.source(block.number), intensities)
    return large.plan.cut(prepared, block.number)


def read_shared_tile(
    large: LargeImage, image: int, tile: int, intensities: Intensities
) -> NDArray[np.float32]:
    """Read a tile that blocks share: (Y, X, C) float32."""
    assert large.shared is not None
    return large.shared.cut(_prepared(large, image, large.shared.source(tile), intensities), tile)


def _prepared(
    large: LargeImage, image: int, place: tuple[slice, slice], intensities: Intensities
) -> NDArray[np.float32]:
    values = large.stack.read(large.stack.indices[image], *place)
    return prepare_part(large.normalization, values, intensities, large.stack.name)


def nearest_first(large: LargeImage, blocks: list[Block], image: int, y: float, x: float) -> list[Block]:
    """Blocks by their distance from a place: those of its image first, then of the neighbouring images.

    Of a volume the slice does not count.
    """

    def far(block: Block) -> tuple[Any, ...]:
        rows, columns = large.plan.result(block.number)[-2:]
        dy = max(rows.start - y, y - rows.stop, 0)
        dx = max(columns.start - x, x - columns.stop, 0)
        return abs(block.image - image), block.image, dy * dy + dx * dx, block.number

    return sorted(blocks, key=far)
