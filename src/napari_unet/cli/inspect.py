"""The command `inspect`: what a data set is, and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.running import DONE, run_task

if TYPE_CHECKING:
    import argparse

NAME = "inspect"
ABOUT = "Say what a data set is, and what is wrong with it."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("data", type=Path, metavar="DATA", help="folder, zip or CSV table")
    parser.add_argument("--format", help="layout, if it is not to be recognized")
    parser.add_argument(
        "--split",
        type=Path,
        metavar="FILE",
        help="split.json of a model, to be told of copies that lie in different parts of it",
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument(
        "--pairs", action="store_true", help="list which mask belongs to which image, and why"
    )


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from napari_unet.data.catalog import open_dataset
    from napari_unet.workflow.inspect import InspectTask

    if options.pairs:
        dataset = open_dataset(options.data, options.format)
        for sample in dataset.samples:
            print(f"{sample.image_name}\t{sample.mask_name}\t{sample.reason}")
        return DONE
    inspection = run_task(InspectTask(options.data, options.format, options.split))
    print(json.dumps(inspection.to_json(), indent=1) if options.json else inspection.summary())
    return DONE
