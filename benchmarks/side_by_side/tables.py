"""What was measured, as Markdown."""

from __future__ import annotations

from typing import Any

from side_by_side.turns import spread

TITLES = {
    "limits": "The machine's limits",
    "inference-64": "Inference",
    "inference-16": "Inference of a small network",
    "inference-3d": "Inference in three dimensions",
    "training": "Training step",
    "training-encoder": "Training step of the pretrained encoder",
    "training-3d": "Training step in three dimensions",
    "feeding": "Feeding",
    "tiles": "Small files",
    "clicks": "First click",
}


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of a table."""
    rule = ["---"] * len(head)
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)]


def _limits(rows: list[dict[str, Any]]) -> list[str]:
    return table(["what", "rate"], [[r["row"], f"{spread(r['values'], 0)} {r['unit']}"] for r in rows])


def _compared(rows: list[dict[str, Any]]) -> list[str]:
    """Inference and training: one table for each case."""
    lines: list[str] = []
    for case in dict.fromkeys(r["case"] for r in rows):
        own = [r for r in rows if r["case"] == case]
        head = ["program", "precision", "ms", "GFLOP/s", "ours is times as fast", "first call (s)"]
        if "of the matrix product" in own[0]:
            head.append("of the matrix product's rate")
        cells = []
        for r in own:
            line = [
                r["row"], r["precision"], f"{r['ms']:.0f}", f"{r['gflops']:.0f}",
                spread(r["ours is times as fast"]), f"{r['building and first call (s)']:.1f}",
            ]  # fmt: skip
            if "of the matrix product" in r:
                line.append(spread(r["of the matrix product"]))
            cells.append(line)
        lines += ["", case, "", *table(head, cells)]
    return lines[1:]


def _feeding(rows: list[dict[str, Any]]) -> list[str]:
    head = ["augmentation", "share of the step rate on ready data", "ms to make a patch", "ms to train on it"]
    return table(
        head, [[r["row"], spread(r["share"], 3), f"{r['make']:.2f}", f"{r['train']:.1f}"] for r in rows]
    )


def _tiles(rows: list[dict[str, Any]]) -> list[str]:
    head = ["what", "seconds", "bare network (s)", "ratio"]
    return table(
        head,
        [[r["row"], f"{r['seconds']:.1f}", f"{r['bare network']:.1f}", f"{r['ratio']:.2f}"] for r in rows],
    )


def _clicks(rows: list[dict[str, Any]]) -> list[str]:
    steps = ["import", "build", "weights", "first mask"]
    head = ["", *(f"{s} (s)" for s in steps), "to the first mask (s)", "warm mask of 256x256 (ms)"]
    return table(
        head,
        [
            [
                r["row"],
                *(f"{r[s]:.2f}" for s in steps),
                spread(r["to the first mask"]),
                f"{1e3 * r['warm mask']:.0f}",
            ]
            for r in rows
        ],
    )


WRITERS = {
    "limits": _limits, "inference-64": _compared, "inference-16": _compared, "inference-3d": _compared,
    "training": _compared, "training-encoder": _compared, "training-3d": _compared, "feeding": _feeding,
    "tiles": _tiles, "clicks": _clicks,
}  # fmt: skip


def markdown(found: dict[str, Any]) -> str:
    """All tables, each under its title."""
    lines: list[str] = []
    if "machine" in found:
        told = found["machine"]
        versions = ", ".join(f"{name} {v}" for name, v in told["versions"].items() if v)
        features = ", ".join(told["features"])
        lines += [f"{told['processor']} ({features}), {told['cores']} cores; {versions}", ""]
    for name, write in WRITERS.items():
        if name in found:
            lines += [f"## {TITLES[name]}", "", *write(found[name]), ""]
    return "\n".join(lines)
