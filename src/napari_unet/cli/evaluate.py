"""The command `evaluate`: scores against reference masks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.shared.results import left_out_facts, show
from napari_unet.cli.shared.running import (
    add_empty_argument,
    add_layout_argument,
    add_on_argument,
    add_overwrite_argument,
    add_save_run_argument,
    add_scores_argument,
    recorded,
    report_left_out,
    run_task,
    start_backend,
)

if TYPE_CHECKING:
    import argparse

NAME = "evaluate"
ABOUT = "Score a model, or masks, against reference masks."
EXAMPLES = ("evaluate data --model my-model --out report", "evaluate data --masks masks --out report --json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("data", type=Path, metavar="DATA", help="Data set with reference masks.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--model",
        type=Path,
        metavar="MODEL",
        help="Model to score: folder, zip, ensemble or name of a built-in one.",
    )
    what.add_argument(
        "--masks",
        type=Path,
        metavar="DIR",
        help="Folder of masks to score, which have the names of the images.",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="Folder of report.html, report.json and iou.csv.",
    )
    add_layout_argument(parser)
    add_empty_argument(parser)
    add_scores_argument(parser)
    parser.add_argument(
        "--cluster", default="", metavar="ADDRESS",
        help="Address of a Dask scheduler whose workers segment, such as tcp://host:8786.",
    )  # fmt: skip
    add_overwrite_argument(parser)
    add_on_argument(parser)
    add_save_run_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    start_backend(options)
    from napari_unet.evaluation.report.report_files import summary_lines
    from napari_unet.settings import EvaluationSettings
    from napari_unet.workflow.evaluate.evaluate_task import EvaluateTask
    from napari_unet.workflow.inputs.content_path import ContentPath
    from napari_unet.workflow.inputs.left_out import LeftOut
    from napari_unet.workflow.replay.run_record import EvaluateRun

    settings = EvaluationSettings(empty=options.empty, scores=options.scores)
    task = EvaluateTask(
        options.data, options.out, options.model, options.masks, options.layout, settings,
        cluster=options.cluster, overwrite=options.overwrite,
    )  # fmt: skip

    def describe() -> EvaluateRun:
        return EvaluateRun(
            data=ContentPath.of(options.data),
            model=None if options.model is None else ContentPath.of(options.model),
            masks=None if options.masks is None else ContentPath.of(options.masks),
            format=options.layout,
            settings=settings,
        )

    with recorded(options, options.out, describe):
        evaluation = run_task(task, options.on)
    left = [LeftOut(*item) for item in evaluation.left_out]
    page = options.out / "report.html"
    facts = {"overall": evaluation.overall(), "report": page, "left_out": left_out_facts(left)}
    show(options, facts, [*summary_lines(evaluation), f"report in {page}"])
    return report_left_out(left)
