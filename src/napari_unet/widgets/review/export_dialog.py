"""Export masks: what, which images, where, under which names; nothing is replaced unasked."""

from __future__ import annotations

import math
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
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_unet.data.files.pixel_size import parse_pixel_size
from napari_unet.errors import WorkbenchError
from napari_unet.export.formats import FORMATS
from napari_unet.export.naming import PATTERN, plan_files
from napari_unet.session.export_masks import current_masks, exportable, segmented_in_part
from napari_unet.session.outcome import Outcome
from napari_unet.widgets.parts.words import LINK_TIP, count
from napari_unet.workflow.export.export_task import Exported, ExportTask

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_unet.data.files.pixel_size import PixelSize
    from napari_unet.engine.task import Job
    from napari_unet.export.naming import ExportPlan
    from napari_unet.export.stacks import StackSlice
    from napari_unet.session.session import Session

SCOPES = {
    "stack": "this stack",
    "image": "this image",
    "selected": "the selected images",
    "all": "all with a mask",
    "done": "those that are done",
}
COLUMNS = 2  # of formats
SHOWN = 3  # names in the preview
TOLD = 3  # images that could not be exported, with the reason


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
    stack_slices : callable, optional
        (ids) -> where those images that are slices of a stack lie in it.
    """

    def __init__(
        self,
        session: Session,
        selected: Callable[[], tuple[str, ...]],
        parent: QWidget,
        pixel_sizes: Callable[[Sequence[str]], dict[str, PixelSize]] = lambda ids: {},
        stack_slices: Callable[[Sequence[str]], dict[str, StackSlice]] = lambda ids: {},
    ) -> None:
        super().__init__(parent)
        self.session = session
        self.selected = selected
        self.pixel_sizes, self.stack_slices = pixel_sizes, stack_slices
        self._in_stack: bool | None = None  # whether the current image is a slice; None: not known yet
        self._offered = ""  # size that was filled in for the person
        self._chosen: set[QComboBox] = set()  # by the person, in this dialog
        self._existing: list[Path] = []  # files that would be replaced
        self.setWindowTitle("Export masks")
        self.setMinimumWidth(520)
        self._build_inputs()
        self._build_end()
        form = QFormLayout()
        form.addRow("Images", self.scope_box)
        form.addRow("Formats", self.formats_part)
        form.addRow("Pixel values", self.numbers_box)
        folder = QHBoxLayout()
        folder.addWidget(self.folder_edit, 1)
        folder.addWidget(self.browse_button)
        form.addRow("Stacks", self.stacks_part)
        self.stacks_title = form.labelForField(self.stacks_part)
        form.addRow("Folder", folder)
        form.addRow("Names", self.pattern_edit)
        form.addRow("Pixel size", self.size_edit)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.preview)
        layout.addWidget(self.overwrite_box)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(self.run_button)
        row.addWidget(self.close_button)
        layout.addLayout(row)
        session.runner.job_changed.connect(self._on_images)
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
        self.numbers_box.setToolTip(
            "What the pixel values of mask files are: classes, or a number for each object"
        )
        for box in (self.scope_box, self.numbers_box):
            box.activated.connect(lambda _, b=box: self._chosen.add(b))
        self.file_box = QComboBox()
        self.file_box.addItem("one file for each stack", True)
        self.file_box.addItem("one file for each slice", False)
        self.file_box.setToolTip(
            "<qt>TIFF, OME-TIFF and NumPy files hold a whole stack. Files of single slices have the number "
            "of the slice in their name. Other formats write a file for each slice.</qt>"
        )
        self.link_box = QCheckBox("Link objects")
        self.link_box.setToolTip(LINK_TIP)
        self.link_box.toggled.connect(self.session.workspace.link)
        self.stacks_part = QWidget()
        row = QHBoxLayout(self.stacks_part)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.file_box, 1)
        row.addWidget(self.link_box)
        self.folder_edit = QLineEdit()
        self.folder_edit.setPlaceholderText("a folder; a new one is made")
        self.browse_button = QPushButton("Browse…")
        self.browse_button.clicked.connect(self._browse)
        self.pattern_edit = QLineEdit(PATTERN)
        self.pattern_edit.setToolTip("{name}, {index} (or {index:04}) and {format} are filled in")
        self.size_edit = QLineEdit()
        self.size_edit.setPlaceholderText("e.g. 0.65 um; leave empty to use that of each layer or file")
        self.size_edit.setToolTip(
            "Size of a pixel, for formats and measurements that store it. It comes from scale and units of\n"
            "the layer if all images share them. If it is empty, each image has that of its layer or file"
        )
        for edit in (self.folder_edit, self.pattern_edit, self.size_edit):
            edit.textChanged.connect(self.refresh)
        self.scope_box.currentIndexChanged.connect(self.refresh)
        self.numbers_box.currentIndexChanged.connect(self.refresh)
        self.file_box.currentIndexChanged.connect(self.refresh)

    def _build_end(self) -> None:
        self.preview = QLabel()
        self.preview.setWordWrap(True)
        self.preview.setTextFormat(Qt.TextFormat.PlainText)
        self.overwrite_box = QCheckBox("Replace these files")
        self.overwrite_box.toggled.connect(self.refresh)
        self.run_button = QPushButton("Export")
        self.run_button.setDefault(True)
        self.run_button.clicked.connect(self.export)
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
        if scope == "stack":
            places = self.stack_slices((*found["all"], self.session.workspace.current))
            here = places.get(self.session.workspace.current)
            every = found["all"] if here is not None else ()
            return tuple(i for i in every if i in places and places[i].stack == here.stack)  # type: ignore[union-attr]
        if scope == "selected":
            wanted = set(self.selected())
            return tuple(i for i in found["all"] if i in wanted)
        return found[scope]

    def offer(self, numbers: str) -> None:
        """Offer "classes" or "objects" as they are shown, and a scope; what a person chose here stays."""
        if self.numbers_box not in self._chosen:
            self.numbers_box.setCurrentIndex(self.numbers_box.findData(numbers))
        self._offer_scope()

    def _offer_scope(self) -> None:
        """Offer the stack of the current image, else all masks."""
        if self.scope_box not in self._chosen:
            many = "stack" if self._in_stack else "all"
            self.scope_box.setCurrentIndex(
                self.scope_box.findData(many if len(self.ids(many)) > 1 else "image")
            )

    def _plan(self) -> ExportPlan:
        folder = Path(self.folder_edit.text().strip()).expanduser()
        ids = self.ids(str(self.scope_box.currentData()))
        slices = self.stack_slices(ids)
        pattern = self.pattern_edit.text()
        return plan_files(ids, folder, self.formats, pattern, slices, one_file=self._one_file(ids))

    def _one_file(self, ids: tuple[str, ...]) -> bool:
        """Whether stacks are one file each: never where a person wants a single slice."""
        return bool(self.file_box.currentData()) and len(ids) > 1

    def _show_stacks(self) -> None:
        """Offer what there is for stacks where the current image is a slice of one."""
        current = self.session.workspace.current
        in_stack = current in self.stack_slices([current])
        for widget in (self.stacks_part, self.stacks_title):
            widget.setVisible(in_stack)
        self.link_box.setChecked(self.session.workspace.link_objects)
        objects = self.numbers_box.currentData() == "objects"
        self.link_box.setEnabled(objects or not all(FORMATS[name].numbered for name in self.formats))
        if in_stack != self._in_stack:
            self._in_stack = in_stack
            if not in_stack and self.scope_box.currentData() == "stack":
                self._chosen.discard(self.scope_box)
            self._offer_scope()
        view = self.scope_box.view()
        view.setRowHidden(self.scope_box.findData("stack"), not in_stack)

    def _empty_slices(self) -> str:
        """How many slices will be empty in files of whole stacks, in a sentence; empty if none will be."""
        ids = self.ids(str(self.scope_box.currentData()))
        if not self._one_file(ids) or not any(FORMATS[name].stacked for name in self.formats):
            return ""
        stacks: dict[str, tuple[int, int]] = {}
        for place in self.stack_slices(ids).values():
            total = math.prod(place.leading)
            stacks[place.stack] = stacks.get(place.stack, (0, total))[0] + 1, total
        there, total = (sum(n) for n in zip(*stacks.values(), strict=True)) if stacks else (0, 0)
        if there == total:
            return ""
        return f"{total - there:,} of {total:,} slices are not among these: they are empty in the file."

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
        self._show_stacks()
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
        return "\n".join(filter(None, [*first, *more, self._empty_slices()]))

    # doing it

    def export(self) -> None:
        """Write the files; the dock shows how far it is, and the result."""
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
            self._one_file(ids),
            session.workspace.link_objects,
            self.stack_slices(ids),
        )

        def ended(job: Job) -> None:
            if job.state == "done":
                session.history.exported(task, source, inference)
            if isinstance(job.result, Exported):
                session.runner.succeeded.emit(Outcome(in_words(job.result), task.out))
            elif job.cancel_token.cancelled:
                session.runner.succeeded.emit(
                    Outcome("Export stopped. Files that are finished stay.", task.out)
                )

        self.overwrite_box.setChecked(False)
        self.close()
        session.runner.run(task, len(ids), lambda _: None, ended, "Exporting")


def in_words(result: Exported) -> str:
    """What was exported, and the first reasons why images were left out."""
    words = f"Exported {count(result.images, 'image')} in {count(len(result.paths), 'file')}"
    if not result.problems:
        return f"{words}."
    why = "; ".join(problem.sentence for problem in result.problems[:TOLD])
    more = f"; and {len(result.problems) - TOLD:,} more" if len(result.problems) > TOLD else ""
    return f"{words}; {len(result.problems):,} left out: {why}{more}."
