"""The command `export`: masks, objects and models in files that other programs open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.running import (
    DONE,
    add_save_run_argument,
    recorded,
    report_left_out,
    run_task,
    start_backend,
)
from napari_unet.data.files.pixel_size import parse_pixel_size
from napari_unet.errors import SettingsError
from napari_unet.export.formats import FORMATS
from napari_unet.export.naming import PATTERN
from napari_unet.workflow.export.export_model import SUFFIXES

if TYPE_CHECKING:
    import argparse

NAME = "export"
ABOUT = "Export masks and objects, or a model, for other programs."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "data", type=Path, nargs="*", metavar="DATA",
        help="project, data set with reference masks, folder of masks; images with --model or --masks",
    )  # fmt: skip
    parser.add_argument(
        "--model",
        type=Path,
        metavar="MODEL",
        help="segment the images with this model, or with --to export it",
    )
    parser.add_argument("--masks", type=Path, metavar="DIR", help="masks named after the images in DATA")
    parser.add_argument("--to", choices=tuple(SUFFIXES), help="export the model itself; no DATA then")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="PATH", help="folder of the files; with --to the file"
    )
    parser.add_argument(
        "--format", action="append", default=[], choices=tuple(FORMATS), dest="formats",
        help="may be given several times (default: tiff)",
    )  # fmt: skip
    parser.add_argument(
        "--numbers", choices=("classes", "objects"), default="classes",
        help="what the numbers in masks shall be (default: classes)",
    )  # fmt: skip
    parser.add_argument(
        "--classes",
        metavar="A,B,...",
        help="names of the classes in mask files; without, numbers are objects",
    )
    parser.add_argument(
        "--name", default=PATTERN, metavar="PATTERN",
        help=f"of the files, with {{name}}, {{index}}, {{format}} (default: {PATTERN})".replace("%", "%%"),
    )  # fmt: skip
    parser.add_argument(
        "--pixel-size", metavar="SIZE", help="like 0.65um, or 0.5x0.65um (y, x); default: what the files say"
    )
    parser.add_argument(
        "--one-file", action="store_true",
        help="write one TIFF, OME-TIFF or .npy for all slices of a stack (default: one for each)",
    )  # fmt: skip
    parser.add_argument(
        "--link-objects", action="store_true",
        help="give an object of a stack one number in all slices, where it overlaps itself",
    )  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    parser.add_argument(
        "--author", action="append", default=[], metavar="NAME; AFFILIATION", dest="authors",
        help="of the model, for --to bioimageio; may be given several times",
    )  # fmt: skip
    parser.add_argument("--licence", default="", metavar="ID", help="of the model, such as CC-BY-4.0")
    parser.add_argument("--title", default="", help="of the model; default: the name of its folder")
    add_save_run_argument(parser)
    parser.add_argument("--layout", help="layout of DATA, if it is not to be recognized")


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from napari_unet.workflow.export.export_task import ExportTask
    from napari_unet.workflow.export.mask_sources import ExportSource, ModelMasks, StoredMasks
    from napari_unet.workflow.inputs.content_path import ContentPath
    from napari_unet.workflow.inputs.left_out import LeftOut
    from napari_unet.workflow.replay.run_record import ExportRun

    if options.to is not None:
        return _export_model(options)
    if not options.data:
        raise SettingsError(
            "`export` takes images or masks",
            code="settings.arguments.missing",
            remedy="see `napari-unet export -h`",
        )
    source: ExportSource
    if options.model is not None:
        start_backend()
        source = ModelMasks(tuple(options.data), options.model)
    else:
        if len(options.data) > 1:
            raise SettingsError(
                "without --model there is one DATA",
                code="settings.arguments.count",
                got=str(len(options.data)),
            )
        classes = tuple(name.strip() for name in (options.classes or "").split(",") if name.strip())
        source = StoredMasks(options.data[0], options.masks, options.layout, classes)
    task = ExportTask(
        source,
        options.out,
        tuple(options.formats) or ("tiff",),
        options.name,
        options.numbers,
        options.overwrite,
        parse_pixel_size(options.pixel_size) if options.pixel_size else None,
        options.one_file,
        options.link_objects,
    )

    def describe() -> ExportRun:
        return ExportRun(
            data=tuple(ContentPath.of(path) for path in options.data),
            model=None if options.model is None else ContentPath.of(options.model),
            masks=None if options.masks is None else ContentPath.of(options.masks),
            format=options.layout,
            classes=getattr(source, "classes", ()),
            formats=task.formats,
            pattern=options.name,
            numbers=options.numbers,
            pixel_size=options.pixel_size or "",
            one_file=options.one_file,
            link_objects=options.link_objects,
        )

    with recorded(options, options.out, describe):
        result = run_task(task)
    print(result.sentence)
    return report_left_out([LeftOut(one.name, one.sentence, one.code) for one in result.problems])


def _export_model(options: argparse.Namespace) -> int:
    from napari_unet.export.models.model_zoo import Attribution
    from napari_unet.workflow.export.export_model import ExportModelTask
    from napari_unet.workflow.inputs.content_path import ContentPath
    from napari_unet.workflow.replay.run_record import ExportModelRun

    if options.model is None:
        raise SettingsError(
            "`export --to` takes a model", code="settings.arguments.missing", remedy="give --model MODEL"
        )
    if options.data:
        raise SettingsError(
            "`export --to` takes no images",
            code="settings.arguments.unused",
            got=str(options.data[0]),
            remedy="leave out DATA, or leave out --to",
        )
    start_backend()
    said = Attribution(tuple(options.authors), options.licence, options.title)
    task = ExportModelTask(options.model, options.out, options.to, options.overwrite, said)

    def describe() -> ExportModelRun:
        return ExportModelRun(
            model=ContentPath.of(options.model),
            kind=options.to,
            authors=said.authors,
            licence=said.licence,
            title=said.title,
        )

    with recorded(options, options.out, describe):
        written = run_task(task)
    print(f"{options.model} as {written}")
    return DONE
