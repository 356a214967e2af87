"""The line in the corner of the canvas: which image is shown, and what is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_unet.widgets.canvas import layer_styles

if TYPE_CHECKING:
    from napari_unet.session.session import Session

LONG = 24  # characters of an id that the canvas has room for


def show_corner_text(viewer: Any, session: Session, unseen: str, words: str) -> None:
    """Say in the corner of the canvas what is shown.

    Parameters
    ----------
    viewer : napari.Viewer
        Its canvas.
    session : Session
        Says which image is current.
    unseen : str
        Id of the image that could not be brought into view; empty if there is none.
    words : str
        What else is to be said; may be empty.
    """
    overlay = layer_styles.text_overlay(viewer)
    workspace = session.workspace
    identifier = workspace.current
    if not identifier or workspace.collection is None:
        overlay.visible = False
        return
    row = workspace.row(identifier)
    parts = (
        identifier if len(identifier) <= LONG else f"…{identifier[1 - LONG :]}",
        "cannot be shown" if identifier == unseen else "",
        "" if row.iou is None else f"IoU {row.iou:.3f}",
        row.part,
        row.status if row.status in ("corrected", "done") else "",
        words,
    )
    overlay.text = "  ·  ".join(part for part in parts if part)
    overlay.visible = True
