"""A hash of an image's pixels, by which it is recognized whatever its file is called."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def image_hash(image: NDArray[np.generic]) -> str:
    """Sixteen hexadecimal digits that tell an image's pixels from all others'."""
    digest = hashlib.blake2b(digest_size=8)
    digest.update(f"{image.shape} {image.dtype.str}".encode())
    digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()
