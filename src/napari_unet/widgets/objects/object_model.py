"""The table of objects as Qt reads it: columns of numbers, and no object for a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt

from napari_unet.data.files.pixel_size import METRES
from napari_unet.metrics.object_measures import IN_PIXELS, IN_UNITS, OF_A_CHANNEL, intensity_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from napari_unet.session.quality.image_objects import ImageObjects
    from napari_unet.session.quality.series_objects import FollowedObjects

DISPLAY = int(Qt.ItemDataRole.DisplayRole)
TOOLTIP = int(Qt.ItemDataRole.ToolTipRole)
ALIGNMENT = int(Qt.ItemDataRole.TextAlignmentRole)
# A plain number: a cell is asked for it each time that it is painted.
RIGHT = int((Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter).value)
ASKED = frozenset((DISPLAY, TOOLTIP, ALIGNMENT))
NOTHING = "\N{EN DASH}"
TEXT = ("image", "class")
TITLES = {
    "image": ("Image", "The image of the object"),
    "object": ("Object", "Number of the object in its image"),
    "class": ("Class", "Class of the object"),
    "tie": (
        "Class in doubt",
        "1 if the object may as well be of another class: both have nearly equal shares",
    ),
    "frame": ("Image no.", "Number of the image in its series"),
    "track": (
        "Object in series",
        "One number for an object in all images in which it overlaps itself from one to the next",
    ),
    "confidence": (
        "Confidence",
        "How likely the object is right, which means an IoU of 0.5 or more with the true one: 0 to 1. Of a "
        "model that has not measured this, the mean of its probabilities in the object",
    ),
    "area": ("Area", "Number of pixels, or their area"),
    "perimeter": ("Perimeter", "Length of the outline, by Crofton's formula in four directions"),
    "circularity": ("Circularity", "4 pi area / perimeter²: 1 for a disc, less for a long or rough shape"),
    "feret_diameter": ("Feret diameter", "Largest distance between two points of the object"),
    "eccentricity": ("Eccentricity", "0 for a disc, near 1 for a line: of the ellipse with the same moments"),
    "solidity": ("Solidity", "Share of the convex hull that the object fills"),
    "centroid_y": ("Centroid y", "Row of the centre"),
    "centroid_x": ("Centroid x", "Column of the centre"),
    "top": ("Top", "First row of the object"),
    "left": ("Left", "First column of the object"),
    "bottom": ("Bottom", "Row behind the last"),
    "right": ("Right", "Column behind the last"),
}
INTENSITIES = {"mean": "Mean", "min": "Min", "max": "Max", "sum": "Sum"}
WHOLE = ("object", "tie", "frame", "track", "area_px", "top_px", "left_px", "bottom_px", "right_px")
SHARES = ("confidence", "circularity", "eccentricity", "solidity")
PAGE = 64  # rows that are put into words together
PAGES = 8  # of these that are remembered
SHOWN_FIRST = (
    "image", "frame", "track", "object", "class", "tie", "confidence", "area_px", "area", "circularity",
    "feret_diameter_px", "eccentricity", "solidity",
)  # fmt: skip


class ObjectModel(QAbstractTableModel):  # type: ignore[misc]
    """One row an object, of one image or of all.

    Columns are arrays; sorting makes one array of places. A page of rows is put into words when one of its
    cells is in view.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.columns: tuple[str, ...] = ("image", "object", "class")
        self.unit = ""
        self.measured_on = ""  # what the confidence was measured on, in words; empty: it was not
        self.classes: tuple[str, ...] = ()
        self._ids: tuple[str, ...] = ()
        self._image = np.zeros(0, np.int64)  # place in _ids
        self._values: dict[str, NDArray[np.float64]] = {"object": np.zeros(0), "label": np.zeros(0)}
        self._order = np.zeros(0, np.int64)
        self._sorted = ("", False)
        self._pages: dict[int, dict[int, list[str]]] = {}  # page to column to its cells

    # content

    def set_images(self, images: Sequence[ImageObjects], followed: FollowedObjects | None = None) -> None:
        """Show the objects of these images; the order stays as it was asked for.

        Parameters
        ----------
        images : sequence of ImageObjects
            In their order.
        followed : FollowedObjects, optional
            Which of them are one object; of images whose mask has changed since they are not known.
        """
        self.beginResetModel()
        self._ids = tuple(one.id for one in images)
        self.classes = images[0].classes if images else ()
        channels = max((one.table.channels for one in images), default=0)
        units = [one.table.unit for one in images if one.table.unit]
        self.unit = units[0] if units else ""
        measured = [n for n in IN_PIXELS if n.endswith("_px")] + [n for n in IN_PIXELS if n[-3:] != "_px"]
        names = [n for name in measured for n in _with_units(name, bool(units))]
        doubts = ["tie"] if len(self.classes) > 1 else []
        names = [
            "object",
            "label",
            *doubts,
            "confidence",
            *names,
            *(intensity_names(channels) if channels else ()),
        ]
        lengths = [len(one.table) for one in images]
        self._image = np.repeat(np.arange(len(images)), lengths)
        self._values = {
            name: np.concatenate([self._column(one, name) for one in images]) if images else np.zeros(0)
            for name in names
        }
        if followed is not None:
            both = [_in_series(one, followed) for one in images]
            for place, name in enumerate(("frame", "track")):
                self._values[name] = np.concatenate([one[place] for one in both]) if both else np.zeros(0)
            names = [*names[:2], "frame", "track", *names[2:]]
        shown = ("image", "object", "class", *names[2:])
        self.columns = shown
        self._arrange()
        self.endResetModel()

    def _column(self, one: ImageObjects, name: str) -> NDArray[np.float64]:
        """Values of a column; lengths in the unit that all have."""
        table = one.table
        values = table.columns.get(name)
        if values is None:
            return np.full(len(table), np.nan)
        factor = 1.0
        if name in IN_UNITS and table.unit != self.unit:
            factor = (METRES[table.unit] / METRES[self.unit]) ** (2 if name == "area" else 1)
        return np.asarray(values, np.float64) * factor

    @property
    def ids(self) -> tuple[str, ...]:
        """Of the images whose objects are shown."""
        return self._ids

    def object_at(self, row: int) -> tuple[str, int]:
        """Image and number of the object in a displayed row."""
        place = int(self._order[row])
        return self._ids[int(self._image[place])], int(self._values["object"][place])

    def rows_of(self, identifier: str, numbers: Iterable[int]) -> list[int]:
        """Displayed rows of objects of an image."""
        if identifier not in self._ids:
            return []
        here = self._image == self._ids.index(identifier)
        found = here & np.isin(self._values["object"], np.fromiter(numbers, np.int64))
        return [int(row) for row in np.flatnonzero(found[self._order])]

    def numbers_in(self, identifier: str, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers of the objects of an image among displayed rows."""
        if identifier not in self._ids:
            return np.zeros(0, np.int64)
        places = self._order[rows]
        places = places[self._image[places] == self._ids.index(identifier)]
        return np.asarray(self._values["object"][places], np.int64)

    def values(self, name: str) -> NDArray[np.float64]:
        """(N,) values of a column, in the order displayed; NaN where they are not known."""
        return self._values[name][self._order] if name in self._values else np.full(len(self._order), np.nan)

    def numeric(self) -> tuple[str, ...]:
        """Columns of numbers."""
        return tuple(name for name in self.columns if name not in (*TEXT, "object"))

    def text_table(self, columns: Sequence[str], rows: Sequence[int]) -> list[list[str]]:
        """Displayed rows as text, numbers with all their digits."""
        places = self._order[np.asarray(rows, np.int64)]
        cells = [self._texts(places, name, exact=True) for name in columns]
        return [list(row) for row in zip(*cells, strict=True)]

    # order

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; what is not known comes last."""
        if 0 <= column < len(self.columns):
            self.layoutAboutToBeChanged.emit()
            self._sorted = self.columns[column], order == Qt.SortOrder.DescendingOrder
            self._arrange()
            self.layoutChanged.emit()

    @property
    def sorted_by(self) -> tuple[str, bool]:
        """Column, empty for the order of the images, and whether the highest comes first."""
        return self._sorted

    def _arrange(self) -> None:
        self._pages.clear()
        name, descending = self._sorted
        if name == "image":
            keys: NDArray[Any] = np.argsort(np.argsort(np.array(self._ids)))[self._image]
        elif name == "class":
            keys = self._values["label"]
        elif name in self._values:
            keys = self._values[name]
        else:
            self._order = np.arange(len(self._image))
            return
        keys = np.asarray(keys, np.float64)
        self._order = np.argsort(-keys if descending else keys, kind="stable")

    # what Qt asks for

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        """How many objects there are."""
        return 0 if parent is not None and parent.isValid() else len(self._order)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        """How many measurements there are."""
        return 0 if parent is not None and parent.isValid() else len(self.columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = DISPLAY) -> Any:  # noqa: N802
        """Title of a column, and what it means."""
        if orientation != Qt.Orientation.Horizontal or role not in (DISPLAY, TOOLTIP):
            return None
        name = self.columns[section]
        words = title_of(name, self.unit)[role == TOOLTIP]
        measured = role == TOOLTIP and name == "confidence" and self.measured_on
        return f"{words}. Measured on {self.measured_on}" if measured else words

    def data(self, index: QModelIndex, role: int = DISPLAY) -> Any:
        """What a cell shows."""
        if role not in ASKED:  # most of the questions that painting asks
            return None
        if role == DISPLAY:
            return self.text_at(index.row(), index.column())
        if role == ALIGNMENT:
            return None if self.is_words(index.column()) else RIGHT
        if role == TOOLTIP and self.columns[index.column()] == "image":
            return self._ids[int(self._image[self._order[index.row()]])]
        return None

    def is_words(self, column: int) -> bool:
        """Whether a column is of names, not of numbers."""
        return column in {0, 2}  # image and class

    def text_at(self, row: int, column: int) -> str:
        """What a cell shows."""
        number, place = divmod(row, PAGE)
        page = self._pages.get(number)
        if page is None:
            if len(self._pages) >= PAGES:
                del self._pages[next(iter(self._pages))]
            page = self._pages[number] = {}
        cells = page.get(column)
        if cells is None:
            rows = self._order[number * PAGE : (number + 1) * PAGE]
            cells = page[column] = self._texts(rows, self.columns[column])
        return cells[place]

    def _texts(self, places: NDArray[np.int64], name: str, *, exact: bool = False) -> list[str]:
        if name == "image":
            return [self._ids[image] for image in self._image[places].tolist()]
        if name == "class":
            return [self.classes[int(label) - 1] for label in self._values["label"][places].tolist()]
        if exact:
            form, whole, unknown = "{:.10g}", "{:.0f}", ""
        else:
            form = whole = form_of(name)
            unknown = NOTHING
        return [
            unknown if value != value else (whole if value == round(value) else form).format(value)  # NaN
            for value in self._values[name][places].tolist()
        ]


def form_of(name: str) -> str:
    """How the numbers of a column are written."""
    if name in WHOLE:
        return "{:,.0f}"
    if name in SHARES:
        return "{:.3f}"
    return "{:,.1f}" if name.endswith("_px") else "{:,.6g}"


def _in_series(
    one: ImageObjects, followed: FollowedObjects
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Number of the image and of each of its objects in the series; NaN where that is not known."""
    numbers, table = np.asarray(one.table.columns["object"], np.int64), followed.numbers.get(one.id)
    frames = np.full(len(numbers), np.nan)
    if table is None or followed.keys.get(one.id) != one.key or int(numbers.max(initial=0)) >= len(table):
        return frames, frames.copy()
    frames[:] = followed.frames[one.id]
    return frames, table[numbers].astype(np.float64)


def _with_units(name: str, known: bool) -> list[str]:
    bare = name.removesuffix("_px")
    return [name, bare] if known and name != bare and bare in IN_UNITS else [name]


def title_of(name: str, unit: str) -> tuple[str, str]:
    """Title of a column, and what it means."""
    if name.startswith("intensity_"):
        what, _, channel = name.removeprefix("intensity_").partition("_")
        where = f" {channel}" if channel else ""
        about = "Sum of the intensities" if what == "sum" else f"{INTENSITIES[what]} of the intensities"
        place = f"channel {channel}" if channel else "the image"
        assert what in OF_A_CHANNEL
        return f"{INTENSITIES[what]}{where}", f"{about} of {place} in the object, as stored"
    bare = name.removesuffix("_px")
    title, about = TITLES[bare]
    if bare in SHARES or bare in {"image", "object", "class", "tie", "frame", "track"}:
        return title, about
    if name != bare:
        return f"{title} (px)", about
    return f"{title} ({unit}{'²' if bare == 'area' else ''})", about
