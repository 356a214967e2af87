"""Blocks of a large image on a Dask cluster: workers read, compute and write, the caller only counts."""

from __future__ import annotations

import secrets
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from napari_unet.engine.cluster import made_of
from napari_unet.engine.fast_import import import_keras
from napari_unet.engine.hardware import default_precision
from napari_unet.errors import ModelError
from napari_unet.export.label_store import LabelStore
from napari_unet.models.ensemble import is_ensemble, load_any
from napari_unet.models.model_folder import MEMBERS, SETTINGS_FILE, WEIGHTS_FILE, model_folder
from napari_unet.workflow.large_images.answers import BlockAnswers, measure_members
from napari_unet.workflow.large_images.local_run import BlockProgress, FinishedBlock, write_outputs
from napari_unet.workflow.large_images.plan import Block, note_constant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_unet.engine.cluster import Cluster
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.workflow.large_images.answers import Measured
    from napari_unet.workflow.large_images.plan import LargeImage

# One network at a time in a process; its other threads read and write meanwhile.
_LOADING, _COMPUTING = Lock(), Lock()


@dataclass(frozen=True, eq=False)
class ClusterJob:
    """Everything a worker needs, sent once to each.

    Attributes
    ----------
    large : LargeImage
        What is to be done.
    model : dict
        Content of the files of the model.
    precision : str
        To load it with; "auto": each worker decides by its own device.
    store : pathlib.Path
        Where masks go.
    key : str
        Of the array there.
    """

    large: LargeImage
    model: dict[str, bytes]
    precision: str
    store: Path
    key: str


@dataclass(eq=False)
class _ReadyWorker:
    """An errand in a worker, with what it opened."""

    job: ClusterJob
    folder: tempfile.TemporaryDirectory[str]  # members of an ensemble are read when their turn comes
    model: AnyModel
    store: LabelStore
    answers: BlockAnswers


@dataclass(frozen=True)
class _Measure:
    name: str
    image: int


@dataclass(frozen=True)
class _Segment:
    name: str
    blocks: tuple[Block, ...]
    measured: tuple[Measured, ...]


def pack_model(path: Path) -> dict[str, bytes]:
    """Content of the files of a model, or of an ensemble that holds its members, to be sent.

    Raises
    ------
    ModelError
        If it is an ensemble whose members lie elsewhere.
    """
    with model_folder(path) as folder:
        files = {
            file.relative_to(folder).as_posix(): file.read_bytes()
            for file in sorted(folder.rglob("*"))
            if file.name in (SETTINGS_FILE, WEIGHTS_FILE)
        }
    if is_ensemble(path) and not any(name.startswith(MEMBERS) for name in files):
        raise ModelError(
            f"the members of the ensemble {path} lie elsewhere",
            code="model.ensemble.elsewhere",
            expected="an ensemble that holds its members, which can be sent to other machines",
            remedy="make it again with `napari-unet ensemble`, without --link",
        )
    return files


def run_on_cluster(
    cluster: Cluster,
    job: ClusterJob,
    todo: Sequence[Block],
    on_progress: OnProgress,
    cancel: CancelToken,
) -> None:
    """Run blocks on the workers of a cluster.

    Parameters
    ----------
    cluster : Cluster
        Connected.
    job : ClusterJob
        What they need.
    todo : sequence of Block
        That lack.
    on_progress, cancel
        As everywhere.

    Raises
    ------
    SettingsError
        If the workers cannot do it.
    ComputeError
        If the scheduler is gone.
    Cancelled
        When it was stopped; what is finished stays.
    """
    large = job.large
    cluster.check([str(job.store), *map(str, paths_of(large))])
    name = f"napari-unet-{secrets.token_hex(8)}"
    state = BlockProgress(large, list(todo), time.monotonic())
    with cluster.shared(name, job):
        images = sorted({block.image for block in todo})
        on_progress(state.progress("Measuring intensities"))
        asked = (_Measure(name, image) for image in images)
        measured = {item.image: found for item, found in cluster.spread(_measure, asked, cancel)}
        for image, found in measured.items():
            note_constant(large, image, found[0])
        state.start = time.monotonic()
        for item, _ in cluster.spread(_segment, _batches(name, large, todo, measured), cancel):
            for block in item.blocks:
                state.finished(block)
                *_, rows, columns = large.plan.result(block.number)
                on_progress(state.progress("Segmenting", FinishedBlock(block.image, rows, columns)))


def spread_on(cluster: Cluster, cancel: CancelToken) -> Callable[..., Iterator[tuple[object, object]]]:
    """What ``settle`` spreads its work by."""
    return partial(cluster.spread, cancel=cancel)


def paths_of(large: LargeImage) -> list[Path]:
    """What of the image lies on a disk, as far as it is known."""
    pixels = large.stack.pixels
    path = getattr(pixels, "path", None)
    if isinstance(path, Path):
        return [path]
    root = getattr(getattr(pixels, "store", None), "root", None)
    return [root] if isinstance(root, Path) else []


def _batches(
    name: str, large: LargeImage, todo: Sequence[Block], measured: dict[int, Measured]
) -> Iterator[_Segment]:
    for start in range(0, len(todo), large.batch):
        blocks = tuple(todo[start : start + large.batch])
        yield _Segment(name, blocks, tuple(measured[block.image] for block in blocks))


def _prepare(job: ClusterJob) -> _ReadyWorker:
    """In a worker: load the model and open the store."""
    import_keras()
    folder = tempfile.TemporaryDirectory()
    for name, content in job.model.items():
        path = Path(folder.name) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    model = load_any(Path(folder.name), default_precision() if job.precision == "auto" else job.precision)
    return _ReadyWorker(job, folder, model, LabelStore.open(job.store), BlockAnswers(job.large, model))


def _ready(name: str) -> _ReadyWorker:
    with _LOADING:
        return made_of(name, _prepare)


def _measure(task: _Measure) -> Measured:
    """In a worker: look at one image."""
    return measure_members(_ready(task.name).job.large, task.image)


def _segment(task: _Segment) -> None:
    """In a worker: read, compute and write some blocks."""
    ready = _ready(task.name)
    large = ready.job.large
    tiles = [
        ready.answers.read(block, found) for block, found in zip(task.blocks, task.measured, strict=True)
    ]
    with _COMPUTING:
        outputs = ready.answers.of(task.blocks, tiles)
    for block, output, found in zip(task.blocks, outputs, task.measured, strict=True):
        write_outputs(large, ready.model, ready.store, ready.job.key, block, output, found[0])
