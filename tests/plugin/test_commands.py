from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_unet.plugin import commands
from napari_unet.session.layer_metadata import METADATA_KEY, OpenedData


class Dock:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def show(self) -> None:
        self.calls.append("show")

    def raise_(self) -> None:
        self.calls.append("raise")


class Workbench:
    def __init__(self) -> None:
        self.steps: list[str] = []

    def start(self, step: str) -> None:
        self.steps.append(step)

    def export(self) -> None:
        self.steps.append("export")


class Window:
    """A window that has the dock, as napari's."""

    def __init__(self, error: Exception | None = None) -> None:
        self.dock, self.widget, self.error = Dock(), Workbench(), error

    def add_plugin_dock_widget(self, plugin: str, name: str) -> tuple[Dock, Workbench]:
        assert (plugin, name) == ("napari-unet-workbench", "U-Net Workbench")
        if self.error is not None:
            raise self.error
        return self.dock, self.widget


@pytest.fixture
def with_dock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_has_dock", lambda: True)


@pytest.mark.parametrize(
    ("command", "step"),
    [
        (commands.segment, "segment"),
        (commands.review, "look"),
        (commands.measure, "look"),
        (commands.export, "export"),
    ],
)
@pytest.mark.usefixtures("with_dock")
def test_a_command_shows_the_dock_at_its_step(command: Any, step: str) -> None:
    window = Window()
    command(SimpleNamespace(window=window))
    assert window.widget.steps == [step]
    assert window.dock.calls == ["show", "raise"]


@pytest.mark.usefixtures("with_dock")
def test_without_a_window_nothing_happens(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert commands.show_workbench(SimpleNamespace()) is None
    commands.segment(SimpleNamespace(window=None))
    assert "no window" in caplog.text


@pytest.mark.usefixtures("with_dock")
def test_a_dock_that_cannot_be_made_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    window = Window(ImportError("no module named workbench"))
    assert commands.show_workbench(SimpleNamespace(window=window)) is None
    assert "no module named workbench" in caplog.text


def test_without_the_dock_in_the_manifest_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    from npe2 import PluginManager

    empty = PluginManager()
    monkeypatch.setattr(PluginManager, "instance", classmethod(lambda cls: empty))
    window = Window()
    assert commands.show_workbench(SimpleNamespace(window=window)) is None
    assert window.dock.calls == []


def test_reference_masks_cannot_be_painted_on() -> None:
    from napari.components import ViewerModel

    from napari_unet.plugin.sample_data import synthetic_dataset

    dataset = synthetic_dataset("salt", 1)
    viewer = ViewerModel()
    blank = np.zeros((5, 5), np.uint8)
    opened = OpenedData(dataset, (dataset[0].id,), "reference")
    reference = viewer.add_labels(blank, metadata={METADATA_KEY: opened})
    own = viewer.add_labels(blank)
    commands.lock_references(viewer)
    assert not reference.editable
    assert own.editable
