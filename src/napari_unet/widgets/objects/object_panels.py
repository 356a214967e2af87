"""Everything that the window does with single objects, tied together: row, table, marks, features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_unet.widgets.objects.object_features import show_features
from napari_unet.widgets.objects.object_marks import ObjectMarks
from napari_unet.widgets.objects.object_row import ObjectRow
from napari_unet.widgets.objects.object_tools import ObjectTools

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.session.session import Session
    from napari_unet.widgets.canvas.mask_canvas import MaskCanvas
    from napari_unet.widgets.objects.objects_dialog import ObjectsDialog
    from napari_unet.widgets.segment.segment_panel import SegmentPanel

MARGIN, FOOT = 8, 60  # pixels that the table keeps from the window's left and lower border


class ObjectPanels:
    """The row of the dock, the table that it opens, and the outlines on the canvas.

    Parameters
    ----------
    viewer : napari.Viewer
        Shows the marks.
    session : Session
        Measures objects.
    canvas : MaskCanvas
        Shows the mask.
    segment_panel : SegmentPanel
        Gets the row.
    undo : callable
        Takes back the last change of the current image.
    """

    def __init__(
        self,
        viewer: Any,
        session: Session,
        canvas: MaskCanvas,
        segment_panel: SegmentPanel,
        undo: Callable[[], None],
    ) -> None:
        self.session, self.canvas = session, canvas
        self.marks = ObjectMarks(viewer, session, canvas)
        self.tools = ObjectTools(viewer, session, canvas, undo)
        self.row = ObjectRow(session, lambda: canvas.as_objects, segment_panel)
        self.row.tool_wanted.connect(self.tools.choose)
        self.tools.chosen.connect(self.row.show_tool)
        self.dialog: ObjectsDialog | None = None
        segment_panel.body.addWidget(self.row)
        session.objects.pixel_sizes = canvas.image_source.pixel_sizes
        self.row.table_wanted.connect(self.show_table)
        canvas.mask_shown.connect(self.refresh)
        if canvas.large is not None:
            canvas.large.changed.connect(self.refresh)
        session.workspace.score_changed.connect(self._on_score)
        session.workspace.rows_changed.connect(self._on_rows)
        session.workspace.current_changed.connect(self._on_score)
        session.objects.changed.connect(self._on_measured)
        if canvas.large is not None:
            canvas.large.changed.connect(self.row.refresh)

    def close(self) -> None:
        """Close the table for good, and let go of the viewer."""
        if self.dialog is not None:
            self.dialog.close()
            self.dialog.deleteLater()
            self.dialog = None
        self.tools.close()
        self.marks.close()

    def refresh(self) -> None:
        """Say what is so now."""
        self.row.refresh()
        self._show_features(self.session.workspace.current)

    def _on_score(self, identifier: str) -> None:
        if identifier == self.session.workspace.current:
            self.row.refresh()

    def _on_rows(self, identifiers: tuple[str, ...]) -> None:
        if self.session.workspace.current in identifiers:
            self.row.refresh()

    def _on_measured(self, identifier: str) -> None:
        self._show_features(identifier)

    def _show_features(self, identifier: str) -> None:
        current, large = self.session.workspace.current, self.session.objects.on_disk(identifier) is not None
        if identifier and identifier == current and self.canvas.as_objects and not large:
            show_features(self.canvas, self.session.objects.get(identifier))

    def worst(self) -> None:
        """Show the most doubtful object of all images, or the next one."""
        if self.session.workspace.collection is None:
            return
        if self.dialog is None or not self.dialog.isVisible():
            self.show_table()
        assert self.dialog is not None
        self.dialog.worst()

    def show_table(self) -> None:
        """Open the table of objects, or bring it to the front."""
        from napari_unet.widgets.objects.objects_dialog import ObjectsDialog

        if self.dialog is None:
            window = self.row.window()
            self.dialog = ObjectsDialog(self.session, self.marks, window)
            # At the foot of the window, so that the object in the middle of the canvas stays in sight.
            foot = window.mapToGlobal(window.rect().bottomLeft())
            self.dialog.move(foot.x() + MARGIN, foot.y() - self.dialog.height() - FOOT)
        self.canvas.take_everything()
        self.dialog.show()
        self.dialog.raise_()
        self.dialog.activateWindow()
