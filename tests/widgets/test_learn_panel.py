"""The step Learn by clicks: which tab it opens on, the verdict on one line, the answer that it suggests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtGui import QPalette

from napari_unet.evaluation.compare import compare
from napari_unet.workflow.finetune.fine_tune_task import FineTuned
from support.hands import LEFT, LONG, click, segment, settled

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.window,
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
    ),
]
NAMES = [f"judge {n}" for n in range(8)]


@pytest.fixture
def salt(ready: Any, viewer: Any, qtbot: Any, salt_folder: Path) -> Any:
    """The dock with the salt set, nothing segmented."""
    viewer.open(str(salt_folder), plugin="napari-unet-workbench")
    qtbot.waitUntil(lambda: len(ready.session.workspace.rows()) == 30)
    return ready


def correct(dock: Any, qtbot: Any) -> None:
    """Segment the current image and paint on it, so that there is a project."""
    segment(dock, qtbot)
    layer = dock.canvas.mask_layer
    place = tuple(i.ravel() for i in np.mgrid[5:30, 5:60])
    layer.data_setitem(place, np.ones(len(place[0]), layer.dtype))
    dock.canvas.take_painting()
    qtbot.waitUntil(lambda: dock.session.painting.project is not None, timeout=LONG)
    settled(dock, qtbot)


def offer(dock: Any, old: list[float], new: list[float]) -> None:
    """Have a round end with IoUs of eight held-out images."""
    from napari_unet.workflow.finetune.rounds import first_version

    session = dock.session
    project, model = session.painting.project, session.workspace.model.path
    first_version(project.models, model)
    result = FineTuned(model, compare(NAMES, old, new), (), (), (), "nothing", 1, 1.0)
    session.candidate.offer(project, result, {}, 1)


def click_tab(dock: Any, qtbot: Any, index: int) -> None:
    tabs = dock.learn_panel.tabs
    qtbot.mouseClick(tabs, LEFT, pos=tabs.tabRect(index).center())


def answers(panel: Any) -> list[str]:
    row = panel._gate_row
    return [row.itemAt(n).widget().text() for n in range(row.count())]


def test_learn_opens_on_the_tab_that_can_be_used(salt: Any, qtbot: Any) -> None:
    panel = salt.learn_panel
    click(qtbot, panel.heading)
    assert panel.tabs.currentIndex() == 1  # nothing is corrected, but there are masks to train on
    assert not panel.form.isHidden()
    assert panel.form.check_button.isEnabled()
    click(qtbot, panel.heading)
    correct(salt, qtbot)
    click(qtbot, panel.heading)
    assert panel.tabs.currentIndex() == 0
    corrected = panel.facts.values()
    assert (int(corrected["Train"]) + int(corrected["Held-out"]), corrected["Strokes"]) == (1, "1")
    # What the person chose stays for these images.
    click_tab(salt, qtbot, 1)
    click(qtbot, panel.heading)
    click(qtbot, panel.heading)
    assert panel.tabs.currentIndex() == 1


def test_images_without_masks_open_learn_on_fine_tuning(ready: Any, viewer: Any, qtbot: Any) -> None:
    viewer.add_image(np.zeros((32, 32), np.uint8), name="mine")
    qtbot.waitUntil(lambda: ready.session.workspace.current == "mine")
    click(qtbot, ready.learn_panel.heading)
    assert ready.learn_panel.tabs.currentIndex() == 0
    assert "Correct a mask first" in ready.learn_panel.words.text()


def test_a_mean_that_fell_puts_discard_first_and_the_details_are_a_click_away(salt: Any, qtbot: Any) -> None:
    correct(salt, qtbot)
    panel, candidate = salt.learn_panel, salt.session.candidate
    click(qtbot, panel.heading)
    # By hand: 0.7 before; four fell by 0.1 and four rose by 0.04: a mean of 0.67.
    offer(salt, [0.7] * 8, [0.6] * 4 + [0.74] * 4)
    assert panel.verdict.text() == (
        "Lower, but this may be chance: IoU 0.700 before, 0.670 now, on 8 held-out images."
    )
    assert answers(panel) == ["Discard v002", "Keep v002"]
    assert panel.discard_button.objectName() == "primary"
    assert panel.keep_button.objectName() == ""
    click(qtbot, panel.details_button)
    assert "4 better, 4 worse, 0 the same" in panel.verdict.text()
    click(qtbot, panel.discard_button)
    assert panel.verdict.text() == "v002 is discarded. v001 stays in use."
    assert panel.details_button.isHidden()
    assert candidate.version is None


def test_after_keep_all_can_be_segmented_again(salt: Any, qtbot: Any) -> None:
    correct(salt, qtbot)
    panel, workspace = salt.learn_panel, salt.session.workspace
    click(qtbot, panel.heading)
    offer(salt, [0.7] * 8, [0.8] * 8)
    assert panel.verdict.text() == "Better: IoU 0.700 before, 0.800 now, on 8 held-out images."
    assert answers(panel) == ["Keep v002", "Discard v002"]
    assert panel.keep_button.objectName() == "primary"
    click(qtbot, panel.keep_button)
    settled(salt, qtbot)
    assert workspace.model.path.name == "v002"
    assert panel.verdict.text() == "v002 is in use now."
    assert sum(row.status == "new" for row in workspace.rows()) == 29
    click(qtbot, panel.again_button)
    assert not salt.status.work.isHidden()  # the step Segment is folded
    settled(salt, qtbot)
    assert [row.id for row in workspace.rows() if row.status == "new"] == []
    assert panel.again_button.isHidden()


def test_curves_say_what_they_are_and_begin_at_0(ready: Any, viewer: Any, qtbot: Any) -> None:
    curves = ready.learn_panel.curves
    looks = [{"seconds": t, "held_out_iou": 0.5 + t / 100, "old_iou": 0.6} for t in (4.0, 12.0, 20.0)]
    curves.show_rows(looks, [(t, 1 / t) for t in (4.0, 12.0, 20.0)])
    named = {label.text for _, label in curves.score_plot.plotItem.legend.items}
    assert named == {"validation, new model", "validation, old model"}
    for plot in (curves.score_plot, curves.loss_plot):
        assert plot.viewRange()[0] == pytest.approx([0.0, 20.0])
    for theme in ("light", "dark"):
        viewer.theme = theme
        ink = curves.palette().color(QPalette.ColorRole.WindowText).name()
        for _, label in curves.score_plot.plotItem.legend.items:
            assert f"color:{ink}" in label.item.toHtml()


def rows_in_view(dock: Any) -> float:
    view = dock.images.table.view
    return float(view.viewport().height() / view.verticalHeader().defaultSectionSize())


def test_five_images_are_in_view_with_any_one_step_open_on_a_small_screen(
    salt: Any, viewer: Any, qtbot: Any
) -> None:
    viewer.window._qt_window.resize(1276, 770)  # of 1280 x 800, less the frame
    viewer.window._qt_window.show()
    correct(salt, qtbot)
    bench, learn = salt, salt.learn_panel
    # A result in the status line, and two steps open: no room for all, so Segment folds.
    bench.segment_panel.set_folded(False)
    bench.review_panel.set_folded(False)
    bench.session.runner.failed.emit("It cannot be written: the disk is full; free some space", "Traceback")
    qtbot.waitUntil(lambda: not bench.area.overflows)
    for step in (bench.segment_panel, bench.review_panel):
        bench.segment_panel.set_folded(True)
        bench.review_panel.set_folded(True)
        click(qtbot, step.heading)
        qtbot.waitUntil(lambda: rows_in_view(bench) >= 5)
    click(qtbot, learn.heading)
    qtbot.waitUntil(lambda: rows_in_view(bench) >= 5)
    bench.session.background.losses = [(t / 2, 1 / (1 + t)) for t in range(1, 40)]
    learn.curves.show_rows(
        [{"seconds": float(t), "held_out_iou": 0.6, "old_iou": 0.6} for t in range(1, 20)],
        bench.session.background.losses,
    )
    offer(bench, [0.7] * 8, [0.6] * 8)
    qtbot.waitUntil(lambda: rows_in_view(bench) >= 5)
    assert not learn.curves.isHidden()
    click(qtbot, learn.discard_button)
    assert learn.curves.isHidden()
    assert not learn.run_button.parentWidget().isHidden()
    qtbot.waitUntil(lambda: rows_in_view(bench) >= 5)
    assert not bench.area.verticalScrollBar().isVisible()
