"""A step of the workbench: a numbered heading and what belongs under it."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

LEAST = 420  # pixels that the steps need once there is something to see: no jump when it comes


class Step(QWidget):  # type: ignore[misc]
    """A heading with a number, a line of help at its right, and a body that can be folded away.

    Parameters
    ----------
    number : int
        From 1, top to bottom.
    title : str
        One word or two.
    foldable : bool
        Whether a click on the heading folds and unfolds the body.
    """

    unfolded = Signal()
    toggled = Signal()  # folded or unfolded

    def __init__(
        self, number: int, title: str, parent: QWidget | None = None, *, foldable: bool = False
    ) -> None:
        super().__init__(parent)
        self.folded = False
        self.heading = QToolButton()
        self.heading.setText(f"{number}  {title}")
        self.heading.setObjectName("heading")
        self.heading.setAutoRaise(True)
        if foldable:
            self.heading.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
            self.heading.setArrowType(Qt.ArrowType.DownArrow)
            self.heading.setToolTip("Fold or unfold this step")
            self.heading.clicked.connect(lambda: self.set_folded(not self.folded))
        else:
            self.heading.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.hint = ElidedLabel("")
        self.hint.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        line = QFrame()
        line.setFrameShape(QFrame.Shape.HLine)
        line.setFrameShadow(QFrame.Shadow.Sunken)
        head = QHBoxLayout()
        head.addWidget(self.heading)
        head.addWidget(self.hint, 1)
        self.content = QWidget()
        self.body = QVBoxLayout(self.content)
        self.body.setContentsMargins(0, 0, 0, 0)
        self.body.setSpacing(3)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(line)
        layout.addLayout(head)
        layout.addWidget(self.content, 1)

    def set_folded(self, folded: bool) -> None:
        """Show the heading alone, or all of the step."""
        if folded != self.folded:
            self.folded = folded
            self.content.setVisible(not folded)
            self.heading.setArrowType(Qt.ArrowType.RightArrow if folded else Qt.ArrowType.DownArrow)
            if not folded:
                self.unfolded.emit()
            self.toggled.emit()


class StepColumn(QWidget):  # type: ignore[misc]
    """What stands in a scroll area, one below the other, and gives way before a scroll bar comes.

    Where lines wrap, a scroll area takes the height that a widget likes best as the least it needs.
    """

    def heightForWidth(self, width: int) -> int:  # noqa: N802
        """The least height that all of it needs at a width."""
        layout = self.layout()
        return int(layout.minimumHeightForWidth(width)) if layout is not None else -1


class Scroll(QScrollArea):  # type: ignore[misc]
    """Scrolls up and down only: it is as wide as what stands in it needs, whatever comes and goes there."""

    def __init__(self, inside: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidget(inside)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._fit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Follow what is inside, which Qt has this object watch."""
        if watched is self.widget() and event.type() in (QEvent.Type.LayoutRequest, QEvent.Type.Resize):
            self._fit()
        return bool(super().eventFilter(watched, event))

    @property
    def overflows(self) -> bool:
        """Whether what is inside needs more height than there is."""
        inside = self.widget()
        return bool(inside.heightForWidth(self.viewport().width()) > self.viewport().height())

    def _fit(self) -> None:
        needed = (
            max(self.widget().minimumSizeHint().width(), LEAST) + self.verticalScrollBar().sizeHint().width()
        )
        if needed != self.minimumWidth():
            self.setMinimumWidth(needed)


class ElidedLabel(QLabel):  # type: ignore[misc]
    """A line of text that is cut where there is no room; the tooltip has all of it.

    Parameters
    ----------
    text : str
        Shown first.
    parent : QWidget, optional
        Owner.
    cut : Qt.TextElideMode
        Where it is cut: sentences at their end, names and paths at the front, where they are alike.
    """

    def __init__(
        self,
        text: str = "",
        parent: QWidget | None = None,
        cut: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
    ) -> None:
        super().__init__(parent)
        self._whole, self.cut = "", cut
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setMinimumWidth(20)
        self.setText(text)

    def setText(self, text: str) -> None:  # noqa: N802
        """Show a text; ``text()`` gives what there is room for."""
        self._whole = text
        self._elide()

    def whole_text(self) -> str:
        """All of the text."""
        return self._whole

    def resizeEvent(self, event: object) -> None:  # noqa: N802
        """Fit the text to the width."""
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        room = max(self.width() - 2, 10)
        shown = self.fontMetrics().elidedText(self._whole, self.cut, room)
        if shown != super().text():
            super().setText(shown)
        self.setToolTip(self._whole if shown != self._whole else "")
