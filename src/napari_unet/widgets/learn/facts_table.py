"""A small table: a title, a number below it, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QSizePolicy, QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.session.learn.facts import Fact


class FactsTable(QWidget):  # type: ignore[misc]
    """Shows facts in two lines: titles above, values below; hidden without any."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self._cells: list[tuple[QLabel, QLabel]] = []
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(8)
        self._grid.setVerticalSpacing(0)
        self.hide()

    def show_facts(self, facts: Sequence[Fact]) -> None:
        """Show facts from left to right."""
        while len(self._cells) < len(facts):
            self._add_column()
        for column, (title, value) in enumerate(self._cells):
            known = facts[column] if column < len(facts) else None
            for label in (title, value):
                label.setVisible(known is not None)
                label.setToolTip("" if known is None else f"<qt>{known.meaning}</qt>")
            title.setText("" if known is None else known.title)
            value.setText("" if known is None else f"<b>{known.value}</b>")
        self.setVisible(bool(facts))

    def values(self) -> dict[str, str]:
        """What is shown: title to value."""
        shown = [(t.text(), v.text()) for t, v in self._cells if t.text()]
        return {title: value.removeprefix("<b>").removesuffix("</b>") for title, value in shown}

    def _add_column(self) -> None:
        title, value = QLabel(), QLabel()
        column = len(self._cells)
        for row, label in enumerate((title, value)):
            label.setAlignment(Qt.AlignmentFlag.AlignLeft)
            self._grid.addWidget(label, row, column)
        self._grid.setColumnStretch(column, 1)
        self._cells.append((title, value))
