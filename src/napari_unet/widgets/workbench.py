"""The dock: steps from top to bottom, from images to masks a person trusts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, QSize, Qt, QTimer
from qtpy.QtWidgets import (
    QApplication,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_unet.engine.chosen import ChosenEngine, ComputeHost
from napari_unet.engine.process import ProcessEngine
from napari_unet.session.outcome import Outcome
from napari_unet.session.session import Session
from napari_unet.settings import EvaluationSettings
from napari_unet.widgets.canvas.images.image_source import ImageSource
from napari_unet.widgets.canvas.large.large_masks import LargeMasks
from napari_unet.widgets.canvas.mask_canvas import MaskCanvas
from napari_unet.widgets.canvas.overlays import Overlays
from napari_unet.widgets.canvas.stroke_preview import StrokePreview
from napari_unet.widgets.canvas.volumes.fill_layer import FillLayer
from napari_unet.widgets.canvas.volumes.volume_errors import VolumeErrors
from napari_unet.widgets.dock.close_question import may_stop
from napari_unet.widgets.dock.start_segmenting import StartSegmenting
from napari_unet.widgets.dock.stroke_actions import StrokeActions
from napari_unet.widgets.dock.work_display import WorkDisplay
from napari_unet.widgets.images.images_panel import ImagesPanel
from napari_unet.widgets.learn.learn_panel import LearnPanel
from napari_unet.widgets.objects.object_panels import ObjectPanels
from napari_unet.widgets.parts import keys, one_dock
from napari_unet.widgets.parts.dispatcher import Dispatcher
from napari_unet.widgets.parts.keys_dialog import KeysDialog
from napari_unet.widgets.parts.notify import notify, notify_error
from napari_unet.widgets.parts.preferences import read_preferences
from napari_unet.widgets.parts.status_line import StatusLine
from napari_unet.widgets.parts.step import Scroll, Step, StepColumn
from napari_unet.widgets.review.mask_editing import MaskEditing
from napari_unet.widgets.review.navigation import Navigation
from napari_unet.widgets.review.review_panel import ReviewPanel
from napari_unet.widgets.segment.large_mask_row import LargeMaskRow
from napari_unet.widgets.segment.segment_panel import SegmentPanel
from napari_unet.widgets.strokes.strokes_row import StrokesRow
from napari_unet.workflow.journeys import journey_of, travels

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.engine.task import Engine

SMALLEST_LIST = 154  # pixels: search, two images, and how many there are
# A colour marks the one button of a step that continues; the rest is napari's theme.
STYLE = """
QPushButton#primary:enabled { background-color: #2f6fbd; color: white; font-weight: bold; }
QPushButton#primary:enabled:hover { background-color: #3d82d6; }
QToolButton#heading { font-weight: bold; border: none; background: transparent; padding: 0px; }
QToolButton::menu-indicator { image: none; }
"""


class Workbench(QWidget):  # type: ignore[misc]
    """The dock "U-Net Workbench".

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Whose layers are worked on.
    engine : callable, optional
        Makes the engine, given a dispatcher; for tests. The computing process by default.
    """

    def __new__(cls, napari_viewer: Any, *_: Any) -> Any:
        """A window has one workbench: whoever asks for a second is led to the first."""
        window = getattr(napari_viewer, "window", None)
        first = None if window is None else one_dock.workbench_of(window)
        return super().__new__(cls) if first is None else one_dock.SecondDock(window, first)

    def __init__(
        self,
        napari_viewer: Any,
        engine: Callable[[Callable[[Callable[[], None]], None]], Engine] = ProcessEngine,
    ) -> None:
        super().__init__()
        self.setObjectName(one_dock.NAME)
        # napari gives a proxy, which wraps every layer again: a layer would never be itself.
        napari_viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self.viewer = napari_viewer
        self.dispatcher = Dispatcher(self)
        place = ComputeHost()
        make: Callable[[], Engine] = lambda: engine(self.dispatcher)  # noqa: E731
        if engine is ProcessEngine:
            make = lambda: ChosenEngine(self.dispatcher, place, journey_of, travels)  # noqa: E731
        self.session = Session(make(), self.dispatcher, place)
        self.session.workspace.offer_shipped_models()
        if engine is ProcessEngine:  # one for each: segmenting continues while it learns
            self.session.background.make_engine = make
        self.image_source = ImageSource(napari_viewer, self.session, self)
        self.canvas = MaskCanvas(napari_viewer, self.session, self.image_source, self)
        self.overlays = Overlays(napari_viewer, self.session, self.canvas)
        self.stroke_preview = StrokePreview(napari_viewer, self.session, self.canvas)
        self.fill_layer = FillLayer(napari_viewer, self.session, self.canvas)
        self.volume_errors = VolumeErrors(napari_viewer, self.session, self.canvas)
        self.mask_editing = MaskEditing(self.session, self.canvas)
        self.large = LargeMasks(napari_viewer, self.session, self.image_source, self)
        self.canvas.large = self.large
        self.images = ImagesPanel(self.session, napari_viewer, self.dispatcher, self)
        self.segment_panel = SegmentPanel(self.session, self)
        self.large_mask_row = LargeMaskRow(self.session, lambda: self.large.active, self.segment_panel)
        self.segment_panel.body.addWidget(self.large_mask_row)
        undo = partial(self.mask_editing.edit, "undo")
        self.objects = ObjectPanels(napari_viewer, self.session, self.canvas, self.segment_panel, undo)
        self.strokes_row = StrokesRow(self.session, self.segment_panel)
        self.segment_panel.body.addWidget(self.strokes_row)
        self.stroke_actions = StrokeActions(
            self.session, self.image_source, self.canvas, self.segment_panel, self.strokes_row
        )
        self.review_panel = ReviewPanel(self.session, napari_viewer, self)
        self.learn_panel = LearnPanel(self.session, self)
        self.navigation = Navigation(self.session, self.images, self.segment_panel, self.canvas)
        self.start_segmenting = StartSegmenting(
            self.session, self.image_source, self.canvas, self.large, self.segment_panel
        )
        self.status = StatusLine(self)
        self.work = WorkDisplay(self.session, self.segment_panel, self.status, self)
        self._closed = False
        self._closing = self._hidden = False
        self._window: Any = None
        self._bound: list[Any] = []
        self._build()
        self._connect()
        self._bind_keys()
        self.image_source.follow()
        QTimer.singleShot(0, self._settle)

    def _build(self) -> None:
        inside = StepColumn()
        column = QVBoxLayout(inside)
        column.setContentsMargins(8, 2, 8, 2)
        column.setSpacing(2)
        column.addWidget(self.images, 1)
        column.addWidget(self.segment_panel)
        column.addWidget(self.review_panel)
        column.addWidget(self.learn_panel)
        self.learn_panel.set_folded(True)
        # A small screen has no room for all.
        for step, other in (
            (self.segment_panel, self.review_panel),
            (self.review_panel, self.segment_panel),
        ):
            self.learn_panel.unfolded.connect(lambda step=step: step.set_folded(True))
            step.unfolded.connect(lambda: self.learn_panel.set_folded(True))
            step.unfolded.connect(lambda other=other: self._fold_soon(other))
        self.images.table.setMinimumHeight(SMALLEST_LIST)
        self.area = area = Scroll(inside)
        shortcuts = QLabel(keys.short_words())
        shortcuts.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        shortcuts.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.help_button = QToolButton()
        self.help_button.setText("?")
        self.help_button.setToolTip("Show all keys")
        self.help_button.setAccessibleName("Show all keys")
        self.help_button.clicked.connect(self.show_keys)
        foot = QHBoxLayout()
        foot.setContentsMargins(8, 0, 8, 0)
        foot.addWidget(shortcuts, 1)
        foot.addWidget(self.help_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 2)
        layout.setSpacing(2)
        layout.addWidget(area, 1)
        layout.addWidget(self.status)
        layout.addLayout(foot)
        self.setStyleSheet(STYLE)

    def _connect(self) -> None:
        self.segment_panel.misfit = self.image_source.channels.misfit
        self.segment_panel.suggestion.every_channel = self.image_source.channels.every
        self.images.channel_box.wanted.connect(self._on_channel)
        self.images.channel_box.images_wanted.connect(self.image_source.channels.take_first_axis_as)
        self.images.stack_question.answered.connect(self._on_stack)
        for changed in (self.session.workspace.collection_changed, self.session.workspace.current_changed):
            changed.connect(lambda *_: self._show_channels())
        self.segment_panel.suggestion.shape = self.image_source.shape
        self.segment_panel.selected = self.images.selected_ids
        self.segment_panel.in_stack = lambda: (
            self.image_source.slice_place(self.session.workspace.current) is not None
        )
        self.segment_panel.wanted.connect(self.segment)
        self.segment_panel.show_box.activated.connect(
            lambda index: self.canvas.show_objects(bool(self.segment_panel.show_box.itemData(index)))
        )
        self.large.changed.connect(self.large_mask_row.refresh)
        self.large.changed.connect(self.canvas.refresh_text)
        self.large.lens.label_chosen.connect(self.review_panel.classes.mark)
        self.large.lens.label_chosen.connect(self.strokes_row.legend.mark)
        self.images.table.selection_changed.connect(lambda _: self.segment_panel.refresh())
        self.review_panel.references = self.image_source.reference_choices
        self.review_panel.chosen_reference = lambda: self.image_source.reference.layer
        self.review_panel.reference_wanted.connect(self.image_source.reference.choose)
        self.learn_panel.form.references = self.image_source.reference_choices
        self.learn_panel.form.chosen_reference = lambda: self.image_source.reference.layer
        self.learn_panel.form.reference_wanted.connect(self.image_source.reference.choose)
        self.learn_panel.all_wanted.connect(lambda: self.segment("all"))
        self.review_panel.all_scores.tie_threshold(self.segment_panel.threshold)
        self.review_panel.overlay_wanted.connect(self._show_overlay)
        self.overlays.gone.connect(lambda kind: self.review_panel.boxes[kind].setChecked(False))
        self.review_panel.why_not_unsure = self.overlays.disagreement.words
        self.overlays.map_changed.connect(self.review_panel.refresh_legend)
        self.review_panel.step_wanted.connect(self.step)
        self.review_panel.worst_wanted.connect(self.navigation.worst_first)
        self.review_panel.correct_wanted.connect(self.navigation.correct_next)
        self.review_panel.range_wanted.connect(self._select_range)
        mend = self.review_panel.edit_bar
        mend.selected = self.images.selected_ids
        mend.pixel_sizes = self.image_source.pixel_sizes
        mend.stack_slices = self.image_source.stack_slices
        mend.export_button.pressed.connect(self.canvas.take_everything)
        mend.shows_objects = lambda: self.canvas.as_objects
        volume = self.review_panel.volume_row
        volume.fill_wanted.connect(lambda: self.fill_between(pointed=False))
        volume.accept_wanted.connect(self.accept)
        mend.done_wanted.connect(self.navigation.done_and_next)
        mend.edit_wanted.connect(self.mask_editing.edit)
        mend.version_wanted.connect(self.mask_editing.go_back)
        mend.accept_wanted.connect(self.mask_editing.accept)
        self.review_panel.classes.chosen.connect(self.canvas.choose_label)
        self.canvas.label_chosen.connect(self.review_panel.classes.mark)
        self.session.workspace.rows_changed.connect(lambda _: self.review_panel.refresh())
        self.session.projects.noted.connect(self._on_noted)
        self.session.runner.succeeded.connect(self._on_outcome)
        self.status.cancel_button.clicked.connect(self.session.runner.cancel)
        self.session.background.changed.connect(self.canvas.preview.drop)
        self.session.runner.failed.connect(self._on_failed)
        self.session.workspace.model_changed.connect(self._warm)
        self.session.place.moved.connect(self._warm)
        self.viewer.layers.events.inserted.connect(self._on_layers)
        self.viewer.layers.events.removed.connect(self._on_layers)
        application = QApplication.instance()
        assert application is not None
        application.aboutToQuit.connect(self.shut_down)

    def _bind_keys(self) -> None:
        self._bound += keys.bind(
            self.viewer,
            {
                "S": lambda: self.segment(self.segment_panel.scope),
                "N": lambda: self.step(1),
                "Shift-N": lambda: self.step(-1),
                "W": self.navigation.worst_first,
                "Q": self.navigation.next_worst,
                "C": self.navigation.correct_next,
                "D": self.navigation.done_and_next,
                "T": self.review_panel.errors_box.toggle,
                "O": self.review_panel.verified_box.toggle,
                "U": self.review_panel.unsure_box.toggle,
                "B": self.review_panel.boxes["probabilities"].toggle,
                "H": self.canvas.hide_mask,
                "A": self.accept,
                "Shift-F": self.fill_between,
                "G": lambda: self.mask_editing.edit("grow"),
                "Shift-G": lambda: self.mask_editing.edit("shrink"),
                "Shift-W": self.objects.worst,
                "R": self.objects.tools.delete_at_pointer,
                "J": lambda: self.objects.tools.toggle("merge"),
                "K": lambda: self.objects.tools.toggle("split"),
            },
        )

    def _settle(self) -> None:
        """Once the dock is shown: start the process, watch the window."""
        if self._closed:
            return
        preferences = read_preferences()  # napari reads every plugin's manifest for it
        self.session.workspace.evaluation = EvaluationSettings(confidence=preferences.confidence)
        self.session.workspace.tile = preferences.tile_size
        self.large.preferences = preferences
        self.session.place.use_default(preferences.computer)
        if preferences.start_process and not self.session.runner.busy:
            self.session.warm()  # the slow imports run while the window does the rest
        self._window = self.window()
        self._window.installEventFilter(self)
        around = one_dock.dock_around(self)
        if around is not None:
            around.destroyed.connect(self.shut_down)
            one_dock.DockCross(around, self._on_shown)
        self.image_source.in_view.look_again()

    def _warm(self) -> None:
        if not self.session.runner.busy and not self._closed:
            shape, channels = self.image_source.shape(), self.image_source.channels.count()
            known = (*shape, channels) if shape is not None and channels is not None else None
            small = known if known is not None and known[0] * known[1] <= 2**20 else None
            self.session.warm(small)

    def sizeHint(self) -> QSize:  # noqa: N802
        """Leave the viewer most of a small screen."""
        return QSize(380, 700)

    # what a person asks for

    def start(self, step: str) -> None:
        """Go to a step: "open", "segment", "look" or "learn"."""
        widget = {
            "open": self.images.open_button,
            "segment": self.segment_panel.run_button,
            "learn": self.learn_panel.run_button,
            "look": self.review_panel.worst_button,
        }[step]
        for panel in (self.segment_panel, self.review_panel, self.learn_panel):
            if panel.isAncestorOf(widget):
                panel.set_folded(False)
        widget.setFocus()

    def _on_channel(self, numbers: tuple[str, ...]) -> None:
        if numbers:
            self.image_source.channels.show(int(numbers[0]))

    def _show_channels(self) -> None:
        """Offer the channels of the current image."""
        collection, channels = self.session.workspace.collection, self.image_source.channels
        chosen = () if collection is None else collection.channels
        images = channels.images_along_first_axis()
        self.images.channel_box.show_channels(channels.every(), chosen, images)
        self.images.stack_question.ask(self.image_source.stack.to_ask_about())

    def _on_stack(self, volume: bool) -> None:
        self.image_source.stack.take_as(volume)
        self._show_channels()

    def show_keys(self) -> None:
        """Open the window that lists every key."""
        KeysDialog(self).show()

    def export(self) -> None:
        """Open the dialog that exports masks."""
        self.review_panel.set_folded(False)
        self.canvas.take_everything()
        self.review_panel.edit_bar.show_export()

    def segment(self, scope: str) -> None:
        """Segment "image", "volume", "view", "selected", "all" or "held-out"."""
        self.start_segmenting.segment(scope)

    def fill_between(self, pointed: bool = True) -> None:
        """Propose what lies between painted slices: of the object that is pointed at, or of all painted."""
        self.canvas.take_painting()
        point = self.canvas.object_point() if pointed else None
        self.session.fill.propose(point)

    def accept(self) -> None:
        """Make what is on offer part of the mask: a fill between slices, or the preview of strokes."""
        if self.session.fill.proposal is None:
            self.stroke_actions.accept_preview()
            return
        self.canvas.take_painting()
        self.session.fill.accept()

    def step(self, by: int) -> None:
        """Go to the next image in the list, or the one before."""
        self.images.flush()
        if by > 0:
            self.images.table.next_image()
        else:
            self.images.table.previous_image()

    def _show_overlay(self, kind: str, shown: bool) -> None:
        self.overlays.show(kind, shown)
        if kind == "errors":
            self.volume_errors.want(shown)
        self.review_panel.refresh()

    def _select_range(self, low: float, high: float) -> None:
        # The histogram is of these alone.
        counted = (
            self.session.workspace.collection.scored()[0]
            if self.session.workspace.collection is not None
            else []
        )
        rows = [self.session.workspace.row(i) for i in counted]
        last = high >= 1.0
        self.images.select(
            r.id for r in rows if r.iou is not None and low <= r.iou and (r.iou < high or last)
        )

    # what happens

    def _on_layers(self, event: Any = None) -> None:
        QTimer.singleShot(0, self._refresh_layers)

    def _refresh_layers(self) -> None:
        if not self._closed:
            self.review_panel.refresh_references()
            self.segment_panel.refresh()

    def _on_failed(self, sentence: str, details: str) -> None:
        self.status.show_error(sentence, details)
        self._fold_soon(self.segment_panel)
        if self._hidden:
            notify_error(sentence, details, self)

    def _on_noted(self, sentence: str) -> None:
        project = self.session.projects.project
        folder = None if project is None else project.folder
        self._on_outcome(Outcome(sentence, folder, is_note=True))

    def _on_outcome(self, outcome: Outcome) -> None:
        self.status.show_outcome(outcome)
        self._fold_soon(self.segment_panel)
        if self._hidden:
            notify(outcome.sentence)

    def _fold_soon(self, step: Step) -> None:
        """Fold a step if the dock has no room for it, once that is known."""

        def fold() -> None:
            if not self._closed and self.window().isVisible() and self.area.overflows:
                step.set_folded(True)

        QTimer.singleShot(0, fold)

    def _on_shown(self, shown: bool) -> None:
        """Keys work while the dock is shown: behind a hidden one nobody expects them."""
        if self._closed:
            return
        self._hidden = not shown
        keys.release(self.viewer, self._bound)
        self._bound.clear()
        if shown:
            self._bind_keys()
        elif self.session.has_unsaved_work:
            notify("Work continues while the dock is hidden. Plugins > U-Net Workbench shows it again.")

    # the end

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Ask before the window closes on a task that runs."""
        if watched is not self._window or self._closed:
            return False
        if event.type() == QEvent.Type.Close:
            if self.session.has_unsaved_work and not may_stop(self.session, self):
                event.ignore()
                return True
            self.canvas.take_painting()
            if not watched.isVisible():
                self.shut_down()
            self._closing = True  # unless napari asks, too, and the answer is no
        elif event.type() == QEvent.Type.Hide and self._closing and not event.spontaneous():
            self.shut_down()
        return False

    def shut_down(self) -> None:
        """Stop everything and leave no process, thread or file behind."""
        if self._closed:
            return
        self._closed = True
        if self._window is not None and isalive(self._window):
            self._window.removeEventFilter(self)
        self._window = None
        self.mask_editing.close()
        self.objects.close()
        self.large.close()
        self.canvas.close()
        self.overlays.close()
        self.stroke_preview.close()
        self.fill_layer.close()
        self.volume_errors.close()
        self.review_panel.volume_row.close_row()
        self.image_source.close()
        self.work.close()
        self.images.close_threads()
        self.review_panel.all_scores.close_scores()
        self.viewer.layers.events.inserted.disconnect(self._on_layers)
        self.viewer.layers.events.removed.disconnect(self._on_layers)
        keys.release(self.viewer, self._bound)
        self.session.close()
        self.dispatcher.close()

    def closeEvent(self, event: Any) -> None:  # noqa: N802
        """Shut down when the dock is closed for good."""
        self.shut_down()
        super().closeEvent(event)
