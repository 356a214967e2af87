"""JSON that somebody else may have written: read as plain data, whatever is in it."""

from __future__ import annotations

import json
from typing import Any

MOST_DEEP = 200  # lists and objects within one another; ours are below 20
# What looking into content raises that is not of the form it should be.
BAD_CONTENT = (
    KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError,
)  # fmt: skip


def parse_json(text: str | bytes) -> Any:
    """Read JSON.

    Parameters
    ----------
    text : str or bytes
        The whole text; bytes are UTF-8.

    Returns
    -------
    object
        Lists, dicts, texts, numbers, True, False and None.

    Raises
    ------
    ValueError
        If it is not JSON, or is nested so deeply that working with it would exhaust the stack.
    """
    try:
        content = json.loads(text.decode("utf-8") if isinstance(text, bytes) else text)
    except RecursionError:
        raise _too_deep() from None
    _check_depth(content)
    return content


def _too_deep() -> ValueError:
    return ValueError(f"more than {MOST_DEEP} lists within one another")


def _check_depth(content: Any) -> None:
    level, depth = [content], 0
    while level := [v for v in level if isinstance(v, dict | list)]:
        depth += 1
        if depth > MOST_DEEP:
            raise _too_deep()
        level = [below for v in level for below in (v.values() if isinstance(v, dict) else v)]
