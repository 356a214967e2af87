"""Which images a model has seen, told by their pixels, not by their names."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.split import Split

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


def image_hash(image: NDArray[np.generic]) -> str:
    """Sixteen hexadecimal digits that tell an image's pixels from all others'."""
    digest = hashlib.blake2b(digest_size=8)
    digest.update(f"{image.shape} {image.dtype.str}".encode())
    digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()


class SeenImages:
    """The parts of the split that a model was trained with.

    Parameters
    ----------
    provenance : mapping
        Of the model.
    """

    def __init__(self, provenance: Mapping[str, Any]) -> None:
        hashes: Mapping[str, str] = provenance.get("image_hashes") or {}
        self.split = Split.from_json(provenance["split"], "the model's split") if hashes else None
        self._part_of: dict[str, str] = {}
        for identifier, digest in hashes.items():
            part = self.split.part_of(identifier) if self.split else None
            # A picture that occurs twice was seen if either copy was.
            if self._part_of.get(digest) != "train":
                self._part_of[digest] = part or "unseen"

    def part(self, image: NDArray[np.generic]) -> str:
        """The part an image was in: "train", "validation", "held-out", or "unseen".

        Parameters
        ----------
        image : numpy.ndarray
            (Y, X, C) in the stored dtype.
        """
        return self._part_of.get(image_hash(image), "unseen") if self._part_of else "unseen"
