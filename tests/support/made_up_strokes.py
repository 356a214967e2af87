"""Learning from strokes as the window sees it, without a network: made up in a thread of its process."""

from __future__ import annotations

import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.engine.task import Job
from napari_unet.errors import Cancelled
from napari_unet.progress import CancelToken, OnProgress, Progress
from napari_unet.workflow.strokes.learn_from_strokes_task import LearnFromStrokesTask
from napari_unet.workflow.strokes.stroke_request import ImagePart
from napari_unet.workflow.strokes.stroke_rounds import LearnedFromStrokes
from napari_unet.workflow.train.preview import Preview

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from napari_unet.workflow.strokes.stroke_request import PaintedImage

MODEL = "MADE_UP_MODEL"  # file beside the runs of the project that names a folder with a tiny model


class MadeUpStrokes(LearnFromStrokesTask):
    """Says that the right half of every image is an object; a round ends with each new stroke.

    Parameters as of the task that it stands in for. Its model is the tiny one named in a file.
    """

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> LearnedFromStrokes:
        """Take strokes, show previews, until it is stopped."""
        known: dict[str, int] = {}
        pixels: dict[str, int] = {}
        steps, end = 0, time.monotonic() + 30
        while time.monotonic() < end:
            cancel.check()
            news: list[PaintedImage] = list(self.strokes(dict(known)))
            for one in news:
                known[one.id] = one.number
                pixels[one.id] = int((one.mask != 255).sum())
            if news:
                steps += 1
                self._show(on_progress, steps)
            if self.stop is not None and self.stop():
                break
            time.sleep(0.01)
        model = Path((self.out.parents[2] / MODEL).read_text())
        shutil.copytree(model, self.out)
        return LearnedFromStrokes(
            self.out, None, "", None, None, steps, 1.0, 0, True,
            images=len(known), pixels=sum(pixels.values()),
        )  # fmt: skip

    def _show(self, on_progress: OnProgress, steps: int) -> None:
        asked = self.preview() if self.preview is not None else None
        if asked is not None:
            part = isinstance(asked, ImagePart)
            identifier, image = (asked.whole, asked.pixels) if part else asked
            origin = asked.origin if part else (0, 0)
            probabilities = np.zeros((*image.shape[:2], 1), np.float32)
            probabilities[:, image.shape[1] // 2 :] = 0.9
            piece = Preview(identifier, probabilities, float(steps), origin=origin)
            values = {"seconds": float(steps), "loss": 1.0 / steps}
            on_progress(Progress(0.5, 1.0, "Learning from strokes", 42.0, values, piece))


class OneThread:
    """Runs what is made up in a thread; all else, which would load a network here, ends at once.

    Parameters
    ----------
    dispatch : callable
        Runs a function in the thread of the window.
    """

    def __init__(self, dispatch: Callable[[Callable[[], None]], None]) -> None:
        self.dispatch = dispatch

    def submit(self, task: Any, on_progress: Any = None, on_end: Any = None) -> Job:
        """Run a task; see ``Engine``."""
        job = Job(task, on_progress, on_end or (lambda job: None))
        if not isinstance(task, MadeUpStrokes):
            job.end("done")
            return job
        job.state = "running"

        def end(result: Any) -> None:
            job.end("done", result)
            job.on_end(job)

        def run() -> None:
            with suppress(Cancelled):  # a test that failed closes the dock
                result = task.run(lambda p: self.dispatch(lambda: on_progress(p)), job.cancel_token)
                self.dispatch(lambda: end(result))

        threading.Thread(target=run, daemon=True).start()
        return job

    def close(self) -> None:
        """Leave nothing behind: the threads end by themselves."""
