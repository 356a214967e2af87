"""Rounds of learning from strokes, each with what was painted since the one before."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.files.channels import channels_of, common_channels
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.data.split import Split
from napari_unet.errors import TrainingError
from napari_unet.inference.predict import predict_probabilities
from napari_unet.models.intensities import prepare_image
from napari_unet.models.model import load_model, save_model
from napari_unet.models.model_folder import SPLIT_FILE
from napari_unet.models.normalization import Normalization, resize
from napari_unet.progress import Progress
from napari_unet.training.feeding.stroke_patches import StrokedImage
from napari_unet.training.warm import warm_model
from napari_unet.workflow.finetune.train_version import Trained
from napari_unet.workflow.inputs.image_reference import FileReference, References
from napari_unet.workflow.inputs.labelled_images import as_dataset
from napari_unet.workflow.segment.segment_samples import segment_samples
from napari_unet.workflow.strokes.guesses import guess_if_due
from napari_unet.workflow.strokes.stroke_recipe import for_images, fresh_model, training_of
from napari_unet.workflow.strokes.stroke_request import UNKNOWN, ImagePart
from napari_unet.workflow.train.dataset_scan import DatasetScan, needed_channels
from napari_unet.workflow.train.preview import Preview
from napari_unet.workflow.train.trained_from import provenance_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_unet.models.intensities import Intensities
    from napari_unet.models.model import Model
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.workflow.strokes.stroke_request import PaintedImage, StrokeRequest

FIRST_ROUND, ROUND = 2.5, 5.0  # seconds of learning before the first preview, and between later ones
ASK_EVERY = 0.25  # seconds between two questions whether to stop
PAINTS_ON = 20.0  # seconds that it learns on after the last new stroke, if the budget ends before


@dataclass(frozen=True, eq=False)
class LearnedFromStrokes(Trained):
    """What came of learning from strokes.

    Attributes
    ----------
    images, pixels : int
        That were painted on, and that were painted.
    """

    images: int = 0
    pixels: int = 0

    @property
    def sentence(self) -> str:
        """All of it for a person, on one line."""
        return f"{self.headline}, {self.pixels:,} pixels; nothing has measured it yet"

    @property
    def headline(self) -> str:
        """What was learned from: "learned from strokes on 2 images"."""
        return f"learned from strokes on {self.images:,} image{'s' * (self.images != 1)}"

    @property
    def verdict(self) -> str:
        """Nothing judges it."""
        return "new"

    @property
    def how(self) -> str:
        """How the version came to be, for the list of versions."""
        return "from strokes"


@dataclass
class StrokeRounds:
    """The rounds of one task.

    Parameters
    ----------
    task : StrokeRequest
        What is wanted.
    on_progress : callable
        Takes a Progress after each step.
    cancel : CancelToken
        Checked before each step.
    """

    task: StrokeRequest
    on_progress: OnProgress
    cancel: CancelToken

    def __post_init__(self) -> None:
        self._started = self._asked = time.monotonic()
        self._until = self._started + self.task.seconds
        self._references = References()
        self._samples: dict[str, Sample] = {}
        self._numbers: dict[str, int] = {}
        self._wholes: dict[str, str] = {}  # part of a large image to the id of that
        self._intensities: dict[str, Intensities] = {}  # of large images
        self._stopped = False

    def run(self) -> LearnedFromStrokes:
        """Learn and write the model; errors as ``LearnFromStrokesTask.run``."""
        self.on_progress(Progress(0, 1, "Looking at the strokes"))
        news = list(self.task.strokes({}))
        self._take(news)
        check_strokes(news)
        self._model = self._begin()
        self._training = training_of(self._model)
        self._prepare(news)
        try:
            self._learn()
            return self._write()
        finally:
            warm_model().keep(self._model)

    def _begin(self) -> Model:
        """The model to continue from, or a fresh one."""
        task, images = self.task, [sample.read_image() for sample in self._samples.values()]
        if task.start is not None:
            model = load_model(task.start, task.recipe.training.precision)
            if model.classes == task.classes and all(model.normalization.takes(i.shape[2]) for i in images):
                return warm_model().take(model)
        channels = max(needed_channels(image) for image in images)
        shapes = [(image.shape[0], image.shape[1]) for image in images]
        recipe = for_images(task.recipe, channels, len(task.classes), shapes)
        normalization = Normalization(
            channels=channels,
            intensities=recipe.training.intensities,
            scale=recipe.training.scale,
            channel_names=common_channels(list(self._samples.values()), channels),
        )
        return fresh_model(recipe, normalization, task.classes)

    # strokes

    def _take(self, news: Sequence[PaintedImage]) -> None:
        """Know the images and how far their strokes are known."""
        for one in news:
            self._numbers[one.id] = one.number
            if one.whole:
                self._wholes[one.id] = one.whole
            known = one.mask != UNKNOWN
            mask = ReferenceMask(
                np.where(known, one.mask, 0).astype(np.uint8), weights=known.astype(np.float32)
            )
            if isinstance(one.image, FileReference):
                found = self._references.sample(one.image)
            elif one.image is not None:
                pixels = one.image
                found = Sample(one.id, lambda pixels=pixels: pixels)  # type: ignore[misc]
            else:
                found = self._samples[one.id]
            self._samples[one.id] = replace(found, load_mask=lambda mask=mask: mask)  # type: ignore[misc]

    def _prepare(self, news: Sequence[PaintedImage]) -> None:
        """Show the training what was painted, in place of what it knew of these images."""
        normalization, images = self._model.normalization, self._training.patches.images
        for one in news:
            known = one.mask != UNKNOWN
            images.pop(one.id, None)
            if not known.any():
                continue
            sample = self._samples[one.id]
            image = sample.read_image()
            if image.shape[2] > 1:
                image = normalization.pick(image, *channels_of(sample), sample.id)
            values = self._prepared(image, self._wholes.get(one.id, ""), sample.id)
            labels = np.where(known, one.mask, 0).astype(np.uint8)
            images[one.id] = StrokedImage.of(values, labels, known, normalization.scale)

    def _prepared(self, image: NDArray[np.generic], whole: str, identifier: str) -> NDArray[np.float32]:
        """An image as the network sees it; a part of a large one as it would be as part of the whole."""
        measure = self.task.intensities
        if not whole or measure is None:
            return self._model.normalization.prepare(image, identifier)
        if whole not in self._intensities:
            self._intensities[whole] = measure(whole, self._model.normalization)
        return prepare_image(self._model.normalization, image, identifier, lambda _: self._intensities[whole])

    def _look_for_strokes(self) -> None:
        """Take what was painted since; as long as somebody paints there is a round after this."""
        news = [one for one in self.task.strokes(dict(self._numbers)) if self._is_new(one)]
        if not news:
            return
        self._take(news)
        kept = dict(self._training.patches.images)
        self._prepare(news)
        if not self._training.patches.images:  # all of it was undone: what was there teaches on
            self._training.patches.images.update(kept)
        self._until = max(self._until, time.monotonic() + PAINTS_ON)

    def _is_new(self, one: PaintedImage) -> bool:
        return self._numbers.get(one.id) != one.number

    # rounds

    def _learn(self) -> None:
        seconds = FIRST_ROUND
        self.on_progress(Progress(0, 1, "Building the network"))
        self._training.learn(lambda: True)  # which takes seconds, as it has to be built, and is not counted
        self._until = time.monotonic() + self.task.seconds
        while True:
            self._training.learn(self._enough(time.monotonic() + seconds))
            guess_if_due(self._model, self._training, self.cancel)
            self._show()
            self._ask_to_stop()
            if not self._stopped:
                self._look_for_strokes()
            if self._stopped or time.monotonic() >= self._until:
                return
            seconds = ROUND

    def _enough(self, end: float) -> Any:
        def enough() -> bool:
            self.cancel.check()
            self._tell()
            now = time.monotonic()
            if now - self._asked >= ASK_EVERY:
                self._asked = now
                self._ask_to_stop()
            return self._stopped or now >= min(end, self._until)

        return enough

    def _ask_to_stop(self) -> None:
        self._stopped = self._stopped or bool(self.task.stop is not None and self.task.stop())

    def _passed(self) -> float:
        return time.monotonic() - self._started

    def _tell(self, piece: Preview | None = None) -> None:
        left = max(self._until - time.monotonic(), 0.0)
        passed, loss = self._passed(), self._training.loss_value
        values = {"seconds": passed} | ({"loss": loss} if math.isfinite(loss) else {})
        done = min(passed / max(passed + left, 1e-9), 1.0)
        self.on_progress(Progress(done, 1.0, "Learning from strokes", left, values, piece))

    def _show(self) -> None:
        """Hand over what the network makes of the image in view."""
        asked: Any = self.task.preview() if self.task.preview is not None else None
        if asked is None:
            return
        if isinstance(asked, ImagePart):
            self._show_part(asked)
            return
        if isinstance(asked, FileReference):
            sample = self._references.sample(asked)
        else:
            identifier, image = asked
            sample = Sample(identifier, lambda: image)
        failed: list[Any] = []
        for result in segment_samples(
            [sample],
            self._model,
            self._model.recipe.inference.model_copy(update={"flips": "none"}),
            self.cancel,
            lambda sample, error: failed.append(error),
        ):
            self._tell(Preview(sample.id, result.probabilities, self._passed()))

    def _show_part(self, part: ImagePart) -> None:
        """Hand over what the network makes of a part of a large image."""
        model, shape = self._model, (part.pixels.shape[0], part.pixels.shape[1])
        settings = model.recipe.inference.model_copy(update={"flips": "none"})
        values = self._prepared(part.pixels, part.whole, part.whole)
        (found,) = predict_probabilities([values], model.outputs, model.sizes, settings, self.cancel)
        self._tell(Preview(part.whole, resize(found, shape), self._passed(), origin=part.origin))

    def _write(self) -> LearnedFromStrokes:
        task, model = self.task, self._model
        taught = [self._samples[i] for i in self._training.patches.images]
        name = "strokes"
        ids = tuple(sample.id for sample in taught)
        split = Split(ids, (), (), groups={i: i for i in ids}, data=name, note="strokes: nothing judges them")
        scan = DatasetScan(as_dataset(name, taught, task.classes))
        parent = "" if task.start is None else str(task.start)
        model.provenance = provenance_of(
            scan, split, model.normalization, -1.0, self._training.step, self._passed(), parent
        )
        save_model(model, task.out)
        split.save(task.out / SPLIT_FILE)
        self.on_progress(Progress(1, 1, "Done"))
        return LearnedFromStrokes(
            task.out, None, "", None, None, self._training.step, self._passed(), 0, self._stopped,
            images=len({self._wholes.get(sample.id, sample.id) for sample in taught}),
            pixels=int(self._training.patches.counts.sum()),
        )  # fmt: skip


def check_strokes(news: Sequence[PaintedImage]) -> None:
    """Refuse strokes that tell nothing apart.

    Raises
    ------
    TrainingError
        If there are none, or all are of one class.
    """
    classes = {int(c) for one in news for c in np.unique(one.mask)} - {UNKNOWN}
    if not classes:
        raise TrainingError(
            "nothing is painted yet",
            code="training.strokes.missing",
            expected="strokes on at least one image",
            remedy="press New mask, and paint some objects and some background",
        )
    if len(classes) < 2:
        only = "background" if classes == {0} else "one class"
        raise TrainingError(
            f"only {only} is painted",
            code="training.strokes.one",
            expected="strokes of two classes; background is one",
            remedy="paint some objects" if classes == {0} else "choose background (0), and paint some of it",
        )
