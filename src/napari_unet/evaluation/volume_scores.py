"""Scores of volumes: block by block, and slice by slice, the worst first."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_unet.evaluation.score import SEEN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.metrics.volumes import PartitionScores, VolumeScores

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


@dataclass(frozen=True, eq=False)
class ScoredBlock:
    """Slices of a volume, one behind another, and the scores of the objects in them.

    Attributes
    ----------
    volume : str
        What the volume is called.
    slices : tuple of int
        Their numbers, in order.
    part : str
        Which part of the model's split they were in.
    scores : VolumeScores
        Of the block as a whole, and of each slice.
    """

    volume: str
    slices: tuple[int, ...]
    part: str
    scores: VolumeScores

    @property
    def name(self) -> str:
        """For people: volume and slices."""
        return f"{self.volume}, slices {self.slices[0]} to {self.slices[-1]}"

    @property
    def seen(self) -> bool:
        """Whether the model was trained on it, or chosen by it."""
        return self.part in SEEN


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
