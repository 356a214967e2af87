"""Makes the pictures in docs/images: drives the real window through the whole flow on made-up images.

make screenshots
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGES = Path(__file__).parent / "images"
SIZE = (1280, 800)
LARGE = 6144  # pixels, either side of the large image


def spin(until: Callable[[], bool], most: float = 180.0) -> None:
    """Let the window live until something is so."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + most
    while not until():
        if time.monotonic() > end:
            raise TimeoutError("waited in vain")
        QApplication.processEvents()
        time.sleep(0.005)


def rest(seconds: float) -> None:
    """Let the window live for a while."""
    end = time.monotonic() + seconds
    spin(lambda: time.monotonic() >= end)


class Photographer:
    """Takes pictures of the whole window."""

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer

    def take(self, name: str) -> None:
        """Write a picture, as large as the window, in its own colours."""
        from PIL import Image

        rest(0.7)
        pixels = self.viewer.screenshot(canvas_only=False, flash=False)
        picture = Image.fromarray(pixels[..., :3])
        path = IMAGES / f"{name}.png"
        picture.save(path, optimize=True)
        print(path)


def make_demo(folder: Path) -> Path:
    """Made-up seismic tiles and a model of them; corrections made here are nobody's."""
    os.environ["NAPARI_UNET_HOME"] = str(folder)
    demo = folder / "salt"
    # A process of its own: this one never loads TensorFlow.
    command = [sys.executable, "-m", "napari_unet.cli", "demo", "--no-window", "--out", str(demo)]
    subprocess.run(command, check=True, capture_output=True)
    (demo / "model").rename(demo / "salt-u-net")
    (demo / "data").rename(demo / "seismic tiles")
    return demo


def open_window() -> tuple[Any, Any]:
    """A napari with the dock."""
    import napari

    viewer = napari.Viewer(show=True)
    viewer.window.resize(*SIZE)
    rest(1)
    _, bench = viewer.window.add_plugin_dock_widget("napari-unet-workbench", "U-Net Workbench")
    return viewer, bench


def open_demo(viewer: Any, bench: Any, demo: Path) -> None:
    """Open the tiles and the model in it."""
    viewer.open(str(demo / "seismic tiles"), plugin="napari-unet-workbench")
    spin(lambda: bench.session.workspace.collection is not None)
    bench.session.workspace.load_model(demo / "salt-u-net")
    rest(1)


def main(names: set[str]) -> None:
    """Go through the flow; with names of pictures of nuclei for these alone."""
    import napari

    IMAGES.mkdir(exist_ok=True)
    if names:
        of_nuclei(napari.Viewer(show=True))
        return
    with tempfile.TemporaryDirectory() as folder:
        demo = make_demo(Path(folder))
        viewer, bench = open_window()
        photographer = Photographer(viewer)
        photographer.take("1-start")

        open_demo(viewer, bench, demo)
        photographer.take("2-open")

        collection = bench.session.workspace.collection
        with_masks = [s.id for s in collection.dataset.samples if s.has_mask][:40]
        shares = {name: (collection.reference(name).labels > 0).mean() for name in with_masks}
        bench.session.workspace.select(min(shares, key=lambda name: abs(shares[name] - 0.4)))
        rest(0.3)
        bench.segment_panel.run_button.click()
        spin(lambda: bench.canvas.mask_layer is not None and bench.session.runner.progress is None)
        photographer.take("3-segment")

        bench.segment_panel.scope_box.setCurrentIndex(bench.segment_panel.scope_box.findData("all"))
        bench.segment_panel.run_button.click()
        spin(lambda: bench.session.runner.progress is None)
        spin(lambda: bench.session.workspace.overall is not None)
        rest(1)
        bench.review_panel.worst_button.click()
        spin(lambda: bench.session.runner.progress is None)  # images without a reference get an estimate
        bench.review_panel.errors_box.click()
        # Not the very worst, which has no pixel right: one that shows all three colours.
        rows = [r for r in bench.session.workspace.rows() if r.iou is not None and r.part == "held-out"]
        bench.session.workspace.select(min(rows, key=lambda r: abs((r.iou or 0) - 0.6)).id)
        reference = next(layer for layer in viewer.layers if layer.name.endswith("reference"))
        reference.visible = False
        photographer.take("4-look")
        viewer.theme = "light"
        photographer.take("5-light")
        viewer.theme = "dark"
        bench.review_panel.errors_box.click()
        bench.review_panel.unsure_box.click()
        spin(lambda: bench.overlays.disagreement.values() is not None)
        photographer.take("9-unsure")
        bench.review_panel.unsure_box.click()

        # A person paints what is true on the eight worst images that the model was trained on.
        worst = [r for r in bench.session.workspace.rows() if r.part == "train" and r.iou is not None]
        worst = sorted(worst, key=lambda r: r.iou or 0)[:8]
        first = max(worst, key=lambda r: bench.session.workspace.collection.reference(r.id).labels.mean()).id
        for row in worst:
            bench.session.workspace.select(row.id)
            rest(0.2)
            truth = bench.session.workspace.collection.reference(row.id).labels
            layer = bench.canvas.mask_layer
            layer.mode = "paint"
            wrong = (layer.data != truth).nonzero()
            layer.data_setitem(wrong, truth[wrong])
            rest(0.3)
            if row.id == first:
                bench.review_panel.verified_box.click()
                photographer.take("8-verified")
                bench.review_panel.verified_box.click()
            bench.review_panel.edit_bar.done_button.click()
            rest(0.2)
        spin(lambda: bench.session.painting.project is not None)
        bench.learn_panel.heading.click()
        session = bench.session
        spin(bench.learn_panel.run_button.isEnabled)
        bench.learn_panel.run_button.click()
        # On a busy machine there may be no four looks in a minute.
        spin(lambda: len(session.background.curve) > 3 or session.candidate.version is not None)
        photographer.take("6-learn")
        spin(lambda: session.candidate.version is not None)
        photographer.take("7-verdict")
        session.candidate.discard()
        viewer.close()
    of_nuclei(napari.Viewer(show=True))


