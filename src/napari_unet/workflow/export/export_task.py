"""Exporting: masks and objects into files that other programs open."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from napari_unet.errors import OutputError
from napari_unet.export.formats import export_format
from napari_unet.export.naming import PATTERN, plan_files
from napari_unet.export.stacks import StackFile, StackSlice
from napari_unet.progress import Progress
from napari_unet.workflow.export.mask_sources import Failed
from napari_unet.workflow.inputs.stack_objects import StackObjects, renumbered

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_unet.data.files.pixel_size import PixelSize
    from napari_unet.export.naming import ExportPlan
    from napari_unet.export.segmented import Numbers, SegmentedImage
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.workflow.export.mask_sources import ExportSource


@dataclass(frozen=True)
class Exported:
    """What an export left.

    Attributes
    ----------
    paths : tuple of pathlib.Path
        Of the files.
    images : int
        In them.
    problems : tuple of Failed
        Images that are not, and why.
    empty : int
        Slices without a mask in files of whole stacks.
    """

    paths: tuple[Path, ...]
    images: int
    problems: tuple[Failed, ...] = ()
    empty: int = 0

    @property
    def sentence(self) -> str:
        """In words, for a person."""
        files = f"{len(self.paths):,} file{'s' * (len(self.paths) != 1)}"
        where = f" in {self.paths[0].parent}" if self.paths else ""
        left = f"; {len(self.problems):,} left out" if self.problems else ""
        slices = f"{self.empty:,} slice{'s' * (self.empty != 1)}"
        empty = f"; {slices} without a mask left empty" if self.empty else ""
        return f"{self.images:,} image{'s' * (self.images != 1)} in {files}{where}{left}{empty}"


@dataclass(frozen=True, eq=False)
class ExportTask:
    """Write masks in one or more formats, one image at a time.

    Attributes
    ----------
    source : ExportSource
        Where the masks come from.
    out : pathlib.Path
        Folder; made if need be.
    formats : tuple of str
        Names from ``export.formats.FORMATS``.
    pattern : str
        Of names; see ``plan_files``.
    numbers : str
        "classes" or "objects", for formats that hold either.
    overwrite : bool
        Whether files that are there may be replaced.
    pixel_size : PixelSize or None
        Of all images, instead of what is known of each.
    one_file : bool
        Whether a stack is one file, in formats that can hold it; its objects are numbered through.
    link_objects : bool
        Whether an object of a stack has one number in all slices, see ``StackNumbers``.
    slices : dict
        Names of images that are slices of a stack, to their places; else what the source knows.
    """

    source: ExportSource
    out: Path
    formats: tuple[str, ...]
    pattern: str = PATTERN
    numbers: Numbers = "classes"
    overwrite: bool = False
    pixel_size: PixelSize | None = None
    one_file: bool = False
    link_objects: bool = False
    slices: dict[str, StackSlice] = field(default_factory=dict)

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Exported:
        """Export.

        Files of single images that were finished before a stop stay; those for all images appear only
        at the end. No file is ever there in part.

        Raises
        ------
        OutputError
            If something would be replaced that must not, cannot be written, or no image could be read.
        WorkbenchError
            If there is nothing to export, or the settings cannot be used.
        Cancelled
            When the person stopped it.
        """
        on_progress(Progress(0, 0, "Looking for images"))
        opened = self.source.open()
        slices = self.slices or opened.slices
        plan = plan_files(opened.names, self.out, self.formats, self.pattern, slices, one_file=self.one_file)
        plan.check(self.overwrite, opened.inputs)
        total, written, problems = len(opened.names), [], []
        start = time.monotonic()
        stacks = _ExportedStacks(self, slices)
        with ExitStack() as stack:
            gatherers = [self._gather(stack, name, path) for name, path in plan.together.items()]
            place = {name: index for index, name in enumerate(opened.names)}
            for done, image in enumerate(opened.images(cancel), start=1):
                if isinstance(image, Failed):
                    problems.append(image)
                else:
                    written += self._write(stacks.numbered(image), plan, place[image.name], gatherers, stacks)
                left = (time.monotonic() - start) / done * (total - done)
                on_progress(Progress(done, total, "Exporting", left))
                cancel.check()
            if len(problems) == total:
                raise OutputError(
                    "no image could be exported",
                    code="output.images.none",
                    got=problems[0].sentence if problems else "no images",
                    remedy="" if problems else "open or segment some first",
                )
            written += stacks.write()
        paths = (*written, *plan.together.values())
        return Exported(paths, total - len(problems), tuple(problems), stacks.empty)

    def _gather(self, stack: ExitStack, name: str, path: Path) -> Callable[[SegmentedImage], None]:
        gather = export_format(name).gather
        assert gather is not None
        return stack.enter_context(gather(path, self.numbers))

    def _write(
        self,
        image: SegmentedImage,
        plan: ExportPlan,
        index: int,
        gatherers: list[Callable[[SegmentedImage], None]],
        stacks: _ExportedStacks,
    ) -> list[Path]:
        if self.pixel_size is not None:
            image = replace(image, pixel_size=self.pixel_size)
        for add in gatherers:
            add(image)
        written = []
        for name, paths in plan.files.items():
            if stacks.add(image, name, paths[index]):
                continue
            write = export_format(name).write
            assert write is not None
            written.append(write(paths[index], image, self.numbers))
        return written


class _ExportedStacks:
    """The stacks of one export: numbers of their objects, and files that hold all slices."""

    def __init__(self, task: ExportTask, slices: dict[str, StackSlice]) -> None:
        self.task, self.slices = task, slices
        self.empty = 0
        self._objects = StackObjects(task.link_objects)
        self._files: dict[Path, StackFile] = {}
        self._missing: dict[str, int] = {}  # name of a stack to how many of its slices have no mask

    def numbered(self, image: SegmentedImage) -> SegmentedImage:
        """A slice with the numbers that its objects have in the whole stack, where these are wanted."""
        place, task = self.slices.get(image.name), self.task
        wanted = any(task.numbers == "objects" or not export_format(f).numbered for f in task.formats)
        if place is None or not wanted or not (task.one_file or task.link_objects):
            return image
        objects = self._objects.number(image.objects, image.mask, place)
        return replace(
            image, load_objects=lambda: objects, ties=renumbered(image.ties, image.objects, objects)
        )

    def add(self, image: SegmentedImage, kind: str, path: Path) -> bool:
        """Take a slice for the file of its stack; False where it gets a file of its own."""
        place = self.slices.get(image.name)
        if place is None or not self.task.one_file or not export_format(kind).stacked:
            return False
        if path not in self._files:
            self._files[path] = StackFile(path, kind, self.task.numbers, place.leading)
        numbered = image.numbered if self.task.numbers == "objects" else None
        self._files[path].add(image.labels(self.task.numbers), image, place, numbered)
        self._missing[place.stack] = self._files[path].missing
        return True

    def write(self) -> list[Path]:
        """Write the files of whole stacks."""
        written = [path for file in self._files.values() if (path := file.write()) is not None]
        self.empty = sum(self._missing.values())
        return written
