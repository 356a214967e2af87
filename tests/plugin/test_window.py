from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from npe2 import PluginManager
from qtpy.QtWidgets import QWidget

from napari_unet.plugin import commands
from napari_unet.session.images.layer_metadata import METADATA_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

PLUGIN = "napari-unet-workbench"
MAKE_DOCK = f"{PLUGIN}.workbench"
HAS_SCREEN = bool(os.environ.get("DISPLAY")) or shutil.which("Xvfb") or sys.platform in {"win32", "darwin"}
pytestmark = [
    pytest.mark.window,
    pytest.mark.skipif(not HAS_SCREEN, reason="there is neither a screen nor Xvfb"),
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
    ),
]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The viewers whose dock was shown."""
    viewers: list[Any] = []
    monkeypatch.setattr(commands, "show_workbench", viewers.append)
    return viewers


def test_a_folder_opens_as_a_stack_and_shows_the_dock(
    viewer: Any, salt_folder: Path, shown: list[Any], qtbot: Any
) -> None:
    images, masks = viewer.open(str(salt_folder), plugin=PLUGIN)
    assert images.data.shape == (30, 101, 101, 3)
    assert masks.name == f"{images.name} reference"
    qtbot.waitUntil(lambda: shown == [viewer])
    assert not masks.editable
    viewer.dims.set_current_step(0, 7)
    truth = images.metadata[METADATA_KEY].dataset.samples[7].read_mask().labels
    np.testing.assert_array_equal(np.asarray(masks._slice.image.raw), truth)


def test_images_of_several_sizes_and_many_channels_open(
    viewer: Any, nuclei_folder: Path, shown: list[Any], tmp_path: Path
) -> None:
    import tifffile

    image, _ = viewer.open(str(nuclei_folder), plugin=PLUGIN)
    assert image.data.ndim == 3
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for name in "ab":
        pixels = np.arange(8 * 9 * 5, dtype=np.uint16).reshape(8, 9, 5)
        tifffile.imwrite(
            tmp_path / f"images/{name}.tif", pixels, photometric="minisblack", planarconfig="contig"
        )
        tifffile.imwrite(tmp_path / f"masks/{name}.tif", np.eye(8, 9, dtype=np.uint8))
    layers = viewer.open(str(tmp_path), plugin=PLUGIN)
    assert [layer.data.shape for layer in layers] == [(2, 8, 9)] * 6
    assert all(METADATA_KEY in layer.metadata for layer in layers)


def test_the_real_salt_opens_from_its_zip(viewer: Any, data_root: Path, shown: list[Any]) -> None:
    path = data_root / "tgs-salt.zip"
    if not path.is_file():
        pytest.skip("the real set is not here")
    started = time.perf_counter()
    images, masks = viewer.open(str(path), plugin=None)  # as when dropped; none else reads zips
    print(f"{len(images.data)} tiles in {time.perf_counter() - started:.2f} s")
    assert len(images.data) == len(masks.data) > 3000
    viewer.dims.set_current_step(0, 1234)


def test_a_damaged_zip_is_told_in_its_sentence(
    viewer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cut.zip").write_bytes(b"PK\3\4 no more came")
    seen: list[str] = []
    monkeypatch.setattr("napari.utils.notifications.show_error", seen.append)
    assert viewer.open(str(tmp_path / "cut.zip"), plugin=PLUGIN) == []
    assert "it may be cut off" in seen[0]


def test_a_folder_of_images_without_masks_opens_by_their_names(
    viewer: Any, tmp_path: Path, shown: list[Any]
) -> None:
    from PIL import Image

    for name, side in (("photo 2", 20), ("photo 10", 30)):
        Image.fromarray(np.full((side, 24, 3), side, np.uint8)).save(tmp_path / f"{name}.png")
    (layer,) = viewer.open(str(tmp_path), plugin=PLUGIN)
    assert layer.data.shape == (20, 24, 3)  # of several sizes the first is shown, all are listed
    opened = layer.metadata["napari_unet"].dataset
    assert [sample.id for sample in opened.unlabelled] == ["photo 2", "photo 10"]


def test_a_folder_without_images_is_told_in_a_sentence(
    viewer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr("napari.utils.notifications.show_error", seen.append)
    (tmp_path / "notes.txt").write_text("hello")
    assert viewer.open(str(tmp_path), plugin=PLUGIN) == []
    assert "holds no image" in seen[0]


@pytest.mark.parametrize("kind", ["salt", "nuclei"])
def test_samples_open_from_the_menu(viewer: Any, shown: list[Any], kind: str, qtbot: Any) -> None:
    viewer.open_sample(PLUGIN, kind)
    assert [layer.metadata[METADATA_KEY].role for layer in viewer.layers] == ["images", "reference"]
    qtbot.waitUntil(lambda: shown == [viewer])


@pytest.mark.parametrize("command", ["segment", "review", "measure"])
def test_commands_are_given_the_viewer(viewer: Any, shown: list[Any], command: str) -> None:
    from napari._app_model import get_app_model

    app = get_app_model()
    app.commands.execute_command(f"{PLUGIN}.{command}").result()
    assert shown == [viewer]
    menus = {
        "segment": "napari/layers/segment",
        "review": "napari/layers/annotate",
        "measure": "napari/layers/measure",
    }
    items = [item.command.id for item in app.menus.get_menu(menus[command]) if hasattr(item, "command")]
    assert f"{PLUGIN}.{command}" in items


@pytest.mark.parametrize("name", ["masks.tif", "masks.npy", "masks.csv"])
def test_a_labels_layer_is_saved(viewer: Any, tmp_path: Path, name: str) -> None:
    layer = viewer.add_labels(np.eye(6, dtype=np.uint8))
    assert layer.save(str(tmp_path / name), plugin=PLUGIN) == [str(tmp_path / name)]
    assert (tmp_path / name).is_file()


def test_the_preferences_have_a_page(viewer: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = pytest.importorskip("napari.settings")
    if not hasattr(settings, "get_plugin_settings"):
        pytest.skip("this napari has no preferences of plugins")
    from napari._qt.dialogs.preferences_dialog import PreferencesDialog

    monkeypatch.setattr(settings, "_CFG_PATH", str(tmp_path / "settings.yaml"))
    settings._clear_plugin_settings_cache()
    dialog = PreferencesDialog(parent=viewer.window._qt_window)
    try:
        pages = [dialog._list.item(row).text() for row in range(dialog._list.count())]
        assert "U-Net Workbench" in pages
        dialog._list.setCurrentRow(pages.index("U-Net Workbench"))
        if folder := os.environ.get("NAPARI_UNET_PICTURES"):
            dialog.resize(900, 600)
            dialog.show()
            dialog.grab().save(str(Path(folder) / "preferences.png"))
    finally:
        dialog.close()
        settings._clear_plugin_settings_cache()


class StandIn(QWidget):
    """Takes the place of the workbench in its dock."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.setObjectName(PLUGIN)
        self.viewer = napari_viewer
        self.steps: list[str] = []

    def start(self, step: str) -> None:
        self.steps.append(step)


@pytest.fixture
def stand_in() -> Iterator[None]:
    """Docks of ours hold a stand-in.

    It is not registered as a plugin of its own: palettes of windows that were closed would hear of it.
    """
    registered = PluginManager.instance().commands
    ours = registered.get(MAKE_DOCK)
    registered.unregister(MAKE_DOCK)
    registered.register(MAKE_DOCK, StandIn)
    yield
    registered.unregister(MAKE_DOCK)
    registered.register(MAKE_DOCK, ours)


def test_the_dock_opens_once_and_again_when_it_was_closed(viewer: Any, stand_in: None) -> None:
    first = commands.show_workbench(viewer)
    assert isinstance(first, StandIn)
    commands.segment(viewer)
    dock = next(d for d in viewer.window._wrapped_dock_widgets.values() if d.inner_widget() is first)
    dock.hide()
    commands.review(viewer)
    assert not dock.isHidden()
    assert first.steps == ["segment", "look"]
    assert first.viewer is not None  # napari gives a proxy of it
    assert len(viewer.window._wrapped_dock_widgets) == 1
