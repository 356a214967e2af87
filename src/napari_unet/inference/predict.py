"""Images through a network: tiles of all images in full batches, probabilities back in order."""

from __future__ import annotations

import functools
import math
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.inference.tiling import TilePlan, plan_tiles, plan_volume
from napari_unet.networks.layers.star_shape import turned_rays

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from napari_unet.networks.sizes import InputSizes
    from napari_unet.progress import CancelToken
    from napari_unet.settings import InferenceSettings

    Flip = tuple[bool, bool, bool]  # along Y, along X, and whether the axes are exchanged before
    Network = Callable[[NDArray[np.float32]], NDArray[np.float32]]
    OnTiles = Callable[[int, int], None]  # takes how many tiles of an image are back, and of how many

MAX_BATCH = 64
# Processors gain nothing beyond it, and Cancel is looked at between batches.
BATCH_PIXELS = 2**17
# Full batches after which a network is asked about many at one time, each with few cores, if it can do that.
# It must be compiled for that, which takes as long as some batches.
LANES_AFTER = 16
# Flips along (Y, X) and whether the axes are exchanged before, that the probabilities are averaged over.
FLIPS: dict[str, tuple[tuple[bool, bool, bool], ...]] = {
    "auto": ((False, False, False),),
    "none": ((False, False, False),),
    "horizontal": ((False, False, False), (False, True, False)),
    "dihedral": tuple((y, x, t) for t in (False, True) for y in (False, True) for x in (False, True)),
}


@dataclass
class _Pending:
    """An image whose tiles are not all back yet."""

    plan: TilePlan
    shape: tuple[int, ...]
    missing: int
    total: NDArray[np.float32] | None = None


Tile = tuple[_Pending, int, "NDArray[np.float32]"]  # an image, the number of the tile, and the tile


@dataclass
class _Predictor:
    """Fills batches with tiles of one shape and hands the results back to their images."""

    network: Network
    sizes: InputSizes
    settings: InferenceSettings
    cancel: CancelToken | None
    rays: int = 0
    on_tiles: OnTiles | None = None
    planned: tuple[tuple[int, ...], TilePlan] | None = None
    waiting: dict[tuple[int, ...], list[Tile]] = field(default_factory=dict)
    asked: deque[tuple[list[Tile], Future[NDArray[np.float32]]]] = field(default_factory=deque)
    pool: ThreadPoolExecutor | None = None
    lanes: int = 1
    full: int = 0

    def add(self, image: NDArray[np.float32]) -> _Pending:
        shape = image.shape[:-1]
        plan = self.plan_of(shape)
        pending = _Pending(plan, shape, len(plan))
        key = (*plan.tile_shape, image.shape[-1])
        for number in range(len(plan)):
            self.waiting.setdefault(key, []).append((pending, number, plan.cut(image, number)))
            if len(self.waiting[key]) >= self.batch_size(key):
                self.flush(key)
                self.full += 1
                if self.full == LANES_AFTER:
                    self.open_lanes()
        return pending

    def plan_of(self, shape: tuple[int, ...]) -> TilePlan:
        """Tiles over images of a shape; worked out once, as most images are alike."""
        if self.planned is None or self.planned[0] != shape:
            if len(shape) == 2:
                plan = plan_tiles(shape, self.sizes, self.settings.tile, self.settings.overlap)
            else:
                plan = plan_volume(shape, self.sizes)
            self.planned = shape, plan
        return self.planned[1]

    def batch_size(self, key: tuple[int, ...]) -> int:
        """Tiles a batch: as many as the pixels allow, to a power of two so that shapes stay few."""
        pixels = (self.settings.batch_pixels or BATCH_PIXELS) // self.lanes
        fitting = max(1, pixels // (math.prod(key[:-1]) * len(FLIPS[self.settings.flips])))
        return int(min(MAX_BATCH, 2 ** int(np.log2(fitting))))

    def open_lanes(self) -> None:
        """Ask the network about many batches at one time from now on, if it can."""
        in_lanes = getattr(self.network, "in_lanes", None)
        if in_lanes is not None:
            self.network, self.lanes = in_lanes()
        if self.lanes > 1:
            self.pool = ThreadPoolExecutor(self.lanes, "lane")

    def flush(self, key: tuple[int, ...]) -> None:
        """Run what waits under a shape, or have it run."""
        if self.cancel is not None:
            self.cancel.check()
        items = self.waiting.pop(key)
        tiles, size = [tile for _, _, tile in items], self.batch_size(key)
        if self.pool is None:
            self._hand_back(items, self._average(tiles, size))
            return
        self.asked.append((items, self.pool.submit(self._average, tiles, size)))
        while len(self.asked) > self.lanes + 1:  # one more, so that no lane waits
            self.collect()

    @property
    def in_flight(self) -> int:
        """Tiles that the network works on."""
        return sum(len(items) for items, _ in self.asked)

    def collect(self) -> None:
        """Wait for the oldest batch."""
        items, found = self.asked.popleft()
        self._hand_back(items, found.result())

    def _hand_back(self, items: list[Tile], results: NDArray[np.float32]) -> None:
        for (pending, number, _), result in zip(items, results, strict=True):
            if pending.total is None:
                pending.total = np.zeros((*pending.shape, result.shape[-1]), np.float32)
            pending.plan.add(pending.total, number, result)
            pending.missing -= 1
            if self.on_tiles is not None:
                self.on_tiles(len(pending.plan) - pending.missing, len(pending.plan))

    def flush_all(self) -> None:
        for key in list(self.waiting):
            self.flush(key)
        while self.asked:
            self.collect()

    def close(self) -> None:
        """End the threads after what they do at the moment."""
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)

    def _average(self, tiles: list[NDArray[np.float32]], full: int) -> NDArray[np.float32]:
        """Probabilities of tiles, averaged over flips; a short batch is filled up and cut again."""
        batch = np.stack(tiles)
        count = len(batch)
        if count < full and count > 1:
            wanted = min(full, 2 ** int(np.ceil(np.log2(count))))
            batch = np.concatenate([batch, np.repeat(batch[-1:], wanted - count, axis=0)])
        return average_over_flips(self.network, batch, FLIPS[self.settings.flips], self.rays)[:count]


