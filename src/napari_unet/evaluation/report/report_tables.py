"""The tables of a report, as plain text by row and column for the templates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.evaluation.report import summary_text
from napari_unet.evaluation.score import SEEN
from napari_unet.metrics.registry import SCORES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_unet.evaluation.score import Evaluation

NOTHING = "\N{EN DASH}"
MOST_CELLS = 60_000  # of the table in the page; iou.csv has all
SMALL = 0.001  # below which a value gets three digits more
MOST_NAMES = 12  # of the images that have a problem
PARTS = {
    "train": "learned from these images",
    "validation": "chosen its weights by these",
    "held-out": "never seen these: its split holds them out",
    "unseen": "never seen these",
    "not known": "no record of these",
}
LEFT_OUT_OF_TABLE = ("empty_reference", "empty_prediction")


def shown(value: Any, digits: int = 3) -> str:
    """A value as a person reads it."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if 0 < abs(value) < SMALL:
            digits += 3
        return f"{value:.{digits}f}"
    return str(value)


def interval_of(bounds: Sequence[float | None] | None, *, signed: bool = False) -> str:
    """An interval as a person reads it; empty if there is none."""
    if bounds is None or bounds[0] is None or bounds[1] is None:
        return ""
    if signed:
        return f"{bounds[0]:+.3f} to {bounds[1]:+.3f}"
    return f"{bounds[0]:.3f} to {bounds[1]:.3f}"


def table_of(columns: Sequence[tuple[str, bool, str]], rows: Sequence[Sequence[str]]) -> dict[str, Any]:
    """A table: of each column title, whether it holds numbers, and meaning; of each row its texts."""
    return {
        "columns": [{"title": t, "number": n, "meaning": m} for t, n, m in columns],
        "rows": [{"cells": list(cells), "seen": False} for cells in rows],
        "left_out": 0,
    }


def overall_table(overall: Mapping[str, Any]) -> dict[str, Any]:
    """Every score over the images: mean with interval, and pooled over all pixels or objects.

    Parameters
    ----------
    overall : mapping
        ``Evaluation.overall()`` or ``Evaluation.summary(...)``.

    Returns
    -------
    dict
        For a template; a score that does not exist is left out.
    """
    rows = []
    for name, found in overall["scores"].items():
        if found["mean"] is None and found["pooled"] is None:
            continue
        score = SCORES[name]
        whole = score.unit == "objects"
        between = interval_of(found["interval"])
        pooled = shown(found["pooled"], 0 if whole else 3)
        if name == "iou" and (bounds := interval_of(overall["ci95"].get("pooled_iou"))):
            pooled += f" ({bounds})"
        rows.append(
            [
                score.title,
                shown(found["mean"], 1 if whole else 3),
                between,
                pooled,
                score.about + ("" if score.better != "lower" else "; lower is better"),
            ]
        )
    comparison = overall.get("competition")
    if comparison:
        between = interval_of(overall["ci95"].get("competition"))
        rows.append(
            [comparison["name"], shown(comparison["score"]), between, NOTHING, "As the competition has it"]
        )
    share = f"{100 * overall['confidence']:g} % interval"
    columns = [
        ("Score", False, ""),
        ("Mean", True, "over the images"),
        (share, True, "of the mean, over groups"),
        ("Pooled", True, "of all pixels, or objects, of all images together: large ones count more"),
        ("What it is", False, ""),
    ]
    return table_of(columns, rows)


def class_table(overall: Mapping[str, Any]) -> dict[str, Any] | None:
    """Scores by class; None where there is only one."""
    per_class: Mapping[str, Mapping[str, Any]] = overall["per_class"]
    if len(per_class) < 2:
        return None
    keys = list(next(iter(per_class.values())))
    columns = [("Class", False, "")]
    columns += [(summary_text.title_of(k), True, summary_text.meaning_of(k)) for k in keys]
    return table_of(columns, [[name, *(shown(v[k]) for k in keys)] for name, v in per_class.items()])


def image_tables(evaluation: Evaluation, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The images that count, and, apart from them, those that the model has seen."""
    apart = [row for row in rows if row["part"] in SEEN] if evaluation.unseen else []
    counted = [row for row in rows if row["part"] not in SEEN] if apart else rows
    tables = [{"title": "Image by image, worst first", "folded": False, **image_table(counted)}]
    if apart:
        title = f"{summary_text.count_of(len(apart), 'image')} that the model has seen in training"
        tables.append({"title": title, "folded": True, **image_table(apart)})
    return tables


def image_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
    """A table of images, with as many rows as a page can bear.

    Parameters
    ----------
    rows : sequence of mapping
        One an image, in order.
    columns : sequence of (str, str)
        Key and title of each; if not given, all in which some image has a value.
    """
    titles = dict(columns)
    keys = [k for k in rows[0] if k not in LEFT_OUT_OF_TABLE and any(r[k] not in (None, "") for r in rows)]
    keys = [k for k, _ in columns] or keys
    listed = rows[: max(1, MOST_CELLS // len(keys))]
    numbers = {k for k in keys if any(isinstance(r[k], int | float) for r in rows)}
    return {
        "columns": [
            {
                "title": titles.get(k) or summary_text.title_of(k),
                "number": k in numbers,
                "meaning": summary_text.meaning_of(k),
            }
            for k in keys
        ],
        "rows": [{"cells": [shown(row[k]) for k in keys], "seen": row.get("part") in SEEN} for row in listed],
        "left_out": len(rows) - len(listed),
    }


def part_table(evaluation: Evaluation) -> dict[str, Any]:
    """How many of the images the model has seen, and how."""
    rows = []
    for part, meaning in PARTS.items():
        scores = [s for s in evaluation.scores if s.part == part]
        if scores:
            iou = [s.iou for s in scores if np.isfinite(s.iou)]
            mean = float(np.mean(iou)) if iou else None
            counted = "no" if part in SEEN and evaluation.unseen else "yes"
            rows.append([part, meaning, f"{len(scores):,}", shown(mean), counted])
    columns = [
        ("Part", False, ""),
        ("The model has", False, ""),
        ("Images", True, ""),
        ("Mean IoU", True, summary_text.meaning_of("mean_iou")),
        ("Counted", False, "in the overall scores"),
    ]
    return table_of(columns, rows)


def problem_list(problems: Sequence[Mapping[str, Any]] | None) -> list[dict[str, str]]:
    """Problems with a few of the names that have them."""
    found = []
    for problem in problems or ():
        names = [str(n) for n in problem.get("names") or ()]
        more = len(names) - MOST_NAMES
        listed = ", ".join(names[:MOST_NAMES]) + (f" and {more:,} more" if more > 0 else "")
        message = str(problem["message"])
        found.append(
            {
                "message": message[:1].upper() + message[1:] + ("" if message.endswith(".") else "."),
                "remedy": str(problem.get("remedy") or ""),
                "names": listed if not any(n in message for n in names) else "",
            }
        )
    return found
