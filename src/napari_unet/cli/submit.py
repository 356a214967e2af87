"""The command `submit`: a competition's test images into its table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.running import add_overwrite_argument, report_left_out, run_task, start_backend

if TYPE_CHECKING:
    import argparse

NAME = "submit"
ABOUT = "Write a submission: TGS Salt, Ultrasound Nerve, or 2018 Data Science Bowl."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("data", type=Path, metavar="DATA", help="the competition's folder or zip")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--model", type=Path, metavar="MODEL", help="folder or zip of a model")
    what.add_argument("--masks", type=Path, metavar="DIR", help="masks named after the images")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the CSV table to write")
    parser.add_argument(
        "--part", choices=("test", "labelled", "held-out"), default="test",
        help="test images (default), or those with reference masks, all or unseen, to `score` here",
    )  # fmt: skip
    parser.add_argument("--format", help="layout, if it is not to be recognized")
    add_overwrite_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    start_backend()
    from napari_unet.workflow.evaluate.submit import SubmitTask

    task = SubmitTask(
        options.data,
        options.out,
        options.model,
        options.masks,
        options.part,
        options.format,
        options.overwrite,
    )
    result = run_task(task)
    went_on = f", {result.resumed} of them done before" if result.resumed else ""
    print(f"{result.layout.title}: {result.images} images{went_on}, {result.rows} rows in {result.path}")
    if result.checked:
        print(f"header, images and their order are those of {result.checked}")
    elif options.part == "test":
        print("the data has no sample submission to hold it against")
    if result.left_out and options.part == "test":
        print(
            "note: the competition wants a row for every image: the row of an image that is left out says "
            "that nothing is there; replace the image and submit again",
            file=sys.stderr,
        )
    return report_left_out(result.left_out)
