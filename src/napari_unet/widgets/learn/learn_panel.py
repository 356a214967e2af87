"""Step 4: let the model learn from what was corrected, see whether it got better, keep or discard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSpinBox,
    QTabBar,
    QVBoxLayout,
    QWidget,
)

from napari_unet.session.learn.verdict import one_fact_a_line
from napari_unet.widgets.learn.facts_table import FactsTable
from napari_unet.widgets.learn.train_form import TrainForm
from napari_unet.widgets.learn.training_curves import TrainingCurves
from napari_unet.widgets.learn.versions_row import VersionsRow
from napari_unet.widgets.parts.step import ElidedLabel, Step
from napari_unet.widgets.parts.thin_bar import thin_bar
from napari_unet.widgets.parts.words import duration

if TYPE_CHECKING:
    from napari_unet.session.session import Session
    from napari_unet.widgets.learn.compare_dialog import CompareDialog

PAUSE = 2000  # milliseconds without a stroke after which the next round may begin
REFRESH = 100  # milliseconds between two looks at how far learning is


class LearnPanel(Step):
    """Fine-tunes, shows the curves and the verdict, keeps versions."""

    all_wanted = Signal()  # all images are to be segmented with the version that came into use

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(4, "Learn", parent, foldable=True)
        self.session = session
        self.learning, self.background = session.learning, session.background
        self.candidate = session.candidate
        self._busy = False
        self._comparing: CompareDialog | None = None
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.facts = FactsTable("What the model can learn from")
        self._tab_chosen = False  # by the person, for these images
        self._build_tune()
        self._build_ways()
        self._build_running()
        self.curves = TrainingCurves()
        self.body.addWidget(self.curves)
        self._build_verdict()
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
        session.workspace.opened.connect(self._on_opened)
        self.unfolded.connect(background.warm)
        self.unfolded.connect(self.refresh)
        self.unfolded.connect(self._open_on_what_can_be_used)

    def _build_ways(self) -> None:
        """Fine-tune what is there, or train from nothing."""
        self.form = TrainForm(self.session)
        self.tabs = QTabBar()
        self.tabs.addTab("Fine-tune")
        self.tabs.setTabToolTip(0, "Improve the model in use with the masks that you corrected")
        self.tabs.addTab("New model")
        self.tabs.setTabToolTip(1, "Train a new model on images with masks")
        self.tabs.setExpanding(False)
        self.tabs.setDrawBase(False)
        self.body.addWidget(self.tabs)
        for page in (self.tune, self.form):
            self.body.addWidget(page)
        self.form.hide()
        self.tabs.currentChanged.connect(self._on_tab)
        self.tabs.tabBarClicked.connect(self._on_tab_clicked)

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
            "<qt>A new round starts as soon as there are new strokes. Each round starts from the version in "
            "use. No new version is used before you keep it.</qt>"
        )
        self.keep_going.clicked.connect(
            lambda wanted: self.learning.keep_learning(wanted, float(self.seconds.value()))
        )
        self.start = QWidget()
        row = QHBoxLayout(self.start)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(QLabel("Time"))
        row.addWidget(self.seconds, 1)
        row.addWidget(self.run_button, 1)
        self.tune = QWidget()
        column = QVBoxLayout(self.tune)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        column.addWidget(self.facts)
        column.addWidget(self.words)
        column.addWidget(self.start)
        column.addWidget(self.keep_going)

    def _build_running(self) -> None:
        self.bar = thin_bar()
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

    def _build_verdict(self) -> None:
        self.verdict = QLabel()
        self.verdict.setWordWrap(True)
        self.details_button = QPushButton("Details")
        self.details_button.setToolTip("Interval, wins and losses, and what to know besides")
        self.details_button.setCheckable(True)
        self.details_button.toggled.connect(lambda _: self._refresh_verdict())
        self.verdict.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.again_button = QPushButton("Segment all again")
        self.again_button.clicked.connect(self.all_wanted)
        self.answer = QWidget()
        row = QHBoxLayout(self.answer)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.verdict, 1)
        row.addWidget(self.details_button, 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(self.again_button, 0, Qt.AlignmentFlag.AlignTop)
        self.answer.hide()
        self.body.addWidget(self.answer)

    def _build_gate(self) -> None:
        self.keep_button = QPushButton("Keep")
        self.keep_button.setToolTip(
            "<qt>Use the new version from now on. Images that were segmented before are segmented again; "
            "what you corrected stays.</qt>"
        )
        self.keep_button.clicked.connect(self.candidate.keep)
        self.discard_button = QPushButton("Discard")
        self.discard_button.setToolTip("Do not use the new version; the one in use stays")
        self.discard_button.clicked.connect(self.candidate.discard)
        self.gate = QWidget()
        self._gate_row = QHBoxLayout(self.gate)
        self._gate_row.setContentsMargins(0, 0, 0, 0)
        self._gate_row.addWidget(self.keep_button, 1)
        self._gate_row.addWidget(self.discard_button, 1)
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

    def _on_opened(self) -> None:
        self._tab_chosen = False
        if not self.folded:
            self._open_on_what_can_be_used()

    def _on_tab_clicked(self, index: int) -> None:
        self._tab_chosen = True

    def _open_on_what_can_be_used(self) -> None:
        """Show the new model where there is nothing to fine-tune, but masks to train on."""
        if self._tab_chosen or self.background.job is not None or self.candidate.version is not None:
            return
        nothing = self.session.workspace.model is None or not self.learning.facts()
        self.tabs.setCurrentIndex(int(nothing and bool(self.session.new_model.sources())))

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
        facts = learning.facts()
        self.facts.show_facts(facts)
        waiting = self.session.new_model.waits
        running = self.background.job is not None or waiting
        self.words.setText(why if facts else f"Corrected masks teach the model. {why}")
        self.words.setVisible(not facts or bool(why and not running and self.candidate.version is None))
        if running and self.running.isHidden():
            self.bar.setValue(0)
            self.progress_words.setText("Making a project" if waiting else "Starting")
        self.running.setVisible(running)
        self.stop_button.setVisible(self.background.stoppable)
        self.run_button.setEnabled(not why)
        self.run_button.setToolTip(why or "Learn from the corrections, then judge old and new model")
        self.keep_going.setChecked(learning.keep_going)
        # What can be answered now has the room: a small screen shows five images above it.
        waits = self.candidate.version is not None
        learns = self.background.stoppable
        self.start.setVisible(not (learns or waits) or learning.keep_going)
        self.facts.setVisible(bool(facts) and not (learns or waits))
        self.keep_going.setVisible(not waits or learning.keep_going)
        self.curves.setVisible((learns or waits) and len(self.background.losses) > 1)
        self.curves.show_loss(not waits)
        if not self.background.losses:
            self.curves.clear()
        self._refresh_verdict()
        self.version_row.refresh()
        self.version_row.setVisible(self.version_row.several and not waits)
        if self.tabs.currentIndex() == 1:
            self.form.refresh()

    def _refresh_verdict(self) -> None:
        waiting, words = self.candidate.version, self.candidate.headline
        if waiting is not None and self.gate.isHidden():
            self._seen.start()
        self.gate.setVisible(waiting is not None)
        self.keep_button.setEnabled(not self._busy)
        if waiting is not None:
            self.keep_button.setText(f"Keep {waiting.name}")
            self.discard_button.setText(f"Discard {waiting.name}")
            self._put_first(self.discard_button if self.candidate.fell else self.keep_button)
        more = self.candidate.sentence
        whole = more != words and self.details_button.isChecked()
        self.verdict.setText(one_fact_a_line(more) if whole else words)
        self.answer.setVisible(bool(words))
        self.details_button.setVisible(more != words)
        left = self.candidate.left_to_segment()
        self.again_button.setVisible(left > 0 and not self._busy)
        self.again_button.setToolTip(f"Segment all images with this version: {left:,} are not yet")

    def _put_first(self, button: QPushButton) -> None:
        """What the verdict speaks for comes first, and is marked."""
        self._gate_row.insertWidget(0, button, 1)
        for one in (self.keep_button, self.discard_button):
            name = "primary" if one is button else ""
            one.setDefault(one is button)
            if one.objectName() != name:
                one.setObjectName(name)
                one.style().unpolish(one)
                one.style().polish(one)

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
