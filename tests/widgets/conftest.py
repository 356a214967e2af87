"""A window with the dock, tiny models made by another process, and one warm computing process for all."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def tiny_models(salt_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """grey (trained on half of the salt set), colour (5 channels), classes (2 classes)."""
    folder = tmp_path_factory.mktemp("models")
    subprocess.run(
        [sys.executable, "-m", "support.tiny_models", str(folder), str(salt_folder)],
        check=True,
        capture_output=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return {name: folder / name for name in ("grey", "colour", "classes")}


@pytest.fixture(scope="session")
def salt_zip(salt_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("zip") / "salt.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(salt_folder.rglob("*")):
            archive.write(file, file.relative_to(salt_folder))
    return path


@pytest.fixture(scope="session")
def warm_engine() -> Iterator[Any]:
    """A computing process that outlives the docks."""
    from napari_unet.engine.process import ProcessEngine

    engine = ProcessEngine()
    yield engine
    engine.close()


class SharedEngine:
    """The engine of one dock in a process that others use after it."""

    def __init__(self, engine: Any, dispatch: Callable[[Callable[[], None]], None]) -> None:
        self.engine = engine
        self.dispatch = dispatch
        self.jobs: list[Any] = []

    def submit(self, task: Any, *callbacks: Any) -> Any:
        self.engine.dispatch = self.dispatch
        job = self.engine.submit(task, *callbacks)
        self.jobs.append(job)
        return job

    def close(self) -> None:
        for job in self.jobs:
            job.cancel()


@pytest.fixture
def make_engine(warm_engine: Any) -> Callable[[Any], SharedEngine]:
    """What a dock is given to make its engine with."""
    return lambda dispatch: SharedEngine(warm_engine, dispatch)


@dataclass(frozen=True)
class Said:
    """What the status line was asked to say."""

    message: str
    details: str = ""


@pytest.fixture
def toasts() -> Iterator[list[Any]]:
    """What napari itself was asked to tell the person."""
    from napari.utils.notifications import notification_manager

    told: list[Any] = []
    notification_manager.notification_ready.connect(told.append)
    yield told
    notification_manager.notification_ready.disconnect(told.append)


@pytest.fixture
def notifications(toasts: list[Any], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the person was told: by napari, and errors and notes (no results) by the status line."""
    from napari_unet.widgets.parts.status_line import StatusLine

    show_error, show_outcome = StatusLine.show_error, StatusLine.show_outcome

    def error(line: Any, sentence: str, details: str = "") -> None:
        show_error(line, sentence, details)
        toasts.append(Said(line.words.toPlainText(), details))

    def outcome(line: Any, what: Any) -> None:
        show_outcome(line, what)
        if line.kind == "note":
            toasts.append(Said(line.words.toPlainText()))

    monkeypatch.setattr(StatusLine, "show_error", error)
    monkeypatch.setattr(StatusLine, "show_outcome", outcome)
    return toasts


@pytest.fixture
def shipped(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where models that come with the program would be: an empty folder, so that none is chosen unasked."""
    folder = tmp_path_factory.mktemp("shipped")
    monkeypatch.setattr("napari_unet.models.shipped.FOLDER", folder)
    return folder


@pytest.fixture
def dock(
    viewer: Any, warm_engine: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch, shipped: Path
) -> Iterator[Any]:
    """The dock in a window that shows nothing yet."""
    from napari_unet.widgets.workbench import Workbench

    monkeypatch.setattr("napari_unet.session.overall_score.PAUSE", 0.01)
    widget = Workbench(viewer, lambda dispatch: SharedEngine(warm_engine, dispatch))
    viewer.window.add_dock_widget(widget, name="U-Net Workbench", area="right")
    qtbot.wait(20)
    yield widget
    widget.shut_down()
    # Its connections keep it alive. What is left at the end PyQt deletes while it goes through all there
    # is, and then reads what is gone.
    widget.deleteLater()
    qtbot.wait(20)


@pytest.fixture
def ready(dock: Any, tiny_models: dict[str, Path]) -> Any:
    """The dock with a model of grey images."""
    dock.session.workspace.load_model(tiny_models["grey"])
    return dock
