"""What a person does with mouse and keys, and how long they wait."""

from __future__ import annotations

from typing import Any

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
    idle = not session.busy and session.progress is None and not session._overall.pending
    return idle and not any(timer.isActive() for timer in dock.findChildren(QTimer))


def settled(dock: Any, qtbot: Any) -> None:
    """Wait until the dock is at rest."""
    qtbot.waitUntil(lambda: at_rest(dock), timeout=LONG)


def segment(dock: Any, qtbot: Any, scope: str = "image", wait: bool = True) -> None:
    """Choose what, press the button, wait for the end."""
    panel = dock.segmenting
    panel.scope_box.setCurrentIndex(panel.scope_box.findData(scope))
    click(qtbot, panel.run_button)
    if wait:
        settled(dock, qtbot)
