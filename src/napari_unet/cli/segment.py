"""The command `segment`: one mask for each image."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from napari_unet.cli.shared.results import left_out_facts, show
from napari_unet.cli.shared.running import (
    add_on_argument,
    add_save_run_argument,
    note,
    recorded,
    report_left_out,
    run_task,
    start_backend,
)
from napari_unet.errors import Cancelled
from napari_unet.settings import InferenceSettings, LargeImageSettings

NAME = "segment"
ABOUT = "Segment images: one mask for each."
EXAMPLES = (
    "segment images --model nuclei --out masks",
    "segment stack.tif --model my-model --objects --out masks",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "inputs", type=Path, nargs="+", metavar="INPUT", help="Images: files, folders, zips, data sets, Zarr."
    )
    parser.add_argument(
        "--model",
        type=Path,
        required=True,
        metavar="MODEL",
        help="Model: folder, zip, ensemble or the name of a built-in one.",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="Folder of the masks.")
    numbers = parser.add_mutually_exclusive_group()
    numbers.add_argument(
        "--classes",
        action="store_false",
        dest="objects",
        default=False,
        help="Write the class of each pixel (default).",
    )
    numbers.add_argument(
        "--objects", action="store_true", help="Write a TIFF with the number of the object of each pixel."
    )
    parser.add_argument(
        "--threshold", type=float, metavar="P",
        help="Probability from which a pixel is foreground (default: the model's own).",
    )  # fmt: skip
    parser.add_argument(
        "--minimum-size", type=int, metavar="PIXELS",
        help="Size below which a piece of foreground is dropped (default: the model's own).",
    )  # fmt: skip
    parser.add_argument(
        "--one-file", action="store_true",
        help="Write one TIFF for all slices of a stack (default: a file for each).",
    )  # fmt: skip
    parser.add_argument(
        "--link-objects", action="store_true",
        help="Give an object of a stack one number in all slices where it overlaps itself, with --objects.",
    )  # fmt: skip
    parser.add_argument(
        "--over-time", action="store_true",
        help="Follow objects from image to image of a folder, in the order of their names, or from slice to "
        "slice of a stack. An object has one number where it overlaps itself. objects-over-time.csv says "
        "when it appears, splits, merges and disappears. Writes objects.",
    )  # fmt: skip
    parser.add_argument(
        "--orthogonal", action=argparse.BooleanOptionalAction, default=None,
        help="Average what a 2D or 2.5D model says along z, y and x, of volumes with about cubic voxels. It "
        "takes three times as long.",
    )  # fmt: skip
    parser.add_argument("--probabilities", action="store_true", help="Write probabilities as well.")
    parser.add_argument(
        "--disagreement",
        action="store_true",
        help="Write how far members of an ensemble, or answers to the flipped image, lie apart.",
    )
    large = parser.add_argument_group(
        "large images",
        "Zarr, OME-Zarr, HDF5, and TIFF above 33 megapixels are segmented block by block, into OME-Zarr or "
        "tiled TIFF. A model in three dimensions segments them in blocks of slices. A run that was stopped "
        "resumes.",
    )
    fields = LargeImageSettings.model_fields
    large.add_argument("--stream", action="store_true", help="Treat every TIFF as a large image.")
    large.add_argument(
        "--memory", type=float, metavar="GB", default=fields["memory"].default,
        help=f"{fields['memory'].description} (default: {fields['memory'].default}).",
    )  # fmt: skip
    large.add_argument(
        "--context", type=int, metavar="PIXELS", default=fields["context"].default,
        help=f"{fields['context'].description} (default: {fields['context'].default}).",
    )  # fmt: skip
    large.add_argument(
        "--level", type=int, metavar="N", default=fields["level"].default,
        help=f"{fields['level'].description} (default: {fields['level'].default}).",
    )  # fmt: skip
    large.add_argument(
        "--format", choices=("ome-zarr", "tiff"), default="ome-zarr", dest="file_format",
        help="Write OME-Zarr, or tiled OME-TIFF with levels of falling resolution (default: ome-zarr).",
    )  # fmt: skip
    large.add_argument(
        "--cluster", default="", metavar="ADDRESS",
        help="Address of a Dask scheduler whose workers segment, such as tcp://host:8786.",
    )  # fmt: skip
    parser.add_argument(
        "--overwrite", action="store_true", help="Replace existing masks, also unfinished ones."
    )
    add_on_argument(parser)
    add_save_run_argument(parser)


def _settings(options: argparse.Namespace) -> InferenceSettings | None:
    """The settings of the model with what was asked for; None if that is nothing."""
    from napari_unet.models.model_folder import read_settings
    from napari_unet.workflow.train.recipes import checked

    given = {
        "threshold": options.threshold,
        "minimum_size": options.minimum_size,
        "orthogonal": options.orthogonal,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        return None
    checked(InferenceSettings, changes)  # before the model is read
    return InferenceSettings(**{**read_settings(options.model)[0].inference.model_dump(), **changes})


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from napari_unet.workflow.segment.without_keras import runs_without_keras

    if options.on or not runs_without_keras(options.model):
        start_backend(options)
    from napari_unet.workflow.inputs.content_path import ContentPath
    from napari_unet.workflow.large_images.segment_files import SegmentFilesTask
    from napari_unet.workflow.replay.run_record import SegmentRun
    from napari_unet.workflow.segment.segmented_stacks import OVER_TIME
    from napari_unet.workflow.train.recipes import checked

    given = {"memory": options.memory, "context": options.context, "level": options.level}
    large = checked(LargeImageSettings, given)
    task = SegmentFilesTask(
        tuple(options.inputs), options.model, options.out, options.probabilities,
        settings=_settings(options),
        objects=options.objects, large=large, channels=tuple(options.channel),
        overwrite=options.overwrite, stream=options.stream,
        disagreement=options.disagreement, cluster=options.cluster,
        one_file=options.one_file, link_objects=options.link_objects,
        over_time=options.over_time, file_format=options.file_format,
    )  # fmt: skip

    def describe() -> SegmentRun:
        return SegmentRun(
            data=tuple(ContentPath.of(path) for path in options.inputs),
            model=ContentPath.of(options.model),
            probabilities=options.probabilities,
            settings=task.settings,
            objects=task.objects,
            disagreement=options.disagreement,
            large=large,
            channels=tuple(options.channel),
            stream=options.stream,
            one_file=options.one_file,
            link_objects=options.link_objects,
            over_time=options.over_time,
            file_format=options.file_format,
        )

    try:
        with recorded(options, options.out, describe):
            written = run_task(task, options.on)
    except Cancelled:
        if any(options.out.glob("*.unfinished")):
            print("finished parts stay: the same command resumes", file=sys.stderr)
        raise
    facts = {"masks": list(written), "out": options.out, "left_out": left_out_facts(written.left_out)}
    if options.over_time:
        facts["objects_over_time"] = options.out / OVER_TIME
    show(options, facts, [f"{len(written)} mask{'s' * (len(written) != 1)} in {options.out}"])
    if written.unlike:
        sys.stdout.flush()
        note(written.unlike)
    return report_left_out(written.left_out)
