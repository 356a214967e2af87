"""What is open: images, the model, the masks that it made, their scores."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_unet.errors import ModelError, WorkbenchError
from napari_unet.evaluation.report.summary_text import threshold_note
from napari_unet.models.card import ModelCard, find_models
from napari_unet.models.shipped import shipped_models
from napari_unet.session.images.data_problems import DataProblems
from napari_unet.session.overall_score import OverallScore
from napari_unet.settings import EvaluationSettings, InferenceSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.session.images.collection import Collection
    from napari_unet.session.images.image_row import ImageRow
    from napari_unet.session.overall_score import Overall
    from napari_unet.session.task_runner import TaskRunner
    from napari_unet.workflow.segment.prediction import Prediction

LARGE = 2**22  # pixels above which a mask is made in a thread, so that the window does not wait
SMALLEST_TILE = 16  # pixels, as the settings have it


class Workspace:
    """The images and the model that a person works with, and what the model said of the images.

    Parameters
    ----------
    runner : TaskRunner
        Whose thread is used, and whose task is stopped when other images or another model are chosen.
    """

    leaving = Signal()  # the images are about to be others: last chance to hand in what was painted
    collection_changed = Signal()
    opened = Signal()  # another collection; not one that only has other images now
    rows_changed = Signal(tuple)  # ids whose rows are different now
    current_changed = Signal(str)  # id of the current image, "" for none
    mask_changed = Signal(str)  # id whose mask is different now
    score_changed = Signal(str)  # id whose agreement with the reference is different now
    model_changed = Signal()  # another model is used
    models_changed = Signal()  # other models are on offer
    overall_changed = Signal()
    channels_changed = Signal()  # other channels of the images are read now
    linking_changed = Signal()  # objects of stacks are linked across slices now, or not any more

    def __init__(self, runner: TaskRunner) -> None:
        self.runner = runner
        self.collection: Collection | None = None
        self.current = ""
        self.models: dict[Path, ModelCard] = {}
        self.model: ModelCard | None = None
        self.inference = InferenceSettings()
        self.tile = 0  # length of the sides of tiles, in pixels; 0: the model's own
        self.link_objects = False  # whether an object of a stack has one number in all its slices
        self.evaluation = EvaluationSettings()
        self._overall = OverallScore(runner.dispatch, self.overall_changed.emit)
        self._problems = DataProblems(runner.dispatch, self.rows_changed.emit)

    @property
    def scores_pending(self) -> bool:
        """Whether a new overall score is on its way."""
        return self._overall.pending

    def finish(self) -> None:
        """Score and inspect nothing any more."""
        self._overall.close()
        self._problems.close()

    def close(self) -> None:
        """Remove what was stored on disk."""
        if self.collection is not None:
            self.collection.close()

    def show(self, collection: Collection | None, current: str = "") -> None:
        """Work on these images from now on."""
        self.leaving.emit()
        if collection is not self.collection:
            self.runner.cancel()
            self.collection = collection
            self.current = ""
            self._use_model()
            self._overall.forget()
            self.collection_changed.emit()
            self.score_overall()
            self._problems.look_for(collection)
            self.opened.emit()
        elif collection is not None:
            if self.current not in collection.entries:
                self.current = ""
            self.collection_changed.emit()
        ids = collection.ids if collection is not None else ()
        self.select(current if current in ids else next(iter(ids), ""))

    def select(self, identifier: str) -> None:
        """Take an image to hand."""
        if identifier != self.current:
            self.current = identifier
            self.current_changed.emit(identifier)

    def rows(self) -> list[ImageRow]:
        """A row for each image, in order."""
        if self.collection is None:
            return []
        return [self.collection.row(i) for i in self.collection.ids]

    def listed_rows(self, listed: Iterable[str] | None = None) -> list[ImageRow]:
        """A row for each volume, and for each image that is no slice, in order; of these alone if given."""
        collection = self.collection
        if collection is None:
            return []
        wanted = collection.listed_ids if listed is None else listed
        return [collection.listed_row(name, self.evaluation.empty) for name in wanted]

    def listed(self, identifiers: Iterable[str]) -> tuple[str, ...]:
        """What these images are listed under: their volumes, or themselves."""
        collection = self.collection
        return () if collection is None else tuple(dict.fromkeys(map(collection.listed, identifiers)))

    @property
    def volume(self) -> tuple[str, ...]:
        """Ids of the slices of the volume in view, in order; empty while a single image is in view."""
        if self.collection is None:
            return ()
        return self.collection.volumes.get(self.collection.volume_of(self.current), ())

    def row(self, identifier: str) -> ImageRow:
        """The row of one image."""
        assert self.collection is not None
        return self.collection.row(identifier)

    def report_problem(self, identifier: str, sentence: str) -> None:
        """Let the row of an image say what is wrong with it."""
        if self.collection is not None and identifier in self.collection.entries:
            self.collection.entries[identifier].problem = sentence
            self.rows_changed.emit((identifier,))

    def add_models(self, folder: Path) -> list[ModelCard]:
        """Offer the models in a folder, or the folder or zip that is one.

        Raises
        ------
        ModelError
            If there is none, or one cannot be read.
        """
        paths = [folder] if folder.is_file() else find_models(folder)
        if not paths:
            raise ModelError(
                f"there is no model in {folder}",
                code="model.missing",
                expected="a folder or zip that `napari-unet train --out` wrote",
                remedy="choose another folder, or train a model",
            )
        cards = [ModelCard.read(path) for path in paths]
        self.models.update({card.path: card for card in cards})
        return cards

    def offer_shipped_models(self) -> None:
        """Offer the models that come with the program."""
        for path in shipped_models().values():
            try:
                card = ModelCard.read(path)
                self.models.setdefault(card.path, card)
            except WorkbenchError as error:
                self.runner.failed.emit(error.sentence, "")

    def load_model(self, path: Path) -> None:
        """Offer the models of a folder and choose the newest; errors go to ``failed``."""
        try:
            cards = self.add_models(path)
        except WorkbenchError as error:
            self.runner.failed.emit(error.sentence, "")
            return
        self.choose_model(cards[0])

    def choose_model(self, card: ModelCard | None, *, same_line: bool = False) -> None:
        """Segment with this model from now on. What another one said is forgotten.

        Parameters
        ----------
        card : ModelCard or None
            The model.
        same_line : bool
            Whether it is another version of the model that is used now: the threshold and the minimum
            size that a person set stay then.
        """
        if card == self.model:
            return
        before, self.model = self.model, card
        if card is not None:
            self.models[card.path] = card
            chosen = self._set_by_hand(before) if same_line and before is not None else {}
            self.inference = card.recipe.inference.model_copy(update=chosen)
        if self.collection is not None:
            self.runner.cancel()
            self.collection.forget_predictions()
            self.collection.model = None
            self._use_model()
            self.rows_changed.emit(self.collection.ids)
            self.mask_changed.emit(self.current)
            self.score_changed.emit(self.current)
            self.score_overall()
        self.model_changed.emit()

    def _set_by_hand(self, model: ModelCard) -> dict[str, Any]:
        """What masks are made with, where it is not the model's own."""
        own = model.recipe.inference
        found = self.inference.model_dump(include={"threshold", "minimum_size", "orthogonal"})
        return {name: value for name, value in found.items() if value != getattr(own, name)}

    def _use_model(self) -> None:
        """Let the collection know the model's classes, and the parts of its split by the images' names."""
        collection, model = self.collection, self.model
        if collection is None or model is None:
            return
        if collection.model not in (None, model):
            collection.forget_predictions()
        collection.model = model
        collection.classes = model.classes
        collection.activation = model.recipe.network.activation
        data = model.provenance.get("data") or {}
        split = model.provenance.get("split") or {}
        dataset = collection.dataset
        same = dataset is not None and (data.get("name"), data.get("images")) == (dataset.name, len(dataset))
        groups = split.get("groups") or {}
        for part in ("train", "validation", "held_out"):
            for identifier in split.get(part) or () if same else ():
                if identifier in collection.entries:
                    entry = collection.entries[identifier]
                    entry.part = entry.part or part.replace("_", "-")
                    entry.group = entry.group or str(groups.get(identifier, ""))

    def mismatch(self, channels: int | None, colour: bool | None = None) -> str:
        """Why the model cannot be put on images with so many channels; empty if it can."""
        if self.model is None or channels is None:
            return ""
        return self.model.mismatch(channels, colour)

    @property
    def tiled_inference(self) -> InferenceSettings:
        """How the model is put on images, with the tiles that a person prefers."""
        if not self.tile:
            return self.inference
        return self.inference.model_copy(update={"tile": max(self.tile, SMALLEST_TILE)})

    def read_channels(self, numbers: tuple[str, ...]) -> None:
        """Read only these channels of the open images from now on; none: all.

        Parameters
        ----------
        numbers : tuple of str
            From 0, in order.
        """
        collection = self.collection
        if collection is None or numbers == collection.channels:
            return
        self.leaving.emit()
        self.runner.cancel()
        collection.read_channels(numbers)
        self._use_model()
        self.channels_changed.emit()
        self.collection_changed.emit()
        self.mask_changed.emit(self.current)
        self.score_changed.emit(self.current)
        self.score_overall()

    def set_postprocessing(self, threshold: float, minimum_size: int) -> None:
        """Make masks from the stored probabilities again; those of other images are scored aside."""
        changed = {"threshold": threshold, "minimum_size": minimum_size}
        self.inference = self.inference.model_copy(update=changed)
        if self.collection is not None and self.current:
            entry = self.collection.entries[self.current]
            if not entry.is_corrected and entry.is_segmented:
                self.mask_changed.emit(self.current)

    def average_planes(self, average: bool) -> None:
        """Have volumes segmented in three planes from now on, or slice by slice."""
        self.inference = self.inference.model_copy(update={"orthogonal": average})

    @property
    def takes_planes(self) -> bool:
        """Whether a slice of a volume is in view, and the model can look at three planes of it."""
        if self.model is None or not self.volume:
            return False
        return self.model.recipe.network.fits_planes

    def link(self, link: bool) -> None:
        """Give an object of a stack one number in all its slices, or each slice its own numbers."""
        if link != self.link_objects:
            self.link_objects = link
            self.linking_changed.emit()

    def mask(self, identifier: str) -> NDArray[np.uint8] | None:
        """(Y, X) uint8 with classes 1..K: as corrected, else as predicted; None if there is neither."""
        if self.collection is None:
            return None
        return self.collection.mask(identifier, self.inference)

    def with_mask(self, identifier: str, show: Callable[[NDArray[np.uint8] | None], Any]) -> None:
        """Hand the mask of an image to `show`: at once, or, for a large image, when it is made."""
        collection = self.collection
        if collection is None:
            return
        entry = collection.entries[identifier]
        shape = entry.prediction.shape if entry.prediction is not None else (0, 0)
        if entry.is_corrected or shape[0] * shape[1] <= LARGE:
            show(collection.mask(identifier, self.inference))
            return

        def make() -> None:
            mask = collection.mask(identifier, self.inference)
            self.runner.dispatch(lambda: show(mask))

        self.runner.in_background(make)

    def score_mask(self, identifier: str, mask: NDArray[np.uint8]) -> None:
        """Score the mask of an image as it is shown."""
        collection = self.collection
        if collection is None or identifier not in collection.entries:
            return

        entry = collection.entries[identifier]
        how = self.postprocessing if not entry.is_corrected else None
        if how is not None and entry.counts is not None and entry.scored_with == how:
            self.score_changed.emit(identifier)  # counted where it was predicted
            return

        def count() -> None:
            collection.count(identifier, mask, self.evaluation.empty, how)
            self.runner.dispatch(told)

        def told() -> None:
            self.score_changed.emit(identifier)
            self.rows_changed.emit((identifier,))
            self.score_overall()

        if mask.size <= LARGE:
            collection.count(identifier, mask, self.evaluation.empty, how)
            told()
        else:
            self.runner.in_background(count)

    def take_prediction(self, collection: Collection, prediction: Prediction, how: tuple[float, int]) -> None:
        """Take in what the model said of an image of a collection."""
        entry = collection.entries.get(prediction.id)
        if entry is None:
            return
        entry.problem = prediction.problem
        if prediction.file is not None:
            before = entry.prediction
            if before is not None and before.shape == prediction.shape and not prediction.whole:
                # What else was segmented of it is still in the file.
                prediction = replace(
                    prediction,
                    regions=(*before.regions, *prediction.regions),
                    ties=(*before.ties, *prediction.ties),
                    digests=(*before.digests, *prediction.digests),
                    made_with=None,  # small pieces are dropped region by region, of what is in the file now
                )
            entry.prediction = prediction
            entry.part = prediction.part or entry.part
            if not entry.is_corrected:
                entry.score(prediction.counts, self.evaluation.empty, how)
                self.mask_changed.emit(prediction.id)
                self.score_changed.emit(prediction.id)
        self.rows_changed.emit((prediction.id,))
        self.score_overall()

    @property
    def overall(self) -> Overall | None:
        """Scores over all images that have one; None if none has."""
        return self._overall.value

    def score_overall(self) -> None:
        """Have the score over all images worked out again."""
        self._overall.request(self.collection, self.evaluation, self.postprocessing)

    @property
    def postprocessing(self) -> tuple[float, int]:
        """What predicted masks are made with now."""
        return self.inference.threshold, self.inference.minimum_size

    @property
    def threshold_note(self) -> str:
        """Why the scores flatter, where the threshold is not the model's own; else empty."""
        if self.model is None:
            return ""
        return threshold_note(self.inference, self.model.recipe.inference)

    def leave_out_problems(self, *, leave_out: bool) -> None:
        """Keep the images that `inspect` finds wrong out of training and scores, or let them in again."""
        if self.collection is not None:
            self.collection.leave_out_flaws = leave_out
            self.score_overall()
