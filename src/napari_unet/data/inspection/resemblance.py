"""Images known again as copies: with other channels or types, scaled, compressed, brighter, turned."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

SIDE = 32  # pixels of the small grey image
KEPT = 8  # of its lowest frequencies each way
ALIKE = 0.98  # cosine of two signatures, see benchmarks/near_duplicates.py
FLAT = 0.01  # of the range of the values: what varies less has no signature
HASH = 16  # hexadecimal digits
STEPS = 127  # of a coefficient
ROWS = 512  # compared at once
BY_TABLE = 4096  # values from which on each value is worked out once


def seen_form(image: NDArray[Any]) -> NDArray[np.uint8]:
    """An image in the form in which copies of other types and channels are equal.

    Parameters
    ----------
    image : numpy.ndarray
        (Y, X) or (Y, X, C), any real type.

    Returns
    -------
    numpy.ndarray
        (Y, X, C) uint8: one channel where all are equal, none that is opaque throughout; the least value is
        0, the greatest 255. So counts are equal in uint8 and uint16, 257 times as large, or as shares of 1.
    """
    values = image[..., None] if image.ndim == 2 else image
    if values.shape[2] in (2, 4) and _constant(values[..., -1]):
        values = values[..., :-1]
    if values.shape[2] > 1 and all(
        np.array_equal(values[..., 0], values[..., c]) for c in range(1, values.shape[2])
    ):
        values = values[..., :1]
    if values.dtype in (np.uint8, np.uint16) and values.size > BY_TABLE:
        low, high = int(values.min()), int(values.max())
        steps = np.clip(np.arange(low, high + 1, dtype=np.float64) - low, 0, None) / max(high - low, 1)
        table = (steps * 255 + 0.5001).astype(np.uint8)
        if values.dtype == np.uint8:  # the quickest by far
            whole = np.zeros(256, np.uint8)
            whole[low : high + 1] = table
            moved = np.ascontiguousarray(values).tobytes().translate(whole.tobytes())
            return np.frombuffer(moved, np.uint8).reshape(values.shape)
        return np.asarray(table.take(values - values.dtype.type(low)), np.uint8)
    known = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    least, most = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    if most <= least:
        return np.zeros(values.shape, np.uint8)
    # Halves go up in every type, though 32-bit floats miss them by a little.
    return ((known - least) / (most - least) * 255 + 0.5001).astype(np.uint8)


def fingerprint(image: NDArray[Any]) -> str:
    """What an image is known again by: the hash of ``seen_form``, then its signature.

    Parameters
    ----------
    image : numpy.ndarray
        (Y, X) or (Y, X, C), any real type.

    Returns
    -------
    str
        16 hexadecimal digits, and 84 characters more unless the image is (nearly) of one value.

    Notes
    -----
    The signature holds the 8 x 8 lowest coefficients, without the first, of a cosine transform of the
    32 x 32 means of the grey image, scaled to one length. Scale, brightness and contrast drop out,
    compression hardly matters, and flips and quarter turns are changes of sign and order. As in Zauner 2010
    (perceptual image hash functions), but for keeping the coefficients in 8 bits instead of 1.
    """
    form = seen_form(image)
    digest = hashlib.blake2b(f"{form.shape}".encode(), digest_size=HASH // 2)
    digest.update(form.tobytes())
    return digest.hexdigest() + _signature(form)


def _signature(form: NDArray[np.uint8]) -> str:
    if not form.any():
        return ""
    down, right = _means(form.shape[0]), _means(form.shape[1])
    channels = [down @ form[..., c].astype(np.float32) for c in range(form.shape[2])]
    small = np.mean(channels, axis=0) @ right.T
    if small.std() < FLAT * 255:
        return ""
    cosines = _cosines()
    found = cosines @ small @ cosines.T
    found[0, 0] = 0.0
    greatest = float(np.abs(found).max())
    if greatest < 1.0:
        return ""
    found /= greatest
    return base64.b64encode(np.rint(found * STEPS).astype(np.int8).tobytes()[1:]).decode()


def _constant(values: NDArray[Any]) -> bool:
    return bool(values.size and values.min() == values.max())


@cache
def _means(length: int) -> NDArray[np.float32]:
    """(32, length) float32 weights of means over equal stretches, shares of pixels included."""
    edges = np.linspace(0, length, SIDE + 1)
    first, last = edges[:-1, None], edges[1:, None]
    pixel = np.arange(length)[None]
    weights = np.clip(np.minimum(last, pixel + 1) - np.maximum(first, pixel), 0, None)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


@cache
def _cosines() -> NDArray[np.float32]:
    """(8, 32) float32, the lowest rows of an orthonormal cosine transform."""
    order, place = np.arange(KEPT)[:, None], np.arange(SIDE)[None]
    rows = np.cos(np.pi * order * (place + 0.5) / SIDE) * np.sqrt(2 / SIDE)
    rows[0] /= np.sqrt(2)
    return np.asarray(rows, np.float32)


def _vector(text: str) -> NDArray[np.float32]:
    """(64,) float32 of length 1 from a signature; zeros without one."""
    found = np.zeros(KEPT**2, np.float32)
    if text:
        found[1:] = np.frombuffer(base64.b64decode(text), np.int8)
        found /= np.linalg.norm(found)
    return found


def _turned(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(8, N, 64) float32: (N, 64) under flips and quarter turns."""
    whole = vectors.reshape(-1, KEPT, KEPT)
    signs = (-1.0) ** np.arange(KEPT, dtype=np.float32)
    found = [
        (way * down * right).reshape(-1, KEPT**2)
        for way in (whole, whole.transpose(0, 2, 1))
        for down in (1.0, signs[:, None])
        for right in (1.0, signs[None])
    ]
    return np.stack(found)


