"""The page, tables and files of a comparison of networks."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from napari_unet.evaluation.report import network_figures, summary_text
from napari_unet.evaluation.report.report_files import left_out_rows, table_text, write_files
from napari_unet.evaluation.report.report_page import render, today
from napari_unet.evaluation.report.report_tables import NOTHING, interval_of, shown, table_of
from napari_unet.metrics.registry import SCORES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
from napari_unet.evaluation.report.network_comparison import ComparedNetwork, NetworkComparison, summary

FILES = ("networks.csv", "networks.json", "networks.html")


def write_network_comparison(folder: Path, comparison: NetworkComparison) -> Path:
    """Write networks.html, networks.csv, networks.json and networks.md; gives the path of the page.

    Raises
    ------
    OutputError
        If they cannot be written.
    """
    from napari_unet.atomic import write_text

    content = {
        "networks": [asdict(n) for n in comparison.networks],
        "rows": comparison.rows(),
        "data": comparison.data,
        "minutes": comparison.minutes,
        "recipe": comparison.recipe,
        "machine": comparison.machine,
        "versions": dict(comparison.versions),
        "settings": comparison.settings,
        "left_out": left_out_rows(comparison.left_out),
    }
    write_files(folder, table_text(comparison.rows()), content, network_comparison_page(comparison), FILES)
    write_text(folder / "networks.md", markdown(comparison))
    return folder / "networks.html"


def columns_of(comparison: NetworkComparison) -> list[tuple[str, bool, str]]:
    """Title, whether it holds numbers, and meaning of each column."""
    interval = "mean over the images, with its interval over groups"
    found = [
        ("Network", False, ""),
        ("Pooled IoU", True, "of all pixels of all images held out, together"),
        ("of U-Net", True, "pooled IoU over that of U-Net"),
    ]
    for name in comparison.scores:
        score = SCORES[name]
        better = "; lower is better" if score.better == "lower" else ""
        about = interval if name == "iou" else f"{score.about}{better}"
        found.append((f"Mean {score.title}" if name == "iou" else score.title, True, about))
    if any(n.overall.get("competition") for n in comparison.networks):
        found.append(("Competition", True, "its own score"))
    return [
        *found,
        ("ms / MP", True, "milliseconds a megapixel of image in use, without averaging over flips"),
        ("M weights", True, "trained weights, in millions"),
        ("GFLOP", True, "operations for an image of 256 x 256, in 10^9, or the next size it takes"),
        ("Steps", True, "of training in the time given"),
    ]


def cells_of(comparison: NetworkComparison) -> list[list[str]]:
    """The texts of the table, one row a network, the best first."""
    rows = []
    competing = any(n.overall.get("competition") for n in comparison.networks)
    for n in comparison.ranked:
        share = comparison.share(n)
        row = [n.name, shown(n.pooled_iou), NOTHING if share is None else f"{share:.0%}"]
        for name in comparison.scores:
            text = shown(n.score(name))
            between = interval_of(n.interval) if name == "iou" else ""
            row.append(f"{text} ({between})" if between else text)
        if competing:
            row.append(shown(n.competition))
        row += [
            NOTHING if n.milliseconds is None else f"{n.milliseconds:.0f}",
            f"{n.parameters / 1e6:.2f}",
            f"{n.gflop:.2f}",
            f"{n.steps:.0f}" if n.steps else NOTHING,
        ]
        rows.append(row)
    return rows


def markdown(comparison: NetworkComparison) -> str:
    """The table and the command in Markdown."""
    columns, rows = columns_of(comparison), cells_of(comparison)
    lines = [
        f"    {comparison.command}",
        "",
        "| " + " | ".join(title for title, _, _ in columns) + " |",
        "|" + " --- |" * len(columns),
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
        *summary(comparison),
        "",
        *([f"{comparison.machine}."] if comparison.machine else []),
    ]
    return "\n".join(lines).rstrip() + "\n"


def network_comparison_page(comparison: NetworkComparison) -> str:
    """HTML that needs no other file and no network; every text in it is escaped."""
    import json

    done = [n for n in comparison.ranked if n.pooled_iou is not None]
    time = (
        f"{comparison.minutes:g} min of training each" if comparison.minutes else "the recipe's amount each"
    )
    images = int(done[0].overall.get("images") or 0) if done else 0
    page = {
        "title": f"Networks on {comparison.data.get('name') or 'the data'}",
        "kicker": "Comparison of networks",
        "program": comparison.program,
        "date": today(),
        "subtitle": f"{summary_text.count_of(len(comparison.networks), 'network')}, "
        f"recipe {comparison.recipe}, {time}; "
        f"{summary_text.count_of(images, 'image')} held out from all of them; {comparison.machine}",
        "summary": summary(comparison),
        "table": table_of(columns_of(comparison), cells_of(comparison)),
        "figures": _figures(done),
        "when": [(n.title, n.when) for n in comparison.ranked],
        "reports": [(n.name, f"{n.name}/report.html") for n in done],
        "commands": (comparison.command,) if comparison.command else (),
        "settings": [("Settings of all", json.dumps(comparison.settings, indent=1, default=str))],
        "versions": comparison.versions,
    }
    return render("networks.html", page)


def _figures(done: Sequence[ComparedNetwork]) -> list[dict[str, str]]:
    if not done:
        return []
    found = [
        {
            "title": "Scores",
            "address": network_figures.scores(
                [n.name for n in done],
                [n.score("iou") for n in done],
                [n.interval for n in done],
            ),
            "caption": "Mean IoU of the images held out, with its interval over groups.",
        }
    ]
    timed = [n for n in done if n.milliseconds]
    if timed:
        found.append(
            {
                "title": "Score against time",
                "address": network_figures.score_against_time(
                    [n.name for n in timed],
                    [n.milliseconds or 0.0 for n in timed],
                    [n.pooled_iou or 0.0 for n in timed],
                ),
                "caption": "Up and to the left is better.",
            }
        )
    curves = {n.name: n.curve for n in done if len(n.curve) > 1}
    if curves:
        found.append(
            {
                "title": "On the way",
                "address": network_figures.curves(curves),
                "caption": "IoU on validation images, at the network's own resolution, without flips.",
            }
        )
    return found
