"""Keys that work while the pointer is over the canvas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# In napari's writing, with what they do; those of napari's own tools are left to them.
KEYS = {
    "S": "segment",
    "N": "go to the next image",
    "Shift-N": "go to the previous image",
    "W": "sort the worst images first and go to the worst",
    "Q": "go to the next worst image that is not done",
    "C": "go to the next image to correct and take the brush",
    "D": "mark the image as done and go to the next",
    "T": "show or hide errors",
    "O": "show or hide verified pixels",
    "U": "show or hide where the model is unsure",
    "B": "show or hide probabilities",
    "H": "show or hide the mask",
    "A": "accept what is proposed: a fill between slices, or the preview of the strokes",
    "Shift-F": "fill an object between the slices of a volume in which you painted it",
    "G": "grow the object under the pointer",
    "Shift-G": "shrink the object under the pointer",
    "Shift-W": "go to the most doubtful object, then to the next",
    "R": "remove the object under the pointer",
    "J": "join objects: draw a stroke from one into another",
    "K": "cut an object: draw a stroke across it",
}
OF_OBJECTS = ("Shift-W", "G", "Shift-G", "R", "J", "K")  # of these
BACKGROUND_KEY, IGNORE_KEY, DIGITS = "0", "I", range(1, 10)
UNDO_KEY = "Ctrl-Z"
LABEL_KEYS = {
    BACKGROUND_KEY: "paint background",
    f"{DIGITS[0]} to {DIGITS[-1]}": "paint with this class",
    IGNORE_KEY: "paint pixels that are ignored",
    UNDO_KEY: "undo the last stroke or change",
}
TOOL_KEYS = {"P": "brush", "E": "eraser", "F": "fill", "L": "pick a label", "Z": "move the image"}
CANCEL = "Escape"
DOCK_KEYS = {CANCEL: "cancel what runs; finished masks and files stay"}
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


def every_key() -> dict[str, dict[str, str]]:
    """Every key with what it does, by the place where it works."""
    sections = {
        "Over the canvas": {key: what for key, what in KEYS.items() if key not in OF_OBJECTS},
        "Objects, over the canvas": {key: KEYS[key] for key in OF_OBJECTS},
        "While the layer of the mask is active": LABEL_KEYS,
        "Tools of napari in that layer": TOOL_KEYS,
        "In the dock": DOCK_KEYS,
    }
    return {
        title: {key.replace("-", "+"): what for key, what in keys.items()} for title, keys in sections.items()
    }


def short_words() -> str:
    """The keys that are needed most, in one line."""
    return "&nbsp;&nbsp; ".join(f"<b>{key}</b>&nbsp;{what}" for key, what in SHORT.items())
