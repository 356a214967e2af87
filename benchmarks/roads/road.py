"""A road: what a person wants, how it is done, and the table of all roads."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roads.hand import Hand
from roads.waiting import rest

if TYPE_CHECKING:
    from collections.abc import Callable

BEGIN, END = "<!-- roads: make window writes this table -->", "<!-- end of roads -->"
HEAD = "| what a person wants | clicks | seconds | what came of it |\n| --- | --- | --- | --- |"


@dataclass(frozen=True)
class Road:
    """One way through the window.

    Attributes
    ----------
    letter, title : str
        Which, and what a person wants.
    prepare : callable
        Gets an empty folder; makes the data there.
    drive : callable
        Gets a hand and that folder; clicks until the result is there, and says what it is.
    """

    letter: str
    title: str
    prepare: Callable[[Path], object]
    drive: Callable[[Hand, Path], str]


@dataclass(frozen=True)
class Driven:
    """A road that was driven.

    Attributes
    ----------
    road : Road
        Which.
    clicks : int
        From the open window of napari to the result.
    seconds : float
        That the program took; a hand and a thinking head come on top.
    result : str
        What came of it.
    """

    road: Road
    clicks: int
    seconds: float
    result: str

    @property
    def row(self) -> str:
        """Of the table in docs/benchmarks/window.md."""
        return (
            f"| ({self.road.letter}) {self.road.title} | {self.clicks} | {self.seconds:.1f} | {self.result} |"
        )


@dataclass(frozen=True)
class Pictures:
    """What pictures of the window are taken at the end of each road.

    Attributes
    ----------
    folder : Path
        Gets them: LETTER-THEME-WIDTH.png.
    themes : tuple of str
        Of napari: "dark", "light".
    sizes : tuple
        Width and height of the window in pixels. The first is that of the window from the start.
    """

    folder: Path
    themes: tuple[str, ...] = ("dark", "light")
    sizes: tuple[tuple[int, int], ...] = ((1280, 800), (1440, 900))

    def begin(self, viewer: Any) -> None:
        """Give the window the first theme and size."""
        self._look(viewer, self.themes[0], self.sizes[0])

    def take(self, viewer: Any, letter: str) -> None:
        """Take a picture in each theme and size."""
        for theme in self.themes:
            for size in self.sizes:
                self._look(viewer, theme, size)
                viewer.screenshot(str(self.folder / f"{letter}-{theme}-{size[0]}.png"), canvas_only=False)

    def _look(self, viewer: Any, theme: str, size: tuple[int, int]) -> None:
        viewer.theme = theme
        viewer.window._qt_window.resize(*size)
        rest(1)


def drive(road: Road, pictures: Pictures | None = None) -> Driven:
    """Drive a road in a window of its own, with a computing process that starts with the dock."""
    import napari

    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.mkdir()
        os.environ["NAPARI_UNET_HOME"] = str(Path(folder) / "home")  # no project of an earlier run
        road.prepare(data)
        viewer = napari.Viewer(show=True)
        if pictures is not None:
            pictures.begin(viewer)
        rest(1)
        hand = Hand(viewer)
        start = time.perf_counter()
        result = road.drive(hand, data)
        driven = Driven(road, hand.clicks, time.perf_counter() - start - hand.paused, result)
        if pictures is not None:
            rest(1)
            pictures.take(viewer, road.letter)
        viewer.close()
        rest(0.2)
    return driven


def write_table(path: Path, driven: list[Driven]) -> None:
    """Put the rows into a page; those of roads that were not driven stay.

    Raises
    ------
    ValueError
        If the page has no place for them.
    """
    text = path.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise ValueError(f"{path} has no place for the roads: {BEGIN} ... {END}")
    before, rest_ = text.split(BEGIN)
    inside, after = rest_.split(END)
    rows = {line[:5]: line for line in inside.splitlines() if line.startswith("| (")}
    rows |= {one.row[:5]: one.row for one in driven}
    table = "\n".join([HEAD, *(rows[key] for key in sorted(rows))])
    path.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")
