"""Where exported masks come from: a model, mask files, reference masks, a project, the window."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_unet import __version__
from napari_unet.data.catalog import find_format, open_dataset, open_images
from napari_unet.data.file_names import unique_stems
from napari_unet.data.files.decoders.image_kinds import SEVERAL, is_image_name, suffix_of
from napari_unet.data.files.image_files import count_pages
from napari_unet.data.files.input_files import input_files
from napari_unet.data.files.pixel_size import PixelSize, read_pixel_size
from napari_unet.data.files.source import open_source
from napari_unet.data.files.stack_axes import axes_of_page
from napari_unet.data.masks.mask_pixels import decode_labels
from napari_unet.engine.hardware import default_precision
from napari_unet.errors import DataError, WorkbenchError
from napari_unet.export.segmented import SegmentedImage, StackPosition
from napari_unet.export.stacks import StackSlice, slices_of_files
from napari_unet.inference.postprocess import connected_objects
from napari_unet.metrics.object_confidence import ObjectConfidence
from napari_unet.models.ensemble import load_any
from napari_unet.project.project_file import PROJECT_FILE
from napari_unet.workflow.export.whole_mask import number_whole, read_whole_mask
from napari_unet.workflow.inputs.chosen_samples import chosen_samples
from napari_unet.workflow.inputs.image_reference import FileReference, References
from napari_unet.workflow.inputs.mask_folder import GivenMasks, mask_key
from napari_unet.workflow.segment.prediction import tied_numbers
from napari_unet.workflow.segment.segment_samples import segment_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_unet.data.sample import Sample
    from napari_unet.engine.task import FromCaller
    from napari_unet.progress import CancelToken
    from napari_unet.settings import InferenceSettings
    from napari_unet.workflow.inputs.image_reference import ImageReference
    from napari_unet.workflow.segment.prediction import Prediction
    from napari_unet.workflow.segment.segment_samples import Segmentation

PAGE_NUMBER = re.compile(r"(?<=\w)\[(\d+)\]$")  # after the name of a stack, from 0
IGNORE = 255  # in masks of projects: nobody knows
PROGRAM = f"napari-unet-workbench {__version__}"


@dataclass(frozen=True)
class Failed:
    """An image that cannot be exported, and why: in one sentence, and the code of the error."""

    name: str
    sentence: str
    code: str


@dataclass(frozen=True, eq=False)
class OpenedMask:
    """Images with masks, read one at a time.

    Attributes
    ----------
    names : tuple of str
        Of all images, in order.
    images : callable
        (token) -> iterator over a SegmentedImage or a Failed for each, in that order.
    inputs : iterable of pathlib.Path
        Files that are read, which no export replaces.
    slices : dict
        Names of images that are slices of a stack, to their places.
    """

    names: tuple[str, ...]
    images: Callable[[CancelToken], Iterator[SegmentedImage | Failed]]
    inputs: Iterable[Path] = ()
    slices: dict[str, StackSlice] = field(default_factory=dict)


class ExportSource(Protocol):
    """Knows which images there are, and reads them with their masks."""

    def open(self) -> OpenedMask:
        """Look what there is."""
        ...


@dataclass(frozen=True)
class ModelMasks:
    """Masks that a model makes now.

    Attributes
    ----------
    inputs : tuple of pathlib.Path
        Files, folders, zips, data sets.
    model : pathlib.Path
        Folder or zip.
    settings : InferenceSettings, optional
        Instead of the model's own.
    names : tuple of str, optional
        Only these images.
    segment : callable
        As ``segment_samples``; or ``segment_any_size``, which goes about large images block by block.
    """

    inputs: tuple[Path, ...]
    model: Path
    settings: InferenceSettings | None = None
    names: tuple[str, ...] | None = None
    segment: Callable[..., Iterator[Segmentation]] = segment_samples

    def open(self) -> OpenedMask:
        """Look what there is; the model is loaded when the first image is wanted."""
        every = open_images(self.inputs)
        samples = chosen_samples(every, self.names, str(self.inputs[0]))
        return OpenedMask(
            tuple(s.id for s in samples),
            lambda cancel: self._segment(samples, cancel),
            input_files(samples),
            slices_of_files(every),
        )

    def _segment(self, samples: Sequence[Sample], cancel: CancelToken) -> Iterator[SegmentedImage | Failed]:
        model = load_any(self.model, default_precision())
        settings = self.settings or model.recipe.inference
        about = {"model": self.model.name, "threshold": settings.threshold, "program": PROGRAM}
        confidence = ObjectConfidence.of(model.provenance)
        failed: list[Failed] = []
        results = self.segment(
            samples,
            model,
            settings,
            cancel,
            lambda s, error: failed.append(Failed(s.id, error.sentence, error.code)),
        )
        for result in results:
            while failed:
                yield failed.pop(0)
            objects = result.objects
            image = segmented(
                result.sample, result.mask, model.classes, objects, about=about, roots=self.inputs
            )
            said = result.probabilities, result.separation
            yield replace(image, load_said=partial(_the_same, said), confidence=confidence, ties=result.ties)
        yield from failed


@dataclass(frozen=True)
class StoredMasks:
    """Masks that are there already: those of a project, of a data set, or mask files.

    Attributes
    ----------
    data : pathlib.Path
        Project, data set, or folder of mask files.
    masks : pathlib.Path, optional
        Folder or zip of masks named after the images in `data`.
    format : str, optional
        Layout of the data.
    classes : tuple of str
        What the numbers in mask files are; without, numbers are those of objects.
    """

    data: Path
    masks: Path | None = None
    format: str | None = None
    classes: tuple[str, ...] = ()

    def open(self) -> OpenedMask:
        """Look what there is."""
        if self.masks is not None:
            return self._beside(self.masks)
        if (self.data / PROJECT_FILE).is_file():
            return self._project()
        if self.format is not None or find_format(self.data) is not None:
            dataset = open_dataset(self.data, self.format)
            if dataset.samples:
                return self._references(dataset.samples, dataset.classes)
        return self._beside(None)

    def _references(self, samples: Sequence[Sample], classes: tuple[str, ...]) -> OpenedMask:
        def read(sample: Sample) -> SegmentedImage:
            mask = sample.read_mask()
            return segmented(sample, mask.labels, classes, mask.objects, roots=(self.data,))

        return OpenedMask(
            tuple(s.id for s in samples),
            lambda cancel: _each(samples, read, cancel),
            input_files(samples),
            slices_of_files(samples),
        )

    def _project(self) -> OpenedMask:
        from napari_unet.project.project import Project

        project = Project.open(self.data, read_only=True)
        touched = set(project.corrections.touched())
        strokes = {i for i in touched if project.corrections.has_unknown(i)}
        samples = [project.images.sample(i) for i in project.ids if i in touched]
        if not touched - strokes:
            raise DataError(
                f"the project {self.data} has no corrected masks yet",
                code="data.masks.missing",
                expected="a mask of a whole image; strokes leave the rest unknown",
                remedy="paint some, or export what a model makes of its images with --model",
            )
        link = project.file.data.find(self.data)

        def read(sample: Sample) -> SegmentedImage:
            if sample.id in strokes:
                raise DataError(
                    f"{sample.id} has strokes only",
                    code="data.mask.strokes",
                    expected="a mask of the whole image; strokes leave the rest unknown",
                    remedy="segment it in the window, or export what a model makes of it with --model",
                )
            mask = project.corrections[sample.id].mask
            known = np.where(mask == IGNORE, 0, mask).astype(np.uint8)
            roots = (Path(link),) if link is not None else ()
            return segmented(sample, known, tuple(project.file.classes), roots=roots)

        return OpenedMask(
            tuple(s.id for s in samples),
            lambda cancel: _each(samples, read, cancel),
            slices=slices_of_files(project.images.sample(i) for i in project.ids),
        )

    def _beside(self, masks: Path | None) -> OpenedMask:
        """Mask files: of the images in `data`, or alone."""
        source = open_source(masks or self.data)
        files = {Path(name).stem: name for name in source.sizes if is_image_name(name)}
        if not files:
            raise DataError(
                f"{source.path} holds no masks", code="data.masks.missing", expected="PNG or TIFF files"
            )
        if masks is None:
            pairs: list[tuple[Sample | None, str, str]] = [(None, stem, name) for stem, name in files.items()]
        else:
            samples = open_images((self.data,))
            stems = unique_stems(s.id for s in samples)
            named = {mask_key(name): name for name in files.values()}
            keys = {s.id: mask_key(f"{stems[s.id]}.tif") for s in samples}
            found = [(s, named.get(keys[s.id]) or named.get(f"{keys[s.id]}_mask")) for s in samples]
            pairs = [(s, s.id, name) for s, name in found if name is not None]
            if not pairs:
                raise DataError(
                    f"no mask in {masks} is named after an image in {self.data}",
                    code="data.masks.unmatched",
                    expected=f"{next(iter(stems.values()))}.png",
                    got=next(iter(files.values())),
                )

        given = GivenMasks(source, [name for _, _, name in pairs], self.classes)

        def read(pair: tuple[Sample | None, str, str]) -> SegmentedImage:
            sample, stem, name = pair
            return self._file(given, sample, stem, name)

        inputs = [path for name in source.sizes if (path := source.file(name)) is not None]
        inputs += input_files([sample for sample, _, _ in pairs if sample is not None])
        return OpenedMask(
            tuple(stem for _, stem, _ in pairs),
            lambda cancel: _each(pairs, read, cancel),
            inputs,
            slices_of_files(sample for sample, _, _ in pairs if sample is not None),
        )

    def _file(self, given: GivenMasks, sample: Sample | None, stem: str, name: str) -> SegmentedImage:
        if sample is not None and _is_image(given, name, sample):
            raise DataError(
                f"{name} is the image itself, not a mask of it",
                code="data.mask.image",
                remedy="give the folder with the masks alone",
            )
        found = given.read(name)
        mask, objects = found.labels, found.objects
        if objects is not None:
            first = int(objects.min() != 0)
            objects = np.unique(objects, return_inverse=True)[1].reshape(mask.shape).astype(np.int32) + first
        classes = self.classes or given.classes or ("foreground",)
        if sample is not None:
            return segmented(sample, mask, classes, objects, roots=(self.data,))
        file = given.source.path / name
        size = read_pixel_size(file) if file.is_file() else None
        load = (lambda: objects) if objects is not None else (lambda: connected_objects(mask))
        return SegmentedImage(stem, mask, load, classes, name, None, size, {"program": PROGRAM})


@dataclass(frozen=True, eq=False)
class HandedMask:
    """The mask of an image when an export took it.

    Attributes
    ----------
    corrected : numpy.ndarray or None
        (Y, X) uint8, 0..K, what a person made of it; None where it was as predicted.
    prediction : Prediction or None
        What the model predicted for the image.
    objects : numpy.ndarray or None
        (Y, X) int32, its objects where a person joined some; else they follow from mask and prediction.
    """

    corrected: NDArray[np.uint8] | None
    prediction: Prediction | None
    objects: NDArray[np.int32] | None = None


@dataclass(frozen=True, eq=False)
class CallerMasks:
    """Masks that whoever submitted the task has: the window.

    Attributes
    ----------
    references : tuple of ImageReference
        The images.
    mask : FromCaller
        (id) -> (Y, X) uint8, 0..K, or None if there is none; of a large image the path of its mask on disk.
    classes : tuple of str
        Their names.
    objects : FromCaller or None
        (id) -> (Y, X) int32, one number an object; connected pieces if not given.
    pixel_sizes : dict
        Id to PixelSize, where it is known.
    about : dict
        Where the masks come from.
    handed : dict
        Id to what was handed over of each image so far.
    said : FromCaller or None
        (id) -> what the model says of the image, as ``SegmentedImage.load_said``, or None.
    confidence : ObjectConfidence or None
        Of the model.
    ties : FromCaller or None
        (id) -> row, column and class of a pixel of each object that may as well be of another class.
    """

    references: tuple[ImageReference, ...]
    mask: FromCaller
    classes: tuple[str, ...]
    objects: FromCaller | None = None
    pixel_sizes: dict[str, PixelSize] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    handed: dict[str, HandedMask] = field(default_factory=dict)
    said: FromCaller | None = None
    confidence: ObjectConfidence | None = None
    ties: FromCaller | None = None

    def open(self) -> OpenedMask:
        """Look what there is."""
        known = References()

        def read(reference: ImageReference) -> SegmentedImage:
            mask = self.mask(reference.id)
            if mask is None:
                raise DataError(
                    f"{reference.id} has no mask yet", code="data.mask.missing", remedy="segment it first"
                )
            large = isinstance(mask, Path)
            if large:
                mask = read_whole_mask(mask, reference.id)
            known_mask = np.where(mask > len(self.classes), 0, mask).astype(np.uint8)
            try:
                sample = known.sample(reference)
            except (KeyError, FileNotFoundError) as error:
                raise DataError(
                    f"{reference.id} is not there any more", code="data.file.missing", remedy="open it again"
                ) from error
            roots = (reference.path,) if hasattr(reference, "path") else ()
            size = self.pixel_sizes.get(reference.id)
            about = {"program": PROGRAM, **self.about}
            image = segmented(sample, known_mask, self.classes, None, size, about, roots)
            if large:
                return replace(image, load_objects=lambda: number_whole(known_mask, reference.id))
            ask, said = self.objects, self.said
            if said is not None:
                image = replace(image, load_said=lambda: said(reference.id), confidence=self.confidence)
            if ask is None:
                return image
            points = self.ties(reference.id) if self.ties is not None else ()
            if not points:
                return replace(image, load_objects=lambda: ask(reference.id))
            objects = ask(reference.id)
            ties = tied_numbers(points, objects, known_mask)
            return replace(image, load_objects=lambda: objects, ties=ties)

        return OpenedMask(
            tuple(r.id for r in self.references),
            lambda cancel: _each(self.references, read, cancel),
            _files_of(self.references, known),
        )


def _files_of(references: Sequence[ImageReference], known: References) -> Iterator[Path]:
    """Files that images are read from, of those that are there still."""
    seen: set[Path] = set()
    for reference in references:
        if not isinstance(reference, FileReference):
            if reference.source:
                yield Path(reference.source)
        elif reference.path not in seen:
            seen.add(reference.path)
            with suppress(KeyError, OSError, WorkbenchError):
                yield from input_files([known.sample(reference)])


def _is_image(given: GivenMasks, name: str, sample: Sample) -> bool:
    """Whether what is given as a mask has the very pixels of the image: grey, or alike in all colours."""
    if suffix_of(name) in SEVERAL and count_pages(given.source.read(name), name) > 1:
        return False
    pixels = decode_labels(given.source.read(name), name, 0)
    image = sample.read_image()
    if not pixels.any() or image.shape[:2] != pixels.shape[:2]:
        return False
    if pixels.ndim == 3:
        return np.array_equal(image, pixels)
    return all(np.array_equal(image[..., channel], pixels) for channel in range(min(image.shape[2], 3)))


def _each(items: Sequence[Any], read: Callable[[Any], SegmentedImage], cancel: CancelToken) -> Iterator[Any]:
    """Read one after another; what cannot be read does not hold up the others."""
    for item in items:
        cancel.check()
        try:
            yield read(item)
        except WorkbenchError as error:
            name = item[1] if isinstance(item, tuple) else item.id
            yield Failed(name, error.sentence, error.code)


def segmented(
    sample: Sample,
    mask: NDArray[np.uint8],
    classes: tuple[str, ...],
    objects: NDArray[np.int32] | None = None,
    size: PixelSize | None = None,
    about: dict[str, Any] | None = None,
    roots: Sequence[Path] = (),
) -> SegmentedImage:
    """Put an image and its mask together for exports.

    Parameters
    ----------
    sample : Sample
        The image.
    mask : numpy.ndarray
        (Y, X) uint8, 0 background, 1..K.
    classes : tuple of str
        Names of the classes 1..K.
    objects : numpy.ndarray, optional
        (Y, X) int32, one number an object; connected pieces of each class if not given.
    size : PixelSize, optional
        Instead of what the file of the image says.
    about : dict, optional
        Where the mask comes from.
    roots : sequence of pathlib.Path
        Folders or files in which the image may be a file.
    """
    file = next((f for f in _files(sample, roots) if f.is_file()), None)
    page = PAGE_NUMBER.search(sample.image_name)
    position = None
    if page is not None:
        axes = axes_of_page(file, int(page[1])) if file is not None else {}
        position = StackPosition(int(page[1]) + 1, axes.get("C", 0), axes.get("Z", 0), axes.get("T", 0))
    return SegmentedImage(
        sample.id,
        mask,
        (lambda: connected_objects(mask)) if objects is None else (lambda: objects),
        classes,
        sample.image_name,
        sample.read_image,
        size or (read_pixel_size(file) if file is not None else None),
        about if about is not None else {"program": PROGRAM},
        position=position,
    )


def _the_same(what: Any) -> Any:
    return what


def _files(sample: Sample, roots: Sequence[Path]) -> Iterator[Path]:
    name = PAGE_NUMBER.sub("", sample.image_name)
    for root in roots if name else ():
        yield root / name
        if root.name == name:
            yield root
