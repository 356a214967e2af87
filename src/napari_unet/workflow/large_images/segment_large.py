"""Segmenting images that are never in memory as a whole, into OME-Zarr labels on disk."""

from __future__ import annotations

import hashlib
import shutil
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_unet import __version__
from napari_unet.atomic import check_outputs
from napari_unet.data.file_names import safe_stem
from napari_unet.data.files.decoders.image_kinds import TIFF_SUFFIXES
from napari_unet.data.files.lazy_files import open_lazy_images
from napari_unet.data.files.lazy_stack import in_order_of
from napari_unet.data.files.lazy_tiff import count_tiff_stacks, stem_of_part
from napari_unet.data.files.pages import page_name
from napari_unet.data.volumes.voxel_size import VoxelSize
from napari_unet.engine.cluster import connect
from napari_unet.engine.hardware import default_precision
from napari_unet.errors import OutputError, SettingsError, WorkbenchError
from napari_unet.export.label_files import write_label_tiff
from napari_unet.export.label_store import PRESENCE, PROBABILITIES, RAW, SPREAD, LabelStore, unfinished
from napari_unet.export.over_time import write_objects_over_time
from napari_unet.inference.object_classes import reads_classes
from napari_unet.inference.objects import way_of
from napari_unet.inference.parted_objects import ObjectWay
from napari_unet.inference.shapes.contours import refines
from napari_unet.metrics.objects_over_time import ObjectsOverTime
from napari_unet.models.ensemble import Ensemble, load_any
from napari_unet.models.image_statistics import middle
from napari_unet.progress import CancelToken, Progress, ignore_progress
from napari_unet.settings import LargeImageSettings
from napari_unet.workflow.inputs.left_out import LeftOut, Written, check_some_left
from napari_unet.workflow.inputs.pixel_scaling import coarsest_useful
from napari_unet.workflow.large_images.cluster_run import ClusterJob, pack_model, run_on_cluster, spread_on
from napari_unet.workflow.large_images.finish import finish_labels
from napari_unet.workflow.large_images.local_run import LocalRun
from napari_unet.workflow.large_images.parts import one_by_one
from napari_unet.workflow.large_images.plan import (
    Block,
    LargeImage,
    asks_presence,
    check_channels,
    plan_large_image,
)
from napari_unet.workflow.large_images.told_apart import SAID, ObjectRules, answers_of
from napari_unet.workflow.large_images.volumes.finish_volume import ObjectsInVolume, finish_volume
from napari_unet.workflow.large_images.volumes.link_slices import LargeSeries, link_slices
from napari_unet.workflow.large_images.volumes.plane_plan import plan_planes
from napari_unet.workflow.large_images.volumes.tile_answers import forget_answers
from napari_unet.workflow.large_images.volumes.volume_plan import plan_large_volume
from napari_unet.workflow.segment.large_values import LargeValues, write_large_values
from napari_unet.workflow.segment.segment_samples import slices_seen
from napari_unet.workflow.segment.segment_volumes import one_answer_only
from napari_unet.workflow.segment.segmented_stacks import OVER_TIME
from napari_unet.workflow.segment.three_planes import sees_volumes
from napari_unet.workflow.segment.unlike_images import UnlikeImages

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from distributed import Client

    from napari_unet.data.files.lazy_stack import LazyStack
    from napari_unet.engine.cluster import Cluster
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.progress import OnProgress
    from napari_unet.settings import InferenceSettings, Separation
    from napari_unet.workflow.large_images.local_run import Focus
    from napari_unet.workflow.large_images.parts import Spread

    FileFormat = Literal["ome-zarr", "tiff"]

SUFFIX = ".ome.zarr"
HEIGHTS = {"distance": "float16", "border": "float32"}  # that lose nothing
SUFFIXES = {"ome-zarr": SUFFIX, "tiff": ".ome.tif"}
# Beginnings of the codes of errors that leave other images as they are.
OF_ONE_IMAGE = ("data.image.", "data.file.", "model.channels.", "settings.channel.", "settings.level.")
WORDS = {
    "image": "another image",
    "model": "another model",
    "settings": "other settings",
    "precision": "another precision",
    "plan": "other tiles",
}


@dataclass(frozen=True)
class StartedResult:
    """A result that is being made.

    Attributes
    ----------
    store : LabelStore
        Where it goes.
    large : LargeImage
        How it is made.
    key : str
        Of the array that blocks are written to.
    todo : list of Block
        That lack.
    """

    store: LabelStore
    large: LargeImage
    key: str
    todo: list[Block]

    def show(self, block: Block) -> None:
        """Have a finished block seen on all levels before all are finished."""
        index = self.large.stack.indices[block.image]
        self.store.preview(self.key, index, *self.large.plan.result(block.number))


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


