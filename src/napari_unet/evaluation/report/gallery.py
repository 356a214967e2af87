"""Small pictures of the worst, the middling and the best masks, with their errors in colour."""

from __future__ import annotations

import base64
import io
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.errors import WorkbenchError
from napari_unet.evaluation.error_map import ERROR_COLOURS, error_map

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_unet.data.sample import ReferenceMask
    from napari_unet.evaluation.score import ImageScore

SIDE = 320  # pixels of a picture, at most
SMALL = 160  # pixels up to which a picture is stored exactly, as PNG
EACH = 6  # pictures of the worst, of the middle, of the best
OPACITY = 0.5
PERCENTILES = (0.5, 99.5)


class MaskKeeper:
    """Keeps masks small and packed until it is known which of them are to be shown."""

    def __init__(self) -> None:
        self._packed: dict[str, tuple[tuple[int, int], bytes]] = {}

    def keep(self, identifier: str, mask: NDArray[np.uint8]) -> None:
        """Remember a mask: (Y, X) uint8."""
        small = shrink(mask)
        self._packed[identifier] = small.shape, zlib.compress(small.tobytes(), 1)

    def mask(self, identifier: str) -> NDArray[np.uint8] | None:
        """Give it back, shrunk to 320 pixels at most; None if it was never stored."""
        if identifier not in self._packed:
            return None
        shape, packed = self._packed[identifier]
        return np.frombuffer(zlib.decompress(packed), np.uint8).reshape(shape)


@dataclass(frozen=True)
class GalleryPicture:
    """One image of a gallery.

    Attributes
    ----------
    id, caption : str
        Of the image, and what is said below it.
    plain : str
        Data address of the image as it is.
    marked : tuple of str
        Data addresses of the image with the errors of each mask.
    alternative : str
        What is to be seen, for those who do not see it.
    """

    id: str
    caption: str
    plain: str
    marked: tuple[str, ...]
    alternative: str


@dataclass(frozen=True)
class Gallery:
    """A row of pictures under one heading."""

    title: str
    pictures: tuple[GalleryPicture, ...]


