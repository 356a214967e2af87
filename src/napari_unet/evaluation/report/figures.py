"""The plots of a report, as SVG that a page can hold."""

from __future__ import annotations

import base64
import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_unet.evaluation.confidence import Reliability, ThresholdCurve

BLUE, ORANGE, GREY, INK = "#0072B2", "#D55E00", "#8a8f98", "#22262b"
SIZE = (4.6, 3.0)  # inches
MANY = 4000  # points above which they are drawn as pixels
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "napari-unet",
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans", "sans-serif"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.8,
    "legend.frameon": False,
}


@contextmanager
def drawn(addresses: list[str], size: tuple[float, float] = SIZE) -> Iterator[Any]:
    """Axes to draw on; in the end the address of the plot is in the list.

    Nothing global is touched for longer than that, and no window is opened.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        yield axes
        file = io.BytesIO()
        # Without a date the same scores give the same file.
        figure.savefig(file, format="svg", dpi=200, metadata={"Date": None, "Creator": None})
    encoded = base64.b64encode(file.getvalue()).decode("ascii")
    addresses.append(f"data:image/svg+xml;base64,{encoded}")


def histogram(iou: NDArray[np.float64]) -> str:
    """How many images have which IoU.

    Parameters
    ----------
    iou : numpy.ndarray
        (N,) in [0, 1].

    Returns
    -------
    str
        Data address.
    """
    out: list[str] = []
    bins = np.linspace(0, 1, 21)
    with drawn(out) as axes:
        axes.hist(iou, bins=bins, color=BLUE, rwidth=0.92)
        mean = float(np.mean(iou))
        axes.axvline(mean, color=INK, linewidth=1, linestyle="--")
        side = "right" if mean > 0.5 else "left"
        axes.annotate(
            f" mean {mean:.3f} ", (mean, 1.0), xycoords=("data", "axes fraction"), ha=side, va="bottom"
        )
        axes.set(xlabel="IoU", ylabel="images", xlim=(0, 1))
        _whole_numbers(axes)
    return out[0]


def value_histogram(values: NDArray[np.float64], what: str, counted: str) -> str:
    """How many of something have which value.

    Parameters
    ----------
    values : numpy.ndarray
        (N,) of finite numbers, N > 0.
    what, counted : str
        What the values are, and what has them.

    Returns
    -------
    str
        Data address.
    """
    out: list[str] = []
    low, high = float(values.min()), float(values.max())
    bins = min(30, max(5, round(len(values) ** 0.5)))
    whole = bool((values == np.round(values)).all())
    if whole and high - low < 30:  # a bar for each number
        edges = np.arange(low - 0.5, high + 1)
    else:
        edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    with drawn(out) as axes:
        axes.hist(values, bins=edges, color=BLUE, rwidth=0.92)
        middle = float(np.median(values))
        axes.axvline(middle, color=INK, linewidth=1, linestyle="--")
        axes.annotate(" median ", (middle, 1.0), xycoords=("data", "axes fraction"), ha="left", va="bottom")
        axes.set(xlabel=what, ylabel=plain(counted))
        _whole_numbers(axes)
    return out[0]


def coverage_plot(coverage: NDArray[np.float64], iou: NDArray[np.float64]) -> str:
    """IoU against the share of the image that is annotated.

    Parameters
    ----------
    coverage, iou : numpy.ndarray
        (N,) in [0, 1].

    Returns
    -------
    str
        Data address. Points of images with nothing in the reference stand at 0.
    """
    out: list[str] = []
    with drawn(out) as axes:
        axes.scatter(
            100 * coverage, iou, s=9, color=BLUE, alpha=0.45, linewidths=0, rasterized=len(iou) > MANY
        )
        centres, means = running_mean(coverage, iou)
        if len(centres):
            axes.plot(100 * centres, means, color=ORANGE, linewidth=1.6, label="mean of tenths")
            axes.legend(loc="lower right")
        axes.set(xlabel="annotated share of the image (%)", ylabel="IoU", ylim=(-0.03, 1.03))
        axes.set_xlim(left=-1)
    return out[0]


def running_mean(
    coverage: NDArray[np.float64], iou: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean IoU of tenths of the images with something in them, by coverage; empty for fewer than 30."""
    filled = coverage > 0
    if filled.sum() < 30:
        return np.zeros(0), np.zeros(0)
    order = np.argsort(coverage[filled], kind="stable")
    tenths = np.array_split(order, 10)
    x, y = coverage[filled], iou[filled]
    return np.array([x[t].mean() for t in tenths]), np.array([y[t].mean() for t in tenths])


