"""Images of a data set through a model on the workers of a Dask cluster, to be scored by the caller."""

from __future__ import annotations

import math
import secrets
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.catalog import open_dataset
from napari_unet.data.files.reading import ImageReading, current_reading, reading_images
from napari_unet.data.masks.mask_reading import MaskReading, current_mask_reading, reading_masks
from napari_unet.data.volumes.slices import runs_of_slices
from napari_unet.engine.cluster import made_of, shared_path
from napari_unet.engine.fast_import import import_keras
from napari_unet.engine.hardware import default_precision
from napari_unet.errors import SettingsError, WorkbenchError
from napari_unet.models.ensemble import load_any
from napari_unet.models.model_folder import SETTINGS_FILE, WEIGHTS_FILE, model_folder
from napari_unet.workflow.inputs.left_out import LeftOut
from napari_unet.workflow.segment.segment_samples import segment_samples

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import Sample
    from napari_unet.engine.cluster import Cluster
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.progress import CancelToken
    from napari_unet.settings import InferenceSettings

TOGETHER = 16  # images of a task at most: whole batches of the small ones
TURNS = 4  # tasks of a worker at least, so that one that comes late or is slow keeps nobody waiting for long
# One network at a time in a process.
_LOADING, _COMPUTING = Lock(), Lock()


@dataclass(frozen=True, eq=False)
class EvaluationJob:
    """Everything a worker needs, sent once to each.

    Attributes
    ----------
    data : pathlib.Path
        Data set that all workers see.
    format : str or None
        Its layout.
    files : dict
        Content of the files of the model, by their names in its folder.
    settings : InferenceSettings or None
        Instead of the model's own.
    scores : str
        Of the evaluation: which images' objects are wanted.
    images, masks
        What a person said of how they are read.
    """

    data: Path
    format: str | None
    files: dict[str, bytes]
    settings: InferenceSettings | None
    scores: str
    images: ImageReading = field(default_factory=current_reading)
    masks: MaskReading = field(default_factory=current_mask_reading)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read images and masks so."""
        with reading_images(self.images), reading_masks(self.masks):
            yield


@dataclass(frozen=True, eq=False)
class ClusterPrediction:
    """What a worker found of one image.

    Attributes
    ----------
    id : str
        Of the image.
    mask : numpy.ndarray
        (Y, X) uint8.
    probabilities : numpy.ndarray
        (Y, X, K) float16, in which they are stored everywhere.
    objects : numpy.ndarray or None
        (Y, X) int32, where they are scored.
    separation : numpy.ndarray or None
        (Y, X) float16, what tells them apart, where they are scored and the model says it.
    """

    id: str
    mask: NDArray[np.uint8]
    probabilities: NDArray[np.float16]
    objects: NDArray[np.int32] | None
    separation: NDArray[np.float16] | None = None


@dataclass(eq=False)
class _Ready:
    """An errand in a worker, with what it opened."""

    job: EvaluationJob
    folder: tempfile.TemporaryDirectory[str]  # members of an ensemble are read when their turn comes
    model: AnyModel
    dataset: Dataset


@dataclass(frozen=True)
class _Predict:
    name: str
    ids: tuple[str, ...]


def pack_files(path: Path) -> dict[str, bytes]:
    """Content of the files of a model, or of an ensemble that holds its members, to be sent."""
    with model_folder(path) as folder:
        return {
            file.relative_to(folder).as_posix(): file.read_bytes()
            for file in sorted(folder.rglob("*"))
            if file.name in (SETTINGS_FILE, WEIGHTS_FILE)
        }


def predict_on_cluster(
    cluster: Cluster, job: EvaluationJob, parts: Sequence[tuple[str, ...]], cancel: CancelToken
) -> Iterator[ClusterPrediction | LeftOut]:
    """What the workers make of images, in order.

    Parameters
    ----------
    cluster : Cluster
        Connected.
    job : EvaluationJob
        What they need.
    parts : sequence of tuple
        Of the images, by id: what is one task, as ``divided`` gives it.
    cancel : CancelToken
        Looked at between results.

    Yields
    ------
    Answer or LeftOut
        One an image; the latter where a worker cannot read it.

    Raises
    ------
    WorkbenchError
        If the workers cannot do it, or whatever they raise.
    Cancelled
        When the token was set.
    """
    cluster.check([str(job.data)])
    name = f"napari-unet-{secrets.token_hex(8)}"
    asked = [_Predict(name, part) for part in parts]
    with cluster.shared(name, job):
        for _, found in cluster.spread_in_order(_predict, asked, cancel):
            yield from found


def divided(ids: Sequence[str], workers: int) -> list[tuple[str, ...]]:
    """Divide images among tasks: each worker gets some, and none takes too much at once."""
    size = min(TOGETHER, max(1, math.ceil(len(ids) / (TURNS * workers))))
    return [tuple(ids[start : start + size]) for start in range(0, len(ids), size)]


def whole_volumes(samples: Sequence[Sample], workers: int) -> list[tuple[str, ...]]:
    """Divide images among tasks so that slices one behind another stay together; others as ``divided``."""
    runs = runs_of_slices(samples)
    alone = [sample.id for run in runs if len(run) == 1 for sample in run]
    return [tuple(sample.id for sample in run) for run in runs if len(run) > 1] + divided(alone, workers)


def check_shareable(data: Any, model: Path | None) -> Path:
    """Refuse what workers cannot get at.

    Returns
    -------
    pathlib.Path
        Of the data set.

    Raises
    ------
    SettingsError
        If images are not in files, or there is no model to run.
    """
    if model is None:
        raise SettingsError(
            "masks that are there are scored without a cluster",
            code="settings.cluster.unsupported",
            remedy="leave out --cluster",
        )
    return shared_path(data)


def _prepare(job: EvaluationJob) -> _Ready:
    """In a worker: load the model and open the data set."""
    import_keras()
    folder = tempfile.TemporaryDirectory(prefix="napari-unet-model-")
    for name, content in job.files.items():
        file = Path(folder.name) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    model = load_any(Path(folder.name), default_precision())  # of this machine
    with job.reading():
        return _Ready(job, folder, model, open_dataset(job.data, job.format))


def _predict(task: _Predict) -> list[ClusterPrediction | LeftOut]:
    """In a worker: segment some images."""
    with _LOADING:
        ready = made_of(task.name, _prepare)
    by_id = {sample.id: sample for sample in ready.dataset.samples}
    wanted = partial(_objects_wanted, ready)
    found: list[ClusterPrediction | LeftOut] = []

    def leave_out(sample: Sample, error: WorkbenchError) -> None:
        found.append(LeftOut.of(sample, error))

    with _COMPUTING, ready.job.reading():
        samples = [by_id[i] for i in task.ids]
        results = segment_samples(samples, ready.model, ready.job.settings, on_problem=leave_out)
        for result in results:
            objects = result.objects if wanted(result.sample) else None
            probabilities = result.probabilities.astype(np.float16)
            apart = None if objects is None else result.separation
            separation = None if apart is None else apart.astype(np.float16)
            found.append(ClusterPrediction(result.sample.id, result.mask, probabilities, objects, separation))
    return found


def _objects_wanted(ready: _Ready, sample: Any) -> bool:
    if ready.job.scores == "overlap":
        return False
    if ready.job.scores == "all":
        return True
    try:
        return ready.dataset.mask(sample).objects is not None
    except WorkbenchError:
        return False  # the caller reads it, too, and leaves the image out
