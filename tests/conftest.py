"""What all tests share."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# What is installed beside it must not decide what the tests see; test_native.py asks for the other one.
os.environ.setdefault("NAPARI_UNET_RUNTIME", "keras")
os.environ["NAPARI_UNET_CACHE"] = "none"  # nor what the person who runs them has compiled

import gc
import shutil
import sys
from ctypes.util import find_library
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from support.tiny_models import provenance_of, without_graphs, write_tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_unet.engine.task import Engine
    from napari_unet.models.card import ModelCard
    from napari_unet.session.images.collection import Collection
    from napari_unet.session.session import Session

settings.register_profile("ours", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("ours")

ROOT = Path(__file__).parents[1]
PLUGIN = "napari-unet-workbench"


def why_no_window() -> str:
    """What keeps Qt from opening a window here; it would end the whole process, not one test."""
    if not sys.platform.startswith("linux") or os.environ.get("WAYLAND_DISPLAY"):
        return ""
    if not (os.environ.get("DISPLAY") or shutil.which("Xvfb")):
        return "there is neither a screen nor Xvfb"
    return "" if find_library("xcb-cursor") else "Qt needs the system's libxcb-cursor0"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse to open windows in a process that will load TensorFlow: it would crash."""
    windows = [item for item in items if item.get_closest_marker("window")]
    reason = why_no_window() if windows else ""
    if not reason and len(windows) < len(items) and config.getoption("-m") == "":
        reason = "window tests run in a process of their own: pytest -m window"
    if reason:
        for item in windows:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Folder with the zips of the real data sets."""
    folder = Path(os.environ.get("NAPARI_UNET_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir() or not list(folder.glob("*.zip")):
        pytest.skip("the real data sets are not here; set NAPARI_UNET_DATA to the folder of their zips")
    return folder


@pytest.fixture(scope="session")
def salt_tiles(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Gives the folder of a synthetic set of so many tiles in the TGS layout; tests only read it."""
    from napari_unet.data.synthetic import write_synthetic

    return cache(lambda count: write_synthetic("salt", tmp_path_factory.mktemp("set") / "salt", count))


@pytest.fixture(scope="session")
def salt_folder(salt_tiles: Callable[[int], Path]) -> Path:
    """A synthetic set of 24 tiles in the TGS layout."""
    return salt_tiles(24)


@pytest.fixture(scope="session")
def grey_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of grey images, of no known data; tests only read it."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "grey")


@pytest.fixture(scope="session")
def salt_model(tmp_path_factory: pytest.TempPathFactory, salt_folder: Path) -> Path:
    """A tiny model, trained, so it says, on the first half of the salt set; tests only read it."""
    from napari_unet.data.catalog import open_dataset

    dataset = open_dataset(salt_folder)
    ids = [s.id for s in dataset.samples]
    out = tmp_path_factory.mktemp("models") / "start"
    return write_tiny_model(out, provenance=provenance_of(dataset, ids[:12], ids[12:]))


@pytest.fixture(scope="session")
def nuclei_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic set of 6 images in the Data Science Bowl layout."""
    from napari_unet.data.synthetic import write_synthetic

    return write_synthetic("nuclei", tmp_path_factory.mktemp("nuclei"), 6)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Have TensorFlow compute without graphs in slow tests, unless they ask for graphs.

    Building a graph takes seconds; a tiny model needs milliseconds. Runs before the fixtures of a module.
    """
    if item.get_closest_marker("slow") and not item.get_closest_marker("window"):
        without_graphs(not item.get_closest_marker("graphs"))


@pytest.fixture(scope="module")
def step_by_step() -> Iterator[None]:
    """The same for the tests of a module that is not slow."""
    without_graphs()
    yield
    without_graphs(False)


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Overall scores are worked out at once, not after a pause in which more may change."""
    monkeypatch.setattr("napari_unet.session.overall_score.PAUSE", 0.0)


@pytest.fixture
def open_session(no_pause: None) -> Iterator[Callable[..., Session]]:
    """Opens sessions that make no project by themselves; closes them in the end."""
    from napari_unet.engine.inline import InlineEngine
    from napari_unet.models.card import ModelCard
    from napari_unet.session.session import Session

    opened: list[Session] = []

    def open_one(
        model: ModelCard | Path,
        collection: Collection | None = None,
        dispatch: Callable[[Callable[[], None]], None] = lambda function: function(),
        engine: Engine | None = None,
    ) -> Session:
        session = Session(engine or InlineEngine(), dispatch)
        opened.append(session)
        session.projects.automatic = False
        session.workspace.choose_model(ModelCard.read(model) if isinstance(model, Path) else model)
        if collection is not None:
            session.workspace.show(collection)
        return session

    yield open_one
    for session in opened:
        session.close()


@pytest.fixture(autouse=True)
def own_data_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Projects that nobody gave a place go into a folder of the test, not into the person's."""
    monkeypatch.setenv("NAPARI_UNET_HOME", str(tmp_path_factory.mktemp("own")))


@pytest.fixture(scope="session")
def open_window(qapp: Any) -> Callable[[], Any]:
    """Opens a real window of a napari that knows this plugin's manifest."""
    import napari
    from npe2 import PluginManager, PluginManifest

    # Before the first window: palettes of closed ones would hear of it, too, and fail.
    manager = PluginManager.instance()
    if PLUGIN not in manager:
        manager.register(PluginManifest.from_file(ROOT / "src" / "napari_unet" / "napari.yaml"))
    import napari_unet.widgets.workbench  # noqa: F401

    # napari collects garbage whenever a layer goes; what is imported need not be looked through each time.
    napari.Viewer(show=False).close()
    qapp.processEvents()
    gc.collect()
    gc.freeze()
    return lambda: napari.Viewer(show=False)


@pytest.fixture(scope="module")
def shared_viewer(open_window: Callable[[], Any], qapp: Any) -> Iterator[Any]:
    """One window for the tests of a module; to open one takes longer than most of them."""
    viewer = open_window()
    yield viewer
    viewer.close()
    qapp.processEvents()


@pytest.fixture
def viewer(shared_viewer: Any, qapp: Any) -> Iterator[Any]:
    """A window without layers and docks."""
    from napari_unet.widgets.canvas import layer_styles

    assert not shared_viewer.layers
    assert not shared_viewer.window._wrapped_dock_widgets
    yield shared_viewer
    shared_viewer.window.remove_dock_widget("all")
    shared_viewer.layers.clear()
    layer_styles.text_overlay(shared_viewer).visible = False
    qapp.processEvents()
