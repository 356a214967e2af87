"""What a command says in the end: sentences and tables for a person, or JSON for a program."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable


def show(options: argparse.Namespace, facts: Any, lines: Iterable[str] = ()) -> None:
    """Print a result on stdout.

    Parameters
    ----------
    options : argparse.Namespace
        With `json`.
    facts : object
        What `--json` prints: dicts, lists, numbers, texts, paths. NaN becomes null.
    lines : iterable of str
        What a person reads instead.
    """
    if options.json:
        print(json.dumps(_plain(facts), indent=1, ensure_ascii=False))
        return
    for line in lines:
        print(line)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a number of NumPy
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def left_out_facts(left: Iterable[Any]) -> list[dict[str, str]]:
    """Images that were left out, for JSON."""
    return [{"name": item.name, "sentence": item.sentence, "code": item.code} for item in left]
