"""The command `compare`: two models on the same data, image by image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.shared.results import left_out_facts, show
from napari_unet.cli.shared.running import (
    add_empty_argument,
    add_layout_argument,
    add_overwrite_argument,
    add_scores_argument,
    report_left_out,
    run_task,
    start_backend,
)

if TYPE_CHECKING:
    import argparse

NAME = "compare"
ABOUT = "Compare two models on the same data, image by image."
EXAMPLES = ("compare data --models nuclei my-model --out comparison",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("data", type=Path, metavar="DATA", help="Data set with reference masks.")
    parser.add_argument(
        "--models",
        type=Path,
        nargs=2,
        required=True,
        metavar=("OLD", "NEW"),
        help="The two models: folders, zips or names of built-in models.",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="Folder of the report: compare.html, .json and .csv.",
    )
    add_layout_argument(parser)
    add_empty_argument(parser)
    add_scores_argument(parser)
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
    task = CompareReportTask(options.data, old, new, options.out, options.layout, settings, options.overwrite)
    comparison = run_task(task)
    left = [LeftOut(*item) for item in comparison.old.evaluation.left_out]
    page = options.out / "compare.html"
    before, after = comparison.summaries
    show(
        options,
        {
            "models": [old, new],
            "iou": comparison.comparison.to_json(),
            "per_class": {"old": before.get("per_class", {}), "new": after.get("per_class", {})},
            "report": page,
            "left_out": left_out_facts(left),
        },
        [*summary(comparison), *caveats(comparison), f"report in {page}"],
    )
    return report_left_out(left)
