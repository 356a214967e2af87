"""Scores to files and to the shell: iou.csv, report.json, report.html, a table."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet import PROGRAM
from napari_unet.atomic import atomic_path
from napari_unet.evaluation.report.object_section import object_rows, objects_text
from napari_unet.evaluation.report.report_page import Background, report_page
from napari_unet.evaluation.score import Evaluation, ImageScore
from napari_unet.evaluation.volume_scores import block_rows, volume_lines, volumes_text
from napari_unet.metrics.registry import SCORES, Score
from napari_unet.metrics.uncertainty import why_no_interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


OBJECTS, VOLUMES = "objects.csv", "volumes.csv"


def image_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """One row an image, worst first: image, group, part, iou, dice and what explains them."""
    several = len(evaluation.classes) > 1
    extra = [n for n in Evaluation.measured(evaluation.scores) if n not in {"iou", "dice", "pixel_error"}]

    def row(score: ImageScore) -> dict[str, Any]:
        counts = score.counts
        out: dict[str, Any] = {
            "image": score.image,
            "group": score.group,
            "iou": _number(score.iou),
            "dice": _number(score.dice),
            "empty_reference": not counts.reference.any(),
            "empty_prediction": not counts.predicted.any(),
            "part": score.part,
            "pixel_error": _number(counts.pixel_error),
            **{name: _number(score.values[name]) for name in extra},
            "reference_coverage": counts.reference.sum() / counts.pixels if counts.pixels else None,
            "predicted_coverage": counts.predicted.sum() / counts.pixels if counts.pixels else None,
        }
        if several:
            for name, value in zip(evaluation.classes, counts.iou("skip"), strict=True):
                out[f"iou_{name}"] = _number(float(value))
        if evaluation.competition_score is not None:
            out[evaluation.competition_score.column] = score.competition
        return out

    ordered = sorted(evaluation.scores, key=lambda s: (math.isnan(s.iou), s.iou, s.image))
    return [row(score) for score in ordered]


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def write_report(
    folder: Path,
    evaluation: Evaluation,
    *,
    model: dict[str, Any],
    data: dict[str, Any],
    settings: dict[str, Any],
    background: Background | None = None,
) -> Path:
    """Write iou.csv, report.json and report.html, or none of them.

    Where objects are scored, objects.csv, too; of volumes also volumes.csv.

    Parameters
    ----------
    folder : pathlib.Path
        Made if need be.
    evaluation : Evaluation
        With at least one image.
    model, data, settings : dict
        Plain JSON about what was scored, on what, and how.
    background : Background, optional
        What else the page shows.

    Returns
    -------
    pathlib.Path
        Of report.json.

    Raises
    ------
    OutputError
        If they cannot be written.
    """
    rows = image_rows(evaluation)
    if background is None:
        background = Background("Scores of masks", PROGRAM)
    overall = evaluation.overall()
    content = {
        "overall": overall,
        "images": rows,
        "model": model,
        "data": data,
        "settings": settings,
        "notes": [*background.remarks, *notes(evaluation)],
        "left_out": left_out_rows(evaluation.left_out),
        "unlike": background.unlike,
        **_confidence(background),
    }
    if evaluation.seen and evaluation.unseen:
        content["overall_seen"] = evaluation.summary(evaluation.seen)
    if background.objects:
        content["objects"] = object_rows(background.objects, evaluation.classes)
    if evaluation.volumes:
        content["volumes"] = block_rows(evaluation.volumes)
    if background.problems is not None:
        content["problems"] = background.problems
    if background.versions:
        content["versions"] = dict(background.versions)
    page = report_page(evaluation, overall, rows, background, model, data, settings)
    table = table_text(with_threshold_note(rows, background.threshold_note))
    more = {OBJECTS: objects_text(background.objects, evaluation.classes)} if background.objects else {}
    more |= {VOLUMES: volumes_text(evaluation.volumes)} if evaluation.volumes else {}
    write_files(folder, table, content, page, more=more)
    return folder / "report.json"


def left_out_rows(left: Iterable[tuple[str, str, str]]) -> list[dict[str, str]]:
    """Images that were left out, as plain JSON: name, code of the error, and its sentence."""
    return [{"image": name, "code": code, "message": sentence} for name, sentence, code in left]


def with_threshold_note(rows: Sequence[Mapping[str, Any]], note: str) -> Sequence[Mapping[str, Any]]:
    """Rows for a CSV file with a last column that warns of the threshold; as they are without a warning."""
    return [{**row, "threshold_note": note} for row in rows] if note else rows


def _confidence(background: Background) -> dict[str, Any]:
    """Threshold curve and reliability as plain JSON, where there were probabilities."""
    found: dict[str, Any] = {}
    curve, reliable = background.curve, background.reliable
    if curve is not None:
        found["threshold_curve"] = {
            "threshold": curve.thresholds,
            "mean_iou": curve.mean_iou,
            "best": curve.best,
            "used": background.threshold,
            "images": curve.images,
        }
    if reliable is not None:
        found["reliability"] = {
            "promised": reliable.promised,
            "true": reliable.true,
            "pixels": reliable.pixels,
            "expected_calibration_error": reliable.error,
        }
    return found


def table_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as the text of a CSV file."""
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: _cell(v) for k, v in row.items()} for row in rows)
    return table.getvalue()


