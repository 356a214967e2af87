"""How far a task is: in the dock, and in napari's own list of activities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

if TYPE_CHECKING:
    from napari_unet.session.session import Session
    from napari_unet.widgets.parts.status_line import StatusLine
    from napari_unet.widgets.segment.segment_panel import SegmentPanel

REFRESH = 100  # milliseconds between two looks at how far a task is


class WorkDisplay(QObject):  # type: ignore[misc]
    """Shows how far the task that runs is.

    Parameters
    ----------
    session : Session
        Runs it.
    panel : SegmentPanel
        Shows what segments while it is unfolded.
    status : StatusLine
        Shows everything else.
    """

    def __init__(
        self, session: Session, panel: SegmentPanel, status: StatusLine, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.session, self.panel, self.status = session, panel, status
        self._activity: Any = None
        self._closed = False
        self.soon = QTimer(self)
        self.soon.setSingleShot(True)
        self.soon.setInterval(REFRESH)
        self.soon.timeout.connect(self.show)
        session.runner.job_changed.connect(self._on_job)
        panel.toggled.connect(self.show)

    def _on_job(self) -> None:
        """A task began or ended: at once; it made a step: a few times a second."""
        if (self.session.runner.progress is None) != (self._activity is None):
            self.soon.stop()
            self.show()
        elif not self.soon.isActive():
            self.soon.start()

    def show(self) -> None:
        """Show it now."""
        from napari.utils import progress as activity

        if self._closed:
            return
        self.panel.show_job()
        progress, what = self.session.runner.progress, self.session.runner.what
        elsewhere = bool(what) or self.panel.folded
        self.status.show_work(what, progress if elsewhere else None)
        if progress is None:
            self._end_activity()
            return
        if self._activity is None:
            self._activity = activity(total=int(progress.total), desc="U-Net Workbench")
        ahead = int(progress.done) - self._activity.n
        if ahead > 0:
            self._activity.update(ahead)

    def _end_activity(self) -> None:
        if self._activity is not None:
            self._activity.close()
            self._activity = None

    def close(self) -> None:
        """Show nothing any more."""
        self._closed = True
        self.soon.stop()
        self._end_activity()
