from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QColor, QPalette

from napari_unet.session.images.image_row import ImageRow
from napari_unet.widgets.images.image_table import ImageTable
from napari_unet.widgets.images.table_model import DISPLAY, SORT_ROLE, TOOLTIP, ImageTableModel
from napari_unet.widgets.images.table_order import Column, TableOrder

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.window

ROWS = [
    ImageRow("z10", "alpha", "train", "segmented", 0.5, True),
    ImageRow("z9", "beta", "held-out", "done", 0.9, True),
    ImageRow("A1", "beta", "held-out", "new", None, True),
    ImageRow("b2", "", "", "corrected", 0.1, True),
    ImageRow("c3", "gamma", "unseen", "new", None, False, "the file is <cut> off"),
]
MANY = [ImageRow(f"image {i:03}", f"group {i // 100}", iou=i / 1000) for i in range(500)]


class Ears:
    """What a table said."""

    def __init__(self, table: ImageTable) -> None:
        self.opened: list[str] = []
        self.selected: list[tuple[str, ...]] = []
        table.image_activated.connect(self.opened.append)
        table.selection_changed.connect(self.selected.append)


@pytest.fixture
def open_table(qtbot: Any) -> Callable[..., ImageTable]:
    def make(rows: list[ImageRow] = ROWS, width: int = 360, **settings: Any) -> ImageTable:
        table = ImageTable(**settings)
        qtbot.addWidget(table)
        table.resize(width, 400)
        table.set_rows(rows)
        table.show()
        qtbot.waitExposed(table)
        return table

    return make


def click(qtbot: Any, table: ImageTable, image_id: str, keys: Any = Qt.KeyboardModifier.NoModifier) -> None:
    place = table.view.visualRect(table.view.index_of(image_id)).center()
    qtbot.mouseClick(table.view.viewport(), Qt.MouseButton.LeftButton, keys, place)


def texts(table: ImageTable, column: Column, role: int = DISPLAY) -> list[Any]:
    model = table.model
    return [model.data(model.index(row, column), role) for row in range(model.rowCount())]


@pytest.mark.parametrize(
    ("column", "descending", "expected"),
    [
        (None, False, ["z10", "z9", "A1", "b2", "c3"]),
        (Column.IMAGE, False, ["A1", "b2", "c3", "z9", "z10"]),
        (Column.GROUP, False, ["z10", "z9", "A1", "c3", "b2"]),
        (Column.GROUP, True, ["c3", "z9", "A1", "z10", "b2"]),
        (Column.PART, False, ["z10", "z9", "A1", "c3", "b2"]),
        (Column.STATUS, False, ["A1", "z10", "b2", "z9", "c3"]),
        (Column.IOU, False, ["b2", "z10", "z9", "A1", "c3"]),
        (Column.IOU, True, ["z9", "z10", "b2", "A1", "c3"]),
    ],
)
def test_what_has_no_value_comes_last(column: Column | None, descending: bool, expected: list[str]) -> None:
    order = TableOrder(ROWS)
    assert [order.rows[n].id for n in order.arrange("", "all", column, descending)] == expected


@pytest.mark.parametrize(
    ("words", "key", "expected"),
    [
        ("BETA", "all", ["z9", "A1"]),
        ("be a1", "all", ["A1"]),
        ("", "held-out", ["z9", "A1"]),
        ("z", "held-out", ["z9"]),
        ("", "new", ["A1", "c3"]),
        ("", "reference", ["z10", "z9", "A1", "b2"]),
        ("", "problem", ["c3"]),
        ("nothing", "all", []),
    ],
)
def test_search_and_filter(words: str, key: str, expected: list[str]) -> None:
    order = TableOrder(ROWS)
    assert [order.rows[n].id for n in order.arrange(words, key, None, False)] == expected


def test_an_id_listed_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="'z9' came twice"):
        TableOrder([*ROWS, ImageRow("z9")])


