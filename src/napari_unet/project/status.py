"""What a project says of itself, in lines for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.project.model_version import Difference
    from napari_unet.project.project import Project


def status_lines(project: Project) -> list[str]:
    """Images, corrections and versions.

    Parameters
    ----------
    project : Project
        May be open for reading only.

    Returns
    -------
    list of str
        To be printed.
    """
    link = project.file.data
    where = {"dataset": f"{link.format} at {link.path}", "packed": "in images/", "memory": "in no file"}
    count, split = len(project.ids), project.split
    lines = [
        f"Project {project.name}, {_count(count, 'image')}, {where[link.kind]}",
        f"Split: {len(split.train)} train, {len(split.validation)} validation, {len(split.held_out)} held-out"
        + (f" ({split.note})" if split.note else ""),
        *_corrections(project),
        "",
        *_versions(project),
        *_why_fewer(project),
    ]
    if project.notes:
        lines += ["", *project.notes]
    return lines


def _corrections(project: Project) -> list[str]:
    corrections = project.corrections
    touched = corrections.touched()
    if not touched:
        return ["Corrections: none yet"]
    done = [i for i in touched if corrections.stats(i).done]
    held_out = sum(corrections.part(i) == "held-out" for i in touched)
    total = corrections.total()
    return [
        f"Corrections: {_count(len(touched), 'image')}, {len(done)} done, {held_out} held out; "
        f"{_count(total.strokes, 'stroke')}, {total.changed:,} pixels, {total.seconds / 60:.1f} minutes"
    ]


def _versions(project: Project) -> list[str]:
    versions = project.models.versions()
    if not versions:
        return ["Versions: none yet"]
    current = project.models.current
    rows = [("version", "parent", "made", "corrected images", "scores", "")]
    for version in versions:
        state = "in use" if current is not None and version.number == current.number else ""
        rows.append(
            (
                version.name,
                "-" if version.parent is None else f"v{version.parent:03d}",
                version.created.replace("T", " ").removesuffix("+00:00"),
                str(len(version.corrections)),
                ", ".join(_score(k, v) for k, v in sorted(version.scores.items())) or "-",
                "discarded" if version.discarded else state,
            )
        )
    return table(rows)


def _why_fewer(project: Project) -> list[str]:
    """Why verdicts are over other numbers of images than the split holds out, where they are."""
    held_out = len(project.split.held_out)
    judged = {v.scores.get("held_out_images") for v in project.models.versions()} - {None}
    if not held_out or judged <= {held_out}:
        return []
    return [
        "",
        f"held_out_images are those that judged. The split holds out {held_out}. The others chose the "
        "weights, were corrected or learned from, or there was no time for them.",
    ]


def _score(name: str, value: float) -> str:
    return f"{name} {value:.{_digits(name)}f}"


def _digits(name: str) -> int:
    """Behind the point: none for numbers of images."""
    return 0 if name.endswith("images") else 3


def compare_lines(first: int, second: int, rows: Sequence[Difference]) -> list[str]:
    """Two versions side by side; the change is given where both have a number."""
    cells = [("", f"v{first:03d}", f"v{second:03d}", "change")]
    for row in rows:
        change = ""
        both = isinstance(row.first, float) and isinstance(row.second, float)
        if both:
            change = f"{row.second - row.first:+.{_digits(row.name)}f}"  # type: ignore[operator]
        cells.append((row.name, _text(row.name, row.first), _text(row.name, row.second), change))
    return table(cells)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Cells in columns, the first row as heading."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [lines[0], "  ".join("-" * w for w in widths if w), *lines[1:]]


def _text(name: str, value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.{_digits(name)}f}" if isinstance(value, float) else str(value)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
