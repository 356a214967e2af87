"""One large image of the window, segmented block by block into labels on disk, what is looked at first."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from napari_unet.data.files.lazy_files import open_lazy
from napari_unet.data.files.lazy_stack import LazyStack
from napari_unet.engine.cluster import connect
from napari_unet.engine.hardware import default_precision
from napari_unet.errors import Cancelled, DataError, SettingsError
from napari_unet.export.label_store import SEPARATION, LabelStore, unfinished
from napari_unet.export.ome_zarr import LabelShape
from napari_unet.inference.object_classes import reads_classes
from napari_unet.progress import Progress
from napari_unet.project.corrections.disk_mask import has_strokes, note_making
from napari_unet.settings import LargeImageSettings
from napari_unet.workflow.inputs.image_reference import CallReference
from napari_unet.workflow.large_images.cluster_run import ClusterJob, pack_model, run_on_cluster
from napari_unet.workflow.large_images.layers.layer_mask import (
    OBJECTS_BY,
    LayerObjects,
    MaskRule,
    finish_layer,
)
from napari_unet.workflow.large_images.local_run import LocalRun
from napari_unet.workflow.large_images.plan import plan_large_image
from napari_unet.workflow.large_images.segment_large import SUFFIX
from napari_unet.workflow.large_images.start_result import about_result, rules_for, scale_of, tiles_of
from napari_unet.workflow.segment.predict_task import find_sample, warm_models

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.data.files.pixel_size import PixelSize
    from napari_unet.data.sample import Sample
    from napari_unet.engine.task import FromCaller
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.settings import InferenceSettings
    from napari_unet.workflow.inputs.image_reference import ImageReference
    from napari_unet.workflow.large_images.plan import Block, LargeImage
    from napari_unet.workflow.segment.prediction import Region


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


def stack_of_sample(
    sample: Sample, shape: tuple[int, int, int], pixel_size: PixelSize | None = None
) -> LazyStack:
    """An image (Y, X, C) that is read by region, as a stack of one."""
    first = sample.read_region(slice(0, 1), slice(0, 1))
    return LazyStack(sample.id, SamplePixels(sample, shape, first.dtype), "yxs", pixel_size=pixel_size)


def image_of_mask(path: Path) -> str:
    """The fingerprint of the image that a mask on disk is of; empty if it is no such mask."""
    store = _opened(path)
    return "" if store is None else str(store.about.get("image", ""))


@dataclass(frozen=True, eq=False)
class SegmentLayerTask:
    """Segment one large image, or what is in view of it; what is finished when it is stopped is resumed.

    Probabilities stay next to the mask, so that another threshold or minimum size needs no network.

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
    region : Region, optional
        Only this part of the image; the rest can be segmented later, into the same labels.
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
    region: Region | None = None

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Path:
        """Segment; gives the path of the labels, that of unfinished ones where only a part was wanted.

        Raises
        ------
        WorkbenchError
            As ``segment_stack``.
        Cancelled
            When the person stopped it.
        """
        on_progress(Progress(0, 0, "Loading the model"))
        precision = default_precision()
        model = warm_models().load(self.model, precision)
        stack = self._stack()
        out, store, large = self._place(stack, model, precision)
        on_progress(Progress(0, 0, "Segmenting", piece=LargeMask(store.path)))
        there = store.written()
        lacks = [block for block in large.blocks if not there.issuperset(large.chunks(block))]
        todo = [block for block in lacks if self._is_wanted(large, block)]
        network = model.recipe.network
        whole = reads_classes(self.settings, len(model.classes), network.separation)
        objects = self._objects(model, store)
        asks = self.settings.asks_depth(network) and store.has_array(SEPARATION)
        least = self.settings.least_depth if asks else 0.0
        rule = MaskRule(self.settings.threshold, self.settings.minimum_size, network.activation, whole, least)
        made_with: dict[str, Any] = {"threshold": rule.threshold, "minimum_size": rule.minimum_size}
        if asks:
            made_with["least_depth"] = least
        if whole:
            made_with["class_of"] = "objects"
        if objects is not None:
            made_with[OBJECTS_BY] = asdict(objects)
        state = store.state
        again = any(state.get(name) != value for name, value in made_with.items())
        if not todo and not again:
            return store.path if lacks else self._named(store, out)
        again = (again or has_strokes(out)) and bool(
            there
        )  # else all of it is made by these settings just now
        note_making(out, made=False)
        store.set_state({})
        try:
            if todo:
                self._segment(store, large, model, precision, todo, on_progress, cancel)
            count = finish_layer(store, rule, again, on_progress, cancel, objects)
        except Cancelled:
            store.set_state({"share": _share(store, large)})
            raise
        store.set_state({**made_with, "objects": count, "share": _share(store, large)})
        note_making(out, made=True)
        return store.path if len(lacks) > len(todo) else self._named(store, out)

    def _segment(
        self,
        store: LabelStore,
        large: LargeImage,
        model: AnyModel,
        precision: str,
        todo: list[Block],
        on_progress: OnProgress,
        cancel: CancelToken,
    ) -> None:
        """Have blocks segmented, here or on a cluster."""

        def counted(progress: Progress) -> None:
            message = "Megapixels" if progress.message == "Segmenting" else progress.message
            on_progress(replace(progress, message=message))

        part = self.region is not None
        if self.cluster:
            with connect(self.cluster) as cluster:
                job = ClusterJob(large, pack_model(self.model), precision, store.path, "0")
                run_on_cluster(cluster, job, todo, counted, cancel)
            return
        index = large.stack.indices[0]
        LocalRun(large, model, store, "0").run(
            todo, counted, cancel, self.focus or (lambda: None),
            lambda block: store.preview(0, index, *large.plan.result(block.number)), part=part,
        )  # fmt: skip

    def _objects(self, model: AnyModel, store: LabelStore | None = None) -> LayerObjects | None:
        """How objects are separated; None where they are connected pieces, or the store lacks the rest."""
        rules = rules_for(model, self.settings, objects=True)
        if rules is None or rules.way.how == "connected":
            return None
        way = rules.way
        if store is not None and way.how == "learned" and not store.has_array(SEPARATION):
            return None
        return LayerObjects(way.how, way.kind, way.core, len(model.classes), rules.by_stars, way.join)

    def _is_wanted(self, large: LargeImage, block: Block) -> bool:
        if self.region is None:
            return True
        rows, columns = large.plan.result(block.number)
        inside = rows.start < self.region.bottom and rows.stop > self.region.top
        return bool(inside and columns.start < self.region.right and columns.stop > self.region.left)

    def _named(self, store: LabelStore, out: Path) -> Path:
        """Give whole labels their name."""
        return out if store.path == out else store.finish(out).path

    def _stack(self) -> LazyStack:
        if self.cluster:
            return self._stack_of_file()
        return stack_of_sample(find_sample(self.image), self.shape, self.pixel_size)

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

    def _place(
        self, stack: LazyStack, model: AnyModel, precision: str
    ) -> tuple[Path, LabelStore, LargeImage]:
        """Where labels that come about this way are, were begun, or can go without replacing others."""
        folder = self.folder.expanduser().resolve()
        wanted = self._about(stack, model, precision)
        number = 1
        while True:
            out = folder / f"{self.stem}{'' if number == 1 else f'-{number}'}{SUFFIX}"
            path = out if out.exists() else unfinished(out)
            store = _opened(path) if path.exists() else None
            if store is not None and store.has_probabilities:
                large = plan_large_image(
                    stack, model, self.settings, self.large, tuple(store.about["chunk"]),
                    apart=store.has_array(SEPARATION), scale=scale_of(wanted),
                )  # fmt: skip
                # Of what is whole the tiles that it was made of do not matter.
                now = wanted if path == out else wanted | tiles_of(large)
                if all(store.about.get(name) == value for name, value in now.items()):
                    return out, store, large
            elif not path.exists():
                objects = self._objects(model)
                apart = objects is not None and objects.how == "learned"
                apart |= self.settings.asks_depth(model.recipe.network)
                large = plan_large_image(
                    stack, model, self.settings, self.large, apart=apart, scale=scale_of(wanted)
                )
                shape = LabelShape(stack.leading, stack.shape[:2], large.chunk, "uint8", stack.pixel_size)
                about = wanted | tiles_of(large)
                store = LabelStore.create(path, shape, stack.name, model.classes, about, probabilities=True)
                if apart:
                    store.scratch(SEPARATION, "float16", 1)
                return out, store, large
            number += 1

    def _about(self, stack: LazyStack, model: AnyModel, precision: str) -> dict[str, Any]:
        """What decides the probabilities."""
        about = about_result(stack, model, self.settings, self.large, precision)
        decides = dict(about["settings"])
        for name in ("threshold", "minimum_size", "least_depth"):  # any of them can be made later
            decides.pop(name, None)
        return about | {"settings": decides}


def _share(store: LabelStore, large: LargeImage) -> float:
    """How much of the image is segmented, 0 to 1."""
    there = store.written()
    done = sum(large.pixels(block) for block in large.blocks if there.issuperset(large.chunks(block)))
    return float(done / sum(map(large.pixels, large.blocks)))


def _opened(path: Path) -> LabelStore | None:
    """Labels of ours; None if it is something else."""
    try:
        return LabelStore.open(path)
    except DataError:
        return None
