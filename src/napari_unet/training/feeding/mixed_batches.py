"""Batches in which corrections and replay of what a network knew are mixed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.training.feeding.batches import TrainingBatches

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.data.dataset import Dataset
    from napari_unet.models.normalization import Normalization
    from napari_unet.networks.sizes import InputSizes
    from napari_unet.settings import FineTuneSettings, Separation, TrainingSettings
    from napari_unet.training.feeding.augmentation import Patch
    from napari_unet.training.feeding.batches import Batch

FEWEST, MOST = 2, 16  # patches a step
SPARSE_WEIGHT = 0.25  # of a patch: what a few strokes on it weigh at least
MOST_BOOST = 20.0


@dataclass(frozen=True, eq=False)
class MixedBatches:
    """Batches in which corrections and replay keep a fixed share: step n is the same whenever asked for.

    Parameters
    ----------
    corrections : TrainingBatches
        What was painted.
    replay : TrainingBatches or None
        What the network knew before.
    share : float
        Of replay in a batch, 0 to 1, at most; at least one patch of a batch is a correction. Where there is
        less to replay than was corrected, an image of either kind is met equally often.
    pixels : int
        Of a batch.
    """

    corrections: TrainingBatches
    replay: TrainingBatches | None
    share: float
    pixels: int

    def __post_init__(self) -> None:
        if self.replay is not None:
            larger = (max(n) for n in zip(self.corrections.shape, self.replay.shape, strict=True))
            self.corrections.shape = self.replay.shape = tuple(larger)

    def share_shape(self, other: MixedBatches) -> None:
        """Cut patches as large as those of other batches: a training step is built for each shape."""
        self.corrections.shape = other.corrections.shape
        if self.replay is not None:
            self.replay.shape = other.corrections.shape

    @property
    def size(self) -> int:
        """Patches a step."""
        return int(min(max(self.pixels // math.prod(self.corrections.shape), FEWEST), MOST))

    @property
    def pixels_a_step(self) -> int:
        """Pixels of the patches of a step."""
        return self.size * math.prod(self.corrections.shape)

    @property
    def replayed(self) -> int:
        """Patches of a batch that are replay; of few images no more than puts them level with corrections."""
        if self.replay is None or self.share <= 0:
            return 0
        old, fresh = self.replay.patches_a_pass, self.corrections.patches_a_pass
        share = min(self.share, old / (old + fresh))
        return min(max(round(self.size * share), 1), self.size - 1)

    def batch(self, step: int) -> Batch:
        """The batch of a step; arrays as ``TrainingBatches.batch``."""
        fresh = self.size - self.replayed
        makers = [(self.corrections, fresh), (self.replay, self.replayed)]
        patches = []
        for maker, count in makers:
            for row in range(count):
                assert maker is not None
                patch = maker.patch(*maker.drawn(step * count + row))
                patches.append(_heard(patch) if maker is self.corrections else patch)
        return self.corrections.assemble(patches)


def _heard(patch: Patch) -> Patch:
    """The patch with its weights raised where little of it is known, so that strokes are heard."""
    total = float(patch.weights.sum())
    wanted = SPARSE_WEIGHT * patch.weights.size
    if not 0 < total < wanted:
        return patch
    return replace(patch, weights=patch.weights * np.float32(min(wanted / total, MOST_BOOST)))


def make_batches(
    corrections: Dataset,
    replay: Dataset | None,
    normalization: Normalization,
    training: TrainingSettings,
    settings: FineTuneSettings,
    sizes: InputSizes,
    classes: int,
    separation: Separation = "none",
    kind: Callable[..., TrainingBatches] = TrainingBatches,
) -> MixedBatches:
    """Batches of corrections and replay, made as the model's training made them.

    Parameters
    ----------
    corrections, replay : Dataset
        With pixel weights.
    normalization : Normalization
        Of the model.
    training : TrainingSettings
        Of the model: patch, augmentation, border weights.
    settings : FineTuneSettings
        Shares, pixels, seed.
    sizes : InputSizes
        Of the network.
    classes : int
        K.
    separation : str
        Of the network; unknown on images whose masks do not tell objects apart.
    kind : callable
        Makes batches as ``TrainingBatches`` does: of volumes, for a network in three dimensions.

    Raises
    ------
    TrainingError
        If there is no correction.
    """
    training = training.model_copy(update={"patch": min(training.patch, settings.patch)})
    seeded = training.model_copy(update={"seed": settings.seed})
    apart: dict[str, Any] = {"separation": separation, "connected": False}
    fresh = kind(corrections, normalization, seeded, sizes, classes, **apart)
    old = None
    if replay is not None and len(replay) and settings.replay > 0:
        other = training.model_copy(update={"seed": settings.seed + 1})
        old = kind(replay, normalization, other, sizes, classes, **apart)
    return MixedBatches(fresh, old, settings.replay, settings.batch_pixels)
