"""Which images a model has seen, told by their pixels, not by their names."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.resemblance import Fingerprints, fingerprint
from napari_unet.data.split import Split

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

NOT_KNOWN = "not known"
GREATEST = 65_535


def image_hash(image: NDArray[np.generic]) -> str:
    """Sixteen hexadecimal digits that tell an image's pixels from all others'."""
    digest = hashlib.blake2b(digest_size=8)
    digest.update(f"{image.shape} {image.dtype.str}".encode())
    digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()


class SeenImages:
    """The parts of the split that a model was trained with.

    Images are known again by their pixels, also with other channels (grey, RGB of equal channels, opaque
    alpha), in another type, scaled, compressed, brighter or turned. Models of earlier versions keep hashes
    alone: of their images, copies with other channels or types are known again, changed ones are not.

    Parameters
    ----------
    provenance : mapping
        Of the model.
    """

    def __init__(self, provenance: Mapping[str, Any]) -> None:
        hashes: Mapping[str, str] = provenance.get("image_hashes") or {}
        prints: Mapping[str, str] = provenance.get("fingerprints") or {}
        self.split = Split.from_json(provenance["split"], "the model's split") if hashes else None
        self.changed_copies = bool(hashes) and all(i in prints for i in hashes)
        self._else = "unseen" if hashes and not provenance.get("seen_not_known") else NOT_KNOWN
        self._part_of: dict[str, str] = {}
        self._parts = {i: (self.split.part_of(i) if self.split else None) or "unseen" for i in hashes}
        for identifier, digest in hashes.items():
            # A picture that occurs twice was seen if either copy was.
            if self._part_of.get(digest) != "train":
                self._part_of[digest] = self._parts[identifier]
        self._prints = Fingerprints({i: t for i, t in prints.items() if i in hashes})

    def part(self, image: NDArray[np.generic]) -> str:
        """The part an image was in: "train", "validation", "held-out", or "unseen".

        Parameters
        ----------
        image : numpy.ndarray
            (Y, X, C) in the stored dtype.

        Returns
        -------
        str
            "not known" if it is in no part, and what the model was trained on was not recorded.
        """
        if not self._part_of:
            return NOT_KNOWN
        found = self._part_of.get(image_hash(image))
        if found is not None:
            return found
        equal, alike = self._prints.copies(fingerprint(image)) if self._prints.ids else ([], [])
        for some in (equal, alike):
            parts = [self._parts[i] for i in some]
            for part in ("train", "validation", "held-out"):
                if part in parts:
                    return part
        if not self.changed_copies:
            for form in _forms(image):
                found = self._part_of.get(image_hash(form))
                if found is not None:
                    return found
        return self._else


def _forms(image: NDArray[np.generic]) -> Iterator[NDArray[np.generic]]:
    """The same picture as other programs store it: channels more or fewer, 8 or 16 bits."""
    values: NDArray[Any] = np.asarray(image)
    values = values[..., None] if values.ndim == 2 else values
    if values.shape[2] in (2, 4) and values.size and values[..., -1].min() == values[..., -1].max():
        values = values[..., :-1]
    if values.shape[2] == 3 and all(np.array_equal(values[..., 0], values[..., c]) for c in (1, 2)):
        values = values[..., :1]
    opaque: dict[str, int] = {"uint8": 255, "uint16": GREATEST}
    for typed in _types(values):
        yield typed
        wide = np.repeat(typed, 3, axis=2) if typed.shape[2] == 1 else typed
        if wide is not typed:
            yield wide
        if wide.shape[2] == 3 and typed.dtype.name in opaque:
            alpha = np.full((*wide.shape[:2], 1), opaque[typed.dtype.name], typed.dtype)
            yield np.concatenate([wide, alpha], axis=2)


def _types(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """The same values as 8 and 16 bits, as they are or stretched from one to the other."""
    yield values
    if values.dtype.kind == "f":
        share = values.size and values.min() >= 0 and values.max() <= 1
        values = np.rint(values * 255) if share else values
    if not values.size or not (np.isfinite(values).all() and values.min() >= 0):
        return
    if values.max() <= 255:
        yield values.astype(np.uint8)
        yield values.astype(np.uint16)
        yield values.astype(np.uint16) * np.uint16(257)
    elif values.max() <= GREATEST:
        yield values.astype(np.uint16)
        if values.dtype.kind in "iu" and not (values % 257).any():
            yield (values // 257).astype(np.uint8)
