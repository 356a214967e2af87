"""Which class is painted with: colours, names and keys, to be seen and to be clicked."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, Signal
from qtpy.QtGui import QPalette
from qtpy.QtWidgets import QLabel, QWidget

from napari_unet.project.corrections.correction import IGNORE
from napari_unet.widgets.canvas.layer_styles import IGNORED_COLOUR, class_colour

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST = 14  # characters of a class's name
LAST_KEY = 9


class ClassLegend(QLabel):  # type: ignore[misc]
    """A line with all classes; the one that is painted with is marked.

    Parameters
    ----------
    parent : QWidget
        Owner.
    """

    chosen = Signal(int)  # 0 background, 1..K, 255 ignore

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._classes: tuple[str, ...] = ()
        self._label = 1
        self.setWordWrap(True)
        self.setAccessibleName("Class to paint with")
        self.linkActivated.connect(lambda link: self.chosen.emit(int(link)))
        self.setToolTip(
            "<qt>Click, or press the key over the canvas, to paint with a class.<br>Ignored pixels (255 in "
            "files) count neither for scores nor for learning.</qt>"
        )

    def set_classes(self, classes: Sequence[str]) -> None:
        """Show other classes: names of 1..K."""
        if tuple(classes) != self._classes:
            self._classes = tuple(classes)
            self._write()

    def mark(self, label: int) -> None:
        """Mark what is painted with now."""
        if label != self._label:
            self._label = label
            self._write()

    def _write(self) -> None:
        count = len(self._classes)
        parts = [self._part(0, "0", "background", "")]
        for number, name in enumerate(self._classes, start=1):
            key = str(number) if number <= LAST_KEY else ""
            parts.append(self._part(number, key, name, class_colour(number, count)))
        parts.append(self._part(IGNORE, "I", "ignore", IGNORED_COLOUR))
        self.setText("&nbsp; ".join(parts))

    def _part(self, label: int, key: str, name: str, colour: str) -> str:
        text = self.palette().color(QPalette.ColorRole.WindowText).name()
        short = escape(name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…").replace(" ", "&nbsp;")
        sign = f'<span style="color:{colour}">■</span>' if colour else "□"
        words = f"<u>{short}</u>" if label == self._label else short
        return (
            f'<a href="{label}" style="color:{text}; text-decoration:none">'
            f"{sign}&nbsp;<b>{key}</b>{'&nbsp;' * bool(key)}{words}</a>"
        )

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and self._classes:
            self._write()