def average_over_flips(
    network: Network, batch: NDArray[np.float32], flips: Sequence[Flip], rays: int = 0
) -> NDArray[np.float32]:
    """Probabilities of a batch, averaged over flips of it.

    Parameters
    ----------
    network : callable
        (N, Y, X, C) float32 to (N, Y', X', K) float32, or the same of volumes, which are flipped slice by
        slice.
    batch : numpy.ndarray
        (N, Y, X, C) float32, or (N, Z, Y, X, C).
    flips : sequence of Flip
        Of ``FLIPS``.
    rays : int
        How many channels, the last, are distances along rays.

    Returns
    -------
    numpy.ndarray
        (N, Y', X', K) float32.
    """
    total: NDArray[np.float32] | None = None
    for flip_y, flip_x, transpose in flips:
        turned = batch.swapaxes(-3, -2) if transpose else batch
        turned = turned[..., :: -1 if flip_y else 1, :: -1 if flip_x else 1, :]
        out = network(np.ascontiguousarray(turned))
        out = out[..., :: -1 if flip_y else 1, :: -1 if flip_x else 1, :]
        out = out.swapaxes(-3, -2) if transpose else out
        if rays:
            out = rays_flipped_back(out, rays, (flip_y, flip_x, transpose))
        total = out if total is None else total + out
    assert total is not None
    return total / np.float32(len(flips))


def average_part_over_flips(
    network: PartNetwork,
    tile: NDArray[np.float32],
    offset: tuple[int, int],
    flips: Sequence[Flip],
    rays: int = 0,
) -> NDArray[np.float32]:
    """Probabilities of a part of a tile, averaged over flips of it.

    Parameters
    ----------
    network : PartNetwork
        That answers for parts.
    tile : numpy.ndarray
        (Y, X, C) float32.
    offset : (int, int)
        Row and column at which the part begins.
    flips : sequence of Flip
        Of ``FLIPS``.
    rays : int
        As ``average_over_flips``.

    Returns
    -------
    numpy.ndarray
        (Y', X', K) float32.
    """
    total: NDArray[np.float32] | None = None
    for flip in flips:
        turned, place, part = tile, offset, network.part
        if flip[2]:
            turned, place, part = tile.swapaxes(0, 1), (offset[1], offset[0]), (part[1], part[0])
        turned = turned[:: -1 if flip[0] else 1, :: -1 if flip[1] else 1]
        y, x = (
            size - at - length if flipped else at
            for size, at, length, flipped in zip(turned.shape, place, part, flip, strict=False)
        )
        out = network(np.ascontiguousarray(turned)[None], (y, x), part)[0]
        out = out[:: -1 if flip[0] else 1, :: -1 if flip[1] else 1]
        out = out.swapaxes(0, 1) if flip[2] else out
        if rays:
            out = rays_flipped_back(out, rays, flip)
        total = out if total is None else total + out
    assert total is not None
    return total / np.float32(len(flips))


