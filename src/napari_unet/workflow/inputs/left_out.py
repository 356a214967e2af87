"""Images that a command could not read, and left out: the others are done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_unet.atomic import some_names
from napari_unet.errors import DataError, WorkbenchError
from napari_unet.progress import ignore_progress, tracked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import ReferenceMask, Sample
    from napari_unet.progress import CancelToken, OnProgress


@dataclass(frozen=True)
class LeftOut:
    """An image that was left out, and why.

    Attributes
    ----------
    name : str
        Of the image.
    sentence : str
        Why, for a person.
    code : str
        Why, for programs: the code of the error; empty in what older versions wrote.
    id : str
        Of the image in its data set.
    """

    name: str
    sentence: str
    code: str = ""
    id: str = ""

    @classmethod
    def of(cls, sample: Sample, error: WorkbenchError) -> LeftOut:
        """From what reading it raised."""
        return cls(sample.image_name or sample.id, error.sentence, error.code, sample.id)

    @property
    def entry(self) -> tuple[str, str, str]:
        """Name, sentence and code, as reports and models keep them."""
        return self.name, self.sentence, self.code


class Written(list["Path"]):
    """Paths of what was written.

    Attributes
    ----------
    left_out : tuple of LeftOut
        Images that nothing was written for.
    unlike : str
        Which images do not look like those that the model was trained on, in a sentence; empty if all do,
        or nobody knows.
    """

    def __init__(
        self, paths: Iterable[Path] = (), left_out: Iterable[LeftOut] = (), unlike: str = ""
    ) -> None:
        super().__init__(paths)
        self.left_out = tuple(left_out)
        self.unlike = unlike


def left_out_line(left: Sequence[LeftOut]) -> str:
    """How many images were left out, and which."""
    return f"{len(left):,} image{'s' * (len(left) != 1)} left out: {some_names([item.name for item in left])}"


def check_some_left(left: Sequence[LeftOut], total: int) -> None:
    """Refuse work in which every image was left out.

    Raises
    ------
    DataError
        With the sentence of the first image.
    """
    if left and len(left) >= total:
        if total == 1:
            raise DataError(left[0].sentence, code="data.images.unusable")
        raise DataError(
            f"none of the {total:,} images can be used", code="data.images.unusable", got=left[0].sentence
        )


def check_size(sample: Sample, image: tuple[int, ...], mask: tuple[int, ...]) -> None:
    """Refuse a mask that is not as large as its image: (Y, X) of both.

    Raises
    ------
    DataError
        With both sizes.
    """
    if image != mask:
        raise DataError(
            f"the mask of {sample.id} does not fit its image",
            code="data.mask.size",
            expected=f"{image[1]} x {image[0]} pixels",
            got=f"{mask[1]} x {mask[0]}",
            remedy="replace the mask or leave the image out",
        )


def sound_part(
    dataset: Dataset,
    on_progress: OnProgress = ignore_progress,
    cancel: CancelToken | None = None,
    look: Callable[[Sample, NDArray[np.generic], ReferenceMask | None], None] | None = None,
) -> tuple[Dataset, tuple[LeftOut, ...]]:
    """The images of a data set that can be read, with their masks.

    Parameters
    ----------
    dataset : Dataset
        Every image and mask of it is read.
    on_progress, cancel
        Of the task.
    look : callable, optional
        Takes each image that can be read, and its mask, so that a caller that looks at all of them need not
        read them once more.

    Returns
    -------
    Dataset
        The same one if that is true of all.
    tuple of LeftOut
        The others.

    Raises
    ------
    DataError
        If there is none left.
    """
    sound, left = [], []
    for sample in tracked(dataset.samples, len(dataset), "Reading", on_progress, cancel):
        try:
            image = dataset.image(sample)
            mask = dataset.mask(sample) if sample.has_mask else None
            if mask is not None:
                check_size(sample, image.shape[:2], mask.labels.shape)
        except WorkbenchError as error:
            left.append(LeftOut.of(sample, error))
        else:
            sound.append(sample)
            if look is not None:
                look(sample, image, mask)
    if not left:
        return dataset, ()
    check_some_left(left, len(dataset))
    # Not a subset: its groups are worked out from the pixels of the whole.
    return replace(dataset, samples=tuple(sound)), tuple(left)
