"""Settings as a form: one row each, with label, range and what it means, made from their declaration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QSizePolicy,
    QSpinBox,
    QWidget,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic.fields import FieldInfo

    from napari_unet.settings import Recipe

# What the data decides, what the panel asks for by itself, and what is not of this form.
LEFT_OUT = {"name", "input_channels", "classes", "minutes", "megapixels", "epochs", "steps_per_epoch", "seed"}
SECTIONS = (("network",), ("training",), ("training", "augmentation"))
MOST = 1_000_000


class SettingsForm(QWidget):  # type: ignore[misc]
    """The settings of a recipe, to be changed.

    Parameters
    ----------
    recipe : Recipe
        That is shown first.
    """

    def __init__(self, recipe: Recipe, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: dict[tuple[str, ...], QWidget] = {}
        self._recipe = recipe
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 4, 0)
        form.setSpacing(2)
        for section in SECTIONS:
            part = _part(recipe, section)
            form.addRow(QLabel(f"<b>{section[-1].capitalize()}</b>"))
            for name, info in type(part).model_fields.items():
                nested = isinstance(getattr(part, name), BaseModel)
                if nested or name in LEFT_OUT:
                    continue
                row = _input(info)
                row.setAccessibleName(info.title or name)
                row.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
                row.setToolTip(info.description or "")
                label = QLabel(info.title or name)
                label.setToolTip(info.description or "")
                form.addRow(label, row)
                self._rows[(*section, name)] = row
        self.show_recipe(recipe)

    def show_recipe(self, recipe: Recipe) -> None:
        """Show the settings of a recipe."""
        self._recipe = recipe
        for path, row in self._rows.items():
            value = getattr(_part(recipe, path[:-1]), path[-1])
            if isinstance(row, QComboBox):
                row.setCurrentText(str(value))
            elif isinstance(row, QCheckBox):
                row.setChecked(bool(value))
            else:
                row.setValue(value)

    def changes(self) -> list[str]:
        """What is different from the recipe that was shown, as "key=value"."""
        found = []
        for path, row in self._rows.items():
            before = getattr(_part(self._recipe, path[:-1]), path[-1])
            value: Any
            if isinstance(row, QComboBox):
                value = row.currentText()
            elif isinstance(row, QCheckBox):
                value = row.isChecked()
            else:
                value = row.value()
            if value != before:
                found.append(f"{'.'.join(path)}={value}")
        return found


def _part(recipe: Recipe, path: Iterable[str]) -> BaseModel:
    part: BaseModel = recipe
    for name in path:
        part = getattr(part, name)
    return part


def _input(info: FieldInfo) -> QWidget:
    """An input for a setting, bounded as it is declared."""
    kind = info.annotation
    if get_origin(kind) is Literal:
        box = QComboBox()
        box.addItems([str(v) for v in get_args(kind)])
        return box
    if kind is bool:
        return QCheckBox()
    if kind is str:
        box = QComboBox()
        box.setEditable(True)
        return box
    low, high = 0.0, float(MOST)
    for bound in info.metadata:
        if isinstance(bound, annotated_types.Ge | annotated_types.Gt):
            low = float(getattr(bound, "ge", getattr(bound, "gt", low)))
        if isinstance(bound, annotated_types.Le | annotated_types.Lt):
            high = float(getattr(bound, "le", getattr(bound, "lt", high)))
    if kind is int:
        whole = QSpinBox()
        whole.setRange(int(low), int(min(high, MOST)))
        return whole
    number = QDoubleSpinBox()
    number.setDecimals(5)
    number.setSingleStep(0.01)
    number.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
    number.setRange(low, high)
    return number
