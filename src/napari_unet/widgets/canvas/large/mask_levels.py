"""Levels of a mask on disk as napari shows them, made of the part that is looked at."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.project.corrections.correction import IGNORE
from napari_unet.widgets.canvas.label_numbering import CYCLE, IGNORED_OBJECT, LabelNumbering

if TYPE_CHECKING:
    from numpy.typing import NDArray

IGNORED_COLOUR = (IGNORED_OBJECT - 1) % CYCLE + 1  # among those of objects
CLASSES = 253  # numbers of classes stay as they are, in masks of strokes
PRIME = 2_654_435_761  # spreads places over colours


@dataclass(frozen=True, eq=False)
class ShownLevel(ABC):
    """A level of a mask on disk, in other numbers; napari reads the part that is looked at.

    Attributes
    ----------
    labels : array
        (Y, X) uint8, as stored: 0 background, 1..K classes, 255 unknown.
    """

    labels: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """(Y, X)."""
        return tuple(self.labels.shape)

    @property
    def ndim(self) -> int:
        """2."""
        return len(self.labels.shape)

    @property
    def size(self) -> int:
        """Pixels."""
        return int(np.prod(self.labels.shape))

    @property
    def dtype(self) -> Any:
        """Of the numbers."""
        return np.dtype(np.uint8)

    @abstractmethod
    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        """Read a part."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        """All of it."""
        return self[:, :].astype(dtype or self.dtype)


@dataclass(frozen=True, eq=False)
class LazyObjects(ShownLevel):
    """Every connected object of what is read has a number of its own.

    The number is that of the place of the object, so that an object keeps its colour while the view moves.

    Attributes
    ----------
    step : int
        Pixels of the finest level for each of this one.
    """

    step: int

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        """Read a part and number its objects."""
        mask = np.asarray(self.labels[key])
        if mask.ndim != len(self.shape):
            return mask
        starts = [part.start or 0 if isinstance(part, slice) else 0 for part in np.index_exp[key]]
        origin = (*starts, 0, 0)[:2]
        return numbered(mask, (origin[0], origin[1]), self.step)


@dataclass(frozen=True, eq=False)
class StrokeLevel(ShownLevel):
    """A mask of strokes, in the numbers of ``LabelNumbering.of_strokes``: unknown pixels are 0."""

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        """Read a part."""
        return np.asarray(LabelNumbering.of_strokes(np.asarray(self.labels[key]), CLASSES).labels)


def numbered(mask: NDArray[np.uint8], origin: tuple[int, int], step: int) -> NDArray[np.uint8]:
    """Give each connected object of a part the number of its place.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) uint8 classes.
    origin : tuple of int
        Row and column of the first pixel in its level.
    step : int
        Of the level.

    Returns
    -------
    numpy.ndarray
        (Y, X) uint8: 0 background, 1 to ``CYCLE`` objects; ignored pixels have their own number of these.
    """
    import cv2

    found = np.zeros(mask.shape, np.uint8)
    for label in np.unique(mask):
        if label in (0, IGNORE):
            continue
        _, pieces, statistics, _ = cv2.connectedComponentsWithStats(
            (mask == label).astype(np.uint8), connectivity=8
        )
        right = statistics[:, cv2.CC_STAT_LEFT].astype(np.int64) + statistics[:, cv2.CC_STAT_WIDTH]
        below = statistics[:, cv2.CC_STAT_TOP].astype(np.int64) + statistics[:, cv2.CC_STAT_HEIGHT]
        place = ((below + origin[0]) * step // 16) * 65_537 + (right + origin[1]) * step // 16
        numbers = (place * PRIME % 1_000_003 % (CYCLE - 1) + 1).astype(np.uint8)
        numbers += numbers >= IGNORED_COLOUR
        numbers[0] = 0
        inside = pieces > 0
        found[inside] = numbers[pieces[inside]]
    found[mask == IGNORE] = IGNORED_COLOUR
    return found
