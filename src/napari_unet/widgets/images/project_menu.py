"""Projects in the window: the last ones, their names, and where corrections are saved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog, QInputDialog, QMenu, QWidget

from napari_unet.errors import WorkbenchError
from napari_unet.session.outcome import Outcome
from napari_unet.session.projects.recent_projects import recent_projects, remember_project
from napari_unet.widgets.parts.words import count

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.session.projects.recent_projects import RecentProject
    from napari_unet.session.session import Session


class ProjectMenu(QObject):  # type: ignore[misc]
    """The entries about projects in the menu Open.

    Parameters
    ----------
    session : Session
        Whose project.
    menu : QMenu
        Gets the entries.
    open_paths : callable
        Opens data in the viewer.
    parent : QWidget
        Owner of dialogs.
    """

    renamed = Signal()  # the project of the open images has a name, or another one

    def __init__(
        self, session: Session, menu: QMenu, open_paths: Callable[[list[str]], object], parent: QWidget
    ) -> None:
        super().__init__(parent)
        self.session, self._open_paths, self._widget = session, open_paths, parent
        self._placed: set[Path] = set()  # projects whose folder was named
        self._noted = False  # whether the project itself has just said something
        self.recent = menu.addMenu("Recent projects")
        self.recent.setToolTipsVisible(True)
        self.recent.aboutToShow.connect(self._fill_recent)
        menu.addAction("Save corrections in a folder…", self._choose_folder)
        self.rename_action = menu.addAction("Rename project…", self._ask_name)
        self.where_action = menu.addAction("Where are my corrections?", self.show_where)
        menu.aboutToShow.connect(self._on_menu)
        session.projects.noted.connect(self._on_noted)
        session.projects.project_changed.connect(self._on_project)

    def _on_menu(self) -> None:
        there = self.session.projects.project is not None
        self.rename_action.setEnabled(there)
        self.where_action.setEnabled(there)

    def _fill_recent(self) -> None:
        self.recent.clear()
        for one in recent_projects():
            action = self.recent.addAction(f"{one.name} ({count(one.images, 'image')})")
            action.setToolTip(f"Corrections: {one.folder}\nImages: {one.data or 'in no data set'}")
            action.setEnabled(bool(one.data) and Path(one.data).exists())
            action.triggered.connect(lambda _=False, r=one: self.open_recent(r))
        if self.recent.isEmpty():
            self.recent.addAction("none yet: your first stroke makes one").setEnabled(False)

    def open_recent(self, recent: RecentProject) -> None:
        """Open the images of a project, with what was corrected there."""
        self.session.projects.wanted[Path(recent.data).resolve()] = Path(recent.folder)
        self._open_paths([recent.data])

    def _choose_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(
            self._widget, "A new, empty folder for corrections, or a project"
        )
        if path:
            self.session.projects.use_folder(Path(path))

    def _ask_name(self) -> None:
        project = self.session.projects.project
        if project is None:
            return
        name, chosen = QInputDialog.getText(self._widget, "Rename project", "Name", text=project.name)
        if not chosen:
            return
        try:
            project.rename(name)
        except WorkbenchError as error:
            self.session.runner.failed.emit(error.sentence, "")
        else:
            remember_project(project)
            self.renamed.emit()

    def show_where(self) -> None:
        """Say in which folder the corrections are."""
        project = self.session.projects.project
        if project is not None:
            self.session.runner.succeeded.emit(
                Outcome("Corrections are saved in this folder.", project.folder)
            )

    def _on_noted(self, sentence: str) -> None:
        self._noted = True

    def _on_project(self) -> None:
        """Say once where the corrections of a project are, unless it says something itself."""
        project, noted = self.session.projects.project, self._noted
        self._noted = False
        self.renamed.emit()
        if project is None:
            return
        remember_project(project)
        if project.folder not in self._placed and not noted:
            self.show_where()
        self._placed.add(project.folder)
