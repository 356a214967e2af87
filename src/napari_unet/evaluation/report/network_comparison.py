"""Several networks, trained for the same time on the same images, in one table."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_unet.metrics.registry import SCORES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Of those that there are.
SHOWN = (
    "iou", "f1_50", "ap", "pixel_error", "v_rand", "v_info", "rand_error", "warping_error", "boundary_iou",
)  # fmt: skip
FAIR = 0.9  # of U-Net's pooled IoU, below which a network is reported as behind
YARDSTICK = "unet"
COARSE = 8  # pixels: a grid on which thin things are lost
FEW = 2 / 3  # of U-Net's steps
RISING = 0.01  # IoU


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

    @property
    def interval(self) -> Any:
        """Ends of the interval of the mean IoU; None without."""
        return (self.overall.get("ci95") or {}).get("mean_iou")

    @property
    def competition(self) -> Any:
        """The competition's own score; None where there is none."""
        return (self.overall.get("competition") or {}).get("score")


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
            found.append("no longer improves: more of the same time brings nothing")
        return found

    def rows(self) -> list[dict[str, Any]]:
        """One row a network, the best first, for the CSV file."""
        comparison = any(n.competition is not None for n in self.networks)
        found = []
        for network in self.ranked:
            row: dict[str, Any] = {
                "network": network.name,
                "pooled_iou": network.pooled_iou,
                "of_unet": self.share(network),
            }
            for name in self.scores:
                row["mean_iou" if name == "iou" else name] = network.score(name)
            low, high = network.interval or (None, None)
            row |= {"mean_iou_low": low, "mean_iou_high": high}
            if comparison:
                row["competition"] = network.competition
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
    said = [f"{best.title} has the highest pooled IoU: {best.pooled_iou:.3f}."]
    interval = best.interval
    if interval and interval[0] is not None:
        alike = [n.title for n in done[1:] if n.interval and (n.interval[1] or 0) >= interval[0]]
        if alike:
            are = "is" if len(alike) == 1 else "are"
            said.append(
                f"By their intervals {len(alike)} of the others {are} not clearly different: "
                f"{', '.join(alike)}."
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
