"""What several layouts need to pair images with masks, and to report what they cannot pair."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from napari_unet.data.dataset import Problem
from napari_unet.data.file_names import composed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def by_stem(names: Iterable[str]) -> tuple[dict[str, str], list[Problem]]:
    """Names by their stems.

    Returns
    -------
    dict
        Stem, its letters composed, to name; of several files with the same stem none is taken.
    list of Problem
        One for every such stem.
    """
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(composed(PurePosixPath(name).stem), []).append(name)
    single = {stem: files[0] for stem, files in found.items() if len(files) == 1}
    return single, [ambiguous(files) for files in found.values() if len(files) > 1]


def ambiguous(names: Sequence[str]) -> Problem:
    """Several files of which any could be meant."""
    return Problem(
        "ambiguous",
        f"which of {', '.join(names)} belong together is not clear, so none is paired",
        "rename or remove files, or list the pairs in a CSV file",
        tuple(names),
    )


def unpaired_image(name: str) -> Problem:
    """An image among labelled ones, without a mask."""
    return Problem("unpaired image", f"{name} has no mask", "add the mask or leave it out", (name,))


def unpaired_mask(name: str) -> Problem:
    """A mask without an image."""
    return Problem("unpaired mask", f"{name} has no image", "add the image or delete the mask", (name,))
