"""Options under the names of the version before: they work, and a note says the new one.

A line goes with the version after the one that brought it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LAYOUT = {"--format": "--layout"}  # a format is that of a file to be written
OUT = {"--report": "--out"}  # whatever a command makes goes to --out
RECORD = {"--save-recipe": "--save-run"}
OLD: dict[str, dict[str, str]] = {
    "inspect": LAYOUT,
    "train": LAYOUT | RECORD,
    "finetune": LAYOUT | RECORD | {"--unvouched": "--unverified"},
    "ensemble": LAYOUT,
    "refine": LAYOUT,
    "segment": RECORD,
    "evaluate": LAYOUT | OUT | RECORD,
    "compare": LAYOUT | OUT,
    "compare-networks": LAYOUT | OUT,
    "export": RECORD,
    "submit": LAYOUT,
}


def modern(words: Sequence[str]) -> list[str]:
    """The words of a command line with new names in place of old ones; a note on stderr names each."""
    command = next((word for word in words if not word.startswith("-")), "")
    new_names = OLD.get(command, {})
    result: list[str] = []
    for number, word in enumerate(words):
        if word == "--":
            return [*result, *words[number:]]
        old, equals, value = word.partition("=")
        new = new_names.get(old)
        if new is not None:
            print(f"note: {old} is now {new}; the old name goes with the next version", file=sys.stderr)
            word = f"{new}{equals}{value}"
        result.append(word)
    return result