def rules_for(model: AnyModel, settings: InferenceSettings, *, objects: bool) -> ObjectRules | None:
    """What decides the objects of a large image; None if they are connected pieces, or are not wanted.

    Raises
    ------
    SettingsError
        If fragments would have to be joined, which needs the whole image.
    """
    network, classes = model.recipe.network, len(model.classes)
    whole = reads_classes(settings, classes, network.separation)
    presence = asks_presence(model, settings)
    as_one = whole or presence or refines(settings, classes)
    kind: Separation = "distance" if network.separation in {"star", "objects"} else network.separation
    some = np.zeros((1, 1), np.float32)
    how = way_of(settings, some[..., None], None if kind == "none" else some, kind)
    if not as_one and (how == "connected" or not objects):
        return None
    if how == "agglomerate" and (whole or objects):
        raise SettingsError(
            "fragments of objects are not joined over blocks",
            code="settings.objects.blocks",
            expected="objects=shape, probability, learned or connected in blocks",
            got="objects=agglomerate",
            remedy="segment a part that fits into memory, or write classes without --objects",
        )
    return ObjectRules(
        settings, ObjectWay(how, kind, settings.core), network.separation, network.activation, model.classes,
        whole, objects, presence,
    )  # fmt: skip


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
    size = settings.minimum_size
    if in_volume is not None or in_cells(model, settings):
        finish_volume(started.store, size, on_progress, cancel, spread, in_volume)
    else:
        finish_labels(
            started.store,
            size,
            on_progress,
            cancel,
            spread,
            objects=objects,
            classes=model.classes,
            rules=rules_for(model, settings, objects=objects),
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


def start_result(
    stack: LazyStack,
    model: AnyModel,
    out: Path,
    settings: InferenceSettings,
    large: LargeImageSettings,
    precision: str,
    overwrite: bool,
    *,
    objects: bool = False,
    links: bool = False,
    answers: bool = False,
    probabilities: bool = False,
    disagreement: bool = False,
    over_time: bool = False,
) -> StartedResult:
    """Make the store of a result, or take up one that was begun with the same image, model and settings.

    With `answers` all that the network says stays in it until it is finished, with `probabilities` what it
    says of classes, and with `disagreement` how far several answers lie apart.

    Raises
    ------
    OutputError
        If something else is there, or was begun otherwise.
    """
    out = out.expanduser().resolve()  # the same for workers on other machines
    path = unfinished(out)
    if overwrite:
        for old in (path, out):
            if not (old == out and out.is_file()):  # a file is replaced when the new one is whole
                _remove(old)
    if out.exists() and not (overwrite and out.is_file()):
        raise OutputError(
            f"{out} is there already",
            code="output.exists",
            expected="a new name",
            remedy="choose another folder or give --overwrite",
        )
    wanted = about_result(stack, model, settings, large, precision)
    in_volume = objects_in_volume(stack, model, settings) if objects and not over_time else None
    in_3d, cells = model.recipe.network.in_3d, in_cells(model, settings)
    if over_time and cells:
        raise SettingsError(
            "objects of volumes are not followed over time",
            code="settings.objects.unsupported",
            expected="a model with dimensions=2d or 2.5d, and orthogonal=false",
            got="dimensions=3d" if in_3d else "orthogonal=true",
            remedy="leave out --over-time",
        )
    learned = in_volume is not None and in_volume.learned
    rules = rules_for(model, settings, objects=objects)
    if objects:
        wanted["settings"]["objects"] = "connected" if rules is None else settings.objects
    if links:
        wanted["settings"]["link_objects"] = True
    if rules is not None and rules.way.how == "learned":
        wanted["settings"]["core"] = settings.core
    for name, one in (("probabilities", probabilities), ("disagreement", disagreement)):
        if one:
            wanted["settings"][name] = True
    apart = answers or (probabilities and not cells) or (rules is not None and not cells)
    whole = reads_classes(settings, len(model.classes), model.recipe.network.separation)
    if whole:
        wanted["settings"]["class_of"] = "objects"
    raw = objects or whole or disagreement or probabilities or settings.minimum_size > 1

    def plan(chunk: tuple[int, ...] | None) -> LargeImage:
        if settings.orthogonal:
            return plan_planes(stack, model, settings, large, chunk, apart=learned)
        if cells:
            return plan_large_volume(stack, model, settings, large, chunk, apart=learned)
        sides = None if chunk is None else (chunk[0], chunk[1])
        return plan_large_image(stack, model, settings, large, sides, apart=apart, disagreement=disagreement)

    if disagreement and in_3d:
        raise one_answer_only()
    if disagreement and cells:
        raise SettingsError(
            "three planes are not compared block by block",
            code="settings.planes.unsupported",
            expected="orthogonal=false",
            remedy="leave out --disagreement or --orthogonal",
        )
    if path.exists():
        store = LabelStore.open(path)
        planned = plan(tuple(store.about["chunk"]))
        check_same(store.about, wanted | tiles_of(planned), out)
    else:
        planned = plan(None)
        about = wanted | tiles_of(planned)
        dtype = "uint32" if objects else "uint8"
        shape = planned.label_shape(dtype)
        classes = () if objects else model.classes
        store = LabelStore.create(
            path, shape, stack.name, classes, about, raw=raw or apart,
            probabilities=len(model.classes) if whole and not apart else 0,
            answers=min(planned.channels, len(model.classes) + 1) if apart else 0,
            height=HEIGHTS[model.recipe.network.separation] if learned and cells else "",
        )  # fmt: skip
    if disagreement:
        store.scratch(SPREAD, "float32")
    if asks_presence(model, settings):
        store.scratch(PRESENCE, "float32", by_file=True)
    if probabilities and cells:
        store.scratch(SAID, "float16", len(model.classes))
    key = RAW if raw or apart else "0"
    there = store.written(key)
    return StartedResult(store, planned, key, planned.lacking(there, path))


def objects_in_volume(
    stack: LazyStack, model: AnyModel, settings: InferenceSettings
) -> ObjectsInVolume | None:
    """How objects are found in three dimensions; None where each slice has its own.

    Raises
    ------
    SettingsError
        If objects of volumes are not found block by block in the way that the settings say.
    """
    network = model.recipe.network
    if not sees_volumes(network, settings) or "z" not in dict(stack.leading):
        return None
    way = settings.objects
    if way == "auto":
        way = "connected" if network.separation == "none" else "learned"
    of_objects = reads_classes(settings, len(model.classes), network.separation)
    if way not in ("connected", "learned") or of_objects:
        raise SettingsError(
            "objects of large volumes are not found in this way",
            code="settings.objects.unsupported",
            expected="objects auto, connected or learned, and class_of pixels",
            got=f"objects {settings.objects}, class_of {settings.class_of}",
            remedy="change it in the settings of the model, or leave out --objects",
        )
    pixel, distance = stack.pixel_size, stack.slice_distance
    anisotropy = 1.0 if pixel is None or distance is None else VoxelSize(distance, pixel).anisotropy
    return ObjectsInVolume(
        model.classes,
        way == "learned" and network.separation != "none",
        settings.core,
        network.separation,
        anisotropy,
    )


def in_cells(model: AnyModel, settings: InferenceSettings) -> bool:
    """Whether a result is made of cells of a volume, not of parts of its slices."""
    return model.recipe.network.in_3d or settings.orthogonal


def as_seen(stack: LazyStack, model: AnyModel) -> LazyStack:
    """A stack as a model sees it: each slice with its neighbours, if it sees several as channels."""
    seen = slices_seen(model)
    return stack if stack.seen == seen else stack.with_neighbours(seen)


def _remove(path: Path) -> None:
    """Remove a result of ours; anything else stays.

    Raises
    ------
    DataError, OutputError
        If it is no result of ours, or cannot be removed.
    """
    if not path.exists():
        return
    LabelStore.open(path)
    try:
        shutil.rmtree(path)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be removed", code="output.unremovable", got=error.strerror or str(error)
        ) from error


