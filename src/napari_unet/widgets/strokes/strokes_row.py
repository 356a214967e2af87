"""Paint without a model: begin a mask, choose a class, learn from the strokes, use the preview."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_unet.project.corrections.correction import IGNORE
from napari_unet.widgets.canvas.layer_styles import BACKGROUND_COLOUR, class_colour
from napari_unet.widgets.parts.step import ElidedLabel
from napari_unet.widgets.parts.thin_bar import thin_bar
from napari_unet.widgets.parts.words import duration
from napari_unet.widgets.strokes.class_legend import LAST_KEY, ClassLegend

if TYPE_CHECKING:
    from napari_unet.session.session import Session

REFRESH = 100  # milliseconds between two looks at how far learning is
HOW = "No model yet? Paint a few strokes; a model learns from them."


class StrokeLegend(ClassLegend):
    """Which class the brush paints; background is one of them, and all other pixels are unknown."""

    def _write(self) -> None:
        count = len(self._classes)
        parts = [self._part(0, "0", "background", BACKGROUND_COLOUR)]
        for number, name in enumerate(self._classes, start=1):
            key = str(number) if number <= LAST_KEY else ""
            parts.append(self._part(number, key, name, class_colour(number, count)))
        parts.append(self._part(IGNORE, "I", "erase", ""))
        self.setText("&nbsp; ".join(parts))


class StrokesRow(QWidget):  # type: ignore[misc]
    """The lines under Segment for an image that nobody segmented.

    Parameters
    ----------
    session : Session
        Whose images are painted.
    parent : QWidget
        Owner.
    """

    new_wanted = Signal()
    accept_wanted = Signal()

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self.session, self.strokes = session, session.strokes
        self.new_button = QPushButton("New mask")
        self.new_button.clicked.connect(self.new_wanted)
        self.new_button.setToolTip("Begin an empty mask and take the brush. No model is needed")
        self.how = QLabel(HOW)
        self.how.setWordWrap(True)
        self.legend = StrokeLegend(self)
        self.legend.setToolTip(
            "<qt>Click, or press the key over the canvas, to paint with a class. Pixels that you do not "
            "paint are unknown: they teach nothing and count nowhere.</qt>"
        )
        self.count = ElidedLabel()
        self.learn_button = QPushButton("Learn from strokes")
        self.learn_button.setObjectName("primary")
        self.learn_button.clicked.connect(lambda: self.strokes.learn())
        self.accept_button = QPushButton("Use preview")
        self.accept_button.setToolTip(
            "Make the preview the mask of this image (A); pixels that you painted stay as they are"
        )
        self.accept_button.clicked.connect(self.accept_wanted)
        self.bar = thin_bar()
        self.progress_words = ElidedLabel()
        self.stop_button = QPushButton("Stop")
        self.stop_button.setToolTip("Stop learning now; the model keeps what it learned")
        self.stop_button.clicked.connect(self.strokes.stop)
        self._build()
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(REFRESH)
        self._later.timeout.connect(self._show_progress)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(REFRESH)
        self._soon.timeout.connect(self.refresh)
        background = session.background
        background.progressed.connect(lambda: self._later.isActive() or self._later.start())
        for signal in (background.changed, session.candidate.changed, self.strokes.changed):
            signal.connect(self.refresh)
        self.strokes.previewed.connect(self.refresh)
        session.workspace.collection_changed.connect(self.refresh)
        session.workspace.current_changed.connect(lambda _: self.refresh())
        session.workspace.rows_changed.connect(lambda _: self._soon.isActive() or self._soon.start())
        self.refresh()

    def _build(self) -> None:
        self.begin, self.act, self.running = QWidget(), QWidget(), QWidget()
        for line, widgets in (
            (self.begin, (self.how, self.new_button)),
            (self.act, (self.count, self.accept_button, self.learn_button)),
            (self.running, (self.bar, self.progress_words, self.stop_button)),
        ):
            row = QHBoxLayout(line)
            row.setContentsMargins(0, 0, 0, 0)
            for widget in widgets:
                row.addWidget(widget, int(widget in (self.how, self.count, self.bar, self.progress_words)))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        for part in (self.begin, self.legend, self.act, self.running):
            column.addWidget(part)

    def refresh(self) -> None:
        """Offer what can be done with the current image."""
        workspace, strokes = self.session.workspace, self.strokes
        entry = None if workspace.collection is None else workspace.collection.entries.get(workspace.current)
        painting = entry is not None and entry.has_strokes_only
        fresh = entry is not None and entry.status == "new" and not painting
        running = strokes.running or strokes.waits
        some = bool(strokes.painted())
        self.begin.setVisible(fresh and not running)
        self.how.setVisible(workspace.model is None)
        self.legend.setVisible(painting)
        if workspace.collection is not None:
            self.legend.set_classes(workspace.collection.classes)
        self.act.setVisible(painting or (fresh and some) or running)
        self.count.setText(strokes.words() if some else "Paint objects and background")
        why = strokes.obstacle()
        self.learn_button.setVisible(not running)
        self.learn_button.setEnabled(not why)
        self.learn_button.setToolTip(
            why or "Train a model on the strokes: a preview in seconds, a first model in a minute"
        )
        self.accept_button.setVisible(strokes.acceptable)
        self.running.setVisible(running)
        if running and strokes.waits:
            self.progress_words.setText("Making a project")
        self.setVisible(painting or fresh or running)

    def _show_progress(self) -> None:
        progress = self.session.background.progress
        if progress is None or not self.strokes.running:
            return
        self.bar.setValue(round(100 * progress.done / progress.total) if progress.total else 0)
        words = progress.message
        if progress.seconds_left is not None:
            words = f"{duration(progress.seconds_left)} left"
        self.progress_words.setText(words)
