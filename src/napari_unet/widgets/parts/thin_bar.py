"""The thin bar that shows how far something is, wherever the dock shows it."""

from __future__ import annotations

from qtpy.QtWidgets import QProgressBar

HEIGHT = 8  # pixels


def thin_bar() -> QProgressBar:
    """Make a bar from 0 to 100 without words, which stand next to it."""
    bar = QProgressBar()
    bar.setRange(0, 100)
    bar.setTextVisible(False)
    bar.setFixedHeight(HEIGHT)
    return bar
