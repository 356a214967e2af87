"""Large images: their masks are on disk, seen as a whole or through a lens to paint on."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.engine.task import FromCaller
from napari_unet.errors import DataError
from napari_unet.session.disk_masks import LargeImageWishes
from napari_unet.session.images.layer_metadata import LARGE_MASK_KEY
from napari_unet.settings import LargeImageSettings
from napari_unet.widgets.canvas import layer_styles
from napari_unet.widgets.canvas.images.layer_images import OURS, image_shape, view_of
from napari_unet.widgets.canvas.large.lens import Lens, fits
from napari_unet.widgets.canvas.large.mask_levels import LazyObjects, StrokeLevel
from napari_unet.widgets.parts.preferences import Preferences

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.models.card import ModelCard
    from napari_unet.project.corrections.disk_mask import DiskMask
    from napari_unet.project.corrections.stroke import Box
    from napari_unet.session.session import Session
    from napari_unet.settings import InferenceSettings
    from napari_unet.widgets.canvas.images.image_source import ImageSource
    from napari_unet.workflow.segment.prediction import Region

WHOLE = "large mask"  # what the layer that shows all of such a mask says of itself
REFRESH = 500  # milliseconds between two looks at what has been finished
LOOK = 200  # milliseconds between two looks at where a person looks, while a mask is made
SOON = 50  # milliseconds from a move of the view until it is looked at
NEWS = 100  # milliseconds over which strokes are gathered until panels hear of them
REST = 2000  # milliseconds after the last stroke until objects are counted again
SMALLEST_BRUSH = 3  # pixels
BRUSH_SHARE = 64  # so many brushes are as long as the shorter side of what is painted on
ALL = 0.9995  # of an image is all of it, in words


class LargeMasks(QObject):  # type: ignore[misc]
    """Has large images segmented block by block, shows their masks, and the lens to paint on them.

    Parameters
    ----------
    viewer : napari.Viewer
        Gets two layers, of which one is seen: the whole mask, or the lens at full resolution.
    session : Session
        Owns the masks.
    image_source : ImageSource
        Knows the layer of the current image.
    """

    changed = Signal()  # what there is to say of the mask of the current image

    def __init__(self, viewer: Any, session: Session, image_source: ImageSource, parent: QObject) -> None:
        super().__init__(parent)
        self.viewer, self.session, self.image_source = viewer, session, image_source
        self.masks = session.disk_masks
        self.masks.wishes = self._wishes
        self.preferences = Preferences()
        self.lens = Lens(viewer, session, self._place, self)
        self.lens.shown.connect(self._arrange)
        self.layer: Any = None  # shows the whole mask
        self.hidden = self.as_objects = False
        self._brush_wanted = False  # as soon as the lens is seen
        self._path: Path | None = None  # of the mask that is shown
        self._shown: tuple[Path, bool, int] | None = None  # and how it is shown
        self._image: Any = None  # layer of the image whose mask is being made
        self._seen: tuple[int, float, float] | None = None
        self._look = self._timer(LOOK, self._where, repeats=True)
        self._growing = self._timer(REFRESH, self._refresh)
        self._soon = self._timer(SOON, self._on_view)
        self._rest = self._timer(REST, self._count)
        self._news = self._timer(NEWS, self.changed.emit)
        self.masks.begun.connect(self._on_begun)
        self.masks.grew.connect(self._on_grew)
        self.masks.changed.connect(self._on_changed)
        self.masks.counted.connect(lambda _: self.changed.emit())
        session.workspace.current_changed.connect(lambda _: self._update())
        session.workspace.mask_changed.connect(self._on_mask)
        session.workspace.rows_changed.connect(self._on_rows)
        session.workspace.collection_changed.connect(self._update)
        session.workspace.model_changed.connect(self._update)
        session.workspace.leaving.connect(self.take_painting)
        self._camera = layer_styles.camera_of(viewer)
        for event in (self._camera.events.center, self._camera.events.zoom):
            event.connect(self._on_camera)
        viewer.layers.events.removed.connect(self._on_removed)

    def _timer(self, milliseconds: int, slot: Callable[[], None], *, repeats: bool = False) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(not repeats)
        timer.setInterval(milliseconds)
        timer.timeout.connect(slot)
        return timer

    def close(self) -> None:
        """Hand in the last stroke, and look at nothing any more."""
        self.lens.close()
        for timer in (self._look, self._growing, self._soon, self._rest, self._news):
            timer.stop()
        for event in (self._camera.events.center, self._camera.events.zoom):
            event.disconnect(self._on_camera)
        self.viewer.layers.events.removed.disconnect(self._on_removed)

    # which images these are

    @property
    def disk(self) -> DiskMask | None:
        """The mask on disk of the current image."""
        collection, current = self.session.workspace.collection, self.session.workspace.current
        if collection is None or current not in collection.entries:
            return None
        return collection.entries[current].disk

    @property
    def active(self) -> bool:
        """Whether the mask of the current image is one on disk, or would be."""
        if self.disk is not None:
            return True
        workspace = self.session.workspace
        if not workspace.current or not self._is_large(self.image_source.layer):
            return False
        return workspace.model is None or goes_by_blocks(workspace.model, workspace.inference)

    def _is_large(self, layer: Any) -> bool:
        if layer is None:
            return False
        height, width, _ = image_shape(layer)
        return height * width > self.preferences.large_megapixels * 1e6

    def _wishes(self, identifier: str) -> LargeImageWishes | None:
        layer = self.image_source.layer_of(identifier)
        if layer is None:
            return None
        height, width, _ = image_shape(layer)
        return LargeImageWishes(
            (height, width, self.image_source.channels.count() or 1),
            LargeImageSettings(memory=self.preferences.memory),
            self.preferences.cluster,
            FromCaller(lambda: self._seen),
            self.image_source.pixel_sizes([identifier]).get(identifier),
        )

    # segmenting

    def segment(
        self, identifiers: Sequence[str], preferences: Preferences, region: Region | None = None
    ) -> bool:
        """Segment this way, if it is one image, that is large, and the model can; says whether it is."""
        self.preferences = preferences
        workspace, layer = self.session.workspace, self.image_source.layer
        if len(identifiers) != 1 or identifiers[0] != workspace.current or not self._is_large(layer):
            return False
        assert workspace.model is not None
        if not goes_by_blocks(workspace.model, workspace.inference):
            return False
        self.take_painting()
        self._image = layer
        self._where()
        if self.masks.segment(identifiers[0], region):
            self._look.start()
        return True

    def _where(self) -> None:
        """Keep in mind what is in the middle of the view, for who asks from another thread."""
        if self._image not in self.viewer.layers:
            return
        view = view_of(self._image, image_shape(self._image)[:2])
        if view is not None:
            self._seen = (0, (view[0] + view[2]) / 2, (view[1] + view[3]) / 2)

    def _on_begun(self, identifier: str, path: Path) -> None:
        if identifier == self.session.workspace.current:
            self.lens.set_editable(False)
            with suppress(KeyError, FileNotFoundError):  # it is complete by now, and has its final name
                self._show_whole(path)
            self.changed.emit()

    def _on_grew(self, identifier: str) -> None:
        if not self._growing.isActive():
            self._growing.start()

    def _on_changed(self, identifier: str) -> None:
        self._look.stop()
        self._growing.stop()
        if identifier == self.session.workspace.current:
            self._update()

    def _refresh(self) -> None:
        if self.layer in self.viewer.layers and self.layer.visible:
            self.layer.refresh()

    # showing

    def _update(self) -> None:
        """Show the mask of the current image, if that is on disk; else nothing of this kind."""
        workspace, disk = self.session.workspace, self.disk
        if not self.active:
            self._clear()
            self.changed.emit()
            return
        making = self.masks.making == workspace.current
        if disk is None:
            if not making:
                self._clear()
                layer = self.image_source.layer
                if layer is not None:
                    size = self.image_source.pixel_sizes([workspace.current]).get(workspace.current)
                    shape = (*image_shape(layer)[:2], self.image_source.channels.count() or 1)
                    self.masks.restore(workspace.current, shape, size)
            self.changed.emit()
            return
        self.lens.set_editable(not making)
        self.lens.rule = self._rule(disk)
        self._show_whole(disk.path)
        if self.lens.crop is not None and self.lens.crop.disk is not disk:
            self.lens.crop = None  # of the mask before, which is the same in most places
        self._on_view()
        self.lens.reload()
        self.changed.emit()

    def _rule(self, disk: DiskMask) -> Any:
        """What makes the lens follow a threshold that the mask on disk does not have yet."""
        workspace = self.session.workspace
        if disk.has_evidence() or workspace.model is None:
            return None
        if disk.state.get("threshold") in (None, workspace.inference.threshold):
            return None
        from napari_unet.workflow.large_images.layers.layer_mask import MaskRule

        return MaskRule(workspace.inference.threshold, 0, workspace.model.recipe.network.activation)

    def _clear(self) -> None:
        self.lens.drop()
        self._path = None
        if self.layer is not None and self.layer in self.viewer.layers:
            self.viewer.layers.remove(self.layer)

    def _show_whole(self, path: Path) -> None:
        """Show a mask on disk on all its levels, in the layer there is."""
        import zarr

        if self.layer is not None and self._shown == (path, self.as_objects, self._classes):
            self._refresh()
            return
        group = zarr.open_group(path, mode="r")
        levels = [group[one["path"]] for one in group.attrs["ome"]["multiscales"][0]["datasets"]]
        disk = self.disk
        strokes = disk is not None and disk.path == path and disk.holds_strokes_only
        data: list[Any] = [StrokeLevel(level) for level in levels] if strokes else levels
        as_objects = self.as_objects and not strokes
        if as_objects:
            data = [LazyObjects(level, 2**n) for n, level in enumerate(levels)]
        several = len(levels) > 1
        if self.layer is not None and self.layer.multiscale != several:
            self.viewer.layers.remove(self.layer)
        if self.layer is None:
            active, image = self.viewer.layers.selection.active, self.image_source.layer
            self.layer = self.viewer.add_labels(
                data if several else data[0],
                multiscale=several,
                name="U-Net mask, whole",
                opacity=0.55,
                colormap=layer_styles.label_colours(as_objects, self._classes),
                metadata={OURS: WHOLE},
                visible=not self.hidden,
                **({} if image is None else layer_styles.placement(image, levels[0].ndim)),
            )
            if active is not None:
                self.viewer.layers.selection.active = active
        else:
            layer_styles.use_colours(self.layer, as_objects, self._classes)
            if several:
                # napari takes the coarsest level of new data, and the corners of the level before.
                self.layer.corner_pixels = np.array([[0, 0], np.subtract(levels[-1].shape, 1)])
            self.layer.data = data if several else data[0]
        self.layer.metadata[LARGE_MASK_KEY] = str(path)
        self._path, self._shown = path, (path, self.as_objects, self._classes)
        self._place(self.layer, (0, 0))

    @property
    def _classes(self) -> int:
        collection = self.session.workspace.collection
        return len(collection.classes) if collection is not None else 1

    def _place(self, layer: Any, first: tuple[int, int]) -> bool:
        """Lay a layer over the image, with its first pixel at a row and column of that; says if it moved."""
        image = self.image_source.layer
        if image is None:
            return False
        moved = layer_styles.place_over(layer, image, first)
        every = self.viewer.layers
        if image in every and layer in every and every.index(layer) < every.index(image):
            every.move(every.index(layer), every.index(image) + 1)
        return moved

    def _on_camera(self, event: Any = None) -> None:
        if not self._soon.isActive():
            self._soon.start()

    @property
    def view(self) -> Box | None:
        """What of the current image is in view."""
        image, shape = self.image_source.layer, self.image_source.shape()
        return None if image is None or shape is None else view_of(image, shape)

    def _on_view(self) -> None:
        disk, view = self.disk, self.view
        self.session.strokes.view = view
        if disk is None or view is None or self._path is None:
            return
        if fits(view):
            self.lens.look_at(disk, view)
        self._arrange()

    @property
    def lens_is_shown(self) -> bool:
        """Whether the mask is seen through the lens, where it can be painted on."""
        view, crop = self.view, self.lens.crop
        return view is not None and crop is not None and crop.disk is self.disk and fits(view)

    def _arrange(self) -> None:
        """Show either the lens or the whole."""
        close = self.lens_is_shown
        lens = self.lens.layer
        if lens is not None and lens.visible != (close and not self.hidden):
            lens.visible = close and not self.hidden
        # While the lens follows the view, what it does not cover yet is left out rather than drawn twice.
        if self.layer is not None and self.layer.visible != (not close and not self.hidden):
            self.layer.visible = not close and not self.hidden
        every = self.viewer.layers
        if close and every.selection.active in (None, self.layer, self.image_source.layer):
            every.selection.active = lens
        if close and self._brush_wanted and lens is not None and self.view is not None:
            self._brush_wanted = False
            top, left, bottom, right = self.view
            lens.brush_size = brush_for(bottom - top, right - left)
            self.lens.choose_label(1)
        self.changed.emit()

    def _on_mask(self, identifier: str) -> None:
        if identifier and identifier == self.session.workspace.current and self.active:
            self._update()

    def _on_rows(self, identifiers: tuple[str, ...]) -> None:
        if self.session.workspace.current in identifiers and self.disk is not None:
            self._rest.start()
            if not self._news.isActive():
                self._news.start()

    def _count(self) -> None:
        self.masks.count_objects(self.session.workspace.current)

    def _on_removed(self, event: Any) -> None:
        if event.value is self.layer:
            self.layer = self._path = self._shown = None

    # what panels and keys ask for

    def take_painting(self) -> None:
        """Hand in what was painted since it was last looked at."""
        self.lens.take_painting()

    def take_brush(self) -> None:
        """Take up a brush for the first class: now, or as soon as the mask can be painted on."""
        self._brush_wanted = True
        self._arrange()

    def hide(self) -> None:
        """Hide the mask, or show it again."""
        self.hidden = not self.hidden
        self._arrange()

    def show_objects(self, objects: bool) -> None:
        """Show connected objects, or classes."""
        if objects != self.as_objects:
            self.take_painting()
            self.as_objects = self.lens.as_objects = objects
            if self._path is not None and self._path.exists():
                self._show_whole(self._path)
            self.lens.reload()
            self.changed.emit()

    def choose_label(self, label: int) -> None:
        """Paint with a class from now on, if the lens is shown."""
        if self.lens_is_shown:
            self.lens.choose_label(label)

    def edit(self, change: Callable[[NDArray[Any]], NDArray[Any]], kind: str) -> None:
        """Change what the lens shows of the mask.

        Raises
        ------
        DataError
            If the mask is seen as a whole.
        """
        self._check_view()
        self.lens.edit(change, kind)

    def edit_objects(
        self, change: Callable[[NDArray[Any], tuple[int, int]], NDArray[Any]], kind: str
    ) -> None:
        """Change objects that the lens shows, all of them; see ``Lens.edit_objects``. Errors as ``edit``."""
        self._check_view()
        self.lens.edit_objects(change, kind)

    def _check_view(self) -> None:
        if not self.lens_is_shown or not self.lens.editable:
            raise DataError(
                "a large mask is changed where it is seen at full resolution",
                code="data.mask.view",
                remedy="zoom in until the mask can be painted on",
            )

    def words(self) -> str:
        """What to say in the corner of the canvas."""
        disk = self.disk
        if disk is None or self.masks.making == self.session.workspace.current:
            return ""
        with suppress(OSError, KeyError, ValueError):
            if disk.share < ALL and not disk.holds_strokes_only:
                return f"{100 * disk.share:.2g} % segmented"
        return "" if self.lens_is_shown else "zoom in to paint"


def brush_for(height: int, width: int) -> int:
    """Pixels across of the brush, for an image or a view of this size."""
    return max(SMALLEST_BRUSH, min(height, width) // BRUSH_SHARE)


def goes_by_blocks(model: ModelCard, settings: InferenceSettings) -> bool:
    """Whether a model can be asked block by block; the others see an image as a whole, as small ones are."""
    network = model.recipe.network
    whole = settings.refinement or (network.presence and settings.least_presence)
    return not whole
