"""The score over all images, computed in the background."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.evaluation.leakage import NOT_KNOWN
from napari_unet.metrics.uncertainty import mean_interval, why_no_interval

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.session.images.collection import Collection
    from napari_unet.settings import EvaluationSettings

PAUSE = 0.25  # seconds between two overall scores


@dataclass(frozen=True)
class Overall:
    """Scores over all images that have one.

    Attributes
    ----------
    mean_iou : float
        Mean over the images.
    low, high : float
        Its interval over groups; NaN with fewer than 5 groups.
    images : int
        How many.
    seen : bool
        Whether the model has seen them all in training, so that the score says little.
    left_out : int
        Images with a score that do not count, because the model has seen them.
    values : tuple of float
        IoU of each image that counts.
    no_interval : str
        Why there is no interval; empty if there is one.
    unknown : int
        Of those that count, images of which it is not known whether the model has seen them.
    stale : int
        Images whose score is of an earlier threshold and is left out until they are scored again.
    """

    mean_iou: float
    low: float
    high: float
    images: int
    seen: bool
    left_out: int
    values: tuple[float, ...] = ()
    no_interval: str = ""
    unknown: int = 0
    stale: int = 0


def overall_of(
    collection: Collection, settings: EvaluationSettings, how: tuple[float, int] | None = None
) -> Overall | None:
    """Score all images of a collection that have a score; None if there are none.

    Parameters
    ----------
    collection : Collection
        With scores of its images.
    settings : EvaluationSettings
        Confidence of the interval.
    how : tuple of float, optional
        Threshold and minimum size as they are: predicted masks that were scored with others do not count.
    """
    ids, seen, left_out = collection.scored()
    scored = [collection.entries[i] for i in ids if i in collection.entries]
    entries = [e for e in scored if how is None or e.scored_with in (None, how)]
    values = np.array([e.iou for e in entries], float)
    if not len(values):
        return None
    groups = [e.group or e.sample.id for e in entries]
    low, high = mean_interval(values, groups, confidence=settings.confidence)
    return Overall(
        float(values.mean()),
        low,
        high,
        len(values),
        seen,
        left_out,
        tuple(map(float, values)),
        why_no_interval(len(set(groups))),
        sum(e.part in ("", NOT_KNOWN) for e in entries),
        len(scored) - len(entries),
    )


class OverallScore:
    """Keeps the overall score up to date, a few times a second at most, in a thread of its own.

    Parameters
    ----------
    dispatch : callable
        Runs a function in the thread that `changed` is wanted in.
    changed : callable
        Called after every new value.
    """

    def __init__(self, dispatch: Callable[[Callable[[], None]], None], changed: Callable[[], None]) -> None:
        self.value: Overall | None = None
        self._dispatch = dispatch
        self._changed = changed
        self._pool = ThreadPoolExecutor(1, "scores")
        self._closed = threading.Event()
        self._wanted: tuple[Collection | None, EvaluationSettings, tuple[float, int] | None] | None = None
        self._running = False

    @property
    def pending(self) -> bool:
        """Whether a new value is on its way."""
        return self._running

    def forget(self) -> None:
        """There is no score any more."""
        self.value = None

    def request(
        self,
        collection: Collection | None,
        settings: EvaluationSettings,
        how: tuple[float, int] | None = None,
    ) -> None:
        """Have the score of a collection worked out soon; wishes meanwhile add up to one more round."""
        self._wanted = collection, settings, how
        if not self._running and not self._closed.is_set():
            self._next()

    def close(self) -> None:
        """Work nothing out any more."""
        self._closed.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _next(self) -> None:
        assert self._wanted is not None
        (collection, settings, how), self._wanted = self._wanted, None
        if collection is None:
            self.value = None
            self._changed()
            return
        self._running = True

        def compute() -> None:
            self._closed.wait(PAUSE)
            overall = overall_of(collection, settings, how)
            self._dispatch(lambda: told(overall))

        def told(overall: Overall | None) -> None:
            self._running = False
            if self._closed.is_set():
                return
            if self._wanted is None or self._wanted[0] is collection:
                self.value = overall
                self._changed()
            if self._wanted is not None:
                self._next()

        self._pool.submit(compute)
