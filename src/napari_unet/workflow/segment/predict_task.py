"""What the window asks the computing process for: probabilities of images, in files, and scores."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.files.channels import channels_of
from napari_unet.data.sample import Sample
from napari_unet.data.volumes.neighbours import read_slice
from napari_unet.data.volumes.said_voxel_size import voxel_size_of
from napari_unet.data.volumes.slices import place_of
from napari_unet.engine.fast_import import import_keras
from napari_unet.engine.hardware import default_precision
from napari_unet.errors import DataError
from napari_unet.progress import Progress
from napari_unet.workflow.inputs.image_reference import CallReference, References
from napari_unet.workflow.segment.prediction import (
    Prediction,
    Region,
    count_against,
    file_name,
    mask_file,
    store,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.data.files.channels import Channels
    from napari_unet.data.volumes.slices import Place
    from napari_unet.data.volumes.voxel_size import VoxelSize
    from napari_unet.models.cache import ModelCache
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.settings import InferenceSettings
    from napari_unet.workflow.inputs.image_reference import ImageReference
    from napari_unet.workflow.segment.segment_samples import Segmentation

SEVERAL = 2  # models that stay warm


@functools.cache
def warm_models() -> ModelCache:
    """Models that this process keeps loaded."""
    from napari_unet.models.cache import ModelCache

    import_keras()
    return ModelCache(SEVERAL)


@functools.cache
def _references() -> References:
    return References()


@dataclass(frozen=True)
class WarmTask:
    """Get ready for the first click: load what computes, the model, and run it once.

    Attributes
    ----------
    model : pathlib.Path or None
        To be loaded.
    shape : tuple of int or None
        (Y, X, C) of an image like those to come.
    settings : InferenceSettings or None
        That it will be segmented with; None: the model's own.
    """

    model: Path | None = None
    shape: tuple[int, int, int] | None = None
    settings: InferenceSettings | None = None

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> None:
        """Load; every later task finds it done."""
        import_keras()

        from napari_unet.workflow.segment.segment_samples import segment_samples

        cancel.check()
        if self.model is None:
            return
        model = warm_models().load(self.model, default_precision())
        cancel.check()
        if self.shape is not None and model.normalization.takes(self.shape[2]):
            image = np.zeros(self.shape, np.uint8)
            settings = (self.settings or model.recipe.inference).model_copy(update={"orthogonal": False})
            for _ in segment_samples([Sample("warm", lambda: image)], model, settings, cancel):
                pass


@dataclass(frozen=True, eq=False)
class PredictTask:
    """Put a model on images; keep the probabilities in files, tell of each image as it is finished.

    Every finished image comes as the piece of a Progress, a Prediction. An image that cannot be read
    or does not fit comes with its problem and does not hold up the others. A network in three dimensions
    answers for the first image at once, from a few slices around it, and then for all together. So does one
    that looks at three planes: a slice alone is seen as an image, until all of them are there.

    Attributes
    ----------
    model : pathlib.Path
        Folder or zip.
    images : tuple of ImageReference
        In the order in which they are wanted.
    folder : pathlib.Path
        Gets a file for each image.
    settings : InferenceSettings
        Threshold and minimum size are for the scores; for any others the files suffice.
    region : Region or None
        Only this part of the image; there must be one image then.
    shape : tuple of int or None
        (Y, X) of that image, which is not read whole.
    """

    model: Path
    images: tuple[ImageReference, ...]
    folder: Path
    settings: InferenceSettings
    region: Region | None = None
    shape: tuple[int, int] | None = None

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> int:
        """Predict; gives the number of images without a problem.

        Raises
        ------
        ModelError
            If the model cannot be loaded.
        ValueError
            If a region comes without a shape or with several images.
        Cancelled
            When the person stopped it.
        """
        total = len(self.images)
        if (self.region is None) != (self.shape is None) or (self.region is not None and total != 1):
            raise ValueError("a region is of one image, whose shape is given")
        on_progress(Progress(0, total, "Loading the model"))
        model = warm_models().load(self.model, default_precision())
        several = len(self.images) > 1
        whole = several and (model.recipe.network.in_3d or self.settings.orthogonal)
        if whole:
            for prediction in self._predictions(self.images[:1], model, cancel):
                on_progress(Progress(0, total, "Segmenting", piece=prediction))
                cancel.check()
        right, furthest = 0, 0.0
        start = time.monotonic()

        def tell(done: float, piece: Prediction | None = None) -> None:
            nonlocal furthest
            furthest = max(furthest, done)
            left = (time.monotonic() - start) / furthest * (total - furthest)
            on_progress(Progress(furthest, total, "Segmenting", left, piece=piece))

        for done, prediction in enumerate(self._predictions(self.images, model, cancel, tell), start=1):
            right += not prediction.problem
            tell(done, prediction)
            cancel.check()
        return right

    def _predictions(
        self,
        images: Sequence[ImageReference],
        model: AnyModel,
        cancel: CancelToken,
        on_slices: Callable[[float], None] | None = None,
    ) -> Iterator[Prediction]:
        from napari_unet.data.image_hash import image_hash
        from napari_unet.evaluation.leakage import TrainingMembership
        from napari_unet.workflow.segment.segment_samples import segment_samples

        seen = TrainingMembership(model.provenance)
        by_id = {reference.id: reference for reference in images}
        about: dict[str, tuple[tuple[int, int], str, tuple[str, ...]]] = {}
        problems: list[Prediction] = []

        def sample_of(reference: ImageReference) -> Sample:
            def load() -> NDArray[np.generic]:
                if self.region is not None:
                    assert self.shape is not None
                    image = find_sample(reference).read_region(*self.region.slices)
                    shape, part = self.shape, ""
                else:
                    image = find_sample(reference).read_image()
                    shape, part = (image.shape[0], image.shape[1]), seen.part(image)
                digests = (image_hash(image),) if isinstance(reference, CallReference) else ()
                about[reference.id] = shape, part, digests
                return image

            return Sample(reference.id, load, original=_Referred(reference, self.region))

        settings = self.settings
        if len(images) == 1:
            settings = settings.model_copy(update={"orthogonal": False})
        results = segment_samples(
            map(sample_of, images),
            model,
            settings,
            cancel,
            lambda sample, error: problems.append(Prediction(sample.id, None, problem=error.sentence)),
            on_slices=on_slices,
        )
        for result in results:
            yield from _drained(problems)
            identifier = result.sample.id
            shape, part, digests = about.pop(identifier)
            file = self.folder / file_name(identifier)
            store(file, result.outputs.astype(np.float16), shape, self.region)
            store(mask_file(file), result.mask, shape, self.region)
            if self.region is None:
                counts, problem = count_against(
                    find_sample(by_id[identifier]), result.mask, len(model.classes)
                )
            else:
                counts, problem = None, ""
            region = self.region or Region(0, 0, *shape)
            made_with = self.settings.threshold, self.settings.minimum_size
            yield Prediction(
                identifier,
                file,
                shape,
                part,
                counts,
                problem,
                (region,),
                result.separation_kind,
                digests,
                made_with,
                _ties(result, region),
            )
        yield from _drained(problems)


def _ties(result: Segmentation, region: Region) -> tuple[tuple[int, int, int], ...]:
    """A pixel in the image, and the class, of each object that is a tie."""
    found = []
    for number in result.ties:
        place = int((result.objects == number).argmax())
        row, column = divmod(place, result.objects.shape[1])
        found.append((row + region.top, column + region.left, int(result.mask[row, column])))
    return tuple(found)


def find_sample(reference: ImageReference) -> Sample:
    """The image that is referred to; data sets opened for it stay open.

    Raises
    ------
    DataError
        If it is not there any more.
    """
    try:
        return _references().sample(reference)
    except (KeyError, FileNotFoundError) as error:
        raise DataError(
            f"{reference.id} is not there any more", code="data.file.missing", remedy="open the data again"
        ) from error


@dataclass(frozen=True, eq=False)
class _Referred:
    """Reads an image that is referred to, and knows of its channels: () -> (Y, X, C)."""

    reference: ImageReference
    region: Region | None = None

    def __call__(self) -> NDArray[np.generic]:
        """Read it."""
        return find_sample(self.reference).read_image()

    @property
    def channels(self) -> Channels:
        """What is known of them."""
        return channels_of(find_sample(self.reference))

    @property
    def voxel_size(self) -> VoxelSize | None:
        """As the file says, if it does."""
        return voxel_size_of([find_sample(self.reference)])

    @property
    def place(self) -> Place | None:
        """Where it lies in its volume; of a region, in that part of all slices."""
        place = place_of(find_sample(self.reference))
        if place is None or self.region is None:
            return place
        parts = {z: _PartOf(load, self.region) for z, load in place.slices.items()}
        return replace(place, slices=parts)


@dataclass(frozen=True)
class _PartOf:
    """Reads a part of a slice: () -> (Y, X, C)."""

    load: Callable[[], NDArray[np.generic]]
    region: Region

    def __call__(self) -> NDArray[np.generic]:
        """Read the slice, and cut it."""
        return read_slice(self.load)[self.region.slices]


def lazy_sample(reference: ImageReference) -> Sample:
    """An image that is looked for when it is read."""
    return Sample(reference.id, _Referred(reference))


def _drained(problems: list[Prediction]) -> Iterator[Prediction]:
    while problems:
        yield problems.pop(0)
