"""The command `segment`: one mask for each image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.running import DONE, add_recipe_argument, recorded, run_task, start_backend

if TYPE_CHECKING:
    import argparse

NAME = "segment"
ABOUT = "Segment images: one mask for each."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "inputs", type=Path, nargs="+", metavar="INPUT", help="files, folders, zips, data sets"
    )
    parser.add_argument(
        "--model", type=Path, required=True, metavar="MODEL", help="folder, zip, ensemble or shipped model"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the masks")
    parser.add_argument(
        "--objects", action="store_true", help="write a TIFF with a number for each object, not its class"
    )
    parser.add_argument("--probabilities", action="store_true", help="write probabilities as well")
    parser.add_argument(
        "--disagreement",
        action="store_true",
        help="write how far members of an ensemble, or answers to the flipped image, lie apart",
    )
    add_recipe_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    start_backend()
    from napari_unet.workflow.place import Place
    from napari_unet.workflow.run_recipe import SegmentRun
    from napari_unet.workflow.segment import SegmentTask

    task = SegmentTask(
        tuple(options.inputs),
        options.model,
        options.out,
        options.probabilities,
        objects=options.objects,
        disagreement=options.disagreement,
    )

    def describe() -> SegmentRun:
        return SegmentRun(
            data=tuple(Place.of(path) for path in options.inputs),
            model=Place.of(options.model),
            probabilities=options.probabilities,
            objects=options.objects,
            disagreement=options.disagreement,
        )

    with recorded(options, options.out, describe):
        written = run_task(task)
    print(f"{len(written)} mask{'s' * (len(written) != 1)} in {options.out}")
    return DONE
