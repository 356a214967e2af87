"""Members of an ensemble, each trained by a worker of a Dask cluster."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from napari_unet.engine.lean import import_keras
from napari_unet.errors import SettingsError
from napari_unet.models.model import SETTINGS_FILE, STATE_FILE
from napari_unet.progress import CancelToken, Progress, ignore_progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.engine.cluster import Cluster
    from napari_unet.progress import OnProgress
    from napari_unet.workflow.train import TrainTask

_TRAINING = Lock()  # one network at a time in a process


@dataclass(frozen=True)
class _Member:
    task: TrainTask


def train_on_cluster(
    cluster: Cluster, tasks: Sequence[TrainTask], on_progress: OnProgress, cancel: CancelToken
) -> None:
    """Train models that do not depend on one another; each is written by its worker.

    Parameters
    ----------
    cluster : Cluster
        Connected; its workers see data and folders of the models under the same paths.
    tasks : sequence of TrainTask
        One a model.
    on_progress : callable
        Takes a Progress; models are counted.
    cancel : CancelToken
        Looked at between results; a training that runs already ends by itself, and what it wrote is gone on
        from with ``resume``.

    Raises
    ------
    SettingsError
        If the workers cannot do it.
    WorkbenchError
        Whatever a training raises.
    Cancelled
        When the token was set.
    """
    sent = [_Member(_for_others(task)) for task in tasks]
    for member in sent:
        member.task.out.mkdir(parents=True, exist_ok=True)
        if not member.task.resume:  # what is there then was begun by a worker that died
            (member.task.out / STATE_FILE).unlink(missing_ok=True)
            (member.task.out / SETTINGS_FILE).unlink(missing_ok=True)
    cluster.check([*{str(m.task.data) for m in sent}, *(str(m.task.out) for m in sent)])
    on_progress(Progress(0, len(sent), "Training models"))
    for done, _ in enumerate(cluster.spread(_train, sent, cancel), start=1):
        on_progress(Progress(done, len(sent), "Training models"))


def _for_others(task: TrainTask) -> TrainTask:
    """The task as it can be sent, with paths that do not depend on where one stands."""
    if not isinstance(task.data, Path):
        raise SettingsError(
            "a cluster cannot read these images",
            expected="a data set on storage that all machines share",
            remedy="leave out the cluster",
        )
    init = None if task.init is None else task.init.expanduser()
    return replace(
        task,
        data=task.data.expanduser().resolve(),
        out=task.out.expanduser().resolve(),
        init=init.resolve() if init is not None and init.exists() else init,
        on_epoch=None,
        on_look=None,
        stop=None,
    )


def _train(member: _Member) -> None:
    """In a worker: train one; go on where another was that died."""
    task = member.task
    if (task.out / SETTINGS_FILE).exists():
        return
    with _TRAINING:
        import_keras()
        resumed = replace(task, resume=(task.out / STATE_FILE).exists())
        resumed.run(ignore_progress, CancelToken())
