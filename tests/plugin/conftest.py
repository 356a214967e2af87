from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

MANIFEST = Path(__file__).parents[2] / "src" / "napari_unet" / "napari.yaml"


@pytest.fixture
def plugin_manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """A plugin manager that knows this plugin alone."""
    from npe2 import PluginManager, PluginManifest

    manager = PluginManager()
    manager.register(PluginManifest.from_file(MANIFEST))
    monkeypatch.setattr(PluginManager, "instance", classmethod(lambda cls: manager))
    yield manager
    manager.deactivate("napari-unet-workbench")