def threshold_plot(curve: ThresholdCurve, threshold: float | None) -> str:
    """Mean IoU at every threshold, with the one that was used; gives the data address."""
    out: list[str] = []
    with drawn(out) as axes:
        axes.plot(curve.thresholds, curve.mean_iou, color=BLUE, linewidth=1.8)
        if threshold is not None:
            axes.axvline(threshold, color=INK, linewidth=1, linestyle="--")
            axes.plot([threshold], [curve.at(threshold)], "o", color=INK, markersize=4)
            side = "right" if threshold > 0.5 else "left"
            axes.annotate(
                f" used: {threshold:g} ", (threshold, 1.0), xycoords=("data", "axes fraction"),
                ha=side, va="bottom",
            )  # fmt: skip
        axes.set(xlabel="threshold", ylabel="mean IoU", xlim=(0, 1), ylim=(0, 1))
    return out[0]


def reliability_plot(found: Reliability) -> str:
    """True against promised shares, with the number of pixels; gives the data address."""
    out: list[str] = []
    with drawn(out) as axes:
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", label="as promised")
        axes.plot(found.promised, found.true, "o-", color=BLUE, markersize=3.5, linewidth=1.4)
        share = found.pixels / found.pixels.sum()
        axes.bar(found.promised, share, width=0.035, color=GREY, alpha=0.35, label="share of pixels")
        axes.annotate(
            f"calibration error {found.error:.3f}", (0.0, 1.0), xycoords="axes fraction", va="bottom"
        )
        axes.set(
            xlabel="promised probability", ylabel="share that is true", xlim=(-0.02, 1.02), ylim=(0, 1.02)
        )
        axes.legend(loc="upper left")
    return out[0]


def old_against_new(old: NDArray[np.float64], new: NDArray[np.float64], names: tuple[str, str]) -> str:
    """IoU of each image with the one and the other model; gives the data address."""
    out: list[str] = []
    change = new - old
    with drawn(out, (4.6, 4.0)) as axes:
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
        for chosen, colour, words in (
            (change > 0, BLUE, "better"),
            (change < 0, ORANGE, "worse"),
            (change == 0, GREY, "the same"),
        ):
            if chosen.any():
                axes.scatter(
                    old[chosen], new[chosen], s=11, color=colour, alpha=0.5, linewidths=0,
                    label=f"{words} ({int(chosen.sum()):,})", rasterized=len(old) > MANY,
                )  # fmt: skip
        axes.set(
            xlabel=f"IoU, {plain(names[0])}", ylabel=f"IoU, {plain(names[1])}",
            xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal",
        )  # fmt: skip
        axes.legend(loc="lower right")
    return out[0]


def differences(change: NDArray[np.float64], interval: Sequence[float | None]) -> str:
    """How many images gained and lost how much; gives the data address.

    Parameters
    ----------
    change : numpy.ndarray
        (N,) new minus old IoU, -1 to 1.
    interval : sequence of float or None
        Low and high of the mean.
    """
    out: list[str] = []
    reach = max(0.05, float(np.ceil(np.abs(change).max() * 20) / 20))
    with drawn(out, (4.6, 4.0)) as axes:
        axes.hist(change, bins=np.linspace(-reach, reach, 31), color=BLUE, rwidth=0.92)
        axes.axvline(0, color=GREY, linewidth=1)
        low, high = interval
        if low is not None and high is not None:
            axes.axvspan(low, high, color=ORANGE, alpha=0.25, linewidth=0, label="interval of the mean")
        axes.axvline(float(change.mean()), color=ORANGE, linewidth=1.4, label="mean")
        axes.set(xlabel="new minus old IoU", ylabel="images", xlim=(-reach, reach))
        axes.legend(loc="upper left")
        _whole_numbers(axes)
    return out[0]


def plain(name: str) -> str:
    """A name that matplotlib does not take for a formula, at most 40 characters long."""
    short = name if len(name) <= 40 else f"{name[:18]}…{name[-21:]}"
    return short.replace("\\", "\\\\").replace("$", r"\$")


def _whole_numbers(axes: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
