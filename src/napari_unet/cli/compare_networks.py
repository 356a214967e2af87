"""The command `compare-networks`: which network suits these images, all trained alike."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.shared.results import left_out_facts, show
from napari_unet.cli.shared.running import (
    QUIET,
    add_layout_argument,
    add_overwrite_argument,
    add_scores_argument,
    add_set_argument,
    report_left_out,
    run_task,
    start_backend,
)
from napari_unet.cli.shared.tables import print_table

if TYPE_CHECKING:
    import argparse

    from napari_unet.evaluation.report.network_comparison import NetworkComparison

NAME = "compare-networks"
ABOUT = "Train several networks for the same time on the same images, and compare them."
EXAMPLES = ("compare-networks data --networks unet,segnet --minutes 5 --out comparison",)
EVERY = "all"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("data", type=Path, metavar="DATA", help="Data set with reference masks.")
    parser.add_argument(
        "--networks",
        default=EVERY,
        metavar="A,B,C",
        help="Networks; `napari-unet networks` lists them (default: all that answer for each pixel).",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=10.0,
        help="Minutes of training for each network. 0: the amount of the recipe (default: %(default)g).",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR",
        help="Folder of networks.html, .csv, .json, .md and the models. The same command resumes there.",
    )  # fmt: skip
    parser.add_argument(
        "--recipe", default="fast", help="Name of the recipe: fast, accurate or paper (default: %(default)s)."
    )
    add_set_argument(parser)
    add_overwrite_argument(parser)
    parser.add_argument("--split", type=Path, metavar="FILE", help="File with the split to use.")
    add_layout_argument(parser)
    add_scores_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    start_backend()
    from napari_unet.evaluation.report.network_comparison import summary
    from napari_unet.networks.registry import pixel_networks
    from napari_unet.settings import EvaluationSettings
    from napari_unet.workflow.evaluate.compare_networks import CompareNetworksTask
    from napari_unet.workflow.inputs.left_out import LeftOut
    from napari_unet.workflow.train.recipes import recipe

    names = tuple(name.strip() for name in options.networks.split(",") if name.strip())
    if names == (EVERY,):
        names = ("unet", *(name for name in pixel_networks() if name != "unet"))
    task = CompareNetworksTask(
        options.data,
        names,
        options.minutes,
        options.out,
        recipe(options.recipe, [*options.changes, f"training.minutes={options.minutes}"]),
        options.layout,
        options.split,
        EvaluationSettings(scores=options.scores),
        tuple(options.changes),
        lambda name: None if QUIET.get() else print(name, file=sys.stderr, flush=True),
        options.overwrite,
    )
    comparison = run_task(task)
    left = [LeftOut(*item) for item in comparison.left_out]
    page = options.out / "networks.html"
    facts = {
        "networks": [
            {"name": one.name, "pooled_iou": one.pooled_iou, "minutes": comparison.minutes}
            for one in comparison.ranked
        ],
        "report": page,
        "left_out": left_out_facts(left),
    }
    if not options.json:
        _print_table(comparison)
    show(options, facts, [*summary(comparison), f"report in {page}"])
    return report_left_out(left)


def _print_table(comparison: NetworkComparison) -> None:
    from napari_unet.evaluation.report.network_page import cells_of, columns_of

    print_table([(title, number) for title, number, _ in columns_of(comparison)], cells_of(comparison))
