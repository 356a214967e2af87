"""The step Segment by clicks: held-out images only; objects by themselves, with their number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from skimage.draw import disk

import napari_unet.models.shipped as built_in
from support.hands import LONG, click, segment, settled

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.window,
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
    ),
]
NUCLEI = built_in.FOLDER / "nuclei"  # before a fixture puts another folder there
CENTRES = [(28, 30), (28, 90), (90, 30), (90, 96), (60, 62)]


def nuclei() -> Any:
    """Five bright discs on dark ground."""
    image = np.full((120, 128), 20, np.uint8)
    for centre in CENTRES:
        image[disk(centre, 11, shape=image.shape)] = 170
    return image


@pytest.fixture
def with_nuclei(dock: Any, viewer: Any, qtbot: Any) -> Any:
    """The dock with five nuclei, and the model of nuclei chosen."""
    viewer.add_image(nuclei(), name="five")
    dock.session.workspace.load_model(NUCLEI)
    qtbot.waitUntil(dock.segment_panel.run_button.isEnabled)
    return dock


def test_held_out_images_alone_are_segmented(ready: Any, viewer: Any, qtbot: Any, salt_folder: Path) -> None:
    box = ready.segment_panel.scope_box
    assert box.findData("held-out") < 0  # there is no split without images
    viewer.open(str(salt_folder), plugin="napari-unet-workbench")
    workspace = ready.session.workspace
    qtbot.waitUntil(lambda: len(workspace.rows()) == 30)
    held_out = {row.id for row in workspace.rows() if row.part == "held-out"}
    assert len(held_out) == 12
    assert box.itemText(box.findData("held-out")) == "Held-out only (12)"
    segment(ready, qtbot, "held-out")
    assert {row.id for row in workspace.rows() if row.status == "segmented"} == held_out
    assert workspace.overall.images <= 12
    assert not workspace.overall.seen
    viewer.layers.clear()
    viewer.add_image(np.zeros((32, 32), np.uint8), name="mine")
    qtbot.waitUntil(lambda: workspace.current == "mine")
    assert box.findData("held-out") < 0


def test_a_model_that_tells_objects_apart_shows_and_counts_them(with_nuclei: Any, qtbot: Any) -> None:
    panel, canvas, row = with_nuclei.segment_panel, with_nuclei.canvas, with_nuclei.objects.row
    assert panel.show_box.currentText() == "Objects"
    assert row.isHidden()
    segment(with_nuclei, qtbot)
    labels = np.asarray(canvas.mask_layer.data)
    assert len({labels[centre] for centre in CENTRES} - {0}) == 5
    qtbot.waitUntil(lambda: row.words.text().startswith("<b>5 nuclei, median area "), timeout=LONG)
    # A stroke on empty ground is one more; erasing an object is one less.
    canvas.take_brush()
    place = tuple(i.ravel() for i in np.mgrid[2:6, 60:66])
    canvas.mask_layer.data_setitem(place, np.full(24, canvas.mask_layer.selected_label, labels.dtype))
    qtbot.waitUntil(lambda: row.words.text().startswith("<b>6 nuclei, "), timeout=LONG)
    gone = np.nonzero(np.asarray(canvas.mask_layer.data) == labels[CENTRES[0]])
    canvas.mask_layer.data_setitem(gone, np.zeros(len(gone[0]), labels.dtype))
    qtbot.waitUntil(lambda: row.words.text().startswith("<b>5 nuclei, "), timeout=LONG)
    # The export offers what is shown, until the person chooses otherwise.
    click(qtbot, with_nuclei.review_panel.edit_bar.export_button)
    dialog = with_nuclei.review_panel.edit_bar.export_dialog
    assert dialog.numbers_box.currentData() == "objects"
    dialog.close()
    panel.show_box.setCurrentIndex(0)
    panel.show_box.activated.emit(0)
    assert row.isHidden()
    assert set(np.unique(canvas.mask_layer.data)) == {0, 1}
    click(qtbot, with_nuclei.review_panel.edit_bar.export_button)
    assert dialog.numbers_box.currentData() == "classes"
    dialog.close()


def test_another_model_shows_classes_again(
    with_nuclei: Any, viewer: Any, qtbot: Any, tiny_models: dict[str, Path]
) -> None:
    panel = with_nuclei.segment_panel
    with_nuclei.session.workspace.load_model(tiny_models["grey"])
    settled(with_nuclei, qtbot)
    assert panel.show_box.currentText() == "Classes"
    assert not with_nuclei.canvas.as_objects


def test_correct_next_takes_the_brush(ready: Any, viewer: Any, qtbot: Any) -> None:
    images = np.random.default_rng(0).integers(0, 200, (3, 48, 40)).astype(np.uint8)
    viewer.add_image(images, name="s")
    qtbot.waitUntil(lambda: len(ready.session.workspace.rows()) == 3)
    segment(ready, qtbot, "all")
    mask = ready.canvas.mask_layer
    viewer.layers.selection.active = viewer.layers["s"]
    mask.mode = "pan_zoom"
    click(qtbot, ready.review_panel.correct_button)
    qtbot.waitUntil(lambda: str(mask.mode) == "paint", timeout=LONG)
    assert viewer.layers.selection.active is mask
    settled(ready, qtbot)
