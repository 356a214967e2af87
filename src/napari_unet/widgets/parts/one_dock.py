"""One dock in a window: found however it was opened, hidden by its cross, shown again as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QDockWidget, QLabel, QWidget

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "napari-unet-workbench"  # Qt's name of the workbench
TITLE = "U-Net Workbench"


def workbench_of(window: Any) -> Any:
    """The workbench that is open in a window of napari, shown or hidden; None where there is none.

    napari finds a widget again by the name of its dock, and gives one and the same widget three names:
    its menu, ``napari -w`` and ``add_plugin_dock_widget`` do not agree.
    """
    docked = window.dock_widgets.values()
    named = (w for w in docked if isinstance(w, QWidget) and w.objectName() == NAME)
    return next(named, None)


def dock_around(widget: QWidget) -> QDockWidget | None:
    """The dock that a widget is in; None for a window of its own."""
    around = widget.parent()
    while around is not None and not isinstance(around, QDockWidget):
        around = around.parent()
    return around


def reveal(widget: QWidget) -> None:
    """Show the dock around a widget, in front of others in its place."""
    around = dock_around(widget)
    if around is not None:
        around.show()
        around.raise_()


class SecondDock(QWidget):  # type: ignore[misc]
    """Stands where a second workbench would: shows the first, and goes.

    Parameters
    ----------
    window : napari.window.Window
        Has the first, and is about to get this one.
    first : QWidget
        The workbench that is open.
    """

    def __init__(self, window: Any, first: QWidget) -> None:
        super().__init__()
        self._window, self._first = window, first
        soon = QTimer(self)  # napari has yet to put this widget into its dock
        soon.setSingleShot(True)
        soon.timeout.connect(self._give_way)
        soon.start(0)

    def _give_way(self) -> None:
        if dock_around(self) is not None:
            self._window.remove_dock_widget(self)
        reveal(self._first)
        self.deleteLater()


class DockCross(QObject):  # type: ignore[misc]
    """Makes the cross of a dock hide it: what is in it comes back as it was.

    Parameters
    ----------
    dock : QDockWidget
        Of napari, around the workbench.
    on_shown : callable
        Gets whether the dock is shown, when that changes.
    """

    def __init__(self, dock: QDockWidget, on_shown: Callable[[bool], object]) -> None:
        super().__init__(dock)
        self._dock, self._on_shown = dock, on_shown
        dock.destroyOnClose = dock.close  # what napari's title bar calls; it would take the dock apart
        dock.installEventFilter(self)
        # napari writes a fresh title when the dock is taken out of the window, or moved.
        dock.topLevelChanged.connect(self._title_soon)
        dock.dockLocationChanged.connect(self._title_soon)
        self._title()

    def _title_soon(self, _: object = None) -> None:
        QTimer.singleShot(0, self._title)

    def _title(self) -> None:
        """Call the dock by its name once: napari puts that of the plugin, which is the same, behind it."""
        if not isalive(self._dock):
            return
        label = getattr(self._dock.titleBarWidget(), "title", None)
        if isinstance(label, QLabel):
            label.setText(TITLE)
        self._dock.setWindowTitle(TITLE)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Tell when a person hides or shows the dock, not when the whole window goes out of sight."""
        if watched is self._dock and not event.spontaneous():
            if event.type() == QEvent.Type.HideToParent:
                self._on_shown(False)
            elif event.type() == QEvent.Type.ShowToParent:
                self._on_shown(True)
        return False
