"""What was done in a session, to be saved as run records."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from napari_unet.workflow.inputs.image_reference import CallReference, FileReference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.data.files.pixel_size import PixelSize
    from napari_unet.data.sample import ReferenceMask
    from napari_unet.engine.task import Job
    from napari_unet.session.images.collection import Collection
    from napari_unet.session.task_runner import TaskRunner
    from napari_unet.session.workspace import Workspace
    from napari_unet.settings import InferenceSettings
    from napari_unet.workflow.evaluate.report_task import ReportTask
    from napari_unet.workflow.export.export_task import ExportTask
    from napari_unet.workflow.export.mask_sources import CallerMasks
    from napari_unet.workflow.finetune.fine_tune_task import FineTuneTask
    from napari_unet.workflow.finetune.train_version import TrainVersionTask
    from napari_unet.workflow.inputs.content_path import ContentPath
    from napari_unet.workflow.inputs.image_reference import ImageReference
    from napari_unet.workflow.inputs.labelled_images import LabelledImage
    from napari_unet.workflow.replay.attachments import UsedImage
    from napari_unet.workflow.replay.run_record import Run
    from napari_unet.workflow.segment.predict_task import PredictTask
    from napari_unet.workflow.segment.prediction import Prediction


@dataclass(frozen=True)
class FinishedRun:
    """A run of this session.

    Attributes
    ----------
    title : str
        For people.
    run : Run
        How it is repeated, without the images that are named one by one.
    out : str
        A name for the place of its result.
    images : mapping
        Field of the run to those images.
    """

    title: str
    run: Run
    out: str
    images: Mapping[str, tuple[UsedImage, ...]] = field(default_factory=dict)

    @property
    def attached(self) -> int:
        """How many images may have to be written next to the run record."""
        return len(
            {
                used.image.id
                for images in self.images.values()
                for used in images
                if used.mask is not None or isinstance(used.image, CallReference)
            }
        )


class RunHistory:
    """The last run of each kind in a session.

    Only its task is remembered until somebody asks: run records are for few, and imports are slow.

    Parameters
    ----------
    workspace : Workspace
        Whose runs.
    runner : TaskRunner
        Where tasks run.

    Attributes
    ----------
    finished : dict
        Kind of run ("segment", "learn", "export" or "report") to a function that describes the last one.
    """

    def __init__(self, workspace: Workspace, runner: TaskRunner) -> None:
        self.workspace, self.runner = workspace, runner
        self.finished: dict[str, Callable[[], FinishedRun]] = {}

    def forget_segmentation(self) -> None:
        """Forget what another model did: its masks are forgotten, too."""
        self.finished.pop("segment", None)

    def segmented(self, task: PredictTask, collection: Collection) -> None:
        """Remember a segmentation, and what of each image is segmented by now."""
        entries = collection.entries
        said = {i.id: entries[i.id].prediction for i in task.images if i.id in entries}
        self.finished["segment"] = partial(_segmentation, task, said)

    def fine_tuned(self, task: FineTuneTask, replayed: str = "") -> None:
        """Remember a round of learning, and what it replayed."""
        self.finished["learn"] = partial(_fine_tuning, task, replayed)

    def trained(self, task: TrainVersionTask) -> None:
        """Remember a training from nothing."""
        self.finished["learn"] = partial(_training, task)

    def exported(self, task: ExportTask, source: CallerMasks, inference: InferenceSettings) -> None:
        """Remember an export of the current masks, and the settings that these were made by.

        Masks of large images are on disk alone: an export of these cannot be repeated from a record.
        """
        if not source.handed:
            self.finished.pop("export", None)
            return
        model = None if self.workspace.model is None else self.workspace.model.path
        self.finished["export"] = partial(_export, task, source, model, inference)

    def reported(self, task: ReportTask) -> None:
        """Remember a report."""
        self.finished["report"] = partial(_report, task, self.workspace.tiled_inference)

    def save(self, kind: str, path: Path, on_saved: Callable[[Path], None]) -> Job | None:
        """Write the record of a run, in the engine: images are read, what went in is hashed.

        Parameters
        ----------
        kind : str
            A key of ``done``.
        path : pathlib.Path
            Of the file; replaced if it is there, which a person was asked about. Images that are in no
            file, and masks that a person made, go into folders next to it that are called after it.
        on_saved : callable
            Takes the path when it is written.

        Returns
        -------
        Job or None
            None if something else runs, or there is no such run.
        """
        from napari_unet.workflow.replay.run_record import SegmentRun
        from napari_unet.workflow.replay.save_record import SaveRecordTask

        if kind not in self.finished or self.runner.busy:
            return None
        done = self.finished[kind]()
        run = done.run
        if isinstance(run, SegmentRun) and run.settings is not None:
            # Threshold and minimum size are followed at once: the current masks are of those of now.
            now = self.workspace.inference
            made = {"threshold": now.threshold, "minimum_size": now.minimum_size}
            run = run.model_copy(update={"settings": run.settings.model_copy(update=made)})
        task = SaveRecordTask(run, path.parent / done.out, path, done.images)

        def on_end(job: Job) -> None:
            if job.state == "done":
                on_saved(job.result)

        return self.runner.run(task, 0, lambda _: None, on_end, "Saving the run")


def _segmentation(task: PredictTask, said: Mapping[str, Prediction | None]) -> FinishedRun:
    from napari_unet.workflow.inputs.content_path import ContentPath
    from napari_unet.workflow.replay.run_record import SegmentRun

    images = [image for image in task.images if said.get(image.id) is not None]
    used = tuple(_predicted(image, said[image.id], whole=False) for image in images)
    title = f"Segmentation of {_count(used)}"
    if any(image.regions for image in used):
        title = f"Segmentation of a part of {_count(used)}"
    run = SegmentRun(model=ContentPath.of(task.model), settings=task.settings)
    data, layout, names = _data_of(images)
    if data is not None and not any(image.regions for image in used):
        run = run.model_copy(update={"data": (data,), "format": layout, "names": names})
        return FinishedRun(title, run, "masks")
    return FinishedRun(title, run, "masks", {"images": used})


def _fine_tuning(task: FineTuneTask, replayed: str) -> FinishedRun:
    from napari_unet.workflow.inputs.content_path import ContentPath
    from napari_unet.workflow.replay.run_record import FineTuneRun

    run = FineTuneRun(
        model=ContentPath.of(task.model),
        settings=task.settings,
        reserve=task.reserve,
        evaluation=task.evaluation,
        replay=None if task.replay is None else ContentPath.of(task.replay),
        replay_format=task.replay_format,
        replayed=replayed,
    )
    images = {
        "images": _taught(task.corrections),
        "judges": tuple(_labelled(image) for image in task.judges),
        "others": _plain(task.others),
    }
    return FinishedRun(f"Fine-tuning on {_count(images['images'])}", run, "fine-tuned", images)


def _training(task: TrainVersionTask) -> FinishedRun:
    from pathlib import Path

    from napari_unet.workflow.inputs.content_path import ContentPath
    from napari_unet.workflow.replay.run_record import TrainRun

    data = task.data
    split = task.split if isinstance(data, Path) else task.split or data.split
    run = TrainRun(recipe=task.recipe, split=None if split is None else split.to_json())
    if isinstance(data, Path):
        run = run.model_copy(update={"data": ContentPath.of(data), "format": task.format})
        return FinishedRun("Training", run, "model")
    run = run.model_copy(update={"name": data.name, "classes": data.classes})
    return FinishedRun(f"Training on {_count(data.items)}", run, "model", {"images": _taught(data.items)})


def _export(
    task: ExportTask, source: CallerMasks, model: Path | None, inference: InferenceSettings
) -> FinishedRun:
    from napari_unet.workflow.inputs.content_path import ContentPath
    from napari_unet.workflow.replay.run_record import ExportRun, SliceOf

    images = [image for image in source.references if image.id in source.handed]
    handed = [source.handed[image.id] for image in images]
    sizes = {i: task.pixel_size or source.pixel_sizes.get(i) for i in source.handed}
    used = tuple(
        _predicted(image, mask.prediction, mask.corrected, _exact(sizes[image.id]), objects=mask.objects)
        for image, mask in zip(images, handed, strict=True)
    )
    predicted = model is not None and any(image.predicted for image in used)
    run = ExportRun(
        model=ContentPath.of(model) if model is not None and predicted else None,
        settings=inference,
        classes=source.classes,
        formats=task.formats,
        pattern=task.pattern,
        numbers=task.numbers,
        one_file=task.one_file,
        link_objects=task.link_objects,
        slices={name: SliceOf(**asdict(place)) for name, place in task.slices.items()},
    )
    title = f"Export of {_count(used)}"
    data, layout, names = _data_of(images)
    simple = predicted and not any(i.mask is not None or i.regions for i in used)
    if data is not None and simple and len(set(sizes.values())) == 1:
        size = used[0].pixel_size
        run = run.model_copy(
            update={"data": (data,), "format": layout, "names": names, "pixel_size": size, "classes": ()}
        )
        return FinishedRun(title, run, "export")
    return FinishedRun(title, run, "export", {"images": used})


def _report(task: ReportTask, inference: InferenceSettings) -> FinishedRun:
    from napari_unet.workflow.inputs.content_path import ContentPath
    from napari_unet.workflow.replay.run_record import EvaluateRun

    run = EvaluateRun(model=ContentPath.of(task.model), settings=task.rules.evaluation, inference=inference)
    title = f"Report on {_count(task.images)}"
    data, layout, names = _data_of([kept.image for kept in task.images])
    if data is not None and not task.masks_are:  # a path does not tell how its masks are to be read
        run = run.model_copy(update={"data": data, "format": layout, "names": names})
        return FinishedRun(title, run, "report")
    run = run.model_copy(update={"name": task.name, "classes": task.rules.classes})
    used = tuple(_labelled(kept.image, kept.group or kept.image.id, kept.digest) for kept in task.images)
    return FinishedRun(title, run, "report", {"images": used})


def _predicted(
    image: ImageReference,
    prediction: Prediction | None,
    corrected: NDArray[np.uint8] | None = None,
    pixel_size: str = "",
    *,
    whole: bool = True,
    objects: NDArray[np.int32] | None = None,
) -> UsedImage:
    """An image that a model was put on, or whose mask a person made, or both."""
    from napari_unet.data.sample import ReferenceMask
    from napari_unet.engine.task import FromCaller
    from napari_unet.workflow.replay.attachments import UsedImage

    mask = None if corrected is None else FromCaller(lambda: ReferenceMask(corrected, objects))
    if prediction is None or prediction.file is None:
        return UsedImage(image, predicted=False, mask=mask, pixel_size=pixel_size)
    regions = tuple((r.top, r.left, r.bottom, r.right) for r in prediction.regions)
    shape: tuple[int, int] | None = prediction.shape
    if regions == ((0, 0, *prediction.shape),):
        regions, shape = (), None
    return UsedImage(image, regions, shape, prediction.digests, whole, mask=mask, pixel_size=pixel_size)


def _taught(corrections: Iterable[LabelledImage]) -> tuple[UsedImage, ...]:
    """Images with what a person said of them when learning began."""
    from napari_unet.data.sample import ReferenceMask
    from napari_unet.engine.task import FromCaller
    from napari_unet.workflow.replay.attachments import UsedImage

    found = []
    for correction in corrections:
        if correction.labels is None:
            found.append(_labelled(correction.image, correction.group))
            continue
        known = ReferenceMask(correction.labels, correction.objects, correction.weights)
        mask = FromCaller(partial(_same, known))
        found.append(UsedImage(correction.image, mask=mask, group=correction.group))
    return tuple(found)


def _same(mask: ReferenceMask) -> ReferenceMask:
    return mask


def _labelled(image: ImageReference, group: str = "", digest: str = "") -> UsedImage:
    """An image with its reference mask, which goes along where it is in no file."""
    from napari_unet.workflow.replay.attachments import UsedImage

    mask = image.mask if isinstance(image, CallReference) else None
    return UsedImage(image, digests=(digest,) if digest else (), mask=mask, group=group)


def _plain(images: Iterable[ImageReference]) -> tuple[UsedImage, ...]:
    from napari_unet.workflow.replay.attachments import UsedImage

    return tuple(UsedImage(image) for image in images)


def _count(images: Sequence[object]) -> str:
    return f"{len(images):,} image{'s' * (len(images) != 1)}"


def _data_of(images: Sequence[ImageReference]) -> tuple[ContentPath | None, str | None, tuple[str, ...]]:
    """The one data set that images are of, its layout, and their ids; None if they are of no one set."""
    from napari_unet.workflow.inputs.content_path import ContentPath

    files = [image for image in images if isinstance(image, FileReference)]
    places = {(image.path, image.format) for image in files}
    chosen = any(image.channels for image in files)  # a path does not tell which channels are read
    if chosen or len(files) != len(images) or len(places) != 1:
        return None, None, ()
    ((path, layout),) = places
    return ContentPath.of(path), layout, tuple(image.id for image in files)


def _exact(size: PixelSize | None) -> str:
    """As ``parse_pixel_size`` reads it, to all digits."""
    return "" if size is None else f"{float(size.y)!r}x{float(size.x)!r} {size.unit}"