def test_a_new_group_is_found_and_sorted_by() -> None:
    order = TableOrder(ROWS)
    order.arrange("", "all", Column.GROUP, False)
    assert order.update([replace(ROWS[0], group="omega"), ImageRow("not listed"), ROWS[1]]) == [0]
    assert order.arrange("omega", "all", None, False).tolist() == [0]
    assert order.arrange("", "all", Column.GROUP, False).tolist() == [1, 2, 4, 0, 3]


def test_the_model_keeps_to_the_rules_of_qt(qtmodeltester: Any) -> None:
    model = ImageTableModel()
    model.set_rows(ROWS)
    qtmodeltester.check(model)


def test_cells_say_what_is_known(open_table: Callable[..., ImageTable]) -> None:
    table = open_table()
    assert texts(table, Column.IOU) == ["0.50", "0.90", "\N{EN DASH}", "0.10", "\N{EN DASH}"]
    assert texts(table, Column.IOU, SORT_ROLE) == [0.5, 0.9, None, 0.1, None]
    assert texts(table, Column.STATUS) == ["segmented", "done", "new", "corrected", "problem"]
    assert texts(table, Column.PART)[1:4] == ["held-out", "held-out", "\N{EN DASH}"]
    assert "the file is &lt;cut&gt; off" in texts(table, Column.STATUS, TOOLTIP)[4]
    assert "honest" in texts(table, Column.PART, TOOLTIP)[1]
    assert "0.5000" in texts(table, Column.IOU, TOOLTIP)[0]
    assert "needs a predicted mask" in texts(table, Column.IOU, TOOLTIP)[2]


def test_updates_tell_of_contiguous_rows_at_once(qtbot: Any) -> None:
    model = ImageTableModel()
    model.set_rows(MANY)
    model.sort(Column.IOU, Qt.SortOrder.DescendingOrder)
    told: list[tuple[int, int]] = []
    model.dataChanged.connect(lambda first, last, *_: told.append((first.row(), last.row())))
    news = [replace(MANY[i], status="segmented") for i in (499, 497, 498, 100)]
    model.update_rows([*news, ImageRow("not listed")])
    assert told == [(0, 2), (399, 399)]
    model.update_rows(news)
    assert len(told) == 2


def test_the_combo_box_counts(qtbot: Any, open_table: Callable[..., ImageTable]) -> None:
    table = open_table()
    words = [table.filter.itemText(i) for i in range(table.filter.count())]
    expected = (
        "All (5)|New (2)|Segmented (1)|Corrected (1)|Done (1)|With reference (4)|Held-out (2)|Problems (1)"
    )
    assert words == expected.split("|")
    table.update_rows([replace(ROWS[2], status="segmented", iou=0.3)])
    qtbot.waitUntil(lambda: table.filter.itemText(1) == "New (1)")
    table.filter.setFocus()
    qtbot.keyClick(table.filter, Qt.Key.Key_Down)
    assert table.shown_ids() == ("c3",)
    assert table.summary.text() == "1 of 5 shown"


def test_a_click_opens_an_image_once(qtbot: Any, open_table: Callable[..., ImageTable]) -> None:
    table = open_table()
    ears = Ears(table)
    click(qtbot, table, "A1")
    assert (ears.opened, ears.selected) == (["A1"], [("A1",)])
    qtbot.keyClick(table.view, Qt.Key.Key_Down)
    assert ears.opened == ["A1", "b2"]
    click(qtbot, table, "z10", Qt.KeyboardModifier.ControlModifier)
    assert table.selected_ids() == ("z10", "b2")
    assert table.summary.text() == "5 images, 2 selected"


def test_the_focus_alone_opens_nothing(qtbot: Any, open_table: Callable[..., ImageTable]) -> None:
    table = open_table()
    ears = Ears(table)
    table.activateWindow()
    table.search.setFocus()
    qtbot.keyClick(table.search, Qt.Key.Key_Down)
    qtbot.waitUntil(table.view.hasFocus)
    assert (ears.opened, table.current_id()) == ([], "")
    qtbot.keyClick(table.view, Qt.Key.Key_Down)
    assert ears.opened == ["z10"]


