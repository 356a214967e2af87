"""What several layouts need to pair images with masks, and to report what they cannot pair."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from napari_unet.data.dataset import Problem
from napari_unet.data.file_names import composed
from napari_unet.data.files.loaders import BinaryMaskLoader, ImageLoader, RunLengthLoader
from napari_unet.data.masks.mask_checks import TabledMask
from napari_unet.data.sample import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from napari_unet.data.files.source import Source
    from napari_unet.data.sample import ReferenceMask


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


def sample_of(
    source: Source,
    stem: str,
    name: str,
    mask: str | None,
    runs: str | None,
    table: str,
    reason: str,
    *,
    threshold: int = 0,
    group: str | None = None,
    properties: Mapping[str, int] | None = None,
) -> Sample:
    """An image with its mask, from a file or from run lengths in a table; with both, they are compared.

    Parameters
    ----------
    source : Source
        Where the files lie.
    stem, name : str
        Id and file of the image.
    mask, runs : str or None
        File of the mask, and its run lengths; without both the image has no mask.
    table : str
        Where the run lengths stand.
    reason : str
        Why the file of the mask belongs to the image.
    threshold : int
        Above which a value of the file is foreground.
    group, properties
        Of the sample.
    """
    load = ImageLoader(source, name)
    sample = Sample(stem, load, None, group, name, properties=properties or {})
    if mask is not None:
        loader: Callable[[], ReferenceMask] = BinaryMaskLoader(source, mask, threshold)
        if runs is not None:
            loader, reason = TabledMask(loader, runs, mask), f"{reason}, row in {table}"
        return replace(sample, load_mask=loader, mask_name=mask, reason=reason)
    if runs is not None:
        load_runs = RunLengthLoader((runs,), load, stem)
        return replace(sample, load_mask=load_runs, mask_name=table, reason=f"row in {table}")
    return sample


def unpaired_image(name: str) -> Problem:
    """An image among labelled ones, without a mask."""
    return Problem("unpaired image", f"{name} has no mask", "add the mask or leave it out", (name,))


def unpaired_mask(name: str) -> Problem:
    """A mask without an image."""
    return Problem("unpaired mask", f"{name} has no image", "add the image or delete the mask", (name,))
