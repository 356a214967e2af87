"""Images without masks: any folder or zip that holds files of images."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from napari_unet.data.dataset import Dataset, Problem
from napari_unet.data.files.decoders.image_kinds import is_image_name, suffix_of
from napari_unet.data.files.pages import plain_samples
from napari_unet.data.formats.image_mask_folders import sort_by_role
from napari_unet.data.sample import with_unique_ids

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_unet.data.files.source import Source

# Endings of files in which other programs keep outlines or masks.
ANNOTATIONS = {".json", ".geojson", ".npy", ".npz", ".mat", ".roi"}
TEXTS = {".txt", ".xml", ".csv"}  # next to an image of the same name
NAME = "images"
TITLE = "images without masks"


def recognize(source: Source) -> bool:
    """Whether there is an image."""
    return any(map(is_image_name, source.sizes))


def open_source(source: Source) -> Dataset:
    """Open all images, in folders inside too; their names are the files' own."""
    samples = plain_samples(source, filter(is_image_name, source.sizes))
    return Dataset(
        source.name, NAME, source.path, (), with_unique_ids(samples), problems=tuple(_not_masks(source))
    )


def _not_masks(source: Source) -> Iterator[Problem]:
    """What a person may take for masks of these images, and nothing here reads as such."""
    _, masks = sort_by_role(source.sizes)
    unpaired = sorted(name for names in masks.values() for name in names)
    if unpaired:
        yield Problem(
            "unpaired mask",
            f"{_files(unpaired)} look like masks by name, and no image goes with them; they open as images",
            "give image and mask the same name, or list the pairs in a CSV file",
            tuple(unpaired),
        )
    stems = {PurePosixPath(name).stem for name in filter(is_image_name, source.sizes)}
    others = sorted(
        name
        for name in source.sizes
        if suffix_of(name) in ANNOTATIONS or (suffix_of(name) in TEXTS and PurePosixPath(name).stem in stems)
    )
    if others:
        yield Problem(
            "not read",
            f"masks come from images, outlines, or a CSV table: {_files(others)} cannot be read",
            "if they are annotations, export them as GeoJSON, COCO JSON, or images of labels",
            tuple(others),
        )


def _files(names: list[str]) -> str:
    more = len(names) - 1
    return names[0] + (f" and {more:,} other file{'s' * (more != 1)}" if more else "")
