"""A level of a mask of strokes on a large image, as napari shows it: unknown pixels are 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.widgets.canvas.label_numbering import LabelNumbering

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLASSES = 253  # numbers of classes stay as they are


@dataclass(frozen=True, eq=False)
class StrokeLevel:
    """A level in the numbers of ``LabelNumbering.of_strokes``.

    Attributes
    ----------
    labels : array
        (Y, X) uint8: 0 background, 1..K classes, 255 unknown.
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

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        """Read a part."""
        return np.asarray(LabelNumbering.of_strokes(np.asarray(self.labels[key]), CLASSES).labels)

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        """All of it."""
        return self[:, :].astype(dtype or self.dtype)
