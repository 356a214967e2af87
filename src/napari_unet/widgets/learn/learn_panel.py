"""Step 4: let the model learn from what was corrected, see whether it got better, keep or discard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSpinBox,
    QTabBar,
    QVBoxLayout,
    QWidget,
)

from napari_unet.widgets.learn.train_form import TrainForm
from napari_unet.widgets.learn.training_curves import TrainingCurves
from napari_unet.widgets.learn.versions_row import VersionsRow
from napari_unet.widgets.parts.step import ElidedLabel, Step
from napari_unet.widgets.parts.words import duration

if TYPE_CHECKING:
    from napari_unet.session.session import Session
    from napari_unet.widgets.learn.compare_dialog import CompareDialog

PAUSE = 2000  # milliseconds without a stroke after which the next round may begin
REFRESH = 100  # milliseconds between two looks at how far learning is


class LearnPanel(Step):
    """Fine-tunes, shows the curves and the verdict, keeps versions."""

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(4, "Learn", parent, foldable=True)
        self.session = session
        self.learning, self.background = session.learning, session.background
        self.candidate = session.candidate
        self._busy = False
        self._comparing: CompareDialog | None = None
        self.words = QLabel()
        self.words.setWordWrap(True)
        self._build_tune()
        self._build_ways()
        self._build_running()
        self.curves = TrainingCurves()
        self.body.addWidget(self.curves)
        self.verdict = QLabel()
        self.verdict.setWordWrap(True)
        self.verdict.hide()
        self.body.addWidget(self.verdict)
        self._build_gate()
        self.version_row = VersionsRow(self.candidate)
        self.version_row.compare_wanted.connect(self.compare)
        self.body.addWidget(self.version_row)
        self._soon = self._timer(300, self.refresh)
        self._pause = self._timer(PAUSE, self.learning.start_waiting)
        self._shown_at = self._timer(REFRESH, self._show_progress)
        self._seen = self._timer(REFRESH, self._bring_gate_into_view)
        self._connect()
        self.refresh()

    def _timer(self, milliseconds: int, function: object) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(milliseconds)
        timer.timeout.connect(function)
        return timer

    def _connect(self) -> None:
        session, background = self.session, self.background
        for changed in (background.changed, self.candidate.changed, self.learning.changed):
            changed.connect(self.refresh)
        background.validated.connect(lambda _: self._shown_at.start(0))
        background.progressed.connect(lambda: self._shown_at.isActive() or self._shown_at.start())
        session.projects.project_changed.connect(self.refresh)
        session.workspace.rows_changed.connect(self._on_rows)
        session.runner.job_changed.connect(self._on_job)
        for signal in (session.workspace.collection_changed, session.workspace.model_changed):
            signal.connect(self.refresh)
        self.unfolded.connect(background.warm)

    def _build_ways(self) -> None:
        """Fine-tune what is there, or train from nothing."""
        self.form = TrainForm(self.session)
        self.tabs = QTabBar()
        self.tabs.addTab("Fine-tune")
        self.tabs.setTabToolTip(0, "Start from the model in use, with what you corrected")
        self.tabs.addTab("New model")
        self.tabs.setTabToolTip(1, "Train a network from nothing")
        self.tabs.setExpanding(False)
        self.tabs.setDrawBase(False)
        self.body.addWidget(self.tabs)
        for page in (self.tune, self.form):
            self.body.addWidget(page)
        self.form.hide()
        self.tabs.currentChanged.connect(self._on_tab)

    def _build_tune(self) -> None:
        self.seconds = QSpinBox()
        self.seconds.setRange(10, 36_000)
        self.seconds.setValue(60)
        self.seconds.setSuffix(" s")
        self.seconds.setAccessibleName("Time for learning")
        self.seconds.setToolTip("Time from the click to the verdict, in seconds")
        self.run_button = QPushButton("Fine-tune")
        self.run_button.setObjectName("primary")
        self.run_button.clicked.connect(lambda: self.learning.fine_tune(float(self.seconds.value())))
        self.keep_going = QCheckBox("Keep learning while I paint")
        self.keep_going.setToolTip(
            "A round follows the other as soon as there are new strokes. Each starts from the version in "
            "use, and none is used before you keep it"
        )
        self.keep_going.clicked.connect(
            lambda wanted: self.learning.keep_learning(wanted, float(self.seconds.value()))
        )
        row = QHBoxLayout()
        row.addWidget(QLabel("Time"))
        row.addWidget(self.seconds, 1)
        row.addWidget(self.run_button, 1)
        self.tune = QWidget()
        column = QVBoxLayout(self.tune)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        column.addWidget(self.words)
        column.addLayout(row)
        column.addWidget(self.keep_going)

    def _build_running(self) -> None:
        self.bar = QProgressBar()
        self.bar.setRange(0, 100)
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.progress_words = ElidedLabel()
        self.stop_button = QPushButton("Stop, keep best")
        self.stop_button.setToolTip("Stop learning now and judge what is best so far")
        self.stop_button.clicked.connect(self.background.stop)
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip(
            "Stop and forget this round; the model stays as it is. A training can be resumed"
        )
        self.cancel_button.clicked.connect(self.learning.cancel)
        self.running = QWidget()
        row = QHBoxLayout(self.running)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.bar, 1)
        row.addWidget(self.progress_words, 2)
        row.addWidget(self.stop_button)
        row.addWidget(self.cancel_button)
        self.running.hide()
        self.body.addWidget(self.running)

    def _build_gate(self) -> None:
        self.keep_button = QPushButton("Keep")
        self.keep_button.setToolTip(
            "Use the new version from now on; images are segmented again with it, what you corrected stays"
        )
        self.keep_button.clicked.connect(self.candidate.keep)
        self.discard_button = QPushButton("Discard")
        self.discard_button.setToolTip("Stay with the version in use")
        self.discard_button.clicked.connect(self.candidate.discard)
        self.gate = QWidget()
        row = QHBoxLayout(self.gate)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.keep_button, 1)
        row.addWidget(self.discard_button, 1)
        self.gate.hide()
        self.body.addWidget(self.gate)

    def compare(self) -> None:
        """Open the window in which two versions are compared."""
        from napari_unet.widgets.learn.compare_dialog import CompareDialog

        if self._comparing is not None:
            self._comparing.close()
        self._comparing = CompareDialog(self.session, self)
        self._comparing.finished.connect(self._on_compared)
        self._comparing.show()

    def _on_compared(self) -> None:
        if self._comparing is not None:
            self._comparing.deleteLater()
            self._comparing = None

    # what happens

    def _on_tab(self, index: int) -> None:
        self.tune.setVisible(index == 0)
        self.form.setVisible(index == 1)
        if index == 1:
            self.background.warm()
            self.form.refresh()

    def _on_rows(self, identifiers: tuple[str, ...]) -> None:
        if not self._soon.isActive():
            self._soon.start()
        if self.learning.keep_going:
            self._pause.start()

    def _on_job(self) -> None:
        if self.session.runner.busy != self._busy:
            self.refresh()

    def refresh(self) -> None:
        """Say what can be done, what runs, and what came out."""
        self._soon.stop()
        learning = self.learning
        self._busy = self.session.runner.busy
        why = learning.obstacle()
        project = learning.project
        self.words.setToolTip("" if project is None else f"Kept in {project.folder}")
        effort = learning.forecast()
        said = [learning.summary() or "Corrected masks teach the model. " + why]
        said += [effort.sentence] if effort is not None else []
        self.words.setText("\n".join(said))
        running = self.background.job is not None
        self.running.setVisible(running)
        self.stop_button.setVisible(self.background.stoppable)
        self.run_button.setEnabled(not why)
        self.run_button.setToolTip(why or "Learn from the corrections, then judge old and new model")
        self.keep_going.setChecked(learning.keep_going)
        if not self.background.losses:
            self.curves.clear()
        self._refresh_verdict()
        self.version_row.refresh()
        if self.tabs.currentIndex() == 1:
            self.form.refresh()

    def _refresh_verdict(self) -> None:
        waiting, words = self.candidate.version, self.candidate.sentence
        if waiting is not None and self.gate.isHidden():
            self._seen.start()
        self.gate.setVisible(waiting is not None)
        self.keep_button.setEnabled(not self._busy)
        if waiting is not None:
            self.keep_button.setText(f"Keep {waiting.name}")
        self.verdict.setText(words)
        self.verdict.setVisible(bool(words))
        self.keep_button.setDefault(waiting is not None and waiting.note == "better")

    def _bring_gate_into_view(self) -> None:
        """A small screen may show the curves and not what is to be decided."""
        around = self.parentWidget()
        while around is not None and not isinstance(around, QScrollArea):
            around = around.parentWidget()
        if around is not None:
            around.ensureWidgetVisible(self.gate)

    def _show_progress(self) -> None:
        progress = self.background.progress
        if progress is None:
            return
        self.bar.setValue(round(100 * progress.done / progress.total) if progress.total else 0)
        words = progress.message
        if progress.seconds_left is not None:
            words = f"{duration(progress.seconds_left)} left"
        self.progress_words.setText(words)
        self.bar.setToolTip(progress.message)
        self.curves.show_rows(self.background.curve, self.background.losses)
