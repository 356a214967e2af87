"""The correction of one image: its mask, what is verified, and what can be learned from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.sample import ReferenceMask

if TYPE_CHECKING:
    from numpy.typing import NDArray

IGNORE = 255  # a class that says: nothing is known here


@dataclass(frozen=True)
class CorrectionStats:
    """What is known of the correction of an image without its pixels.

    Attributes
    ----------
    number : int
        Of the last stroke in it.
    done : bool
        Whether the person verified the whole image.
    strokes, changed : int
        Made by hand, and the pixels that they changed.
    seconds : float
        Worked.
    verified : int
        Pixels that the person changed and so verified.
    """

    number: int = 0
    done: bool = False
    strokes: int = 0
    changed: int = 0
    seconds: float = 0.0
    verified: int = 0

    @property
    def is_evidence(self) -> bool:
        """Whether a person verified something: what was painted, or all of it."""
        return self.done or self.verified > 0


@dataclass(frozen=True, eq=False)
class Correction:
    """What a person made of the mask of one image.

    Attributes
    ----------
    mask : numpy.ndarray
        (Y, X) uint8, 0 background, 1..K classes, 255 ignore.
    verified : numpy.ndarray
        (Y, X) bool, the pixels that the person changed.
    prediction : numpy.ndarray
        (Y, X) uint8, what the person started from.
    stats : CorrectionStats
        What is known without the pixels.
    """

    mask: NDArray[np.uint8]
    verified: NDArray[np.bool_]
    prediction: NDArray[np.uint8]
    stats: CorrectionStats

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
