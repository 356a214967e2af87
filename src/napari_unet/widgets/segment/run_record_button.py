"""The button that saves run records of what was done in this session."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog, QMenu, QToolButton, QWidget

from napari_unet.errors import OutputError
from napari_unet.session.outcome import Outcome

if TYPE_CHECKING:
    from napari_unet.session.session import Session


class RunRecordButton(QToolButton):  # type: ignore[misc]
    """Lists the last runs, and saves the run record of one; hidden until there is a run.

    Parameters
    ----------
    session : Session
        Whose runs.
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.setText("Save run ▾")
        self.setToolTip("Save a run as run.json: `napari-unet run run.json` repeats it")
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.choices = QMenu(self)
        self.choices.setToolTipsVisible(True)
        self.choices.aboutToShow.connect(self._fill)
        self.setMenu(self.choices)
        session.background.changed.connect(self.refresh)
        session.runner.job_changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Be there once something was done."""
        self.setVisible(bool(self.session.history.finished))
        self.setEnabled(not self.session.runner.busy)

    def _fill(self) -> None:
        self.choices.clear()
        for kind, describe in self.session.history.finished.items():
            done = describe()
            action = self.choices.addAction(f"Save run: {done.title}…")
            words = "Data, model, settings and versions, with hashes"
            if done.attached:
                words += (
                    f";\n{done.attached:,} image{'s' * (done.attached != 1)}, or masks of them, that no file "
                    "holds as they are go into a folder next to it"
                )
            action.setToolTip(words)
            action.triggered.connect(lambda _=False, k=kind: self._ask(k))

    def _ask(self, kind: str) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the run", "run.json", "Run records (*.json)")
        if path:
            self.save(kind, Path(path))

    def save(self, kind: str, path: Path) -> None:
        """Write the record of a run, and say so when it is written."""
        if path.suffix.lower() != ".json":
            path = path.with_name(f"{path.name}.json")
            if path.exists():  # the person was asked about the other name
                error = OutputError(
                    f"{path} is there already",
                    code="output.exists",
                    remedy="choose that very name to replace it",
                )
                self.session.runner.failed.emit(error.sentence, "")
                return
        self.session.history.save(
            kind, path, lambda saved: self.session.runner.succeeded.emit(Outcome("The run is saved.", saved))
        )
