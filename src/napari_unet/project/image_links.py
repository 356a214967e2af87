"""The images of a project: where they are, whether they are still the same, and how to find them again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.dataset import Dataset
from napari_unet.data.files.channels import dataset_with_channels, read_whole, whole_of, with_channels
from napari_unet.data.files.reading import ImageReading, current_reading, reading_images
from napari_unet.data.image_hash import image_hash
from napari_unet.data.lossless_images import SUFFIXES, read_exactly
from napari_unet.data.masks.mask_reading import MaskReading, current_mask_reading, reading_masks
from napari_unet.data.sample import Sample
from napari_unet.errors import DataError, WorkbenchError
from napari_unet.progress import ignore_progress, tracked
from napari_unet.project.project_file import DataLink, ImageEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.progress import CancelToken, OnProgress

PACKED_FOLDER = "images"
CHECKED = 20  # images compared with their hashes when a folder is linked again


@dataclass(frozen=True)
class LinkCheck:
    """Whether images are those of the project.

    Attributes
    ----------
    checked : int
        Images whose pixels were compared.
    missing : tuple of str
        Ids that are not there, of all images.
    different : tuple of str
        Ids of images with other pixels, of those compared.
    """

    checked: int
    missing: tuple[str, ...] = ()
    different: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether all that was compared is the same."""
        return not (self.missing or self.different)

    @property
    def sentence(self) -> str:
        """For a person."""
        if self.good:
            return f"All images are there; {self.checked} were compared and are the same."
        parts = []
        if self.missing:
            number = "1 image is" if len(self.missing) == 1 else f"{len(self.missing)} images are"
            parts.append(f"{number} not there: {_some(self.missing)}")
        if self.different:
            parts.append(
                f"{len(self.different)} of {self.checked} compared are others: {_some(self.different)}"
            )
        return "; ".join(parts) + "."


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")


def image_entries(
    samples: Sequence[Sample],
    groups: Mapping[str, str],
    read: Callable[[Sample], NDArray[np.generic]] = Sample.read_image,
    on_progress: OnProgress = ignore_progress,
    cancel: CancelToken | None = None,
    skip_unreadable: bool = False,
) -> tuple[ImageEntry, ...]:
    """Look at all images: size and hash; those that cannot be read are left out, if so wanted.

    Raises
    ------
    DataError
        If one cannot be read.
    """
    entries = []
    for sample in tracked(samples, len(samples), "Reading images", on_progress, cancel):
        try:
            image = read(sample)
        except WorkbenchError:
            if not skip_unreadable:
                raise
            continue
        whole = image if whole_of(sample) == sample.original else read_whole(sample)
        height, width, channels = (int(n) for n in whole.shape)
        group = groups.get(sample.id) or sample.group or sample.id
        entries.append(ImageEntry(sample.id, image_hash(whole), (height, width, channels), group))
    return tuple(entries)


@dataclass(frozen=True)
class _Missing:
    """An image that cannot be read at the moment."""

    identifier: str
    remedy: str

    def __call__(self) -> Any:
        raise DataError(
            f"the image {self.identifier} is not there", code="data.file.missing", remedy=self.remedy
        )


@dataclass(frozen=True)
class PackedImage:
    """Reads an image that was packed with the project: () -> (Y, X, C) in the stored dtype."""

    stem: Path

    def __call__(self) -> NDArray[np.generic]:
        """Read and decode."""
        tiff, array = (self.stem.with_name(self.stem.name + suffix) for suffix in SUFFIXES)
        return read_exactly(tiff if tiff.exists() else array)


