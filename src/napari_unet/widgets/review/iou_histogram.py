"""How good the predicted masks are: a small histogram of IoU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QPainter, QPalette, QPen
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_unet.widgets.parts.status_glyphs import COLOURS, is_dark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QHelpEvent, QMouseEvent, QPaintEvent

BINS = 20
HEIGHT = 50
EMPTY_TEXT = "No IoU yet"


class IoUHistogram(QWidget):  # type: ignore[misc]
    """Bars that count IoU values from 0 to 1 in 20 bins, with a line at their mean.

    Parameters
    ----------
    parent : QWidget, optional
        Owner.
    """

    # A bar was clicked: the lowest and the highest IoU it counts.
    range_selected = Signal(float, float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._counts = np.zeros(BINS, np.intp)
        self._mean: float | None = None
        self._hovered = -1
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMouseTracking(True)
        self.set_values(())

    @property
    def counts(self) -> tuple[int, ...]:
        """How many values each of the 20 bins holds."""
        return tuple(self._counts.tolist())

    @property
    def mean(self) -> float | None:
        """Mean of the values; None without any."""
        return self._mean

    def set_values(self, values: Sequence[float]) -> None:
        """Show other values.

        Parameters
        ----------
        values : sequence of float
            IoU in [0, 1]; NaN is passed over. A bin holds its lower bound, the last one also 1.

        Raises
        ------
        ValueError
            A value is below 0 or above 1.
        """
        array = np.asarray(values, np.float64)
        array = array[~np.isnan(array)]
        if array.size and (array.min() < 0 or array.max() > 1):
            raise ValueError(
                f"IoU lies in 0..1; got {array.min():g}..{array.max():g}; divide percents by 100"
            )
        # The small step keeps a value such as 0.15, which times 20 falls short of 3, in the bin it opens.
        places = np.minimum((array * BINS + 1e-9).astype(np.intp), BINS - 1)
        self._counts = np.bincount(places, minlength=BINS)
        self._mean = float(array.mean()) if array.size else None
        self.setAccessibleName(
            EMPTY_TEXT
            if self._mean is None
            else f"Histogram of the IoU of {array.size:,} images, mean {self._mean:.2f}"
        )
        self.setAccessibleDescription("Click a bar to list its images")
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Low and as wide as there is room."""
        return QSize(240, HEIGHT)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """No narrower than four pixels a bar."""
        return QSize(4 * BINS, HEIGHT)

    def bar_at(self, x: float) -> int:
        """Number of the bin at a horizontal position in pixels; -1 outside them or without values."""
        ground = self._ground()
        number = int((x - ground.left()) / ground.width() * BINS // 1)
        return number if self._mean is not None and 0 <= number < BINS else -1

    def _ground(self) -> QRectF:
        """Where bars stand; below it is room for the scale."""
        below = self.fontMetrics().height() + 2
        return QRectF(4, 4, max(self.width() - 8, 1), max(self.height() - 4 - below, 1))

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint bars, mean and scale."""
        painter = QPainter(self)
        text = QColor(self.palette().color(QPalette.ColorRole.WindowText))
        faint = QColor(text)
        faint.setAlphaF(0.7)
        if self._mean is None:
            painter.setPen(faint)
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, EMPTY_TEXT)
            painter.end()
            return
        ground = self._ground()
        fill = QColor(COLOURS["segmented"][not is_dark(self.palette())])
        step = ground.width() / BINS
        for number, count in enumerate(self.counts):
            if not count:
                continue
            # A bar of one among thousands is still seen.
            height = max(2.0, ground.height() * count / self._counts.max())
            bar = QRectF(ground.left() + number * step + 0.5, ground.bottom() - height, step - 1, height)
            painter.fillRect(bar, fill.lighter(125) if number == self._hovered else fill)
        painter.setPen(QPen(faint, 1))
        painter.drawLine(ground.bottomLeft(), ground.bottomRight())
        mean = ground.left() + self._mean * ground.width()
        painter.setPen(QPen(text, 1.5, Qt.PenStyle.DashLine))
        painter.drawLine(QPointF(mean, ground.top()), QPointF(mean, ground.bottom()))
        self._paint_scale(painter, ground, mean, text, faint)
        painter.end()

    def _paint_scale(
        self, painter: QPainter, ground: QRectF, mean: float, text: QColor, faint: QColor
    ) -> None:
        metrics = self.fontMetrics()
        words = f"mean {self._mean:.2f}"
        width = metrics.horizontalAdvance(words)
        left = min(max(mean - width / 2, ground.left()), ground.right() - width)
        base = ground.bottom() + metrics.ascent() + 2
        painter.setPen(text)
        painter.drawText(QPointF(left, base), words)
        painter.setPen(faint)
        gap = metrics.horizontalAdvance("  ")
        end = ground.right() - metrics.horizontalAdvance("1")
        if left > ground.left() + metrics.horizontalAdvance("IoU 0") + gap:
            painter.drawText(QPointF(ground.left(), base), "IoU 0")
        if left + width + gap < end:
            painter.drawText(QPointF(end, base), "1")

    def tooltip_of(self, number: int) -> str:
        """What a bar counts, in words."""
        count = int(self._counts[number])
        return (
            f"{count:,} image{'s' * (count != 1)} with IoU {number / BINS:.2f} to {(number + 1) / BINS:.2f}"
        )

    def event(self, event: QEvent) -> bool:
        """Tell what the bar under the mouse counts."""
        if event.type() == QEvent.Type.ToolTip:
            self._show_tooltip(event)
            return True
        return bool(super().event(event))

    def _show_tooltip(self, event: QHelpEvent) -> None:
        number = self.bar_at(event.pos().x())
        if number < 0:
            QToolTip.hideText()
        else:
            QToolTip.showText(event.globalPos(), self.tooltip_of(number), self)

    def _hover(self, number: int) -> None:
        if number != self._hovered:
            self._hovered = number
            live = number >= 0 and self._counts[number] > 0
            self.setCursor(Qt.CursorShape.PointingHandCursor if live else Qt.CursorShape.ArrowCursor)
            self.update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Light up the bar under the mouse."""
        self._hover(self.bar_at(event.position().x()))

    def leaveEvent(self, event: QEvent) -> None:  # noqa: N802
        """Put out the light."""
        self._hover(-1)
        super().leaveEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Choose the bar under the mouse, if it counts anything."""
        number = self.bar_at(event.position().x())
        if event.button() == Qt.MouseButton.LeftButton and number >= 0 and self._counts[number]:
            self.range_selected.emit(number / BINS, (number + 1) / BINS)
