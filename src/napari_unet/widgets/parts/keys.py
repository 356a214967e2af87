"""Keys that work while the pointer is over the canvas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# In napari's writing, with what they do; those of napari's own tools are left to them.
KEYS = {
    "S": "segment",
    "N": "next image",
    "Shift-N": "previous image",
    "W": "worst first",
    "Q": "next worst that is not done",
    "C": "next to correct: one that stands for others",
    "D": "done, and next",
    "T": "errors on and off",
    "O": "verified pixels on and off",
    "U": "where the model is unsure on and off",
    "B": "probabilities on and off",
    "H": "mask hidden and shown",
    "G": "grow the object under the pointer",
    "Shift-G": "shrink the object under the pointer",
}
LABEL_KEYS = {"0 to 9": "paint with background, or with a class", "I": "paint what is to be ignored"}
TOOL_KEYS = {"P": "brush", "E": "eraser", "F": "fill", "L": "pick a label", "Z": "move the image"}
SHORT = {"S": "segment", "N": "next", "W": "worst", "D": "done", "H": "mask"}


def bind(owner: Any, actions: Mapping[str, Callable[[], object]]) -> list[Callable[[Any], object]]:
    """Let keys of a viewer or layer do something; of two docks the last counts. Gives what to release."""
    bound = {key: _without_owner(action) for key, action in actions.items()}
    for key, function in bound.items():
        owner.bind_key(key, function, overwrite=True)
    return list(bound.values())


def _without_owner(action: Callable[[], object]) -> Callable[[Any], object]:
    return lambda _: action()


def release(owner: Any, bound: list[Callable[[Any], object]]) -> None:
    """Give keys back; those that another dock has taken since stay with it."""
    for key in [k for k, function in owner.keymap.items() if function in bound]:
        owner.bind_key(key, None, overwrite=True)


def all_in_words() -> str:
    """Every key with what it does, for a tooltip."""
    every = {**KEYS, **LABEL_KEYS, **{key: f"napari's {tool}" for key, tool in TOOL_KEYS.items()}}
    rows = "".join(
        f"<tr><td><b>{key.replace('-', '+')}</b>&nbsp;&nbsp;</td><td>{what}</td></tr>"
        for key, what in every.items()
    )
    return f"<qt>Keys while the pointer is over the canvas<table>{rows}</table></qt>"


def short_words() -> str:
    """The keys that are needed most, in one line."""
    return "&nbsp;&nbsp; ".join(f"<b>{key}</b>&nbsp;{what}" for key, what in SHORT.items())
