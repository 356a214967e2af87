"""A sample: an image with its reference mask, its group and where both come from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from napari_unet.data.file_names import composed
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class ReferenceMask:
    """What an annotator drew on one image.

    Attributes
    ----------
    labels : numpy.ndarray
        (Y, X) uint8, 0 background, 1..K classes.
    objects : numpy.ndarray or None
        (Y, X) int32, 0 background, 1..N one number an object; None where objects touch unmarked. Of what a
        person painted to be learned from, a negative number is that of an object in a pixel in which it is
        not known where it ends.
    weights : numpy.ndarray or None
        (Y, X) float32 >= 0, 0 where nothing is known about the pixel; None means 1 everywhere.
    overlap : int
        Pixels that more than one object claims in the files the mask was read from.
    lost : int
        Objects of those files that have no pixel in the mask: outlines around no pixel, or under others.
    """

    labels: NDArray[np.uint8]
    objects: NDArray[np.int32] | None = None
    weights: NDArray[np.float32] | None = None
    overlap: int = 0
    lost: int = 0


@dataclass(frozen=True, eq=False)
class Sample:
    """One image, lazily read, with its reference mask where there is one.

    Attributes
    ----------
    id : str
        Unique in its data set; what tables, files and splits call the image.
    load_image : callable
        () -> (Y, X, C) in the stored dtype (bool, integers or floats), channels last.
    load_mask : callable or None
        () -> ReferenceMask; None where the image has no reference mask.
    group : str or None
        Samples of one group must not be parted by a split. None: the data set works groups out when
        asked (see ``Dataset.groups``).
    image_name, mask_name : str
        Where image and mask stand, relative to the data set's root (inside an archive too).
    reason : str
        Why image and mask belong together ("same stem in images/ and masks/").
    properties : mapping
        Whatever else the data set tells about the image (the depth of a TGS tile).
    load_region : callable or None
        (slice of Y, slice of X) -> that part of the image; None where only the whole can be read.
    original : callable
        What the image was first read by; stays where `load_image` is replaced by pixels that were read ahead,
        because it knows what the file says of its channels.
    whole : callable or None
        (Normalization) -> Intensities of the large image that this is a part of, by which its pixels are
        prepared; None if it is a whole image.
    """

    id: str
    load_image: Callable[[], NDArray[np.generic]]
    load_mask: Callable[[], ReferenceMask] | None = None
    group: str | None = None
    image_name: str = ""
    mask_name: str = ""
    reason: str = ""
    properties: Mapping[str, str | float | int] = field(default_factory=dict)
    load_region: Callable[[slice, slice], NDArray[np.generic]] | None = None
    original: Callable[[], NDArray[np.generic]] | None = None
    whole: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", composed(self.id))  # the same on every system
        if self.original is None:
            object.__setattr__(self, "original", self.load_image)

    @property
    def has_mask(self) -> bool:
        """Whether there is a reference mask."""
        return self.load_mask is not None

    def read_image(self) -> NDArray[np.generic]:
        """Read the image.

        Returns
        -------
        numpy.ndarray
            (Y, X, C) in the stored dtype.
        """
        return self.load_image()

    def read_region(self, rows: slice, columns: slice) -> NDArray[np.generic]:
        """Read a part of the image, no more than that where the source allows it.

        Returns
        -------
        numpy.ndarray
            (Y, X, C) in the stored dtype.
        """
        if self.load_region is not None:
            return self.load_region(rows, columns)
        return self.load_image()[rows, columns]

    def read_mask(self) -> ReferenceMask:
        """Read the reference mask.

        Raises
        ------
        DataError
            If the image has none.
        """
        if self.load_mask is None:
            raise DataError(
                f"image {self.id} has no reference mask",
                code="data.mask.missing",
                remedy="choose images that have one, or a data set with masks",
            )
        return self.load_mask()


def with_unique_ids(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """The same samples; of several with one id all but the first get a number at its end."""
    taken = {sample.id for sample in samples}
    seen: set[str] = set()
    out = []
    for sample in samples:
        identifier, number = sample.id, 1
        while identifier in seen or (number > 1 and identifier in taken):
            number += 1
            identifier = f"{sample.id}_{number}"
        seen.add(identifier)
        out.append(sample if identifier == sample.id else replace(sample, id=identifier))
    return tuple(out)
