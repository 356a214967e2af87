"""The channel that is segmented is chosen in the window; the mask is shown over every channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt

from napari_unet.project.project import Project
from support.hands import LONG, click, segment, settled

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.window,
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
    ),
]
PLUGIN = "napari-unet-workbench"
SHAPE = (48, 40)
FOUND: list[Any] = []  # masks of the channels of the first test image, each segmented by itself


def planes(count: int, seed: int = 0) -> Any:
    """(C, Y, X): noise, another in each channel."""
    return np.random.default_rng(seed).integers(0, 4000, (count, *SHAPE)).astype(np.uint16)


def rows(dock: Any) -> list[str]:
    return [row.id for row in dock.session.workspace.rows()]


def shown(dock: Any, qtbot: Any, *wanted: str) -> None:
    """Wait until these images are listed."""
    qtbot.waitUntil(lambda: rows(dock) == list(wanted), timeout=LONG)
    settled(dock, qtbot)


def titles(dock: Any) -> list[str]:
    box = dock.images.channel_box
    return [box.itemText(n) for n in range(box.count())] if box.isVisibleTo(dock) else []


def choose(dock: Any, qtbot: Any, text: str) -> None:
    """Go to an entry of the list of channels by keys."""
    box = dock.images.channel_box
    box.setFocus()
    wanted = box.findText(text)
    assert wanted >= 0, titles(dock)
    key = Qt.Key.Key_Down if wanted > box.currentIndex() else Qt.Key.Key_Up
    for _ in range(abs(wanted - box.currentIndex())):
        qtbot.keyClick(box, key)
    settled(dock, qtbot)


def mask(dock: Any) -> Any:
    """(Y, X): of the current image."""
    return np.array(dock.session.workspace.mask(dock.session.workspace.current))


@pytest.fixture
def alone(ready: Any, viewer: Any, qtbot: Any) -> Any:
    """(C, Y, X), and the mask of each channel by itself."""
    every, found = planes(3), FOUND
    for number in range(3) if not found else ():
        layer = viewer.add_image(every[number], name="one")
        shown(ready, qtbot, "one")
        segment(ready, qtbot)
        found.append(mask(ready))
        viewer.layers.remove(layer)
        viewer.layers.clear()
        shown(ready, qtbot)
    assert not np.array_equal(found[0], found[1])
    return every, found


def write(path: Path, pixels: Any, axes: str, names: list[str] | None = None) -> Path:
    metadata: dict[str, Any] = {"axes": axes}
    if names:
        metadata["Channel"] = {"Name": names}
    tifffile.imwrite(path, pixels, ome=True, metadata=metadata, photometric="minisblack")
    return path


def test_a_file_says_its_channels_and_one_is_segmented(
    ready: Any, viewer: Any, qtbot: Any, tmp_path: Path, alone: Any
) -> None:
    every, found = alone
    path = write(tmp_path / "cells.ome.tif", every, "CYX", ["phase", "DAPI", "GFP"])
    viewer.open(str(path), plugin="napari")
    shown(ready, qtbot, viewer.layers[0].name)
    assert titles(ready) == [
        "Channel: all 3", "Channel: 1 phase", "Channel: 2 DAPI", "Channel: 3 GFP", "These are 3 images",
    ]  # fmt: skip
    # Nobody averages channels that were measured one by one.
    panel = ready.segment_panel
    assert not panel.run_button.isEnabled()
    assert panel.run_button.toolTip() == (
        "The model takes images with 1 channel, this one has 3: choose a channel in step 1, or another model."
    )
    choose(ready, qtbot, "Channel: 2 DAPI")
    click(qtbot, panel.run_button)
    settled(ready, qtbot)
    np.testing.assert_array_equal(mask(ready), found[1])
    # The mask lies over every channel.
    layer = ready.canvas.mask_layer
    assert layer.data.shape == SHAPE
    for number in range(3):
        viewer.dims.set_current_step(0, number)
        settled(ready, qtbot)
        np.testing.assert_array_equal(layer._slice.image.raw, found[1])
        assert layer.visible
        assert len(rows(ready)) == 1


def test_another_channel_takes_back_what_was_segmented_but_nothing_that_was_painted(
    ready: Any, viewer: Any, qtbot: Any, alone: Any
) -> None:
    every, found = alone
    viewer.add_image(every, name="c", axis_labels=("c", "y", "x"))
    shown(ready, qtbot, "c")
    choose(ready, qtbot, "Channel: 1")
    segment(ready, qtbot)
    np.testing.assert_array_equal(mask(ready), found[0])
    choose(ready, qtbot, "Channel: 3")
    assert ready.session.workspace.row("c").status == "new"
    segment(ready, qtbot)
    np.testing.assert_array_equal(mask(ready), found[2])
    painted = found[2].copy()
    painted[:5] = 1 - painted[:5]
    ready.session.painting.correct("c", painted)
    qtbot.waitUntil(lambda: ready.session.painting.project is not None, timeout=LONG)
    settled(ready, qtbot)
    choose(ready, qtbot, "Channel: 1")
    assert ready.session.workspace.row("c").status == "corrected"
    np.testing.assert_array_equal(mask(ready), painted)
    # The project remembers the channel, and knows the image by all of its channels.
    project = ready.session.painting.project
    assert project.file.data.channels == ("0",)
    again = Project.open(project.folder, read_only=True)
    assert again.file.data.channels == ("0",)
    again.close()
    viewer.layers.clear()
    shown(ready, qtbot)
    ready.session.channels._chosen.clear()
    ready.session.workspace.read_channels(())


@pytest.mark.parametrize(("axes", "order"), [("CZYX", (0, 1, 2, 3)), ("ZCYX", (1, 0, 2, 3))])
def test_a_stack_with_channels_has_one_mask_of_its_slices(
    ready: Any, viewer: Any, qtbot: Any, tmp_path: Path, axes: str, order: tuple[int, ...], alone: Any
) -> None:
    every, found = alone
    stack = np.stack([every, every[::-1]], axis=1)  # (C, Z, Y, X)
    path = write(tmp_path / "stack.ome.tif", stack.transpose(order), axes)
    viewer.open(str(path), plugin="napari")
    name = viewer.layers[0].name
    shown(ready, qtbot, f"{name} [0]", f"{name} [1]")
    choose(ready, qtbot, "Channel: 3")
    segment(ready, qtbot, "all")
    qtbot.waitUntil(lambda: not ready.canvas.stacks.filling, timeout=LONG)
    layer = ready.canvas.mask_layer
    assert layer.data.shape == (2, *SHAPE)
    np.testing.assert_array_equal(layer.data, [found[2], found[0]])
    # Channels are the first axis, so the mask of a slice lies over all of them.
    for channel in range(3):
        for number in range(2):
            viewer.dims.set_current_step((0, 1), (channel, number))
            settled(ready, qtbot)
            np.testing.assert_array_equal(layer._slice.image.raw, [found[2], found[0]][number])
            np.testing.assert_array_equal(viewer.layers[0]._slice.image.raw, stack[channel, number])


def test_channels_last_become_an_image_that_can_be_seen(
    ready: Any, viewer: Any, qtbot: Any, alone: Any
) -> None:
    every, found = alone
    viewer.add_image(np.moveaxis(every[:2], 0, -1), name="last")
    shown(ready, qtbot, "last")
    assert viewer.layers["last"].data.shape == (2, *SHAPE)
    choose(ready, qtbot, "Channel: 2")
    segment(ready, qtbot)
    np.testing.assert_array_equal(mask(ready), found[1])


def test_layers_that_napari_split_are_channels_of_one_image(
    ready: Any, viewer: Any, qtbot: Any, alone: Any
) -> None:
    every, found = alone
    layers = viewer.add_image(every, channel_axis=0, name=["phase", "DAPI", "GFP"])
    shown(ready, qtbot, "phase + DAPI + GFP")
    assert titles(ready)[2] == "Channel: 2 DAPI"
    choose(ready, qtbot, "Channel: 2 DAPI")
    segment(ready, qtbot)
    np.testing.assert_array_equal(mask(ready), found[1])
    assert all(layer.visible for layer in layers)
    assert viewer.layers[-1] is ready.canvas.mask_layer
    # A click on any of the layers is one on the same image, and its mask stays.
    viewer.layers.selection.active = layers[2]
    settled(ready, qtbot)
    assert rows(ready) == ["phase + DAPI + GFP"]
    np.testing.assert_array_equal(ready.canvas.mask_layer.data, found[1])


def test_colour_is_three_channels_of_which_one_may_be_read(ready: Any, viewer: Any, qtbot: Any) -> None:
    colours = np.random.default_rng(5).integers(0, 255, (*SHAPE, 3)).astype(np.uint8)
    viewer.add_image(colours[..., 1], name="green")
    shown(ready, qtbot, "green")
    segment(ready, qtbot)
    green = mask(ready)
    viewer.layers.clear()
    viewer.add_image(colours, name="all", rgb=True)
    shown(ready, qtbot, "all")
    assert titles(ready) == ["Channel: colour", "Channel: 1 red", "Channel: 2 green", "Channel: 3 blue"]
    assert ready.segment_panel.run_button.isEnabled()  # a colour has a brightness
    choose(ready, qtbot, "Channel: 2 green")
    segment(ready, qtbot)
    np.testing.assert_array_equal(mask(ready), green)


def test_a_stack_of_which_nobody_says_what_it_is_may_be_either(
    ready: Any, viewer: Any, qtbot: Any, alone: Any
) -> None:
    every, found = alone
    viewer.add_image(every, name="s")
    shown(ready, qtbot, "s [0]", "s [1]", "s [2]")
    assert titles(ready) == ["3 images", "These are 3 channels"]
    choose(ready, qtbot, "These are 3 channels")
    shown(ready, qtbot, "s")
    choose(ready, qtbot, "Channel: 2")
    segment(ready, qtbot)
    np.testing.assert_array_equal(mask(ready), found[1])
    choose(ready, qtbot, "These are 3 images")
    shown(ready, qtbot, "s [0]", "s [1]", "s [2]")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two TIFF files of two channels, called phase and DAPI."""
    root = tmp_path / "set"
    root.mkdir()
    for number in range(2):
        write(root / f"f{number}.ome.tif", planes(2, number), "CYX", ["phase", "DAPI"])
    return root


