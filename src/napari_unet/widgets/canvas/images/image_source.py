"""Where the images of the workbench come from: the layers of the viewer."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

from napari_unet.data.files.pixel_size import pixel_size_of_layer
from napari_unet.errors import DataError, WorkbenchError
from napari_unet.export.stacks import StackSlice, slices_of_files
from napari_unet.session.images.collection import Collection
from napari_unet.widgets.canvas.chosen_reference import ChosenReference
from napari_unet.widgets.canvas.images.current_channels import CurrentChannels
from napari_unet.widgets.canvas.images.image_in_one_layer import show_in_one_layer
from napari_unet.widgets.canvas.images.layer_channels import (
    channel_axis,
    channels_in,
    find_channels,
    images_of,
    name_of,
)
from napari_unet.widgets.canvas.images.layer_images import (
    full_resolution,
    image_shape,
    is_image,
    layer_samples,
    opened_data,
)
from napari_unet.widgets.canvas.images.whole_in_view import WholeInView, extent_of
from napari_unet.widgets.canvas.stacks.slice_place import SlicePlace, slice_depth
from napari_unet.widgets.canvas.volumes.current_stack import CurrentStack
from napari_unet.widgets.canvas.volumes.volume_layers import (
    answer,
    is_volume,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from napari_unet.data.files.pixel_size import PixelSize
    from napari_unet.data.sample import Sample
    from napari_unet.session.session import Session


class ImageSource(QObject):  # type: ignore[misc]
    """Follows the viewer's image layers: the chosen one decides which images are listed.

    A layer that a reader of ours made stands for its data set, any other for its slices, together with
    all other such layers.

    Parameters
    ----------
    viewer : napari.Viewer
        Is followed.
    session : Session
        Learns what is open.
    """

    def __init__(self, viewer: Any, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.session = session
        self.layer: Any = None  # of the current image
        self.channels = CurrentChannels(self, session)
        self.reference = ChosenReference(viewer, self)  # of plain layers
        self.reference.changed.connect(self._compare)
        self.in_view = WholeInView(viewer, self)
        self.stack = CurrentStack(self, session)
        self._where: dict[str, tuple[Any, tuple[int, ...] | None]] = {}
        self._datasets: dict[int, Collection] = {}
        self._plain = Collection("layers", [])
        self._slices: dict[str, tuple[Any, tuple[int, ...] | None]] = {}  # of plain layers
        self._layers: dict[int, tuple[Any, ...]] = {}  # layers of one image each, by the first of them
        self._pages: dict[str, StackSlice] = {}  # images of a data set that are the pages of one file
        self._kept: dict[tuple[Any, ...], tuple[list[tuple[int, ...]], list[Sample]]] = {}
        self._moving = False
        self._changing = self._stepped = False  # the list of layers is; and the slider moved meanwhile
        self._fresh: Any = None  # layer of images that was added since the list was made
        self._hidden: set[Any] = set()  # layers that gave way to the current image
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.timeout.connect(self.follow)
        self._connections: list[tuple[Any, Callable[..., None]]] = []
        events = viewer.layers.events
        for event in (events.inserted, events.removed, viewer.layers.selection.events.active):
            self._connect(event, self._on_layers)
        self._connect(events.inserted, self._on_inserted)
        for event in (events.inserting, events.removing):
            self._connect(event, self._on_changing)
        for event in (events.inserted, events.removed):
            self._connect(event, self._on_changed)
        self._connect(viewer.dims.events.current_step, self._on_step)
        for layer in viewer.layers:
            if is_image(layer) and opened_data(layer) is None:
                find_channels(layer)
            self._watch(layer)

    def close(self) -> None:
        """Let go of the viewer, remove what was stored on disk."""
        self._soon.stop()
        self.reference.close()
        self.in_view.close()
        for event, function in self._connections:
            event.disconnect(function)
        for collection in (*self._datasets.values(), self._plain):
            collection.close()

    def _connect(self, event: Any, function: Callable[..., None]) -> None:
        event.connect(function)
        self._connections.append((event, function))

    def _watch(self, layer: Any) -> None:
        if is_image(layer) and opened_data(layer) is None:
            for event in (layer.events.name, layer.events.data):
                event.connect(self._on_layers)

    def _on_inserted(self, event: Any) -> None:
        if is_image(event.value):
            self._fresh = event.value
            if opened_data(event.value) is None:
                find_channels(event.value)
        self._watch(event.value)

    def _on_changing(self, event: Any = None) -> None:
        self._changing = True

    def _on_changed(self, event: Any = None) -> None:
        self._changing = False

    def _on_layers(self, event: Any = None) -> None:
        self._soon.start()

    # which images are listed

    def follow(self) -> None:
        """List the images of the layer that is chosen; if it shows none, keep those that are open."""
        self._soon.stop()
        images = [layer for layer in self.viewer.layers if is_image(layer)]
        active = self.viewer.layers.selection.active
        if active in images:
            wanted = active
        elif self._fresh in images:
            wanted = self._fresh  # its reference masks came after it and are chosen now
        elif self.layer in images:
            wanted = self.layer
        else:
            wanted = images[-1] if images else None
        self._fresh = None
        if wanted is None:
            self.layer = None
            self._where.clear()
            self.session.workspace.show(None)
            return
        try:
            self._use(wanted, [layer for layer in images if opened_data(layer) is None])
            if self._stepped:
                self._on_step()
        except WorkbenchError as error:
            self.session.runner.failed.emit(error.sentence, "")

    def _use(self, layer: Any, plain: list[Any]) -> None:
        opened = opened_data(layer)
        if opened is not None:
            self._use_dataset(layer, opened)
            return
        changed = self._use_plain(plain)
        layer = next((first for first, *more in self._layers.values() if layer in more), layer)
        at_hand, _index = self._where.get(self.session.workspace.current, (None, None))
        current = self.session.workspace.current
        if at_hand is not layer:
            wanted = self._index_in_view(layer)
            current = next(
                (i for i, (owner, n) in self._where.items() if owner is layer and n == wanted),
                next((i for i, (owner, _) in self._where.items() if owner is layer), ""),
            )
        self.layer = layer
        if changed or self.session.workspace.collection is not self._plain:
            self.session.workspace.show(self._plain, current)
        else:
            self.session.workspace.select(current)

    def _use_dataset(self, layer: Any, opened: Any) -> None:
        dataset = opened.dataset
        collection = self._datasets.get(id(dataset))
        if collection is None:
            samples = (*dataset.samples, *dataset.unlabelled)
            collection = self._datasets[id(dataset)] = Collection(dataset.name, samples, dataset)
            collection.take_volumes(answer(layer) is not False, numbered=answer(layer) is True)
        if layer is self.layer and collection is self.session.workspace.collection:
            return
        self.layer = layer
        slices = full_resolution(layer).shape[0] if layer.ndim > 2 else 1
        stack = layer.ndim > 2 and len(opened.ids) == slices
        self._where = {i: (layer, None) for i in collection.ids}
        self._pages = {}
        if stack:
            self._where.update({i: (layer, (n,)) for n, i in enumerate(opened.ids)})
            self.find_pages(layer, collection, opened)
        again = self.session.workspace.current if collection is self.session.workspace.collection else ""
        self.session.workspace.show(collection, again or (opened.ids[0] if opened.ids else ""))
        # The dock may have taken room from the canvas since the layer was added.
        self.in_view.fit_soon()

    def find_pages(self, layer: Any, collection: Collection, opened: Any) -> None:
        """Find where each slice of a stack of a data set lies among the others."""
        from napari_unet.workflow.segment.segmented_stacks import (
            slices_of_volumes,  # of no use to the dock when it opens
        )

        samples = [collection.entries[i].sample for i in opened.ids]
        of_volumes = all(collection.volume_of(i) for i in opened.ids)
        pages = slices_of_files(samples) or (slices_of_volumes(samples) if of_volumes else {})
        one_stack = len({page.stack for page in pages.values()}) == 1
        self._pages = pages if len(pages) == len(samples) and (of_volumes or one_stack) else {}
        if of_volumes:
            self.stack.measure_dataset(layer, collection, opened)

    def _use_plain(self, plain: list[Any]) -> bool:
        """List the slices of plain layers; says whether the list is another one now."""
        self.session.workspace.leaving.emit()
        names = {(id(layer), index): i for i, (layer, index) in self._slices.items()}
        before = {}
        samples: list[Sample] = []
        where: dict[str, tuple[Any, tuple[int, ...] | None]] = {}
        kept = {}
        numbers = self._plain.channels
        groups = images_of(plain)
        self._layers = {id(layers[0]): layers for layers in groups}
        for layers in groups:
            layer = layers[0]
            reference, reading = self.reference.of(layer), self.reference.reading
            masks = id(full_resolution(reference)) if reference is not None else 0
            # A stack "p" has a slice "p [0]", and napari calls a second layer of that name "p [1]".
            arrays = tuple((id(one), id(full_resolution(one))) for one in layers)
            for name in _names(name_of(layers)):
                volume = is_volume(layer)
                if volume:
                    self.stack.measure(layers)
                known = (numbers, masks, name, masks and id(reading), volume)
                key = (arrays, channels_in(layers), *known)
                found = self._kept.get(key) or layer_samples(
                    layers, reference, reading, lambda: len(self._plain.classes), name, numbers, volume
                )
                kept[key] = found
                if not any(sample.id in where for sample in found[1]):
                    break
            for index, sample in zip(*found, strict=True):
                where[sample.id] = layer, index
                before[sample.id] = names.get((id(layer), index), sample.id)
                samples.append(sample)
        self._kept = kept
        self._where = self._slices = where
        return self._plain.update(samples, before)

    # references of plain layers

    def reference_choices(self) -> list[Any]:
        """Labels layers that could be the reference of the current image."""
        return self.reference.choices(self.layer)

    def _compare(self) -> None:
        """Score all masks of plain layers again."""
        reading = self.reference.reading
        self._plain.masks_mean(reading.classes if reading is not None else ("foreground",))
        self.session.history.finished.pop("report", None)  # of another reference
        for entry in self._plain.entries.values():
            entry.counts = entry.iou = None
        self.follow()
        session = self.session
        if session.workspace.collection is not self._plain or not session.workspace.current:
            return
        session.workspace.mask_changed.emit(session.workspace.current)
        for identifier, entry in self._plain.entries.items():
            mask = entry.corrected if identifier != session.workspace.current else None
            if mask is not None:
                session.workspace.score_mask(identifier, mask)
        session.rescore()

    # the current image

    def pixel_sizes(self, identifiers: Iterable[str]) -> dict[str, PixelSize]:
        """Size of a pixel of these images by scale and units of their layers, where these are lengths."""
        known: dict[int, PixelSize | None] = {}
        found: dict[str, PixelSize] = {}
        for identifier in identifiers:
            layer, _ = self._where.get(identifier, (None, None))
            if layer is None:
                continue
            if id(layer) not in known:
                known[id(layer)] = pixel_size_of_layer(layer.scale, layer.units)
            size = known[id(layer)]
            if size is not None:
                found[identifier] = size
        return found

    def layer_of(self, identifier: str) -> Any:
        """The layer that shows an image; None if there is none."""
        return self._where.get(identifier, (None, None))[0]

    def shape(self) -> tuple[int, int] | None:
        """(Y, X) of the current image; None if there is none."""
        return None if self.layer is None else image_shape(self.layer)[:2]

    def slice_place(self, identifier: str) -> SlicePlace | None:
        """Where an image lies in its stack; None of an image that is no slice.

        The images of a data set that are shown as a stack are no slices, but for the pages of one file.
        """
        layer, index = self._where.get(identifier, (None, None))
        if layer is None or not index:
            return None
        if identifier not in self._pages and opened_data(layer) is not None:
            return None
        start = channel_axis(layer)
        leading = tuple(int(n) for n in full_resolution(layer).shape[start : start + len(index)])
        return SlicePlace(layer, index, leading)

    def slices_of(self, layer: Any) -> dict[tuple[int, ...], str]:
        """The id of every slice of a stack, by its index, in order."""
        return {index: i for i, (owner, index) in self._where.items() if owner is layer and index}

    def stack_slices(self, identifiers: Iterable[str]) -> dict[str, StackSlice]:
        """Which of these images are slices of a stack, and where they lie in it."""
        found = {}
        depths: dict[int, tuple[float, str] | None] = {}
        for identifier in identifiers:
            place = self.slice_place(identifier)
            if place is None:
                continue
            if id(place.layer) not in depths:
                depths[id(place.layer)] = slice_depth(place.layer)
            depth, page = depths[id(place.layer)], self._pages.get(identifier)
            if page is not None:
                found[identifier] = replace(page, depth=depth)
                continue
            stack = identifier[: identifier.rindex(" [")]
            found[identifier] = StackSlice(stack, place.index, place.leading, depth=depth)
        return found

    # channels

    def layers_of_image(self) -> tuple[Any, ...]:
        """The layers that show the current image: one, or one for each channel."""
        if self.layer is None:
            return ()
        opened = opened_data(self.layer)
        if opened is None:
            return self._layers.get(id(self.layer), (self.layer,))
        every = [layer for layer in self.viewer.layers if is_image(layer)]
        found = [(layer, opened_data(layer)) for layer in every]
        alike = [layer for layer, said in found if said is not None and said.dataset is opened.dataset]
        return tuple(alike) or (self.layer,)

    def axes_of_slices(self, layer: Any) -> range:
        """Axes of the viewer that are those of the slices of a layer."""
        start = self.viewer.dims.ndim - layer.ndim + channel_axis(layer)
        return range(start, self.viewer.dims.ndim - 2)

    def _index_in_view(self, layer: Any) -> tuple[int, ...]:
        step: tuple[int, ...] = self.viewer.dims.current_step
        axes = self.axes_of_slices(layer)
        if not axes or axes.start < 0:
            return (0,) * max(0, int(layer.ndim) - 2 - channel_axis(layer))
        shape: tuple[int, ...] = full_resolution(layer).shape[channel_axis(layer) :]
        return tuple(min(int(step[a]), int(shape[n]) - 1) for n, a in enumerate(axes))

    def _on_step(self, event: Any = None) -> None:
        if self._moving or self.layer is None or not self._where:
            return
        # napari adapts its sliders in the middle of a change of its layers. What is shown then would change
        # the layers again, before everybody has heard of the first change.
        self._stepped = self._changing or self.layer not in self.viewer.layers
        if self._stepped:
            return
        wanted = self._index_in_view(self.layer)
        if not wanted:
            return
        for identifier in self._ids_at(wanted):
            self.session.workspace.select(identifier)
            return

    def _ids_at(self, index: tuple[int, ...]) -> list[str]:
        opened = opened_data(self.layer)
        if opened is not None:
            return [str(opened.ids[index[0]])] if len(index) == 1 and index[0] < len(opened.ids) else []
        return [i for i, (layer, n) in self._where.items() if layer is self.layer and n == index]

    def show_image(self, identifier: str) -> None:
        """Bring an image into view.

        Raises
        ------
        WorkbenchError
            If it cannot be read.
        """
        if identifier not in self._where:
            return
        index: tuple[int, ...] | None
        layer, index = self._where[identifier]
        if layer not in self.viewer.layers:
            return
        self._moving = True
        try:
            self.layer = layer
            if index is None:
                self._browse(identifier)
            else:
                self._go_to(layer, index)
        except OSError as error:  # of a lazy array, which the viewer reads as it goes there
            raise DataError(
                f"{identifier} cannot be shown",
                code="data.image.unreadable",
                reason=str(error),
                remedy="see whether its file can still be read",
            ) from error
        finally:
            self._moving = False

    def _go_to(self, layer: Any, index: tuple[int, ...]) -> None:
        """Show a slice of a layer, and none of the others."""
        self.in_view.comes(layer)
        ours = self._layers.get(id(layer), (layer,))
        firsts = {other for other, _ in self._where.values()} - {layer}
        others = {one for first in firsts for one in self._layers.get(id(first), (first,))}
        gave_way = {one for one in ours if one in self._hidden}
        self._hidden = {other for other in (*others, *self._hidden) if other not in ours}
        for other in others:
            other.visible = False
        axes = self.axes_of_slices(layer)
        if index and len(axes) == len(index):
            self.viewer.dims.set_current_step(tuple(axes), index)
        if others or gave_way:
            for one in {layer, *gave_way}:
                one.visible = True

    def _browse(self, identifier: str) -> None:
        """Put an image of a data set whose sizes differ into the one layer of that set."""
        collection, old = self.session.workspace.collection, self.layer
        assert collection is not None
        extent = extent_of(old)
        self._soon.blockSignals(True)
        try:
            self.layer = show_in_one_layer(self.viewer, old, collection, identifier)
        finally:
            if self.layer is not old:  # it was added and removed by ourselves: nothing to follow
                self._soon.stop()
                self._where = dict.fromkeys(self._where, (self.layer, None))
            self._soon.blockSignals(False)
        if extent_of(self.layer) != extent:
            self.in_view.fit_soon()  # once mask and overlays have the new size, too


def _names(name: str) -> Iterator[str]:
    """A name, and what to try where an image is called so already."""
    yield name
    for number in itertools.count(2):
        yield f"{name} ({number})"
