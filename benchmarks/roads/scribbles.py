"""(d) A first model from scribbles on two images: painted by hand, learned in a minute, put on a third."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from roads.road import Road
from roads.waiting import rest, spin
from simulated_strokes import strokes_on

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from roads.hand import Hand

NAMES = ("field_01.png", "field_02.png", "field_03.png")
SEED = 11
OBJECTS, BACKGROUND = 3, 4  # strokes on an image


def pictures() -> list[Any]:
    """Made-up images of nuclei with their true masks."""
    from napari_unet.data.synthetic import make_pictures

    return make_pictures("nuclei", len(NAMES), seed=SEED)


def prepare(folder: Path) -> None:
    """Write three images."""
    from PIL import Image

    for name, picture in zip(NAMES, pictures(), strict=True):
        Image.fromarray(picture.image).save(folder / name)


def drive(hand: Hand, folder: Path) -> str:
    """Open the images, paint two classes on two of them, learn, segment the third."""
    bench = hand.open_dock()
    truths = {name[:-4]: picture.mask.labels for name, picture in zip(NAMES, pictures(), strict=True)}
    session, row = bench.session, bench.strokes_row
    hand.answer("getOpenFileNames", [folder / name for name in NAMES])
    hand.menu(bench.images.open_button, "Image files")
    spin(lambda: len(session.workspace.rows()) == len(NAMES))
    rest(0.5)  # the camera fits the image in view
    last = session.workspace.rows()[-1].id == session.workspace.current
    step = bench.review_panel.previous_button if last else bench.review_panel.next_button
    for number in range(2):
        if number:
            hand.click(step)
            rest(0.5)
        _paint(hand, bench, truths[session.workspace.current])
    spin(lambda: bool(row.learn_button.isEnabled()) and not session.projects.busy)
    seen: list[float] = []
    session.strokes.previewed.connect(lambda: seen.append(hand.clock()))
    start = hand.clock()
    hand.click(row.learn_button)
    spin(lambda: bool(seen), 240)
    preview = seen[0] - start
    spin(lambda: not session.strokes.running, 400)
    spin(lambda: session.workspace.model.recipe.name == "strokes" and not session.runner.busy)
    learned = hand.clock() - start
    hand.click(step)
    hand.click(bench.segment_panel.run_button)
    spin(lambda: session.workspace.mask(session.workspace.current) is not None)
    current = session.workspace.current
    found, truth = session.workspace.mask(current) > 0, truths[current] > 0
    iou = float((found & truth).sum() / max(int((found | truth).sum()), 1))
    return f"a preview after {preview:.0f} s, the model after {learned:.0f} s; IoU {iou:.2f} on a third image"


def _paint(hand: Hand, bench: Any, truth: NDArray[np.uint8]) -> None:
    """New mask, some strokes inside objects, some outside."""
    hand.click(bench.strokes_row.new_button)
    spin(lambda: bench.canvas.mask_layer is not None)
    for label, count in ((1, OBJECTS), (0, BACKGROUND)):
        if not label:
            hand.click_word(bench.strokes_row.legend)
        for way in strokes_on(truth, label, count, SEED):
            hand.drag(way)
    bench.canvas.take_painting()


ROAD = Road("d", "a first model from scribbles on two images", prepare, drive)
