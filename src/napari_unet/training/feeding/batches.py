"""Samples prepared for a network, and the endless, seeded stream of batches drawn from them."""

from __future__ import annotations

import math
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.dataset import ArrayCache
from napari_unet.errors import TrainingError
from napari_unet.models.normalization import scaled_shape
from napari_unet.settings import SEPARATION_CHANNELS
from napari_unet.training.feeding.augmentation import Patch, cut_patch
from napari_unet.training.feeding.prepared_sample import PreparedSample, prepare_sample
from napari_unet.training.feeding.star_targets import star_targets

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import Sample
    from napari_unet.models.normalization import Normalization
    from napari_unet.networks.sizes import InputSizes
    from napari_unet.settings import Separation, TrainingSettings

    Batch = tuple[NDArray[np.float32], NDArray[np.float32]]

MIN_STEPS_PER_EPOCH = 100
BATCH_PIXELS = 2**18  # of an automatic batch
PREPARED_BYTES = 3 * 1024**3


AHEAD = 4  # batches made before they are asked for


class TrainingBatches:
    """An endless, seeded stream of batches: step n is the same whenever it is asked for.

    Parameters
    ----------
    dataset : Dataset
        The training part.
    normalization : Normalization
        Of the model in training.
    training : TrainingSettings
        Batch, patch, augmentation, weights, seed.
    sizes : InputSizes
        Of the network.
    classes : int
        K.
    class_weights : numpy.ndarray, optional
        (K + 1,) float32.
    separation, connected
        See ``prepare_sample``.
    shares : int
        Devices that share each batch, which is filled up to a multiple of it.
    shapes : sequence of tuple of int, optional
        Of each image, without channels, where they are known; otherwise the images are read.
    """

    fewest = 4  # patches of an automatic batch

    def __init__(
        self,
        dataset: Dataset,
        normalization: Normalization,
        training: TrainingSettings,
        sizes: InputSizes,
        classes: int,
        class_weights: NDArray[np.float32] | None = None,
        separation: Separation = "none",
        connected: bool = True,
        shares: int = 1,
        shapes: Sequence[tuple[int, ...]] | None = None,
    ) -> None:
        if len(dataset) == 0:
            raise TrainingError(
                "there is nothing to train on",
                code="training.images.missing",
                expected="at least one image with a mask",
                got="none",
                remedy="check the data set with `napari-unet inspect`",
            )
        self.dataset = dataset
        self.normalization = normalization
        self.training = training
        self.sizes = sizes
        self.classes = classes
        self.class_weights = class_weights
        self.separation = separation
        self.connected = connected
        self.shares = shares
        self.cache = ArrayCache(PREPARED_BYTES)
        if shapes is None:
            shapes = [dataset.image(s).shape[:-1] for s in dataset.samples]
        scaled = [(*s[:-2], *scaled_shape(s[-2:], normalization.scale)) for s in shapes]
        self.shape = self._patch_shape(scaled)
        out = [n - 2 * sizes.margin for n in self.shape]
        per_image = [math.prod(-(-n // o) for n, o in zip(shape, out, strict=True)) for shape in scaled]
        self._deck = np.repeat(np.arange(len(shapes)), per_image)
        self._order: tuple[int, NDArray[np.intp]] | None = None
        if classes > 255:
            raise TrainingError(
                "too many classes", code="training.classes.many", expected="at most 255", got=str(classes)
            )

    def _patch_shape(self, shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
        """Input size of the patches: the largest image's, bounded by the patch setting."""
        longest = [min(max(s[axis] for s in shapes), self.training.patch) for axis in (0, 1)]
        if self.training.augmentation.symmetry == "dihedral":
            longest = [max(longest)] * 2
        y, x = (self.sizes.for_output(n) for n in longest)
        return y, x

    @property
    def patches_a_pass(self) -> int:
        """Patches that cover every image about once."""
        return len(self._deck)

    @property
    def batch_size(self) -> int:
        """Patches a step: what the settings say, or 4 to 16 by their size; filled up for the shares."""
        wanted = self.training.batch_size
        if not wanted:
            wanted = int(min(max(BATCH_PIXELS // math.prod(self.shape), self.fewest), 16))
        return -(-wanted // self.shares) * self.shares

    @property
    def steps_per_epoch(self) -> int:
        """Steps that make a pass, or what the settings say."""
        if self.training.steps_per_epoch:
            return self.training.steps_per_epoch
        return max(MIN_STEPS_PER_EPOCH, -(-len(self._deck) // self.batch_size))

    @property
    def pixels_a_step(self) -> int:
        """Of all patches of a batch."""
        return math.prod(self.shape) * self.batch_size

    @property
    def total_steps(self) -> int:
        """Steps of a training by epochs or by megapixels."""
        if self.training.epochs:
            return self.training.epochs * self.steps_per_epoch
        return max(1, round(self.training.megapixels * 1e6 / self.pixels_a_step))

    def drawn(self, position: int) -> tuple[int, np.random.Generator]:
        """Which image stands at a position of the endless stream, and the luck it has there."""
        round_number, place = divmod(position, len(self._deck))
        if self._order is None or self._order[0] != round_number:
            luck = np.random.default_rng((self.training.seed, 1, round_number))
            self._order = (round_number, luck.permutation(self._deck))
        return int(self._order[1][place]), np.random.default_rng((self.training.seed, 2, position))

    def _prepared(self, index: int) -> PreparedSample:
        sample = self.dataset.samples[index]
        prepared = self.cache.get((sample.id, "prepared"), lambda: self._prepare(sample))
        assert isinstance(prepared, PreparedSample)
        return prepared

    def _prepare(self, sample: Sample) -> PreparedSample:
        return prepare_sample(
            self.dataset,
            sample,
            self.normalization,
            self.training,
            self.class_weights,
            self.separation,
            self.connected,
        )

    def patch(self, index: int, rng: np.random.Generator) -> Patch:
        """Draw a patch from image number `index`."""
        prepared = self._prepared(index)
        have = prepared.whole.labels.shape
        output = [n - 2 * self.sizes.margin for n in self.shape]
        centre: list[float] = []
        share = 1.0 if prepared.sparse else self.training.foreground_patches
        on_foreground = len(prepared.foreground) > 0 and rng.random() < share
        target = prepared.foreground[rng.integers(len(prepared.foreground))] if on_foreground else None
        for axis in range(len(have)):
            spare = have[axis] - output[axis]
            low, high = sorted(((output[axis] - 1) / 2, (output[axis] - 1) / 2 + spare))
            if spare > 0 and target is not None:
                jitter = rng.uniform(-0.25, 0.25) * output[axis]
                centre.append(float(np.clip(target[axis] + jitter, low, high)))
            else:
                centre.append(rng.uniform(low, high))
        return self._cut(prepared.whole, centre, rng)

    def _cut(self, whole: Patch, centre: list[float], rng: np.random.Generator) -> Patch:
        y, x = self.shape
        return cut_patch(whole, (centre[0], centre[1]), (y, x), self.training.augmentation, rng)

    def batch(self, step: int) -> Batch:
        """The batch of a step.

        Returns
        -------
        images : numpy.ndarray
            (N, Y, X, C) float32.
        targets : numpy.ndarray
            (N, Y', X', K + 1) float32: one-hot classes 1..K, then weights. (N, Y', X', K + 2) with the
            separation before the weights, if the network has one, K + 34 for a star-convex one. For one
            that finds objects their numbers, -1 where they are not known.
        """
        size = self.batch_size
        return self.assemble([self.patch(*self.drawn(step * size + row)) for row in range(size)])

    def assemble(self, patches: Sequence[Patch]) -> Batch:
        """Put patches together; arrays as ``batch`` gives them."""
        size = len(patches)
        margin = self.sizes.margin
        inner = slice(margin, -margin) if margin else slice(None)
        channels = self.normalization.channels
        output = [n - 2 * margin for n in self.shape]
        images = np.empty((size, *self.shape, channels), np.float32)
        apart = SEPARATION_CHANNELS[self.separation]
        targets = np.empty((size, *output, self.classes + apart + 1), np.float32)
        for row, patch in enumerate(patches):
            images[row] = patch.image
            labels = patch.labels[(inner,) * patch.labels.ndim]
            for number in range(self.classes):
                targets[row, ..., number] = labels == number + 1
            if apart:
                targets[row, ..., self.classes : -1] = self._apart(patch, inner)
            targets[row, ..., -1] = patch.weights[(inner,) * patch.weights.ndim]
        return images, targets

    def _apart(self, patch: Patch, inner: slice) -> NDArray[np.float32]:
        """(Y', X', 1) or (Y', X', 33) float32 that tells objects apart; -1 where that is not known."""
        if patch.separation is None:
            return np.full(1, -1, np.float32)
        if self.separation == "star":
            return star_targets(patch.separation)[inner, inner]
        if self.separation == "objects":  # what lies beyond the image's borders is a mirror's
            return np.where(patch.weights > 0, patch.separation, -1)[inner, inner, None]
        return patch.separation[(inner,) * patch.separation.ndim][..., None]

    def stream(self, first_step: int = 0) -> Generator[Batch, None, None]:
        """Batches from a step on, made ahead in another thread, in order; close it when done."""
        return made_ahead(self.batch, first_step)


def made_ahead(batch: Callable[[int], Batch], first_step: int = 0) -> Generator[Batch, None, None]:
    """Batches from a step on, made ahead in another thread, in order; close it when done.

    Parameters
    ----------
    batch : callable
        (step) -> batch.
    first_step : int
        Where to begin.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="batches")
    try:
        waiting = deque(pool.submit(batch, first_step + n) for n in range(AHEAD))
        step = first_step + AHEAD
        while True:
            ready = waiting.popleft().result()
            waiting.append(pool.submit(batch, step))
            step += 1
            yield ready
    finally:
        pool.shutdown(cancel_futures=True)
