"""Images that a command could not read, and left out: the others are done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_unet.atomic import some_names
from napari_unet.errors import DataError, WorkbenchError
from napari_unet.progress import ignore_progress, tracked

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import Sample
    from napari_unet.progress import CancelToken, OnProgress


@dataclass(frozen=True)
class LeftOut:
    """An image that was left out, and why in one sentence."""

    name: str
    sentence: str
    id: str = ""

    @classmethod
    def of(cls, sample: Sample, error: WorkbenchError) -> LeftOut:
        """From what reading it raised."""
        return cls(sample.image_name or sample.id, error.sentence, sample.id)


class Written(list["Path"]):
    """Paths of what was written.

    Attributes
    ----------
    left_out : tuple of LeftOut
        Images that nothing was written for.
    """

    def __init__(self, paths: Iterable[Path] = (), left_out: Iterable[LeftOut] = ()) -> None:
        super().__init__(paths)
        self.left_out = tuple(left_out)


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
            raise DataError(left[0].sentence)
        raise DataError(f"none of the {total:,} images can be used", got=left[0].sentence)


def sound_part(
    dataset: Dataset, on_progress: OnProgress = ignore_progress, cancel: CancelToken | None = None
) -> tuple[Dataset, tuple[LeftOut, ...]]:
    """The images of a data set that can be read, with their masks.

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
            dataset.image(sample)
            if sample.has_mask:
                dataset.mask(sample)
        except WorkbenchError as error:
            left.append(LeftOut.of(sample, error))
        else:
            sound.append(sample)
    if not left:
        return dataset, ()
    check_some_left(left, len(dataset))
    return replace(dataset.subset(s.id for s in sound), unlabelled=dataset.unlabelled), tuple(left)