def test_a_folder_remembers_its_channel(
    ready: Any, viewer: Any, qtbot: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_unet.plugin.commands.show_workbench", lambda viewer: None)
    viewer.open(str(folder), plugin=PLUGIN)
    qtbot.waitUntil(lambda: len(rows(ready)) == 2)
    settled(ready, qtbot)
    assert titles(ready) == ["Channel: all 2", "Channel: 1 phase", "Channel: 2 DAPI"]
    assert not ready.segment_panel.run_button.isEnabled()
    choose(ready, qtbot, "Channel: 2 DAPI")
    segment(ready, qtbot, "all")
    collection = ready.session.workspace.collection
    assert [row.status for row in ready.session.workspace.rows()] == ["segmented"] * 2
    found = mask(ready)
    assert len(viewer.layers) == 3  # phase, DAPI and the mask above both
    assert viewer.layers[-1] is ready.canvas.mask_layer
    assert collection.dataset.channels == ("1",)
    # What is segmented is that channel and no other.
    np.testing.assert_array_equal(collection.image(ready.session.workspace.current)[..., 0], planes(2, 0)[1])
    ready.session.runner.in_background(lambda: None)
    settled(ready, qtbot)
    viewer.layers.clear()
    shown(ready, qtbot)
    viewer.open(str(folder), plugin=PLUGIN)
    qtbot.waitUntil(lambda: len(rows(ready)) == 2)
    qtbot.waitUntil(lambda: ready.images.channel_box.currentText() == "Channel: 2 DAPI", timeout=LONG)
    settled(ready, qtbot)
    assert ready.session.workspace.collection is not collection
    segment(ready, qtbot)
    np.testing.assert_array_equal(mask(ready), found)
