"""Scores of volumes: block by block, and slice by slice, the worst first."""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.evaluation.score import ScoredBlock
    from napari_unet.metrics.volumes import PartitionScores

TITLES = {
    "adapted_rand_error": "Adapted Rand error",
    "variation_of_information": "Variation of information (bits)",
    "f1_50": "F1 at IoU 0.5",
    "ap": "AP",
    "pq": "PQ",
    "objects_reference": "Objects of the reference",
    "objects_predicted": "Objects found",
}
COUNTS = ("objects_reference", "objects_predicted")


def block_rows(blocks: Sequence[ScoredBlock]) -> list[dict[str, Any]]:
    """One entry a block, with its slices, the worst first, as plain JSON."""
    return [
        {
            "volume": block.volume,
            "first_slice": block.slices[0],
            "last_slice": block.slices[-1],
            "part": block.part,
            **_values(block.scores.volume),
            "slices": [
                {"slice": block.slices[n], **_values(block.scores.slices[n])}
                for n in block.scores.worst_first
            ],
        }
        for block in blocks
    ]


def _values(scores: PartitionScores) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in scores.to_json().items()}


def compared_rows(old: Sequence[ScoredBlock], new: Sequence[ScoredBlock]) -> list[dict[str, Any]]:
    """One entry for each block that both models were scored on, with the scores of either, as plain JSON.

    Blocks of two models end at different slices where different slices were for training. Those that hold
    the same slices are compared.
    """
    by_slices = {(block.volume, block.slices): block for block in new}
    pairs = [(a, by_slices[a.volume, a.slices]) for a in old if (a.volume, a.slices) in by_slices]
    return [
        {
            "volume": a.volume,
            "first_slice": a.slices[0],
            "last_slice": a.slices[-1],
            "part_old": a.part,
            "part_new": b.part,
            **{f"{name}_old": value for name, value in _values(a.scores.volume).items()},
            **{f"{name}_new": value for name, value in _values(b.scores.volume).items()},
        }
        for a, b in pairs
    ]


def volumes_text(blocks: Sequence[ScoredBlock]) -> str:
    """A CSV file: a row a block, in which ``slice`` is empty, then a row for each of its slices."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["volume", "first_slice", "last_slice", "slice", "part", *TITLES])
    for block in block_rows(blocks):
        start = [block["volume"], block["first_slice"], block["last_slice"]]
        rows.writerow([*start, "", block["part"], *_cells(block)])
        for one in sorted(block["slices"], key=lambda row: int(row["slice"])):
            rows.writerow([*start, one["slice"], block["part"], *_cells(one)])
    return text.getvalue()


def _cells(row: dict[str, Any]) -> list[str]:
    return [score_text(name, row[name], 6) for name in TITLES]


def score_text(name: str, value: float | None, digits: int) -> str:
    """A score for people; empty where it does not exist."""
    if value is None:
        return ""
    return f"{value:.0f}" if name in COUNTS else f"{value:.{digits}f}"


def volume_lines(blocks: Sequence[ScoredBlock]) -> list[str]:
    """The scores of blocks that the model has not seen, or of all where it has seen all, as lines of text."""
    unseen = [block for block in blocks if not block.seen] or list(blocks)
    return [
        f"{block.name} ({block.part}): adapted Rand error {_line(block, 'adapted_rand_error')}, "
        f"variation of information {_line(block, 'variation_of_information')}, "
        f"F1 {_line(block, 'f1_50')}, PQ {_line(block, 'pq')} in three dimensions"
        for block in unseen
    ]


def _line(block: ScoredBlock, name: str) -> str:
    return score_text(name, _values(block.scores.volume)[name], 3) or "-"