def write_files(
    folder: Path,
    table: str,
    content: Mapping[str, Any],
    page: str,
    names: tuple[str, str, str] = ("iou.csv", "report.json", "report.html"),
    more: Mapping[str, str] | None = None,
) -> None:
    """Write the three files of a report.

    Parameters
    ----------
    folder : pathlib.Path
        Made if need be.
    table, page : str
        Of the CSV and the HTML file.
    content : mapping
        Of the JSON file; what JSON cannot hold becomes null.
    names : tuple of str
        Of the CSV, the JSON and the HTML file.
    more : mapping, optional
        Name to text of further files.

    Raises
    ------
    OutputError
        If they cannot be written; those of an earlier report are as they were then.
    """
    serialized = json.dumps(_plain(content), indent=1, allow_nan=False)
    texts = dict(zip(names, (table, serialized, page), strict=True)) | dict(more or {})
    # All are written before any takes its place, so that a full disk does not leave new files among old ones.
    with ExitStack() as stack:
        for name, text in texts.items():
            partial = stack.enter_context(atomic_path(folder / name))
            # Names of files may hold bytes that are no letters.
            partial.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def notes(evaluation: Evaluation) -> list[str]:
    """What a reader of the scores should know, in sentences."""
    out = []
    if evaluation.seen and evaluation.unseen:
        out.append(
            f"{len(evaluation.seen)} images were used in training or to choose its weights; "
            "they are listed but not counted in the overall scores."
        )
    elif evaluation.seen:
        out.append(
            "All images were used in training or to choose its weights: "
            "these scores flatter the model and say little about new images."
        )
    unseen = evaluation.unseen or evaluation.scores
    if unknown := sum(s.part == "not known" for s in unseen):
        out.append(f"Of {unknown} of these images it is not known whether they took part in training.")
    if why := why_no_interval(len({s.group for s in unseen})):
        out.append(why[:1].upper() + why[1:] + ".")
    return out


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6f}"
    return "" if value is None else value


def _plain(value: Any) -> Any:
    """What JSON can hold: no NaN, no infinity, no types of NumPy, no paths."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def table_lines(evaluation: Evaluation, limit: int = 20) -> list[str]:
    """IoU of the images, worst first, as a table of text."""
    rows = image_rows(evaluation)
    width = max(len("image"), *(len(str(row["image"])) for row in rows[:limit]))
    lines = [f"{'image':<{width}}  {'IoU':>6}  {'Dice':>6}  part"]
    lines += [
        f"{row['image']:<{width}}  {_shown(row['iou']):>6}  {_shown(row['dice']):>6}  {row['part']}"
        for row in rows[:limit]
    ]
    if len(rows) > limit:
        lines.append(f"... and {len(rows) - limit} more, none worse")
    return lines


# Scores that the shell prints after IoU, Dice and pixel error, where they were computed.
OF_OBJECTS = ("f1_50", "ap", "pq")  # of each class
SHOWN = (
    "f1_50", "ap", "pq", "seg", "det", "splits", "merges", "boundary_iou", "hausdorff_95",
    "v_rand", "v_info", "rand_error", "warping_error", "cells_split", "cells_merged", "holes",
)  # fmt: skip


def summary_lines(evaluation: Evaluation) -> list[str]:
    """The overall scores in a few lines of text."""
    overall = evaluation.overall()
    low, high = overall["ci95"]["mean_iou"]
    share = f"{100 * overall['confidence']:g} %"
    why = overall.get("no_interval")
    interval = (
        f" ({share} interval {low:.3f} to {high:.3f})" if low is not None else f" ({why})" if why else ""
    )
    lines = [
        f"mean IoU      {_shown(overall['mean_iou'])}{interval} over {overall['images']} images",
        f"pooled IoU    {_shown(overall['pooled_iou'])}",
        f"mean Dice     {_shown(overall['mean_dice'])}",
        f"pixel error   {_shown(overall['pixel_error'])}",
    ]
    if len(evaluation.classes) > 1:
        lines += [
            f"  {name}: mean IoU {_shown(values['mean_iou'])}, pooled {_shown(values['pooled_iou'])}"
            + "".join(f", {SCORES[key].title} {_shown(values[key])}" for key in OF_OBJECTS if key in values)
            for name, values in overall["per_class"].items()
        ]
    shown = [name for name in SHOWN if name in overall["scores"]]
    lines += [_score_line(SCORES[name], overall["scores"][name]) for name in shown]
    lines += volume_lines(evaluation.volumes)
    if "competition" in overall:
        lines.append(f"{overall['competition']['name']}: {_shown(overall['competition']['score'])}")
    return lines + notes(evaluation)


def _score_line(score: Score, found: Mapping[str, Any]) -> str:
    """Mean over images and pooled over all of them; a count as such."""
    if score.unit == "objects":
        return f"{score.title:<14}{_whole(found['pooled'])} in {found['images']} images"
    digits = 6 if score.name == "warping_error" else 3
    mean, pooled = ("-" if found[key] is None else f"{found[key]:.{digits}f}" for key in ("mean", "pooled"))
    unit = f" {score.unit}" if score.unit else ""
    together = {"objects": ", {} over all objects", "overlap": ", {} pooled"}.get(score.family, "")
    return f"{score.title:<14}{mean}{unit} over images" + together.format(pooled)


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
