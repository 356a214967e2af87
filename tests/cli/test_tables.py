"""Tables in shells of any width."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as some

from napari_unet.cli.shared.tables import parts_of, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence


def test_columns_go_where_there_is_room() -> None:
    # 5 + 2 + 4 = 11; with the next 2 + 4 = 17, and one more would be 23.
    assert parts_of([5, 4, 4, 4], 80) == [[0, 1, 2, 3]]
    assert parts_of([5, 4, 4, 4], 23) == [[0, 1, 2, 3]]
    assert parts_of([5, 4, 4, 4], 22) == [[0, 1, 2], [0, 3]]
    assert parts_of([5, 4, 4, 4], 3) == [[0, 1], [0, 2], [0, 3]]
    assert parts_of([5], 3) == [[0]]


@given(some.lists(some.integers(0, 30), min_size=1, max_size=12), some.integers(1, 100))
def test_every_column_is_there_once_and_the_first_everywhere(widths: list[int], width: int) -> None:
    parts = parts_of(widths, width)
    assert all(part[0] == 0 for part in parts)
    assert [number for part in parts for number in part[1:]] == list(range(1, len(widths)))


@pytest.mark.parametrize("width", [40, 200])
def test_no_cell_is_cut_short(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    columns = [("Network", False), *((f"Score {n} of some length", True) for n in range(6))]
    rows: Sequence[Sequence[str]] = [
        [name, *(f"0.{n}23 (0.{n}10 to 0.{n}30)" for n in range(6))] for name in ("U-Net", "SegNet")
    ]
    print_table(columns, rows)
    out = capsys.readouterr().out
    assert "…" not in out
    for cell in (*(title for title, _ in columns), *rows[0], *rows[1]):
        assert cell in out
    assert max(map(len, out.splitlines())) <= width
    assert (out.count("U-Net") == 1) == (width == 200)
