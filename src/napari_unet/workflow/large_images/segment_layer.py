"""One large image of the window, segmented block by block into labels on disk, what is looked at first."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from napari_unet.data.files.lazy_files import open_lazy
from napari_unet.data.files.lazy_stack import LazyStack
from napari_unet.engine.cluster import connect
from napari_unet.engine.hardware import default_precision
from napari_unet.errors import DataError, SettingsError
from napari_unet.export.label_store import LabelStore, unfinished
from napari_unet.progress import Progress
from napari_unet.settings import LargeImageSettings
from napari_unet.workflow.inputs.image_reference import CallReference
from napari_unet.workflow.large_images.segment_large import (
    SUFFIX,
    about_result,
    can_resume,
    one_model,
    segment_stack,
)
from napari_unet.workflow.segment.predict_task import find_sample, warm_models

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.data.files.pixel_size import PixelSize
    from napari_unet.data.sample import Sample
    from napari_unet.engine.task import FromCaller
    from napari_unet.models.model import Model
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.settings import InferenceSettings
    from napari_unet.workflow.inputs.image_reference import ImageReference


@dataclass(frozen=True)
class LargeMask:
    """Where the labels of a large image are; the piece of a Progress before anything is in them.

    Attributes
    ----------
    path : pathlib.Path
        An OME-Zarr, that of an unfinished one while it is made.
    """

    path: Path


@dataclass(eq=False)
class SamplePixels:
    """An image that is read by region, as an array.

    Attributes
    ----------
    sample : Sample
        The image.
    shape : tuple of int
        (Y, X, C).
    dtype : numpy.dtype
        Of its values.
    """

    sample: Sample
    shape: tuple[int, ...]
    dtype: Any

    def __getitem__(self, key: tuple[Any, ...]) -> NDArray[np.generic]:
        """Read a part."""
        return self.sample.read_region(key[0], key[1])[..., key[2]]


@dataclass(frozen=True, eq=False)
class SegmentLayerTask:
    """Segment one large image; what is finished when it is stopped is resumed.

    Attributes
    ----------
    model : pathlib.Path
        Folder or zip.
    image : ImageReference
        Read by region.
    shape : tuple of int
        (Y, X, C) of it.
    folder : pathlib.Path
        Gets the labels.
    stem : str
        What they are called.
    settings : InferenceSettings
        Flips, threshold, minimum size.
    large : LargeImageSettings
        Memory.
    focus : FromCaller or None
        () -> (0, y, x) that a person looks at, or None.
    cluster : str
        Address of a Dask scheduler whose workers do it; empty: this process.
    pixel_size : PixelSize, optional
        Of the image, where that is known.
    """

    model: Path
    image: ImageReference
    shape: tuple[int, int, int]
    folder: Path
    stem: str
    settings: InferenceSettings
    large: LargeImageSettings = field(default_factory=LargeImageSettings)
    focus: FromCaller | None = None
    cluster: str = ""
    pixel_size: PixelSize | None = None

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Path:
        """Segment; gives the path of the labels.

        Raises
        ------
        WorkbenchError
            As ``segment_stack``.
        Cancelled
            When the person stopped it.
        """
        on_progress(Progress(0, 0, "Loading the model"))
        precision = default_precision()
        model = one_model(warm_models().load(self.model, precision), self.model)
        stack = self._stack()
        out = self._place(stack, model, precision)
        if out.exists():
            on_progress(Progress(1, 1, "Segmenting", piece=LargeMask(out)))
            return out

        def counted(progress: Progress) -> None:
            message = "Megapixels" if progress.message == "Segmenting" else progress.message
            on_progress(replace(progress, message=message))

        with connect(self.cluster) if self.cluster else nullcontext() as cluster:
            return segment_stack(
                stack, model, out, self.settings, self.large, precision=precision,
                focus=self.focus or (lambda: None), cluster=cluster, source=self.model,
                on_begun=lambda store: on_progress(Progress(0, 0, "Megapixels", piece=LargeMask(store))),
                on_progress=counted, cancel=cancel,
            )  # fmt: skip

    def _stack(self) -> LazyStack:
        if self.cluster:
            return self._stack_of_file()
        sample = find_sample(self.image)
        first = sample.read_region(slice(0, 1), slice(0, 1))
        pixels = SamplePixels(sample, self.shape, first.dtype)
        return LazyStack(self.stem, pixels, "yxs", pixel_size=self.pixel_size)

    def _stack_of_file(self) -> LazyStack:
        """The file that the image was opened from, which other machines can read, too."""
        source = self.image.source if isinstance(self.image, CallReference) else ""
        if source:
            from pathlib import Path

            stack = open_lazy(Path(source))
            if stack.shape == self.shape and len(stack.indices) == 1:
                return stack
        raise SettingsError(
            f"the workers of {self.cluster} cannot read this image",
            code="settings.cluster.storage",
            expected="one that was opened from an OME-Zarr, Zarr or TIFF that all of them see",
            got=source or "an image that is in no file",
            remedy="save and open it as OME-Zarr, or take the cluster out of the preferences",
        )

    def _place(self, stack: LazyStack, model: Model, precision: str) -> Path:
        """Where labels that come about this way are, were begun, or can go without replacing others."""
        folder = self.folder.expanduser().resolve()
        wanted = about_result(stack, model, self.settings, self.large, precision)
        number = 1
        while True:
            out = folder / f"{self.stem}{'' if number == 1 else f'-{number}'}{SUFFIX}"
            if out.exists():
                store = _opened(out)
                if store is not None and all(store.about.get(n) == value for n, value in wanted.items()):
                    return out
            elif unfinished(out).exists():
                store = _opened(unfinished(out))
                if store and can_resume(store, stack, model, self.settings, self.large, precision):
                    return out
            else:
                return out
            number += 1


def _opened(path: Path) -> LabelStore | None:
    """Labels of ours; None if it is something else."""
    try:
        return LabelStore.open(path)
    except DataError:
        return None
