"""How long training goes on, and how fast it learns on the way."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_unet.settings import TrainingSettings


def progress_of(settings: TrainingSettings, step: int, steps: int, seconds: float) -> float:
    """Share of the training that is done, 0 to 1: of the time budget if there is one, else of steps.

    Parameters
    ----------
    settings : TrainingSettings
        Minutes count.
    step, steps : int
        Done, and in all.
    seconds : float
        Time spent.
    """
    share = seconds / (60 * settings.minutes) if settings.minutes else step / steps
    return min(max(share, 0.0), 1.0)


def learning_rate(settings: TrainingSettings, progress: float) -> float:
    """Learning rate after a share of the training.

    Notes
    -----
    Linear warm-up, then half a cosine down to a hundredth of the highest rate, or constant.
    Loshchilov, Hutter 2017, arXiv:1608.03983.
    """
    top = settings.learning_rate
    if progress < settings.warm_up:
        return top * max(progress / settings.warm_up, 0.02)
    if settings.schedule == "constant":
        return top
    past = (progress - settings.warm_up) / max(1 - settings.warm_up, 1e-9)
    return top * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * past)))
