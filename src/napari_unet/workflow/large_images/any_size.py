"""Images of any size through a model, to be scored or exported: the large ones by blocks, answers on disk."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.files.lazy_stack import lazy_stack
from napari_unet.data.files.loaders import ImageLoader
from napari_unet.data.files.pages import PageLoader, header_of_loader
from napari_unet.errors import WorkbenchError
from napari_unet.export.label_store import ANSWERS
from napari_unet.progress import CancelToken, ignore_progress
from napari_unet.settings import LargeImageSettings
from napari_unet.workflow.large_images.finish import finish_labels
from napari_unet.workflow.large_images.local_run import LocalRun
from napari_unet.workflow.large_images.start_result import rules_for, start_result
from napari_unet.workflow.large_images.told_apart import DEPTH, answers_of
from napari_unet.workflow.segment.segment_samples import Segmentation, segment_samples
from napari_unet.workflow.segment.three_planes import sees_volumes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from napari_unet.data.sample import Sample
    from napari_unet.export.label_store import LabelStore
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.settings import InferenceSettings, Separation

LARGE = 2**25  # pixels of an image from which on it is gone about block by block
ROWS = 1024  # that are moved at once


@dataclass(frozen=True, eq=False)
class LargeSegmentation(Segmentation):
    """What a model makes of a large image; probabilities and numbers are mapped from files.

    Attributes
    ----------
    numbers : numpy.ndarray
        (Y, X) int32, one number an object.
    tied : tuple of int
        Numbers of the objects that may as well be of another class.
    """

    numbers: NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 0), np.int32))
    tied: tuple[int, ...] = ()

    @property
    def objects(self) -> NDArray[np.int32]:
        """(Y, X) int32, 0 background, one number an object."""
        return self.numbers

    @property
    def ties(self) -> tuple[int, ...]:
        """Numbers of the objects that may as well be of another class."""
        return self.tied


def is_large_sample(sample: Sample) -> bool:
    """Whether an image is gone about block by block, by the header of its file."""
    load = sample.original or sample.load_image
    if not isinstance(load, ImageLoader | PageLoader):
        return False
    try:
        header = header_of_loader(load)
    except (WorkbenchError, OSError):
        return False  # reading it says what is wrong
    return header.height * header.width > LARGE


def segment_any_size(
    samples: Iterable[Sample],
    model: AnyModel,
    settings: InferenceSettings | None = None,
    cancel: CancelToken | None = None,
    on_problem: Callable[[Sample, WorkbenchError], None] | None = None,
) -> Iterator[Segmentation]:
    """As ``segment_samples``; of large images memory holds the pixels and the mask, and no probabilities.

    Parameters, results and errors as there.
    """
    for large, some in groupby(samples, is_large_sample):
        if not large or sees_volumes(model.recipe.network, settings or model.recipe.inference):
            yield from segment_samples(some, model, settings, cancel, on_problem)
            continue
        for sample in some:
            try:
                yield _segment_large(sample, model, settings or model.recipe.inference, cancel)
            except WorkbenchError as error:
                if on_problem is None:
                    raise
                on_problem(sample, error)


def _segment_large(
    sample: Sample, model: AnyModel, settings: InferenceSettings, cancel: CancelToken | None
) -> LargeSegmentation:
    image = sample.read_image()
    stack = lazy_stack(image, sample.id, axes="yxs")  # type: ignore[arg-type]  # an array is as lazy as any
    large = LargeImageSettings()
    cancel = cancel or CancelToken()
    folder = Path(tempfile.mkdtemp(prefix="napari-unet-"))
    try:
        out = folder / "mask.ome.zarr"
        started = start_result(stack, model, out, settings, large, "", False, objects=True, answers=True)
        LocalRun(started.large, model, started.store, started.key).run(started.todo, ignore_progress, cancel)
        rules = rules_for(model, settings, objects=True)
        finish_labels(
            started.store, settings.minimum_size, ignore_progress, cancel,
            objects=True, classes=model.classes, rules=rules,
        )  # fmt: skip
        found = _mapped(sample, model, settings, started.store, folder)
        shutil.rmtree(started.store.path, ignore_errors=True)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(found, shutil.rmtree, folder, ignore_errors=True)
    return found


def _mapped(
    sample: Sample, model: AnyModel, settings: InferenceSettings, store: LabelStore, folder: Path
) -> LargeSegmentation:
    """Move what is in a store to files that are mapped as arrays."""
    labels = store.array(0)
    height, width = labels.shape
    classes, network = len(model.classes), model.recipe.network
    agreed = answers_of(store)

    def moved(name: str, dtype: Any, key: str | int, channels: slice | int | None = None) -> NDArray[Any]:
        array = store.array(key)
        tail = () if not isinstance(channels, slice) else (channels.stop,)
        made = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, (height, width, *tail))
        for start in range(0, height, ROWS):
            rows = slice(start, start + ROWS)
            place = (rows, slice(0, width)) if channels is None else (channels, rows, slice(0, width))
            part = np.asarray(array[place])
            made[rows] = np.moveaxis(part, 0, -1) if isinstance(channels, slice) else part
        return made

    numbers = moved("objects", np.int32, 0)
    probabilities = moved("probabilities", np.float32, agreed, slice(0, classes))
    separation, kind = None, "none"
    if network.separation != "none":
        kind = "distance" if network.separation in {"star", "objects"} else network.separation
        known = DEPTH in store.group
        separation = moved("separation", np.float32, DEPTH if known else ANSWERS, 0 if known else classes)
    said = store.read_numbered()
    of_class = said.classes if said is not None else np.array([0, 1], np.uint8)
    mask = of_class[numbers] if said is not None else (numbers > 0).astype(np.uint8)
    whole: Separation = kind  # type: ignore[assignment]
    return LargeSegmentation(
        sample, np.asarray(mask, np.uint8), probabilities, settings, separation, whole,
        numbers=numbers, tied=said.ties if said is not None else (),
    )  # fmt: skip
