"""Blocks of a large image through the network into the store: read ahead, written behind, resumed."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.errors import ComputeError
from napari_unet.export.label_store import SEPARATION, SPREAD
from napari_unet.inference.object_classes import raw_mask, reads_classes
from napari_unet.inference.postprocess import without_presence
from napari_unet.inference.shapes.contours import refines
from napari_unet.progress import Progress
from napari_unet.workflow.large_images.answers import BlockAnswers, measure_members
from napari_unet.workflow.large_images.large_stars import keep_middles
from napari_unet.workflow.large_images.layers.layer_mask import MaskRule
from napari_unet.workflow.large_images.plan import (
    Block,
    LargeImage,
    leave_blank,
    nearest_first,
    note_constant,
)
from napari_unet.workflow.large_images.tile_runner import is_out_of_memory
from napari_unet.workflow.large_images.told_apart import write_answers, write_presence
from napari_unet.workflow.large_images.volumes.volume_plan import LargeVolume
from napari_unet.workflow.large_images.volumes.volume_run import write_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_unet.export.label_store import LabelStore
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.models.intensities import Intensities
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.workflow.large_images.answers import BlockTiles, Measured

    # Image of the stack, y and x that a person looks at now; None: nobody looks.
    Focus = Callable[[], tuple[int, float, float] | None]


@dataclass(frozen=True)
class FinishedBlock:
    """A part of the result that is there now; the piece of a Progress.

    Attributes
    ----------
    image : int
        Of the stack.
    rows, columns : slice
        Of the result.
    """

    image: int
    rows: slice
    columns: slice


class LocalRun:
    """Runs the blocks of a large image in this process.

    One thread reads what is next, this one computes, one writes what was before: never more than three
    batches are in memory.

    Parameters
    ----------
    large : LargeImage
        What is to be done.
    model : Model or Ensemble
        To do it with.
    store : LabelStore
        Where it goes.
    key : str
        Of the array there.
    """

    def __init__(self, large: LargeImage, model: AnyModel, store: LabelStore, key: str) -> None:
        self.large = large
        self.model = model
        self.store = store
        self.key = key
        self.measured: dict[int, Measured] = {}

    def run(
        self,
        todo: Sequence[Block],
        on_progress: OnProgress,
        cancel: CancelToken,
        focus: Focus = lambda: None,
        on_block: Callable[[Block], None] | None = None,
        *,
        part: bool = False,
    ) -> None:
        """Run blocks, in order or what is looked at first.

        Parameters
        ----------
        todo : sequence of Block
            That lack.
        on_progress, cancel
            As everywhere; megapixels of the whole image are counted.
        focus : callable
            Asked before each batch.
        on_block : callable
            Called with each block that is written, in the thread that writes.
        part : bool
            Whether these blocks alone are wanted, and their megapixels counted.

        Raises
        ------
        Cancelled
            When it was stopped; what is finished stays.
        ComputeError
            If memory does not last for a single tile.
        """
        state = BlockProgress(self.large, self._sorted(todo), time.monotonic(), part)
        answers = BlockAnswers(self.large, self.model, state.say_smaller(on_progress))
        with ThreadPoolExecutor(1, "reader") as reader, ThreadPoolExecutor(1, "writer") as writer:
            written: Future[None] | None = None
            upcoming = self._read_next(reader, answers, state, focus, on_progress, cancel)
            try:
                while upcoming is not None:
                    cancel.check()
                    blocks, tiles = upcoming.result()
                    upcoming = self._read_next(reader, answers, state, focus, on_progress, cancel)
                    outputs = self._outputs(answers, blocks, tiles)
                    del tiles
                    if written is not None:
                        written.result()
                    written = writer.submit(self._write, blocks, outputs, state, on_progress, on_block)
                    del outputs
                if written is not None:
                    written.result()
            finally:
                if upcoming is not None:
                    upcoming.cancel()

    def _sorted(self, todo: Sequence[Block]) -> list[Block]:
        """Blocks that lie alike in their tiles together, those of the borders first: they run faster so."""
        plan = self.large.plan
        if not plan.partial:
            return list(todo)
        places = {number: plan.offset(number) for number in {block.number for block in todo}}
        often = Counter(places.values())

        def alike(block: Block) -> tuple[int, int, tuple[int, int]]:
            place = places[block.number]
            return block.image, often[place], place

        return sorted(todo, key=alike)

    def _outputs(
        self, answers: BlockAnswers, blocks: Sequence[Block], tiles: Sequence[BlockTiles]
    ) -> list[NDArray[np.float32]]:
        try:
            return answers.of(blocks, tiles)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            side = " x ".join(map(str, self.large.plan.tile_shape))
            raise ComputeError(
                "there is not enough memory for a single tile",
                code="compute.memory",
                got=f"tiles of {side} pixels",
                remedy="give less with --memory; finished blocks stay",
            ) from error

    def _read_next(
        self,
        reader: ThreadPoolExecutor,
        answers: BlockAnswers,
        state: BlockProgress,
        focus: Focus,
        on_progress: OnProgress,
        cancel: CancelToken,
    ) -> Future[tuple[list[Block], list[BlockTiles]]] | None:
        blocks = state.take(answers.batch, focus())
        if not blocks:
            return None

        def read() -> tuple[list[Block], list[BlockTiles]]:
            tiles = []
            for block in blocks:
                cancel.check()
                if block.image not in self.measured:
                    if not self.measured:
                        on_progress(state.progress("Measuring intensities"))
                    found = measure_members(self.large, block.image)
                    note_constant(self.large, block.image, found[0])
                    self.measured[block.image] = found
                tiles.append(answers.read(block, self.measured[block.image]))
            return blocks, tiles

        return reader.submit(read)

    def _write(
        self,
        blocks: Sequence[Block],
        outputs: Sequence[NDArray[np.float32]],
        state: BlockProgress,
        on_progress: OnProgress,
        on_block: Callable[[Block], None] | None,
    ) -> None:
        for block, found in zip(blocks, outputs, strict=True):
            measured = self.measured[block.image][0]
            write_outputs(self.large, self.model, self.store, self.key, block, found, measured)
            if on_block is not None:
                on_block(block)
            *_, rows, columns = self.large.plan.result(block.number)
            state.finished(block)
            on_progress(state.progress("Segmenting", FinishedBlock(block.image, rows, columns)))


def write_outputs(
    large: LargeImage,
    model: AnyModel,
    store: LabelStore,
    key: str,
    block: Block,
    outputs: NDArray[np.float32],
    measured: Intensities,
) -> None:
    """Turn what the network said of a tile, of an image or a volume, into a part of the mask; write that."""
    if isinstance(large, LargeVolume):
        write_answer(large, model, store, key, block, outputs, measured)
    else:
        write_block(large, model, store, key, block, outputs, measured.constant)


def write_block(
    large: LargeImage,
    model: AnyModel,
    store: LabelStore,
    key: str,
    block: Block,
    outputs: NDArray[np.float32],
    constant: bool = False,
) -> None:
    """Turn what the network said of a block, (Y, X, K') float32, into the mask of it; write that.

    The mask is empty where there are no data, and all of it where the image is constant.

    Raises
    ------
    OutputError
        If the disk refuses.
    """
    classes = len(model.classes)
    index, place = large.stack.indices[block.image], large.plan.result(block.number)
    if large.spread:
        outputs, spread = outputs[..., :-1], outputs[..., -1]
        store.write(SPREAD, index, *place, spread)
    if large.presence:
        outputs, seen = without_presence(outputs, classes)
        write_presence(store, index, place, seen)
    outputs, rays = outputs[..., : classes + 1], outputs[..., classes + 1 :]
    outputs = np.clip(outputs, 0.0, 1.0).astype(np.float16).astype(np.float32)
    network = model.recipe.network
    whole = reads_classes(large.settings, classes, network.separation)
    if store.has_answers:
        nothing = np.ones(outputs.shape[:2], np.uint8)
        leave_blank(large, block, nothing, constant)
        outputs[nothing == 0] = 0
        if rays.size and not nothing.all():
            rays = np.where(nothing[..., None] == 0, np.float32(0), rays)
        write_answers(store, index, place, outputs, rays, block.number)
        mask = nothing  # contours part what holds data, and the mask is made with them
        if not refines(large.settings, classes):
            mask = raw_mask(outputs[..., :classes], large.settings, network.activation, whole)
        store.write(key, index, *place, mask)
        return
    probabilities = outputs[..., :classes]
    rule = MaskRule(large.settings.threshold, 0, network.activation, whole)
    found = rule.of_probabilities(probabilities)
    nothing = np.ones(found.shape, np.uint8)
    leave_blank(large, block, nothing, constant)
    mask = np.where(nothing == 0, np.uint8(0), found)
    if store.has_probabilities:
        probabilities[mask != found] = 0
        store.write_probabilities(index, *place, rule.keep(probabilities, mask))
    if store.has_array(SEPARATION):
        depth = np.where(nothing == 0, np.float32(0), outputs[..., classes])
        if rays.size:
            keep_middles(store, index, block.number, place, depth, rays)
        store.write_channels(SEPARATION, index, *place, depth[None].astype(np.float16))
    store.write(key, index, *place, mask)  # last: that it is there says that the block is finished


@dataclass
class BlockProgress:
    """What lacks of a large image, and how fast it goes.

    Attributes
    ----------
    large : LargeImage
        All of it.
    todo : list of Block
        Not yet taken.
    start : float
        By the monotonic clock.
    part : bool
        Whether nothing else of the image is wanted.
    """

    large: LargeImage
    todo: list[Block]
    start: float
    part: bool = False

    def __post_init__(self) -> None:
        self.total = sum(map(self.large.pixels, self.todo if self.part else self.large.blocks)) / 1e6
        self.before = self.total - sum(map(self.large.pixels, self.todo)) / 1e6
        self.now = 0.0

    def take(self, count: int, seen: tuple[int, float, float] | None) -> list[Block]:
        """Take some, the nearest to what is looked at."""
        if seen is not None:
            self.todo = nearest_first(self.large, self.todo, *seen)
        taken, self.todo = self.todo[:count], self.todo[count:]
        return taken

    def finished(self, block: Block) -> None:
        """Count a block."""
        self.now += self.large.pixels(block) / 1e6

    def progress(self, message: str, piece: FinishedBlock | None = None) -> Progress:
        """How far it is, in megapixels, with the time that is left."""
        left = None
        if self.now:
            passed = time.monotonic() - self.start
            left = passed / self.now * (self.total - self.before - self.now)
        return Progress(self.before + self.now, self.total, message, left, piece=piece)

    def say_smaller(self, on_progress: OnProgress) -> Callable[[int], None]:
        """What tells of smaller batches."""

        def say(batch: int) -> None:
            on_progress(self.progress(f"Out of memory: continuing with batches of {batch}"))

        return say
