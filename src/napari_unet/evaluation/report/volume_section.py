"""The part of a report about volumes: their scores in three dimensions, and their worst slices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_unet.evaluation.report.report_tables import NOTHING, table_of
from napari_unet.evaluation.volume_scores import TITLES, block_rows, compared_rows, score_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_unet.evaluation.score import ScoredBlock

MOST_SLICES = 200  # that the page lists, the worst


def volume_section(blocks: Sequence[ScoredBlock]) -> dict[str, Any] | None:
    """What the page shows: a table of the blocks, and one of their slices, the worst first; None without."""
    if not blocks:
        return None
    columns = [("Volume", False, ""), ("Part", False, ""), *((title, True, "") for title in TITLES.values())]
    rows = block_rows(blocks)
    whole = [[block.name, block.part, *_cells(row)] for block, row in zip(blocks, rows, strict=True)]
    slices = [(block, one) for block, row in zip(blocks, rows, strict=True) for one in row["slices"]]
    slices.sort(key=lambda item: -(item[1]["adapted_rand_error"] or -1.0))
    each = [
        [
            f"{block.volume}, slice {one['slice']}",
            block.part,
            *(score_text(n, one[n], 3) or NOTHING for n in TITLES),
        ]
        for block, one in slices[:MOST_SLICES]
    ]
    return {
        "blocks": {**table_of(columns, whole), "left_out": 0},
        "slices": {**table_of(columns, each), "left_out": len(slices) - len(each)},
    }


def compared_section(
    old: Sequence[ScoredBlock], new: Sequence[ScoredBlock], names: tuple[str, str]
) -> dict[str, Any] | None:
    """What the page of a comparison shows: the scores of each block by either model; None without."""
    rows = compared_rows(old, new)
    if not rows:
        return None
    columns = [("Volume", False, ""), ("Model", False, ""), ("Part", False, "")]
    columns += [(title, True, "") for title in TITLES.values()]
    cells = []
    for row in rows:
        block = f"{row['volume']}, slices {row['first_slice']} to {row['last_slice']}"
        for name, which in zip(names, ("old", "new"), strict=True):
            values = [score_text(n, row[f"{n}_{which}"], 3) or NOTHING for n in TITLES]
            cells.append([block, name, row[f"part_{which}"], *values])
    return table_of(columns, cells)


def _cells(row: Mapping[str, Any]) -> list[str]:
    return [score_text(name, row[name], 3) or NOTHING for name in TITLES]
