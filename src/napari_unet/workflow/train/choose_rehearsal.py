"""Which crops of its training images a model carries along, to be replayed when it is fine-tuned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.image_hash import image_hash
from napari_unet.models.image_statistics import describe_image, kind_of
from napari_unet.models.normalization import LUMA, resize, scaled_shape
from napari_unet.models.rehearsal import Rehearsal, RehearsalCrop

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import ReferenceMask, Sample
    from napari_unet.models.normalization import Normalization

SIDE = 128  # pixels of a crop at the network's scale
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
        None if objects is None else _renumbered(objects),
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
