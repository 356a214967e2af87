"""A round of learning in a project: from the version it starts from to the one that it makes."""

from __future__ import annotations

import filecmp
from typing import TYPE_CHECKING

from napari_unet.errors import ModelError
from napari_unet.models.card import ModelCard
from napari_unet.models.model_folder import WEIGHTS_FILE, model_folder
from napari_unet.workflow.finetune.fine_tune_task import FineTuneTask
from napari_unet.workflow.finetune.fine_tuned import FineTuned
from napari_unet.workflow.finetune.project_examples import of_project
from napari_unet.workflow.finetune.train_version import Trained

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_unet.project.model_version import Version
    from napari_unet.project.model_versions import ModelStore
    from napari_unet.project.project import Project
    from napari_unet.settings import FineTuneSettings


def start_of(project: Project, model: Path | None) -> Path:
    """The model that a round starts from: the one given, else the version in use.

    Raises
    ------
    ModelError
        If there is neither.
    """
    if model is not None:
        return model
    current = project.models.current
    if current is None:
        raise ModelError(
            f"the project {project.folder} has no version of a model yet",
            code="model.version.missing",
            expected="a model to start from",
            remedy="give one with --model",
        )
    return current.path


def first_version(store: ModelStore, model: Path) -> None:
    """See to it that the model a round starts from is a version, and the one in use.

    Raises
    ------
    ModelError, OutputError
        If it cannot be read, or copied.
    """
    known = [v for v in store.versions() if v.path == model or same_model(v.path, model)]
    if known:
        if store.current is None or store.current.number not in {v.number for v in known}:
            store.keep(known[0].number)
        return
    card = ModelCard.read(model)
    scores = {} if card.validation_iou is None else {"validation_iou": card.validation_iou}
    with model_folder(model) as folder:
        store.add(folder, scores=scores, parent=0, note=f"from {card.name}", keep=True)


def round_of_project(
    project: Project,
    model: Path,
    settings: FineTuneSettings,
    out: Path | None = None,
    replay: Path | None = None,
) -> tuple[FineTuneTask, Mapping[str, int]]:
    """A round on the corrections of a project whose images are on the disk.

    Parameters
    ----------
    project : Project
        Open.
    model : pathlib.Path
        To start from.
    settings : FineTuneSettings
        Time budget and rates.
    out : pathlib.Path, optional
        Folder of the new model; a new run of the project if not given.
    replay : pathlib.Path, optional
        The data set the model was trained on; the project's own, if it is that, if not given.

    Returns
    -------
    task : FineTuneTask
        To be run.
    seen : mapping
        What a version that comes of it has seen.

    Raises
    ------
    DataError
        If nothing was corrected, or the images are not there.
    """
    examples = of_project(project, ModelCard.read(model).provenance)
    if out is None:
        out = project.new_folder("runs", "fine-tune", {"seconds": settings.seconds}) / "model"
    task = FineTuneTask(
        model,
        examples.corrections,
        out,
        settings,
        replay=replay or examples.replay,
        replay_format=None if replay else examples.replay_format,
        others=examples.others,
        judges=examples.judges,
        reserve=examples.reserve,
    )
    return task, examples.seen


def add_version(
    project: Project, result: FineTuned | Trained, seen: Mapping[str, int], parent: int | None = None
) -> Version:
    """Make a version of what was learned; it is not in use yet.

    Parameters
    ----------
    project : Project
        That it goes into.
    result : FineTuned or Trained
        With the folder of the model, which is copied, and the verdict.
    seen : mapping
        Id of every corrected image to the number of the last stroke on it, when learning began.
    parent : int, optional
        The version that it started from, 0 if from none; the one in use if not given.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    comparison = result.comparison
    found = {
        "held_out_iou": None if comparison is None else comparison.new_iou,
        "difference": None if comparison is None else comparison.difference,
        "low": None if comparison is None else comparison.low,
        "high": None if comparison is None else comparison.high,
        "held_out_images": None if comparison is None else float(len(comparison.images)),
    }
    note = result.verdict
    if isinstance(result, FineTuned) and result.forgetting is not None:
        found["known_before"] = result.forgetting.new_iou
        found["forgotten"] = result.forgetting.difference
    if isinstance(result, Trained):
        found |= {"held_out_iou": result.held_out_iou, "validation_iou": result.validation_iou}
        if comparison is None and result.held_out_iou is not None:
            found["held_out_images"] = float(result.judged)
        note = result.how if comparison is None else f"{result.how}, {note}"
    return project.models.add(
        result.model,
        scores={name: value for name, value in found.items() if value is not None},
        corrections=seen,
        parent=parent,
        note=note,
        seconds=project.corrections.total().seconds,
    )


def same_model(first: Path, second: Path) -> bool:
    """Whether two models have the same weights, to the byte."""
    if not (first / WEIGHTS_FILE).is_file():
        return False
    with model_folder(second) as folder:
        other = folder / WEIGHTS_FILE
        return other.is_file() and filecmp.cmp(first / WEIGHTS_FILE, other, shallow=False)
