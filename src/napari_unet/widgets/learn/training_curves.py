"""Curves of a network as it learns: IoU above, loss below, over the seconds since it began."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unet.widgets.parts.plot_axes import colour_axes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HEIGHT, ALONE = 130, 90  # pixels of both together, and of the scores alone
IOU, OLD, LOSS = "#E69F00", "#56B4E9", "#CC79A7"
TOOLTIP = (
    "<qt>Above: IoU on validation images, which the network does not learn from: of the new model (orange) "
    "and of the model in use on the same images (blue). Below: the loss, which training makes small "
    "(purple). The verdict is on held-out images and may differ.</qt>"
)


class TrainingCurves(QWidget):  # type: ignore[misc]
    """Two plots with one axis of time; hidden while there are fewer than two points."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(HEIGHT)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self.score_plot: Any = None
        self.loss_plot: Any = None
        self.hide()

    def show_loss(self, shown: bool) -> None:
        """Show the loss below the scores, or the scores alone: the loss is of no use for a verdict."""
        if self.loss_plot is not None:
            self.loss_plot.setVisible(shown)
            self.score_plot.getAxis("bottom").setStyle(showValues=not shown)
        self.setFixedHeight(HEIGHT if shown else ALONE)

    def clear(self) -> None:
        """Start again."""
        if self.score_plot is not None:
            for curve in (self._iou, self._old, self._loss):
                curve.setData([], [])
        self.hide()

    def show_rows(self, looks: Sequence[Mapping[str, float]], losses: Sequence[tuple[float, float]]) -> None:
        """Show the course of a round.

        Parameters
        ----------
        looks : sequence of mapping
            "seconds", and "held_out_iou" and "old_iou" where they are known.
        losses : sequence of tuple
            Seconds and loss.
        """
        if len(losses) < 2:
            return
        if self.score_plot is None:
            self._build()
        for curve, name in ((self._iou, "held_out_iou"), (self._old, "old_iou")):
            known = [(r["seconds"], r[name]) for r in looks if math.isfinite(r.get(name, math.nan))]
            curve.setData([t for t, _ in known], [v for _, v in known])
        self._loss.setData([t for t, _ in losses], [v for _, v in losses])
        # From the start of training, not from some time before it.
        self.score_plot.setXRange(0, max(t for t, _ in losses), padding=0)
        self.score_plot.setVisible(any(math.isfinite(r.get("held_out_iou", math.nan)) for r in looks))
        self.show()

    def _build(self) -> None:
        # A plotting library is loaded when there is something to plot.
        import pyqtgraph

        layout = self.layout()
        assert layout is not None
        self.score_plot, self.loss_plot = (pyqtgraph.PlotWidget(background=None) for _ in range(2))
        for plot, name in ((self.score_plot, "IoU"), (self.loss_plot, "loss")):
            plot.setLabel("left", name)
            for side in ("bottom", "left"):
                plot.getAxis(side).enableAutoSIPrefix(False)
            plot.getAxis("left").setWidth(48)
            plot.setMouseEnabled(x=False, y=False)
            plot.hideButtons()
            plot.setMenuEnabled(False)
            plot.setToolTip(TOOLTIP)
            layout.addWidget(plot)
        self.loss_plot.setLabel("bottom", "seconds")
        self.score_plot.getAxis("bottom").setStyle(showValues=False)
        self.loss_plot.setXLink(self.score_plot)
        self.score_plot.getViewBox().setLimits(xMin=0)
        self.score_plot.addLegend(offset=(-4, -4), labelTextSize="8pt")
        self._iou = self.score_plot.plot(
            name="validation, new model",
            pen=pyqtgraph.mkPen(IOU, width=2),
            symbol="o",
            symbolSize=5,
            symbolBrush=IOU,
            symbolPen=None,
        )
        self._old = self.score_plot.plot(name="validation, old model", pen=pyqtgraph.mkPen(OLD, width=1.5))
        self._loss = self.loss_plot.plot(pen=pyqtgraph.mkPen(LOSS, width=2))
        for plot in (self.score_plot, self.loss_plot):
            colour_axes(plot, self)

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and self.score_plot is not None:
            for plot in (self.score_plot, self.loss_plot):
                colour_axes(plot, self)
