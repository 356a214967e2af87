"""What is done to volumes alone: fill between slices, accept a volume, see it in three dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QToolButton, QVBoxLayout, QWidget

from napari_unet.widgets.canvas.images.layer_images import OURS
from napari_unet.widgets.canvas.layer_styles import camera_of
from napari_unet.widgets.parts.step import ElidedLabel
from napari_unet.widgets.parts.words import count

if TYPE_CHECKING:
    from napari_unet.session.session import Session

FILL_TIP = (
    "<qt>Interpolate objects that you painted in two slices: this one and another, or one on each side "
    "(Shift+F). With the pointer over an object the key fills that one alone. The proposal is outlined, "
    "and is not part of the mask until you accept it.</qt>"
)
TAKEN_UP = "QToolButton:checked { background-color: #2f6fbd; color: white; }"
# Angles of the camera: napari's own, and those in which depth is seen.
FLAT, TILTED = (0.0, 0.0, 0.0), (-20.0, 30.0, -10.0)


class VolumeRow(QWidget):  # type: ignore[misc]
    """Buttons for the volume in view; hidden while an image is in view that is no slice.

    Parameters
    ----------
    session : Session
        Whose volume is in view.
    viewer : napari.Viewer
        Shows it in two or three dimensions.
    parent : QWidget
        Owner.
    """

    fill_wanted = Signal()
    accept_wanted = Signal()

    def __init__(self, session: Session, viewer: Any, parent: QWidget) -> None:
        super().__init__(parent)
        self.session, self.viewer = session, viewer
        self.fill_button = QPushButton("Fill between slices")
        self.fill_button.setToolTip(FILL_TIP)
        self.fill_button.clicked.connect(self.fill_wanted)
        self.view_button = QToolButton()
        self.view_button.setText("3D view")
        self.view_button.setCheckable(True)
        self.view_button.setStyleSheet(TAKEN_UP)
        self.view_button.setToolTip(
            "Show the mask of the volume in three dimensions, with Errors what is wrong in it; again: slices"
        )
        self.view_button.clicked.connect(self._show_in_3d)
        self.undo_button = QToolButton()
        self.undo_button.setText("Undo fill")
        self.undo_button.setToolTip(
            "Take the last accepted fill back in all its slices; a slice that changed since stays"
        )
        self.undo_button.clicked.connect(session.fill.undo)
        self.words = ElidedLabel()
        self.accept_button = QPushButton("Accept")
        self.accept_button.setObjectName("primary")
        self.accept_button.setToolTip("Make the outlined voxels part of the mask, as if you painted them (A)")
        self.accept_button.clicked.connect(self.accept_wanted)
        self.discard_button = QPushButton("Discard")
        self.discard_button.setToolTip("Forget the proposal; the mask stays as it is")
        self.discard_button.clicked.connect(session.fill.discard)
        row = QHBoxLayout()
        row.setSpacing(3)
        row.addWidget(self.fill_button, 1)
        row.addWidget(self.undo_button)
        row.addWidget(self.view_button)
        self.offer = QWidget()
        offer = QHBoxLayout(self.offer)
        offer.setContentsMargins(0, 0, 0, 0)
        offer.setSpacing(3)
        offer.addWidget(QLabel('<span style="color:#56B4E9">▢</span>'))
        offer.addWidget(self.words, 1)
        offer.addWidget(self.accept_button)
        offer.addWidget(self.discard_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(row)
        column.addWidget(self.offer)
        session.fill.changed.connect(self.refresh)
        viewer.dims.events.ndisplay.connect(self._on_view)
        self.refresh()

    def close_row(self) -> None:
        """Let go of the viewer."""
        self.viewer.dims.events.ndisplay.disconnect(self._on_view)

    def refresh(self) -> None:
        """Offer what can be done now."""
        fill, workspace = self.session.fill, self.session.workspace
        entries = {} if workspace.collection is None else workspace.collection.entries
        self.setVisible(any(entries[i].status != "new" for i in workspace.volume))
        self.offer.setVisible(fill.proposal is not None)
        self.undo_button.setVisible(bool(fill.undoable))
        if fill.proposal is not None:
            objects = count(fill.proposal.objects, "object")
            self.words.setText(f"{objects} in {count(len(fill.proposal.slices), 'slice')}")
            how = (
                "the painted outlines and the model's probabilities"
                if fill.proposal.guided
                else ("the painted outlines alone, as not all of these slices are segmented")
            )
            self.words.setToolTip(f"<qt>{fill.proposal.voxels:,} voxels, by {how}</qt>")

    def _show_in_3d(self, shown: bool) -> None:
        for layer in self.viewer.layers if shown else ():
            if OURS in layer.metadata and getattr(layer, "contour", False):
                layer.contour = 0  # there are no outlines in three dimensions, of which napari warns
        self.viewer.dims.ndisplay = 3 if shown else 2
        camera = camera_of(self.viewer)
        if shown and np.allclose(camera.angles, FLAT):
            camera.angles = TILTED

    def _on_view(self, event: Any = None) -> None:
        self.view_button.setChecked(self.viewer.dims.ndisplay == 3)
