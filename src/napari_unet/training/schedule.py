"""How long training takes, and how fast it learns on the way."""

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


FIRST_SHARE = 0.5  # of a training with restarts, that the first descent takes
RESTART_RATE = 0.5  # of the highest rate, where a restart begins


def descents(settings: TrainingSettings) -> list[float]:
    """Where each descent of the learning rate ends, as shares of the training; 1 is the last."""
    if settings.schedule != "cosine_restarts":
        return [1.0]
    count = settings.restarts
    return [FIRST_SHARE + (1 - FIRST_SHARE) * n / count for n in range(count)] + [1.0]


def learning_rate(settings: TrainingSettings, progress: float) -> float:
    """Learning rate after a share of the training.

    Notes
    -----
    Linear warm-up, then half a cosine down to a hundredth of the highest rate, or constant. With restarts the
    first descent takes half of the training, and each of the others begins at half of the highest rate.
    Loshchilov, Hutter 2017, arXiv:1608.03983.
    """
    top = settings.learning_rate
    if progress < settings.warm_up:
        return top * max(progress / settings.warm_up, 0.02)
    if settings.schedule == "constant":
        return top
    ends = descents(settings)
    number = min(sum(progress >= end for end in ends), len(ends) - 1)
    start = settings.warm_up if number == 0 else ends[number - 1]
    past = min(max(progress - start, 0.0) / max(ends[number] - start, 1e-9), 1.0)
    height = 1.0 if number == 0 else RESTART_RATE
    return top * (0.01 + (height - 0.01) * 0.5 * (1 + math.cos(math.pi * past)))
