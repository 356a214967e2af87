"""A project: the folder that owns the list of images, corrections, model versions, runs and reports."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_unet.atomic import remove_partials
from napari_unet.data.file_names import stems_on_disk, unique_stems
from napari_unet.data.files.reading import reading_images
from napari_unet.data.masks.mask_reading import Choice, MaskReading, current_mask_reading, reading_masks
from napari_unet.errors import DataError, OutputError
from napari_unet.progress import ignore_progress
from napari_unet.project.corrections.background_writer import BackgroundWriter
from napari_unet.project.corrections.correction_store import CorrectionStore, Restored
from napari_unet.project.corrections.corrections import Corrections
from napari_unet.project.corrections.mask_files import write_stored_mask
from napari_unet.project.image_links import CHECKED, LinkCheck, ProjectImages, image_entries
from napari_unet.project.layout import migrate, numbered_folder, read_split
from napari_unet.project.lock import ProjectLock
from napari_unet.project.model_versions import ModelStore
from napari_unet.project.new_project import make_project_folder
from napari_unet.project.project_file import (
    PROJECT_FILE,
    VERSION,
    DataLink,
    ImageEntry,
    ProjectFile,
    read_project_file,
)

if TYPE_CHECKING:
    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import Sample
    from napari_unet.data.split import Split
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.project.corrections.journal import Journal

Dispatch = Callable[[Callable[[], None]], None]


def _at_once(function: Callable[[], None]) -> None:
    function()


class Project:
    """One open project. Made by ``Project.create`` or ``Project.open``; a context manager.

    Attributes
    ----------
    folder : pathlib.Path
        Where it is.
    file : ProjectFile
        Name, classes, where the data is, images, settings.
    split : Split
        Frozen when the project was created.
    images : ProjectImages
        The images themselves.
    corrections : Corrections
        What was painted.
    models : ModelStore
        Versions of the model.
    restored : Restored
        What opening brought back after a kill.
    read_only : bool
        Whether every change is refused.
    """

    saving_changed = Signal(str)  # why strokes are in memory only, in one sentence; "" once all are saved

    def __init__(
        self, folder: Path, file: ProjectFile, split: Split, lock: ProjectLock | None,
        dispatch: Dispatch, given: Dataset | Sequence[Sample],
    ) -> None:  # fmt: skip
        self.folder, self.file, self.split = folder, file, split
        self.read_only = lock is None
        self._project_lock = lock
        self._dispatch = dispatch
        self._entries: dict[str, ImageEntry] = {}
        self._shapes: dict[str, tuple[int, int]] = {}
        self._stems: dict[str, str] = {}
        self._enter(file.images)
        self.images = ProjectImages(folder, self._entries, self._stems, file.data, given)
        self.models = ModelStore(folder / "models")
        memory = threading.RLock()
        self._files = CorrectionStore(folder, self._shapes, self._stems, memory)
        self.restored: Restored = self._files.open()
        self.corrections = Corrections(self._files, split, memory)
        self._writer: BackgroundWriter | None = None  # None while nothing may be changed
        if lock is not None:
            self._writer = BackgroundWriter(self._files.append, self._files.save, self._ready, self._tell)
            self.corrections.writer = self._writer

    # making and opening

    @classmethod
    def create(
        cls,
        folder: Path | str,
        data: Dataset | Sequence[Sample],
        *,
        name: str = "",
        classes: Sequence[str] = ("foreground",),
        split: Split | None = None,
        settings: Mapping[str, Any] | None = None,
        skip_unreadable: bool = False,
        may_be_empty: bool = False,
        dispatch: Dispatch = _at_once,
        on_progress: OnProgress = ignore_progress,
        cancel: CancelToken | None = None,
    ) -> Project:
        """Make a project; reads every image once, for its hash.

        Parameters
        ----------
        folder : path or str
            New, or empty.
        data : Dataset or sequence of Sample
            A data set, which stays where it is; or images that are in memory only, which the project
            knows by name.
        name : str
            For people; the folder's without.
        classes : sequence of str
            Of images without a data set.
        split : Split, optional
            Drawn from the data set if not given.
        settings : mapping, optional
            Whatever the window wants to find again; plain JSON.
        skip_unreadable : bool
            Leave out images that cannot be read, as long as there is another one.
        may_be_empty : bool
            Whether there may be no image: corrections of large images are next to their masks.
        dispatch : callable
            Runs a function in the thread that signals shall come in.
        on_progress, cancel
            While reading.

        Raises
        ------
        OutputError
            If there is something in the folder, or it cannot be written.
        DataError
            If an image cannot be read, or there is none.
        """
        folder = Path(folder).expanduser()
        file, split, lock = make_project_folder(
            folder,
            data,
            name,
            tuple(classes),
            split,
            dict(settings or {}),
            skip_unreadable,
            on_progress,
            cancel,
            may_be_empty,
        )
        return cls(folder, file, split, lock, dispatch, data)

    @classmethod
    def open(
        cls,
        folder: Path | str,
        *,
        read_only: bool = False,
        images: Dataset | Sequence[Sample] = (),
        dispatch: Dispatch = _at_once,
    ) -> Project:
        """Open a project; strokes that a killed program left in the journal are in the masks again.

        Parameters
        ----------
        folder : path or str
            Of the project.
        read_only : bool
            Look without changing anything, even while another window has it.
        images : Dataset or sequence of Sample
            Loaded already; those in memory only must be given to be known.
        dispatch : callable
            Runs a function in the thread that signals shall come in.

        Raises
        ------
        DataError
            If it is not a project, is damaged, or newer than this program.
        OutputError
            If another window has it.
        """
        folder = Path(folder).expanduser()
        file, version = read_project_file(folder)
        lock = None if read_only else ProjectLock(folder)
        if lock is not None:
            with suppress(OSError):  # nothing can be written here: the first stroke will tell
                lock.acquire()
        try:
            if lock is not None and lock.held:
                remove_partials(folder)
                if version < VERSION:
                    migrate(folder, file, version)
            return cls(folder, file, read_split(folder, version), lock, dispatch, images)
        except BaseException:
            if lock is not None:
                lock.release()
            raise

    def close(self, *, discard: bool = False) -> None:
        """Save everything and let go of the folder.

        Parameters
        ----------
        discard : bool
            Close even where something cannot be saved.

        Raises
        ------
        OutputError
            If something cannot be saved; the project is open still, and ``rescue`` writes elsewhere.
        """
        writer = self._writer
        if writer is None:
            return
        if self._files.unsaved() and not self.save() and not discard:
            raise OutputError(
                f"the project {self.folder} cannot be saved",
                code="output.project.unsaved",
                got=writer.trouble or "the disk does not answer",
                remedy="make room or bring the drive back, or save the masks elsewhere",
            )
        self._writer = self.corrections.writer = None
        self.read_only = True
        writer.close()
        if self._project_lock is not None and self._project_lock.held:
            self._files.close()
            self._project_lock.release()

    def __enter__(self) -> Project:
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self.close()
        finally:
            self.close(discard=True)

    # what a window shows

    @property
    def journal(self) -> Journal:
        """The strokes that are in no mask yet."""
        return self._files.journal

    @property
    def name(self) -> str:
        """For people."""
        return self.file.name

    @property
    def ids(self) -> tuple[str, ...]:
        """Of all images, in order."""
        return tuple(self._entries)

    @property
    def trouble(self) -> str:
        """Why strokes are in memory only, in one sentence; empty if they are not."""
        writer = self._writer
        return writer.trouble if writer is not None else ""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a person should read after opening."""
        every = (self.images.note, self.restored.sentence, *self.restored.problems, self.trouble)
        return tuple(sentence for sentence in every if sentence)

    def save(self, timeout: float = 30.0) -> bool:
        """Write all masks; gives back whether that worked."""
        writer = self._writer
        if writer is None:
            return True
        self.corrections.save()
        return writer.flush(timeout)

    def rescue(self, folder: Path) -> list[Path]:
        """Write the masks that could not be saved into another folder, as the project would.

        Raises
        ------
        OutputError
            If they cannot be written there either.
        """
        written = []
        for identifier in self._files.unsaved():
            path = folder / f"{self._stems[identifier]}.tif"
            write_stored_mask(path, self.corrections[identifier])
            written.append(path)
        return written

    # what a window changes

    def add_images(self, samples: Iterable[Sample]) -> tuple[str, ...]:
        """Add images to the list, behind the others; gives back the ids of the new ones.

        Raises
        ------
        DataError
            If one cannot be read.
        """
        fresh = [s for s in samples if s.id not in self._entries]
        entries = image_entries(fresh, {})
        self._change(replace(self.file, images=(*self.file.images, *entries)))
        self._enter(self.file.images)
        self.images.attach(fresh)
        return tuple(s.id for s in fresh)

    def relink(
        self,
        data: Path | str,
        format: str | None = None,
        *,
        count: int = CHECKED,
        accept_different: bool = False,
    ) -> LinkCheck:
        """Say where the images are now; some are compared with their hashes.

        Parameters
        ----------
        data : path or str
            The data set.
        format : str, optional
            Its layout; that of before if not given.
        count : int
            Images to compare.
        accept_different : bool
            Link even if images are missing or others; the check tells which.

        Raises
        ------
        DataError
            If images are missing or others: nothing is changed then.
        """
        from napari_unet.data.catalog import open_dataset

        said = current_mask_reading().masks_are or self.file.data.masks_are
        with reading_masks(MaskReading(said)), reading_images(self.images.reading):
            dataset = open_dataset(data, format or self.file.data.format or None)
        check = self.images.check_dataset(dataset, count)
        if not (check.good or accept_different):
            raise DataError(
                f"{data} does not hold the images of this project",
                code="data.project.images",
                got=check.sentence.rstrip("."),
                remedy="give the folder that was moved, or link it all the same",
            )
        link = DataLink.to(Path(data), dataset.format, self.folder, dataset.masks_are, dataset.channels)
        self._change(replace(self.file, data=link))
        self.images.use(dataset, link)
        return check

    def read_masks_as(self, masks_are: Choice) -> None:
        """Read the masks of the data set so from now on, and remember it.

        Raises
        ------
        OutputError
            If the project is open for reading only, or cannot be written.
        """
        link = replace(self.file.data, masks_are=masks_are)
        if link.kind == "dataset" and link != self.file.data:
            self._change(replace(self.file, data=link))
            self.images.use(None, link)

    def read_channels(self, numbers: tuple[str, ...]) -> None:
        """Read only these channels of all images from now on, and remember it; none: all.

        Raises
        ------
        OutputError
            If the project is open for reading only, or cannot be written.
        """
        link = replace(self.file.data, channels=numbers)
        if link != self.file.data:
            self._change(replace(self.file, data=link))
            self.images.read_channels(link)

    def new_folder(self, room: str, name: str, settings: Mapping[str, Any] | None = None) -> Path:
        """Make a numbered folder for a run or a report: runs/0001-fine-tune.

        Parameters
        ----------
        room : str
            "runs" or "reports".
        name : str
            What it is for.
        settings : mapping, optional
            Written to settings.json in it.

        Raises
        ------
        OutputError
            If it cannot be made.
        """
        if room not in {"runs", "reports"}:
            raise ValueError(f"a project has runs and reports, not {room}")
        self._writable()
        return numbered_folder(self.folder / room, name, settings)

    # inside

    def _enter(self, images: Sequence[ImageEntry]) -> None:
        self._entries |= {i.id: i for i in images}
        self._shapes |= {i.id: i.shape[:2] for i in images}
        folders = [self.folder / part for part in ("masks", "history", "images")]
        self._stems |= stems_on_disk(unique_stems(i.id for i in images), folders)

    def rename(self, name: str) -> None:
        """Call the project otherwise; its folder stays.

        Raises
        ------
        OutputError
            If the project is open for reading only, or cannot be written.
        """
        if name.strip() and name.strip() != self.name:
            self._change(replace(self.file, name=name.strip()))

    def _change(self, file: ProjectFile) -> None:
        self._writable()
        file.save(self.folder)
        self.file = file

    def _writable(self) -> None:
        if self.read_only:
            raise OutputError(
                "the project is open for reading only",
                code="output.project.readonly",
                remedy="open it without reading only",
            )

    def _ready(self) -> None:
        """Refuse to write where the project is not: a drive that is gone leaves an empty folder behind."""
        if not (self.folder / PROJECT_FILE).exists():
            raise OutputError(
                f"the project {self.folder} is not there",
                code="output.project.missing",
                remedy="bring its drive back",
            )
        if self._project_lock is not None:
            self._project_lock.acquire()

    def _tell(self, sentence: str) -> None:
        self._dispatch(lambda: self.saving_changed.emit(sentence))
