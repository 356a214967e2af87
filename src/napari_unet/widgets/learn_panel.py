"""Step 4: let the model learn from what was corrected, see whether it got better, keep or discard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QStackedWidget,
    QWidget,
)

from napari_unet.widgets.step import Step

if TYPE_CHECKING:
    from napari_unet.workflow.session import Session

CURVE_HEIGHT = 150  # pixels
NEW, OLD = "#E69F00", "#56B4E9"


class LearnPanel(Step):
    """Fine-tunes, shows the curve and the verdict, keeps versions."""

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(4, "Learn", parent, foldable=True)
        self.session = session
        self.learning = session.learning
        self._plot: Any = None
        self._began = self._busy = False
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.body.addWidget(self.words)
        self._build_run()
        self.curve_place = QWidget()
        self.curve_place.setFixedHeight(CURVE_HEIGHT)
        self.curve_place.hide()
        row = QHBoxLayout(self.curve_place)
        row.setContentsMargins(0, 0, 0, 0)
        self.body.addWidget(self.curve_place)
        self.verdict = QLabel()
        self.verdict.setWordWrap(True)
        self.verdict.hide()
        self.body.addWidget(self.verdict)
        self._build_gate()
        self._build_versions()
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(300)
        self._soon.timeout.connect(self.refresh)
        self.learning.changed.connect(self.refresh)
        self.learning.looked.connect(self._on_look)
        session.painting.project_changed.connect(self.refresh)
        session.rows_changed.connect(lambda _: self._soon.isActive() or self._soon.start())
        for signal in (session.collection_changed, session.model_changed):
            signal.connect(self.refresh)
        self.refresh()

    def _build_run(self) -> None:
        self.seconds = QSpinBox()
        self.seconds.setRange(10, 36_000)
        self.seconds.setValue(60)
        self.seconds.setSuffix(" s")
        self.seconds.setAccessibleName("Time for learning")
        self.seconds.setToolTip("Time from the click to the verdict, in seconds")
        self.run_button = QPushButton("Fine-tune")
        self.run_button.setObjectName("primary")
        self.run_button.clicked.connect(lambda: self.learning.fine_tune(float(self.seconds.value())))
        run = QWidget()
        row = QHBoxLayout(run)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(QLabel("Time"))
        row.addWidget(self.seconds, 1)
        row.addWidget(self.run_button, 1)
        self.bar = QProgressBar()
        self.bar.setRange(0, 100)
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.stop_button = QPushButton("Stop, keep best")
        self.stop_button.setToolTip("Stop learning now and judge what is best so far")
        self.stop_button.clicked.connect(self.learning.stop)
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Stop and forget this round; the model stays as it is")
        self.cancel_button.clicked.connect(self.session.cancel)
        running = QWidget()
        row = QHBoxLayout(running)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.bar, 1)
        row.addWidget(self.stop_button)
        row.addWidget(self.cancel_button)
        self.pages = QStackedWidget()
        self.pages.addWidget(run)
        self.pages.addWidget(running)
        self.pages.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.body.addWidget(self.pages)

    def _build_gate(self) -> None:
        self.keep_button = QPushButton("Keep")
        self.keep_button.setToolTip("Use the new version from now on; images are segmented anew with it")
        self.keep_button.clicked.connect(self.learning.keep)
        self.discard_button = QPushButton("Discard")
        self.discard_button.setToolTip("Go on with the version before")
        self.discard_button.clicked.connect(self.learning.discard)
        self.gate = QWidget()
        row = QHBoxLayout(self.gate)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.keep_button, 1)
        row.addWidget(self.discard_button, 1)
        self.gate.hide()
        self.body.addWidget(self.gate)

    def _build_versions(self) -> None:
        self.version_box = QComboBox()
        self.version_box.setAccessibleName("Versions of the model")
        self.version_box.setToolTip("Versions of the model in this project, with what they came from")
        self.version_box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.use_button = QPushButton("Use")
        self.use_button.setToolTip("Go on with the version chosen")
        self.use_button.clicked.connect(lambda: self.learning.roll_back(self.version_box.currentData()))
        self.back_button = QPushButton("Roll back")
        self.back_button.setToolTip("Go back to the version in use before")
        self.back_button.clicked.connect(lambda: self.learning.roll_back())
        self.version_row = QWidget()
        row = QHBoxLayout(self.version_row)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.version_box, 1)
        row.addWidget(self.use_button)
        row.addWidget(self.back_button)
        self.body.addWidget(self.version_row)

    def refresh(self) -> None:
        """Say what can be done, what runs, and what came out."""
        self._soon.stop()
        learning = self.learning
        self._busy = self.session.busy
        why = learning.obstacle()
        project = learning.project
        self.words.setToolTip("" if project is None else f"Kept in {project.folder}")
        self.words.setText(learning.summary() or "Corrected masks teach the model. " + why)
        running = learning.job is not None
        self.pages.setCurrentIndex(int(running))
        self.run_button.setEnabled(not why)
        self.run_button.setToolTip(why or "Learn from the corrections, then judge old and new model")
        if running and not self._began:
            self._clear_curve()
        self._began = running
        waiting = learning.candidate is not None
        self.gate.setVisible(waiting)
        self.keep_button.setEnabled(not self._busy)
        result = learning.result
        self.verdict.setVisible(result is not None and (waiting or not running))
        if result is not None:
            sentence = result.comparison.sentence
            self.verdict.setText(sentence[:1].upper() + sentence[1:] + ".")
        better = result is not None and result.comparison.verdict == "better"
        self.keep_button.setDefault(better)
        self._refresh_versions()

    def _refresh_versions(self) -> None:
        versions = self.learning.versions
        project = self.learning.project
        current = project.models.current if project is not None else None
        self.version_box.clear()
        for version in versions:
            score = version.scores.get("held_out_iou", version.scores.get("validation_iou"))
            used = current is not None and version.number == current.number
            words = f"{version.name} in use" if used else version.name
            words += f", IoU {score:.3f}" if score is not None else ""
            words += f", {version.note}" if version.note else ""
            self.version_box.addItem(words, version.number)
        if current is not None:
            self.version_box.setCurrentIndex(self.version_box.findData(current.number))
        free = not self.session.busy and self.learning.candidate is None
        self.version_row.setVisible(len(versions) > 1)
        self.use_button.setEnabled(free)
        self.back_button.setEnabled(free)

    def show_job(self) -> None:
        """Show how far learning is, and what can be done once a task began or ended."""
        if self.session.busy != self._busy:
            self.refresh()
        progress = self.session.progress
        if self.learning.job is not None and progress is not None and progress.total:
            self.bar.setValue(round(100 * progress.done / progress.total))
            self.bar.setToolTip(progress.message)

    # the curve

    def _clear_curve(self) -> None:
        if self._plot is None:
            # A plotting library is loaded when there is something to plot.
            import pyqtgraph

            self._plot = pyqtgraph.PlotWidget(background=None)
            self._plot.setLabel("bottom", "seconds")
            self._plot.setLabel("left", "held-out IoU")
            for side in ("bottom", "left"):
                self._plot.getAxis(side).enableAutoSIPrefix(False)
            self._plot.setMouseEnabled(x=False, y=False)
            self._plot.hideButtons()
            self._plot.setMenuEnabled(False)
            layout = self.curve_place.layout()
            assert layout is not None
            layout.addWidget(self._plot)
            self._old = self._plot.plot(pen=pyqtgraph.mkPen(OLD, width=1.5))
            self._new = self._plot.plot(pen=pyqtgraph.mkPen(NEW, width=2))
            self._plot.setToolTip("Held-out IoU as it learns (orange), and of the old model (blue)")
        self._old.setData([], [])
        self._new.setData([], [])
        self.curve_place.hide()

    def _on_look(self, row: dict[str, float]) -> None:
        if self._plot is None:
            return
        rows = self.learning.curve
        times = [r["seconds"] for r in rows]
        self._new.setData(times, [r["held_out_iou"] for r in rows])
        self._old.setData(times, [r["old_iou"] for r in rows])
        self.curve_place.setVisible(len(rows) > 1)
