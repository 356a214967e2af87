"""The command `inspect`: what a data set is, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.shared.results import show
from napari_unet.cli.shared.running import DONE, add_layout_argument, run_task

if TYPE_CHECKING:
    import argparse

NAME = "inspect"
ABOUT = "Say what a data set is, and what is wrong with it."
EXAMPLES = ("inspect data", "inspect data --pairs", "inspect data --json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("data", type=Path, metavar="DATA", help="Folder, zip or CSV table of the data set.")
    add_layout_argument(parser)
    parser.add_argument(
        "--split",
        type=Path,
        metavar="FILE",
        help="The split.json of a model: copies of an image in different parts of it are named.",
    )
    parser.add_argument(
        "--pairs", action="store_true", help="List which mask belongs to which image, and why."
    )


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from napari_unet.data.catalog import open_dataset
    from napari_unet.workflow.inspect import InspectTask

    if options.pairs:
        dataset = open_dataset(options.data, options.layout)
        pairs = [(one.image_name, one.mask_name, one.reason) for one in dataset.samples]
        facts = [dict(zip(("image", "mask", "reason"), pair, strict=True)) for pair in pairs]
        show(options, facts, map("\t".join, pairs))
        return DONE
    inspection = run_task(InspectTask(options.data, options.layout, options.split))
    show(options, inspection.to_json(), [inspection.summary()])
    return DONE
