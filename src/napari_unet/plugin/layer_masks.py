"""Masks out of a Labels layer that napari saves: its numbers, and what they mean."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.file_names import safe_stem
from napari_unet.data.files.pixel_size import PixelSize, pixel_size_of_layer, unit_name
from napari_unet.data.formats.mask_meaning import meaning_of_layer
from napari_unet.data.masks.mask_pixels import MaskInFile
from napari_unet.errors import OutputError
from napari_unet.export.segmented import SegmentedImage, class_colour
from napari_unet.inference.postprocess import connected_objects
from napari_unet.session.images.layer_metadata import (
    LARGE_MASK_KEY,
    MASK_KEY,
    METADATA_KEY,
    OpenedData,
    ShownMask,
)
from napari_unet.workflow.export.mask_sources import PROGRAM

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from napari_unet.data.sample import Sample
    from napari_unet.export.segmented import Colour, Numbers

HIGHEST_OBJECT = 2**24 - 1  # each number costs a place in a list
NAME_COLUMNS = ("class", "label", "name")  # of the layer's features, in this order
MOST_CLASSES = 255
READ_PIXELS = 2**22  # at once
UNNAMED = "object"


def finest(data: Any, about: Mapping[str, Any]) -> Any:
    """The array of a layer; that of the finest scale where there are several.

    A layer that shows a part of a mask on disk stands for all of it: nobody saves a part as if it was all.
    """
    large = about.get("metadata", {}).get(LARGE_MASK_KEY)
    if large:
        import zarr

        return zarr.open_group(large, mode="r")["0"]
    return data[0] if isinstance(data, list) or about.get("multiscale") else data


def planes(labels: Any) -> Iterator[NDArray[Any]]:
    """Every (Y, X) plane, in order; a few are read at once, as asking a lazy stack takes its time."""
    if labels.ndim == 2:
        yield np.asarray(labels)
        return
    at_once = max(1, READ_PIXELS // max(labels.shape[-2] * labels.shape[-1], 1))
    for index in np.ndindex(*labels.shape[:-3]):
        for start in range(0, labels.shape[-3], at_once):
            yield from np.asarray(labels[(*index, slice(start, start + at_once))])


def highest_label(labels: Any, path: str) -> int:
    """The highest label.

    Raises
    ------
    OutputError
        If one is below 0.
    """
    highest = 0
    for page in planes(labels):
        if page.min(initial=0) < 0:
            raise OutputError(
                f"{path} cannot be written",
                code="output.mask.negative",
                expected="labels from 0 upwards",
                got=str(page.min()),
                remedy="save as .npy, or paint over the negative ones",
            )
        highest = max(highest, int(page.max(initial=0)))
    return highest


def ready(about: Mapping[str, Any]) -> None:
    """Have the pixels of the workbench's own layer be what they are to be, before anybody reads them."""
    shown = about.get("metadata", {}).get(MASK_KEY)
    if isinstance(shown, ShownMask) and shown.slices is not None:
        shown.slices()


def stack_of(data: Any, about: Mapping[str, Any], path: str) -> Any:
    """The array of a layer, (Y, X) or (N, Y, X).

    Raises
    ------
    OutputError
        If it has more dimensions.
    """
    labels = finest(data, about)
    if labels.ndim in (2, 3):
        return labels
    raise OutputError(
        f"{path} cannot be written",
        code="output.mask.dimensions",
        expected="one mask, or a stack of masks",
        got=f"{labels.ndim} dimensions",
        remedy="save as .tif or .npy",
    )


def image_names(about: Mapping[str, Any], count: int) -> list[str]:
    """Ids of the images where the layer knows them; else the layer's name, with numbers."""
    metadata = about.get("metadata", {})
    opened, shown = metadata.get(METADATA_KEY), metadata.get(MASK_KEY)
    if isinstance(opened, OpenedData) and len(opened.ids) == count:
        return list(opened.ids)
    if isinstance(shown, ShownMask) and count == 1:
        return [shown.sample.id]
    if isinstance(shown, ShownMask) and shown.slices is not None and shown.sample.image_name:
        name = safe_stem(shown.sample.image_name)
        return [f"{name}_{index:0{len(str(count - 1))}d}" for index in range(count)]
    name = safe_stem(str(about.get("name") or "mask"))
    return [name] if count == 1 else [f"{name}_{index:0{len(str(count - 1))}d}" for index in range(count)]


def pixel_size_of(about: Mapping[str, Any]) -> PixelSize | None:
    """The size of a pixel by the layer's scale and units; None where they are not lengths."""
    return pixel_size_of_layer(_axes(about, "scale"), _axes(about, "units"))


def depth_of(about: Mapping[str, Any]) -> tuple[float, str] | None:
    """From one plane to the next, with its unit; None where that is no length, or there is one plane."""
    scale, units = _axes(about, "scale"), _axes(about, "units")
    name = unit_name(str(units[-3])) if len(units) > 2 and len(scale) > 2 else None
    return (abs(float(scale[-3])), name) if name is not None and scale[-3] else None


