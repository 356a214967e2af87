"""What the window asks the computing process for: probabilities of images, kept in files, and scores."""

from __future__ import annotations

import functools
import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.sample import Sample
from napari_unet.engine.fast_import import import_keras
from napari_unet.engine.hardware import default_precision
from napari_unet.errors import DataError, OutputError, WorkbenchError
from napari_unet.inference.postprocess import mask_from_probabilities
from napari_unet.metrics.overlap import OverlapCounts, count_overlap
from napari_unet.progress import Progress
from napari_unet.workflow.inputs.image_reference import CallReference, References

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.inference.postprocess import Activation
    from napari_unet.models.cache import ModelCache
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.settings import InferenceSettings, Separation
    from napari_unet.workflow.inputs.image_reference import ImageReference

SEVERAL = 2  # models kept warm


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
class Region:
    """A rectangle of an image, in pixels; the ends are not part of it."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """To index (Y, X)."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model said of one image, and where that is kept.

    Attributes
    ----------
    id : str
        Of the image.
    file : pathlib.Path or None
        .npy with (Y, X, K) float16 probabilities, and one channel more if the network tells objects
        apart; None where something went wrong.
    shape : tuple of int
        (Y, X) of the image.
    part : str
        "train", "validation", "held-out" of the model's split, or "unseen", told by the pixels; empty
        where only a part of them was read.
    counts : OverlapCounts or None
        Agreement of the mask with the reference; None without a reference.
    problem : str
        Why there is no prediction; empty if there is one.
    regions : tuple of Region
        What of the image was segmented, one after another.
    separation_kind : str
        What the last channel of the file tells objects apart by: "distance" or "border"; "none": nothing.
    digests : tuple of str
        Of the pixels that the model was put on, one a region, see ``image_hash``; empty for images of a
        data set.
    made_with : tuple of float or None
        Threshold and minimum size of the mask that is kept in ``mask_file``; None if none is.
    """

    id: str
    file: Path | None
    shape: tuple[int, int] = (0, 0)
    part: str = ""
    counts: OverlapCounts | None = None
    problem: str = ""
    regions: tuple[Region, ...] = ()
    separation_kind: Separation = "none"
    digests: tuple[str, ...] = ()
    made_with: tuple[float, int] | None = None

    @property
    def whole(self) -> bool:
        """Whether all of the image was segmented at once."""
        return any((r.bottom - r.top, r.right - r.left) == self.shape for r in self.regions)

    def probabilities(self) -> NDArray[np.float16]:
        """(Y, X, K) float16 in [0, 1], mapped from the file."""
        kept = self._kept()
        return kept if self.separation_kind == "none" else kept[..., :-1]

    def separation(self) -> NDArray[np.float16] | None:
        """(Y, X) float16 in [0, 1], mapped from the file: what tells objects apart, if the network does."""
        return None if self.separation_kind == "none" else self._kept()[..., -1]

    def mask(self, threshold: float, minimum_size: int) -> NDArray[np.uint8] | None:
        """(Y, X) uint8, the mask that was made and scored when the image was segmented.

        None if it was made with another threshold or minimum size, or is gone from the disk.
        """
        if self.file is None or self.made_with != (threshold, minimum_size) or not self.file.exists():
            return None
        try:
            kept = np.load(mask_file(self.file), mmap_mode="r")
        except (OSError, ValueError):
            return None
        mask = np.zeros(kept.shape, np.uint8)
        for region in self.regions:
            mask[region.slices] = kept[region.slices]
        return mask

    def _kept(self) -> NDArray[np.float16]:
        assert self.file is not None
        return np.load(self.file, mmap_mode="r")  # type: ignore[no-any-return]


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
            for _ in segment_samples([Sample("warm", lambda: image)], model, self.settings, cancel):
                pass


@dataclass(frozen=True, eq=False)
class PredictTask:
    """Put a model on images; keep the probabilities in files, tell of each image as it is finished.

    Every finished image comes as the piece of a Progress, a Prediction. An image that cannot be read
    or does not fit comes with its problem and does not hold up the others.

    Attributes
    ----------
    model : pathlib.Path
        Folder or zip.
    images : tuple of ImageReference
        In the order in which they are wanted.
    folder : pathlib.Path
        Gets a file for each image.
    settings : InferenceSettings
        Threshold and minimum size are for the scores; any others can be had from the files.
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
        right = 0
        start = time.monotonic()
        for done, prediction in enumerate(self._predictions(model, cancel), start=1):
            right += not prediction.problem
            left = (time.monotonic() - start) / done * (total - done)
            on_progress(Progress(done, total, "Segmenting", left, piece=prediction))
            cancel.check()
        return right

    def _predictions(self, model: AnyModel, cancel: CancelToken) -> Iterator[Prediction]:
        from napari_unet.data.image_hash import image_hash
        from napari_unet.evaluation.leakage import TrainingMembership
        from napari_unet.workflow.segment.segment_samples import segment_samples

        seen = TrainingMembership(model.provenance)
        by_id = {reference.id: reference for reference in self.images}
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

            return Sample(reference.id, load)

        results = segment_samples(
            map(sample_of, self.images),
            model,
            self.settings,
            cancel,
            lambda sample, error: problems.append(Prediction(sample.id, None, problem=error.sentence)),
        )
        for result in results:
            yield from _drained(problems)
            identifier = result.sample.id
            shape, part, digests = about.pop(identifier)
            file = self.folder / file_name(identifier)
            _keep(file, result.outputs.astype(np.float16), shape, self.region)
            _keep(mask_file(file), result.mask, shape, self.region)
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
            )
        yield from _drained(problems)


