"""A hand with a mouse: clicks where a person clicks, and counts."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from roads.waiting import rest, spin

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN, TITLE = "napari-unet-workbench", "U-Net Workbench"
HAND = 0.01  # seconds from one place of the pointer to the next
MENU, DIALOG = 2, 2  # clicks: menu and entry; folder or file, and its Open button


class Hand:
    """Works in a window of napari with the mouse.

    Parameters
    ----------
    viewer : napari.Viewer
        Open.
    bench : Workbench, optional
        Where the dock is open already, as in a test.

    Attributes
    ----------
    clicks : int
        So far.
    paused : float
        Seconds that no hand is faster, and the program waited for nothing.
    """

    def __init__(self, viewer: Any, bench: Any = None) -> None:
        self.viewer, self.bench = viewer, bench
        self.clicks, self.paused = 0, 0.0

    def open_dock(self) -> Any:
        """Plugins > U-Net Workbench; gives the workbench."""
        self.clicks += MENU
        if self.bench is None:
            _, self.bench = self.viewer.window.add_plugin_dock_widget(PLUGIN, TITLE)
        return self.bench

    def click(self, widget: Any) -> None:
        """Click a button, once it can be clicked."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        spin(lambda: bool(widget.isEnabled()))
        self.clicks += 1
        QTest.mouseClick(widget, Qt.MouseButton.LeftButton, pos=widget.rect().center())

    def menu(self, button: Any, words: str) -> None:
        """Open the menu of a button, and click the entry that begins with these words."""
        from qtpy.QtCore import Qt, QTimer
        from qtpy.QtTest import QTest

        found: list[Any] = []

        def pick() -> None:
            menu = button.menu()
            if not menu.isVisible():
                QTimer.singleShot(10, pick)
                return
            found.extend(a for a in menu.actions() if a.text().startswith(words))
            QTest.mouseClick(menu, Qt.MouseButton.LeftButton, pos=menu.actionGeometry(found[0]).center())
            self.clicks += 1

        QTimer.singleShot(10, pick)
        self.click(button)
        assert found, f"the menu has no {words!r}"

    def click_word(self, label: Any, pixels: int = 45) -> None:
        """Click a line of text so many pixels from its left end."""
        from qtpy.QtCore import QPoint, Qt
        from qtpy.QtTest import QTest

        self.clicks += 1
        QTest.mouseClick(label, Qt.MouseButton.LeftButton, pos=QPoint(pixels, label.height() // 2))

    def drag(self, way: list[tuple[int, int]]) -> None:
        """Paint along a way, (row, column) in pixels of the image; counts as one click."""
        from qtpy.QtCore import QPoint, Qt
        from qtpy.QtTest import QTest

        canvas, camera = self.viewer.window._qt_viewer.canvas.native, self.viewer.camera
        middle = camera.center[-2:]

        def place(row: float, column: float) -> QPoint:
            y, x = (row - middle[0]) * camera.zoom, (column - middle[1]) * camera.zoom
            return QPoint(round(canvas.width() / 2 + x), round(canvas.height() / 2 + y))

        QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=place(*way[0]))
        for point in way[1:]:
            QTest.mouseMove(canvas, place(*point))
            rest(HAND)
        QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=place(*way[-1]))
        self.clicks += 1
        rest(HAND)

    def clock(self) -> float:
        """Seconds, from some moment on."""
        return time.perf_counter()

    def choose(self, box: Any, data: object) -> None:
        """Open a combo box, and click the entry with this data."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QApplication

        self.click(box)
        view = box.view()
        spin(lambda: bool(view.isVisible()))
        pause = QApplication.doubleClickInterval() / 1000 + 0.05
        rest(pause)  # until then Qt takes a click for the second half of the one that opened it
        self.paused += pause
        index = view.model().index(box.findData(data), 0)
        view.scrollTo(index)
        place = view.visualRect(index).center()
        QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place)
        self.clicks += 1
        if box.currentData() != data:
            raise AssertionError(f"a click did not choose {data!r}")

    def answer(self, name: str, path: Path | list[Path]) -> None:
        """Choose a path in the next dialog of the system, which is not opened here."""
        from qtpy.QtWidgets import QFileDialog

        before = getattr(QFileDialog, name)

        def chosen(*_: Any, **__: Any) -> Any:
            setattr(QFileDialog, name, before)
            self.clicks += DIALOG
            if name == "getExistingDirectory":
                return str(path)
            paths = [str(p) for p in path] if isinstance(path, list) else str(path)
            return paths, ""

        setattr(QFileDialog, name, staticmethod(chosen))

    def object_count(self) -> int:
        """Read how many objects the dock says that the current image has, once it does."""
        words = self.bench.objects.row.words
        spin(lambda: words.isVisible() and bool(re.search(r"\d", words.text())))
        found = re.search(r"\d[\d,]*", re.sub("<[^>]*>", "", words.text()))
        assert found is not None
        return int(found[0].replace(",", ""))

    def segmented(self, count: int) -> None:
        """Wait until so many images are segmented and nothing runs."""
        session = self.bench.session

        def there() -> bool:
            done = sum(row.status != "new" for row in session.workspace.rows())
            return done >= count and not session.runner.busy and session.runner.progress is None

        spin(there)