def _axes(about: Mapping[str, Any], key: str) -> list[Any]:
    value = about.get(key)
    return list(value) if value is not None and not isinstance(value, str) else []


@dataclass(frozen=True, eq=False)
class LayerMeaning:
    """What the numbers of a layer mean.

    Attributes
    ----------
    numbers : str
        Whether they are "classes" or "objects".
    classes : tuple of str
        Names of the classes 1..K.
    class_of : numpy.ndarray
        (N,) classes of the numbers 0..N - 1; the last one is that of all numbers beyond.
    colours : tuple of (int, int, int)
        Of the classes; empty for those that exports choose.
    """

    numbers: Numbers
    classes: tuple[str, ...]
    class_of: NDArray[np.int64]
    colours: tuple[Colour, ...] = ()


@dataclass(frozen=True, eq=False)
class LayerMasks:
    """The planes of a Labels layer as exports take them.

    Attributes
    ----------
    numbers : str
        What the layer's numbers are: "classes", where its features, its colours or the workbench name
        them, and where there is but one; else "objects".
    highest : int
        Of them.
    pages : iterator of numpy.ndarray
        (Y, X) each, as the layer has them; of the mask that the workbench shows, those of its image.
    images : iterator of SegmentedImage
        One a plane, read when it is its turn.
    """

    numbers: Numbers
    highest: int
    pages: Iterator[NDArray[Any]]
    images: Iterator[SegmentedImage]


def masks_of(data: Any, about: Mapping[str, Any], path: str) -> LayerMasks:
    """Every plane of a Labels layer as exports take it.

    Parameters
    ----------
    data : array
        (..., Y, X) integers, lazy or not; a list of them where the layer has several scales.
    about : mapping
        The layer's arguments.
    path : str
        Where they shall go, for errors.

    Returns
    -------
    LayerMasks
        Of the finest scale.

    Raises
    ------
    OutputError
        If a label is below 0, or too high, or there are no pixels.
    """
    labels = finest(data, about)
    if 0 in labels.shape:
        raise OutputError(
            f"{path} cannot be written",
            code="output.mask.empty",
            expected="a layer with pixels in it",
            got=" x ".join(map(str, labels.shape)),
        )
    shown = about.get("metadata", {}).get(MASK_KEY)
    slices = shown.slices() if isinstance(shown, ShownMask) and shown.slices is not None else ()
    highest = highest_label(labels, path)
    if highest > HIGHEST_OBJECT:
        raise OutputError(
            f"{path} cannot be written",
            code="output.mask.objects",
            expected=f"labels up to {HIGHEST_OBJECT:,}",
            got=f"{highest:,}",
            remedy="number the objects again, or save as .tif or .npy",
        )
    if isinstance(shown, ShownMask):
        numbers: Numbers = "objects" if shown.objects else "classes"
        count = int(np.prod(labels.shape[:-2], dtype=np.int64))
        if labels.ndim == 2:
            image = _shown(np.asarray(labels), about, shown, shown.sample, shown.sample.id)
            return LayerMasks(numbers, highest, iter((image.labels(numbers),)), iter((image,)))
        if len(slices) == count:
            names = image_names(about, count)

            def images() -> Iterator[SegmentedImage]:
                for sample, name, page in zip(slices, names, planes(labels), strict=True):
                    yield _shown(page, about, shown, sample, name)

            pages = (image.labels(numbers) for image in images())
            return LayerMasks(numbers, highest, pages, images())
    meaning = _meaning(labels, about, highest)
    return LayerMasks(meaning.numbers, highest, planes(labels), _read(labels, about, meaning))


def _shown(
    labels: NDArray[Any], about: Mapping[str, Any], shown: ShownMask, sample: Sample, name: str
) -> SegmentedImage:
    """The mask that the workbench shows, or a slice of it; ignored pixels are background."""
    mask = np.asarray(shown.class_of(labels))
    mask = np.where(mask > len(shown.classes), 0, mask).astype(np.uint8)
    objects = np.where(mask > 0, labels, 0).astype(np.int32)
    return SegmentedImage(
        name,
        mask,
        (lambda: objects) if shown.objects else (lambda: connected_objects(mask)),
        shown.classes,
        sample.image_name,
        sample.read_image,
        pixel_size_of(about),
        {"program": PROGRAM},
        _colours(about, range(1, len(shown.classes) + 1)),
    )


