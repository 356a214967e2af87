"""Saving the record of a run that was done, with what is in no other file next to it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_unet.errors import WorkbenchError
from napari_unet.progress import Progress, tracked
from napari_unet.workflow.replay.attachments import RecordFiles
from napari_unet.workflow.replay.run_record import RunRecord, images_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.workflow.replay.attachments import UsedImage
    from napari_unet.workflow.replay.recorded_images import RecordedImage
    from napari_unet.workflow.replay.run_record import Run


@dataclass(frozen=True, eq=False)
class SaveRecordTask:
    """Write the record of a run that was done; hashing what went in may take a while.

    Attributes
    ----------
    run_done : Run
        What was done, without the images that it names one by one.
    out : pathlib.Path
        Where its result went, or would go.
    path : pathlib.Path
        Of the run record.
    images : mapping
        Field of the run to the images in it: each is named by its file, or written next to the run record.
    """

    run_done: Run
    out: Path
    path: Path
    images: Mapping[str, tuple[UsedImage, ...]] = field(default_factory=dict)

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Path:
        """Write; gives back the path.

        Raises
        ------
        DataError
            If something that went in is not there any more, or is not what it was.
        OutputError
            If it cannot be written, or something else is in the way; nothing is left behind then.
        Cancelled
            When the person stopped it.
        """
        every = [(name, image) for name, images in self.images.items() for image in images]
        found: dict[str, list[RecordedImage]] = {}
        files = RecordFiles(self.path, self._older(), (image.image.id for _, image in every))
        with files:
            for name, used in tracked(every, len(every), "Keeping the images", on_progress, cancel):
                found.setdefault(name, []).append(files.add(used))
            on_progress(Progress(0, 0, "Hashing what went in"))
            run = self.run_done.model_copy(update={name: tuple(images) for name, images in found.items()})
            record = RunRecord.of(run, self.out)
            cancel.check()
        try:
            record.save(self.path)
        except WorkbenchError:
            files.take_back()
            raise
        files.tidy()
        return self.path

    def _older(self) -> tuple[RecordedImage, ...]:
        """Images of the run record that is replaced."""
        with suppress(WorkbenchError):
            if self.path.exists():
                older = images_of(RunRecord.load(self.path).run)
                return tuple(image for images in older.values() for image in images)
        return ()
