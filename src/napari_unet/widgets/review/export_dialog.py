"""Export masks: what, which images, where, under which names; nothing is replaced unasked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QFileDialog,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_unet.data.files.pixel_size import parse_pixel_size
from napari_unet.errors import WorkbenchError
from napari_unet.export.formats import FORMATS
from napari_unet.export.naming import PATTERN, plan_files
from napari_unet.session.export_masks import current_masks, exportable, segmented_in_part
from napari_unet.widgets.parts.words import duration
from napari_unet.workflow.export.export_task import Exported, ExportTask

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_unet.data.files.pixel_size import PixelSize
    from napari_unet.engine.task import Job
    from napari_unet.export.naming import ExportPlan
    from napari_unet.session.session import Session

SCOPES = {
    "image": "this image",
    "selected": "the selected images",
    "all": "all with a mask",
    "done": "those that are done",
}
COLUMNS = 2  # of formats
SHOWN = 3  # names in the preview


class ExportDialog(QDialog):  # type: ignore[misc]
    """Writes masks and objects for other programs.

    Parameters
    ----------
    session : Session
        Whose masks.
    selected : callable
        () -> ids of the images selected in the list.
    parent : QWidget
        Owner.
    pixel_sizes : callable, optional
        (ids) -> size of a pixel of those images whose layers tell it.
    """

    def __init__(
        self,
        session: Session,
        selected: Callable[[], tuple[str, ...]],
        parent: QWidget,
        pixel_sizes: Callable[[Sequence[str]], dict[str, PixelSize]] = lambda ids: {},
    ) -> None:
        super().__init__(parent)
        self.session = session
        self.selected = selected
        self.pixel_sizes = pixel_sizes
        self._offered = ""  # size that was filled in for the person
        self._job: Job | None = None
        self._existing: list[Path] = []  # files that would be replaced
        self.setWindowTitle("Export masks")
        self.setMinimumWidth(520)
        self._build_inputs()
        self._build_end()
        form = QFormLayout()
        form.addRow("Images", self.scope_box)
        form.addRow("Formats", self.formats_part)
        form.addRow("Numbers are", self.numbers_box)
        folder = QHBoxLayout()
        folder.addWidget(self.folder_edit, 1)
        folder.addWidget(self.browse_button)
        form.addRow("Folder", folder)
        form.addRow("Names", self.pattern_edit)
        form.addRow("Pixel size", self.size_edit)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.preview)
        layout.addWidget(self.overwrite_box)
        layout.addWidget(self.bar)
        row = QHBoxLayout()
        row.addWidget(self.words, 1)
        row.addWidget(self.run_button)
        row.addWidget(self.cancel_button)
        row.addWidget(self.close_button)
        layout.addLayout(row)
        session.runner.job_changed.connect(self._show_job)
        for signal in (
            session.workspace.rows_changed,
            session.workspace.current_changed,
            session.workspace.collection_changed,
        ):
            signal.connect(self._on_images)
        self.refresh()

    def _build_inputs(self) -> None:
        self.scope_box = QComboBox()
        self.scope_box.setToolTip("Which masks are exported: as corrected, else as predicted")
        for key, title in SCOPES.items():
            self.scope_box.addItem(title, key)
        self.boxes: dict[str, QCheckBox] = {}
        self.formats_part = QWidget()
        grid = QGridLayout(self.formats_part)
        grid.setContentsMargins(0, 0, 0, 0)
        for index, entry in enumerate(FORMATS.values()):
            box = QCheckBox(entry.title)
            together = "; one file for all images" if entry.together else ""
            box.setToolTip(f"{entry.holds}{together}. Opened by: {entry.opened_by}")
            box.setChecked(entry.name == "tiff")
            box.toggled.connect(self.refresh)
            grid.addWidget(box, index // COLUMNS, index % COLUMNS)
            self.boxes[entry.name] = box
        self.numbers_box = QComboBox()
        self.numbers_box.addItem("classes", "classes")
        self.numbers_box.addItem("objects", "objects")
        self.numbers_box.setToolTip("What the numbers in mask files are; objects are numbered from 1")
        self.folder_edit = QLineEdit()
        self.folder_edit.setPlaceholderText("a folder; it is made if need be")
        self.browse_button = QPushButton("Browse…")
        self.browse_button.clicked.connect(self._browse)
        self.pattern_edit = QLineEdit(PATTERN)
        self.pattern_edit.setToolTip("{name}, {index} (or {index:04}) and {format} are filled in")
        self.size_edit = QLineEdit()
        self.size_edit.setPlaceholderText("of each layer or file; else like 0.65um or 0.5x0.65um (y, x)")
        self.size_edit.setToolTip(
            "Length of a pixel's sides, for formats and measurements that hold it. Filled in from scale and\n"
            "units of the layer where all images share them; empty, each has that of its layer, else its file"
        )
        for edit in (self.folder_edit, self.pattern_edit, self.size_edit):
            edit.textChanged.connect(self.refresh)
        self.scope_box.currentIndexChanged.connect(self.refresh)

    def _build_end(self) -> None:
        self.preview = QLabel()
        self.preview.setWordWrap(True)
        self.preview.setTextFormat(Qt.TextFormat.PlainText)
        self.overwrite_box = QCheckBox("Replace these files")
        self.overwrite_box.toggled.connect(self.refresh)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.bar.hide()
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.run_button = QPushButton("Export")
        self.run_button.setDefault(True)
        self.run_button.clicked.connect(self.export)
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Stop; files that are finished stay")
        self.cancel_button.clicked.connect(self.session.runner.cancel)
        self.cancel_button.hide()
        self.close_button = QPushButton("Close")
        self.close_button.clicked.connect(self.close)

    # what is chosen

    @property
    def formats(self) -> tuple[str, ...]:
        """Names of the formats that are ticked."""
        return tuple(name for name, box in self.boxes.items() if box.isChecked())

    def ids(self, scope: str) -> tuple[str, ...]:
        """Ids of the images of a scope that have masks."""
        found = exportable(self.session.workspace)
        if scope == "selected":
            wanted = set(self.selected())
            return tuple(i for i in found["all"] if i in wanted)
        return found[scope]

    def _plan(self) -> ExportPlan:
        folder = Path(self.folder_edit.text().strip()).expanduser()
        ids = self.ids(str(self.scope_box.currentData()))
        return plan_files(ids, folder, self.formats, self.pattern_edit.text())

    def _browse(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Export into this folder", self.folder_edit.text())
        if chosen:
            self.folder_edit.setText(chosen)

    # what is shown

    def _on_images(self, *_: object) -> None:
        if self.isVisible():
            self.refresh()

    def refresh(self) -> None:
        """Count images, preview names, and say what is in the way."""
        for index in range(self.scope_box.count()):
            key = str(self.scope_box.itemData(index))
            self.scope_box.setItemText(index, f"{SCOPES[key]} ({len(self.ids(key)):,})")
        self._offer_size()
        self.numbers_box.setEnabled(any(FORMATS[name].numbered for name in self.formats))
        self.run_button.setToolTip("")
        obstacle, found = self._obstacle()
        if found != self._existing:  # leave was given for other files
            self._existing = found
            self.overwrite_box.setChecked(False)
        existing = len(found)
        self.overwrite_box.setVisible(existing > 0)
        self.preview.setText(obstacle or self._names())
        if existing and not obstacle:
            self.preview.setText(f"{self.preview.text()}\n{existing:,} of these files are there already.")
        blocked = bool(obstacle) or (existing > 0 and not self.overwrite_box.isChecked())
        self.run_button.setEnabled(not blocked and not self.session.runner.busy)
        if self.session.runner.busy and not blocked:
            self.run_button.setToolTip("A task is running: wait for it, or cancel it")

    def _offer_size(self) -> None:
        """Fill in the size of a pixel that the layers tell, unless the person wrote another."""
        if self.size_edit.text() != self._offered:
            return
        ids = self.ids(str(self.scope_box.currentData()))
        sizes = self.pixel_sizes(ids)
        alike = len(sizes) == len(ids) and len(set(sizes.values())) == 1
        self._offered = next(iter(sizes.values())).text if alike else ""
        if self.size_edit.text() != self._offered:
            self.size_edit.blockSignals(True)  # what follows a change is being done
            self.size_edit.setText(self._offered)
            self.size_edit.blockSignals(False)

    def _obstacle(self) -> tuple[str, list[Path]]:
        """What keeps from exporting, in a sentence, and the files that would be replaced."""
        if not self.ids(str(self.scope_box.currentData())):
            return "No such image has a mask: segment some first.", []
        part = segmented_in_part(self.session.workspace, self.ids(str(self.scope_box.currentData())))
        if part:
            return part, []
        if not self.folder_edit.text().strip():
            return "Choose a folder.", []
        try:
            plan = self._plan()
            if self.size_edit.text().strip():
                parse_pixel_size(self.size_edit.text())
        except WorkbenchError as error:
            return error.sentence, []
        return "", plan.existing()

    def _names(self) -> str:
        paths = self._plan().paths
        measure, room = self.preview.fontMetrics(), self.minimumWidth() - 40
        first = [measure.elidedText(p.name, Qt.TextElideMode.ElideMiddle, room) for p in paths[:SHOWN]]
        more = [f"… {len(paths):,} files"] if len(paths) > SHOWN else []
        return "\n".join([*first, *more])

    def _show_job(self) -> None:
        running, progress = self._job is not None, self.session.runner.progress
        self.bar.setVisible(running)
        self.cancel_button.setVisible(running)
        self.close_button.setVisible(not running)
        if running and progress is not None:
            self.bar.setRange(0, int(progress.total) if progress.done else 0)
            self.bar.setValue(int(progress.done))
            left = progress.seconds_left
            words = (
                f"{int(progress.done):,} of {int(progress.total):,}" if progress.done else progress.message
            )
            self.words.setText(words if left is None else f"{words}, {duration(left)} left")
        elif self.isVisible():
            self.refresh()

    # doing it

    def export(self) -> None:
        """Write the files; what became of it is said in the dialog."""
        if self.session.runner.busy or self._obstacle()[0]:
            return
        size = self.size_edit.text().strip()
        if size == self._offered:  # to all its digits, from the layers
            size = ""
        ids = self.ids(str(self.scope_box.currentData()))
        session = self.session
        source, inference = (
            current_masks(session.workspace, ids, self.pixel_sizes(ids)),
            session.workspace.tiled_inference,
        )
        task = ExportTask(
            source,
            Path(self.folder_edit.text().strip()).expanduser(),
            self.formats,
            self.pattern_edit.text(),
            self.numbers_box.currentData(),
            self.overwrite_box.isChecked(),
            parse_pixel_size(size) if size else None,
        )
        self.words.setText("")

        def ended(job: Job) -> None:
            if job.state == "done":
                session.history.exported(task, source, inference)
            self._on_end(job)

        job = session.runner.run(task, len(ids), lambda _: None, ended)
        self._job = None if job.ended else job
        self._show_job()

    def _on_end(self, job: Job) -> None:
        self._job = None
        result = job.result
        if isinstance(result, Exported):
            self.words.setText(result.sentence)
            self.words.setToolTip("\n".join(problem.sentence for problem in result.problems[:20]))
        else:
            stopped = job.cancel_token.cancelled
            self.words.setText("Stopped; finished files stay." if stopped else "Nothing more was written.")
        self.overwrite_box.setChecked(False)
        self._show_job()
