"""Training a new model in a session: on what, with what, planned, started, resumed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from napari_unet.engine.task import FromCaller
from napari_unet.errors import WorkbenchError
from napari_unet.models.model_folder import STATE_FILE
from napari_unet.plain_json import BAD_CONTENT, parse_json
from napari_unet.settings import Recipe
from napari_unet.workflow.train.recipes import with_open_channels

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Collection as Ids
    from pathlib import Path

    from napari_unet.data.split import Split
    from napari_unet.project.project import Project
    from napari_unet.session.images.collection import Collection
    from napari_unet.session.learn.background_job import BackgroundJob
    from napari_unet.session.learn.candidate_version import CandidateVersion
    from napari_unet.session.painting import Painting
    from napari_unet.session.run_history import RunHistory
    from napari_unet.session.task_runner import TaskRunner
    from napari_unet.session.workspace import Workspace
    from napari_unet.workflow.finetune.train_version import Trained
    from napari_unet.workflow.inputs.labelled_images import GivenData
    from napari_unet.workflow.train.forecast_task import Plan

Source = Literal["images", "corrections"]
SETTINGS = "settings.json"


@dataclass(frozen=True)
class CutShort:
    """A training that was stopped before its end and can resume.

    Attributes
    ----------
    folder : pathlib.Path
        Of the run.
    source : str
        What it trains on, see ``NewModelTraining.sources``.
    recipe : Recipe
        As it began.
    """

    folder: Path
    source: Source
    recipe: Recipe


class NewModelTraining:
    """Trains new models on the images that are open.

    Parameters
    ----------
    workspace : Workspace
        Whose images are trained on.
    runner : TaskRunner
        Says what went wrong.
    painting : Painting
        Whose project the new model goes into.
    runs : RunHistory
        Where a training is remembered.
    background : BackgroundJob
        Where it is computed.
    candidate : CandidateVersion
        Takes the new model.

    Attributes
    ----------
    plan : Plan or None
        The newest.
    planned : tuple or None
        Source and recipe that the plan is of.
    under_way : str
        What was started last, in a sentence.
    """

    def __init__(
        self,
        workspace: Workspace,
        runner: TaskRunner,
        painting: Painting,
        runs: RunHistory,
        background: BackgroundJob,
        candidate: CandidateVersion,
    ) -> None:
        self.workspace, self.runner, self.painting, self.runs = workspace, runner, painting, runs
        self.background, self.candidate = background, candidate
        self.plan: Plan | None = None
        self.planned: tuple[Source, Recipe] | None = None
        self.under_way = ""
        self._waiting: tuple[Collection, Callable[[], Any]] | None = None  # for a project of these images

    @property
    def project(self) -> Project | None:
        """Of the images that are open."""
        return self.painting.project

    def sources(self) -> dict[Source, str]:
        """What there is to train on, in words: all images with a mask, and what was corrected."""
        collection, project = self.workspace.collection, self.project
        found: dict[Source, str] = {}
        if collection is None:
            return found
        labelled = sum(e.sample.has_mask for e in collection.entries.values())
        if labelled:
            found["images"] = _with_masks(collection, labelled)
        touched = len(project.corrections.touched()) if project is not None else 0
        if touched:
            found["corrections"] = f"corrections: {touched:,} image{'s' * (touched != 1)}"
        return found

    def without_mask(self) -> str:
        """How many images of layers have a mask, where some have none; empty if all have, or of data sets."""
        collection = self.workspace.collection
        if collection is None or collection.dataset is not None:
            return ""
        labelled = sum(e.sample.has_mask for e in collection.entries.values())
        return _some_have_masks(collection, labelled) if 0 < labelled < len(collection) else ""

    def obstacle(self) -> str:
        """Why nothing can be trained now; empty if it can."""
        if self.workspace.collection is None or not len(self.workspace.collection):
            return "Open images first."
        if self.background.obstacle:
            return self.background.obstacle
        if self.candidate.version is not None:
            return "Keep or discard the new version first."
        if not self.sources():
            return "There is no mask to learn from: open images with masks, choose a Labels layer, or paint."
        return ""

    @property
    def waits(self) -> bool:
        """Whether a training starts as soon as there is a project for it."""
        return self._waiting is not None

    def make_plan(self, source: Source, recipe: Recipe) -> None:
        """Look at the data and try a few steps; the plan comes with the end of the task."""
        from napari_unet.workflow.train.forecast_task import PlanTask

        if self.obstacle() or source not in self.sources():
            return
        self.plan = None
        try:
            data, format, split = self._data(source)
        except WorkbenchError as error:
            self.runner.failed.emit(error.sentence, "")
            return

        def finish(plan: Plan) -> None:
            self.plan, self.planned = plan, (source, recipe)

        task = PlanTask(data, recipe, format, split)
        self.background.run(task, self.workspace.collection, finish, "The check")

    def train(self, source: Source, recipe: Recipe) -> None:
        """Train; the verdict comes as that of fine-tuning does.

        Parameters
        ----------
        source : str
            One of ``sources``.
        recipe : Recipe
            With a time budget.
        """
        self._start(source, recipe, None)

    def resume(self, cut_short: CutShort) -> None:
        """Resume a training."""
        self._start(cut_short.source, cut_short.recipe, cut_short.folder)

    def cut_short(self) -> CutShort | None:
        """The last training in this project that was stopped before its end; None if none was."""
        project = self.project
        if project is None or self.background.job is not None:
            return None
        for state in sorted(project.folder.glob(f"runs/*-train/model/{STATE_FILE}"), reverse=True):
            folder = state.parent.parent
            try:
                content = parse_json((folder / SETTINGS).read_bytes())
                recipe = with_open_channels(Recipe.model_validate(content["recipe"]))
                found = CutShort(folder, content["source"], recipe)
            except (OSError, ValidationError, *BAD_CONTENT):
                continue  # of another program; it stays where it is
            if isinstance(found.source, str) and found.source in self.sources():
                return found
        return None

    def start_waiting(self) -> None:
        """Start what waited for a project of the images that are open, once there is one."""
        if self._waiting is None or self.project is None or self.background.job is not None:
            return
        (collection, start), self._waiting = self._waiting, None
        if collection is not self.workspace.collection:
            return
        why = self.obstacle()
        if why:
            self.painting.projects.noted.emit(f"The training on {collection.name} was not started. {why}")
        else:
            start()

    def drop_wish(self, failed: object = None) -> None:
        """Start nothing for images that are not open any more, or whose project cannot be made."""
        if self._waiting is None:
            return
        collection = self._waiting[0]
        if failed is collection or collection is not self.workspace.collection:
            self._waiting = None
            self.painting.projects.noted.emit(f"The training on {collection.name} was not started.")

    def _start(self, source: Source, recipe: Recipe, again: Path | None) -> None:
        from napari_unet.workflow.finetune.rounds import first_version
        from napari_unet.workflow.finetune.train_version import TrainVersionTask

        project, collection = self.project, self.workspace.collection
        if self.obstacle() or collection is None or source not in self.sources():
            return
        if project is None:
            self._waiting = collection, lambda: self._start(source, recipe, again)
            self.painting.prepare()
            return
        try:
            if self.workspace.model is not None:
                first_version(project.models, self.workspace.model.path)
            current = project.models.current
            settings = {"source": source, "recipe": recipe.model_dump(mode="json")}
            folder = again or project.new_folder("runs", "train", settings)
            data, format, split = self._data(source)
        except WorkbenchError as error:
            self.runner.failed.emit(error.sentence, "")
            return
        seen = project.corrections.seen() if source == "corrections" else {}
        task = TrainVersionTask(
            data,
            folder / "model",
            recipe,
            format,
            None if again else split,
            None if current is None else current.path,
            again is not None,
            preview=FromCaller(self.background.wanted_preview),
            stop=FromCaller(self.background.wants_stop),
            evaluation=self.workspace.evaluation,
        )
        minutes = recipe.training.minutes
        self.under_way = f"A new model of {self.sources()[source]}; {recipe.name}, {minutes:g} min."
        plan = self.plan if self.planned is not None and self.planned[0] == source else None

        def finish(result: Trained) -> None:
            self.runs.trained(task)
            whole = plan is not None and plan.step is not None and not (result.stopped or again)
            note = how_good(plan, recipe.training.minutes, result) if whole and plan is not None else ""
            self.candidate.offer(self.candidate.living(project), result, seen, 0, note)

        self.background.run(task, collection, finish)

    def _data(self, source: Source) -> tuple[Path | GivenData, str | None, Split | None]:
        """What is trained on, its layout, and the split of the project, where that is of the same images."""
        from napari_unet.workflow.inputs.labelled_images import corrected_images, labelled_images

        collection, project = self.workspace.collection, self.project
        assert collection is not None
        dataset = collection.dataset
        samples = {i: e.sample for i, e in collection.entries.items() if not collection.is_left_out(i)}
        left_out = len(samples) < len(collection.entries)
        if source == "corrections":
            assert project is not None
            groups = {i: e.group for i, e in collection.entries.items()}
            return corrected_images(project, samples, dataset, groups), None, None
        split = project.split if project is not None and project.split.train else None
        if dataset is not None:
            if {s.id for s in dataset.samples} != set(split.groups if split else ()):
                split = None
            # A path does not tell how its masks are to be read, nor which channels of its images.
            said = bool(dataset.masks_are or dataset.channels)
            if (
                not (left_out or said)
                and dataset.path.exists()
                and all(s.image_name for s in dataset.samples)
            ):
                return dataset.path, dataset.format, split
        if split is not None and left_out:
            split = _only(split, samples)
        return labelled_images(collection.name, samples, dataset, collection.classes), None, split


def _with_masks(collection: Collection, labelled: int) -> str:
    """How many images have a mask, in words."""
    if collection.dataset is None and labelled < len(collection):
        return f"the layers: {_some_have_masks(collection, labelled)}"
    name = collection.name if collection.dataset is not None else "the layers"
    classes = "" if len(collection.classes) == 1 else f" of {len(collection.classes)} classes"
    return f"{name}: {labelled:,} image{'s' * (labelled != 1)} with masks{classes}"


def _some_have_masks(collection: Collection, labelled: int) -> str:
    """That slices with nothing drawn on them are no masks."""
    classes = "" if len(collection.classes) == 1 else f" of {len(collection.classes)} classes"
    have = "has" if labelled == 1 else "have"
    return f"{labelled:,} of {len(collection):,} images {have} a mask{classes}; the others are left out"


def _only(split: Split, ids: Ids[str]) -> Split:
    """A split without the images that are left out."""
    return replace(
        split,
        train=tuple(i for i in split.train if i in ids),
        validation=tuple(i for i in split.validation if i in ids),
        held_out=tuple(i for i in split.held_out if i in ids),
        groups={i: group for i, group in split.groups.items() if i in ids},
    )


def how_good(plan: Plan, minutes: float, result: Trained) -> str:
    """How the forecast turned out, in a sentence."""
    return (
        f"Forecast: {plan.steps(minutes):,} steps and {plan.memory / 2**30:.1f} GB; "
        f"it was {result.steps:,} steps and {result.memory / 2**30:.1f} GB."
    )
