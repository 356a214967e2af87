"""References to images that a task takes along, whatever process it runs in."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_unet.data.files.channels import NOTHING_KNOWN, Channels, channels_of
from napari_unet.data.files.loaders import ImageLoader
from napari_unet.data.files.pages import PageLoader
from napari_unet.data.files.reading import ImageReading, reading_images
from napari_unet.data.masks.mask_reading import Choice, MaskReading, reading_masks
from napari_unet.data.sample import Sample
from napari_unet.engine.task import FromCaller

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset

MOST_OPEN = 2
OPENED_FROM = "opened from"  # property of a sample: the file that its layer was opened from


@dataclass(frozen=True)
class FileReference:
    """An image of a data set on disk: the task opens it there, no pixel travels.

    Attributes
    ----------
    path : pathlib.Path
        Of the data set.
    format : str
        Its layout.
    id : str
        Of the image.
    masks_are : str
        What a person said of the values in its masks; see ``MaskReading``.
    channels : tuple of str
        Names or numbers of the channels that are read; empty: all.
    """

    path: Path
    format: str
    id: str
    masks_are: Choice = ""
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class CallReference:
    """An image that only the caller has, such as a layer's: the task asks for it when its turn comes.

    Attributes
    ----------
    id : str
        Of the image.
    image : FromCaller
        () -> (Y, X, C) in the stored dtype.
    mask : FromCaller or None
        () -> ReferenceMask.
    region : FromCaller or None
        (slice of Y, slice of X) -> that part of the image.
    source : str
        The file that it was opened from; its pixels may have been changed since. Empty if from none.
    channels : Channels
        What is known of its channels.
    whole : FromCaller or None
        (Normalization) -> Intensities of the large image that this is a part of.
    stored : ImageLoader, PageLoader or None
        What reads it from its file, by which its place in a volume is known.
    """

    id: str
    image: FromCaller
    mask: FromCaller | None = None
    region: FromCaller | None = None
    source: str = ""
    channels: Channels = NOTHING_KNOWN
    whole: FromCaller | None = None
    stored: ImageLoader | PageLoader | None = None


ImageReference = FileReference | CallReference


@dataclass(frozen=True, eq=False)
class _Described:
    """Reads an image that the caller has, whose channels the caller knows: () -> (Y, X, C)."""

    image: Callable[[], NDArray[np.generic]]
    channels: Channels

    def __call__(self) -> NDArray[np.generic]:
        """Ask for it."""
        return self.image()


def refer(sample: Sample, dataset: Dataset | None) -> ImageReference:
    """Refer to an image, by its file where there is one."""
    if dataset is not None and sample.image_name and dataset.path.exists():
        return FileReference(dataset.path, dataset.format, sample.id, dataset.masks_are, dataset.channels)
    mask = None if sample.load_mask is None else FromCaller(sample.read_mask)
    source = str(sample.properties.get(OPENED_FROM, ""))
    region = FromCaller(sample.read_region)
    return CallReference(
        sample.id,
        FromCaller(sample.read_image),
        mask,
        region,
        source,
        channels_of(sample),
        stored=stored_of(sample),
    )


def stored_of(sample: Sample) -> ImageLoader | PageLoader | None:
    """What reads an image from its file; None for one that is in no file, or was changed since."""
    load = sample.original
    return load if isinstance(load, ImageLoader | PageLoader) else None


class References:
    """Turns references into samples; data sets opened for it stay open."""

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[object, ...], dict[str, Sample]] = OrderedDict()

    def sample(self, reference: ImageReference) -> Sample:
        """Find the image.

        Raises
        ------
        DataError
            If its data set cannot be opened any more.
        KeyError
            If the data set has no such image any more.
        """
        from napari_unet.data.catalog import open_dataset

        if isinstance(reference, CallReference):
            return Sample(
                reference.id,
                reference.image,
                reference.mask,
                load_region=reference.region,
                original=reference.stored or _Described(reference.image, reference.channels),
                whole=reference.whole,
            )
        modified = reference.path.stat().st_mtime_ns
        key = str(reference.path), reference.format, reference.masks_are, reference.channels, modified
        if key not in self._open:
            reading = ImageReading(channels=reference.channels)
            with reading_masks(MaskReading(reference.masks_are)), reading_images(reading):
                dataset = open_dataset(reference.path, reference.format)
            self._open[key] = {s.id: s for s in (*dataset.samples, *dataset.unlabelled)}
            while len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)
        return self._open[key][reference.id]
