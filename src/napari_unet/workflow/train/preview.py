"""What a training in progress makes of one image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Preview:
    """What the network in training makes of the image that was asked for.

    Attributes
    ----------
    id : str
        Of the image.
    probabilities : numpy.ndarray
        (Y, X, K) float32 in [0, 1].
    seconds : float
        Since the task began.
    held_out_iou : float or None
        Of the network at that moment.
    better : bool
        Whether that is more than the old model's.
    origin : tuple of int
        Row and column of the first pixel, of a part of a large image.
    """

    id: str
    probabilities: NDArray[np.float32]
    seconds: float
    held_out_iou: float | None = None
    better: bool = False
    origin: tuple[int, int] = (0, 0)
