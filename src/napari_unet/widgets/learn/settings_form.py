"""A form of settings: magicgui makes each row from the declaration of its field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import annotated_types
from magicgui.widgets import create_widget
from pydantic import BaseModel
from qtpy.QtWidgets import QFormLayout, QLabel, QSizePolicy, QWidget

if TYPE_CHECKING:
    from collections.abc import Iterable

    from magicgui.widgets.bases import ValueWidget
    from pydantic.fields import FieldInfo

    from napari_unet.settings import Recipe

# What the data decides, what the panel asks for by itself, and what is not of this form.
LEFT_OUT = {"name", "input_channels", "classes", "minutes", "megapixels", "epochs", "steps_per_epoch", "seed"}
LEFT_OUT |= {"dimensions", "slices", "flat_levels", "patch_depth", "voxel_size"}  # of volumes
SECTIONS = (("network",), ("training",), ("training", "augmentation"))
MOST = 1_000_000
DECIMALS = 5  # of fractions, such as weight decay


class SettingsForm(QWidget):  # type: ignore[misc]
    """The settings of a recipe, to be changed.

    Parameters
    ----------
    recipe : Recipe
        Shown first.

    Attributes
    ----------
    rows : dict
        Path of a setting, such as ("training", "patch"), to its widget of magicgui.
    """

    def __init__(self, recipe: Recipe, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: dict[tuple[str, ...], ValueWidget] = {}
        self._recipe = recipe

    def build(self) -> None:
        """Make the inputs, when they are first seen: the dock opens sooner without them."""
        if self.rows:
            return
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 4, 0)
        form.setSpacing(2)
        for section in SECTIONS:
            part = _part(self._recipe, section)
            form.addRow(QLabel(f"<b>{section[-1].capitalize()}</b>"))
            for name, info in type(part).model_fields.items():
                nested = isinstance(getattr(part, name), BaseModel)
                if nested or name in LEFT_OUT:
                    continue
                title = info.title or name
                row = _input(name, info)
                row.native.setAccessibleName(title)
                row.native.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
                label = QLabel(title)
                label.setToolTip(row.tooltip)
                form.addRow(label, row.native)
                self.rows[(*section, name)] = row
        self.show_recipe(self._recipe)

    def show_recipe(self, recipe: Recipe) -> None:
        """Show the settings of a recipe."""
        self._recipe = recipe
        for path, row in self.rows.items():
            row.value = getattr(_part(recipe, path[:-1]), path[-1])

    def changes(self) -> list[str]:
        """What is different from the recipe that was shown, as "key=value"."""
        return [
            f"{'.'.join(path)}={row.value}"
            for path, row in self.rows.items()
            if row.value != getattr(_part(self._recipe, path[:-1]), path[-1])
        ]


def _part(recipe: Recipe, path: Iterable[str]) -> BaseModel:
    part: BaseModel = recipe
    for name in path:
        part = getattr(part, name)
    return part


def _input(name: str, info: FieldInfo) -> ValueWidget:
    """An input for a setting, bounded as it is declared."""
    options: dict[str, Any] = {"tooltip": info.description or ""}
    kind = info.annotation
    if kind in (int, float):
        options |= {"min": 0, "max": MOST, "step": 1 if kind is int else None}
        for bound in info.metadata:
            if isinstance(bound, annotated_types.Ge | annotated_types.Gt):
                options["min"] = getattr(bound, "ge", getattr(bound, "gt", 0))
            if isinstance(bound, annotated_types.Le | annotated_types.Lt):
                options["max"] = min(getattr(bound, "le", getattr(bound, "lt", MOST)), MOST)
    if kind is bool:
        options["text"] = " "  # its label stands before it
    row = create_widget(annotation=kind, name=name, options=options)
    if kind is float:
        row.native.setDecimals(DECIMALS)
    return row
