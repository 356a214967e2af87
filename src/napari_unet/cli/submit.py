"""The command `submit`: a competition's test images into its table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.shared.results import left_out_facts, show
from napari_unet.cli.shared.running import (
    add_layout_argument,
    add_overwrite_argument,
    note,
    report_left_out,
    run_task,
    start_backend,
)

if TYPE_CHECKING:
    import argparse

NAME = "submit"
ABOUT = "Write a submission: TGS Salt, Ultrasound Nerve, or 2018 Data Science Bowl."
EXAMPLES = ("submit tgs-salt.zip --model salt --out submission.csv",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("data", type=Path, metavar="DATA", help="Folder or zip of the competition.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--model",
        type=Path,
        metavar="MODEL",
        help="Model: folder, zip, ensemble or the name of a built-in one.",
    )
    what.add_argument(
        "--masks", type=Path, metavar="DIR", help="Folder of masks, which have the names of the images."
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="CSV table to write.")
    parser.add_argument(
        "--part", choices=("test", "labelled", "held-out"), default="test",
        help="Images to submit. test: test images (default). labelled: with reference masks, for `score`. "
        "held-out: of those, the ones that the model has not seen.",
    )  # fmt: skip
    add_layout_argument(parser)
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
        options.layout,
        options.overwrite,
    )
    result = run_task(task)
    resumed = f", {result.resumed} of them done before" if result.resumed else ""
    lines = [f"{result.layout.title}: {result.images} images{resumed}, {result.rows} rows in {result.path}"]
    if result.checked:
        lines.append(f"header, images and their order are those of {result.checked}")
    elif options.part == "test":
        lines.append("the data has no sample submission to compare it with")
    facts = {name: getattr(result, name) for name in ("images", "rows", "resumed")}
    facts |= {"table": result.path, "layout": result.layout.title, "sample": result.checked}
    show(options, {**facts, "left_out": left_out_facts(result.left_out)}, lines)
    if result.left_out and options.part == "test":
        note(
            "the competition wants a row for every image: the row of an image that is left out says "
            "that nothing is there; replace the image and submit again"
        )
    return report_left_out(result.left_out)
