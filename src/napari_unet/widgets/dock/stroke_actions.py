"""What the buttons and keys of painting without a model do: begin a mask, use the preview."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_unet.widgets.canvas.large.large_masks import brush_for

if TYPE_CHECKING:
    from napari_unet.session.session import Session
    from napari_unet.widgets.canvas.images.image_source import ImageSource
    from napari_unet.widgets.canvas.mask_canvas import MaskCanvas
    from napari_unet.widgets.segment.segment_panel import SegmentPanel
    from napari_unet.widgets.strokes.strokes_row import StrokesRow


class StrokeActions:
    """Begins masks of strokes, and makes previews masks.

    Parameters
    ----------
    session : Session
        Whose images are painted.
    image_source : ImageSource
        Knows the size of the current image.
    canvas : MaskCanvas
        Shows the strokes, and gives the brush.
    panel : SegmentPanel
        Chooses between classes and objects.
    row : StrokesRow
        Whose buttons these are.
    """

    def __init__(
        self,
        session: Session,
        image_source: ImageSource,
        canvas: MaskCanvas,
        panel: SegmentPanel,
        row: StrokesRow,
    ) -> None:
        self.session, self.image_source = session, image_source
        self.canvas, self.panel, self.row = canvas, panel, row
        row.new_wanted.connect(self.new_mask)
        row.accept_wanted.connect(self.accept_preview)
        row.legend.chosen.connect(canvas.choose_label)
        canvas.label_chosen.connect(row.legend.mark)
        session.background.previewed.connect(self._on_preview)
        session.disk_masks.changed.connect(self._on_disk_mask)

    def new_mask(self) -> None:
        """Begin a mask of strokes on the current image, with the brush in hand."""
        shape, session = self.image_source.shape(), self.session
        if shape is None or not session.workspace.current:
            session.runner.failed.emit("Open an image first.", "")
            return
        box = self.panel.show_box
        if box.currentData():  # strokes are of classes
            box.setCurrentIndex(box.findData(False))
            box.activated.emit(box.currentIndex())
        large = self.canvas.large
        if large is not None and large.active:
            if not session.disk_masks.begin_strokes(session.workspace.current):
                return
            large.take_brush()
            return
        if session.painting.begin_strokes(session.workspace.current):
            self.canvas.take_brush()
            self.canvas.mask_layer.brush_size = brush_for(*shape)
            self._begun()

    def _begun(self) -> None:
        self.row.refresh()
        self.session.strokes.warm()

    def _on_disk_mask(self, identifier: str) -> None:
        collection = self.session.workspace.collection
        entry = None if collection is None else collection.entries.get(identifier)
        if entry is not None and entry.disk is not None and entry.has_strokes_only and not entry.is_corrected:
            self._begun()

    def accept_preview(self) -> None:
        """Make the preview of the image in view its mask."""
        self.canvas.take_painting()
        self.session.strokes.accept()

    def _on_preview(self, preview: Any) -> None:
        if not self.session.strokes.running:  # those have a layer of their own
            self.canvas.preview.show(preview)
