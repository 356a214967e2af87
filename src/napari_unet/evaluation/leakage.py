"""Which images a model has seen, recognized by their pixels, not by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.image_hash import image_hash
from napari_unet.data.inspection.resemblance import Fingerprints, fingerprint
from napari_unet.data.split import Split

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

NOT_KNOWN = "not known"
# Of a provenance, not for reports.
LONG_LISTS = {"image_hashes", "fingerprints", "seen_before", "split", "likeness"}
GREATEST = 65_535


def trained_on_before(parent: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """What a model that starts from another one has seen already: hashes and fingerprints by id.

    Parameters
    ----------
    parent : mapping
        Provenance of the other one: its training images, and what it saw before.
    """
    hashes: Mapping[str, str] = parent.get("image_hashes") or {}
    prints: Mapping[str, str] = parent.get("fingerprints") or {}
    trained = set(Split.from_json(parent["split"], "the model's split").train) if hashes else set()
    earlier = parent.get("seen_before") or {}
    own = {"image_hashes": hashes, "fingerprints": prints}
    return {
        kind: {**earlier.get(kind, {}), **{i: text for i, text in known.items() if i in trained}}
        for kind, known in own.items()
    }


class TrainingMembership:
    """The parts of the split that a model was trained with.

    Images are known again by their pixels, also with other channels (grey, RGB of equal channels, opaque
    alpha), in another type, scaled, compressed, brighter or turned. Models of earlier versions keep hashes
    alone: of their images, copies with other channels or types are known again, changed ones are not.

    What the model that a training started from was trained on counts as trained on.

    Parameters
    ----------
    provenance : mapping
        Of the model.
    """

    def __init__(self, provenance: Mapping[str, Any]) -> None:
        hashes: dict[str, str] = dict(provenance.get("image_hashes") or {})
        prints: dict[str, str] = dict(provenance.get("fingerprints") or {})
        before: Mapping[str, Mapping[str, str]] = provenance.get("seen_before") or {}
        self.split = Split.from_json(provenance["split"], "the model's split") if hashes else None
        self._else = "unseen" if hashes and not provenance.get("seen_not_known") else NOT_KNOWN
        self._part_of: dict[str, str] = {}
        self._parts = {i: (self.split.part_of(i) if self.split else None) or "unseen" for i in hashes}
        self._hashes = dict(hashes)
        for name, digest in (before.get("image_hashes") or {}).items():
            earlier = f"earlier/{name}"
            hashes[earlier], self._parts[earlier] = digest, "train"
            if name in before.get("fingerprints", {}):
                prints[earlier] = before["fingerprints"][name]
        self.changed_copies = bool(hashes) and all(i in prints for i in hashes)
        for identifier, digest in hashes.items():
            # A picture that occurs twice was seen if either copy was.
            if self._part_of.get(digest) != "train":
                self._part_of[digest] = self._parts[identifier]
        self._prints = Fingerprints({i: t for i, t in prints.items() if i in hashes})

    def own_part(self, identifier: str, image: NDArray[np.generic]) -> str:
        """The part that the split names for an image, whatever copies of it are elsewhere; "" without one.

        Parameters
        ----------
        identifier : str
            Of the image.
        image : numpy.ndarray
            (Y, X, C) in the stored dtype; another of the same name is none of the split.
        """
        if self.split is None or self._hashes.get(identifier) != image_hash(image):
            return ""
        return self.split.part_of(identifier) or ""

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
