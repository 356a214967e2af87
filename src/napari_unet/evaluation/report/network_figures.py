"""The plots of a comparison of networks, as SVG that a page can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.evaluation.report.figures import BLUE, GREY, INK, drawn, plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROW = 0.26  # inches
# Distinct for people who confuse colours (Okabe, Ito 2008), then again with dashes.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#22262b")
DASHES = ("-", "--", ":")


def scores(
    names: Sequence[str], values: Sequence[float | None], intervals: Sequence[Sequence[float | None] | None]
) -> str:
    """Mean scores with their intervals, the first on top; gives the data address.

    Parameters
    ----------
    names : sequence of str
        (N,) networks.
    values : sequence of float or None
        (N,) in [0, 1].
    intervals : sequence
        (N,) of low and high, or None.
    """
    out: list[str] = []
    with drawn(out, (4.6, 1.0 + ROW * len(names))) as axes:
        for row, (value, bounds) in enumerate(zip(values, intervals, strict=True)):
            if bounds is not None and bounds[0] is not None and bounds[1] is not None:
                axes.plot(bounds, [row, row], color=GREY, linewidth=2.2, solid_capstyle="butt")
            if value is not None:
                axes.plot([value], [row], "o", color=BLUE, markersize=5)
        axes.set(xlabel="mean IoU", ylim=(len(names) - 0.5, -0.5))
        axes.set_yticks(range(len(names)), [plain(name) for name in names])
        axes.grid(axis="x", color=GREY, alpha=0.25, linewidth=0.6)
    return out[0]


def score_against_time(names: Sequence[str], milliseconds: Sequence[float], iou: Sequence[float]) -> str:
    """Pooled IoU against the time a megapixel takes; gives the data address."""
    from matplotlib.ticker import LogFormatter

    out: list[str] = []
    with drawn(out, (4.6, 3.4)) as axes:
        axes.scatter(milliseconds, iou, s=22, color=BLUE, linewidths=0)
        order = sorted(range(len(names)), key=lambda i: iou[i])
        for place, i in enumerate(order):
            # Left and right in turns, so that names of points at about the same height do not meet.
            right = place % 2 == 0
            axes.annotate(
                plain(names[i]),
                (milliseconds[i], iou[i]),
                xytext=(5 if right else -5, 0),
                textcoords="offset points",
                ha="left" if right else "right",
                va="center",
                fontsize=7,
                color=INK,
            )
        axes.set_xscale("log")
        for set_formatter in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
            set_formatter(LogFormatter(minor_thresholds=(2, 0.6)))  # 2000, not 2 x 10^3
        axes.margins(x=0.3, y=0.1)
        axes.set(xlabel="milliseconds a megapixel", ylabel="pooled IoU")
    return out[0]


def curves(found: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Validation IoU on the way through training; gives the data address."""
    out: list[str] = []
    with drawn(out, (4.6, 3.4)) as axes:
        for number, (name, points) in enumerate(found.items()):
            axes.plot(
                [seconds / 60 for seconds, _ in points],
                [iou for _, iou in points],
                color=COLOURS[number % len(COLOURS)],
                linestyle=DASHES[number // len(COLOURS) % len(DASHES)],
                linewidth=1.3,
                label=plain(name),
            )
        axes.set(xlabel="minutes of training", ylabel="validation IoU", xlim=(0, None))
        axes.legend(fontsize=7, loc="lower right", ncols=2)
    return out[0]
