"""Where a model comes from: what the others who read it may rely on."""

from __future__ import annotations

from math import isfinite
from typing import Any

TABLES = ("data", "split", "scores", "ensemble", "image_hashes")
NUMBERS = ("steps", "seconds")
LISTS = {"split": ("train", "validation", "held_out"), "ensemble": ("members", "weights")}


def check_provenance(content: Any) -> dict[str, Any]:
    """Give back the provenance of a model if every part of it is of the form that it should be.

    Parameters
    ----------
    content : object
        As it stands in the settings.

    Raises
    ------
    ValueError
        If it is not.
    """
    if not isinstance(content, dict):
        raise ValueError("a provenance that is not a table")
    for name in TABLES:
        table = content.get(name)
        if table is not None and not isinstance(table, dict):
            raise ValueError(f"{name} in the provenance is not a table")
        for part in LISTS.get(name, ()):
            if table and table.get(part) is not None and not isinstance(table[part], list):
                raise ValueError(f"{name}.{part} in the provenance is not a list")
    for name in NUMBERS:
        _check_number(content.get(name), name)
    for weight in (content.get("ensemble") or {}).get("weights") or ():
        _check_number(weight, "a weight of the ensemble")
    hashes = content.get("image_hashes") or {}
    if not all(isinstance(one, str) for one in hashes.values()):
        raise ValueError("a hash of an image that is no text")
    if hashes and not content.get("split"):
        raise ValueError("hashes of images without the split that they belong to")
    return content


def _check_number(value: Any, name: str) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ValueError(f"{name} in the provenance is not a number")