def about_result(
    stack: LazyStack, model: AnyModel, settings: InferenceSettings, large: LargeImageSettings, precision: str
) -> dict[str, Any]:
    """All that decides the result, as JSON; stored with it."""
    decides = settings.model_dump(mode="json", include={"flips", "threshold", "minimum_size"})
    if refines(settings, len(model.classes)):
        decides["refinement"] = settings.refinement
    if asks_presence(model, settings):
        decides["least_presence"] = settings.least_presence
    if settings.orthogonal:
        decides["orthogonal"] = True
    if model.recipe.training.pixel_size and stack.pixel_size is not None:
        decides["pixel_size"] = stack.pixel_size.text
    return {
        "program": f"napari-unet-workbench {__version__}",
        "image": stack.fingerprint,
        "model": hash_of_any(model),
        "settings": {**decides, "context": large.context},
        "precision": precision,
    }


def hash_of_any(model: AnyModel) -> str:
    """Of all that decides what a model says; of an ensemble that of its members, and their weights."""
    if not isinstance(model, Ensemble):
        return model.hash
    digest = hashlib.blake2b(digest_size=16)
    for member, one in model.models():
        digest.update(f"{one.hash} {member.weight:.9g} {member.head} ".encode())
    return digest.hexdigest()


def tiles_of(planned: LargeImage) -> dict[str, Any]:
    """How it is gone about; that decides the result only where tiles do not see all that the network does."""
    return {"chunk": list(planned.chunk), "plan": None if planned.exact else planned.tiles}


def check_same(then: dict[str, Any], now: dict[str, Any], out: Path) -> None:
    """Refuse to resume a result that was begun otherwise.

    Raises
    ------
    OutputError
        Saying what is different.
    """
    for name, words in WORDS.items():
        if then.get(name) == now[name]:
            continue
        before, after = str(then.get(name)), str(now[name])
        if name == "settings":
            old, new = dict(then.get(name) or {}), now[name]
            different = [key for key in {**new, **old} if old.get(key) != new.get(key)]
            before = ", ".join(f"{key} {old.get(key)}" for key in different)
            after = ", ".join(f"{key} {new.get(key)}" for key in different)
        raise OutputError(
            f"{out} was begun with {words}",
            code="output.different",
            expected=before,
            got=after,
            remedy="continue as it was begun, choose another folder, or give --overwrite to start again",
        )
