"""Step 1: the images."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QMenu,
    QToolButton,
    QWidget,
)

from napari_unet.data.files.decoders.image_kinds import SUFFIXES
from napari_unet.data.files.decoders.microscope_files import PLUGINS
from napari_unet.data.files.reading import ImageReading, reading_images
from napari_unet.data.files.unreadable import unreadable_file
from napari_unet.data.masks.mask_reading import Choice, MaskReading, reading_masks
from napari_unet.errors import WorkbenchError
from napari_unet.session.images.layer_metadata import METADATA_KEY, OpenedData
from napari_unet.widgets.images.channel_box import ChannelBox
from napari_unet.widgets.images.image_table import ImageTable
from napari_unet.widgets.images.project_menu import ProjectMenu
from napari_unet.widgets.images.stack_question import StackQuestion
from napari_unet.widgets.parts.step import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.session.session import Session

EMPTY = (
    "Open a data set above, or drop a folder, zip or image on the viewer.\n\n"
    "Any image layer can be segmented; with reference masks you also see the IoU of each image."
)
SAMPLES = {
    "salt": "Salt in seismic sections",
    "nerve": "Nerves in ultrasound",
    "nuclei": "Nuclei",
    "membranes": "Cell membranes",
}
IMAGES = sorted({*SUFFIXES, *PLUGINS})
READ_HERE = {".zip", ".csv", ".tsv", ".json", ".geojson", ".xml", *PLUGINS}  # napari reads the other files
THUMBNAIL = 48  # pixels either way
CHOICES: tuple[Choice, ...] = ("", "objects", "classes")  # in the order of the list
REFRESH = 100  # milliseconds between two updates of the list


class ImagesPanel(Step):
    """Opens images and lists them."""

    opened = Signal(object)  # paths a person chose

    def __init__(
        self, session: Session, viewer: Any, dispatch: Callable[[Callable[[], None]], None], parent: QWidget
    ) -> None:
        super().__init__(1, "Images", parent)
        self.hint.cut = Qt.TextElideMode.ElideLeft
        self.session = session
        self.viewer = viewer
        self.dispatch = dispatch
        self._pool = ThreadPoolExecutor(1, "thumbnails")
        self._changed: set[str] = set()
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(REFRESH)
        self._soon.timeout.connect(self._update)

        self.open_button = QToolButton()
        self.open_button.setText("Open ▾")
        self.open_button.setToolTip("Open a data set (folder, zip, table), image files, or samples")
        self.open_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self.open_button)
        menu.addAction("Folder of images and masks…", self._choose_folder)
        menu.addAction("Zip or table of a data set…", self._choose_file)
        menu.addAction("Image files…", self._choose_images)
        samples = menu.addMenu("Samples (made up)")
        for key, title in SAMPLES.items():
            samples.addAction(title, lambda k=key: self.open_sample(k))
        menu.addSeparator()
        self.projects = ProjectMenu(session, menu, self.open_paths, self)
        self.projects.renamed.connect(self._show_name)
        self.open_button.setMenu(menu)
        head = self.layout().itemAt(1).layout()
        assert isinstance(head, QHBoxLayout)
        head.addWidget(self.open_button)

        self.table = ImageTable(self._request_thumbnail, self)
        self.table.set_empty_text(EMPTY)
        self.stack_question = StackQuestion(self)
        self.body.addWidget(self.stack_question)
        self.body.addWidget(self.table, 1)
        self.leave_out = QCheckBox()
        self.leave_out.setToolTip(
            "Training and scores do not use images that cannot be read, that are constant or copies, or "
            "whose masks are striped or contradict each other. The filter Problems lists them"
        )
        self.leave_out.hide()
        self.leave_out.clicked.connect(
            lambda checked: session.workspace.leave_out_problems(leave_out=checked)
        )
        self.masks_are = QComboBox()
        self.masks_are.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.masks_are.setMinimumContentsLength(14)
        self.masks_are.hide()
        self.masks_are.activated.connect(self._read_masks_as)
        self.channel_box = ChannelBox(self)
        self.channel_box.wanted.connect(session.channels.choose)
        head.insertWidget(1, self.table.below)  # where it costs no row of images
        self.body.addWidget(self.leave_out)
        self.table.above.addWidget(self.channel_box)
        self.body.addWidget(self.masks_are)
        self._last_slice: dict[str, str] = {}  # of a volume, the one that was in view last
        self.table.image_activated.connect(self._select)
        session.workspace.collection_changed.connect(self._on_collection)
        session.workspace.rows_changed.connect(self._on_rows)
        session.workspace.current_changed.connect(self._on_current)
        self._on_collection()

    def close_threads(self) -> None:
        """Read no more thumbnails."""
        self._soon.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)

    # opening

    def open_sample(self, key: str) -> None:
        """Show one of the made-up sets."""
        try:
            self.viewer.open_sample("napari-unet-workbench", key)
        except (KeyError, ValueError) as error:
            self.session.runner.failed.emit(f"the sample {key} cannot be opened: {error}", "")

    def open_paths(self, paths: list[str]) -> None:
        """Show files or folders in the viewer: data sets by our reader, the rest by napari's."""
        for path in map(Path, paths):
            ours = path.is_dir() or path.suffix.lower() in READ_HERE
            try:
                self.viewer.open(str(path), plugin="napari-unet-workbench" if ours else "napari")
            except (WorkbenchError, ValueError, OSError) as error:
                self.session.runner.failed.emit(_why_not(path, error), "")

    def _choose_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Open a folder of images, with or without masks")
        if path:
            self.open_paths([path])

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self,
            "Open a data set",
            filter="Data sets (*.zip *.csv *.tsv *.json *.geojson *.xml);;All files (*)",
        )
        if path:
            self.open_paths([path])

    def _choose_images(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(
            self, "Open images", filter=f"Images ({' '.join(f'*{s}' for s in IMAGES)});;All files (*)"
        )
        if paths:
            self.open_paths(paths)

    def _show_name(self) -> None:
        collection, project = self.session.workspace.collection, self.session.projects.project
        name = collection.name if collection is not None and len(collection) else ""
        self.hint.setText(name if project is None or not name else project.name)

    # the list

    def _on_collection(self) -> None:
        self._changed.clear()
        self.table.model.clear_thumbnails()
        self._last_slice.clear()
        self.table.set_rows(self.session.workspace.listed_rows())
        self._show_name()
        self._show_leave_out()
        self._show_masks_are()

    def _on_rows(self, identifiers: tuple[str, ...]) -> None:
        self._changed.update(identifiers)
        if not self._soon.isActive():
            self._soon.start()

    def _update(self) -> None:
        collection = self.session.workspace.collection
        if collection is not None:
            listed = {collection.listed(i) for i in self._changed if i in collection.entries}
            self.table.update_rows(self.session.workspace.listed_rows(listed))
        self._changed.clear()
        self._show_leave_out()

    def _show_leave_out(self) -> None:
        collection = self.session.workspace.collection
        count = 0 if collection is None else len(collection.flawed)
        self.leave_out.setVisible(count > 0)
        if collection is not None and count:
            self.leave_out.setText(f"Leave out {count:,} with problems")
            self.leave_out.setChecked(collection.leave_out_flaws)

    def _show_masks_are(self) -> None:
        collection = self.session.workspace.collection
        dataset = None if collection is None else collection.dataset
        self.masks_are.setVisible(dataset is not None and dataset.several_values)
        if dataset is None or not dataset.several_values:
            return
        found = "" if dataset.masks_are else f" ({'objects' if len(dataset.classes) == 1 else 'classes'})"
        self.masks_are.clear()
        self.masks_are.addItems([f"Masks: as found{found}", "Masks: objects", "Masks: classes"])
        self.masks_are.setCurrentIndex(CHOICES.index(dataset.masks_are))
        self.masks_are.setToolTip(
            f"The values in the masks: {dataset.masks}. If that is wrong, say here whether different values "
            "are numbers of objects or names of classes; the data set is opened again"
        )

    def _read_masks_as(self, index: int) -> None:
        """Open the data set again with its masks read so; where that fails all stays as it is."""
        collection = self.session.workspace.collection
        dataset = None if collection is None else collection.dataset
        if dataset is None or CHOICES[index] == dataset.masks_are:
            return
        before = dataset.masks_are
        old = [layer for layer in self.viewer.layers if _shows(layer, dataset)]
        self.session.read_masks_as(CHOICES[index])
        reading = ImageReading(channels=dataset.channels)
        with reading_masks(MaskReading(CHOICES[index])), reading_images(reading):
            self.open_paths([str(dataset.path)])
        fresh = [layer for layer in self.viewer.layers if opened_by_us(layer) and layer not in old]
        fresh = [layer for layer in fresh if layer.metadata[METADATA_KEY].dataset.path == dataset.path]
        if not fresh:
            self.session.read_masks_as(before)
            self._show_masks_are()
            return
        names = [layer.name for layer in old]
        for layer in old:
            self.viewer.layers.remove(layer)
        if len(names) == len(fresh):
            for layer, name in zip(fresh, names, strict=True):
                layer.name = name

    def _on_current(self, identifier: str) -> None:
        collection = self.session.workspace.collection
        listed = identifier if collection is None else collection.listed(identifier)
        if listed != identifier:
            self._last_slice[listed] = identifier
        if listed and listed != self.table.current_id():
            self.table.show_image(listed)

    def _select(self, listed: str) -> None:
        """Show an image, or a volume: at the slice that was in view last, else at its middle."""
        collection = self.session.workspace.collection
        if collection is None or listed not in collection.volumes:
            self.session.workspace.select(listed)
        elif collection.volume_of(self.session.workspace.current) != listed:
            slices = collection.volumes[listed]
            last = self._last_slice.get(listed, "")
            self.session.workspace.select(last if last in slices else slices[len(slices) // 2])

    def selected_ids(self) -> tuple[str, ...]:
        """Ids of the images in the selected rows, of a volume all slices."""
        collection, rows = self.session.workspace.collection, self.table.selected_ids()
        return rows if collection is None else tuple(i for row in rows for i in collection.members(row))

    def select(self, identifiers: Iterable[str]) -> None:
        """Select the rows of these images."""
        collection = self.session.workspace.collection
        self.table.select(
            identifiers if collection is None else dict.fromkeys(map(collection.listed, identifiers))
        )

    def flush(self) -> None:
        """Show now what is known."""
        self._soon.stop()
        self._update()

    def _request_thumbnail(self, identifier: str) -> None:
        collection = self.session.workspace.collection
        slices = () if collection is None else collection.members(identifier)
        if collection is None or not slices or slices[0] not in collection.entries:
            return
        load = collection.entries[slices[len(slices) // 2]].sample.read_image

        def work() -> None:
            try:
                picture = thumbnail(load())
            except (WorkbenchError, OSError, ValueError, IndexError):
                return  # the row tells of the problem once the image is used

            def show() -> None:
                if collection is self.session.workspace.collection:
                    self.table.set_thumbnail(identifier, picture)

            self.dispatch(show)

        try:
            self._pool.submit(work)
        except RuntimeError:  # closed meanwhile
            return


def opened_by_us(layer: Any) -> bool:
    """Whether our reader made a layer."""
    return isinstance(layer.metadata.get(METADATA_KEY), OpenedData)


def _shows(layer: Any, dataset: Dataset) -> bool:
    return opened_by_us(layer) and layer.metadata[METADATA_KEY].dataset.path == dataset.path


def thumbnail(image: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Make a small picture of an image.

    Parameters
    ----------
    image : numpy.ndarray
        (Y, X, C), any real dtype.

    Returns
    -------
    numpy.ndarray
        (Y, X) or (Y, X, 3) uint8, at most 48 pixels either way, stretched over its own range.
    """
    step = max(1, -(-max(image.shape[:2]) // THUMBNAIL))
    small = np.asarray(image[::step, ::step], np.float32)
    small = small[..., :3] if small.shape[-1] >= 3 else small[..., 0]
    finite = small[np.isfinite(small)]
    if not finite.size:
        return np.zeros(small.shape, np.uint8)
    low, high = float(finite.min()), float(finite.max())
    if image.dtype == np.uint8 and small.ndim == 3:
        low, high = 0.0, 255.0
    scaled = (np.nan_to_num(small, nan=low, posinf=high, neginf=low) - low) / max(high - low, 1e-9)
    return np.asarray(np.clip(scaled * 255, 0, 255), np.uint8)


def _why_not(path: Path, error: Exception) -> str:
    """Why a file or folder does not open, in a sentence that says what to do."""
    if isinstance(error, WorkbenchError):
        return error.sentence
    if path.is_file() and path.suffix.lower() not in SUFFIXES:
        return unreadable_file(path).sentence
    return f"{path}: {error}"
