"""How the cells of images and of their status are painted: in two lines where the table is narrow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QModelIndex, QRect, QRectF, QSizeF, Qt
from qtpy.QtGui import QColor, QFont, QFontMetrics, QIcon, QPainter, QPainterPath, QPalette
from qtpy.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from napari_unet.widgets.images.table_model import about_slices, status_text, status_word
from napari_unet.widgets.parts.status_glyphs import SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QPixmap

PICTURE = 28
MARGIN = 1
SMALL = 0.86  # of the font, where there are two lines in a row
GAP = 5
CORNER = 3.0
Line = tuple[QIcon | None, str]


class ImageCell(QStyledItemDelegate):  # type: ignore[misc]
    """Paints picture and name; only what it paints asks for a picture.

    Attributes
    ----------
    two_lines : bool
        Whether the group stands below the name.
    """

    two_lines = False

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Paint one cell."""
        cell = QStyleOptionViewItem(option)
        self.initStyleOption(cell, index)
        model = index.model()
        row = model.image_at(index.row())
        _paint_ground(painter, cell)
        left, top = cell.rect.left() + MARGIN, cell.rect.top() + (cell.rect.height() - PICTURE) // 2
        _paint_picture(painter, QRectF(left, top, PICTURE, PICTURE), model.thumbnail(index.row()))
        lines: list[Line] = [(None, row.id)]
        repeats = row.group.endswith(row.id) or row.id.startswith(row.group)  # "stack [6]" of "stack"
        if self.two_lines and row.slices:
            lines += [(None, words) for words in about_slices(row)]
        elif self.two_lines and row.group and not repeats:
            lines.append((None, row.group))
        _paint_lines(painter, cell, cell.rect.adjusted(MARGIN + PICTURE + GAP, 0, -MARGIN, 0), lines)


class StatusCell(QStyledItemDelegate):  # type: ignore[misc]
    """Paints the status.

    Attributes
    ----------
    two_lines : bool
        Whether the part of the split stands below it.
    """

    two_lines = False

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Paint one cell."""
        model = index.model()
        row = model.image_at(index.row())
        if not self.two_lines:
            super().paint(painter, option, index)
            return
        cell = QStyleOptionViewItem(option)
        self.initStyleOption(cell, index)
        _paint_ground(painter, cell)
        lines = [(model.glyph(status_word(row)), status_text(row))]
        lines += [(model.glyph(row.part), row.part)] if row.part else []
        _paint_lines(painter, cell, cell.rect.adjusted(MARGIN, 0, -MARGIN, 0), lines)


def small_font(font: QFont) -> QFont:
    """That of two lines in a row."""
    small = QFont(font)
    if font.pixelSize() > 0:
        small.setPixelSize(round(font.pixelSize() * SMALL))
    else:
        small.setPointSizeF(font.pointSizeF() * SMALL)
    return small


def _paint_ground(painter: QPainter, cell: QStyleOptionViewItem) -> None:
    """Paint what the theme paints, without text and icon."""
    cell.text, cell.icon = "", QIcon()
    cell.features &= ~QStyleOptionViewItem.ViewItemFeature.HasDecoration
    cell.widget.style().drawControl(QStyle.ControlElement.CE_ItemViewItem, cell, painter, cell.widget)


def _paint_lines(painter: QPainter, cell: QStyleOptionViewItem, space: QRect, lines: Sequence[Line]) -> None:
    """Paint lines of icon and text, centred as a block; all but the first are fainter."""
    painter.save()
    selected = bool(cell.state & QStyle.StateFlag.State_Selected)
    role = QPalette.ColorRole.HighlightedText if selected else QPalette.ColorRole.Text
    colour = QColor(cell.palette.color(QPalette.ColorGroup.Active, role))
    font = small_font(cell.font) if len(lines) > 1 else cell.font
    metrics = QFontMetrics(font)
    painter.setFont(font)
    height = metrics.height()
    top = space.top() + (space.height() - height * len(lines)) // 2
    for icon, text in lines:
        left = space.left()
        if icon is not None:
            place = QRect(left, top + (height - SIZE) // 2, SIZE, SIZE)
            mode = QIcon.Mode.Selected if selected else QIcon.Mode.Normal
            icon.paint(painter, place, Qt.AlignmentFlag.AlignCenter, mode)
            left += SIZE + GAP
        line = QRect(left, top, space.right() - left + 1, height)
        painter.setPen(colour)
        elided = metrics.elidedText(text, Qt.TextElideMode.ElideLeft, line.width())
        painter.drawText(line, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, elided)
        top += height
        colour.setAlphaF(0.75)
    painter.restore()


def _paint_picture(painter: QPainter, square: QRectF, pixmap: QPixmap | None) -> None:
    painter.save()
    outline = QPainterPath()
    outline.addRoundedRect(square, CORNER, CORNER)
    painter.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform)
    painter.fillPath(outline, QColor(128, 128, 128, 60))
    if pixmap is not None:
        size = QSizeF(pixmap.size()).scaled(square.size(), Qt.AspectRatioMode.KeepAspectRatio)
        place = QRectF(0, 0, size.width(), size.height())
        place.moveCenter(square.center())
        painter.setClipPath(outline)
        painter.drawPixmap(place, pixmap, QRectF(pixmap.rect()))
    painter.restore()
