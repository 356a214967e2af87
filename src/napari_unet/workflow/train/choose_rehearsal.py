"""Which crops of its training images a model carries along, to be replayed when it is fine-tuned."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.image_hash import image_hash
from napari_unet.data.sample import ReferenceMask
from napari_unet.data.volumes.blocks_of_slices import is_of_numbers
from napari_unet.data.volumes.slices import place_of
from napari_unet.models.image_statistics import describe_image, kind_of
from napari_unet.models.normalization import LUMA, resize, scaled_shape
from napari_unet.models.rehearsal import UNKNOWN, Rehearsal, RehearsalCrop

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import Sample
    from napari_unet.data.volumes.slices import Place
    from napari_unet.models.normalization import Normalization

SIDE = 128  # pixels of a crop at the network's scale
VOLUME_SIDE = 96  # of a block for a network in three dimensions
TRIED = 16  # places in an image, of which the one most like the whole image is taken
LOOKED_AT = 6  # images, for every crop wanted, whose look is measured


def choose_rehearsal(
    dataset: Dataset, normalization: Normalization, count: int, seed: int = 0, side: int = SIDE
) -> Rehearsal:
    """Cut a few crops from training images.

    Images that look bright and images that look dark take turns, so that a rare kind is there too. In each
    image the place is taken whose intensities are most like those of the whole image, as each crop is
    normalized by itself later. Of an image with foreground, a place with foreground is taken.

    Parameters
    ----------
    dataset : Dataset
        The training part; no image of another part.
    normalization : Normalization
        Of the model: with one channel, colour images are stored as grey ones; a model that works at a
        smaller scale gets its crops at that.
    count : int
        Crops, at most one an image.
    seed : int
        Of the choice.
    side : int
        Of a crop, in pixels at the network's scale.

    Returns
    -------
    Rehearsal
        Equal for the same arguments.
    """
    luck = np.random.default_rng(seed)
    drawn = [dataset.samples[i] for i in luck.permutation(len(dataset))][: LOOKED_AT * count]
    scale = min(normalization.scale, 1.0)
    crops = []
    for sample in _in_turns(dataset, drawn)[:count]:
        image, mask = dataset.image(sample), dataset.mask(sample)
        rows, columns = _place(image, mask, round(side / scale), luck)
        crops.append(_crop(sample.id, image, mask, rows, columns, normalization.channels, scale))
    about = {"name": dataset.name, "licence": dataset.licence, "citation": dataset.citation}
    return Rehearsal(tuple(crops), 1 / scale, about)


def choose_volume_rehearsal(
    dataset: Dataset,
    normalization: Normalization,
    count: int,
    depth: int,
    others: Iterable[Sample] = (),
    seed: int = 0,
    *,
    in_3d: bool = False,
) -> Rehearsal:
    """Cut a few blocks of slices from training volumes, each around a slice that was trained on.

    Parameters
    ----------
    dataset : Dataset
        The slices that were trained on, each alone.
    normalization : Normalization
        Of one slice, with the scale of the model.
    count : int
        Blocks, at most one around each slice.
    depth : int
        Slices of a block, as far as the volume goes.
    others : iterable of Sample
        Slices of other parts: a block ends before them.
    seed : int
        Of the choice.
    in_3d : bool
        Whether objects are separated in three dimensions: their numbers are stored only where an object has
        one number in all slices.

    Returns
    -------
    Rehearsal
        Equal for the same arguments.
    """
    luck = np.random.default_rng(seed)
    drawn = [dataset.samples[i] for i in luck.permutation(len(dataset))][: LOOKED_AT * count]
    scale = min(normalization.scale, 1.0)
    side = round((VOLUME_SIDE if in_3d else SIDE) / scale)
    own = {at: sample for sample in dataset.samples if (at := _where(sample)) is not None}
    taken = {_where(sample) for sample in others}
    crops = []
    for number, middle in enumerate(_in_turns(dataset, drawn)[:count]):
        place = place_of(middle)
        assert place is not None  # training on volumes has looked
        rows, columns = _place(dataset.image(middle), dataset.mask(middle), side, luck)
        for z in _around(place, depth, taken):
            sample = own.get((place.file, z))
            image = place.slices[z]() if sample is None else dataset.image(sample)
            if image.shape[:2] != dataset.image(middle).shape[:2]:
                continue
            mask = _with_unknown(None if sample is None else dataset.mask(sample), image.shape[:2])
            if sample is not None and in_3d and not is_of_numbers(sample.load_mask):  # type: ignore[arg-type]
                mask = replace(mask, objects=None)
            block = f"{number} {middle.id}"
            crop = _crop(
                f"{block} slice {z}",
                image,
                mask,
                rows,
                columns,
                normalization.channels,
                scale,
                renumber=False,
            )
            crops.append(replace(crop, volume=block, z=z))
    about = {"name": dataset.name, "licence": dataset.licence, "citation": dataset.citation}
    return Rehearsal(tuple(crops), 1 / scale, about)


def _where(sample: Sample) -> tuple[object, int] | None:
    place = place_of(sample)
    return None if place is None else (place.file, place.z)


def _around(place: Place, depth: int, taken: Collection[tuple[object, int] | None]) -> range:
    """Numbers of slices around one, by turns before and behind it, up to one that is missing or taken."""
    first = last = place.z

    def free(z: int) -> bool:
        return z in place.slices and (place.file, z) not in taken

    while last - first + 1 < depth and (free(first - 1) or free(last + 1)):
        first -= free(first - 1)
        if last - first + 1 < depth:
            last += free(last + 1)
    return range(first, last + 1)


def _with_unknown(mask: ReferenceMask | None, shape: tuple[int, ...]) -> ReferenceMask:
    """A mask in which pixels of weight 0 are 255; all of them where there is none."""
    if mask is None:
        return ReferenceMask(np.full(shape, UNKNOWN, np.uint8))
    if mask.weights is None:
        return mask
    return ReferenceMask(np.where(mask.weights > 0, mask.labels, UNKNOWN).astype(np.uint8), mask.objects)


def _in_turns(dataset: Dataset, samples: list[Sample]) -> list[Sample]:
    kinds: dict[str, list[Sample]] = {}
    for sample in samples:
        kinds.setdefault(kind_of(describe_image(dataset.image(sample))), []).append(sample)
    queues = list(kinds.values())
    turns = []
    for number in range(max(map(len, queues), default=0)):
        turns += [queue[number] for queue in queues if number < len(queue)]
    return turns


def _place(
    image: NDArray[np.generic], mask: ReferenceMask, side: int, luck: np.random.Generator
) -> tuple[slice, slice]:
    y, x = (min(side, n) for n in image.shape[:2])
    points = np.argwhere(mask.labels > 0)
    wanted = _limits(image)
    best, least = (0, 0), np.inf
    for _ in range(TRIED):
        middle = points[luck.integers(len(points))] if len(points) else luck.integers(image.shape[:2])
        top, left = (int(np.clip(middle[a] - n // 2, 0, image.shape[a] - n)) for a, n in enumerate((y, x)))
        unlike = float(np.abs(_limits(image[top : top + y, left : left + x]) - wanted).sum())
        if unlike < least:
            best, least = (top, left), unlike
    return slice(best[0], best[0] + y), slice(best[1], best[1] + x)


def _limits(image: NDArray[np.generic]) -> NDArray[np.float64]:
    """Of the intensities, as robust normalization sees them: 1st, 50th and 99th percentile."""
    return np.percentile(np.asarray(image, np.float64), (1, 50, 99))


def _crop(
    name: str,
    image: NDArray[np.generic],
    mask: ReferenceMask,
    rows: slice,
    columns: slice,
    channels: int,
    scale: float,
    *,
    renumber: bool = True,
) -> RehearsalCrop:
    piece = _as_stored(image[rows, columns], channels)
    labels = mask.labels[rows, columns]
    objects = None if mask.objects is None else mask.objects[rows, columns]
    if scale != 1:
        shape = scaled_shape(labels.shape, scale)
        small = resize(np.asarray(piece, np.float32), shape)
        piece = np.rint(small).astype(piece.dtype) if piece.dtype.kind in "iu" else small.astype(piece.dtype)
        labels = resize(labels[..., None], shape, nearest=True)[..., 0]
        if objects is not None:
            numbers = np.asarray(objects, np.float32)[..., None]
            objects = resize(numbers, shape, nearest=True)[..., 0].astype(np.int32)
    return RehearsalCrop(
        name,
        np.ascontiguousarray(piece),
        np.ascontiguousarray(labels),
        _renumbered(objects) if renumber and objects is not None else objects,
        image_hash(image),
    )


def _as_stored(piece: NDArray[Any], channels: int) -> NDArray[Any]:
    """Without an alpha channel of one value, and grey where nothing is lost by that."""
    if piece.shape[2] in (2, 4) and piece.size and piece[..., -1].min() == piece[..., -1].max():
        piece = piece[..., :-1]
    if piece.shape[2] != 3:
        return piece
    if all(np.array_equal(piece[..., 0], piece[..., c]) for c in (1, 2)):
        return piece[..., :1]
    if channels != 1:
        return piece
    grey = (np.asarray(piece, np.float32) @ LUMA)[..., None]
    return np.rint(grey).astype(piece.dtype) if piece.dtype.kind in "iu" else grey.astype(piece.dtype)


def _renumbered(objects: NDArray[np.int32]) -> NDArray[np.int32]:
    """Numbers 1..N without gaps, so that they take little room."""
    _, numbers = np.unique(objects, return_inverse=True)
    first = 0 if (objects == 0).any() else 1
    return np.asarray(numbers.reshape(objects.shape) + first, np.int32)
