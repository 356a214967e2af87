"""Segmenting images that are never in memory as a whole, into OME-Zarr labels on disk."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Literal

from napari_unet.atomic import check_outputs
from napari_unet.data.file_names import safe_stem
from napari_unet.data.files.decoders.image_kinds import TIFF_SUFFIXES
from napari_unet.data.files.lazy_files import open_lazy_images
from napari_unet.data.files.lazy_stack import in_order_of
from napari_unet.data.files.lazy_tiff import count_tiff_stacks, stem_of_part
from napari_unet.data.files.pages import page_name
from napari_unet.engine.cluster import connect
from napari_unet.engine.hardware import default_precision
from napari_unet.errors import WorkbenchError
from napari_unet.export.label_files import write_label_tiff
from napari_unet.export.label_store import PROBABILITIES, SPREAD, unfinished
from napari_unet.export.over_time import write_objects_over_time
from napari_unet.metrics.objects_over_time import ObjectsOverTime
from napari_unet.models.ensemble import load_any
from napari_unet.models.image_statistics import middle
from napari_unet.progress import CancelToken, Progress, ignore_progress
from napari_unet.settings import LargeImageSettings
from napari_unet.workflow.inputs.left_out import LeftOut, Written, check_some_left
from napari_unet.workflow.inputs.pixel_scaling import coarsest_useful
from napari_unet.workflow.large_images.cluster_run import ClusterJob, pack_model, run_on_cluster, spread_on
from napari_unet.workflow.large_images.finish import finish_labels
from napari_unet.workflow.large_images.local_run import LocalRun
from napari_unet.workflow.large_images.parts import one_by_one
from napari_unet.workflow.large_images.plan import check_channels
from napari_unet.workflow.large_images.start_result import (
    as_seen,
    in_cells,
    objects_in_volume,
    rules_for,
    start_result,
)
from napari_unet.workflow.large_images.told_apart import answers_of
from napari_unet.workflow.large_images.volumes.finish_volume import finish_volume
from napari_unet.workflow.large_images.volumes.link_slices import LargeSeries, link_slices
from napari_unet.workflow.large_images.volumes.tile_answers import forget_answers
from napari_unet.workflow.segment.large_values import LargeValues, write_large_values
from napari_unet.workflow.segment.segmented_stacks import OVER_TIME
from napari_unet.workflow.segment.unlike_images import UnlikeImages

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from distributed import Client

    from napari_unet.data.files.lazy_stack import LazyStack
    from napari_unet.engine.cluster import Cluster
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.progress import OnProgress
    from napari_unet.settings import InferenceSettings
    from napari_unet.workflow.large_images.local_run import Focus
    from napari_unet.workflow.large_images.parts import Spread

    FileFormat = Literal["ome-zarr", "tiff"]

SUFFIX = ".ome.zarr"
SUFFIXES = {"ome-zarr": SUFFIX, "tiff": ".ome.tif"}
# Beginnings of the codes of errors that leave other images as they are.
OF_ONE_IMAGE = ("data.image.", "data.file.", "model.channels.", "settings.channel.", "settings.level.")


@dataclass(frozen=True)
class SegmentLargeTask:
    """Segment large files one after another; each becomes an OME-Zarr of labels.

    A TIFF with several series that differ in size becomes as many, STEM_000.ome.zarr and so on.

    Attributes
    ----------
    inputs : tuple of pathlib.Path
        OME-Zarr, Zarr arrays, TIFF.
    model : pathlib.Path
        Folder, zip, or one that comes with the program.
    out : pathlib.Path
        Folder of the results, STEM.ome.zarr each; STEM.ome.zarr.unfinished until they are whole.
    settings : InferenceSettings, optional
        Instead of the model's own.
    large : LargeImageSettings
        Memory, context, level.
    channels : tuple of str
        Names or numbers of the channels to take; empty: all.
    overwrite : bool
        Whether what was begun, or is there, is replaced.
    objects : bool
        Whether connected pieces get numbers of their own, in place of their classes.
    cluster : str or distributed.Client
        Whose workers do it, the address of a Dask scheduler or a client; empty: this process.
    beside_others : bool
        Whether the caller segments other images as well, so that it is no error if all of these are left
        out.
    link_objects : bool
        Whether an object of a stack has one number in all slices where it overlaps itself.
    file_format : str
        "ome-zarr", or "tiff": a tiled OME-TIFF with the same levels, STEM.ome.tif.
    probabilities, disagreement : bool
        Whether these are written, too: STEM_probabilities.ome.zarr and STEM_disagreement.ome.zarr.
    over_time : bool
        Whether the files, in their order, and the slices of each stack are time series, see ``SegmentTask``.
        Objects are written.
    """

    inputs: tuple[Path, ...]
    model: Path
    out: Path
    settings: InferenceSettings | None = None
    large: LargeImageSettings = field(default_factory=LargeImageSettings)
    channels: tuple[str, ...] = ()
    overwrite: bool = False
    cluster: str | Client = ""
    objects: bool = False
    beside_others: bool = False
    link_objects: bool = False
    file_format: FileFormat = "ome-zarr"
    probabilities: bool = False
    disagreement: bool = False
    over_time: bool = False

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Written:
        """Segment; gives the paths of the results. A run that was stopped continues where it was.

        A damaged image of several is left out, and the others are segmented.

        Raises
        ------
        DataError, ModelError, SettingsError
            If no image can be read, or none fits the model, or one does not fit what was begun.
        OutputError
            If a result is in the way, or the disk refuses.
        Cancelled
            When the person stopped it.
        """
        self.check_targets()
        on_progress(Progress(0, 0, "Loading the model"))
        precision = default_precision()
        model = load_any(self.model, precision)
        with connect(self.cluster) if self.cluster else nullcontext() as cluster:
            # Each machine of a cluster decides by its own device.
            return self._segment(model, "auto" if cluster else precision, cluster, on_progress, cancel)

    def _segment(
        self,
        model: AnyModel,
        precision: str,
        cluster: Cluster | None,
        on_progress: OnProgress,
        cancel: CancelToken,
    ) -> Written:
        level = None if self.large.level < 0 else self.large.level
        done, left = [], []
        unlike = UnlikeImages(model.provenance, model.normalization)
        results = self._results()
        every: dict[str, LargeSeries] = {}
        single = 0
        for path, stems in results:
            for number, stem in enumerate(stems):
                name = path.name if len(stems) == 1 else page_name(path.name, number)
                try:
                    stack = self._stack(path, number, level, model)
                    check_channels(as_seen(stack, model), model)
                    if unlike.is_known:
                        unlike.compare(name, stack.read(stack.indices[0], *map(middle, stack.shape[:2])))
                    series = None
                    if self.over_time:
                        name_of = (
                            stack.name
                            if stack.leading
                            else "large images"
                            if self.beside_others
                            else "images"
                        )
                        series = every.setdefault(name_of, LargeSeries(over_time=ObjectsOverTime()))
                        if not stack.leading:
                            series.frames = single
                            single += 1
                    done.append(
                        segment_stack(
                            stack, model, self.out / f"{stem}{self._suffix}", self.settings, self.large,
                            precision=precision, overwrite=self.overwrite, on_progress=on_progress,
                            cancel=cancel, cluster=cluster, source=self.model,
                            objects=self.objects or self.over_time,
                            link_objects=self.link_objects, probabilities=self.probabilities,
                            disagreement=self.disagreement, series=series,
                        )
                    )  # fmt: skip
                except WorkbenchError as error:
                    if not error.code.startswith(OF_ONE_IMAGE):
                        raise
                    if len(results) == len(stems) == 1 and not self.beside_others:
                        raise
                    left.append(LeftOut(name, error.sentence, error.code, stem))
        if self.over_time:
            for series in every.values():
                series.close()
            rows = {name: one.over_time.finish() for name, one in every.items() if one.over_time is not None}
            write_objects_over_time(self.out / OVER_TIME, rows, model.classes, append=self.beside_others)
        if not self.beside_others:
            check_some_left(left, len(done) + len(left))
        return Written(done, left, unlike.sentence)

    def _stack(self, path: Path, number: int, level: int | None, model: AnyModel) -> LazyStack:
        """A stack of a file, with the channels that are wanted."""
        stack = open_lazy_images(path, level, coarsest_useful(model))[number]
        if self.channels:
            stack = stack.choose(self.channels)
        return in_order_of(model.normalization.channel_names, stack)

    @property
    def _suffix(self) -> str:
        return SUFFIXES[self.file_format]

    def check_targets(self) -> None:
        """Refuse to replace results that are there; what was begun is continued. See ``check_outputs``."""
        targets = [self.out / f"{stem}{self._suffix}" for _, stems in self._results() for stem in stems]
        kinds = [PROBABILITIES] * self.probabilities + [SPREAD] * self.disagreement
        # Those of a mask that lacks something were made for it, and are made again with it.
        targets += [next_to(out, kind) for out in targets if not unfinished(out).exists() for kind in kinds]
        # With other images the table is theirs, and rows are added to it.
        targets += [self.out / OVER_TIME] * (self.over_time and bool(self.inputs) and not self.beside_others)
        check_outputs(targets, self.inputs, overwrite=self.overwrite)

    def _results(self) -> list[tuple[Path, list[str]]]:
        """Each file with the stems of its results, all different."""
        counts = [count_tiff_stacks(path) for path in self.inputs]
        wanted = [
            safe_stem(stem_of_part(path, number, count))
            for path, count in zip(self.inputs, counts, strict=True)
            for number in range(count)
        ]
        taken: list[str] = []
        for base in wanted:
            stem, again = base, 1
            while stem.lower() in {t.lower() for t in taken}:
                again += 1
                stem = f"{base}_{again}"
            taken.append(stem)
        stems = iter(taken)
        return [(path, list(islice(stems, count))) for path, count in zip(self.inputs, counts, strict=True)]


def next_to(out: Path, kind: str) -> Path:
    """Where something else of an image goes: STEM_probabilities.ome.zarr with STEM.ome.zarr."""
    name, dot, suffix = out.name.partition(".ome.")
    if not dot:
        name, suffix = out.stem, out.suffix.lstrip(".")
    return out.with_name(f"{name}_{kind}{dot or '.'}{suffix}")


def segment_stack(
    stack: LazyStack,
    model: AnyModel,
    out: Path,
    settings: InferenceSettings | None = None,
    large: LargeImageSettings | None = None,
    *,
    precision: str = "float32",
    overwrite: bool = False,
    objects: bool = False,
    link_objects: bool = False,
    probabilities: bool = False,
    disagreement: bool = False,
    series: LargeSeries | None = None,
    focus: Focus = lambda: None,
    cluster: Cluster | None = None,
    source: Path | None = None,
    on_begun: Callable[[Path], None] | None = None,
    on_progress: OnProgress = ignore_progress,
    cancel: CancelToken | None = None,
) -> Path:
    """Segment a stack that is never in memory as a whole; resume an earlier run that was stopped.

    Parameters
    ----------
    stack : LazyStack
        By ``lazy_stack`` of any array, or ``open_lazy`` of a file.
    model : Model or Ensemble
        To be put on it.
    out : pathlib.Path
        Of the result, an OME-Zarr of labels; a tiled TIFF of the same levels if it ends in .tif.
    settings : InferenceSettings, optional
        Instead of the model's own.
    large : LargeImageSettings, optional
        Memory and context.
    precision : str
        That the model was loaded with.
    overwrite : bool
        Whether what was begun, or is there, is replaced.
    objects : bool
        Whether the labels are numbers of objects (uint32), connected pieces of one class each, not classes.
    link_objects : bool
        Whether an object of a stack has one number in all slices where it overlaps itself, see
        ``StackNumbers``. Those of a model that sees several slices are found in three dimensions anyway.
    probabilities : bool
        Whether the probability of each class is written, too, to ``next_to(out, "probabilities")``.
    disagreement : bool
        Whether it is written how far the members of an ensemble, or one model's answers to the flipped image,
        lie apart, to ``next_to(out, "disagreement")``.
    series : LargeSeries, optional
        Time series that the images continue: objects have their numbers in it, and it notes what becomes of
        them.
    focus : callable
        Gives image, y and x that are wanted first; asked again and again.
    cluster : Cluster, optional
        Whose workers do it; `model` is only planned with then.
    source : pathlib.Path, optional
        Where `model` was loaded from, for those workers.
    on_begun : callable, optional
        Takes the path of what is being made, to be looked at meanwhile: coarser levels follow the
        blocks then, if they are made here.
    on_progress : callable
        Takes a Progress; blocks that are finished are its pieces.
    cancel : CancelToken, optional
        Checked before every batch.

    Returns
    -------
    pathlib.Path
        `out`.

    Raises
    ------
    As ``SegmentLargeTask.run``.
    """
    cancel = cancel or CancelToken()
    settings = settings or model.recipe.inference
    large = large or LargeImageSettings()
    if not settings.orthogonal:
        stack = as_seen(stack, model)
    in_volume = objects_in_volume(stack, model, settings) if objects and series is None else None
    links = objects and (series is not None or (link_objects and in_volume is None and bool(stack.leading)))
    started = start_result(
        stack, model, out, settings, large, precision, overwrite, objects=objects, links=links,
        probabilities=probabilities, disagreement=disagreement, over_time=series is not None,
    )  # fmt: skip
    if on_begun is not None:
        on_begun(started.store.path)
    spread: Spread = one_by_one
    if cluster is not None:
        assert source is not None
        job = ClusterJob(started.large, pack_model(source), precision, started.store.path, started.key)
        run_on_cluster(cluster, job, started.todo, on_progress, cancel)
        spread = spread_on(cluster, cancel)
    elif started.todo:
        local = LocalRun(started.large, model, started.store, started.key)
        local.run(started.todo, on_progress, cancel, focus, None if on_begun is None else started.show)
    size, rules = settings.minimum_size, rules_for(model, settings, objects=objects)
    if in_volume is not None or in_cells(model, settings):
        finish_volume(started.store, size, on_progress, cancel, spread, in_volume, rules)
    else:
        finish_labels(
            started.store,
            size,
            on_progress,
            cancel,
            spread,
            objects=objects,
            classes=model.classes,
            rules=rules,
        )
        if links:
            link_slices(
                started.store, model.classes, on_progress, cancel, spread, series=series, name=stack.name
            )
    names = tuple(axis for axis, _ in stack.leading)
    for wanted, kind, channels in ((probabilities, PROBABILITIES, model.classes), (disagreement, SPREAD, ())):
        if wanted:
            key = SPREAD if kind == SPREAD else answers_of(started.store)
            known = (names, channels, stack.name, stack.pixel_size, stack.slice_distance)
            write_large_values(
                next_to(out, kind), LargeValues(started.store.array(key), *known), on_progress, cancel,
                tiff=out.suffix.lower() in TIFF_SUFFIXES,
            )  # fmt: skip
    if out.suffix.lower() in TIFF_SUFFIXES:
        store = started.store
        write_label_tiff(
            out,
            [store.array(number) for number in range(len(store.levels))],
            [axis for axis, _ in stack.leading],
            stack.name,
            () if objects else model.classes,
            stack.pixel_size,
            None if stack.leading else store.read_numbered(),
            on_progress,
            cancel,
        )
        if series is None:
            shutil.rmtree(started.store.path, ignore_errors=True)
        else:
            series.remove_later(started.store.path)
    else:
        forget_answers(started.store.path)
        done = started.store.finish(out)
        if series is not None:
            series.moved_to(done)
    return out
