"""The command `compare-networks`: which network suits these images, all trained alike."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.running import add_overwrite_argument, report_left_out, run_task, start_backend
from napari_unet.cli.tables import print_table

if TYPE_CHECKING:
    import argparse

    from napari_unet.evaluation.report.network_comparison import NetworkComparison

NAME = "compare-networks"
ABOUT = "Train several networks for the same time on the same images, and compare them."
EVERY = "all"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("data", type=Path, metavar="DATA", help="data set with reference masks")
    parser.add_argument(
        "--networks",
        default=EVERY,
        metavar="A,B,C",
        help="names from `napari-unet networks` (default: all that answer for each pixel)",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=10.0,
        help="of training for each; 0: the recipe's amount (default: %(default)g)",
    )
    parser.add_argument(
        "--report", type=Path, required=True, metavar="DIR",
        help="for networks.html, .csv, .json, .md and the models; the same command again resumes there",
    )  # fmt: skip
    parser.add_argument("--recipe", default="fast", help="fast, accurate or paper (default: %(default)s)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="changes", help="change a setting"
    )
    add_overwrite_argument(parser)
    parser.add_argument("--split", type=Path, metavar="FILE", help="use this split")
    parser.add_argument("--format", help="layout, if it is not to be recognized")
    parser.add_argument(
        "--scores", choices=("auto", "overlap", "all"), default="auto",
        help="auto: what the data has (default); overlap: pixels alone; all: objects and outlines, too",
    )  # fmt: skip


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
        options.report,
        recipe(options.recipe, [*options.changes, f"training.minutes={options.minutes}"]),
        options.format,
        options.split,
        EvaluationSettings(scores=options.scores),
        tuple(options.changes),
        lambda name: print(name, file=sys.stderr, flush=True),
        options.overwrite,
    )
    comparison = run_task(task)
    _print_table(comparison)
    print("\n".join([*summary(comparison), f"report in {options.report / 'networks.html'}"]))
    return report_left_out([LeftOut(*item) for item in comparison.left_out])


def _print_table(comparison: NetworkComparison) -> None:
    from napari_unet.evaluation.report.network_page import cells_of, columns_of

    print_table([(title, number) for title, number, _ in columns_of(comparison)], cells_of(comparison))
