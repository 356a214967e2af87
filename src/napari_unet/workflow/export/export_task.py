"""Exporting: masks and objects into files that other programs open."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_unet.errors import OutputError
from napari_unet.export.formats import export_format
from napari_unet.export.naming import PATTERN, plan_files
from napari_unet.progress import Progress
from napari_unet.workflow.export.mask_sources import Failed

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
    """

    paths: tuple[Path, ...]
    images: int
    problems: tuple[Failed, ...] = ()

    @property
    def sentence(self) -> str:
        """In words, for a person."""
        files = f"{len(self.paths):,} file{'s' * (len(self.paths) != 1)}"
        where = f" in {self.paths[0].parent}" if self.paths else ""
        left = f"; {len(self.problems):,} left out" if self.problems else ""
        return f"{self.images:,} image{'s' * (self.images != 1)} in {files}{where}{left}"


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
    """

    source: ExportSource
    out: Path
    formats: tuple[str, ...]
    pattern: str = PATTERN
    numbers: Numbers = "classes"
    overwrite: bool = False
    pixel_size: PixelSize | None = None

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
        plan = plan_files(opened.names, self.out, self.formats, self.pattern)
        plan.check(self.overwrite, opened.inputs)
        total, written, problems = len(opened.names), [], []
        start = time.monotonic()
        with ExitStack() as stack:
            gatherers = [self._gather(stack, name, path) for name, path in plan.together.items()]
            place = {name: index for index, name in enumerate(opened.names)}
            for done, image in enumerate(opened.images(cancel), start=1):
                if isinstance(image, Failed):
                    problems.append(image)
                else:
                    written += self._write(image, plan, place[image.name], gatherers)
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
        return Exported((*written, *plan.together.values()), total - len(problems), tuple(problems))

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
    ) -> list[Path]:
        if self.pixel_size is not None:
            image = replace(image, pixel_size=self.pixel_size)
        for add in gatherers:
            add(image)
        written = []
        for name, paths in plan.files.items():
            write = export_format(name).write
            assert write is not None
            written.append(write(paths[index], image, self.numbers))
        return written
