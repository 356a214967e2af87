"""Makes docs/images/loop.gif: the loop in the real window, on made-up images.

make animation
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from make_screenshots import IMAGES, make_demo, open_demo, open_window, rest, spin

FILE = IMAGES / "loop.gif"
WIDTH = 860  # pixels of the animation; the window has 1280
COLOURS = 96
MOST_BYTES = 3_000_000
SECONDS = 150  # of fine-tuning; other programs may have most of the machine
CAPTION = 34  # pixels of the line below the window


class Film:
    """Frames of the whole window, each with a line that says what happens, and how long it stays."""

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        self.frames: list[Any] = []
        self.milliseconds: list[int] = []

    def take(self, words: str, seconds: float = 1.5) -> None:
        """Add the window as it is now."""
        from PIL import Image, ImageDraw, ImageFont

        rest(0.3)
        pixels = self.viewer.screenshot(canvas_only=False, flash=False)[..., :3]
        window = Image.fromarray(pixels)
        window = window.resize((WIDTH, round(WIDTH * window.height / window.width)), Image.Resampling.LANCZOS)
        frame = Image.new("RGB", (WIDTH, window.height + CAPTION), "#1b2033")
        frame.paste(window, (0, 0))
        place = (WIDTH / 2, window.height + CAPTION / 2)
        ImageDraw.Draw(frame).text(place, words, "white", ImageFont.load_default(17), anchor="mm")
        self.frames.append(frame)
        self.milliseconds.append(round(1000 * seconds))

    def save(self, path: Path) -> None:
        """Write all frames with one palette, so that only what changes is stored."""
        palette = self.frames[len(self.frames) // 2].quantize(COLOURS)
        frames = [frame.quantize(palette=palette, dither=0) for frame in self.frames]
        frames[0].save(
            path, save_all=True, append_images=frames[1:], duration=self.milliseconds, loop=0, optimize=True
        )
        size = path.stat().st_size
        print(f"{path}: {len(frames)} frames, {size / 1e6:.2f} MB")
        assert size < MOST_BYTES


def main() -> None:
    """Go once around the loop."""
    with tempfile.TemporaryDirectory() as folder:
        demo = make_demo(Path(folder))
        viewer, bench = open_window()
        film = Film(viewer)
        open_demo(viewer, bench, demo)
        film.take("Open images", 2)
        segment_all(bench, film)
        identifier = review(viewer, bench, film)
        paint(bench, film, identifier)
        learn(bench, film, identifier)
        film.save(FILE)
        viewer.close()


def segment_all(bench: Any, film: Film) -> None:
    """Masks come one after another."""
    panel, session = bench.segment_panel, bench.session
    panel.scope_box.setCurrentIndex(panel.scope_box.findData("all"))
    panel.run_button.click()
    spin(lambda: bench.canvas.mask_layer is not None)
    film.take("Segment all: one click", 1)
    spin(lambda: session.runner.progress is None and session.workspace.overall is not None)
    film.take("Segment all: one click", 2)


def review(viewer: Any, bench: Any, film: Film) -> str:
    """Worst first, with the errors; gives the image that is corrected then."""
    session = bench.session
    bench.review_panel.worst_button.click()
    spin(lambda: session.runner.progress is None)
    # Not the very worst, which has no pixel right; one that teaches, and shows object and ground.
    rows = teachers(session)
    covered = {r.id: session.workspace.collection.reference(r.id).labels.mean() for r in rows}
    rows = [r for r in rows if 0.2 < covered[r.id] < 0.6]
    identifier = str(min(rows, key=lambda r: abs((r.iou or 0) - 0.6)).id)
    session.workspace.select(identifier)
    next(layer for layer in viewer.layers if layer.name.endswith("reference")).visible = False
    film.take("Review: the worst first", 2)
    bench.review_panel.errors_box.click()
    film.take("Blue is right, vermillion is too much, yellow is missing", 2.5)
    bench.review_panel.errors_box.click()
    return identifier


def teachers(session: Any) -> list[Any]:
    """Rows of training images without problems that have a score."""
    rows = session.workspace.rows()
    return [r for r in rows if r.iou is not None and r.part == "train" and not r.problem]


def paint(bench: Any, film: Film, first: str) -> None:
    """Correct one image a few rows at a time, and more at once."""
    session = bench.session
    rows = sorted(teachers(session), key=lambda r: r.iou or 0)
    others = [r.id for r in rows if r.id != first][:14]
    for identifier in (first, *others):
        session.workspace.select(identifier)
        rest(0.2)
        truth = session.workspace.collection.reference(identifier).labels
        layer = bench.canvas.mask_layer
        layer.mode = "paint"
        steps = 6 if identifier == first else 1
        for step in range(steps):
            upto = truth.shape[0] * (step + 1) // steps
            wrong = (layer.data[:upto] != truth[:upto]).nonzero()
            if len(wrong[0]):
                layer.data_setitem(wrong, truth[:upto][wrong])
            if identifier == first:
                film.take("Paint corrections", 0.4)
        rest(0.3)
        if identifier == first:
            film.take("Paint corrections: every stroke is on disk within a second", 1.5)
        bench.review_panel.edit_bar.done_button.click()
        rest(0.2)


def learn(bench: Any, film: Film, identifier: str) -> None:
    """Fine-tune, and keep or discard."""
    session = bench.session
    spin(lambda: session.painting.project is not None)
    session.workspace.select(identifier)
    bench.learn_panel.heading.click()
    spin(bench.learn_panel.run_button.isEnabled)
    bench.learn_panel.seconds.setValue(SECONDS)
    bench.learn_panel.run_button.click()
    for looks in (1, 2, 3, 5):
        spin(lambda n=looks: len(session.background.curve) >= n or session.candidate.version is not None)  # type: ignore[misc]
        film.take("Fine-tune on the corrections", 0.8)
    spin(lambda: session.candidate.version is not None)
    film.take("Better on held-out images? Keep it or discard it", 4)


if __name__ == "__main__":
    main()
