"""One sitting at the workbench: images, a model, what it said, and the engine that computes."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_unet.errors import ModelError, WorkbenchError
from napari_unet.evaluation.words import threshold_note
from napari_unet.models.card import ModelCard, find_models
from napari_unet.models.shipped import shipped_models
from napari_unet.progress import Progress
from napari_unet.session.data_problems import DataProblems
from napari_unet.session.learning import Learning
from napari_unet.session.overall_score import OverallScore
from napari_unet.session.painting import Painting
from napari_unet.session.quality_estimates import Estimates
from napari_unet.session.run_history import SessionRuns
from napari_unet.settings import EvaluationSettings, InferenceSettings
from napari_unet.workflow.inputs.image_reference import refer
from napari_unet.workflow.review.estimate_task import EstimateTask
from napari_unet.workflow.segment.predict_task import Prediction, PredictTask, RescoreTask, WarmTask

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.data.masks.mask_reading import Choice
    from napari_unet.engine.task import Engine, Job, Task
    from napari_unet.progress import OnProgress
    from napari_unet.session.collection import Collection
    from napari_unet.session.image_row import ImageRow
    from napari_unet.session.overall_score import Overall
    from napari_unet.workflow.segment.predict_task import Region

LARGE = 2**22  # pixels above which a mask is made aside, so that the window does not wait
SMALLEST_TILE = 16  # pixels, as the settings have it


class Session:
    """What the window shows and does, without a window.

    Everything is called, and every signal comes, in one thread: that of the engine's dispatcher.

    Parameters
    ----------
    engine : Engine
        Where tasks run.
    dispatch : callable
        Runs a function without arguments in the session's thread; the engine's own dispatcher.
    """

    leaving = Signal()  # the images at hand are about to be others: last chance to hand in what was painted
    collection_changed = Signal()
    rows_changed = Signal(tuple)  # ids whose rows are different now
    current_changed = Signal(str)  # id of the image at hand, "" for none
    mask_changed = Signal(str)  # id whose mask is different now
    score_changed = Signal(str)  # id whose agreement with the reference is different now
    model_changed = Signal()
    job_changed = Signal()
    overall_changed = Signal()
    failed = Signal(str, str)  # sentence, details

    def __init__(self, engine: Engine, dispatch: Callable[[Callable[[], None]], None]) -> None:
        self.engine = engine
        self.dispatch = dispatch
        self.collection: Collection | None = None
        self.current = ""
        self.models: dict[Path, ModelCard] = {}
        self.model: ModelCard | None = None
        self.inference = InferenceSettings()
        self.tile = 0  # length of the sides of tiles, in pixels; 0: the model's own
        self.evaluation = EvaluationSettings()
        self.job: Job | None = None
        self.progress: Progress | None = None
        self._rescoring: Job | None = None
        self._rescore_wanted = False  # as soon as what runs has ended
        self._aside = ThreadPoolExecutor(1, "session")
        self._overall = OverallScore(dispatch, self.overall_changed.emit)
        self._problems = DataProblems(dispatch, self.rows_changed.emit)
        self.runs = SessionRuns(self)
        self.painting = Painting(self)
        self.estimates = Estimates(self)
        self.learning = Learning(self)
        self.painting.project_changed.connect(self._offer_versions)
        self.job_changed.connect(self._rescore_if_wanted)

    def close(self) -> None:
        """Stop what runs and leave nothing behind."""
        self.learning.close()
        self.engine.close()
        self._overall.close()
        self._problems.close()
        self.painting.finish()
        self._aside.shutdown(wait=True)  # strokes may wait for a project that is being made
        self.painting.close()
        if self.collection is not None:
            self.collection.close()

    # images

    def show(self, collection: Collection | None, current: str = "") -> None:
        """Work on these images from now on."""
        self.leaving.emit()
        if collection is not self.collection:
            self.cancel()
            self.collection = collection
            self.current = ""
            self._use_model()
            self._overall.forget()
            self.collection_changed.emit()
            self._score_overall()
            self._problems.look_for(collection)
            self.painting.look_for_project()
        elif collection is not None:
            if self.current not in collection.entries:
                self.current = ""
            self.collection_changed.emit()
        ids = collection.ids if collection is not None else ()
        self.select(current if current in ids else next(iter(ids), ""))

    def select(self, identifier: str) -> None:
        """Take an image to hand."""
        if identifier != self.current:
            self.current = identifier
            self.current_changed.emit(identifier)

    def rows(self) -> list[ImageRow]:
        """A row for each image, in order."""
        if self.collection is None:
            return []
        return [self.collection.row(i) for i in self.collection.ids]

    def row(self, identifier: str) -> ImageRow:
        """The row of one image."""
        assert self.collection is not None
        return self.collection.row(identifier)

    def leave_out_problems(self, *, leave_out: bool) -> None:
        """Keep the images that `inspect` finds wrong out of training and scores, or let them in again."""
        if self.collection is not None:
            self.collection.leave_out_flaws = leave_out
            self._score_overall()

    def read_masks_as(self, masks_are: Choice) -> None:
        """Let the project of the images remember how their masks are read; who opens them does so then."""
        project = self.painting.project
        if project is not None:
            try:
                project.read_masks_as(masks_are)
            except WorkbenchError as error:
                self.failed.emit(error.sentence, "")

    def tell_problem(self, identifier: str, sentence: str) -> None:
        """Let the row of an image say what is wrong with it."""
        if self.collection is not None and identifier in self.collection.entries:
            self.collection.entries[identifier].problem = sentence
            self.rows_changed.emit((identifier,))

    # model

    def add_models(self, folder: Path) -> list[ModelCard]:
        """Offer the models in a folder, or the folder or zip that is one.

        Raises
        ------
        ModelError
            If there is none, or one cannot be read.
        """
        paths = [folder] if folder.is_file() else find_models(folder)
        if not paths:
            raise ModelError(
                f"there is no model in {folder}",
                code="model.missing",
                expected="a folder or zip that `napari-unet train --out` wrote",
                remedy="choose another folder, or train a model",
            )
        cards = [ModelCard.read(path) for path in paths]
        self.models.update({card.path: card for card in cards})
        return cards

    def offer_shipped_models(self) -> None:
        """Offer the models that come with the program."""
        for path in shipped_models().values():
            try:
                card = ModelCard.read(path)
                self.models.setdefault(card.path, card)
            except WorkbenchError as error:
                self.failed.emit(error.sentence, "")

    def _offer_versions(self) -> None:
        """Offer the versions of the project at hand; take the one in use if no model is chosen."""
        project = self.painting.project
        version = project.models.current if project is not None else None
        if project is None or version is None:
            return
        try:
            self.add_models(project.folder / "models")
            card = self.models.get(version.path) or ModelCard.read(version.path)
        except WorkbenchError as error:
            self.failed.emit(error.sentence, "")
            return
        if self.model is None:
            self.choose_model(card)
        else:
            self.model_changed.emit()

    def offered(self) -> list[ModelCard]:
        """Models that may be suggested: of a project's versions the one in use alone."""
        project = self.painting.project
        if project is None:
            return list(self.models.values())
        folder, current = project.folder / "models", project.models.current
        used = None if current is None else current.path
        return [c for p, c in self.models.items() if p == used or folder not in p.parents]

    def choose_model(self, card: ModelCard | None) -> None:
        """Segment with this model from now on. What another one said is forgotten."""
        if card is self.model:
            return
        self.model = card
        self.runs.done.pop("segment", None)  # its masks are forgotten, too
        if card is not None:
            self.models.setdefault(card.path, card)
            self.inference = card.recipe.inference
        if self.collection is not None:
            self.cancel()
            self.collection.forget_predictions()
            self.collection.model = None
            self._use_model()
            self.rows_changed.emit(self.collection.ids)
            self.mask_changed.emit(self.current)
            self.score_changed.emit(self.current)
            self._score_overall()
        self.model_changed.emit()

    def _use_model(self) -> None:
        """Let the collection know the model's classes, and the parts of its split by the images' names."""
        collection, model = self.collection, self.model
        if collection is None or model is None:
            return
        if collection.model not in (None, model):
            collection.forget_predictions()
        collection.model = model
        collection.classes = model.classes
        collection.activation = model.recipe.network.activation
        data = model.provenance.get("data") or {}
        split = model.provenance.get("split") or {}
        dataset = collection.dataset
        same = dataset is not None and (data.get("name"), data.get("images")) == (dataset.name, len(dataset))
        groups = split.get("groups") or {}
        for part in ("train", "validation", "held_out"):
            for identifier in split.get(part) or () if same else ():
                if identifier in collection.entries:
                    entry = collection.entries[identifier]
                    entry.part = entry.part or part.replace("_", "-")
                    entry.group = entry.group or str(groups.get(identifier, ""))

    def misfit(self, channels: int | None) -> str:
        """Why the model cannot be put on images with so many channels; empty if it can."""
        if self.model is None or channels is None:
            return ""
        return self.model.misfit(channels)

    # computing

    @property
    def tiled_inference(self) -> InferenceSettings:
        """How the model is put on images, with the tiles that a person prefers."""
        if not self.tile:
            return self.inference
        return self.inference.model_copy(update={"tile": max(self.tile, SMALLEST_TILE)})

    @property
    def busy(self) -> bool:
        """Whether a task of the person's runs or waits."""
        return self.job is not None

    @property
    def at_stake(self) -> bool:
        """Whether work of the person's would be lost by closing now; estimates are made anew any time."""
        segmenting = self.job is not None and not isinstance(self.job.task, EstimateTask)
        return segmenting or self.learning.job is not None

    def warm(self, shape: tuple[int, int, int] | None = None) -> None:
        """Have the computing process ready before it is needed."""
        self.engine.submit(WarmTask(self.model.path if self.model else None, shape, self.tiled_inference))

    def segment(
        self,
        identifiers: Sequence[str],
        region: Region | None = None,
        shape: tuple[int, int] | None = None,
    ) -> Job | None:
        """Segment images; each is shown as soon as it is finished.

        Parameters
        ----------
        identifiers : sequence of str
            In the order in which they are wanted.
        region : Region, optional
            Only this part of the one image.
        shape : tuple of int, optional
            (Y, X) of that image.

        Returns
        -------
        Job or None
            None if there is no model or nothing to do.
        """
        collection, model = self.collection, self.model
        if collection is None or model is None or not identifiers or self.busy:
            return None
        self._rescore_wanted |= self._rescoring is not None
        self._stop_rescoring()
        how = self._how
        task = PredictTask(
            model.path,
            tuple(refer(collection.entries[i].sample, collection.dataset) for i in identifiers),
            collection.folder,
            self.tiled_inference,
            region,
            shape,
        )

        def on_progress(progress: Progress) -> None:
            if collection is not self.collection or model is not self.model:
                return  # what another model says of other images comes too late
            if isinstance(progress.piece, Prediction):
                self._take(collection, progress.piece, how)

        def on_end(job: Job) -> None:
            self._rescore_wanted |= how != self._how
            self._score_overall()
            if job.state == "done":
                if model is self.model:
                    self.runs.segmented(task, collection)
                self.estimates.keep_up()

        return self.run_task(task, len(identifiers), on_progress, on_end)

    def run_task(
        self, task: Task[Any], total: int, on_progress: OnProgress, on_end: Callable[[Job], None]
    ) -> Job:
        """Run a task of the person's: its progress is shown, it can be cancelled, its error is told.

        Parameters
        ----------
        task : Task
            Frozen.
        total : int
            Units of it, until it tells itself; 0 if unknown.
        on_progress, on_end : callable
            Take each Progress, and the ended Job.
        """
        self.estimates.give_way()
        self.progress = Progress(0, total, "Starting")
        self.job_changed.emit()

        def progressed(progress: Progress) -> None:
            self.progress = progress
            on_progress(progress)
            self.job_changed.emit()

        def ended(job: Job) -> None:
            if self.job in (job, None):
                self.job = None
                self.progress = None
            if job.error is not None and not job.cancel_token.cancelled:
                self.failed.emit(job.error.sentence, job.details)
            on_end(job)
            self.job_changed.emit()
            self.estimates.resume()

        # An engine that runs the task at once ends it before this returns.
        job = self.engine.submit(task, progressed, ended)
        self.job = None if job.ended else job
        self.job_changed.emit()
        return job

    def cancel(self) -> None:
        """Stop what runs; what is finished stays."""
        self._stop_rescoring()
        self.estimates.stop()
        if self.job is not None:
            self.job.cancel()

    @property
    def _how(self) -> tuple[float, int]:
        """What predicted masks are made with now."""
        return self.inference.threshold, self.inference.minimum_size

    def _take(self, collection: Collection, prediction: Prediction, how: tuple[float, int]) -> None:
        entry = collection.entries.get(prediction.id)
        if entry is None:
            return
        entry.problem = prediction.problem
        if prediction.file is not None:
            before = entry.prediction
            if before is not None and before.shape == prediction.shape and not prediction.whole:
                # What else was segmented of it is still in the file.
                prediction = replace(
                    prediction,
                    regions=(*before.regions, *prediction.regions),
                    digests=(*before.digests, *prediction.digests),
                )
            entry.prediction = prediction
            entry.part = prediction.part or entry.part
            if not entry.is_corrected:
                entry.score(prediction.counts, self.evaluation.empty, how)
                self.mask_changed.emit(prediction.id)
                self.score_changed.emit(prediction.id)
        self.rows_changed.emit((prediction.id,))
        self._score_overall()

    # masks

    def set_postprocessing(self, threshold: float, minimum_size: int) -> None:
        """Make masks from the kept probabilities anew; those of other images are scored aside."""
        changed = {"threshold": threshold, "minimum_size": minimum_size}
        self.inference = self.inference.model_copy(update=changed)
        if self.collection is not None and self.current:
            entry = self.collection.entries[self.current]
            if not entry.is_corrected and entry.prediction is not None:
                self.mask_changed.emit(self.current)

    def rescore(self) -> None:
        """Score all predicted images with the present threshold and minimum size, in the engine.

        While a task of the person's runs this waits for its end.
        """
        collection = self.collection
        self._stop_rescoring()
        self._rescore_wanted = collection is not None and self.busy
        if collection is None or self.model is None or self.busy:
            self._score_overall()  # which leaves out scores of an earlier threshold
            return
        how = self._how
        wanted = [
            e for e in collection.entries.values()
            if e.prediction is not None and e.prediction.file is not None
            and not e.is_corrected and e.sample.has_mask
        ]  # fmt: skip
        if not wanted:
            return
        task = RescoreTask(
            tuple(refer(e.sample, collection.dataset) for e in wanted),
            tuple(e.prediction.file for e in wanted if e.prediction and e.prediction.file),
            len(collection.classes),
            self.model.recipe.network.activation,
            self.inference,
        )

        def on_progress(progress: Progress) -> None:
            if collection is not self.collection or not isinstance(progress.piece, tuple):
                return
            identifier, counts = progress.piece
            entry = collection.entries.get(identifier)
            if entry is not None and not entry.is_corrected and identifier != self.current:
                entry.score(counts, self.evaluation.empty, how)
                self.rows_changed.emit((identifier,))
                self._score_overall()

        self.estimates.give_way()  # a task that runs holds up all behind it
        self._rescoring = self.engine.submit(task, on_progress, lambda _: self.estimates.resume())

    def _rescore_if_wanted(self) -> None:
        if self._rescore_wanted and not self.busy and self.progress is None:
            self.rescore()

    def _stop_rescoring(self) -> None:
        if self._rescoring is not None:
            self._rescoring.cancel()
            self._rescoring = None

    def mask(self, identifier: str) -> NDArray[np.uint8] | None:
        """(Y, X) uint8 with classes 1..K: as corrected, else as predicted; None if there is neither."""
        if self.collection is None:
            return None
        return self.collection.mask(identifier, self.inference)

    def with_mask(self, identifier: str, show: Callable[[NDArray[np.uint8] | None], Any]) -> None:
        """Hand the mask of an image to `show`: at once, or, for a large image, when it is made."""
        collection = self.collection
        if collection is None:
            return
        entry = collection.entries[identifier]
        shape = entry.prediction.shape if entry.prediction is not None else (0, 0)
        if entry.is_corrected or shape[0] * shape[1] <= LARGE:
            show(collection.mask(identifier, self.inference))
            return

        def make() -> None:
            mask = collection.mask(identifier, self.inference)
            self.dispatch(lambda: show(mask))

        self._aside.submit(make)

    def score_mask(self, identifier: str, mask: NDArray[np.uint8]) -> None:
        """Score the mask of an image as it is shown."""
        collection = self.collection
        if collection is None or identifier not in collection.entries:
            return

        entry = collection.entries[identifier]
        how = self._how if not entry.is_corrected else None
        if how is not None and entry.counts is not None and entry.scored_with == how:
            self.score_changed.emit(identifier)  # counted where it was predicted
            return

        def count() -> None:
            collection.count(identifier, mask, self.evaluation.empty, how)
            self.dispatch(told)

        def told() -> None:
            self.score_changed.emit(identifier)
            self.rows_changed.emit((identifier,))
            self._score_overall()

        if mask.size <= LARGE:
            collection.count(identifier, mask, self.evaluation.empty, how)
            told()
        else:
            self._aside.submit(count)

    def run_aside(self, work: Callable[[], None]) -> None:
        """Run something in a thread, after what waits there; nothing once the session is closed."""
        with contextlib.suppress(RuntimeError):
            self._aside.submit(work)

    # scores

    @property
    def threshold_note(self) -> str:
        """Why the scores flatter, where the threshold is not the model's own; else empty."""
        if self.model is None:
            return ""
        return threshold_note(self.inference, self.model.recipe.inference)

    @property
    def overall(self) -> Overall | None:
        """Scores over all images that have one; None if none has."""
        return self._overall.value

    def _score_overall(self) -> None:
        self._overall.request(self.collection, self.evaluation, self._how)

    def load_model(self, path: Path) -> None:
        """Offer the models of a folder and choose the newest; errors go to ``failed``."""
        try:
            cards = self.add_models(path)
        except WorkbenchError as error:
            self.failed.emit(error.sentence, "")
            return
        self.choose_model(cards[0])
