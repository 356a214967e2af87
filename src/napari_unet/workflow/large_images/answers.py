"""What a network, or the members of an ensemble, say of the blocks of a large image."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.inference.ensembles.ensemble import spread_of
from napari_unet.inference.predict import average_over_flips
from napari_unet.inference.volumes.several_plans import SeveralPlans
from napari_unet.models.ensemble import Ensemble
from napari_unet.workflow.large_images.plan import Block, pixel_outputs, read_shared_tile
from napari_unet.workflow.large_images.tile_runner import TileRunner
from napari_unet.workflow.large_images.volumes.plane_plan import PlaneRunner, PlaneVolume

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_unet.models.ensemble import AnyModel
    from napari_unet.models.intensities import Intensities
    from napari_unet.models.model import Model
    from napari_unet.workflow.large_images.plan import LargeImage

    Measured = tuple[Intensities, ...]  # of an image, one for each member

ASKED_AT_ONCE = 16  # blocks, where each member of an ensemble must be loaded again for them
SHARED_BYTES = 2**28  # of answers for tiles that blocks share


@dataclass(frozen=True, eq=False)
class BlockTiles:
    """What is read of a block, for each member: its tile, or tiles that blocks share by their numbers.

    Attributes
    ----------
    tiles : tuple
        (Y, X, C) float32, or a dict of such.
    measured : tuple of Intensities
        Of the image.
    """

    tiles: tuple[NDArray[np.float32] | dict[int, NDArray[np.float32]], ...]
    measured: Measured


def voices_of(large: LargeImage) -> tuple[LargeImage, ...]:
    """How each voice goes about an image: the members of an ensemble, or one model in one or several ways."""
    return large.members or (large,)


def measure_members(large: LargeImage, image: int) -> Measured:
    """Look at one image of the stack, as each member wants it."""
    return tuple(one.measure(image) for one in voices_of(large))


class BlockAnswers:
    """Asks a model, or one member of an ensemble after another, about blocks.

    Parameters
    ----------
    large : LargeImage
        How it is gone about.
    model : Model or Ensemble
        That answers.
    on_smaller : callable
        Called with the new size of a batch where memory did not last.
    """

    def __init__(
        self, large: LargeImage, model: AnyModel, on_smaller: Callable[[int], None] = lambda _: None
    ) -> None:
        self.large = large
        self.model = model
        self.on_smaller = on_smaller
        reloads = isinstance(model, Ensemble) and not model.keeps_all
        self.batch = max(large.batch, ASKED_AT_ONCE) if reloads else large.batch
        self._runners: dict[int, tuple[Model, TileRunner | SharedRunner | PlaneRunner]] = {}

    def read(self, block: Block, measured: Measured) -> BlockTiles:
        """Read what the networks are shown of a block; may run in another thread than ``of``."""
        tiles: list[NDArray[np.float32] | dict[int, NDArray[np.float32]]] = []
        if isinstance(self.large.plan, SeveralPlans):
            member, own = self.large.plan.member_of(block.number)
            tile = self.large.members[member].read_tile(Block(block.image, own), measured[member])
            return BlockTiles((tile,), measured)
        for number, (large, found) in enumerate(zip(voices_of(self.large), measured, strict=True)):
            if large.shared is None:
                tiles.append(large.read_tile(block, found))
                continue
            runner = self._runners.get(number)
            known = runner[1].known(block.image) if runner and isinstance(runner[1], SharedRunner) else set()
            wanted = [one for one in large.shared.of_block(block.number) if one not in known]
            tiles.append({one: read_shared_tile(large, block.image, one, found) for one in wanted})
        return BlockTiles(tuple(tiles), measured)

    def of(self, blocks: Sequence[Block], tiles: Sequence[BlockTiles]) -> list[NDArray[np.float32]]:
        """What is said of blocks, (Y, X, K') float32 each, as large as their results.

        Raises
        ------
        MemoryError
            If not even one tile fits; or whatever the backend raises then.
        """
        if isinstance(self.large.plan, SeveralPlans):
            both = zip(blocks, tiles, strict=True)
            return [self._of_member(*self.large.plan.member_of(b.number), b.image, t) for b, t in both]
        means: list[NDArray[np.float32]] = []
        squares: list[NDArray[np.float32]] = []
        weight = 0.0
        classes = len(self.model.classes)
        for number, (model, large) in enumerate(self._members()):
            runner = self._runner(number, model, large)
            found: list[NDArray[np.float32]] = []
            if isinstance(runner, SharedRunner):
                found = [
                    runner.run(b, t.tiles[number], t.measured[number])
                    for b, t in zip(blocks, tiles, strict=True)
                ]
            else:
                own = [one.tiles[number] for one in tiles]
                for start in range(0, len(blocks), large.batch):
                    part = slice(start, start + large.batch)
                    outputs: Sequence[Any] = runner.run(blocks[part], own[part])  # type: ignore[arg-type]
                    found += [
                        large.plan.finish(output[..., : large.channels], block.number)
                        for block, output in zip(blocks[part], outputs, strict=True)
                    ]
            if not self.large.members:
                return found
            weight += large.weight
            if not means:
                means = found
                squares = [np.zeros_like(one[..., :classes]) for one in found]
                continue
            for mean, square, one in zip(means, squares, found, strict=True):  # as ``RunningMean`` does
                away = one - mean
                mean += np.float32(large.weight / weight) * away
                if self.large.spread:
                    still = (one - mean)[..., :classes]
                    square += np.float32(large.weight) * away[..., :classes] * still
        if not self.large.spread:
            return means
        spreads = (spread_of(square, weight)[..., None] for square in squares)
        return [np.concatenate(both, axis=-1) for both in zip(means, spreads, strict=True)]

    def _of_member(self, member: int, own: int, image: int, tiles: BlockTiles) -> NDArray[np.float32]:
        """What one member says of one tile of its own of a volume."""
        model = self.model.model(member) if isinstance(self.model, Ensemble) else self.model
        large, block = self.large.members[member], Block(image, own)
        run: Any = self._runner(member, model, large).run
        (outputs,) = run([block], tiles.tiles)
        return large.plan.finish(outputs[..., : large.channels], own)

    def _members(self) -> Iterator[tuple[Model, LargeImage]]:
        if not isinstance(self.model, Ensemble):
            for large in voices_of(self.large):
                yield self.model, large
            return
        for (_, model), large in zip(self.model.models(), self.large.members, strict=True):
            yield model, large

    def _runner(
        self, number: int, model: Model, large: LargeImage
    ) -> TileRunner | SharedRunner | PlaneRunner:
        """What runs a member; made again for one that was loaded again."""
        known = self._runners.get(number)
        if known is not None and known[0] is model:
            return known[1]
        self._runners.pop(number, None)
        made: TileRunner | SharedRunner | PlaneRunner
        if isinstance(large, PlaneVolume):
            made = PlaneRunner(large, model)
        elif large.shared is not None:
            made = SharedRunner(large, model)
        else:
            made = TileRunner(large, model, self.on_smaller)
        if not isinstance(self.model, Ensemble) or self.model.keeps_all:
            self._runners[number] = model, made
        return made


class SharedRunner:
    """Runs tiles that blocks share, each once as long as there is room for its answer.

    Parameters
    ----------
    large : LargeImage
        With shared tiles.
    model : Model
        That answers.
    """

    def __init__(self, large: LargeImage, model: Model) -> None:
        self.large = large
        self.network = pixel_outputs(model, presence=large.presence)
        self._answers: OrderedDict[tuple[int, int], NDArray[np.float32]] = OrderedDict()
        self._lock = Lock()

    def known(self, image: int) -> set[int]:
        """Tiles of an image whose answers are there."""
        with self._lock:
            return {tile for of, tile in self._answers if of == image}

    def run(self, block: Block, tiles: object, intensities: Intensities) -> NDArray[np.float32]:
        """What is said of a block, (Y, X, K') float32; tiles that were not read are read."""
        assert self.large.shared is not None
        assert isinstance(tiles, dict)
        outputs = {}
        for number in self.large.shared.of_block(block.number):
            with self._lock:
                found = self._answers.get((block.image, number))
            if found is None:
                tile = tiles.get(number)
                if tile is None:
                    tile = read_shared_tile(self.large, block.image, number, intensities)
                answer = average_over_flips(self.network, tile[None], self.large.flips, self.large.rays)[0]
                found = np.ascontiguousarray(answer[..., : self.large.channels])
                self._keep((block.image, number), found)
            outputs[number] = found
        return self.large.shared.finish(outputs, block.number)

    def _keep(self, key: tuple[int, int], answer: NDArray[np.float32]) -> None:
        with self._lock:
            self._answers[key] = answer
            while len(self._answers) > 1 and len(self._answers) * answer.nbytes > SHARED_BYTES:
                self._answers.popitem(last=False)
