"""The command `refine`: watershed contours for the borders that a network leaves open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.shared.results import left_out_facts, show
from napari_unet.cli.shared.running import (
    add_layout_argument,
    add_overwrite_argument,
    report_left_out,
    run_task,
    start_backend,
)

if TYPE_CHECKING:
    import argparse

NAME = "refine"
ABOUT = "Close gaps in membranes by watershed contours, as far as the Rand error on validation images falls."
EXAMPLES = ("refine my-model --data data --out my-model-2",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="Model or ensemble of cell interiors.")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DATA",
        help="Data set for the choice: images that are neither trained on nor held out.",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="MODEL2", help="Folder of the model with contours."
    )
    parser.add_argument("--tune-threshold", action="store_true", help="Choose the threshold as well.")
    add_layout_argument(parser)
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
            options.layout,
            options.tune_threshold,
            options.overwrite,
        )
    )
    images = f"{found.images} image{'s' * (found.images != 1)}"
    lines = [
        f"Rand error on {images}: {found.before:.4f} before, {found.after:.4f} with contours weighing "
        f"{found.weight:g} at threshold {found.threshold:g}; model in {options.out}"
    ]
    if not found.weight:
        lines.append("no weight makes it smaller, so contours have none")
    facts = {name: getattr(found, name) for name in ("weight", "threshold", "before", "after", "images")}
    show(options, {**facts, "model": options.out, "left_out": left_out_facts(found.left_out)}, lines)
    return report_left_out(found.left_out)
