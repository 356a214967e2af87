"""From a click on Segment to what the session is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.widgets.canvas.images.layer_images import view_of
from napari_unet.widgets.parts.preferences import read_preferences
from napari_unet.workflow.segment.prediction import Region

if TYPE_CHECKING:
    from napari_unet.session.session import Session
    from napari_unet.widgets.canvas.images.image_source import ImageSource
    from napari_unet.widgets.canvas.large.large_masks import LargeMasks
    from napari_unet.widgets.canvas.mask_canvas import MaskCanvas
    from napari_unet.widgets.parts.preferences import Preferences
    from napari_unet.widgets.segment.segment_panel import SegmentPanel


class StartSegmenting:
    """Has the images of a scope segmented, the current one first.

    Parameters
    ----------
    session : Session
        Segments what fits into memory.
    image_source : ImageSource
        Knows the layers of images.
    canvas : MaskCanvas
        Hands in the last stroke before.
    large : LargeMasks
        Takes the images that are too large for memory.
    panel : SegmentPanel
        Knows which rows are selected and which images are held out.
    """

    def __init__(
        self,
        session: Session,
        image_source: ImageSource,
        canvas: MaskCanvas,
        large: LargeMasks,
        panel: SegmentPanel,
    ) -> None:
        self.session, self.image_source = session, image_source
        self.canvas, self.large, self.panel = canvas, large, panel

    def segment(self, scope: str) -> None:
        """Segment "image", "volume", "view", "selected", "all" or "held-out"."""
        workspace, runner = self.session.workspace, self.session.runner
        if workspace.collection is None or workspace.model is None:
            runner.failed.emit(self.panel.run_button.toolTip() or "Open images and a model.", "")
            return
        if runner.busy or self.image_source.channels.misfit():
            return
        self.canvas.take_painting()
        self.canvas.restore()
        preferences = read_preferences()  # may have been set since the dock opened
        workspace.tile = preferences.tile_size
        if scope == "view":
            self._segment_view(preferences)
            return
        current = workspace.current
        ids = {
            "image": (current,) if current else (),
            "volume": workspace.volume or (current,),
            "selected": self.panel.selected(),
            "all": workspace.collection.ids,
            "held-out": self.panel.held_out_ids(),
        }[scope]
        # The current image first: that is where the person looks.
        ordered = [i for i in ids if i == current] + [i for i in ids if i != current]
        if not self.large.segment(ordered, preferences):
            self.session.segment(ordered)

    def _segment_view(self, preferences: Preferences) -> None:
        """Segment the part of the current image that is in view."""
        current, shape = self.session.workspace.current, self.image_source.shape()
        view = view_of(self.image_source.layer, shape) if shape is not None else None
        if view is None:
            self.session.runner.failed.emit("No part of the image is in view: zoom out or press Home.", "")
            return
        region = None if shape is not None and view == (0, 0, *shape) else Region(*view)
        if self.large.segment([current], preferences, region):
            return
        self.session.segment([current], *((None, None) if region is None else (region, shape)))
