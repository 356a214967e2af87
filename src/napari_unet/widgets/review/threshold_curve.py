"""Mean IoU at every threshold, with the present one as a line that can be taken elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, Signal
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_unet.widgets.parts.plot_axes import colour_axes

if TYPE_CHECKING:
    from napari_unet.evaluation.confidence import ThresholdCurve

CURVE, LINE, BEST = "#56B4E9", "#E69F00", "#009E73"
TOOLTIP = (
    "Mean IoU of the predicted masks at every threshold, before small pieces are dropped. "
    "Drag the line, or click, to set the threshold."
)
EMPTY = "Segment images with reference masks: the mean IoU at every threshold appears here."


class ThresholdCurvePlot(QWidget):  # type: ignore[misc]
    """A curve, the present threshold, and what both say in a line of text."""

    threshold_wanted = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.curve: ThresholdCurve | None = None
        self.threshold = 0.5
        self.seen = False
        self.words = QLabel(EMPTY)
        self.words.setWordWrap(True)
        self.plot: Any = None
        self._moving = False
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.words)

    def show_curve(self, curve: ThresholdCurve | None, seen: bool = False) -> None:
        """Show another curve; `seen` says that it is of images the model was trained on."""
        self.curve, self.seen = curve, seen
        if curve is not None and self.plot is None:
            self._build()
        if self.plot is not None:
            self.plot.setVisible(curve is not None)
            if curve is not None:
                self._line_of_iou.setData(curve.thresholds, curve.mean_iou)
                self._best.setData([curve.best], [curve.mean_iou.max()])
                low, high = float(curve.mean_iou.min()), float(curve.mean_iou.max())
                self.plot.setYRange(max(0.0, low - 0.02), min(1.0, high + 0.05), padding=0.02)
        self._tell()

    def set_threshold(self, threshold: float) -> None:
        """Move the line to where the threshold is."""
        self.threshold = threshold
        if self.plot is not None and not self._moving:
            self._present.setValue(threshold)
        self._tell()

    def _tell(self) -> None:
        curve = self.curve
        if curve is None:
            self.words.setText(EMPTY)
            return
        here, best = curve.at(self.threshold), float(curve.mean_iou.max())
        text = f"<b>Threshold {self.threshold:.2f}</b>: mean IoU {here:.3f}. "
        text += f"Highest at {curve.best:.2f}: {best:.3f} (chosen on these images, so it flatters)."
        if self.seen:
            text += " The images were seen in training, which flatters, too."
        self.words.setText(text)

    def _build(self) -> None:
        import pyqtgraph

        self.plot = pyqtgraph.PlotWidget(background=None)
        self.plot.setToolTip(TOOLTIP)
        self.plot.setMinimumHeight(130)
        self.plot.setMouseEnabled(x=False, y=False)
        self.plot.hideButtons()
        self.plot.setMenuEnabled(False)
        self.plot.setXRange(0, 1, padding=0.01)
        self.plot.setLabel("bottom", "threshold")
        self.plot.setLabel("left", "mean IoU")
        for side in ("bottom", "left"):
            self.plot.getAxis(side).enableAutoSIPrefix(False)
        colour_axes(self.plot, self)
        self._line_of_iou = self.plot.plot(pen=pyqtgraph.mkPen(CURVE, width=2))
        self._best = self.plot.plot(symbol="o", symbolSize=7, symbolBrush=BEST, symbolPen=None, pen=None)
        self._present = pyqtgraph.InfiniteLine(
            self.threshold,
            movable=True,
            bounds=(0, 1),
            pen=pyqtgraph.mkPen(LINE, width=2),
            hoverPen=pyqtgraph.mkPen(LINE, width=4),
        )
        self._present.sigDragged.connect(lambda line: self._want(float(line.value())))
        self.plot.addItem(self._present)
        self.plot.scene().sigMouseClicked.connect(self._clicked)
        layout = self.layout()
        assert layout is not None
        layout.insertWidget(0, self.plot, 1)

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and self.plot is not None:
            colour_axes(self.plot, self)

    def _clicked(self, event: Any) -> None:
        place = self.plot.getPlotItem().vb.mapSceneToView(event.scenePos())
        if 0 <= place.x() <= 1:
            self._want(float(place.x()))

    def _want(self, threshold: float) -> None:
        self._moving = True
        try:
            self.threshold_wanted.emit(round(min(max(threshold, 0.0), 1.0), 2))
        finally:
            self._moving = False
