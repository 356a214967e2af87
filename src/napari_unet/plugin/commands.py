"""What the menus do: show the dock at one of its steps."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from napari_unet.session.images.layer_metadata import METADATA_KEY, OpenedData

if TYPE_CHECKING:
    from collections.abc import Sequence

    import napari

    from napari_unet.plugin.dataset_layers import LayerData

PLUGIN = "napari-unet-workbench"
DOCK = "U-Net Workbench"
WAIT_MILLISECONDS, MOST_WAITS = 50, 200  # for layers that are being added

log = logging.getLogger(__name__)


def show_workbench(viewer: napari.Viewer) -> Any:
    """Show the dock, opening it if it is not open yet.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose window it belongs to.

    Returns
    -------
    Workbench or None
        The widget in the dock; None, and a line in the log, where there is no window or no dock.
    """
    window = getattr(viewer, "window", None)
    if window is None:
        log.info("there is no window to show the workbench in")
        return None
    from napari_unet.widgets.parts.one_dock import reveal, workbench_of

    widget = workbench_of(window)
    if widget is not None:
        reveal(widget)
        return widget
    contributed = _contributed()
    if contributed is None:
        log.warning("%s contributes no dock named %s", PLUGIN, DOCK)
        return None
    name, command = contributed
    from npe2 import PluginManager

    try:
        widget = PluginManager.instance().commands.get(command)(viewer)
        window.add_dock_widget(widget, name=name)
    except (ImportError, RuntimeError) as error:  # RuntimeError: the window was closed meanwhile
        log.warning("the workbench cannot be shown: %s", error)
        return None
    reveal(widget)
    return widget


def _contributed() -> tuple[str, str] | None:
    """The name that napari's menu gives to the dock, and the command that makes it; None without one."""
    from npe2 import PluginManager

    manager = PluginManager.instance()
    if PLUGIN not in manager or manager.is_disabled(PLUGIN):
        return None
    manifest = manager.get_manifest(PLUGIN)
    for widget in manifest.contributions.widgets or ():
        if widget.display_name == DOCK:
            return f"{DOCK} ({manifest.display_name})", widget.command
    return None


def show_workbench_later(layers: Sequence[LayerData]) -> None:
    """Show the dock once layers that are being read are in the viewer, and lock the reference masks.

    Does nothing where there is no viewer.

    Parameters
    ----------
    layers : sequence of tuple
        What a reader is about to give to napari; the metadata of the last tells where it came from.
    """
    napari = sys.modules.get("napari")
    viewer = napari.current_viewer() if napari is not None else None
    if viewer is None or getattr(viewer, "window", None) is None:
        return
    from qtpy.QtCore import QTimer

    last = layers[-1][1]["metadata"][METADATA_KEY]
    waits = iter(range(MOST_WAITS))

    def settle() -> None:
        # Adding a layer lets Qt work, so that this may come between two of them.
        if any(layer.metadata.get(METADATA_KEY) is last for layer in viewer.layers):
            lock_references(viewer)
            show_workbench(viewer)
        elif next(waits, None) is not None:
            QTimer.singleShot(WAIT_MILLISECONDS, settle)

    QTimer.singleShot(0, settle)


def lock_references(viewer: napari.Viewer) -> None:
    """Keep reference masks from being painted on: they are the truth."""
    for layer in viewer.layers:
        opened = layer.metadata.get(METADATA_KEY)
        if isinstance(opened, OpenedData) and opened.role == "reference":
            layer.editable = False


def segment(viewer: napari.Viewer) -> None:
    """Segment with U-Net…: the dock, at the step that segments."""
    _start(viewer, "segment")


def review(viewer: napari.Viewer) -> None:
    """Review masks, worst first…: the dock, at the step where masks are looked at."""
    _start(viewer, "look")


def measure(viewer: napari.Viewer) -> None:
    """IoU with a reference…: the dock, at the step that shows the scores."""
    _start(viewer, "look")


def export(viewer: napari.Viewer) -> None:
    """Export masks and objects…: the dock, with its dialog for that."""
    widget = show_workbench(viewer)
    if widget is not None:
        widget.export()


def _start(viewer: napari.Viewer, step: str) -> None:
    widget = show_workbench(viewer)
    if widget is not None:
        widget.start(step)