def test_an_image_shown_from_outside_is_not_told_back(open_table: Callable[..., ImageTable]) -> None:
    table = open_table(MANY)
    ears = Ears(table)
    table.show_image("image 400")
    assert ears.opened == []
    assert table.selected_ids() == ("image 400",)
    rect = table.view.visualRect(table.view.index_of("image 400"))
    assert table.view.viewport().rect().contains(rect)
    table.select(["image 400", "image 401"])
    table.show_image("image 401")
    assert table.selected_ids() == ("image 400", "image 401")
    assert table.next_image() == "image 402"
    assert ears.opened == ["image 402"]


def test_one_after_another_in_the_order_displayed(open_table: Callable[..., ImageTable]) -> None:
    table = open_table()
    table.sort_worst_first()
    assert [table.next_image() for _ in range(6)] == ["b2", "z10", "z9", "A1", "c3", ""]
    assert table.previous_image() == "A1"
    assert table.selected_ids() == ("A1",)


def test_the_current_image_stays_in_view_where_the_list_gives_way(
    qtbot: Any, open_table: Callable[..., ImageTable]
) -> None:
    table = open_table(MANY)
    table.show_image("image 008")
    row = lambda: table.view.visualRect(table.view.index_of("image 008"))  # noqa: E731
    assert row().bottom() < table.view.viewport().height()
    table.resize(360, 220)
    qtbot.waitUntil(lambda: row().bottom() <= table.view.viewport().height())
    assert row().top() >= 0
    table.view.scrollToTop()  # a person looks elsewhere
    table.resize(360, 200)
    assert table.view.verticalScrollBar().value() == 0


def test_rows_that_are_updated_keep_their_place(qtbot: Any, open_table: Callable[..., ImageTable]) -> None:
    table = open_table(MANY)
    table.sort_worst_first()
    table.select(["image 020", "image 030"])
    table.show_image("image 020")
    place = table.view.verticalScrollBar().value()
    ears = Ears(table)
    table.update_rows([replace(row, iou=0.99) for row in MANY[20:25]])
    assert table.shown_ids()[20] == "image 020"
    assert table.view.verticalScrollBar().value() == place
    qtbot.waitUntil(table.again_button.isVisible)
    qtbot.mouseClick(table.again_button, Qt.MouseButton.LeftButton)
    assert table.shown_ids()[-5:] == tuple(row.id for row in MANY[20:25])
    assert set(table.selected_ids()) == {"image 020", "image 030"}
    assert (table.current_id(), table.view.current_id()) == ("image 020", "image 020")
    assert (ears.opened, ears.selected) == ([], [])
    assert not table.again_button.isVisible()


def test_selection_and_scroll_outlive_a_new_list(open_table: Callable[..., ImageTable]) -> None:
    table = open_table(MANY)
    table.show_image("image 250")
    table.select(["image 250", "image 499"])
    table.show_image("image 250")
    place = table.view.verticalScrollBar().value()
    ears = Ears(table)
    table.set_rows([replace(row, status="done") for row in MANY[:-1]])
    assert table.selected_ids() == ("image 250",)
    assert ears.selected == [("image 250",)]
    assert ears.opened == []
    assert table.view.verticalScrollBar().value() == place


def test_a_hidden_image_is_not_selected_but_returns(
    qtbot: Any, open_table: Callable[..., ImageTable]
) -> None:
    table = open_table()
    click(qtbot, table, "z9")
    ears = Ears(table)
    qtbot.keyClicks(table.search, "gamma")
    qtbot.waitUntil(lambda: table.shown_ids() == ("c3",))
    assert ears.selected == [()]
    assert table.current_id() == "z9"
    qtbot.keyClick(table.search, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: len(table.shown_ids()) == 5)
    assert table.view.current_id() == "z9"
    assert ears.opened == []


def test_the_header_sorts_and_gives_the_first_order_back(
    qtbot: Any, open_table: Callable[..., ImageTable]
) -> None:
    table = open_table(width=700)
    header = table.view.horizontalHeader()
    seen = []
    for _ in range(3):
        place = QPoint(header.sectionViewportPosition(Column.IOU) + 10, 8)
        qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=place)
        seen.append(table.shown_ids()[0])
    assert seen == ["b2", "z9", "z10"]


