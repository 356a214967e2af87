"""Every score of every predicted image, updated in the computing process while somebody looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_unet.evaluation.confidence import threshold_curve
from napari_unet.evaluation.leakage import NOT_KNOWN
from napari_unet.metrics.uncertainty import mean_interval, why_no_interval
from napari_unet.session.images.collection import SEEN
from napari_unet.workflow.evaluate.report_task import ReportTask
from napari_unet.workflow.evaluate.stored_predictions import (
    ScoredImage,
    ScoreRules,
    ScoreTask,
    StoredPrediction,
)
from napari_unet.workflow.inputs.image_reference import refer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_unet.data.files.pixel_size import PixelSize
    from napari_unet.engine.task import Job
    from napari_unet.evaluation.confidence import ThresholdCurve
    from napari_unet.progress import Progress
    from napari_unet.session.images.collection import Collection
    from napari_unet.session.images.entry import Entry
    from napari_unet.session.run_history import RunHistory
    from napari_unet.session.task_runner import TaskRunner
    from napari_unet.session.workspace import Workspace


UNKNOWN = (float("nan"), float("nan"))


class ScoreTable:
    """All scores of the model's masks, with the present threshold.

    Masks that a person corrected are not scored here, only what the model predicted.

    Parameters
    ----------
    workspace : Workspace
        Whose images and model.
    runner : TaskRunner
        Where tasks run.

    Attributes
    ----------
    pixel_sizes : callable
        (ids) -> id to PixelSize where it is known; the window knows it by its layers.
    """

    changed = Signal()

    def __init__(self, workspace: Workspace, runner: TaskRunner, history: RunHistory) -> None:
        self.workspace, self.runner, self.history = workspace, runner, history
        self.pixel_sizes: Callable[[Sequence[str]], dict[str, PixelSize]] = lambda ids: {}
        self.active = False
        self.progress: Progress | None = None
        self.interval = UNKNOWN  # of the mean IoU
        self._asked = 0
        self._scored: dict[str, tuple[Any, ScoredImage]] = {}
        self._job: Job | None = None
        self.runner.job_changed.connect(self._on_job)
        self.workspace.collection_changed.connect(self._forget)
        self.workspace.model_changed.connect(self._forget)

    def watch(self, active: bool) -> None:
        """Begin or end to keep scores up to date."""
        self.active = active
        if active:
            self.refresh()
        else:
            self._stop()

    def refresh(self) -> None:
        """Score what is new, or was scored with another threshold; nothing while another task runs."""
        collection = self.workspace.collection
        if not self.active or collection is None or self.workspace.model is None or self.runner.busy:
            return
        self._stop()
        wanted = [(i, e) for i, e in self._predicted(collection) if not self._known(i, e)]
        if not wanted:
            self.changed.emit()
            return
        keys = {i: self._key(e) for i, e in wanted}
        task = ScoreTask(tuple(stored_prediction(e, collection) for _, e in wanted), self._rules(collection))

        def on_progress(progress: Progress) -> None:
            if collection is self.workspace.collection and job is self._job:
                piece = progress.piece
                if isinstance(piece, ScoredImage):
                    self._scored[piece.id] = keys[piece.id], piece
                self.progress = progress
                self.changed.emit()

        def on_end(ended: Job) -> None:
            if job is self._job:
                self._end()
            self.runner.ended.emit()

        self.runner.starting.emit()
        # An engine that runs the task at once ends it before `submit` returns.
        job: Job | None = None
        self._job = None
        job = self.runner.engine.submit(task, on_progress, on_end)
        self._job = None if job.ended else job
        if job.ended:
            self._end()

    def _end(self) -> None:
        self._job = self.progress = None
        self._work_out_interval()
        self.changed.emit()

    def rows(self) -> list[ScoredImage]:
        """What is known, in the order of the images; scores with an earlier threshold among them."""
        collection = self.workspace.collection
        if collection is None:
            return []
        return [self._scored[i][1] for i, _ in self._predicted(collection) if i in self._scored]

    @property
    def stale(self) -> int:
        """Images that are not scored yet as things are now."""
        collection = self.workspace.collection
        if collection is None:
            return 0
        return sum(not self._known(i, e) for i, e in self._predicted(collection))

    def counted(self) -> tuple[list[ScoredImage], bool]:
        """Those that overall scores are of: images the model has not seen, or all, and whether it has.

        Scores of an earlier threshold are not among them: an overall score is of one threshold.
        """
        collection = self.workspace.collection
        fresh = {i for i, e in self._predicted(collection) if self._known(i, e)} if collection else set()
        return self._unseen_of([s for s in self.rows() if s.id in fresh])

    @staticmethod
    def _unseen_of(rows: list[ScoredImage]) -> tuple[list[ScoredImage], bool]:
        known = [s for s in rows if not s.problem]
        unseen = [s for s in known if s.row["part"] not in SEEN]
        return (unseen, False) if unseen or not known else (known, True)

    @property
    def no_interval(self) -> str:
        """Why there is no interval of the mean; empty if there is one, or nothing is scored."""
        groups = len(set(self._counted_iou()[1]))
        return why_no_interval(groups) if groups else ""

    def mean_iou(self) -> float:
        """Mean IoU over the counted images; NaN without any."""
        values = self._counted_iou()[0]
        return float(np.mean(values)) if values else float("nan")

    def _counted_iou(self) -> tuple[list[float], list[str]]:
        known = [s for s in self.counted()[0] if s.row.get("iou") is not None]
        return [s.row["iou"] for s in known], [s.row["group"] or s.id for s in known]

    def _work_out_interval(self) -> None:
        """Have the interval of the mean worked out in a thread, as the window must not wait for it."""
        values, groups = self._counted_iou()
        self._asked += 1
        asked, confidence = self._asked, self.workspace.evaluation.confidence

        def compute() -> None:
            found = mean_interval(np.array(values), groups, confidence=confidence)
            self.runner.dispatch(lambda: told(found))

        def told(found: tuple[float, float]) -> None:
            if asked == self._asked:
                self.interval = found
                self.changed.emit()

        self.runner.in_background(compute)

    def curve(self) -> ThresholdCurve | None:
        """Mean IoU over the counted images at every threshold."""
        counted, _ = self._unseen_of(self.rows())  # the curve is the same with any threshold
        return threshold_curve([s.curve for s in counted if s.curve is not None])

    def write_report(self, folder: Path, on_written: Callable[[Path], None]) -> Job | None:
        """Write a report of all predicted images with a reference; `on_written` gets the page.

        Returns
        -------
        Job or None
            None if there is nothing to report, or another task runs.
        """
        collection = self.workspace.collection
        if collection is None or self.workspace.model is None or self.runner.busy:
            return None
        entries = [e for _, e in self._predicted(collection)]
        if not entries:
            return None
        dataset = collection.dataset
        labelled = sum(e.sample.has_mask for e in collection.entries.values())
        task = ReportTask(
            tuple(stored_prediction(e, collection) for e in entries),
            self._rules(collection),
            self.workspace.model.path,
            folder,
            collection.name,
            dataset.path if dataset is not None and dataset.path.exists() else None,
            labelled - len(entries),
            sum(e.is_corrected for e in entries),
            dataset.masks_are if dataset is not None else "",
            collection.channels if dataset is not None else (),
            self.pixel_sizes([e.sample.id for e in entries]),
        )

        def on_end(job: Job) -> None:
            if job.state == "done":
                self.history.reported(task)
                on_written(job.result)

        return self.runner.run(task, len(entries), lambda _: None, on_end, "Writing the report")

    def _rules(self, collection: Collection) -> ScoreRules:
        layout = collection.dataset.format if collection.dataset is not None else ""
        return ScoreRules(
            collection.classes,
            collection.activation,  # type: ignore[arg-type]
            self.workspace.inference,
            self.workspace.evaluation,
            layout,
        )

    def _predicted(self, collection: Collection) -> list[tuple[str, Entry]]:
        """Images with a reference that were segmented whole."""
        return [(i, e) for i, e in collection.entries.items() if e.sample.has_mask and e.is_whole]

    def _key(self, entry: Entry) -> Any:
        settings = self.workspace.inference
        how = settings.threshold, settings.minimum_size, settings.objects, settings.core
        return entry.prediction, how, self.workspace.evaluation

    def _known(self, identifier: str, entry: Entry) -> bool:
        return identifier in self._scored and self._scored[identifier][0] == self._key(entry)

    def _on_job(self) -> None:
        if self.runner.progress is not None or self.runner.busy:
            self._stop()  # what a person asked for goes first
        elif self._job is None:
            self.refresh()

    def _stop(self) -> None:
        if self._job is not None:
            self._job.cancel()
            self._job = self.progress = None

    def _forget(self) -> None:
        self._stop()
        self._scored.clear()
        self._asked += 1
        self.interval = UNKNOWN
        self.changed.emit()


def stored_prediction(entry: Entry, collection: Collection) -> StoredPrediction:
    """What a task needs to know of a predicted image."""
    prediction = entry.prediction
    assert prediction is not None
    assert prediction.file is not None
    return StoredPrediction(
        refer(entry.sample, collection.dataset),
        prediction.file,
        entry.group,
        entry.part or NOT_KNOWN,
        prediction.separation_kind,
        prediction.digests[-1] if len(prediction.digests) == 1 else "",
    )
