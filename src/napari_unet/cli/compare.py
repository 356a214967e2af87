"""The command `compare`: two models on the same data, image by image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.running import add_overwrite_argument, report_left_out, run_task, start_backend

if TYPE_CHECKING:
    import argparse

NAME = "compare"
ABOUT = "Compare two models on the same data, image by image."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("data", type=Path, metavar="DATA", help="data set with reference masks")
    parser.add_argument(
        "--models",
        type=Path,
        nargs=2,
        required=True,
        metavar=("OLD", "NEW"),
        help="folders or zips of models",
    )
    parser.add_argument(
        "--report",
        type=Path,
        required=True,
        metavar="DIR",
        help="for compare.html, .json and .csv",
    )
    parser.add_argument("--format", help="layout, if it is not to be recognized")
    parser.add_argument(
        "--empty", choices=("one", "zero", "skip"), default="one",
        help="score where both masks are empty (default: one)",
    )  # fmt: skip
    parser.add_argument(
        "--scores", choices=("auto", "overlap", "all"), default="auto",
        help="auto: what the data has (default); overlap: pixels alone; all: objects and outlines, too",
    )  # fmt: skip

    add_overwrite_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    start_backend()
    from napari_unet.evaluation.report.comparison_page import caveats, summary
    from napari_unet.settings import EvaluationSettings
    from napari_unet.workflow.evaluate.compare_task import CompareReportTask
    from napari_unet.workflow.inputs.left_out import LeftOut

    old, new = options.models
    settings = EvaluationSettings(empty=options.empty, scores=options.scores)
    task = CompareReportTask(
        options.data, old, new, options.report, options.format, settings, options.overwrite
    )
    comparison = run_task(task)
    print(
        "\n".join(
            [*summary(comparison), *caveats(comparison), f"report in {options.report / 'compare.html'}"]
        )
    )
    return report_left_out([LeftOut(*item) for item in comparison.old.evaluation.left_out])
