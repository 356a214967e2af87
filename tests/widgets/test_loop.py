"""The whole loop by clicks: segment, paint, vouch, fine-tune, keep, roll back, and find it all again."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QScrollArea

from napari_unet.models.image_statistics import describe_image, summarize_statistics
from support.hands import close_anyway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.window,
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
    ),
]

TESTS = Path(__file__).parents[1]
PLUGIN = "napari-unet-workbench"
LONG = 90_000  # milliseconds
LEFT = Qt.MouseButton.LeftButton
NETWORKS = {"keras", "tensorflow", "torch", "jax"}


@pytest.fixture
def open_window(qapp: Any, salt_zip: Path, tiny_models: dict[str, Path], qtbot: Any) -> Iterator[Any]:
    """Gives back windows with the dock, the salt zip and its model; closes what is open still."""
    import napari

    opened: list[Any] = []

    def open_one() -> tuple[Any, Any]:
        from npe2 import PluginManager, PluginManifest

        manager = PluginManager.instance()
        if PLUGIN not in manager:
            manager.register(PluginManifest.from_file(TESTS.parent / "src" / "napari_unet" / "napari.yaml"))
        viewer = napari.Viewer(show=False)
        opened.append(viewer)
        viewer.window._qt_window.resize(1300, 1000)
        _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, "U-Net Workbench")
        viewer.open(str(salt_zip), plugin=None)
        qtbot.waitUntil(lambda: len(dock.session.workspace.rows()) == 30)
        dock.session.workspace.load_model(tiny_models["grey"])
        return viewer, dock

    yield open_one
    for viewer in opened:
        close_anyway(viewer)
    qapp.processEvents()


def click(qtbot: Any, button: Any) -> None:
    assert button.isEnabled(), button.toolTip()
    assert not button.isHidden()
    place = QPoint(8, button.height() // 2) if hasattr(button, "checkState") else button.rect().center()
    qtbot.mouseClick(button, LEFT, pos=place)


def at_rest(dock: Any, qtbot: Any) -> None:
    session = dock.session
    qtbot.waitUntil(
        lambda: (
            not session.runner.busy and session.runner.progress is None and session.background.job is None
        ),
        timeout=LONG,
    )
    qtbot.wait(400)


def segment_all(dock: Any, qtbot: Any) -> None:
    panel = dock.segment_panel
    panel.scope_box.setCurrentIndex(panel.scope_box.findData("all"))
    click(qtbot, panel.run_button)
    at_rest(dock, qtbot)


def press(viewer: Any, key: str) -> None:
    """A key over the canvas."""
    viewer.keymap[next(k for k in viewer.keymap if str(k) == key)](viewer)


def paint_truth(dock: Any) -> Any:
    """Take up the brush and mend what is wrong with the current mask; gives back the mask."""
    layer, current = dock.canvas.mask_layer, dock.session.workspace.current
    layer.mode = "paint"
    truth = dock.session.workspace.collection.entries[current].sample.read_mask().labels
    wrong = np.nonzero(np.asarray(layer.data) != truth)
    layer.data_setitem(wrong, truth[wrong].astype(layer.dtype))
    return truth


def teaching(dock: Any) -> list[str]:
    """Images with a reference to learn from, in the current project."""
    part = dock.session.painting.project.corrections.part
    entries = dock.session.workspace.collection.entries.items()
    return [i for i, e in entries if e.sample.has_mask and part(i) == "train"]


def told(notifications: list[Any]) -> list[str]:
    return [str(n.message) for n in notifications]


def test_the_loop_from_a_zip_to_a_kept_version_and_back(
    open_window: Callable[[], tuple[Any, Any]],
    qtbot: Any,
    tiny_models: dict[str, Path],
    notifications: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer, dock = open_window()
    segment_all(dock, qtbot)
    session, panel = dock.session, dock.learn_panel
    # The first stroke makes a project.
    first = session.workspace.current
    wanted = {first: paint_truth(dock)}
    qtbot.waitUntil(lambda: session.workspace.row(first).status == "corrected")
    qtbot.waitUntil(lambda: session.painting.project is not None, timeout=LONG)
    click(qtbot, dock.review_panel.edit_bar.done_button)
    assert session.workspace.row(first).status == "done"
    assert session.workspace.current != first
    for identifier in [i for i in teaching(dock) if i != first][:3]:
        session.workspace.select(identifier)
        wanted[identifier] = paint_truth(dock)
        press(viewer, "D")  # at once, before the stroke was looked at
        assert session.workspace.row(identifier).status == "done"
        np.testing.assert_array_equal(session.workspace.mask(identifier), wanted[identifier])
    # Learn takes the room of the steps above.
    assert panel.folded
    click(qtbot, panel.heading)
    assert not panel.folded
    assert dock.review_panel.folded
    assert dock.segment_panel.folded
    qtbot.waitUntil(panel.run_button.isEnabled)
    facts = panel.facts.values()
    assert int(facts["Train"]) + int(facts["Held-out"]) == len(session.painting.project.corrections.touched())
    assert int(facts["Train"]) > 0
    assert list(facts) == ["Train", "Held-out", "Strokes", "Painted"]
    assert panel.words.isHidden()
    panel.seconds.setValue(120)
    click(qtbot, panel.run_button)
    assert not panel.running.isHidden()
    qtbot.waitUntil(lambda: len(session.background.curve) > 1, timeout=LONG)
    qtbot.waitUntil(lambda: not panel.curves.isHidden(), timeout=LONG)
    # Segmenting waits for nothing meanwhile.
    assert not session.runner.busy
    seen: list[Any] = []
    monkeypatch.setattr(QScrollArea, "ensureWidgetVisible", lambda area, widget: seen.append(widget))
    click(qtbot, panel.stop_button)
    at_rest(dock, qtbot)
    assert told(notifications) == []
    assert panel.running.isHidden()
    assert not panel.answer.isHidden()
    sentence = session.candidate.result.sentence
    assert panel.verdict.text() == session.candidate.headline
    click(qtbot, panel.details_button)
    facts = panel.verdict.text().split("\n")
    assert len(facts) > 1
    assert "; ".join(facts).lower() == sentence.lower()
    click(qtbot, panel.details_button)
    assert panel.verdict.text() == session.candidate.headline
    assert not panel.gate.isHidden()
    qtbot.waitUntil(lambda: panel.gate in seen)
    assert not panel.run_button.isEnabled()
    assert dock.canvas.preview.layer is None
    dock.segment_panel.threshold.setValue(0.61)
    click(qtbot, panel.keep_button)
    at_rest(dock, qtbot)
    assert panel.gate.isHidden()
    assert panel.verdict.text() == "v002 is in use now."
    assert dock.segment_panel.threshold.value() == pytest.approx(0.61)
    assert panel.version_row.box.count() == 2
    assert panel.version_row.box.currentText().startswith("v002")
    assert panel.version_row.box.currentText().split(",")[0].endswith("in use")
    assert session.workspace.model.path.name == "v002"
    assert dock.segment_panel.model_box.currentText() == "v002"
    assert {r.status for r in session.workspace.rows() if r.id not in wanted} == {"segmented"}
    assert {session.workspace.row(i).status for i in wanted} == {"done"}
    click(qtbot, panel.version_row.back_button)
    at_rest(dock, qtbot)
    assert session.workspace.model.path.name == "v001"
    assert panel.version_row.box.currentText().startswith("v001")
    assert panel.verdict.text() == "v001 is in use now."
    assert not panel.version_row.back_button.isEnabled()  # there is nothing older
    assert dock.segment_panel.threshold.value() == pytest.approx(0.61)
    assert told(notifications) == []
    # Another day.
    viewer.close()
    viewer, dock = open_window()
    qtbot.waitUntil(lambda: dock.session.painting.project is not None, timeout=LONG)
    qtbot.wait(400)
    assert told(notifications) == [f"{len(wanted)} corrected images are restored from your last session."]
    assert {r.id for r in dock.session.workspace.rows() if r.status == "done"} == set(wanted)
    for identifier, mask in wanted.items():
        dock.session.workspace.select(identifier)
        np.testing.assert_array_equal(dock.canvas.mask_layer.data, mask)
    assert dock.learn_panel.version_row.box.count() == 2
    assert not NETWORKS & set(sys.modules)


def test_a_version_that_was_rejected_is_not_advertised_and_roll_back_leads_to_no_newer_one(
    open_window: Callable[[], tuple[Any, Any]], qtbot: Any, notifications: list[Any], tmp_path: Path
) -> None:
    viewer, dock = open_window()
    session, row = dock.session, dock.learn_panel.version_row
    segment_all(dock, qtbot)
    paint_truth(dock)
    qtbot.waitUntil(lambda: session.painting.project is not None, timeout=LONG)
    collection, store = session.workspace.collection, session.painting.project.models
    # Two versions that know images like these, so that either would be suggested.
    knowing = tmp_path / "knowing"
    shutil.copytree(session.workspace.model.path, knowing)
    content = json.loads((knowing / "settings.json").read_text())
    looks = [("salt", describe_image(collection.image(i))) for i in collection.ids]
    content["provenance"]["looks"] = summarize_statistics(looks)
    (knowing / "settings.json").write_text(json.dumps(content))
    for note in ("good", "worse"):
        store.add(knowing, note=note, keep=True)
    session.projects.project_changed.emit()
    click(qtbot, dock.learn_panel.heading)
    assert row.box.currentText() == "v002 in use, worse"
    assert not row.use_button.isEnabled()  # it is that already
    row.box.setCurrentIndex(0)
    click(qtbot, row.use_button)
    at_rest(dock, qtbot)
    row.box.setCurrentIndex(1)
    click(qtbot, row.use_button)
    at_rest(dock, qtbot)
    assert session.workspace.model.path.name == "v002"
    dock.segment_panel.threshold.setValue(0.76)
    click(qtbot, row.back_button)
    at_rest(dock, qtbot)
    assert session.workspace.model.path.name == "v001"
    assert dock.learn_panel.verdict.text() == "v001 is in use now."
    assert not row.back_button.isEnabled()
    assert row.back_button.toolTip() == "There is no older version to go back to"
    assert dock.segment_panel.threshold.value() == pytest.approx(0.76)
    assert dock.segment_panel.suggestion.suggestion.card.path.name == "v001"
    assert dock.segment_panel.suggestion.use_button.isHidden()  # it is in use
    assert told(notifications) == []
    # Another day, with the model that all began with: its version is suggested, not the rejected one.
    viewer.close()
    viewer, dock = open_window()
    qtbot.waitUntil(lambda: dock.session.painting.project is not None, timeout=LONG)
    suggestion = dock.segment_panel.suggestion
    qtbot.waitUntil(lambda: suggestion.suggestion is not None, timeout=LONG)
    qtbot.wait(400)
    assert {"v001", "v002"} <= {p.name for p in dock.session.workspace.models}
    assert suggestion.suggestion.card.path.name == "v001"
    assert dock.learn_panel.version_row.box.currentText() == "v001 in use, good"


def test_cancelled_learning_leaves_all_as_it_was_and_discard_keeps_the_old(
    open_window: Callable[[], tuple[Any, Any]], qtbot: Any, notifications: list[Any]
) -> None:
    _, dock = open_window()
    segment_all(dock, qtbot)
    session, panel = dock.session, dock.learn_panel
    card = session.workspace.model
    paint_truth(dock)
    qtbot.waitUntil(lambda: session.painting.project is not None, timeout=LONG)
    for identifier in teaching(dock)[:2]:
        session.workspace.select(identifier)
        paint_truth(dock)
    qtbot.wait(400)
    click(qtbot, panel.heading)
    panel.seconds.setValue(60)
    click(qtbot, panel.run_button)
    qtbot.waitUntil(lambda: len(session.background.curve) > 0, timeout=LONG)
    click(qtbot, panel.cancel_button)
    at_rest(dock, qtbot)
    assert panel.gate.isHidden()
    assert panel.answer.isHidden()
    assert dock.canvas.preview.layer is None
    assert len(session.candidate.versions) == 1
    click(qtbot, panel.run_button)
    qtbot.waitUntil(lambda: len(session.background.curve) > 0, timeout=LONG)
    click(qtbot, panel.stop_button)
    at_rest(dock, qtbot)
    click(qtbot, panel.discard_button)
    assert panel.gate.isHidden()
    assert session.workspace.model is card
    qtbot.waitUntil(panel.run_button.isEnabled)
    assert [v.discarded for v in session.candidate.versions] == [False, True]
    assert told(notifications) == []


def test_a_stroke_just_before_the_dock_is_closed_is_kept(
    open_window: Callable[[], tuple[Any, Any]], qtbot: Any
) -> None:
    viewer, dock = open_window()
    segment_all(dock, qtbot)
    current = dock.session.workspace.current
    wanted = paint_truth(dock)
    wrapped = next(d for d in viewer.window._wrapped_dock_widgets.values() if d.inner_widget() is dock)
    wrapped.destroyOnClose()  # what its cross does
    qtbot.wait(400)
    viewer.close()
    _, dock = open_window()
    qtbot.waitUntil(lambda: dock.session.workspace.row(current).status == "corrected", timeout=LONG)
    np.testing.assert_array_equal(dock.session.workspace.mask(current), wanted)


def test_a_new_model_is_planned_trained_and_compared(
    open_window: Callable[[], tuple[Any, Any]], qtbot: Any, notifications: list[Any]
) -> None:
    _, dock = open_window()
    session, panel = dock.session, dock.learn_panel
    form = panel.form
    click(qtbot, panel.heading)
    panel.tabs.setCurrentIndex(1)
    assert not form.isHidden()
    assert panel.tune.isHidden()
    assert form.source_box.currentText().endswith("24 images with masks")
    assert not form.train_button.isEnabled()
    click(qtbot, form.fold)
    for path, value in ((("network", "filters"), 2), (("network", "depth"), 2), (("training", "patch"), 64)):
        form.settings.rows[path].value = value
    click(qtbot, form.fold)
    click(qtbot, form.check_button)
    assert not panel.running.isHidden()
    assert panel.stop_button.isHidden()  # there is no best to be kept of a plan
    at_rest(dock, qtbot)
    facts = form.facts.values()
    assert sum(int(facts[part]) for part in ("Train", "Validation", "Held-out")) == 24
    assert facts["Time"] == "10 min"
    assert facts["Memory"].endswith(" GB")
    click(qtbot, form.samples_button)
    assert len(form._dialog.findChildren(type(form.words))) == 13
    form._dialog.close()
    qtbot.waitUntil(lambda: form._dialog is None)
    # Another setting needs another look.
    form.settings.rows[("network", "filters")].value = 3
    form.refresh_plan()
    assert not form.train_button.isEnabled()
    form.settings.rows[("network", "filters")].value = 2
    assert form.when.text().startswith("The one to start with")
    form.network_box.setCurrentIndex(form.network_box.findData("deeplab"))
    assert "much faster than a U-Net" in form.when.text()
    assert form.recipe().network.name == "deeplab"
    assert not form.train_button.isEnabled()
    form.network_box.setCurrentIndex(0)
    form.refresh_plan()
    form.minutes.setValue(5)
    click(qtbot, form.train_button)
    qtbot.waitUntil(lambda: len(session.background.curve) > 0, timeout=LONG)
    qtbot.waitUntil(lambda: not panel.curves.isHidden(), timeout=LONG)
    click(qtbot, panel.stop_button)
    at_rest(dock, qtbot)
    assert told(notifications) == []
    assert session.candidate.version is not None
    assert panel.verdict.text() == session.candidate.headline
    assert session.candidate.sentence.lower().startswith(session.candidate.result.sentence.lower())
    click(qtbot, panel.keep_button)
    at_rest(dock, qtbot)
    assert session.workspace.model.path.name == "v002"
    assert session.workspace.row(session.workspace.current).status == "segmented"
    click(qtbot, panel.version_row.compare_button)
    dialog = panel._comparing
    assert [b.currentData() for b in (dialog.first_box, dialog.second_box)] == [1, 2]
    click(qtbot, dialog.run_button)
    at_rest(dock, qtbot)
    table = dialog.table
    assert "v002 against v001" in dialog.sentence.text()
    differences = [float(table.item(row, 3).text()) for row in range(table.rowCount())]
    assert differences
    assert differences == sorted(differences)
    table.cellClicked.emit(0, 3)
    assert session.workspace.current == table.item(0, 0).text()
    dialog.close()
    assert panel._comparing is None
    assert told(notifications) == []
