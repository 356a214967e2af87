"""What the objects of an image are, in words: "36 nuclei, median area 214 px (52.4 µm²)"."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.metrics.object_measures import ObjectTable

LATIN = {"us": "i", "um": "a", "ion": "ia"}
# Words that have a plural of Latin or Greek: not every "bus" and "ion" has one.
LATIN_WORDS = (
    "nucleus", "nucleolus", "fungus", "villus", "alveolus", "glomerulus", "thrombus", "bacillus",
    "mitochondrion", "bacterium", "cilium", "flagellum", "microvillus", "micronucleus", "follicular antrum",
)  # fmt: skip
PLURALS = ("i", "ria", "ndria")  # endings of what is a plural already
UNNAMED = ("foreground", "object", "mask", "")  # classes that have no name of their own


def plural(noun: str) -> str:
    """The plural of the name of a class; a name that is a plural stays."""
    lower = noun.lower()
    for word in LATIN_WORDS:
        if lower.endswith(word):
            end = next(e for e in LATIN if word.endswith(e))
            return noun[: -len(end)] + LATIN[end]
    if lower.endswith(PLURALS) or (lower.endswith("s") and not lower.endswith(("ss", "us", "is"))):
        return noun
    if lower.endswith(("ss", "us", "x", "ch", "sh")):
        return noun + "es"
    if lower.endswith("is"):
        return noun[:-2] + "es"
    if lower.endswith("y") and lower[-2:-1] not in {"", *"aeiou"}:
        return noun[:-1] + "ies"
    return noun + "s"


def count_in_words(number: int, name: str) -> str:
    """How many objects of a class: "1 nucleus", "3,298 nuclei"; objects where the class has no name."""
    noun = "object" if name in UNNAMED else name
    return f"{number:,} {noun if number == 1 else plural(noun)}"


def short_number(value: float) -> str:
    """Three digits or the whole part: "0.0123", "52.4", "1,234"."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def objects_in_words(table: ObjectTable, classes: Sequence[str]) -> str:
    """How many objects of which class an image has, and how large they are.

    Parameters
    ----------
    table : ObjectTable
        The objects.
    classes : sequence of str
        Names of the classes 1..K.

    Returns
    -------
    str
        "36 nuclei, median area 214 px (52.4 µm²)"; "no objects" without any. How many may as well be of
        another class is said, if some may.
    """
    if not len(table):
        return "no objects"
    labels = np.asarray(table.columns["label"])
    counts = {label: int(np.count_nonzero(labels == label)) for label in range(1, len(classes) + 1)}
    known = [count_in_words(n, classes[label - 1]) for label, n in counts.items() if n]
    area = f"{np.median(np.asarray(table.columns['area_px'])):,.0f} px"
    if table.unit:
        area += f" ({short_number(float(np.median(np.asarray(table.columns['area']))))} {table.unit}²)"
    which = ", ".join(known[:-1]) + (" and " if len(known) > 1 else "") + known[-1]
    ties = int(np.sum(table.columns["tie"])) if "tie" in table.columns else 0
    doubt = f"; class in doubt: {ties:,}" if ties else ""
    return f"{which}, {'median ' if len(table) > 1 else ''}area {area}{doubt}"
