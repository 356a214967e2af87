"""Members of an ensemble, each trained by a worker of a Dask cluster."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING

from napari_unet.atomic import remove_partials
from napari_unet.data.files.reading import ImageReading, current_reading, reading_images
from napari_unet.data.masks.mask_reading import MaskReading, current_mask_reading, reading_masks
from napari_unet.engine.cluster import shared_path
from napari_unet.engine.fast_import import import_keras
from napari_unet.models.model_folder import SETTINGS_FILE, STATE_FILE
from napari_unet.progress import CancelToken, Progress, ignore_progress

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_unet.engine.cluster import Cluster
    from napari_unet.progress import OnProgress
    from napari_unet.workflow.train.train_task import TrainTask

LOOK = 1.0  # seconds between two looks whether a run continues
_TRAINING = Lock()  # one network at a time in a process


@dataclass(frozen=True, eq=False)
class _Member:
    """A training, and what a person said of how its images and masks are read."""

    task: TrainTask
    running: Path
    images: ImageReading = field(default_factory=current_reading)
    masks: MaskReading = field(default_factory=current_mask_reading)


class WhileRunning(CancelToken):
    """In a worker: set when the run is over that a training belongs to.

    Parameters
    ----------
    mark : pathlib.Path
        A file that is there until then; looked for once a second.
    """

    def __init__(self, mark: Path) -> None:
        super().__init__()
        self._mark = mark
        self._looked = -math.inf

    @property
    def cancelled(self) -> bool:
        """Whether the run is over."""
        now = time.monotonic()
        if now - self._looked >= LOOK:
            self._looked = now
            if not self._mark.exists():
                self.cancel()
        return super().cancelled


def check_workers(cluster: Cluster | None, task: TrainTask, folder: Path) -> None:
    """Refuse to begin where workers cannot train; errors as ``Cluster.check``.

    Parameters
    ----------
    cluster : Cluster or None
        Connected; None: this process, which can.
    task : TrainTask
        Whose data the workers must see.
    folder : pathlib.Path
        That they must see, too.
    """
    if cluster is not None:
        cluster.check([str(_for_others(task).data), str(folder)])


def train_on_cluster(
    cluster: Cluster,
    tasks: Sequence[TrainTask],
    running: Path,
    on_progress: OnProgress,
    cancel: CancelToken,
) -> None:
    """Train models that do not depend on one another; each is written by its worker.

    Parameters
    ----------
    cluster : Cluster
        Connected, and checked by ``check_workers``.
    tasks : sequence of TrainTask
        One a model.
    running : pathlib.Path
        A file; workers stop soon after it is gone.
    on_progress : callable
        Takes a Progress; models are counted.
    cancel : CancelToken
        Looked at between results.

    Raises
    ------
    WorkbenchError
        Whatever a training raises.
    Cancelled
        When the token was set.
    """
    sent = [_Member(_for_others(task), running) for task in tasks]
    on_progress(Progress(0, len(sent), "Training models"))
    for done, _ in enumerate(cluster.spread(_train, sent, cancel), start=1):
        on_progress(Progress(done, len(sent), "Training models"))


def _for_others(task: TrainTask) -> TrainTask:
    """The task as it can be sent, with paths that do not depend on where one stands."""
    init = None if task.init is None else task.init.expanduser()
    return replace(
        task,
        data=shared_path(task.data),
        out=task.out.expanduser().resolve(),
        init=init.resolve() if init is not None and init.exists() else init,
        on_epoch=None,
        on_validation=None,
        stop=None,
    )


def _train(member: _Member) -> None:
    """In a worker: train one; resume one that died."""
    task, going = member.task, WhileRunning(member.running)
    with _TRAINING:
        going.check()
        if (task.out / SETTINGS_FILE).exists():
            return
        import_keras()
        remove_partials(task.out)  # of a worker that died while it wrote
        resumed = replace(task, resume=(task.out / STATE_FILE).exists())
        with reading_images(member.images), reading_masks(member.masks):
            resumed.run(ignore_progress, going)
