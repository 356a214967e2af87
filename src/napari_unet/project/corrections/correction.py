"""The correction of one image: its mask, what is verified, and what can be learned from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.sample import ReferenceMask
from napari_unet.project.corrections.mask_files import CorrectionStats, StoredCorrection

if TYPE_CHECKING:
    from numpy.typing import NDArray

IGNORE = 255  # a class that says: nothing is known here


@dataclass(frozen=True, eq=False)
class Correction:
    """What a person made of the mask of one image.

    Attributes
    ----------
    id : str
        Of the image.
    mask : numpy.ndarray
        (Y, X) uint8, 0 background, 1..K classes, 255 ignore.
    verified : numpy.ndarray
        (Y, X) bool, the pixels that the person changed.
    prediction : numpy.ndarray
        (Y, X) uint8, what the person started from.
    stats : CorrectionStats
        Whether done, strokes, changed pixels, seconds.
    """

    id: str
    mask: NDArray[np.uint8]
    verified: NDArray[np.bool_]
    prediction: NDArray[np.uint8]
    stats: CorrectionStats

    def stored(self) -> StoredCorrection:
        """As it is written to a file."""
        return StoredCorrection(self.mask, self.verified, self.prediction, self.stats)

    def reference(self) -> ReferenceMask:
        """Labels and weights to learn from: 1 where verified, or everywhere once done; ignored is 0."""
        known = self.mask != IGNORE
        weights = known if self.stats.done else known & self.verified
        labels = np.where(known, self.mask, 0).astype(np.uint8)
        return ReferenceMask(labels, weights=None if weights.all() else weights.astype(np.float32))


@dataclass(frozen=True)
class MaskVersion:
    """A state that the mask of an image was in.

    Attributes
    ----------
    number : int
        Of the stroke that led to it; 0 for what the person started from.
    time : float
        Seconds since 1970; 0 for the start.
    kind : str
        What led to it.
    pixels : int
        That changed.
    """

    number: int
    time: float
    kind: str
    pixels: int


@dataclass(frozen=True, eq=False)
class MaskSnapshot:
    """A mask as it was when it was asked for."""

    labels: NDArray[np.uint8]
    weights: NDArray[np.bool_] | None

    @classmethod
    def of(cls, reference: ReferenceMask) -> MaskSnapshot:
        """Of a reference mask, whose arrays nobody else writes to."""
        return cls(reference.labels, None if reference.weights is None else reference.weights > 0)

    def __call__(self) -> ReferenceMask:
        """The reference mask."""
        weights = None if self.weights is None else self.weights.astype(np.float32)
        return ReferenceMask(self.labels, weights=weights)
