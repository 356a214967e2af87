"""Errors as napari shows them: one sentence, and a button for the details."""

from __future__ import annotations

from typing import Any


def notify(sentence: str) -> None:
    """Tell something that is no error."""
    from napari.utils.notifications import show_info

    show_info(sentence)


def notify_error(sentence: str, details: str = "", parent: Any = None) -> None:
    """Show an error.

    Parameters
    ----------
    sentence : str
        What, expected, got, remedy.
    details : str
        For a developer; a Details button shows them if there are any.
    parent : QWidget, optional
        Over which the details open.
    """
    from napari.utils.notifications import Notification, NotificationSeverity, notification_manager

    def show_details(notification: Any = None) -> None:
        box = details_box(sentence, details, parent)
        box.open()

    actions = (("Details", show_details),) if details else ()
    capital = sentence[:1].upper() + sentence[1:]
    notification_manager.dispatch(Notification(capital, NotificationSeverity.ERROR, actions))


def details_box(sentence: str, details: str, parent: Any = None) -> Any:
    """A window with an error and its details, to be copied."""
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QDialog, QDialogButtonBox, QLabel, QPlainTextEdit, QVBoxLayout

    box = QDialog(parent)
    box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    box.setWindowTitle("U-Net Workbench: details")
    box.resize(720, 420)
    words = QLabel(sentence)
    words.setWordWrap(True)
    text = QPlainTextEdit(details)
    text.setReadOnly(True)
    buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
    copy = buttons.addButton("Copy", QDialogButtonBox.ButtonRole.ActionRole)
    copy.clicked.connect(lambda: (text.selectAll(), text.copy()))
    buttons.rejected.connect(box.reject)
    layout = QVBoxLayout(box)
    for widget in (words, text, buttons):
        layout.addWidget(widget)
    return box
