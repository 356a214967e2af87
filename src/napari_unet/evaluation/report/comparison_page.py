"""From two models' scores to compare.html, compare.json and compare.csv."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.evaluation.error_map import ERROR_COLOURS
from napari_unet.evaluation.report import figures, summary_text
from napari_unet.evaluation.report.report_files import left_out_rows, table_text, write_files
from napari_unet.evaluation.report.report_page import model_facts, render, settings_texts, today
from napari_unet.evaluation.report.report_tables import image_table, interval_of, shown, table_of
from napari_unet.evaluation.report.volume_section import compared_section
from napari_unet.evaluation.volume_scores import compared_rows
from napari_unet.metrics.registry import SCORES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from napari_unet.evaluation.compare import Comparison
    from napari_unet.evaluation.report.gallery import Gallery
    from napari_unet.evaluation.report.model_comparison import ModelComparison
    from napari_unet.settings import Recipe

NOT_KNOWN = "not known"
WORTH_TELLING = 0.02  # of IoU


def write_model_comparison(
    folder: Path,
    comparison: ModelComparison,
    *,
    models: tuple[Mapping[str, Any], Mapping[str, Any]],
    recipes: tuple[Recipe, Recipe],
    data: Mapping[str, Any],
    settings: Mapping[str, Any],
    galleries: tuple[Gallery, ...],
    command: str,
    versions: Sequence[tuple[str, str]],
    program: str,
) -> Path:
    """Write compare.html, compare.json and compare.csv, or none of them.

    Parameters
    ----------
    folder : pathlib.Path
        Made if need be.
    duel : ModelComparison
        With at least one image.
    models, recipes : tuple
        About the old and the new model.
    data, settings : mapping
        Plain JSON: on what, and how.
    galleries : tuple of Gallery
        Gains and losses.
    command : str
        That repeats it.
    versions : sequence of (str, str)
        Of what computed.
    program : str
        Name and version of this program.

    Returns
    -------
    pathlib.Path
        Of compare.html.

    Raises
    ------
    OutputError
        If they cannot be written.
    """
    rows = comparison.rows()
    volumes = comparison.old.evaluation.volumes, comparison.new.evaluation.volumes
    content = {
        "verdict": comparison.comparison.verdict,
        "sentence": comparison.comparison.sentence,
        "comparison": _overall(comparison.comparison),
        "differences": {name: _overall(found) for name, found in comparison.differences.items()},
        "old": comparison.summaries[0],
        "new": comparison.summaries[1],
        "images": rows,
        "models": models,
        "data": data,
        "settings": settings,
        "versions": dict(versions),
        "left_out": left_out_rows(comparison.old.evaluation.left_out),
    }
    if compared := compared_rows(*volumes):
        content["volumes"] = compared
    page = {
        "title": f"{comparison.names[1]} against {comparison.names[0]}",
        "kicker": "Comparison of two models",
        "program": program,
        "date": today(),
        "subtitle": f"{summary_text.count_of(len(comparison.pairs), 'image')} of "
        f"{data.get('path') or data.get('name')}",
        "cards": _cards(comparison),
        "warnings": caveats(comparison),
        "summary": summary(comparison),
        "scores": _scores(comparison),
        "volumes": compared_section(*volumes, comparison.names),
        "classes": _classes(comparison),
        "figures": _figures(comparison),
        "galleries": galleries,
        "colours": ERROR_COLOURS,
        "images": image_table(rows, _columns(rows)),
        "names": comparison.names,
        "models": [
            model_facts(recipe, about.get("provenance") or {}, about)
            for recipe, about in zip(recipes, models, strict=True)
        ],
        "commands": (command,),
        "settings": [
            *(
                (f"Settings of {n}", settings_texts(r, {})[0][1])
                for n, r in zip(comparison.names, recipes, strict=True)
            ),
            *settings_texts(None, settings),
        ],
        "versions": versions,
    }
    names = ("compare.csv", "compare.json", "compare.html")
    write_files(folder, table_text(rows), content, render("compare.html", page), names)
    return folder / "compare.html"


def _overall(found: Comparison) -> dict[str, Any]:
    """A comparison without its lists of images, which the rows have."""
    content = found.to_json()
    for key in ("images", "groups", "old", "new"):
        del content[key]
    return {**content, "images": len(found.images), "old": found.old_iou, "new": found.new_iou}


def summary(comparison: ModelComparison) -> list[str]:
    """The verdict, and where gains and losses are, in sentences."""
    found = comparison.comparison
    old, new = comparison.names
    if found.difference is None:
        return ["There is no image that both have a score of."]
    count = summary_text.count_of(len(found.images), "image")
    known = all(NOT_KNOWN not in (a.part, b.part) for a, b in comparison.judged)
    where = f"On {count} that neither has seen" if comparison.fair and known else f"On {count}"
    verdicts = {
        "better": f"{new} is better than {old}.",
        "worse": f"{new} is worse than {old}.",
        "no clear difference": f"There is no clear difference between {new} and {old}.",
    }
    went = f"the mean IoU went from {found.old_iou:.3f} to {found.new_iou:.3f}"
    said = [f"{verdicts[found.verdict]} {where} {went}."]
    if found.low is not None and found.high is not None:
        said.append(
            f"The difference is {found.difference:+.3f} ({100 * found.confidence:g} % interval "
            f"{found.low:+.3f} to {found.high:+.3f}, over groups)."
        )
    said.append(
        f"{found.wins:,} images are better, {found.losses:,} worse, {found.ties:,} the same within 0.001."
    )
    return said + _by_size(comparison) + _by_class(comparison) + _kept_apart(comparison)


def caveats(comparison: ModelComparison) -> list[str]:
    """What makes the verdict less than it seems, in sentences; the page and the terminal both say it."""
    said = _warnings(comparison)
    unknown = sum(NOT_KNOWN in (a.part, b.part) for a, b in comparison.judged)
    if unknown:
        count = summary_text.count_of(unknown, "image")
        said.append(f"It is not known whether one of the two has seen {count} of these in training.")
    return said


def _by_size(comparison: ModelComparison) -> list[str]:
    filled = [
        (a, b) for a, b in comparison.judged
        if not a.counts.empty_reference and np.isfinite(a.iou) and np.isfinite(b.iou)
    ]  # fmt: skip
    said = []
    if len(filled) >= 12:
        coverage = np.array([a.counts.reference.sum() / a.counts.pixels for a, _ in filled])
        change = np.array([b.iou - a.iou for a, b in filled])
        order = np.argsort(coverage, kind="stable")
        third = len(order) // 3
        small, large = change[order[:third]].mean(), change[order[-third:]].mean()
        if abs(small - large) >= WORTH_TELLING:
            said.append(
                f"Where there is little to find (the third of the images with least foreground) it changed "
                f"by {small:+.3f}, where there is most by {large:+.3f}."
            )
    empty = [(a, b) for a, b in comparison.judged if a.counts.empty_reference]
    before = sum(not a.counts.empty_prediction for a, _ in empty)
    after = sum(not b.counts.empty_prediction for _, b in empty)
    if before != after:
        said.append(
            f"Of {len(empty):,} images with nothing in them it finds something in {after:,}, before in "
            f"{before:,}."
        )
    return said


def _by_class(comparison: ModelComparison) -> list[str]:
    old, new = (s["per_class"] for s in comparison.summaries)
    said = []
    for key, words in (("mean_iou", "By class"), ("f1_50", "Objects by class, F1@0.5")):
        changes = [
            f"{name} {new[name][key] - old[name][key]:+.3f}"
            for name in old
            if old[name].get(key) is not None and new[name].get(key) is not None
        ]
        said += [f"{words}: {', '.join(changes)}."] if len(changes) > 1 else []
    return said


def _warnings(comparison: ModelComparison) -> list[str]:
    note = comparison.comparison.note
    return [note[:1].upper() + note[1:] + "."] if note else []


def _kept_apart(comparison: ModelComparison) -> list[str]:
    left = len(comparison.pairs) - len(comparison.judged)
    if not left:
        return []
    return [
        f"{summary_text.count_of(left, 'image')} that one of the two was trained or chosen on "
        f"{'is' if left == 1 else 'are'} in the table, but count{'s' * (left == 1)} for nothing."
    ]


def _cards(comparison: ModelComparison) -> list[dict[str, str]]:
    found = comparison.comparison
    between = ""
    if found.low is not None and found.high is not None:
        between = f"{100 * found.confidence:g} %: {found.low:+.3f} to {found.high:+.3f}"
    change = NOTHING_KNOWN if found.difference is None else f"{found.difference:+.3f}"
    return [
        {"value": change, "what": "difference of mean IoU", "range": between},
        {"value": shown(found.old_iou), "what": f"mean IoU of {comparison.names[0]}", "range": ""},
        {"value": shown(found.new_iou), "what": f"mean IoU of {comparison.names[1]}", "range": ""},
        {
            "value": f"{found.wins:,} : {found.losses:,}",
            "what": "images better : worse",
            "range": f"{found.ties:,} the same",
        },
    ]


NOTHING_KNOWN = shown(None)


def _scores(comparison: ModelComparison) -> dict[str, Any]:
    columns = [
        ("Score", False, ""),
        (comparison.names[0], True, "mean over the images"),
        (comparison.names[1], True, "mean over the images"),
        ("Difference", True, "new minus old"),
        (
            f"{100 * comparison.comparison.confidence:g} % interval",
            True,
            "of the difference, paired, over groups",
        ),
        ("What it is", False, ""),
    ]
    rows = []
    for name, found in comparison.differences.items():
        if found.difference is None:
            continue
        score = SCORES[name]
        digits = 1 if score.unit == "objects" else 3
        bounds = interval_of([found.low, found.high], signed=True)
        about = score.about + ("; lower is better" if score.better == "lower" else "")
        old, new = shown(found.old_iou, digits), shown(found.new_iou, digits)
        rows.append([score.title, old, new, f"{found.difference:+.{digits}f}", bounds, about])
    return table_of(columns, rows)


OF_A_CLASS = ("mean_iou", "pooled_iou", "f1_50", "ap", "pq")


def _classes(comparison: ModelComparison) -> dict[str, Any] | None:
    old, new = (s["per_class"] for s in comparison.summaries)
    if len(old) < 2:
        return None
    known = next(iter(old.values())).keys() & next(iter(new.values())).keys()
    keys = [key for key in OF_A_CLASS if key in known]
    columns = [("Class", False, "")]
    columns += [
        (f"{summary_text.title_of(key)}, {name}", True, summary_text.meaning_of(key))
        for key in keys
        for name in comparison.names
    ]
    rows = [[name, *(shown(side[name][key]) for key in keys for side in (old, new))] for name in old]
    return table_of(columns, rows)


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Columns of the page's table; the other scores are in compare.csv."""
    titles = {
        "image": "Image",
        "group": "Group",
        "part_old": "Part, old",
        "part_new": "Part, new",
        "iou_old": "IoU, old",
        "iou_new": "IoU, new",
        "difference": "Difference",
        "dice_old": "Dice, old",
        "dice_new": "Dice, new",
        "f1_50_old": "F1@0.5, old",
        "f1_50_new": "F1@0.5, new",
    }
    return [(key, title) for key, title in titles.items() if key in rows[0]]


def _figures(comparison: ModelComparison) -> list[dict[str, str]]:
    found = comparison.comparison
    if not found.images:
        return []
    old, new = np.array(found.old), np.array(found.new)
    return [
        {
            "title": "Image by image",
            "address": figures.old_against_new(old, new, comparison.names),
            "caption": "One point an image; above the dashed line the new model is better.",
        },
        {
            "title": "How much was gained and lost",
            "address": figures.differences(new - old, (found.low, found.high)),
            "caption": "New minus old IoU. The difference is clear if the shaded interval leaves out 0.",
        },
    ]
