"""Where the members of an ensemble, or one model's answers to the turned image, lie apart, pixel by pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_unet.workflow.inputs.image_reference import refer
from napari_unet.workflow.review.disagreement_task import DisagreementTask
from napari_unet.workflow.segment.prediction import file_name

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.engine.task import Job
    from napari_unet.session.images.entry import Entry
    from napari_unet.session.task_runner import TaskRunner
    from napari_unet.session.workspace import Workspace
    from napari_unet.workflow.segment.prediction import Prediction

MOST_PIXELS = 2**24  # of an image: several opinions of it are in memory at once, and it is asked about again


class Disagreement:
    """Keeps the map of the current image, once it is wanted: after other images, predictions, models.

    It is made in the background: what a person asks for always comes first.

    Parameters
    ----------
    workspace : Workspace
        Whose image is current.
    runner : TaskRunner
        Where tasks run.

    Attributes
    ----------
    wanted : bool
        Whether maps are made.
    """

    changed = Signal()  # there is another map, or none, or other words on why

    def __init__(self, workspace: Workspace, runner: TaskRunner) -> None:
        self.workspace, self.runner = workspace, runner
        self.wanted = False
        self._files: dict[str, tuple[Prediction, Path]] = {}
        self._read: tuple[Prediction, NDArray[np.float32]] | None = None  # the last that was asked for
        self._failed: Prediction | None = None
        self._job: Job | None = None
        self._about: Prediction | None = None  # of what the job asks
        for signal in (self.workspace.current_changed, self.workspace.mask_changed):
            signal.connect(lambda _: self.follow())
        self.workspace.collection_changed.connect(self._forget)
        self.runner.job_changed.connect(self._on_job)

    def want(self, wanted: bool) -> None:
        """Make maps from now on, or no longer."""
        self.wanted = wanted
        self._failed = None
        self.follow()

    def values(self) -> NDArray[np.float32] | None:
        """(Y, X) float32 in [0, 0.5] of the current image, each time the same array; None without one."""
        entry, file = self._entry(), self._file()
        if entry is None or entry.prediction is None or file is None:
            return None
        if self._read is None or self._read[0] is not entry.prediction:
            try:
                self._read = entry.prediction, np.load(file).astype(np.float32)
            except (OSError, ValueError):
                del self._files[self.workspace.current]  # it is made again when next wanted
                return None
        return self._read[1]

    def words(self) -> str:
        """Why there is no map of the current image; empty if there is one."""
        return "" if self._file() is not None else self._obstacle() or "Comparing the answers ..."

    def _file(self) -> Path | None:
        """Of the map of what is predicted of the current image now."""
        entry, (prediction, file) = self._entry(), self._files.get(self.workspace.current, (None, None))
        fits = entry is not None and entry.prediction is prediction
        return file if fits and file is not None and file.is_file() else None

    def _obstacle(self) -> str:
        """Why no map of the current image can be made; empty if one can."""
        entry = self._entry()
        prediction = None if entry is None else entry.prediction
        if prediction is None or prediction.file is None:
            return "Segment the image to see where the model is unsure."
        if not prediction.whole:
            return "Only a part is segmented: segment the whole image to see where the model is unsure."
        if prediction.shape[0] * prediction.shape[1] > MOST_PIXELS:
            return f"Too large to be compared: more than {MOST_PIXELS / 2**20:.0f} megapixels."
        return "The image could not be compared." if self._failed is prediction else ""

    def follow(self) -> None:
        """Make the map of the current image if it is wanted and not there."""
        entry = self._entry()
        prediction = None if entry is None else entry.prediction
        if self._job is not None and (not self.wanted or self._held_up or self._about is not prediction):
            self._job.cancel()
        if not self.wanted:
            return
        self.changed.emit()
        if entry is None or self._held_up or self._job is not None or self._file() or self._obstacle():
            return
        self._start(entry)

    def _start(self, entry: Entry) -> None:
        collection, prediction = self.workspace.collection, entry.prediction
        assert self.workspace.model is not None and collection is not None and prediction is not None
        identifier = entry.sample.id
        file = collection.folder / f"disagreement-{file_name(identifier)}"
        image = refer(entry.sample, collection.dataset)
        task = DisagreementTask(self.workspace.model.path, image, file, self.workspace.tiled_inference)

        def ended(job: Job) -> None:
            self._job = self._about = None
            if job.state == "done" and collection is self.workspace.collection:
                self._files[identifier] = prediction, file
            elif job.error is not None and not job.cancel_token.cancelled:
                self._failed = prediction
                self.runner.failed.emit(job.error.sentence, job.details)
            self.follow()
            self.runner.ended.emit()

        self.runner.starting.emit()  # somebody looks at this image now
        self._about = prediction
        # An engine that runs the task at once ends it before this returns.
        job = self.runner.engine.submit(task, lambda _: None, ended)
        self._job = None if job.ended else job

    def _entry(self) -> Entry | None:
        collection = self.workspace.collection
        return None if collection is None else collection.entries.get(self.workspace.current)

    def _forget(self) -> None:
        collection = self.workspace.collection
        ids = () if collection is None else collection.ids
        self._files = {i: kept for i, kept in self._files.items() if i in ids}
        self.follow()

    @property
    def _held_up(self) -> bool:
        return self.runner.busy or self.runner.progress is not None

    def _on_job(self) -> None:
        if self.wanted and self._held_up == (self._job is not None):
            self.follow()  # ours gives way to a person's, and continues after it