def _read(labels: Any, about: Mapping[str, Any], meaning: LayerMeaning) -> Iterator[SegmentedImage]:
    count = int(np.prod(labels.shape[:-2], dtype=np.int64))
    opened = about.get("metadata", {}).get(METADATA_KEY)
    known = {}
    if isinstance(opened, OpenedData):
        known = {s.id: s for s in (*opened.dataset.samples, *opened.dataset.unlabelled)}
    dtype = np.min_scalar_type(max(len(meaning.classes), 1))
    objects = meaning.numbers == "objects"
    for name, page in zip(image_names(about, count), planes(labels), strict=True):
        mask = meaning.class_of[np.minimum(page, len(meaning.class_of) - 1)].astype(dtype)
        sample = known.get(name)
        yield SegmentedImage(
            name,
            mask,
            partial(np.asarray, page, np.int32) if objects else partial(connected_objects, mask),
            meaning.classes,
            sample.image_name if sample is not None else "",
            sample.read_image if sample is not None else None,
            pixel_size_of(about),
            {"program": PROGRAM},
            meaning.colours,
        )


def _meaning(labels: Any, about: Mapping[str, Any], highest: int) -> LayerMeaning:
    """By what the layer tells of its numbers: its data set, its features, its colours; else as files are."""
    opened = about.get("metadata", {}).get(METADATA_KEY)
    if isinstance(opened, OpenedData):
        classes = opened.dataset.classes
        if len(classes) >= highest and np.dtype(labels.dtype) != np.int32:
            return _as_classes(classes, about)
        if len(classes) == 1:
            return LayerMeaning("objects", classes, np.array([0, 1]))
    names = _names_in_features(about)
    if names and highest < len(names):
        return _named(names, about)
    colours = _direct_colours(about)
    named = sorted(n for n in colours if n > 0)
    if named and highest <= named[-1] <= MOST_CLASSES:
        return _as_classes(tuple(f"class {n}" for n in range(1, named[-1] + 1)), about)
    values = meaning_of_layer(planes(labels), str(about.get("name") or "the layer"))
    if values.kind == "threshold":
        numbers = MaskInFile(np.arange(highest + 1, dtype=labels.dtype)[None])
        return LayerMeaning("classes", ("foreground",), values.read(numbers, "").labels[0].astype(np.int64))
    stored = [value for (value,) in values.values]
    if values.kind == "objects" or highest > max(0, values.unknown or 0, *stored):
        return LayerMeaning("objects", (UNNAMED,), np.array([0, 1]))
    class_of = np.zeros(stored[-1] + 2, np.int64)  # unknown pixels are background
    class_of[stored] = np.arange(1, len(stored) + 1)
    classes = tuple(f"class {value}" for value in stored) if len(stored) > 1 else ("foreground",)
    return LayerMeaning("classes", classes, class_of, _colours(about, stored))


def _as_classes(names: tuple[str, ...], about: Mapping[str, Any]) -> LayerMeaning:
    numbers = range(1, len(names) + 1)
    return LayerMeaning("classes", names, np.arange(len(names) + 1), _colours(about, numbers))


def _named(names: list[str], about: Mapping[str, Any]) -> LayerMeaning:
    """Numbers with a name each: of classes, or, where names come again, of objects of these classes."""
    given = [name for name in names[1:] if name]
    if len(set(given)) == len(given):
        numbered = enumerate(names[1:], start=1)
        return _as_classes(tuple(name or f"class {number}" for number, name in numbered), about)
    every = [name or UNNAMED for name in names[1:]]
    classes = tuple(dict.fromkeys(every))
    place = {name: number for number, name in enumerate(classes, start=1)}
    first = [every.index(name) + 1 for name in classes]
    return LayerMeaning("objects", classes, np.array([0, *(place[n] for n in every)]), _colours(about, first))


def _names_in_features(about: Mapping[str, Any]) -> list[str]:
    """Names of the numbers 0, 1, ..., in the layer's features; none where they do not tell."""
    features = about.get("features")
    if features is None or not len(features):
        return []
    columns = {str(column).lower(): column for column in features}
    wanted = next((columns[name] for name in NAME_COLUMNS if name in columns), None)
    if wanted is None:
        return []
    texts = [str(value) if isinstance(value, str | int | np.integer) else "" for value in features[wanted]]
    if "index" not in features:
        return texts
    numbers = [int(number) for number in features["index"]]
    if not numbers or min(numbers) < 0 or max(numbers) > HIGHEST_OBJECT:
        return []
    names = [""] * (max(numbers) + 1)
    for number, text in zip(numbers, texts, strict=True):
        names[number] = text
    return names


def _direct_colours(about: Mapping[str, Any]) -> dict[int, Colour]:
    """Colours that the layer gives to numbers one by one; none where they are drawn from a cycle."""
    table = getattr(about.get("colormap"), "color_dict", None)
    found: dict[int, Colour] = {}
    for number, colour in (table or {}).items():
        if isinstance(number, int | np.integer):
            red, green, blue = (round(255 * float(part)) for part in colour[:3])
            found[int(number)] = (red, green, blue)
    return found


def _colours(about: Mapping[str, Any], numbers: Any) -> tuple[Colour, ...]:
    """Of these numbers, in order."""
    given = _direct_colours(about)
    return tuple(given.get(number) or class_colour(place) for place, number in enumerate(numbers, start=1))
