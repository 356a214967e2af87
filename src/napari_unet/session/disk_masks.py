"""Masks of images that are too large to have them in memory: where they go, how they are made and opened."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_unet.atomic import write_text
from napari_unet.data.file_names import safe_stem
from napari_unet.engine.task import describe_failure
from napari_unet.errors import WorkbenchError
from napari_unet.project.corrections.disk_mask import DiskMask, corrections_folder, has_strokes
from napari_unet.session.auto_project import own_masks
from napari_unet.settings import LargeImageSettings
from napari_unet.workflow.inputs.image_reference import OPENED_FROM, refer
from napari_unet.workflow.segment.prediction import Region

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.data.files.pixel_size import PixelSize
    from napari_unet.engine.task import FromCaller, Job
    from napari_unet.models.card import ModelCard
    from napari_unet.progress import Progress
    from napari_unet.session.images.collection import Collection
    from napari_unet.session.images.entry import Entry
    from napari_unet.session.task_runner import TaskRunner
    from napari_unet.session.workspace import Workspace
    from napari_unet.settings import InferenceSettings

CHOSEN = "chosen-folder.txt"  # in the folder that a mask has by itself: where the person wants it
MASKS = "*.ome.zarr*"
NOTHING = Region(0, 0, 0, 0)  # of the image is to be segmented that is not yet


@dataclass(frozen=True)
class LargeImageWishes:
    """How a large image is to be segmented.

    Attributes
    ----------
    shape : tuple of int
        (Y, X, C) of the image.
    large : LargeImageSettings
        Memory.
    cluster : str
        Address of a Dask scheduler; empty: the computing process.
    focus : FromCaller or None
        () -> (0, y, x) that a person looks at.
    pixel_size : PixelSize or None
        Of the image.
    """

    shape: tuple[int, int, int]
    large: LargeImageSettings = field(default_factory=LargeImageSettings)
    cluster: str = ""
    focus: FromCaller | None = None
    pixel_size: PixelSize | None = None


class DiskMasks:
    """Has large images segmented into masks on disk, which images then have as their own.

    Parameters
    ----------
    workspace : Workspace
        Whose images these are.
    runner : TaskRunner
        Runs the tasks.
    """

    begun = Signal(str, object)  # id of an image, path of its mask that is being made
    grew = Signal(str)  # id whose mask has more in it now
    changed = Signal(str)  # id that has a mask on disk now, or another one, or none any more
    counted = Signal(str)  # id whose objects are counted

    def __init__(self, workspace: Workspace, runner: TaskRunner) -> None:
        self.workspace, self.runner = workspace, runner
        self.wishes: Callable[[str], LargeImageWishes | None] = lambda identifier: None
        self.making = ""  # id of the image whose mask is being made
        self._opened: list[DiskMask] = []
        self._counts: dict[int, tuple[int, int]] = {}  # of a mask: number of its last stroke, objects then
        self._counting: Job | None = None
        self._asked: set[tuple[int, str]] = set()  # whose earlier corrections were looked for
        self._thread = ThreadPoolExecutor(1, "disk masks")
        workspace.collection_changed.connect(self._let_go)
        workspace.model_changed.connect(self._let_go)
        runner.starting.connect(self._stop_counting)

    def close(self) -> None:
        """Write what waits, and let go of all masks."""
        self._stop_counting()
        self._thread.shutdown(wait=True, cancel_futures=True)
        for mask in self._opened:
            mask.close()
        self._opened.clear()

    # where masks go

    def folder(self, identifier: str) -> Path:
        """Where the mask of an image goes: where the person said, else into a folder of this program."""
        own = self._own_folder(identifier)
        try:
            chosen = Path((own / CHOSEN).read_text(encoding="utf-8").strip())
        except OSError:
            return own
        return chosen if chosen.is_dir() else own

    def choose_folder(self, identifier: str, folder: Path) -> None:
        """Have the next mask of an image in another folder.

        Raises
        ------
        OutputError
            If that cannot be remembered.
        """
        own = self._own_folder(identifier)
        own.mkdir(parents=True, exist_ok=True)
        write_text(own / CHOSEN, str(folder))

    def _own_folder(self, identifier: str) -> Path:
        collection = self.workspace.collection
        assert collection is not None
        sample = collection.entries[identifier].sample
        place = str(sample.properties.get(OPENED_FROM, ""))
        if collection.dataset is not None:
            place = str(collection.dataset.path.resolve())
        digest = hashlib.blake2b(f"{place}|{identifier}".encode("utf-8", "replace"), digest_size=4)
        return own_masks() / f"{safe_stem(identifier)[:60]}-{digest.hexdigest()}"

    # making them

    def segment(self, identifier: str, region: Region | None = None) -> bool:
        """Segment an image, or a part of it, into a mask on disk; says whether that was begun."""
        collection, model, wishes = self.workspace.collection, self.workspace.model, self.wishes(identifier)
        if collection is None or model is None or wishes is None or self.runner.busy or self.making:
            return False
        entry = collection.entries[identifier]
        if entry.done:
            self.runner.failed.emit(
                f"{identifier} is done, so its mask stays as it is. Mark it as not done to segment it again.",
                "",
            )
            return False
        # An image that is too large for memory is seen alone.
        before, inference = entry.disk, self.workspace.inference.model_copy(update={"orthogonal": False})
        self.making = identifier
        self.changed.emit(identifier)

        def on_progress(progress: Progress) -> None:
            from napari_unet.workflow.large_images.layers.segment_layer import LargeMask

            if isinstance(progress.piece, LargeMask):
                found.append(progress.piece.path)
                self.begun.emit(identifier, progress.piece.path)
            elif progress.piece is not None:
                self.grew.emit(identifier)

        found: list[Path] = []

        def on_end(job: Job) -> None:
            path = job.result if job.state == "done" else (found[-1] if found else None)
            path = path or (before.path if before is not None else None)
            self.making = ""
            if path is None:
                self.changed.emit(identifier)
                return
            self._open(collection, identifier, Path(path), before)

        def start() -> None:
            if self.runner.busy or collection is not self.workspace.collection:
                self.making = ""  # something else was begun meanwhile
                self.changed.emit(identifier)
                return
            task = self._task(collection, entry, model, inference, wishes, region)
            self.runner.run(task, 0, on_progress, on_end)

        def close_first(mask: DiskMask) -> None:
            mask.close()  # what is painted is in the journal, and is painted again on what comes
            self.runner.dispatch(start)

        if before is None:
            start()
        else:
            self._submit(partial(close_first, before))
        return True

    def _task(
        self, collection: Collection, entry: Entry, model: ModelCard, inference: InferenceSettings,
        wishes: LargeImageWishes, region: Region | None,
    ) -> Any:  # fmt: skip
        from napari_unet.workflow.large_images.layers.segment_layer import (
            SegmentLayerTask,  # of no use to the dock when it opens
        )

        identifier = entry.sample.id
        return SegmentLayerTask(
            model.path,
            refer(entry.sample, collection.dataset),
            wishes.shape,
            self.folder(identifier),
            safe_stem(f"{identifier} {model.name}"),
            inference,
            wishes.large,
            wishes.focus,
            wishes.cluster,
            wishes.pixel_size,
            region,
        )

    def follow_settings(self) -> bool:
        """Make a mask again that is of another threshold or minimum size; says whether one is made now."""
        collection, inference = self.workspace.collection, self.workspace.inference
        if collection is None or self.workspace.model is None or self.runner.busy or self.making:
            return False
        for identifier, entry in collection.entries.items():
            if entry.disk is None or entry.is_corrected or entry.disk.read_only:
                continue
            if entry.has_strokes_only:
                continue
            state = entry.disk.state
            wanted = {"threshold": inference.threshold, "minimum_size": inference.minimum_size}
            if any(state.get(name) != value for name, value in wanted.items()):
                return self.segment(identifier, NOTHING)
        return False

    def begin_strokes(self, identifier: str) -> bool:
        """Begin a mask on disk of which nothing is known yet; says whether that was begun."""
        collection, wishes = self.workspace.collection, self.wishes(identifier)
        if collection is None or wishes is None or self.making:
            return False
        entry = collection.entries[identifier]
        if entry.disk is not None:
            return False
        self.making = identifier  # until it is open, so that it is not begun twice
        place = self.folder(identifier), safe_stem(f"{identifier} strokes")

        def work() -> None:
            from napari_unet.workflow.large_images.layers.stroke_mask import make_stroke_mask

            try:
                path = make_stroke_mask(
                    entry.sample, wishes.shape, *place, collection.classes, wishes.pixel_size
                )
            except (WorkbenchError, OSError, KeyError, ValueError) as error:
                self._fail(identifier, describe_failure(error).sentence)
                return
            self.runner.dispatch(lambda: self._open(collection, identifier, path, None))

        self._submit(work)
        return True

    def _fail(self, identifier: str, sentence: str) -> None:
        """Say, from a thread, why there is no mask."""

        def fail() -> None:
            if self.making == identifier:
                self.making = ""
            self.runner.failed.emit(sentence, "")

        self.runner.dispatch(fail)

    # having them

    def _open(self, collection: Collection, identifier: str, path: Path, before: DiskMask | None) -> None:
        """Open a mask, in a thread, with what was painted on the one before."""

        def work() -> None:
            try:
                mask = DiskMask(path, identifier, self._on_trouble)
                if before is not None and corrections_folder(before.path) != corrections_folder(path):
                    mask.carry_over(before)
            except (WorkbenchError, OSError, KeyError, ValueError) as error:
                self._fail(identifier, describe_failure(error).sentence)
                return
            self.runner.dispatch(lambda: self._use(collection, identifier, mask))

        self._submit(work)

    def _submit(self, work: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # closed
            self._thread.submit(work)

    def _use(self, collection: Collection, identifier: str, mask: DiskMask) -> None:
        if self.making == identifier:
            self.making = ""
        self._opened.append(mask)
        entry = collection.entries.get(identifier)
        if entry is not None:
            entry.use_disk(mask)
            if mask.problem:
                self.runner.failed.emit(mask.problem, "")
        self._let_go()
        if collection is self.workspace.collection and entry is not None:
            self.workspace.rows_changed.emit((identifier,))
            self.changed.emit(identifier)
            self.workspace.mask_changed.emit(identifier)
            self.count_objects(identifier)

    def restore(self, identifier: str, shape: tuple[int, int, int], pixel_size: PixelSize | None) -> None:
        """Look for corrections of an image from an earlier session, in a thread."""
        collection = self.workspace.collection
        if collection is None or (id(collection), identifier) in self._asked:
            return
        self._asked.add((id(collection), identifier))
        entry, folder = collection.entries[identifier], self.folder(identifier)
        if not folder.is_dir():
            return

        def work() -> None:
            painted = [path for path in folder.glob(MASKS) if has_strokes(path)]
            if not painted:
                return
            from napari_unet.workflow.large_images.layers.segment_layer import image_of_mask, stack_of_sample

            try:
                own = stack_of_sample(entry.sample, shape, pixel_size).fingerprint
                for path in sorted(painted, key=lambda p: p.stat().st_mtime, reverse=True):
                    if image_of_mask(path) != own:
                        continue
                    mask = DiskMask(path, identifier, self._on_trouble)
                    if mask.has_evidence():
                        self.runner.dispatch(partial(taken, mask))
                        return
                    mask.close()
            except (WorkbenchError, OSError, KeyError, ValueError) as error:
                sentence = describe_failure(error).sentence
                self.runner.dispatch(lambda: self.runner.failed.emit(sentence, ""))

        def taken(mask: DiskMask) -> None:
            if entry.disk is not None or self.making == identifier:
                mask.close()  # segmented meanwhile, which finds the strokes by itself
                return
            self._use(collection, identifier, mask)

        self._submit(work)

    def _let_go(self) -> None:
        """Close masks that no image has any more, in a thread."""
        collection = self.workspace.collection
        wanted = {id(e.disk) for e in collection.entries.values()} if collection is not None else set()
        for mask in [m for m in self._opened if id(m) not in wanted]:
            self._opened.remove(mask)
            self._submit(mask.close)

    def _on_trouble(self, sentence: str) -> None:
        words = sentence or "All strokes are saved again."
        self.runner.dispatch(lambda: self.runner.failed.emit(words, ""))

    # how many objects

    def objects(self, identifier: str) -> int | None:
        """Connected objects in the mask of an image; None while they are not counted."""
        collection = self.workspace.collection
        entry = collection.entries.get(identifier) if collection is not None else None
        if entry is None or entry.disk is None:
            return None
        number, count = self._counts.get(id(entry.disk), (0, -1))
        if count >= 0 and number == entry.disk.stats().number:
            return count
        kept = entry.disk.state.get("objects")
        return int(kept) if kept is not None and not entry.disk.log.strokes else None

    def count_objects(self, identifier: str) -> None:
        """Have the objects of a painted mask counted in the background."""
        collection = self.workspace.collection
        entry = collection.entries.get(identifier) if collection is not None else None
        if entry is None or entry.disk is None or self.objects(identifier) is not None or self.runner.busy:
            return
        if entry.has_strokes_only:
            return  # strokes are no objects
        from napari_unet.workflow.large_images.layers.layer_mask import CountObjectsTask

        mask = entry.disk
        number = mask.stats().number
        self._stop_counting()

        def on_end(job: Job) -> None:
            if job.state == "done":
                self._counts[id(mask)] = number, int(job.result)
                self.counted.emit(identifier)

        self._counting = self.runner.engine.submit(CountObjectsTask(mask.path), lambda _: None, on_end)

    def _stop_counting(self) -> None:
        if self._counting is not None:
            self._counting.cancel()
            self._counting = None
