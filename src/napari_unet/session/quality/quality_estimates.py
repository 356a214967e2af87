"""Estimated IoU of images without a reference mask, and the queue of those that need a look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.metrics.overlap import count_overlap, scores_of_counts
from napari_unet.project.corrections.correction import IGNORE
from napari_unet.session.images.collection import SEEN
from napari_unet.workflow.inputs.image_reference import refer
from napari_unet.workflow.review.estimate_task import EstimateTask
from napari_unet.workflow.review.quality_estimate import FEWEST_KNOWN, Calibration, MemberAgreement, calibrate
from napari_unet.workflow.review.queue import at_random, worst_first

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.engine.task import Job
    from napari_unet.progress import OnProgress, Progress
    from napari_unet.session.images.collection import Collection
    from napari_unet.session.images.entry import Entry
    from napari_unet.session.task_runner import TaskRunner
    from napari_unet.session.workspace import Workspace

MOST_KNOWN = 60  # images with known IoU that are measured for the calibration


class QualityEstimates:
    """Keeps estimates of IoU once they were asked for: after more images, more corrections, a new model.

    They are calibrated on the images whose IoU is known. These have a reference mask, or they are done:
    then the predicted mask is compared with the one that a person made of it.

    Parameters
    ----------
    workspace : Workspace
        Whose images are estimated.
    runner : TaskRunner
        Where tasks run.
    """

    def __init__(self, workspace: Workspace, runner: TaskRunner) -> None:
        self.workspace, self.runner = workspace, runner
        self.calibration = Calibration()
        self._wanted: set[int] = set()  # collections that were asked for, by id
        self._job: Job | None = None  # by itself, not by a click
        self._paused = False
        self._known: dict[str, tuple[object, object, float]] = {}

    @property
    def computing(self) -> bool:
        """Whether estimates are computed that nobody clicked for."""
        return self._job is not None

    def missing(self) -> list[str]:
        """Ids of segmented images whose IoU is neither known nor estimated."""
        collection = self.workspace.collection
        entries = {} if collection is None else collection.entries
        return [i for i, e in entries.items() if e.agreement is None and _estimable(e) and e.is_whole]

    def start(self, on_end: Callable[[], None] = lambda: None) -> Job | None:
        """Estimate what is missing, in the engine; None if that is nothing, or a task runs.

        Parameters
        ----------
        on_end : callable
            Called when it ended, be it by Cancel: what was measured by then is shown.
        """
        collection = self.workspace.collection
        if collection is not None and not self.runner.busy:
            self.give_way()
        prepared = self._prepare()
        if collection is None or self.runner.busy or prepared is None:
            return None
        self._wanted.add(id(collection))
        task, on_progress = prepared

        def ended(_: Job) -> None:
            self.update_estimates()
            on_end()

        return self.runner.run(task, len(task.images), on_progress, ended)

    def _prepare(self) -> tuple[EstimateTask, OnProgress] | None:
        """What is missing as a task, and what takes its pieces; None if nothing is."""
        collection, model = self.workspace.collection, self.workspace.model
        missing = self.missing()
        if collection is None or model is None or not missing:
            return None
        known = [i for i in self._judges(collection) if collection.entries[i].agreement is None]
        ids = [*known, *missing]
        task = EstimateTask(
            model.path,
            tuple(refer(collection.entries[i].sample, collection.dataset) for i in ids),
            self.workspace.tiled_inference,
        )

        def on_progress(progress: Progress) -> None:
            if isinstance(progress.piece, MemberAgreement) and collection is self.workspace.collection:
                entry = collection.entries.get(progress.piece.id)
                if entry is not None and self.workspace.model is model:
                    entry.agreement = progress.piece

        return task, on_progress

    def keep_up(self) -> None:
        """Estimate what came since, if estimates of these images were ever asked for.

        That is no task of the person's: whatever the person asks for stops it, and it resumes afterwards.
        """
        self._paused = False
        if id(self.workspace.collection) not in self._wanted or self._job is not None:
            return
        if self.runner.busy:
            self._paused = True
            return
        prepared = self._prepare()
        if prepared is None:
            return
        task, on_progress = prepared

        def ended(job: Job) -> None:
            if self._job in (job, None):
                self._job = None
            if job.error is not None and not job.cancel_token.cancelled:
                self.runner.failed.emit(job.error.sentence, job.details)
            self.update_estimates()

        job = self.runner.engine.submit(task, on_progress, ended)
        self._job = None if job.ended else job

    def give_way(self) -> None:
        """Stop estimating by itself, for something that a person asks for; ``resume`` begins again."""
        if self._job is not None:
            job, self._job = self._job, None
            self._paused = True
            job.cancel()

    def stop(self) -> None:
        """Stop estimating by itself, until more images are segmented."""
        self.give_way()
        self._paused = False

    def resume(self) -> None:
        """Estimate again what was given up for another task, if none of the person's runs."""
        if self._paused and not self.runner.busy:
            self.keep_up()

    def update_estimates(self) -> None:
        """Turn what was measured into estimates, by what is known of IoU now."""
        collection = self.workspace.collection
        if collection is None or not any(e.agreement is not None for e in collection.entries.values()):
            return
        self._calibrate(collection)
        listed = _listed(collection)
        queued_images = {queued.id: queued for queued in worst_first(listed, self.calibration)}
        changed = []
        for identifier, entry in collection.entries.items():
            queued = queued_images.get(identifier)
            estimate, reason = (queued.iou, queued.reason) if queued is not None else (None, "")
            if (estimate, reason) != (entry.estimate, entry.reason):
                entry.estimate, entry.reason = estimate, reason
                changed.append(identifier)
        if changed:
            self.workspace.rows_changed.emit(tuple(changed))

    def _calibrate(self, collection: Collection) -> None:
        known = {i: collection.entries[i].agreement for i in self._judges(collection)}
        found = [
            (measured, self._known_iou(collection, i))
            for i, measured in known.items()
            if measured is not None
        ]
        self.calibration = Calibration()
        if len(found) >= FEWEST_KNOWN:
            self.calibration = calibrate([d for d, _ in found], [iou for _, iou in found])

    def _judges(self, collection: Collection) -> list[str]:
        """Ids of images whose IoU is known; only those the model was not trained on, where they suffice."""
        known = [
            i for i, e in collection.entries.items()
            if e.is_whole and (e.done if e.is_corrected else e.iou is not None)
        ]  # fmt: skip
        unseen = [i for i in known if collection.entries[i].part not in SEEN]
        known = unseen if len(unseen) >= FEWEST_KNOWN else known
        step = max(1, len(known) // MOST_KNOWN)
        # What a person verified is worth most.
        done = [i for i in known if collection.entries[i].done]
        return list(dict.fromkeys([*done[-MOST_KNOWN:], *known[::step]]))[:MOST_KNOWN]

    def _known_iou(self, collection: Collection, identifier: str) -> float:
        """IoU of the predicted mask of an image; NaN if it is not known."""
        entry = collection.entries[identifier]
        if not entry.is_corrected:
            return float("nan") if entry.iou is None else entry.iou
        before = self._known.get(identifier)
        if before is not None and before[0] is entry.prediction and before[1] == entry.version:
            return before[2]
        predicted = collection.predicted_mask(identifier, self.workspace.inference)
        truth = entry.corrected
        if truth is None or entry.has_strokes_only:  # a few chosen pixels say nothing of the rest
            return float("nan")
        value = float("nan")
        if predicted is not None and predicted.shape == truth.shape:
            weights = (truth != IGNORE).astype(np.float32)
            labels = np.where(truth == IGNORE, 0, truth).astype(np.uint8)
            classes = max(len(collection.classes), int(labels.max(initial=0)))
            counts = count_overlap(labels, predicted, classes, weights)
            value = float(scores_of_counts(counts, self.workspace.evaluation.empty).iou)
        self._known[identifier] = entry.prediction, entry.version, value
        return value

    # the queue

    def queue(self) -> list[str]:
        """Ids of images that are not done, worst first by known IoU, else by the estimate."""
        collection = self.workspace.collection
        entries = {} if collection is None else collection.entries
        keys = {i: _key(i, e) for i, e in entries.items() if not e.done}
        return sorted((i for i, key in keys.items() if key is not None), key=lambda i: keys[i] or ())

    def to_correct(self) -> list[str]:
        """Ids of segmented images that are not done, at random; where IoU is known, as ``queue``."""
        collection = self.workspace.collection
        entries = {} if collection is None else collection.entries
        if any(e.iou is not None for e in entries.values()):
            return self.queue()
        return at_random(i for i, e in entries.items() if _estimable(e) and e.is_whole)

    def next_after(self, identifier: str) -> str:
        """Id of the worst image not done that comes after one in the queue; from the start at its end."""
        collection = self.workspace.collection
        waiting = [i for i in self.queue() if i != identifier]
        if not waiting or collection is None:
            return ""
        entry = collection.entries.get(identifier)
        key = None if entry is None else _key(identifier, entry)
        behind = [i for i in waiting if key is not None and (_key(i, collection.entries[i]) or ()) > key]
        return (behind or waiting)[0]

    def next_to_correct(self, after: str = "") -> str:
        """Id of the first of ``to_correct``, or of the one after an image in it; empty if there is none.

        Parameters
        ----------
        after : str
            Id of an image that is passed over for now; at the end it begins again.
        """
        ids = self.to_correct()
        place = (ids.index(after) + 1) % len(ids) if after in ids else 0
        return ids[place] if ids else ""


def _key(identifier: str, entry: Entry) -> tuple[float, str] | None:
    value = entry.estimate if entry.iou is None else entry.iou
    return None if value is None else (value, identifier)


def _listed(collection: Collection) -> list[MemberAgreement]:
    return [e.agreement for e in collection.entries.values() if e.agreement is not None and _estimable(e)]


def _estimable(entry: Entry) -> bool:
    return entry.iou is None and not entry.done and entry.status in ("segmented", "corrected")