@dataclass(frozen=True, eq=False)
class RescoreTask:
    """Score kept probabilities with another threshold or minimum size, without the network.

    Every image comes as the piece of a Progress: (id, OverlapCounts).

    Attributes
    ----------
    images : tuple of ImageReference
        With a reference mask.
    files : tuple of pathlib.Path
        Their probabilities.
    classes : int
        K.
    activation : str
        Of the network.
    settings : InferenceSettings
        Threshold and minimum size.
    """

    images: tuple[ImageReference, ...]
    files: tuple[Path, ...]
    classes: int
    activation: Activation
    settings: InferenceSettings

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> None:
        """Score."""
        pairs = list(zip(self.images, self.files, strict=True))
        for number, (reference, file) in enumerate(pairs):
            cancel.check()
            try:
                probabilities = np.load(file)[..., : self.classes].astype(np.float32)
            except (OSError, ValueError):
                continue  # gone from the disk, which is told where the mask is wanted
            mask = mask_from_probabilities(
                probabilities,
                self.settings.threshold,
                self.settings.minimum_size,
                activation=self.activation,
            )
            counts, _ = count_against(find_sample(reference), mask, self.classes)
            on_progress(Progress(number + 1, len(pairs), "Scoring again", piece=(reference.id, counts)))


def file_name(identifier: str) -> str:
    """Name of the file of an image's probabilities, the same in every task."""
    return f"{hashlib.blake2b(identifier.encode(), digest_size=16).hexdigest()}.npy"


def mask_file(probabilities: Path) -> Path:
    """Where the mask is kept that was made of the probabilities in a file."""
    return probabilities.with_suffix(".mask.npy")


def count_against(sample: Sample, mask: NDArray[np.uint8], classes: int) -> tuple[OverlapCounts | None, str]:
    """Agreement of a mask with the reference of its image.

    Returns
    -------
    counts : OverlapCounts or None
        None without a reference, or one that does not fit.
    problem : str
        Why there are none; empty if there are, or if there is no reference.
    """
    if not sample.has_mask:
        return None, ""
    try:
        reference = sample.read_mask()
    except WorkbenchError as error:
        return None, error.sentence
    if reference.labels.shape != mask.shape:
        return None, "the reference mask has another size than the image"
    if int(reference.labels.max(initial=0)) > classes:
        return None, "the reference mask has more classes than the model"
    return count_overlap(reference.labels, mask, classes, reference.weights), ""


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


def _keep(file: Path, values: NDArray[Any], shape: tuple[int, int], region: Region | None) -> None:
    """Write probabilities or a mask, or those of a region into what is there of the whole image."""
    try:
        if region is None:
            keep_array(file, values)
            return
        wanted = (*shape, *values.shape[2:])
        if not file.exists() or np.load(file, mmap_mode="r").shape != wanted:
            np.lib.format.open_memmap(file, "w+", values.dtype, wanted).flush()
        whole = np.load(file, mmap_mode="r+")
        whole[region.slices] = values
        whole.flush()
    except OSError as error:
        raise OutputError(
            f"the probabilities cannot be kept in {file.parent}",
            code="output.unwritable",
            got=error.strerror or str(error),
            remedy="make room there",
        ) from error


def keep_array(file: Path, values: NDArray[Any]) -> None:
    """Write a new file: the one before may be mapped, and one cut short would end who reads it."""
    fresh = file.with_suffix(".partial.npy")
    np.save(fresh, values)
    fresh.replace(file)


def _drained(problems: list[Prediction]) -> Iterator[Prediction]:
    while problems:
        yield problems.pop(0)
