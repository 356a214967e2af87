from __future__ import annotations

import builtins
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from npe2 import PluginManifest

from napari_unet.widgets.parts import preferences
from napari_unet.widgets.parts.preferences import GROUPS, Preferences, read_preferences

MANIFEST = Path(__file__).parents[2] / "src" / "napari_unet" / "napari.yaml"


def test_manifest_and_preferences_tell_the_same() -> None:
    pages = PluginManifest.from_file(MANIFEST).contributions.configurations
    assert pages is not None
    assert {key: group for group, page in pages.items() for key in page.properties} == GROUPS
    fields = Preferences.model_json_schema()["properties"]
    for field, group in GROUPS.items():
        told = pages[group].properties[field]
        assert told.default == fields[field]["default"]
        assert told.minimum == fields[field].get("minimum")
        assert told.maximum == fields[field].get("maximum")


def test_defaults_where_napari_has_no_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "napari.settings":
            raise ImportError(name)
        return usual(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert read_preferences() == Preferences()


def test_defaults_where_napari_does_not_know_the_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = pytest.importorskip("napari.settings")

    def unknown(plugin: str) -> None:
        raise KeyError(plugin)

    monkeypatch.setattr(settings, "get_plugin_settings", unknown, raising=False)
    assert read_preferences() == Preferences()


def test_values_out_of_bounds_give_way_to_defaults(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    kept = SimpleNamespace(
        computing=SimpleNamespace(tile_size=-4, start_process=False), scores=SimpleNamespace(confidence=0.9)
    )
    monkeypatch.setattr(preferences, "_plugin_settings", lambda: kept)
    found = read_preferences()
    assert found == Preferences(start_process=False, confidence=0.9)
    assert "the preference tile_size cannot be -4" in caplog.text


def test_nobody_is_asked_where_nothing_was_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = pytest.importorskip("napari.settings")
    kept = SimpleNamespace(computing=SimpleNamespace(tile_size=512))
    monkeypatch.setattr(settings, "get_plugin_settings", lambda _: kept, raising=False)
    napari_file = SimpleNamespace(config_path=tmp_path / "settings.yaml")
    monkeypatch.setattr(settings, "get_settings", lambda: napari_file)
    assert read_preferences() == Preferences()
    monkeypatch.setenv("napari_computing_tile_size", "512")  # napari reads such variables, too
    assert read_preferences() == Preferences(tile_size=512)
    monkeypatch.delenv("napari_computing_tile_size")
    (tmp_path / f"{preferences.PLUGIN}.yaml").write_text("computing:\n  tile_size: 512\n")
    assert read_preferences() == Preferences(tile_size=512)
    monkeypatch.setattr(settings, "get_settings", lambda: SimpleNamespace(config_path=None))
    assert read_preferences() == Preferences(tile_size=512)


def test_what_is_set_in_napari_is_read(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = pytest.importorskip("napari.settings")
    if not hasattr(settings, "get_plugin_settings"):
        pytest.skip("this napari has no preferences of plugins")
    request.getfixturevalue("plugin_settings")
    request.getfixturevalue("npe2pm").register(PluginManifest.from_file(MANIFEST))
    page = settings.get_plugin_settings(preferences.PLUGIN)
    napari_file = SimpleNamespace(config_path=page.config_path.with_name("settings.yaml"))
    monkeypatch.setattr(settings, "get_settings", lambda: napari_file)
    assert read_preferences() == Preferences()
    page.computing.tile_size = 512
    page.scores.confidence = 0.8
    assert read_preferences() == Preferences(tile_size=512, confidence=0.8)
    assert "tile_size: 512" in page.config_path.read_text()
