"""The table of objects: measured, sorted, brushed, saved, and tied to the canvas both ways."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QItemSelection
from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_unet.errors import OutputError
from napari_unet.export.over_time import write_objects_over_time
from napari_unet.export.tables import write_measurements
from napari_unet.metrics.object_words import count_in_words, objects_in_words
from napari_unet.session.outcome import Outcome
from napari_unet.widgets.objects.column_histogram import ColumnHistogram
from napari_unet.widgets.objects.object_model import SHOWN_FIRST, ObjectModel, title_of
from napari_unet.widgets.objects.object_view import ObjectView
from napari_unet.widgets.parts.table_dialog import ROWS, SELECT, TableDialog

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from qtpy.QtGui import QHideEvent, QShowEvent

    from napari_unet.session.quality.image_objects import ImageObjects
    from napari_unet.session.quality.series_objects import FollowedObjects
    from napari_unet.session.session import Session
    from napari_unet.widgets.objects.object_marks import ObjectMarks

AGAIN = 500  # milliseconds between two looks at how far a large image is
MOST_MARKED = 5000  # objects that are outlined at once
WHICH = {"image": "This image", "all": "All images", "series": "Over time"}
WHICH_TIP = (
    "<qt>This image, all images, or all images in their order as a time series. Over time an object has one "
    "number as long as it overlaps itself from one image to the next.</qt>"
)
SAVE_TIP = "Save all measurements of these objects, as Export does"
SERIES_TIP = "Save where each object is in each image, and when it appears, splits, merges and disappears"
EMPTY = "Segment an image: its objects come here."
MEASURING = "The objects of this image are being measured"


class ObjectsDialog(TableDialog):
    """A window next to the viewer that stays open while one works.

    Parameters
    ----------
    session : Session
        Measures objects.
    marks : ObjectMarks
        Outlines objects, and says which one is clicked.
    parent : QWidget, optional
        Owner.
    """

    soon, soon_of_many, many = 60, 700, 5000

    def __init__(self, session: Session, marks: ObjectMarks, parent: QWidget | None = None) -> None:
        super().__init__(session, ObjectView(ObjectModel()), WHICH, SHOWN_FIRST, EMPTY, parent)
        self.marks = marks
        self.setWindowTitle("Objects")
        self.resize(900, 340)  # the object in the middle of the canvas stays in sight
        self._shown: tuple[ImageObjects, ...] = ()
        self._followed: FollowedObjects | None = None
        self._worst_wanted = False  # once all images are measured
        self._column = "area_px"
        self._offered: set[str] = set()  # columns that were shown once without being asked for
        self._build()
        self._look_again = self.timer(AGAIN, lambda: self.empty.setText(self._why_empty()))
        session.objects.changed.connect(self._on_measured)
        session.series.changed.connect(self.news)
        session.workspace.current_changed.connect(self._on_current)
        session.workspace.rows_changed.connect(lambda _: self.news())
        session.workspace.collection_changed.connect(self.news)
        marks.picked.connect(self._on_picked)

    def _build(self) -> None:
        self.view.selectionModel().selectionChanged.connect(self._on_selection)
        self.which_box.currentIndexChanged.connect(lambda _: self._refill())
        self.which_box.setToolTip(WHICH_TIP)
        self.save_button.setToolTip(SAVE_TIP)
        self.worst_button = QPushButton("Worst first")
        self.worst_button.setToolTip(
            "<qt>Sort the objects of all images by their confidence and go to the most doubtful one. Once "
            "more, or Shift+W: the next one</qt>"
        )
        self.worst_button.clicked.connect(self.worst)
        self.column_box = QComboBox()
        self.column_box.setAccessibleName("Column of the histogram")
        self.column_box.setToolTip("The column that the histogram is of")
        self.column_box.activated.connect(self._on_column)
        self.histogram = ColumnHistogram()
        self.histogram.range_selected.connect(self.select_range)
        self.histogram.cleared.connect(self.view.clearSelection)
        self.selected_words = QLabel()
        self.selected_words.setWordWrap(True)
        right = QWidget()
        column = QVBoxLayout(right)
        column.setContentsMargins(8, 0, 0, 0)
        head = QHBoxLayout()
        head.addWidget(QLabel("<b>Histogram</b> of"))
        head.addWidget(self.column_box, 1)
        column.addLayout(head)
        column.addWidget(self.histogram, 1)
        column.addWidget(self.selected_words)
        self.arrange(right, (5, 2), (self.worst_button,))

    # columns and rows

    def titles(self, name: str) -> tuple[str, str]:
        """Title of a measurement, and what it means."""
        return title_of(name, self.model.unit)

    def can_hide(self, name: str) -> bool:
        """Whether one may choose that a measurement is not shown."""
        return name not in {"image", "object"}

    def shows(self, name: str) -> bool:
        """Whether a measurement is shown now."""
        if name == "image":
            return self.scope != "image"
        if name == "class":
            return len(self.model.classes) > 1 and super().shows(name)
        return super().shows(name)

    def _show_columns(self) -> None:
        # The mean of each channel is shown until somebody hides it.
        means = {name for name in self.model.columns if name.startswith("intensity_mean")} - self._offered
        self._offered |= means
        self._chosen |= means
        super()._show_columns()

    def rearrange(self, change: Callable[[], None]) -> None:
        """Change which rows are where; the objects that are selected stay so."""
        selected = self._selected()
        self._following = True
        try:
            change()
        finally:
            self._following = False
        self._show_columns()
        self._select(selected)

    def worst(self) -> None:
        """Go to the most doubtful object of all images; from one of them, to the next."""
        if self.scope != "all":
            self.which_box.setCurrentIndex(self.which_box.findData("all"))
        sorted_already = self.model.sorted_by == ("confidence", False)
        if not sorted_already:
            self.sort_by("confidence")
        if self.session.objects.waiting:
            self._worst_wanted = True
            return
        rows = self._selected_rows()
        self._go_to(int(rows[-1]) + 1 if sorted_already and len(rows) else 0)

    def _go_to(self, row: int) -> None:
        """Select a row, and so show its object."""
        if row < self.model.rowCount():
            index = self.model.index(row, self.model.columns.index("confidence"))
            self.view.selectionModel().setCurrentIndex(index, SELECT | ROWS)
            self.view.scrollTo(index)

    def _on_column(self, index: int) -> None:
        self._column = str(self.column_box.itemData(index))
        self._show_histogram()

    def _show_histogram(self) -> None:
        if self._column not in self.model.numeric() and self.model.numeric():
            self._column = "area_px"
        title = title_of(self._column, self.model.unit)[0]
        self.histogram.set_values(self.model.values(self._column), title)

    # news

    @property
    def scope(self) -> str:
        """Whose objects are shown: of this "image", of "all", or of all as a "series"."""
        return str(self.which_box.currentData())

    def _ids(self) -> list[str]:
        workspace = self.session.workspace
        if workspace.collection is None:
            return []
        return [workspace.current] if self.scope == "image" else list(workspace.collection.ids)

    def _on_measured(self, identifier: str) -> None:
        if self.scope != "image" or identifier == self.session.workspace.current:
            self.news()

    def _on_current(self, identifier: str) -> None:
        if self.scope == "image":
            self.news()

    def _refill(self) -> None:
        self._shown = ()
        self.save_button.setToolTip(SERIES_TIP if self.scope == "series" else SAVE_TIP)
        self._fill()

    def _fill(self) -> None:
        """Show what is measured, and have the rest measured."""
        objects, ids = self.session.objects, self._ids()
        objects.want(ids)
        known = tuple(one for one in map(objects.latest, ids) if one is not None)
        confidence = objects.confidence
        self.model.measured_on = "" if confidence is None else confidence.words
        followed = self._follow()
        if known != self._shown or followed is not self._followed or not self.model.columns:
            selected = self._selected()
            first, self._shown, self._followed = not self._shown, known, followed
            self._following = True
            try:
                self.model.set_images(known, followed)
            finally:
                self._following = False
            self._show_columns()
            if first and known:
                self.fit_columns()
            self._fill_column_box()
            self._show_histogram()
            self._select(selected)
        self.show_rows()
        waiting = objects.waiting
        words = f"measuring {waiting:,} more" if waiting and self.scope != "image" else ""
        if not words and self.scope == "series" and self.session.series.busy:
            words = "following objects"
        self.busy.setText(words)
        self.empty.setText(self._why_empty())
        self._tell()
        if self._worst_wanted and not waiting and self.model.rowCount():
            self._worst_wanted = False
            self._go_to(0)

    def _why_empty(self) -> str:
        objects, ids = self.session.objects, self._ids()
        if not any(objects.is_coming(identifier) for identifier in ids):
            return EMPTY
        large = any(objects.on_disk(identifier) is not None for identifier in ids)
        if large and not self._look_again.isActive():
            self._look_again.start()
        return f"{MEASURING}: {100 * objects.share:.0f} %" if large else MEASURING

    def _follow(self) -> FollowedObjects | None:
        """Which objects are one in the series, if that is asked; have it found again where masks changed."""
        if self.scope != "series":
            return None
        if not self.session.objects.waiting:
            self.session.series.want()
        return self.session.series.found

    def _fill_column_box(self) -> None:
        names = self.model.numeric()
        if [self.column_box.itemData(n) for n in range(self.column_box.count())] != list(names):
            self.column_box.clear()
            for name in names:
                self.column_box.addItem(title_of(name, self.model.unit)[0], name)
        self.column_box.setCurrentIndex(self.column_box.findData(self._column))

    def _tell(self) -> None:
        if not self._shown:
            self.words.setText("")
        elif self.scope == "image":
            one = self._shown[0]
            self.words.setText(f"<b>{objects_in_words(one.table, one.classes)}</b> in {one.id}")
        else:
            classes = self._shown[0].classes
            noun = classes[0] if len(classes) == 1 else ""
            images = f"{len(self._shown):,} image{'s' * (len(self._shown) != 1)}"
            words = f"<b>{count_in_words(self.model.rowCount(), noun)}</b> in {images}"
            if self._followed is not None:
                tracks = sum(len({row.object for row in rows}) for rows in self._followed.series.values())
                words = f"<b>{count_in_words(tracks, noun)}</b> over {images}"
            self.words.setText(words)

    # the canvas

    def _selected_rows(self) -> NDArray[np.int64]:
        """Displayed rows that are selected, by ranges: an index for each of thousands takes long."""
        ranges = [(r.top(), r.bottom()) for r in self.view.selectionModel().selection()]
        found = [np.arange(top, bottom + 1) for top, bottom in ranges]
        return np.unique(np.concatenate(found)) if found else np.zeros(0, np.int64)

    def _selected(self) -> list[tuple[str, int]]:
        rows = self._selected_rows()
        return [self.model.object_at(int(row)) for row in rows[:MOST_MARKED]]

    def _select(self, objects: list[tuple[str, int]]) -> None:
        """Select the rows of objects, without going to them."""
        by_image: dict[str, list[int]] = {}
        for identifier, number in objects:
            by_image.setdefault(identifier, []).append(number)
        rows = [r for i, numbers in by_image.items() for r in self.model.rows_of(i, numbers)]
        self._following = True
        try:
            self._select_rows(np.array(sorted(rows), np.int64))
        finally:
            self._following = False
        self._mark(None)

    def _select_rows(self, rows: NDArray[np.int64]) -> None:
        selection, last = QItemSelection(), self.model.columnCount() - 1
        for run in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1):
            if run.size:
                selection.select(self.model.index(int(run[0]), 0), self.model.index(int(run[-1]), last))
        self.view.selectionModel().select(selection, SELECT | ROWS)

    def _on_selection(self, *_: object) -> None:
        if self._following:
            return
        self.histogram.drop_brush()
        rows = self._selected_rows()
        if len(rows) == 1:
            identifier, number = self.model.object_at(int(rows[0]))
            self.session.workspace.select(identifier)
            self._mark(number)
        else:
            self._mark(None)

    def _mark(self, centre_on: int | None) -> None:
        """Outline the selected objects of the current image."""
        current, rows = self.session.workspace.current, self._selected_rows()
        numbers = self.model.numbers_in(current, rows[:MOST_MARKED])
        self.marks.mark(current, tuple(int(n) for n in numbers), centre_on=centre_on)
        words = f"{len(rows):,} of {self.model.rowCount():,} selected" if len(rows) else ""
        self.selected_words.setText(words)

    def _on_picked(self, identifier: str, number: int) -> None:
        """An object was clicked on the canvas: its row is selected."""
        rows = self.model.rows_of(identifier, [number])
        if not rows or not self.isVisible():
            return
        self._following = True
        try:
            index = self.model.index(rows[0], 0)
            self.view.selectionModel().setCurrentIndex(index, SELECT | ROWS)
            self.view.scrollTo(index)
        finally:
            self._following = False
        self._mark(None)

    def select_range(self, low: float, high: float) -> None:
        """Select the objects whose value in the column of the histogram lies in a range."""
        values = self.model.values(self._column)
        rows = np.flatnonzero((values >= low) & (values <= high))
        self._following = True
        try:
            self._select_rows(rows)
            if rows.size:
                self.view.scrollTo(self.model.index(int(rows[0]), 0))
        finally:
            self._following = False
        self._mark(None)

    # out

    def copy(self) -> None:
        """Put the selected rows, or all, on the clipboard, as a spreadsheet takes them."""
        rows = self._selected_rows()
        rows = rows if len(rows) > 1 else np.arange(self.model.rowCount())
        columns = self.shown_columns()
        heading = [self.titles(name)[0] for name in columns]
        self.to_clipboard(heading, self.model.text_table(columns, rows.tolist()))

    def save(self) -> None:
        """Save all measurements of the objects that are shown."""
        path, _ = QFileDialog.getSaveFileName(self, "Save objects", "objects.csv", "Tables (*.csv)")
        if not path:
            return
        followed, shown = self._followed, self._shown
        try:
            if followed is not None and shown:
                write_objects_over_time(Path(path), followed.series, shown[0].classes)
            else:
                write_measurements(Path(path), ((one.id, one.table, one.classes) for one in shown))
        except OutputError as error:
            self.session.runner.failed.emit(error.sentence, "")
        else:
            self.session.runner.succeeded.emit(Outcome("The objects are saved.", Path(path)))

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Outline what is selected while it is open."""
        self.marks.set_active(True)
        super().showEvent(event)

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802
        """Rest while nobody looks."""
        super().hideEvent(event)
        self._look_again.stop()
        self.marks.set_active(False)
