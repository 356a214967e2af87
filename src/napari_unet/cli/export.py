"""The command `export`: masks, objects and models in files that other programs open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.shared.results import left_out_facts, show
from napari_unet.cli.shared.running import (
    DONE,
    add_layout_argument,
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
EXAMPLES = (
    "export images --model nuclei --format geojson --format measurements --out files",
    "export --model my-model --to onnx --out my-model.onnx",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "data", type=Path, nargs="*", default=[], metavar="DATA",
        help="Project, data set with reference masks, or folder of masks. With --model or --masks: images.",
    )  # fmt: skip
    parser.add_argument(
        "--model",
        type=Path,
        metavar="MODEL",
        help="Model that segments the images. With --to: the model to export.",
    )
    parser.add_argument(
        "--masks", type=Path, metavar="DIR", help="Folder of masks, which have the names of the images."
    )
    parser.add_argument(
        "--to", choices=tuple(SUFFIXES), help="Export the model itself in this format, without DATA."
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="PATH", help="Folder of the files. With --to: the file."
    )
    parser.add_argument(
        "--format", action="append", default=[], choices=tuple(FORMATS), dest="formats",
        metavar="FORMAT",
        help=f"File format to write: {', '.join(FORMATS)}. Repeat it for several (default: tiff).",
    )  # fmt: skip
    parser.add_argument(
        "--numbers", choices=("classes", "objects"), default="classes",
        help="Meaning of the numbers in written masks (default: classes).",
    )  # fmt: skip
    parser.add_argument(
        "--classes",
        metavar="A,B,...",
        help="Names of the classes in mask files. Without it, numbers are objects.",
    )
    parser.add_argument(
        "--name", default=PATTERN, metavar="PATTERN",
        help="Pattern of file names, with {name}, {index}, {format} (default: %(default)s).",
    )  # fmt: skip
    parser.add_argument(
        "--pixel-size",
        metavar="SIZE",
        help="Pixel size, such as 0.65um, or 0.5x0.65um for y and x (default: what the files say).",
    )
    parser.add_argument(
        "--one-file", action="store_true",
        help="Write one TIFF, OME-TIFF or .npy for all slices of a stack (default: one for each).",
    )  # fmt: skip
    parser.add_argument(
        "--link-objects", action="store_true",
        help="Give an object of a stack one number in all slices where it overlaps itself.",
    )  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="Replace existing files.")
    parser.add_argument(
        "--author", action="append", default=[], metavar="NAME; AFFILIATION", dest="authors",
        help="Author of the model, for --to bioimageio. Repeat it for several.",
    )  # fmt: skip
    parser.add_argument(
        "--licence", default="", metavar="ID", help="Licence of the model, such as CC-BY-4.0."
    )
    parser.add_argument(
        "--title", default="", metavar="TEXT", help="Title of the model (default: the name of its folder)."
    )
    add_save_run_argument(parser)
    add_layout_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from napari_unet.workflow.export.export_task import ExportTask
    from napari_unet.workflow.export.mask_sources import ExportSource, ModelMasks, StoredMasks
    from napari_unet.workflow.inputs.content_path import ContentPath
    from napari_unet.workflow.inputs.left_out import LeftOut
    from napari_unet.workflow.large_images.any_size import segment_any_size
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
        source = ModelMasks(tuple(options.data), options.model, segment=segment_any_size)
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
    left = [LeftOut(one.name, one.sentence, one.code) for one in result.problems]
    facts = {"files": result.paths, "images": result.images, "left_out": left_out_facts(left)}
    show(options, facts, [result.sentence])
    return report_left_out(left)


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
    show(options, {"model": options.model, "file": written}, [f"{options.model} as {written}"])
    return DONE
