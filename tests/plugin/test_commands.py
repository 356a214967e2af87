from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_unet.plugin import commands
from napari_unet.session.images.layer_metadata import METADATA_KEY, OpenedData
from napari_unet.widgets.parts import one_dock


class Workbench:
    def __init__(self) -> None:
        self.steps: list[str] = []

    def start(self, step: str) -> None:
        self.steps.append(step)

    def export(self) -> None:
        self.steps.append("export")


class Window:
    """A window whose dock is open."""

    def __init__(self) -> None:
        self.dock_widgets: dict[str, Any] = {}
        self.added: list[str] = []

    def add_dock_widget(self, widget: Any, name: str) -> None:
        self.added.append(name)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The widgets whose docks were brought to the front."""
    widgets: list[Any] = []
    monkeypatch.setattr(one_dock, "reveal", widgets.append)
    return widgets


@pytest.mark.parametrize(
    ("command", "step"),
    [
        (commands.segment, "segment"),
        (commands.review, "look"),
        (commands.measure, "look"),
        (commands.export, "export"),
    ],
)
def test_a_command_shows_the_dock_at_its_step(
    command: Any, step: str, shown: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    window, bench = Window(), Workbench()
    monkeypatch.setattr(one_dock, "workbench_of", lambda of: bench if of is window else None)
    command(SimpleNamespace(window=window))
    assert bench.steps == [step]
    assert shown == [bench]
    assert not window.added


def test_without_a_window_nothing_happens(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert commands.show_workbench(SimpleNamespace()) is None  # type: ignore[arg-type]
    commands.segment(SimpleNamespace(window=None))  # type: ignore[arg-type]
    assert "no window" in caplog.text


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Any:
    """npe2 with no plugin."""
    from npe2 import PluginManager

    manager = PluginManager()
    monkeypatch.setattr(PluginManager, "instance", classmethod(lambda cls: manager))
    return manager


def register(manager: Any, make: Any) -> None:
    from npe2 import PluginManifest

    manager.register(PluginManifest.from_file(Path(commands.__file__).parents[1] / "napari.yaml"))
    manager.commands.register(f"{commands.PLUGIN}.workbench", make)


def test_the_dock_is_opened_under_the_name_that_the_menu_gives_it(plugins: Any, shown: list[Any]) -> None:
    window, bench = Window(), Workbench()
    viewer: Any = SimpleNamespace(window=window)
    register(plugins, lambda of: bench if of is viewer else None)
    assert commands.show_workbench(viewer) is bench
    assert window.added == ["U-Net Workbench (U-Net Workbench)"]
    assert shown == [bench]


def test_a_dock_that_cannot_be_made_is_logged(plugins: Any, caplog: pytest.LogCaptureFixture) -> None:
    def fails(viewer: Any) -> None:
        raise ImportError("no module named workbench")

    register(plugins, fails)
    assert commands.show_workbench(SimpleNamespace(window=Window())) is None  # type: ignore[arg-type]
    assert "no module named workbench" in caplog.text


@pytest.mark.usefixtures("plugins")
def test_without_the_dock_in_the_manifest_nothing_happens() -> None:
    window = Window()
    assert commands.show_workbench(SimpleNamespace(window=window)) is None  # type: ignore[arg-type]
    assert window.added == []


def test_reference_masks_cannot_be_painted_on() -> None:
    from napari.components import ViewerModel

    from napari_unet.plugin.sample_data import synthetic_dataset

    dataset = synthetic_dataset("salt", 1)
    viewer = ViewerModel()
    blank = np.zeros((5, 5), np.uint8)
    opened = OpenedData(dataset, (dataset[0].id,), "reference")
    reference = viewer.add_labels(blank, metadata={METADATA_KEY: opened})
    own = viewer.add_labels(blank)
    commands.lock_references(viewer)  # type: ignore[arg-type]
    assert not reference.editable
    assert own.editable