class ProjectImages:
    """The images of a project.

    Parameters
    ----------
    folder : pathlib.Path
        Of the project.
    entries : mapping
        Id to entry, in order.
    stems : mapping
        Id to the name of its files.
    link : DataLink
        Where the images are.
    given : Dataset or sequence of Sample
        Loaded already.
    """

    def __init__(
        self,
        folder: Path,
        entries: Mapping[str, ImageEntry],
        stems: Mapping[str, str],
        link: DataLink,
        given: Dataset | Sequence[Sample] = (),
    ) -> None:
        self.folder, self.entries, self.stems, self.link = folder, entries, stems, link
        self._dataset = given if isinstance(given, Dataset) else None
        self._known: dict[str, Sample] = {}
        if self._dataset is None:
            self.attach(given)

    @property
    def note(self) -> str:
        """What a person should know of where the images are; empty if there is nothing to say."""
        if self.link.kind == "memory" and len(self._known) < len(self.entries):
            return "The images of this project are in no file: it knows them by name only. Open them again."
        if self.link.kind == "dataset" and self._dataset is None and self.link.find(self.folder) is None:
            return f"The images are not at {self.link.path} any more. Say where they are now."
        return ""

    def dataset(self) -> Dataset | None:
        """The data set that the images come from; None for images in no data set.

        Raises
        ------
        DataError
            If it is not there any more, or cannot be opened.
        """
        if self.link.kind != "dataset":
            return None
        if self._dataset is None:
            path = self.link.find(self.folder)
            if path is None:
                raise DataError(
                    f"the images are not at {self.link.path} any more",
                    code="data.images.missing",
                    remedy="link the project to the folder where they are now",
                )
            from napari_unet.data.catalog import open_dataset

            said = current_mask_reading().masks_are or self.link.masks_are
            with reading_masks(MaskReading(said)), reading_images(self.reading):
                self._dataset = open_dataset(path, self.link.format or None)
        return self._dataset

    @property
    def reading(self) -> ImageReading:
        """Which channels are read: what is said for this run, else what the project remembers."""
        said = current_reading()
        return said if said.channels else replace(said, channels=self.link.channels)

    def read_channels(self, link: DataLink) -> None:
        """Read other channels of all images."""
        self.link = link
        if self._dataset is not None:
            self._dataset = dataset_with_channels(self._dataset, link.channels)
        self._known = {i: with_channels(sample, link.channels) for i, sample in self._known.items()}

    def sample(self, identifier: str) -> Sample:
        """An image with its reference mask; one that is not there says so when it is read."""
        if identifier in self._known:
            return self._known[identifier]
        remedy = "open it again, and add it to the project by the same name"
        if self.link.kind == "packed":
            self._know(self._packed(i) for i in self.entries)
        elif self.link.kind == "dataset":
            remedy = "link the project to the folder where the images are now"
            try:
                dataset = self.dataset()
            except WorkbenchError as error:
                remedy = error.sentence
            else:
                assert dataset is not None
                self._know((*dataset.samples, *dataset.unlabelled))
        missing = Sample(identifier, _Missing(identifier, remedy), group=self.entries[identifier].group)
        return self._known.get(identifier, missing)

    def _know(self, samples: Iterable[Sample]) -> None:
        self._known |= {s.id: s for s in samples if s.id in self.entries}

    def samples(self) -> list[Sample]:
        """All images, in order."""
        return [self.sample(i) for i in self.entries]

    def attach(self, samples: Iterable[Sample]) -> LinkCheck:
        """Bring images of no data set along again; those with other pixels are not taken."""
        fresh = {s.id: s for s in samples if s.id in self.entries}
        check = self._compare(fresh, list(fresh))
        self._know(s for i, s in fresh.items() if i not in check.different)
        return check

    def check(self, count: int = CHECKED) -> LinkCheck:
        """Compare some images, spread over all, with their hashes."""
        return self._compare({s.id: s for s in self.samples()}, self._spread(count))

    def check_dataset(self, dataset: Dataset, count: int = CHECKED) -> LinkCheck:
        """Compare some images of a data set with the hashes of the project's."""
        found = {s.id: s for s in (*dataset.samples, *dataset.unlabelled)}
        return self._compare(found, self._spread(count))

    def use(self, dataset: Dataset | None, link: DataLink) -> None:
        """Take the images from a data set from now on; opened when it is needed if None."""
        self._dataset, self.link = dataset, link
        self._known.clear()

    def _spread(self, count: int) -> list[str]:
        ids = list(self.entries)
        places = np.linspace(0, max(len(ids) - 1, 0), min(count, len(ids)))
        return [ids[round(p)] for p in places]

    def _compare(self, found: Mapping[str, Sample], ids: Sequence[str]) -> LinkCheck:
        missing = [i for i in self.entries if i not in found]
        different = []
        checked = 0
        for identifier in ids:
            expected = self.entries[identifier].hash
            if identifier not in found or not expected:
                continue
            try:
                digest = image_hash(read_whole(found[identifier]))
            except WorkbenchError:
                missing.append(identifier)
                continue
            checked += 1
            if digest != expected:
                different.append(identifier)
        return LinkCheck(checked, tuple(missing), tuple(different))

    def _packed(self, identifier: str) -> Sample:
        stem = self.folder / PACKED_FOLDER / self.stems[identifier]
        sample = Sample(identifier, PackedImage(stem), group=self.entries[identifier].group)
        return with_channels(sample, self.reading.channels)
