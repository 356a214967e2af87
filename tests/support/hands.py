"""What a person does with mouse and keys, and how long they wait."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QPoint, Qt, QTimer

LEFT = Qt.MouseButton.LeftButton
LONG = 60_000  # milliseconds, for what the computing process does


def click(qtbot: Any, button: Any) -> None:
    """Press a button, or the box of a check box rather than the empty room beside it."""
    assert button.isEnabled(), button.toolTip()
    place = QPoint(8, button.height() // 2) if hasattr(button, "checkState") else button.rect().center()
    qtbot.mouseClick(button, LEFT, pos=place)


def at_rest(dock: Any) -> bool:
    """Whether no task runs and nothing waits for its moment."""
    session = dock.session
    idle = (
        not session.runner.busy and session.runner.progress is None and not session.workspace.scores_pending
    )
    return idle and not any(timer.isActive() for timer in dock.findChildren(QTimer))


def settled(dock: Any, qtbot: Any) -> None:
    """Wait until the dock is at rest."""
    qtbot.waitUntil(lambda: at_rest(dock), timeout=LONG)


def segment(dock: Any, qtbot: Any, scope: str = "image", wait: bool = True) -> None:
    """Choose what, press the button, wait for the end."""
    panel = dock.segment_panel
    panel.scope_box.setCurrentIndex(panel.scope_box.findData(scope))
    click(qtbot, panel.run_button)
    if wait:
        settled(dock, qtbot)


def mask_in_view(dock: Any) -> Any:
    """(Y, X): the mask layer's plane in view; a view, so what is written to it is in the layer."""
    layer = dock.canvas.mask_layer
    step = dock.viewer.dims.current_step[-layer.ndim :]
    return layer.data[tuple(int(n) for n in step[:-2])]


def pixels_in_view(dock: Any, rows: Any, columns: Any) -> tuple[Any, ...]:
    """Indices of pixels of the plane in view, as the layer of the mask takes them."""
    layer = dock.canvas.mask_layer
    step = dock.viewer.dims.current_step[-layer.ndim :]
    return (*(np.full(len(rows), int(n)) for n in step[:-2]), rows, columns)


def press(owner: Any, key: str) -> None:
    """A key over the canvas: of the viewer, or of a layer that is chosen."""
    owner.keymap[next(k for k in owner.keymap if str(k) == key.replace("-", "+"))](owner)


def choose(qtbot: Any, button: Any, words: str, *, anywhere: bool = False) -> None:
    """Open the menu of a button and click what begins with these words, or holds them."""
    chosen: list[str] = []

    def pick() -> None:
        menu = button.menu()
        if not menu.isVisible():
            QTimer.singleShot(10, pick)
            return
        fits = [a for a in menu.actions() if (words in a.text() if anywhere else a.text().startswith(words))]
        if fits and fits[0].isEnabled():
            chosen.append(fits[0].text())
            qtbot.mouseClick(menu, LEFT, pos=menu.actionGeometry(fits[0]).center())
        menu.close()

    assert button.isEnabled(), button.toolTip()
    QTimer.singleShot(10, pick)
    qtbot.mouseClick(button, LEFT)
    assert chosen, f"there is no {words!r} to choose among {[a.text() for a in button.menu().actions()]}"


def close_anyway(viewer: Any) -> None:
    """Close a window, if it is open still; a task that a failed test left behind is no question then."""
    from qtpy.QtWidgets import QMessageBox

    asked = QMessageBox.question
    QMessageBox.question = staticmethod(lambda *_: QMessageBox.StandardButton.Yes)
    try:
        if hasattr(viewer.window, "_qt_window"):
            viewer.close()
    finally:
        QMessageBox.question = asked


def whole_stack(dock: Any, qtbot: Any) -> np.ndarray:
    """Wait until every slice is filled; (Z, Y, X)."""
    qtbot.waitUntil(lambda: not dock.canvas.stacks.filling, timeout=LONG)
    settled(dock, qtbot)
    return np.asarray(dock.canvas.mask_layer.data).copy()
