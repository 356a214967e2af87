"""Images without masks: any folder or zip that holds files of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.data.dataset import Dataset
from napari_unet.data.files.image_files import is_image_name
from napari_unet.data.files.pages import plain_samples
from napari_unet.data.sample import with_unique_ids

if TYPE_CHECKING:
    from napari_unet.data.files.source import Source

NAME = "images"
TITLE = "images without masks"


def recognize(source: Source) -> bool:
    """Whether there is an image."""
    return any(map(is_image_name, source.sizes))


def open_source(source: Source) -> Dataset:
    """Open all images, in folders inside too; their names are the files' own."""
    samples = plain_samples(source, filter(is_image_name, source.sizes))
    return Dataset(source.name, NAME, source.path, (), with_unique_ids(samples))
