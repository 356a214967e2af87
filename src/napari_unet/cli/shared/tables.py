"""Tables for a shell that may be narrow."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def print_table(columns: Sequence[tuple[str, bool]], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, in several parts below one another where the shell is too narrow for it.

    Parameters
    ----------
    columns : sequence of (str, bool)
        Title, and whether the column holds numbers. Each part begins with the first column.
    rows : sequence of sequence of str
        One cell a column.
    """
    from rich.box import SIMPLE_HEAD
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table

    console = Console()
    widths = [
        max(cell_len(title), *(cell_len(row[number]) for row in rows), 0)
        for number, (title, _) in enumerate(columns)
    ]
    for part in parts_of(widths, console.width):
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for number in part:
            title, numbers = columns[number]
            table.add_column(title, justify="right" if numbers else "left")
        for row in rows:
            table.add_row(*(row[number] for number in part))
        console.print(table)


def parts_of(widths: Sequence[int], width: int) -> list[list[int]]:
    """Which columns go into which part of a table.

    Parameters
    ----------
    widths : sequence of int
        Characters of each column.
    width : int
        Characters of the shell.

    Returns
    -------
    list of list of int
        Numbers of columns; each part begins with column 0 and has one more at least, if there is one.
    """
    gap = 2  # between two columns
    parts = [[0]]
    used = widths[0]
    for number in range(1, len(widths)):
        if used + gap + widths[number] > width and len(parts[-1]) > 1:
            parts.append([0])
            used = widths[0]
        parts[-1].append(number)
        used += gap + widths[number]
    return parts
