"""The window of scores and the report, by clicks."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication, QFileDialog

from support.hands import LEFT, click, segment, settled

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.window,
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
    ),
]

PLUGIN = "napari-unet-workbench"


@pytest.fixture
def segmented(ready: Any, viewer: Any, salt_folder: Path, qtbot: Any) -> Any:
    """The dock with all images of the salt set segmented."""
    viewer.open(str(salt_folder), plugin=PLUGIN)
    qtbot.waitUntil(lambda: len(ready.session.workspace.rows()) == 30)
    segment(ready, qtbot, "all")
    return ready


def opened(dock: Any, qtbot: Any) -> Any:
    """The window of scores, complete."""
    buttons = dock.review_panel.all_scores
    click(qtbot, buttons.scores_button)
    scored(dock, qtbot)
    return buttons.dialog


def scored(dock: Any, qtbot: Any) -> None:
    board = dock.review_panel.all_scores.board
    qtbot.waitUntil(lambda: board._job is None and board.stale == 0, timeout=60_000)
    settled(dock, qtbot)
    # The score under the buttons follows the images that are not shown one by one, in the worker process.
    workspace = dock.session.workspace
    qtbot.waitUntil(lambda: workspace.overall is not None and workspace.overall.stale == 0, timeout=60_000)
    dialog = dock.review_panel.all_scores.dialog
    qtbot.waitUntil(lambda: not dialog._soon.isActive() and not dialog._rest.isActive())


def test_scores_are_listed_worst_first_and_follow_the_viewer_both_ways(segmented: Any, qtbot: Any) -> None:
    dialog = opened(segmented, qtbot)
    model, session = dialog.model, segmented.session
    assert model.rowCount() == 24  # the other six have no reference
    iou = [row["iou"] for row in model.table(range(24), ["iou"])]
    assert iou == sorted(iou)
    place = dialog.view.visualRect(model.index(5, 0)).center()
    qtbot.mouseClick(dialog.view.viewport(), LEFT, pos=place)
    assert session.workspace.current == model.id_at(5)
    other = model.id_at(9)
    session.workspace.select(other)
    assert [i.row() for i in dialog.view.selectionModel().selectedRows()] == [9]
    # Sorted the other way the row of the current image goes along.
    header = dialog.view.horizontalHeader()
    column = model.columns.index("iou")
    x = header.sectionViewportPosition(column) + header.sectionSize(column) // 2
    qtbot.mouseClick(header.viewport(), LEFT, pos=QPoint(x, header.height() // 2))
    assert [row["iou"] for row in model.table(range(24), ["iou"])] == iou[::-1]
    assert model.id_at(dialog.view.currentIndex().row()) == other == session.workspace.current


def test_seen_images_are_marked_and_do_not_count(segmented: Any, qtbot: Any) -> None:
    dialog = opened(segmented, qtbot)
    assert "on 12 images that it has not seen" in dialog.words.text()
    assert "12 it has seen are listed, but do not count" in dialog.words.text()
    assert sum(dialog.histogram.counts) == 12
    dialog.which_box.setCurrentIndex(dialog.which_box.findData("seen"))
    model = dialog.model
    assert model.rowCount() == 12
    assert {row["part"] for row in model.table(range(12), ["part"])} == {"train"}
    assert model.data(model.index(0, 0), Qt.ItemDataRole.FontRole).italic()


def test_bars_select_rows_and_columns_are_chosen(segmented: Any, qtbot: Any) -> None:
    dialog = opened(segmented, qtbot)
    dialog.which_box.setCurrentIndex(dialog.which_box.findData("unseen"))
    number = next(n for n, count in enumerate(dialog.histogram.counts) if count)
    ground = dialog.histogram._ground()
    x = ground.left() + (number + 0.5) * ground.width() / 20
    qtbot.mouseClick(dialog.histogram, LEFT, pos=QPoint(round(x), round(ground.center().y())))
    assert len(dialog.view.selectionModel().selectedRows()) == dialog.histogram.counts[number]
    assert "group" not in dialog.shown_columns()
    menu = dialog.columns_menu()
    next(a for a in menu.actions() if a.text() == "Group").trigger()
    next(a for a in menu.actions() if a.text() == "Dice").trigger()
    assert "group" in dialog.shown_columns()
    assert "dice" not in dialog.shown_columns()


def test_rows_are_copied_and_saved(
    segmented: Any, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notifications: list[Any]
) -> None:
    dialog = opened(segmented, qtbot)
    click(qtbot, dialog.copy_button)
    lines = QApplication.clipboard().text().split("\n")
    assert len(lines) == 25
    assert lines[0].split("\t")[:2] == ["Image", "Part"]
    assert lines[1].split("\t")[0] == dialog.model.id_at(0)
    path = tmp_path / "scores.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    click(qtbot, dialog.save_button)
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [dialog.model.id_at(n) for n in range(24)]
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path / "below" / "x.csv"), ""))
    click(qtbot, dialog.save_button)
    assert "cannot be written" in notifications[-1].message


def test_a_threshold_that_was_chosen_here_is_said_beside_every_score(
    segmented: Any, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialog = opened(segmented, qtbot)
    note = (
        "threshold 0.7 instead of the model's own 0.5: chosen while these images were looked at, "
        "so the scores flatter the model"
    )
    score = segmented.review_panel.overall_score
    path = tmp_path / "scores.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))

    def saved() -> list[dict[str, str]]:
        click(qtbot, dialog.save_button)
        with path.open(newline="") as file:
            return list(csv.DictReader(file))

    assert "threshold" not in score.text()
    assert "Careful" not in dialog.words.text()
    assert all("threshold_note" not in row for row in saved())
    segmented.segment_panel.threshold.setValue(0.7)
    scored(segmented, qtbot)
    assert score.text().endswith("; threshold chosen on these images")
    assert f"T{note[1:]}." in score.toolTip()
    assert f"Careful: {note}." in dialog.words.text()
    rows = saved()
    assert len(rows) == 24
    assert {row["threshold_note"] for row in rows} == {note}
    click(qtbot, dialog.copy_button)
    copied = QApplication.clipboard().text().split("\n")
    assert copied[0].split("\t")[-1] == "Threshold note"
    assert {line.split("\t")[-1] for line in copied[1:]} == {note}
    assert "(chosen on these images, so it flatters)" in dialog.plot.words.text()
    segmented.segment_panel.threshold.setValue(0.5)
    scored(segmented, qtbot)
    assert "threshold" not in score.text()
    assert "Careful" not in dialog.words.text()


def test_references_are_not_denied_where_an_image_without_one_is_segmented(
    ready: Any, viewer: Any, salt_folder: Path, qtbot: Any
) -> None:
    viewer.open(str(salt_folder), plugin=PLUGIN)
    session = ready.session
    qtbot.waitUntil(lambda: len(session.workspace.rows()) == 30)
    assert session.workspace.collection is not None
    bare = next(i for i, e in session.workspace.collection.entries.items() if not e.sample.has_mask)
    session.workspace.select(bare)
    segment(ready, qtbot)
    assert session.workspace.row(bare).status == "segmented"
    assert not ready.review_panel.empty.isHidden()
    assert ready.review_panel.empty.text() == (
        "No image with a reference mask is segmented yet: Worst first estimates the IoU of each."
    )


def test_the_line_of_the_curve_and_the_slider_are_one(segmented: Any, qtbot: Any) -> None:
    dialog = opened(segmented, qtbot)
    promised = dialog.plot.curve.at(0.7)
    dialog.plot._want(0.7)  # what a drag of the line ends in
    assert segmented.segment_panel.threshold.value() == pytest.approx(0.7)
    assert segmented.session.workspace.inference.threshold == pytest.approx(0.7)
    scored(segmented, qtbot)
    assert dialog.board.mean_iou() == pytest.approx(promised)
    segmented.segment_panel.threshold.setValue(0.3)
    assert dialog.plot._present.value() == pytest.approx(0.3)
    assert "Threshold 0.30" in dialog.plot.words.text()
    scored(segmented, qtbot)


def test_a_report_is_written_beside_earlier_ones_and_opened(
    segmented: Any, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    monkeypatch.setattr(
        "napari_unet.widgets.review.scores_buttons.QDesktopServices.openUrl",
        lambda address: shown.append(address.toLocalFile()),
    )
    for count in (1, 2):
        click(qtbot, segmented.review_panel.all_scores.report_button)
        qtbot.waitUntil(lambda: len(shown) == count, timeout=60_000)  # noqa: B023
        settled(segmented, qtbot)
    folders = sorted(p.name for p in tmp_path.iterdir())
    assert len(folders) == 2
    assert folders[1].endswith("(2)")
    assert "24 images" in (tmp_path / folders[0] / "report.html").read_text()


def test_segmenting_goes_before_scoring_and_scores_come_after(segmented: Any, qtbot: Any) -> None:
    dialog = opened(segmented, qtbot)
    segment(segmented, qtbot, "all")
    scored(segmented, qtbot)
    assert dialog.model.rowCount() == 24
    dialog.close()
    assert not segmented.review_panel.all_scores.board.active
