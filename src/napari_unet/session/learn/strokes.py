"""Learning from strokes in a session: a first model, in rounds, while the person paints on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_unet.engine.task import FromCaller
from napari_unet.errors import WorkbenchError
from napari_unet.inference.postprocess import mask_from_probabilities
from napari_unet.project.corrections.correction import IGNORE
from napari_unet.session.learn.large_strokes import (
    CELL,
    HELD_OUT,
    known_labels,
    measure_large,
    middle_of,
    painted_parts,
    part_name,
)
from napari_unet.session.outcome import Outcome
from napari_unet.workflow.inputs.image_reference import FileReference, refer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.models.intensities import Intensities
    from napari_unet.models.normalization import Normalization
    from napari_unet.project.corrections.stroke import Box
    from napari_unet.session.images.collection import Collection
    from napari_unet.session.images.entry import Entry
    from napari_unet.session.learn.background_job import BackgroundJob
    from napari_unet.session.learn.candidate_version import CandidateVersion
    from napari_unet.session.painting import Painting
    from napari_unet.session.task_runner import TaskRunner
    from napari_unet.session.workspace import Workspace
    from napari_unet.workflow.strokes.learn_from_strokes_task import WarmStrokesTask
    from napari_unet.workflow.strokes.stroke_request import PaintedImage
    from napari_unet.workflow.strokes.stroke_rounds import LearnedFromStrokes
    from napari_unet.workflow.train.preview import Preview

GONE = -1  # number of the last stroke on an image whose strokes were all undone
SECONDS = 60.0  # of learning, from the click on


class StrokeLearning:
    """Learns from what was painted on the open images, whether there is a model or none.

    Parameters
    ----------
    workspace : Workspace
        Whose images are painted.
    runner : TaskRunner
        Says what went wrong.
    painting : Painting
        Whose project gets the model.
    background : BackgroundJob
        Where it is computed.
    candidate : CandidateVersion
        Takes the model.

    Attributes
    ----------
    preview : tuple or None
        Id of an image, and the mask (Y, X) uint8 that the model in training makes of it.
    origin : tuple of int
        Row and column of the first pixel of the preview, of a part of a large image.
    view : tuple of int or None
        What of a large image is in view: first row, first column, row and column behind the last.
    running : bool
        Whether strokes are learned from right now.
    """

    changed = Signal()  # something can be learned now, or not any more
    previewed = Signal()  # there is another preview, or none

    def __init__(
        self,
        workspace: Workspace,
        runner: TaskRunner,
        painting: Painting,
        background: BackgroundJob,
        candidate: CandidateVersion,
    ) -> None:
        self.workspace, self.runner, self.painting = workspace, runner, painting
        self.background, self.candidate = background, candidate
        self.preview: tuple[str, NDArray[np.uint8]] | None = None
        self.origin = (0, 0)
        self.view: Box | None = None
        self._waiting: Collection | None = None  # for a project of these images
        self._warmed: WarmStrokesTask | None = None
        self.running = False
        background.previewed.connect(self._on_preview)
        background.ended.connect(self._on_ended)

    @property
    def waits(self) -> bool:
        """Whether it starts as soon as there is a project."""
        return self._waiting is not None

    def painted(self) -> dict[str, Entry]:
        """The images with strokes that may be learned from, by id; what is held out is not among them."""
        collection, project = self.workspace.collection, self.painting.project
        if collection is None:
            return {}
        return {
            i: entry
            for i, entry in collection.entries.items()
            if entry.is_corrected
            if project is None or project.split.part_of(i) not in HELD_OUT
        }

    def words(self) -> str:
        """How many images have strokes: "2 images with strokes", or "2 slices with strokes" of volumes."""
        painted, collection = self.painted(), self.workspace.collection
        slices = painted and collection is not None and all(map(collection.volume_of, painted))
        return f"{len(painted):,} {'slice' if slices else 'image'}{'s' * (len(painted) != 1)} with strokes"

    def obstacle(self) -> str:
        """Why nothing can be learned now; empty if something can."""
        if self.waits or self.running:
            return "Learning is under way."
        if self.background.obstacle:
            return self.background.obstacle
        if self.candidate.version is not None:
            return "Keep or discard the new version first."
        collection = self.workspace.collection
        if not self.painted() and collection is not None:
            if any(entry.is_corrected for entry in collection.entries.values()):
                return "These images are held out for the test: paint on another image."
            return "Paint first: some objects, and some background."
        return ""

    # learning

    def warm(self) -> None:
        """Have the network ready before it is needed: somebody begins to paint on the current image."""
        collection, current = self.workspace.collection, self.workspace.current
        if collection is None or self.background.make_engine is None or self.background.job is not None:
            return

        def look() -> None:
            from napari_unet.workflow.strokes.learn_from_strokes_task import WarmStrokesTask
            from napari_unet.workflow.train.dataset_scan import needed_channels

            try:
                image = self._piece(collection, current)
            except WorkbenchError:
                return  # which is said where it is shown
            shape = image.shape[0], image.shape[1], needed_channels(image)
            task = WarmStrokesTask(shape, len(collection.classes))
            self.runner.dispatch(lambda: self._warm(task))

        self.runner.in_background(look)

    @staticmethod
    def _piece(collection: Collection, identifier: str) -> NDArray[np.generic]:
        """An image, or as much of a large one as training sees at a time."""
        entry = collection.entries[identifier]
        if entry.disk is None:
            return collection.image(identifier)
        height, width = (min(CELL, side) for side in entry.disk.shape)
        return entry.sample.read_region(slice(0, height), slice(0, width))

    def _warm(self, task: WarmStrokesTask) -> None:
        if task != self._warmed and self.background.job is None:
            self._warmed = task
            self.background.engine.submit(task)

    def learn(self, seconds: float = SECONDS) -> None:
        """Learn: the first preview comes within seconds, the model when the time is up or at ``stop``."""
        if self.obstacle():
            return
        if self.painting.project is None:
            self._waiting = self.workspace.collection
            self.painting.prepare()
            self.changed.emit()
            return
        self._start(seconds)

    def stop(self) -> None:
        """Stop learning now; what was learned stays."""
        self._waiting = None
        if self.running:
            self.background.stop()
        self.changed.emit()

    def start_waiting(self) -> None:
        """Start what waited for a project of the images that are open."""
        waited, self._waiting = self._waiting, None
        if waited is not None and waited is self.workspace.collection and self.painting.project is not None:
            self.learn()
        self.changed.emit()

    def drop_wish(self, failed: object = None) -> None:
        """Start nothing for images that are not open any more, or whose project cannot be made."""
        waited = self._waiting
        if waited is not None and (failed is waited or waited is not self.workspace.collection):
            self._waiting = None
            self.changed.emit()

    def _start(self, seconds: float) -> None:
        from napari_unet.workflow.strokes.learn_from_strokes_task import LearnFromStrokesTask

        project, collection = self.painting.project, self.workspace.collection
        assert project is not None
        assert collection is not None
        try:
            start = self._line()
            out = project.new_folder("runs", "strokes", {"seconds": seconds}) / "model"
        except WorkbenchError as error:
            self.runner.failed.emit(error.sentence, "")
            return
        task = LearnFromStrokesTask(
            out,
            tuple(collection.classes),
            FromCaller(lambda known: self._strokes(collection, known)),
            start,
            FromCaller(lambda: self._wanted_preview(collection)),
            FromCaller(self.background.wants_stop),
            seconds,
            intensities=FromCaller(lambda whole, how: self._intensities(collection, whole, how)),
        )
        current = project.models.current
        parent = current.number if current is not None and current.path == start else 0

        def finish(result: LearnedFromStrokes) -> None:
            home = self.candidate.living(project)
            self.candidate.offer(home, result, home.corrections.seen(), parent)
            version = self.candidate.version
            if version is None or self.runner.busy:
                return
            # Nothing could judge it, and the person asked for it; other models can be chosen as before.
            self.candidate.keep()
            words = f"{result.headline}: {version.name} is in use. Nothing has measured it yet."
            self.runner.succeeded.emit(Outcome(words, version.path))

        self.running = True
        self.background.run(task, collection, finish)
        self.changed.emit()

    def _on_ended(self) -> None:
        if self.running:
            self.running = False
            self.changed.emit()
            self.previewed.emit()

    def _line(self) -> Path | None:
        """The model to continue from: the version in use, if it was learned from strokes."""
        from napari_unet.workflow.strokes.stroke_recipe import STROKES

        model = self.workspace.model
        return model.path if model is not None and model.recipe.name == STROKES.name else None

    def _strokes(self, collection: Collection, known: Mapping[str, int]) -> list[PaintedImage]:
        """What was painted since; called from another thread."""
        from napari_unet.workflow.strokes.stroke_request import PaintedImage

        if collection is not self.workspace.collection:
            return []
        painted, nothing, there = self.painted(), np.full((1, 1), IGNORE, np.uint8), set()
        found = []
        for identifier, entry in painted.items():
            if entry.disk is not None:
                parts = painted_parts(entry.disk)
                there |= {part_name(identifier, box) for box in parts}
                found += self._parts(identifier, entry, parts, known)
                continue
            there.add(identifier)
            number = entry.corrections.stats(entry.known_as).number
            if known.get(identifier) == number:
                continue
            try:
                reference = entry.corrections[entry.known_as].reference()  # type: ignore[index]
                image = None if identifier in known else self._image(collection, identifier)
            except (WorkbenchError, KeyError):
                continue  # which is said where the image is shown
            mask = reference.labels
            if reference.weights is not None:
                mask = np.where(reference.weights > 0, mask, IGNORE).astype(np.uint8)
            found.append(PaintedImage(identifier, number, mask, image))
        gone = (i for i, number in known.items() if i not in there and number != GONE)
        return [*found, *(PaintedImage(i, GONE, nothing) for i in gone)]

    @staticmethod
    def _parts(
        identifier: str, entry: Entry, parts: Mapping[Box, int], known: Mapping[str, int]
    ) -> list[PaintedImage]:
        """The parts of a large image on which something was painted since."""
        from napari_unet.workflow.strokes.stroke_request import PaintedImage

        found, disk = [], entry.disk
        assert disk is not None
        for box, number in parts.items():
            name = part_name(identifier, box)
            if known.get(name) == number:
                continue
            mask = known_labels(disk, box)
            if name not in known and (mask == IGNORE).all():
                continue  # undone, or the cell next to this one has it
            image = None
            if name not in known:
                try:
                    image = entry.sample.read_region(slice(box[0], box[2]), slice(box[1], box[3]))
                except WorkbenchError:
                    continue  # which is said where the image is shown
            found.append(PaintedImage(name, number, mask, image, identifier))
        return found

    @staticmethod
    def _intensities(collection: Collection, identifier: str, normalization: Normalization) -> Intensities:
        """Of a large image; called from another thread."""
        entry = collection.entries[identifier]
        assert entry.disk is not None
        return measure_large(entry.sample, entry.disk.shape, normalization)

    @staticmethod
    def _image(collection: Collection, identifier: str) -> FileReference | NDArray[np.generic]:
        """An image as the computing process can have it: where its file is, or its pixels."""
        found = refer(collection.entries[identifier].sample, collection.dataset)
        return found if isinstance(found, FileReference) else np.asarray(collection.image(identifier))

    # the preview

    def _wanted_preview(self, learns_from: Collection) -> Any:
        """The image in view, of a large one the middle of the view; called from another thread."""
        from napari_unet.workflow.strokes.stroke_request import ImagePart

        collection, current, view = self.workspace.collection, self.workspace.current, self.view
        entry = collection.entries.get(current) if collection is not None else None
        if entry is None or entry.disk is None:
            return self.background.wanted_preview()
        if view is None or collection is not learns_from:
            return None
        rows, columns = (middle_of(view[axis], view[axis + 2], entry.disk.shape[axis]) for axis in range(2))
        return ImagePart(current, (rows.start, columns.start), entry.sample.read_region(rows, columns))

    def _on_preview(self, preview: Preview) -> None:
        if not self.running:
            return
        collection = self.workspace.collection
        softmax = preview.probabilities.shape[-1] > 1
        mask = mask_from_probabilities(preview.probabilities, activation="softmax" if softmax else "sigmoid")
        if collection is not None and preview.id in collection.entries:
            self.preview, self.origin = (preview.id, mask), preview.origin
            self.previewed.emit()

    def mask_in_view(self) -> NDArray[np.uint8] | None:
        """What there is to be accepted for the current image: the preview, or what the model in use says."""
        current, collection = self.workspace.current, self.workspace.collection
        entry = collection.entries.get(current) if collection is not None else None
        if collection is None or entry is None or (entry.is_corrected and not entry.has_strokes_only):
            return None
        shown, mask = self.preview or ("", None)
        if shown == current and (self.running or not entry.is_segmented):
            return mask
        if entry.has_strokes_only and entry.is_segmented and entry.disk is None:
            return collection.predicted_mask(current, self.workspace.inference)
        return None

    @property
    def acceptable(self) -> bool:
        """Whether the preview in view can become the mask of its image."""
        current, collection = self.workspace.current, self.workspace.collection
        entry = collection.entries.get(current) if collection is not None else None
        return (
            entry is not None
            and entry.is_corrected
            and entry.has_strokes_only
            and entry.disk is None
            and self.mask_in_view() is not None
        )

    def accept(self) -> None:
        """Make the preview in view the mask of its image; painted pixels stay as they are."""
        mask = self.mask_in_view()
        if mask is not None and self.acceptable:
            self.painting.fill_unknown(self.workspace.current, mask)
            self.previewed.emit()
            self.changed.emit()

    def forget_preview(self) -> None:
        """Other images are open."""
        self.preview, self._warmed = None, None
        self.previewed.emit()
