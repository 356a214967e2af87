"""The command `evaluate`: scores against reference masks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.running import (
    add_overwrite_argument,
    add_save_run_argument,
    recorded,
    report_left_out,
    run_task,
    start_backend,
)

if TYPE_CHECKING:
    import argparse

NAME = "evaluate"
ABOUT = "Score a model, or masks, against reference masks."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("data", type=Path, metavar="DATA", help="data set with reference masks")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--model", type=Path, metavar="MODEL", help="folder or zip of a model")
    what.add_argument("--masks", type=Path, metavar="DIR", help="masks named after the images")
    parser.add_argument(
        "--report", type=Path, required=True, metavar="DIR", help="for report.html, report.json and iou.csv"
    )
    parser.add_argument("--format", help="layout, if it is not to be recognized")
    parser.add_argument(
        "--empty", choices=("one", "zero", "skip"), default="one",
        help="score where both masks are empty (default: one)",
    )  # fmt: skip
    parser.add_argument(
        "--scores", choices=("auto", "overlap", "all"), default="auto",
        help="overlap: pixels alone; auto: what fits the data; all: objects and membranes, too",
    )  # fmt: skip
    parser.add_argument(
        "--cluster", default="", metavar="ADDRESS",
        help="have the workers of this Dask scheduler segment, like tcp://host:8786",
    )  # fmt: skip
    add_overwrite_argument(parser)
    add_save_run_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    start_backend()
    from napari_unet.evaluation.report.report_files import summary_lines
    from napari_unet.settings import EvaluationSettings
    from napari_unet.workflow.evaluate.evaluate_task import EvaluateTask
    from napari_unet.workflow.inputs.content_path import ContentPath
    from napari_unet.workflow.inputs.left_out import LeftOut
    from napari_unet.workflow.replay.run_record import EvaluateRun

    settings = EvaluationSettings(empty=options.empty, scores=options.scores)
    task = EvaluateTask(
        options.data, options.report, options.model, options.masks, options.format, settings,
        cluster=options.cluster, overwrite=options.overwrite,
    )  # fmt: skip

    def describe() -> EvaluateRun:
        return EvaluateRun(
            data=ContentPath.of(options.data),
            model=None if options.model is None else ContentPath.of(options.model),
            masks=None if options.masks is None else ContentPath.of(options.masks),
            format=options.format,
            settings=settings,
        )

    with recorded(options, options.report, describe):
        evaluation = run_task(task)
    print("\n".join([*summary_lines(evaluation), f"report in {options.report / 'report.html'}"]))
    return report_left_out([LeftOut(*item) for item in evaluation.left_out])
