"""From image to image: worst first, or at random."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.session.session import Session
    from napari_unet.widgets.canvas.mask_canvas import MaskCanvas
    from napari_unet.widgets.images.images_panel import ImagesPanel
    from napari_unet.widgets.segment.segment_panel import SegmentPanel


class Navigation:
    """Which image comes next.

    Parameters
    ----------
    session : Session
        Whose images are reviewed.
    images, segment_panel, canvas
        The list, the step that has progress and Cancel, and the layers.
    """

    def __init__(
        self, session: Session, images: ImagesPanel, segment_panel: SegmentPanel, canvas: MaskCanvas
    ) -> None:
        self.session, self.images, self.segment_panel, self.canvas = session, images, segment_panel, canvas
        self._correcting = False  # Done continues in that order

    def worst_first(self) -> None:
        """Sort the list by IoU and go to the worst not done; where no IoU is known, estimate it first."""
        self._correcting = False
        self._once_estimated(self._show_worst)

    def correct_next(self) -> None:
        """Go to an image drawn at random, then to the next of them; from now on Done does so, too."""
        session = self.session
        passed = session.workspace.current if self._correcting else ""
        self._correcting = True
        self._go_to(session.estimates.next_to_correct(passed))
        self.canvas.take_brush()

    def next_worst(self) -> None:
        """Go to the worst image that is not done, after the current one."""
        self._correcting = False
        self._go_to(self.session.estimates.next_after(self.session.workspace.current))

    def done_and_next(self) -> None:
        """Verify the mask of the current image, and continue in the queue, or else in the list."""
        current, estimates = self.session.workspace.current, self.session.estimates
        if not current:
            return
        self.canvas.take_painting()
        queued = not self._correcting and self.images.table.is_worst_first()
        following = estimates.next_after(current) if queued else ""
        self.session.painting.set_done([current])
        if self._correcting:
            following = estimates.next_to_correct()
        if following:
            self._go_to(following)
            if self._correcting:
                self.canvas.take_brush()
        elif following := self._next_slice(current):
            self._go_to(following)
        else:
            self.images.flush()
            self.images.table.next_image()

    def _next_slice(self, current: str) -> str:
        """The next slice of the volume in view with a mask that is not done, then one before; or empty."""
        workspace = self.session.workspace
        slices = workspace.volume
        if not slices or workspace.collection is None:
            return ""
        place = slices.index(current)
        entries = workspace.collection.entries
        around = (*slices[place + 1 :], *reversed(slices[:place]))
        return next((i for i in around if entries[i].status in ("segmented", "corrected")), "")

    def _once_estimated(self, go: Callable[[], None]) -> None:
        before, estimates = self.session.workspace.current, self.session.estimates
        if estimates.missing():
            self.segment_panel.set_folded(False)  # progress and Cancel are there
        if estimates.queue():  # nobody waits for the others; the list offers to be sorted again
            go()
            estimates.start()
        elif estimates.start(lambda: go() if self.session.workspace.current == before else None) is None:
            go()

    def _show_worst(self) -> None:
        self.images.flush()
        self.images.table.sort_worst_first()
        collection, queue = self.session.workspace.collection, self.session.estimates.queue()
        if collection is None:
            return
        shown = self.images.table.shown_ids()
        for row in shown:
            members = set(collection.members(row))
            worst = next((i for i in queue if i in members), "")
            if worst:
                self._go_to(worst)
                return
        self._go_to(collection.members(shown[0])[0] if shown else "")

    def _go_to(self, identifier: str) -> None:
        if identifier:
            self.session.workspace.select(identifier)
            collection = self.session.workspace.collection
            self.images.table.show_image(identifier if collection is None else collection.listed(identifier))