def test_nothing_to_show_says_why(qtbot: Any, open_table: Callable[..., ImageTable]) -> None:
    table = open_table([])
    table.set_empty_text("Open a folder of images.")
    assert table.message.isVisible()
    assert table.message.text() == "Open a folder of images."
    assert not table.clear_button.isVisible()
    table.set_rows(ROWS)
    assert table.view.isVisible()
    table.set_rows(ROWS[:1])
    table.set_filter("done")
    assert table.clear_button.text() == "Show all images"
    table.set_rows(ROWS)
    qtbot.keyClicks(table.search, "alpha")
    qtbot.waitUntil(table.clear_button.isVisible)
    assert table.message.text() == "No image matches."
    assert table.clear_button.text() == "Clear the search"
    qtbot.mouseClick(table.clear_button, Qt.MouseButton.LeftButton)
    assert len(table.shown_ids()) == 5
    assert table.filter.currentData() == "all"


def test_only_what_is_painted_asks_for_a_picture_and_once(
    qtbot: Any, open_table: Callable[..., ImageTable]
) -> None:
    asked: list[str] = []
    table = open_table(MANY, request_thumbnail=asked.append)
    qtbot.waitUntil(lambda: len(asked) >= 5)
    assert len(asked) < 30
    assert asked == [row.id for row in MANY[: len(asked)]]
    table.view.scrollToBottom()
    qtbot.waitUntil(lambda: "image 499" in asked)
    table.view.scrollToTop()
    table.view.viewport().repaint()
    qtbot.wait(20)
    assert len(asked) == len(set(asked)) < 60
    assert "image 250" not in asked


@pytest.mark.parametrize("shape", [(64, 48), (16, 64, 3)])
def test_a_picture_is_painted_where_its_image_is(
    qtbot: Any, open_table: Callable[..., ImageTable], shape: tuple[int, ...]
) -> None:
    table = open_table()
    table.set_thumbnail("z9", np.full(shape, 200, np.uint8))
    table.set_thumbnail("not listed", np.zeros(shape, np.uint8))
    rect = table.view.visualRect(table.view.index_of("z9"))
    painted = table.view.viewport().grab().toImage()
    colour = painted.pixelColor(rect.left() + 3 + 16, rect.center().y())
    # A screen of 16 bits does not show every grey.
    assert (colour.red(), colour.green(), colour.blue()) == pytest.approx((200, 200, 200), abs=8)


def test_what_is_no_picture_is_refused(qtbot: Any) -> None:
    model = ImageTableModel()
    model.set_rows(ROWS)
    with pytest.raises(ValueError, match=r"array of uint8; got \(4, 4\) of float64"):
        model.set_thumbnail("z9", np.zeros((4, 4)))


def test_pictures_make_room_and_are_asked_for_again(qtbot: Any) -> None:
    from napari_unet.widgets.images.thumbnails import Thumbnails

    asked: list[str] = []
    pictures = Thumbnails(asked.append, capacity=2)
    for image_id in "abc":
        pictures.get(image_id)
        pictures.put(image_id, np.zeros((2, 2), np.uint8))
    assert pictures.get("b") is not None
    assert pictures.get("a") is None
    qtbot.waitUntil(lambda: asked == ["a", "b", "c", "a"])


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 700])
def test_it_paints_in_either_theme_and_fits(
    open_table: Callable[..., ImageTable], width: int, dark: bool
) -> None:
    table = open_table(width=width)
    palette = QPalette(QColor("#262930") if dark else QColor("#f0f0f0"))
    table.setPalette(palette)
    table.view.setPalette(palette)
    table.show_image("z9")
    assert not table.grab().isNull()
    assert table.view.isColumnHidden(Column.GROUP) == (width == 360)
    columns = sum(table.view.columnWidth(column) for column in Column)
    assert columns == table.view.viewport().width()
    assert table.view.columnWidth(Column.IMAGE) > 120