def of_nuclei(viewer: Any) -> None:
    """Images of a microscope: two channels, a stack, and a large image."""
    import numpy as np

    from napari_unet.data.synthetic import make_pictures

    (picture,) = make_pictures("nuclei", 1, seed=3)
    nuclei = picture.image.reshape(*picture.image.shape[:2], -1)[..., 0]
    viewer.window.resize(*SIZE)
    photographer = Photographer(viewer)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_UNET_HOME"] = folder
        _, bench = viewer.window.add_plugin_dock_widget("napari-unet-workbench", "U-Net Workbench")
        rest(1)

        def segment(scope: str) -> None:
            box = bench.segment_panel.scope_box
            spin(lambda: bool(bench.segment_panel.run_button.isEnabled()))
            box.setCurrentIndex(box.findData(scope))
            bench.segment_panel.run_button.click()
            rest(1)
            spin(lambda: bench.session.runner.progress is None and not bench.session.runner.busy, 900)
            rest(3)

        rows, columns = np.mgrid[: nuclei.shape[0], : nuclei.shape[1]]
        waves = 120 + 40 * np.sin(rows / 9) * np.cos(columns / 13)
        phase = np.random.default_rng(0).normal(waves, 6).clip(0, 255).astype(np.uint8)
        viewer.add_image(
            np.stack([phase, nuclei]), channel_axis=0, name=["phase contrast", "DAPI"],
            colormap=["gray", "bop blue"],
        )  # fmt: skip
        spin(lambda: not bench.images.channel_box.isHidden())
        bench.session.channels.choose(("1",))
        segment("image")
        photographer.take("10-channels")

        viewer.layers.clear()
        rest(0.5)
        stack = np.stack([np.roll(nuclei, 2 * number, axis=1) for number in range(20)])
        viewer.add_image(stack, name="cells_20-slices", scale=(3, 1, 1))
        spin(lambda: len(bench.session.workspace.rows()) == len(stack))
        segment("all")
        spin(lambda: not bench.canvas.stacks.filling)
        photographer.take("11-stack")

        viewer.layers.clear()
        viewer.dims.ndim = 2
        rest(2)
        sides = [-(-LARGE // side) for side in nuclei.shape]
        viewer.add_image(np.tile(nuclei, sides)[:LARGE, :LARGE], name="slide_6144x6144")
        spin(lambda: len(bench.session.workspace.rows()) == 1)
        segment("image")
        viewer.camera.zoom *= 12
        rest(3)
        photographer.take("12-large")
        viewer.close()


if __name__ == "__main__":
    main(set(sys.argv[1:]))
