"""A histogram of one column of a table, on which a person brushes over a range."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QPainter, QPalette, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_unet.metrics.object_words import short_number
from napari_unet.widgets.parts.status_glyphs import COLOURS, is_dark

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qtpy.QtGui import QMouseEvent, QPaintEvent

BINS = 40
EMPTY_TEXT = "No values yet"
CLICK = 4  # pixels; a shorter stroke is a click, which takes the brush away


class ColumnHistogram(QWidget):  # type: ignore[misc]
    """Bars that count values in equal bins. A stroke over it selects a range; a click takes it away."""

    range_selected = Signal(float, float)  # lowest and highest value
    cleared = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._counts = np.zeros(BINS, np.intp)
        self._low, self._high = 0.0, 1.0
        self._known = False
        self._begun: float | None = None  # where a stroke began, in pixels
        self.brush: tuple[float, float] | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setCursor(Qt.CursorShape.CrossCursor)
        self.setToolTip("Brush over a range to select its objects; click to select none")

    @property
    def counts(self) -> tuple[int, ...]:
        """How many values each bin holds."""
        return tuple(self._counts.tolist())

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest value of the first bin and highest of the last."""
        return self._low, self._high

    def set_values(self, values: NDArray[np.float64], title: str) -> None:
        """Show other values: (N,) float64; NaN is passed over."""
        values = values[np.isfinite(values)]
        self._known = bool(values.size)
        self.brush = None
        if self._known:
            self._low, self._high = float(values.min()), float(values.max())
            if self._low == self._high:
                self._low, self._high = self._low - 0.5, self._high + 0.5
            self._counts = np.histogram(values, BINS, (self._low, self._high))[0]
        else:
            self._counts = np.zeros(BINS, np.intp)
        self.setAccessibleName(f"Histogram of {title} of {values.size:,} objects")
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """As a small plot."""
        return QSize(320, 160)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """No narrower than four pixels a bar."""
        return QSize(4 * BINS, 90)

    def drop_brush(self) -> None:
        """Show no range any more: something else was selected."""
        if self.brush is not None:
            self.brush = None
            self.update()

    def _ground(self) -> QRectF:
        """Where bars stand; below it is room for the scale."""
        below = self.fontMetrics().height() + 4
        return QRectF(6, 6, max(self.width() - 12, 1), max(self.height() - 6 - below, 1))

    def value_at(self, x: float) -> float:
        """Value at a horizontal position in pixels, within the bounds."""
        ground = self._ground()
        share = float(min(max((x - ground.left()) / ground.width(), 0.0), 1.0))
        return self._low + share * (self._high - self._low)

    def position_of(self, value: float) -> float:
        """Horizontal position of a value in pixels."""
        ground = self._ground()
        return float(ground.left() + (value - self._low) / (self._high - self._low) * ground.width())

    # the brush

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Begin a stroke."""
        if event.button() == Qt.MouseButton.LeftButton and self._known:
            self._begun = event.position().x()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Show how far the stroke is."""
        if self._begun is not None:
            self._brush_to(event.position().x())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Select what was brushed over; a click selects nothing."""
        if self._begun is None:
            return
        begun, x = self._begun, event.position().x()
        self._begun = None
        if abs(x - begun) < CLICK:
            self.brush = None
            self.update()
            self.cleared.emit()
            return
        self._brush(begun, x)
        assert self.brush is not None
        self.range_selected.emit(*self.brush)

    def _brush_to(self, x: float) -> None:
        assert self._begun is not None
        self._brush(self._begun, x)

    def _brush(self, start: float, end: float) -> None:
        self.brush = self.value_at(min(start, end)), self.value_at(max(start, end))
        self.update()

    # the picture

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint bars, brush and scale."""
        painter = QPainter(self)
        text = QColor(self.palette().color(QPalette.ColorRole.WindowText))
        faint = QColor(text)
        faint.setAlphaF(0.7)
        if not self._known:
            painter.setPen(faint)
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, EMPTY_TEXT)
            painter.end()
            return
        ground = self._ground()
        if self.brush is not None:
            left, right = (self.position_of(v) for v in self.brush)
            glow = QColor(text)
            glow.setAlphaF(0.15)
            painter.fillRect(QRectF(left, ground.top(), right - left, ground.height()), glow)
        fill = QColor(COLOURS["segmented"][not is_dark(self.palette())])
        step = ground.width() / BINS
        highest = max(int(self._counts.max()), 1)
        for number, count in enumerate(self.counts):
            if count:  # a bar of one among thousands is still seen
                height = max(2.0, ground.height() * count / highest)
                painter.fillRect(
                    QRectF(ground.left() + number * step + 0.5, ground.bottom() - height, step - 1, height),
                    fill,
                )
        painter.setPen(QPen(faint, 1))
        painter.drawLine(ground.bottomLeft(), ground.bottomRight())
        self._paint_scale(painter, ground, highest)
        painter.end()

    def _paint_scale(self, painter: QPainter, ground: QRectF, highest: int) -> None:
        metrics = self.fontMetrics()
        base = ground.bottom() + metrics.ascent() + 3
        left, right = short_number(self._low), short_number(self._high)
        painter.drawText(QPointF(ground.left(), base), left)
        painter.drawText(QPointF(ground.right() - metrics.horizontalAdvance(right), base), right)
        middle = f"most in a bar: {highest:,}"
        if self.brush is not None:
            middle = f"{short_number(self.brush[0])} to {short_number(self.brush[1])}"
        width = metrics.horizontalAdvance(middle)
        painter.drawText(QPointF(ground.center().x() - width / 2, base), middle)