def choose(scores: Sequence[ImageScore], each: int = EACH) -> dict[str, list[ImageScore]]:
    """Choose what to show: the worst, those around the median, the best.

    Parameters
    ----------
    scores : sequence of ImageScore
        Those without a score are passed over, and so are images with nothing in either mask, unless
        there are no others.
    each : int
        Of each kind. No image is chosen twice.

    Returns
    -------
    dict
        "worst", "median" and "best" to the scores, from the worst to the best.
    """
    known = [s for s in scores if np.isfinite(s.iou)]
    filled = [s for s in known if not (s.counts.empty_reference and s.counts.empty_prediction)]
    # Of images that have nothing right, those with most that is wrong come first.
    ordered = sorted(filled or known, key=lambda s: (s.iou, -s.counts.wrong / s.counts.pixels, s.image))
    count = len(ordered)
    each = min(each, -(-count // 3))
    worst = ordered[:each]
    best = ordered[max(count - each, each) :]
    middle = ordered[len(worst) : count - len(best)]
    start = max(0, (len(middle) - each) // 2)
    return {"worst": worst, "median": middle[start : start + each], "best": best}


def shrink(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Make a mask at most 320 pixels long and wide, by taking pixels as they are."""
    import cv2

    shape = small_shape(array.shape)
    if shape == array.shape[:2]:
        return np.ascontiguousarray(array)
    small = cv2.resize(np.ascontiguousarray(array), shape[::-1], interpolation=cv2.INTER_NEAREST)
    return np.asarray(small, np.uint8)


def small_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """(Y, X) of the picture of an image of this shape."""
    share = min(1.0, SIDE / max(shape[0], shape[1], 1))
    return max(1, round(shape[0] * share)), max(1, round(shape[1] * share))


def plain_picture(image: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Show an image as a small picture.

    Parameters
    ----------
    image : numpy.ndarray
        (Y, X, C), any real dtype; NaN are black.

    Returns
    -------
    numpy.ndarray
        (Y, X, 3) uint8, at most 320 pixels either way. 8-bit colours stay; all else is stretched from
        its 0.5th to its 99.5th percentile.
    """
    import cv2

    shape = small_shape(image.shape)
    channels = image[..., :3] if image.shape[2] >= 3 else image[..., :1]
    colours = np.ascontiguousarray(channels).astype(np.float32)
    np.nan_to_num(colours, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    if shape != colours.shape[:2]:
        colours = cv2.resize(colours, shape[::-1], interpolation=cv2.INTER_AREA)
    colours = colours.reshape(*shape, -1)
    if image.dtype != np.uint8 or colours.shape[2] == 1:
        low, high = np.percentile(colours, PERCENTILES)
        colours = (colours - low) * (255 / max(float(high - low), 1e-9))
    picture = np.clip(colours, 0, 255).astype(np.uint8)
    return np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture


def marked_picture(
    plain: NDArray[np.uint8], reference: ReferenceMask, mask: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Lay the errors of a mask over a picture.

    Parameters
    ----------
    plain : numpy.ndarray
        (Y, X, 3) uint8, from ``plain_picture``.
    reference : ReferenceMask
        Of the whole image.
    mask : numpy.ndarray
        (Y, X) uint8, as large as the picture.

    Returns
    -------
    numpy.ndarray
        (Y, X, 3) uint8.
    """
    weights = None
    if reference.weights is not None:
        weights = shrink((reference.weights > 0).astype(np.uint8)).astype(np.float32)
    small = replace(reference, labels=shrink(reference.labels), weights=weights, objects=None)
    errors = error_map(small, mask)
    if errors is None or errors.shape != plain.shape[:2]:
        return plain
    marked = plain.astype(np.float32)
    for number, colour in enumerate(ERROR_COLOURS.values(), start=1):
        rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], np.float32)
        here = errors == number
        marked[here] = (1 - OPACITY) * marked[here] + OPACITY * rgb
    return np.asarray(np.round(marked), np.uint8)


def data_address(picture: NDArray[np.uint8]) -> str:
    """A picture as an address that a page can hold: PNG where it is small, else JPEG."""
    from PIL import Image

    file = io.BytesIO()
    exact = max(picture.shape[:2]) <= SMALL
    if exact:
        Image.fromarray(picture).save(file, "PNG", optimize=True)
    else:
        Image.fromarray(picture).save(file, "JPEG", quality=86, subsampling=0, optimize=True)
    kind = "png" if exact else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def draw(
    identifier: str,
    caption: str,
    image: NDArray[np.generic],
    reference: ReferenceMask,
    masks: Sequence[NDArray[np.uint8]],
) -> GalleryPicture:
    """Draw one image of a gallery.

    Parameters
    ----------
    identifier, caption : str
        See ``GalleryPicture``.
    image : numpy.ndarray
        (Y, X, C).
    reference : ReferenceMask
        As large.
    masks : sequence of numpy.ndarray
        (Y, X) uint8 each, as ``MaskKeeper`` gives them.
    """
    plain = plain_picture(image)
    marked = tuple(data_address(marked_picture(plain, reference, mask)) for mask in masks)
    words = f"{identifier}: {caption}; blue is right, vermillion too much, yellow missing"
    return GalleryPicture(identifier, caption, data_address(plain), marked, words)


def draw_all(
    wanted: Sequence[tuple[str, str]],
    read: Callable[[str], tuple[NDArray[np.generic], ReferenceMask]],
    keepers: Sequence[MaskKeeper],
) -> tuple[GalleryPicture, ...]:
    """Draw images with the masks that were stored of them.

    Parameters
    ----------
    wanted : sequence of (str, str)
        Id and caption of each.
    read : callable
        Gives the image, (Y, X, C), and the reference mask of an id. Those that cannot be read any more
        are left out.
    keepers : sequence of MaskKeeper
        One for each kind of mask.
    """
    pictures = []
    for identifier, caption in wanted:
        masks = [m for m in (keeper.mask(identifier) for keeper in keepers) if m is not None]
        if len(masks) < len(keepers):
            continue
        try:
            image, reference = read(identifier)
        except WorkbenchError:
            continue
        pictures.append(draw(identifier, caption, image, reference, masks))
    return tuple(pictures)
