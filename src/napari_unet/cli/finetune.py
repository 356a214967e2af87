"""The command `finetune`: a model learns from corrections."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.shared.results import left_out_facts, show
from napari_unet.cli.shared.running import (
    add_layout_argument,
    add_on_argument,
    add_overwrite_argument,
    add_save_run_argument,
    note,
    recorded,
    report_left_out,
    run_task,
    start_backend,
)
from napari_unet.errors import SettingsError

if TYPE_CHECKING:
    import argparse

    from napari_unet.settings import FineTuneSettings
    from napari_unet.workflow.finetune.fine_tune_task import FineTuned
    from napari_unet.workflow.replay.run_record import FineTuneRun

NAME = "finetune"
ABOUT = "Let a model learn from corrections, and compare it with the old one."
EXAMPLES = ("finetune --model nuclei --corrections corrected --out better",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "--model", type=Path, metavar="MODEL",
        help="Model to start from: folder or zip (default: the version in use of the project).",
    )  # fmt: skip
    parser.add_argument(
        "--corrections", type=Path, required=True, metavar="DIR",
        help="Project, or folder, zip or table of images and corrected masks. Images without a mask are "
        "replayed with the model's own predictions.",
    )  # fmt: skip
    parser.add_argument(
        "--unverified", type=int, metavar="VALUE",
        help="Value of mask pixels that nobody verified (default: 255, unless masks are black and white).",
    )  # fmt: skip
    parser.add_argument(
        "--replay", type=Path, metavar="DATA",
        help="Data set that the model was trained on (default: that one if it is still there, else the "
        "rehearsal set inside the model).",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="MODEL2",
        help="Folder of the new model (default: it becomes a version of the project).",
    )  # fmt: skip
    parser.add_argument(
        "--minutes", type=float, default=1.0, help="Minutes of learning (default: %(default)s)."
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="Seed of the patches and their order (default: 0)."
    )
    add_layout_argument(parser, "the corrections")
    add_overwrite_argument(parser)
    add_on_argument(parser)
    add_save_run_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from napari_unet.project.project_file import PROJECT_FILE
    from napari_unet.settings import FineTuneSettings
    from napari_unet.workflow.train.recipes import checked

    if options.minutes <= 0:
        raise SettingsError(
            "--minutes must be above 0", code="settings.minutes.range", got=f"{options.minutes:g}"
        )
    settings = checked(FineTuneSettings, {"seconds": 60 * options.minutes, "seed": options.seed})
    if (options.corrections / PROJECT_FILE).is_file():
        return _of_project(options, settings)
    for name in ("model", "out"):
        if getattr(options, name) is None:
            raise SettingsError(
                f"--{name} is missing",
                code="settings.arguments.missing",
                expected="it, wherever --corrections is no project",
                remedy=f"give --{name}",
            )
    return _of_folder(options, settings)


def _of_folder(options: argparse.Namespace, settings: FineTuneSettings) -> int:
    """Learn from images and masks in any layout."""
    start_backend(options)
    from napari_unet.models.model_folder import read_settings
    from napari_unet.workflow.finetune.fine_tune_task import FineTuneTask
    from napari_unet.workflow.finetune.training_examples import read_corrections

    classes = len(read_settings(options.model)[2])
    corrections, others, notes = read_corrections(
        options.corrections, classes, options.layout, options.unverified
    )
    for line in notes:
        note(line)
    task = FineTuneTask(
        options.model,
        corrections,
        options.out,
        settings,
        replay=options.replay,
        others=others,
        overwrite=options.overwrite,
    )
    with recorded(options, options.out, lambda: _describe(options, options.model, settings)) as found:
        result = run_task(task, options.on)
        found["replayed"] = result.replayed
    _tell(options, result, options.model, str(options.out))
    return report_left_out(result.left_out)


def _describe(options: argparse.Namespace, model: Path, settings: FineTuneSettings) -> FineTuneRun:
    from napari_unet.workflow.inputs.content_path import ContentPath
    from napari_unet.workflow.replay.run_record import FineTuneRun

    return FineTuneRun(
        data=ContentPath.of(options.corrections),
        model=ContentPath.of(model),
        settings=settings,
        format=options.layout,
        unverified=options.unverified,
        replay=None if options.replay is None else ContentPath.of(options.replay),
    )


def _of_project(options: argparse.Namespace, settings: FineTuneSettings) -> int:
    """Learn from the corrections of a project; without --out the new model becomes a version of it."""
    from napari_unet.project.project import Project
    from napari_unet.workflow.finetune.rounds import add_version, first_version, round_of_project, start_of

    for name in ("layout", "unverified"):
        if getattr(options, name) is not None:
            raise SettingsError(
                f"--{name} is of no use with a project",
                code="settings.arguments.unused",
                remedy=f"leave out --{name}",
            )
    start_backend(options)
    with Project.open(options.corrections, read_only=options.out is not None) as project:
        model = start_of(project, options.model)
        if options.out is None:
            first_version(project.models, model)
        task, seen = round_of_project(project, model, settings, options.out, options.replay)
        task = replace(task, overwrite=options.overwrite)
        with recorded(options, task.out, lambda: _describe(options, model, settings)) as found:
            result = run_task(task, options.on)
            found["replayed"] = result.replayed
        if options.out is not None:
            _tell(options, result, model, str(options.out))
            return report_left_out(result.left_out)
        version = add_version(project, result, seen)
    use = f"use it with: napari-unet project {options.corrections} keep {version.number}"
    _tell(options, result, model, f"{version.name} of {options.corrections}", use)
    return report_left_out(result.left_out)


def _tell(options: argparse.Namespace, result: FineTuned, model: Path, where: str, *further: str) -> None:
    facts = {
        "model": result.model,
        "learned_from": result.learned_from,
        "held_out": result.held_out,
        "steps": result.steps,
        "seconds": result.seconds,
        "verdict": result.verdict,
        "judged": result.judged,
        "sentence": result.sentence,
        "left_out": left_out_facts(result.left_out),
    }
    lines = [
        f"learned from {len(result.learned_from)} corrected image{'s' * (len(result.learned_from) != 1)}, "
        f"{len(result.held_out)} held out; "
        f"{result.steps} steps in {result.seconds:.0f} s"
    ]
    if result.point < 1:
        share = 100 * result.point
        lines.append(f"took the weights {share:.0f} % of the way from the old model to the trained one")
    verdict, *more = result.sentence.split("; ")
    lines += [verdict, *(f"  {one}" for one in more)]
    if result.verdict == "worse":
        lines.append(f"the new model in {where} is worse than {model}: keep the old one")
    elif not result.judged:
        lines.append(f"nothing judged the new model in {where}: look at its masks before you use it")
    else:
        lines.append(f"new model in {where}; {model} is as it was")
    show(options, facts, [*lines, *further])
