"""The command `segment`: one mask for each image."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.running import add_save_run_argument, recorded, report_left_out, run_task, start_backend
from napari_unet.errors import Cancelled
from napari_unet.settings import LargeImageSettings

if TYPE_CHECKING:
    import argparse

NAME = "segment"
ABOUT = "Segment images: one mask for each."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "inputs", type=Path, nargs="+", metavar="INPUT", help="files, folders, zips, data sets, Zarr"
    )
    parser.add_argument(
        "--model", type=Path, required=True, metavar="MODEL", help="folder, zip, ensemble or shipped model"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the masks")
    parser.add_argument(
        "--objects", action="store_true", help="write a TIFF with a number for each object, not its class"
    )
    parser.add_argument(
        "--one-file", action="store_true",
        help="write one TIFF for all slices of a stack (default: a file for each)",
    )  # fmt: skip
    parser.add_argument(
        "--link-objects", action="store_true",
        help="with --objects: give an object of a stack one number in all slices, where it overlaps itself",
    )  # fmt: skip
    parser.add_argument("--probabilities", action="store_true", help="write probabilities as well")
    parser.add_argument(
        "--disagreement",
        action="store_true",
        help="write how far members of an ensemble, or answers to the flipped image, lie apart",
    )
    large = parser.add_argument_group(
        "large images",
        "Zarr and OME-Zarr, and TIFF above 33 megapixels, are read and written block by block, into "
        "OME-Zarr; a run that was stopped resumes",
    )
    fields = LargeImageSettings.model_fields
    large.add_argument("--stream", action="store_true", help="go about every TIFF that way")
    large.add_argument(
        "--memory", type=float, metavar="GB", default=fields["memory"].default,
        help=f"{fields['memory'].description} (default: {fields['memory'].default})",
    )  # fmt: skip
    large.add_argument(
        "--context", type=int, metavar="PIXELS", default=fields["context"].default,
        help=f"{fields['context'].description} (default: {fields['context'].default})",
    )  # fmt: skip
    large.add_argument(
        "--level", type=int, metavar="N", default=fields["level"].default,
        help=f"{fields['level'].description} (default: {fields['level'].default})",
    )  # fmt: skip
    large.add_argument(
        "--cluster", default="", metavar="ADDRESS",
        help="have the workers of this Dask scheduler do it, like tcp://host:8786",
    )  # fmt: skip
    parser.add_argument(
        "--overwrite", action="store_true", help="replace masks that are there, and what was begun"
    )
    add_save_run_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    start_backend()
    from napari_unet.workflow.inputs.content_path import ContentPath
    from napari_unet.workflow.large_images.segment_files import SegmentFilesTask
    from napari_unet.workflow.replay.run_record import SegmentRun
    from napari_unet.workflow.train.recipes import checked

    given = {"memory": options.memory, "context": options.context, "level": options.level}
    large = checked(LargeImageSettings, given)
    task = SegmentFilesTask(
        tuple(options.inputs), options.model, options.out, options.probabilities,
        objects=options.objects, large=large, channels=tuple(options.channel),
        overwrite=options.overwrite, stream=options.stream,
        disagreement=options.disagreement, cluster=options.cluster,
        one_file=options.one_file, link_objects=options.link_objects,
    )  # fmt: skip

    def describe() -> SegmentRun:
        return SegmentRun(
            data=tuple(ContentPath.of(path) for path in options.inputs),
            model=ContentPath.of(options.model),
            probabilities=options.probabilities,
            objects=options.objects,
            disagreement=options.disagreement,
            large=large,
            channels=tuple(options.channel),
            stream=options.stream,
            one_file=options.one_file,
            link_objects=options.link_objects,
        )

    try:
        with recorded(options, options.out, describe):
            written = run_task(task)
    except Cancelled:
        if any(options.out.glob("*.unfinished")):
            print("what is finished is kept: the same command resumes", file=sys.stderr)
        raise
    print(f"{len(written)} mask{'s' * (len(written) != 1)} in {options.out}")
    if written.unlike:
        sys.stdout.flush()
        print(f"note: {written.unlike}", file=sys.stderr)
    return report_left_out(written.left_out)