@dataclass(frozen=True)
class NearDuplicate:
    """Two images that are copies of one another, or nearly.

    Attributes
    ----------
    one, other : str
        Ids.
    exact : bool
        Whether they are equal but for type and channels.
    """

    one: str
    other: str
    exact: bool


class Fingerprints:
    """Images to be known again.

    Parameters
    ----------
    by_id : mapping
        Id to ``fingerprint``.
    """

    def __init__(self, by_id: Mapping[str, str]) -> None:
        self.ids = tuple(by_id)
        self._hashes: dict[str, list[str]] = {}
        for identifier, text in by_id.items():
            self._hashes.setdefault(text[:HASH], []).append(identifier)
        empty = np.zeros((0, KEPT**2), np.float32)
        self._vectors = np.stack([_vector(t[HASH:]) for t in by_id.values()]) if by_id else empty

    def copies(self, text: str) -> tuple[list[str], list[str]]:
        """Ids of images equal to one with this fingerprint, and of those that it is a changed copy of."""
        equal = self._hashes.get(text[:HASH], [])
        if not text[HASH:] or not self.ids:
            return equal, []
        likeness = (self._vectors @ _turned(_vector(text[HASH:])[None])[:, 0].T).max(axis=1)
        alike = [self.ids[n] for n in np.flatnonzero(likeness >= ALIKE)]
        return equal, [i for i in alike if i not in equal]


def near_duplicates(one: Mapping[str, str], other: Mapping[str, str] | None = None) -> list[NearDuplicate]:
    """Pairs of images that are copies of one another.

    Parameters
    ----------
    one : mapping
        Id to ``fingerprint``.
    other : mapping, optional
        As many others as wanted: pairs of one from each then; else pairs within `one`.

    Returns
    -------
    list of NearDuplicate
        Each pair once, in the order of the images.
    """
    within = other is None
    second = one if other is None else other
    ids, others = list(one), list(second)
    places: dict[str, list[int]] = {}
    for place, text in enumerate(second.values()):
        places.setdefault(text[:HASH], []).append(place)
    found: list[NearDuplicate] = []
    for place, likeness in enumerate(_likeness(one, second)):
        equal = places.get(one[ids[place]][:HASH], [])
        alike = sorted({*equal, *np.flatnonzero(likeness >= ALIKE).tolist()})
        found += [NearDuplicate(ids[place], others[n], n in equal) for n in alike if not within or n > place]
    return found


def nearest_copies(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, str]:
    """Id of each image that is a copy of some of the others, to the id of that which it is most alike.

    Parameters
    ----------
    one, other : mapping
        Id to ``fingerprint``.
    """
    ids, others = list(one), list(other)
    by_hash = {text[:HASH]: i for i, text in reversed(list(other.items()))}
    found = {}
    for identifier, likeness in zip(ids, _likeness(one, other), strict=False):
        equal = by_hash.get(one[identifier][:HASH])
        place = int(likeness.argmax())
        if equal is not None:
            found[identifier] = equal
        elif likeness[place] >= ALIKE:
            found[identifier] = others[place]
    return found


def sets_of_copies(prints: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Images that are copies of one another, or of a copy, and so on; in the order of the images.

    Unlike pairs these are never more than the images, whatever a film of equal pictures holds.
    """
    ids = list(prints)
    first = list(range(len(ids)))  # the first image known of the set of each

    def root(place: int) -> int:
        while first[place] != place:
            first[place] = first[first[place]]
            place = first[place]
        return place

    by_hash: dict[str, int] = {}
    for place, likeness in enumerate(_likeness(prints, prints)):
        same = by_hash.setdefault(prints[ids[place]][:HASH], place)
        for n in {same, *np.flatnonzero(likeness[:place] >= ALIKE).tolist()}:
            one, other = root(place), root(n)
            first[max(one, other)] = min(one, other)
    sets: dict[int, list[str]] = {}
    for place, identifier in enumerate(ids):
        sets.setdefault(root(place), []).append(identifier)
    return [tuple(some) for some in sets.values() if len(some) > 1]


def _likeness(one: Mapping[str, str], other: Mapping[str, str]) -> Iterator[NDArray[np.float32]]:
    """For each of one: its likeness to each of the others, the greatest under flips and quarter turns."""
    if not one or not other:
        return
    left = np.stack([_vector(t[HASH:]) for t in one.values()])
    right = np.stack([_vector(t[HASH:]) for t in other.values()])
    for start in range(0, len(left), ROWS):
        some = left[start : start + ROWS]
        likeness = some @ right.T
        for turned in _turned(some)[1:]:
            np.maximum(likeness, turned @ right.T, out=likeness)
        yield from likeness
