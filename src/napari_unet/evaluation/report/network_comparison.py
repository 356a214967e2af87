"""Several networks, trained for the same time on the same images, in one table."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from napari_unet.evaluation.report import network_figures, summary_text
from napari_unet.evaluation.report.report_files import left_out_rows, table_text, write_files
from napari_unet.evaluation.report.report_page import render, today
from napari_unet.evaluation.report.report_tables import NOTHING, interval_of, shown, table_of
from napari_unet.metrics.registry import SCORES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# Of those that there are.
SHOWN = (
    "iou", "f1_50", "ap", "pixel_error", "v_rand", "v_info", "rand_error", "warping_error", "boundary_iou",
)  # fmt: skip
FAIR = 0.9  # of U-Net's pooled IoU, below which a network is told as behind
YARDSTICK = "unet"
COARSE = 8  # pixels: a grid on which thin things are lost
FEW = 2 / 3  # of U-Net's steps
RISING = 0.01  # IoU
FILES = ("networks.csv", "networks.json", "networks.html")


@dataclass(frozen=True)
class ComparedNetwork:
    """One network and how it did.

    Attributes
    ----------
    name, title, when : str
        In the registry, for people, and when to choose it.
    parameters : int
        Trained weights.
    gflop : float
        For an image of `side` x `side`.
    side : int
        Pixels.
    steps, seconds : float
        Of training.
    milliseconds : float or None
        A megapixel, in use, without averaging over flips.
    overall : mapping
        ``Evaluation.overall()`` on the images held out; empty where something went wrong.
    curve : tuple of (float, float)
        Seconds of training and validation IoU.
    problem : str
        What went wrong, in a sentence; empty if nothing did.
    note : str
        Settings that it does not take as the recipe has them, as it has them: "presence=false".
    grid : int
        Side, in pixels, of the squares that have one answer each before the last enlargement.
    """

    name: str
    title: str
    when: str
    parameters: int = 0
    gflop: float = 0.0
    side: int = 256
    steps: float = 0
    seconds: float = 0.0
    milliseconds: float | None = None
    overall: Mapping[str, Any] = field(default_factory=dict)
    curve: tuple[tuple[float, float], ...] = ()
    problem: str = ""
    note: str = ""
    grid: int = 1

    @property
    def pooled_iou(self) -> float | None:
        """Of all classes and pixels; None where something went wrong."""
        value = self.overall.get("pooled_iou")
        return None if value is None else float(value)

    def score(self, name: str) -> float | None:
        """One score: of all pixels together for cells parted by membranes, else the mean over images."""
        found = (self.overall.get("scores") or {}).get(name)
        if found is None:
            return None
        value = found["pooled"] if SCORES[name].family == "regions" else found["mean"]
        return None if value is None else float(value)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)


@dataclass(frozen=True)
class NetworkComparison:
    """Networks on one data set.

    Attributes
    ----------
    networks : tuple of ComparedNetwork
        In the order in which they were asked for.
    data : mapping
        Name, path, format, images.
    minutes : float
        Of training for each; 0 where the recipe's amount counts.
    recipe : str
        Its name.
    command : str
        That repeats it.
    program : str
        Name and version of this program.
    machine : str
        On which times were taken.
    versions : tuple of (str, str)
        Of what computed.
    settings : mapping
        The recipe as JSON, and the split's counts.
    left_out : tuple of (str, str, str)
        Names of images that could not be read, why in a sentence, and its code.
    """

    networks: tuple[ComparedNetwork, ...]
    data: Mapping[str, Any]
    minutes: float
    recipe: str
    command: str = ""
    program: str = ""
    machine: str = ""
    versions: tuple[tuple[str, str], ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    left_out: tuple[tuple[str, str, str], ...] = ()

    @property
    def scores(self) -> list[str]:
        """Names of the scores in the table: those that a network has."""
        return [name for name in SHOWN if any(n.score(name) is not None for n in self.networks)]

    @property
    def ranked(self) -> list[ComparedNetwork]:
        """The best pooled IoU first, what went wrong last."""
        return sorted(
            self.networks, key=lambda n: -math.inf if n.pooled_iou is None else n.pooled_iou, reverse=True
        )

    @property
    def yardstick(self) -> ComparedNetwork | None:
        """U-Net, if it is among them."""
        return next((n for n in self.networks if n.name == YARDSTICK), None)

    def share(self, network: ComparedNetwork) -> float | None:
        """Pooled IoU over that of U-Net; None without either."""
        unet = None if self.yardstick is None else self.yardstick.pooled_iou
        return network.pooled_iou / unet if unet and network.pooled_iou is not None else None

    def reasons(self, network: ComparedNetwork) -> list[str]:
        """What is known of why a network falls behind, as ends of a sentence that begins with its name."""
        found = []
        if network.grid >= COARSE:
            found.append(
                f"has one answer for {network.grid} x {network.grid} pixels, and loses what is thinner"
            )
        unet = self.yardstick
        if unet is not None and 0 < network.steps < FEW * unet.steps:
            found.append(f"got {network.steps:.0f} steps in its time, U-Net {unet.steps:.0f}")
        gain = late_gain(network.curve)
        if gain is not None and gain >= RISING:
            found.append(f"gained {gain:.3f} of validation IoU in its last quarter, so more time brings more")
        elif gain is not None and not found:
            found.append("had levelled off: more of the same time brings nothing")
        return found

    def rows(self) -> list[dict[str, Any]]:
        """One row a network, the best first, for the CSV file."""
        comparison = any((n.overall.get("competition") or {}).get("score") is not None for n in self.networks)
        found = []
        for network in self.ranked:
            row: dict[str, Any] = {
                "network": network.name,
                "pooled_iou": network.pooled_iou,
                "of_unet": self.share(network),
            }
            for name in self.scores:
                row["mean_iou" if name == "iou" else name] = network.score(name)
            low, high = (network.overall.get("ci95") or {}).get("mean_iou") or (None, None)
            row |= {"mean_iou_low": low, "mean_iou_high": high}
            if comparison:
                row["competition"] = (network.overall.get("competition") or {}).get("score")
            row |= {
                "images": network.overall.get("images"),
                "ms_per_megapixel": network.milliseconds,
                "parameters": network.parameters,
                "gflop": network.gflop,
                "side": network.side,
                "steps": network.steps,
                "training_seconds": network.seconds,
                "note": network.note,
                "problem": network.problem,
            }
            found.append(row)
        return found


def write_network_comparison(folder: Path, comparison: NetworkComparison) -> Path:
    """Write networks.html, networks.csv, networks.json and networks.md; gives the path of the page.

    Raises
    ------
    OutputError
        If they cannot be written.
    """
    from napari_unet.atomic import write_text

    content = {
        "networks": [n.to_json() for n in comparison.networks],
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


def summary(comparison: NetworkComparison) -> list[str]:
    """What a reader should take away, in sentences."""
    done = [n for n in comparison.ranked if n.pooled_iou is not None]
    besides = [f"{n.title}: {n.problem}." for n in comparison.networks if n.problem]
    for note in dict.fromkeys(n.note for n in comparison.networks if n.note):
        titles = ", ".join(n.title for n in comparison.networks if n.note == note)
        besides.append(f"With {note}, as they take nothing else: {titles}.")
    if not done:
        return ["No network has a score.", *besides]
    best = done[0]
    said = [f"The highest pooled IoU has {best.title}: {best.pooled_iou:.3f}."]
    interval = (best.overall.get("ci95") or {}).get("mean_iou")
    if interval and interval[0] is not None:
        alike = [
            n.title
            for n in done[1:]
            if (other := (n.overall.get("ci95") or {}).get("mean_iou")) and (other[1] or 0) >= interval[0]
        ]
        if alike:
            said.append(
                f"By their intervals {len(alike)} of the others cannot be told from it: {', '.join(alike)}."
            )
    behind = [n for n in done if (share := comparison.share(n)) is not None and share < FAIR]
    if any(comparison.share(n) is not None for n in done):
        names = ", ".join(f"{n.title} ({comparison.share(n):.1%})" for n in behind)
        said.append(
            f"Below {FAIR:.0%} of U-Net's pooled IoU: {names}."
            if behind
            else f"All reach at least {FAIR:.0%} of U-Net's pooled IoU."
        )
    said += [f"{n.title} {', '.join(reasons)}." for n in behind if (reasons := comparison.reasons(n))]
    return said + besides


def late_gain(curve: Sequence[tuple[float, float]]) -> float | None:
    """How much the best IoU of the last quarter of the time lies above the best before.

    Parameters
    ----------
    curve : sequence of (float, float)
        Seconds of training and validation IoU, in order.

    Returns
    -------
    float or None
        0 if it is not above; None where the curve has no points before or none after.
    """
    late = 0.75 * curve[-1][0] if curve else 0.0
    before = [iou for seconds, iou in curve if seconds <= late]
    after = [iou for seconds, iou in curve if seconds > late]
    return max(0.0, max(after) - max(before)) if before and after else None


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
            between = interval_of((n.overall.get("ci95") or {}).get("mean_iou")) if name == "iou" else ""
            row.append(f"{text} ({between})" if between else text)
        if competing:
            row.append(shown((n.overall.get("competition") or {}).get("score")))
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
                [(n.overall.get("ci95") or {}).get("mean_iou") for n in done],
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
