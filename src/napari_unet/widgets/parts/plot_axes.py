"""Axes of plots in the colour of the text around them, in every theme."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtGui import QPalette

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget


def colour_axes(plot: Any, widget: QWidget) -> None:
    """Write numbers, titles and the legend of a plot in the text colour of a widget."""
    ink = widget.palette().color(QPalette.ColorRole.WindowText)
    for side in ("bottom", "left"):
        plot.getAxis(side).setTextPen(ink)
        plot.getAxis(side).setPen(ink)
    legend = plot.getPlotItem().legend
    if legend is not None:
        legend.setLabelTextColor(ink)
        for _, label in legend.items:
            label.setText(label.text)  # else words that are there already stay as they are