class PartNetwork:
    """A network that answers for parts of tiles, whichever way round they lie.

    Parameters
    ----------
    build : callable
        Gives what answers for tiles and parts of one size: (tile, offset) -> (1, Y', X', K) float32.
    part : (int, int)
        (Y, X) of the parts, of tiles as they are.
    """

    def __init__(
        self,
        build: Callable[
            [tuple[int, int], tuple[int, int]],
            Callable[[NDArray[np.float32], tuple[int, int]], NDArray[np.float32]],
        ],
        part: tuple[int, int],
    ) -> None:
        self.build = functools.cache(build)
        self.part = part

    def __call__(
        self, tile: NDArray[np.float32], offset: tuple[int, int], part: tuple[int, int]
    ) -> NDArray[np.float32]:
        """Answer for a part of (1, Y, X, C) float32."""
        return self.build((tile.shape[1], tile.shape[2]), part)(tile, offset)


def predict_probabilities(
    images: Iterable[NDArray[np.float32]],
    network: Network,
    sizes: InputSizes,
    settings: InferenceSettings,
    cancel: CancelToken | None = None,
    rays: int = 0,
    on_tiles: OnTiles | None = None,
) -> Iterator[NDArray[np.float32]]:
    """Probabilities for images of any size, in order.

    Parameters
    ----------
    images : iterable of numpy.ndarray
        (Y, X, C) float32 each, or (Z, Y, X, C), prepared as the model wants them.
    network : callable
        (N, Y, X, C) float32 to (N, Y', X', K) float32 probabilities, or the same of volumes.
    sizes : InputSizes
        Of the network.
    settings : InferenceSettings
        Tile, overlap, pixels a batch, flips.
    cancel : CancelToken, optional
        Checked before every batch.
    rays : int
        How many channels, the last, are distances along rays, which trade places where the image is turned.
    on_tiles : callable, optional
        Takes how many tiles of an image are back, and how many it has; after each of them.

    Yields
    ------
    numpy.ndarray
        (Y, X, K) or (Z, Y, X, K) float32 in [0, 1], as large as its image.

    Raises
    ------
    Cancelled
        When the token was set.
    SizeError
        If an image is empty.
    """
    predictor = _Predictor(network, sizes, settings, cancel, rays, on_tiles)
    queue: deque[_Pending] = deque()
    try:
        for image in images:
            queue.append(predictor.add(image))
            if (
                len(queue) > MAX_BATCH + predictor.in_flight
            ):  # a lone shape must not hold up the images behind it
                predictor.flush_all()
            while queue and queue[0].missing == 0:
                yield _finished(queue.popleft())
        predictor.flush_all()
        while queue:
            yield _finished(queue.popleft())
    finally:
        predictor.close()


def rays_flipped_back(
    outputs: NDArray[np.float32], rays: int, flip: tuple[bool, bool, bool]
) -> NDArray[np.float32]:
    """Outputs of which the last channels are rays, each in the channel of its direction in the image itself.

    Parameters
    ----------
    outputs : numpy.ndarray
        (..., K + rays) float32, of a turned image, the right way round again.
    rays : int
        Channels.
    flip : tuple of bool
        How the image was turned.
    """
    others = outputs.shape[-1] - rays
    order = np.concatenate([np.arange(others), others + turned_rays(flip)])
    return outputs[..., order]


def _finished(pending: _Pending) -> NDArray[np.float32]:
    assert pending.total is not None
    return np.clip(pending.total, 0.0, 1.0)
