"""The command `refine`: watershed contours for the borders that a network leaves open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.running import add_overwrite_argument, report_left_out, run_task, start_backend

if TYPE_CHECKING:
    import argparse

NAME = "refine"
ABOUT = "Close gaps in membranes by watershed contours, as far as the Rand error on validation images falls."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="model or ensemble of cell interiors")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="to choose by: images neither trained on nor held out",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="MODEL2", help="the model with contours")
    parser.add_argument("--tune-threshold", action="store_true", help="choose the threshold as well")
    parser.add_argument("--format", help="layout, if it is not to be recognized")
    add_overwrite_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    start_backend()
    from napari_unet.workflow.train.tune_contours import TuneContoursTask

    found = run_task(
        TuneContoursTask(
            options.model,
            options.data,
            options.out,
            options.format,
            options.tune_threshold,
            options.overwrite,
        )
    )
    images = f"{found.images} image{'s' * (found.images != 1)}"
    print(
        f"Rand error on {images}: {found.before:.4f} before, {found.after:.4f} with contours weighing "
        f"{found.weight:g} at threshold {found.threshold:g}; model in {options.out}"
    )
    if not found.weight:
        print("no weight made it smaller, so that none are used")
    return report_left_out(found.left_out)
