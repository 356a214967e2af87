"""Small signs for status and part; they differ in shape as well as in colour."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPalette, QPen, QPixmap, QPolygonF

# Sign: hue of Okabe and Ito's palette on a dark ground, and on a light one (darker where it would be pale).
COLOURS = {
    "new": ("#A0A5AD", "#70757D"),
    "segmented": ("#56B4E9", "#0072B2"),
    "corrected": ("#E69F00", "#B07A00"),
    "done": ("#00A87B", "#008F68"),
    "problem": ("#F0762B", "#D55E00"),
    "train": ("#56B4E9", "#0072B2"),
    "validation": ("#E69F00", "#B07A00"),
    "held-out": ("#CC79A7", "#A9527F"),
    "unseen": ("#A0A5AD", "#70757D"),
    "not known": ("#A0A5AD", "#70757D"),
}
SIZE = 12


def is_dark(palette: QPalette) -> bool:
    """Whether text is light on a dark ground."""
    return bool(palette.color(QPalette.ColorRole.WindowText).lightness() > 127)


class StatusGlyphs:
    """The signs in the colours of a theme, each painted once.

    Parameters
    ----------
    palette : QPalette
        Of the widget that shows them. Where a row is selected, a sign takes the colour of the text.
    """

    def __init__(self, palette: QPalette) -> None:
        self._dark = is_dark(palette)
        self._selected = QColor(palette.color(QPalette.ColorRole.HighlightedText))
        self._painted: dict[str, Any] = {}

    def get(self, sign: str) -> QIcon | None:
        """Sign of a status or part, of 12 pixels; None for a word that has no sign."""
        if sign not in COLOURS:
            return None
        if sign not in self._painted:
            icon = QIcon(_paint(sign, QColor(COLOURS[sign][not self._dark])))
            icon.addPixmap(_paint(sign, self._selected), QIcon.Mode.Selected)
            self._painted[sign] = icon
        return self._painted[sign]


def _on(colour: QColor) -> QColor:
    """White, or black on a pale ground."""
    return QColor("black" if colour.lightness() > 150 else "white")


def _paint(sign: str, colour: QColor) -> QPixmap:
    pixmap = QPixmap(3 * SIZE, 3 * SIZE)
    pixmap.setDevicePixelRatio(3)
    pixmap.fill(QColor(0, 0, 0, 0))
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    pen = QPen(colour, 1.6, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin)
    painter.setPen(pen)
    whole = QRectF(1.5, 1.5, SIZE - 3, SIZE - 3)
    if sign == "new":
        painter.drawEllipse(whole)
    elif sign == "segmented":
        painter.drawEllipse(whole)
        painter.setBrush(colour)
        painter.drawChord(whole, 90 * 16, 180 * 16)
    elif sign == "corrected":
        _paint_pencil(painter, colour)
    elif sign == "done":
        painter.setBrush(colour)
        painter.drawEllipse(whole)
        painter.setPen(QPen(_on(colour), 1.6))
        painter.drawPolyline(QPolygonF([QPointF(3.6, 6.2), QPointF(5.3, 8), QPointF(8.5, 4.2)]))
    elif sign == "problem":
        painter.setBrush(colour)
        painter.drawPolygon(QPolygonF([QPointF(6, 1.2), QPointF(11.2, 10.4), QPointF(0.8, 10.4)]))
        painter.setPen(QPen(_on(colour), 1.5))
        painter.drawLine(QPointF(6, 4.2), QPointF(6, 7))
        painter.drawPoint(QPointF(6, 9.1))
    elif sign == "held-out":
        painter.setBrush(colour)
        painter.drawPolygon(QPolygonF([QPointF(6, 1), QPointF(11, 6), QPointF(6, 11), QPointF(1, 6)]))
    else:
        square = QRectF(2, 2, SIZE - 4, SIZE - 4)
        painter.drawRect(square)
        if sign not in {"unseen", "not known"}:
            share = 1.0 if sign == "train" else 0.5
            painter.fillRect(QRectF(2, 2, (SIZE - 4) * share, SIZE - 4), colour)
    painter.end()
    return pixmap


def _paint_pencil(painter: QPainter, colour: QColor) -> None:
    painter.translate(SIZE / 2, SIZE / 2)
    painter.rotate(45)
    painter.setBrush(colour)
    painter.setPen(QPen(colour, 0.8))
    painter.drawRect(QRectF(-1.8, -6.2, 3.6, 7.6))
    painter.drawPolygon(QPolygonF([QPointF(-1.8, 2.8), QPointF(1.8, 2.8), QPointF(0, 6.6)]))
