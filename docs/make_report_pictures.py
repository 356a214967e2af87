"""Makes docs/images/report.png and scores.png: a report and the window of scores, on made-up images.

xvfb-run -a python docs/make_report_pictures.py [--demo DIR]

needs Chromium for the page. DIR is what `napari-unet demo --out DIR` left; without it a demo is made first.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from make_screenshots import IMAGES, SIZE, rest, spin

PAGE = (1200, 1900)  # pixels of the page that are shown
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def run(folder: Path, *words: str) -> None:
    """Run a command of the program in a process of its own, in a folder."""
    command = [sys.executable, "-m", "napari_unet.cli", *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder)


def save(picture: Any, name: str) -> None:
    """Write a picture in its own colours."""
    path = IMAGES / f"{name}.png"
    picture.convert("RGB").save(path, optimize=True)
    print(path)


def photograph_page(page: Path, name: str) -> None:
    """Take a picture of the head of a page, as a browser without a network shows it."""
    from PIL import Image

    browser = next((b for b in map(shutil.which, BROWSERS) if b), None)
    if browser is None:
        raise SystemExit("no Chromium here")
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "page.png"
        size = f"--window-size={PAGE[0]},{PAGE[1]}"
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
            "--hide-scrollbars", f"--screenshot={picture}", size, page.as_uri(),
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
        save(Image.open(picture), name)


def photograph_scores(data: Path, model: Path) -> None:
    """Open the window of scores on the data, and take a picture of it."""
    import napari
    from PIL import Image

    viewer = napari.Viewer(show=True)
    viewer.window.resize(*SIZE)
    _, bench = viewer.window.add_plugin_dock_widget("napari-unet-workbench", "U-Net Workbench")
    viewer.open(str(data), plugin="napari-unet-workbench")
    spin(lambda: bench.session.workspace.collection is not None)
    bench.session.workspace.load_model(model)
    rest(1)
    bench.segment_panel.scope_box.setCurrentIndex(bench.segment_panel.scope_box.findData("all"))
    bench.segment_panel.run_button.click()
    spin(lambda: bench.session.runner.progress is None, 600)
    buttons = bench.review_panel.all_scores
    buttons.scores_button.click()
    spin(lambda: buttons.board._job is None and buttons.board.stale == 0, 300)
    dialog = buttons.dialog
    dialog.which_box.setCurrentIndex(dialog.which_box.findData("unseen"))
    rest(2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scores.png"
        dialog.grab().save(str(path))
        save(Image.open(path), "scores")
    viewer.close()


def main() -> None:
    """Make both."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--demo", type=Path)
    options = parser.parse_args()
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_UNET_HOME"] = folder  # corrections made here are nobody's
        demo = options.demo
        if demo is None:
            demo = Path(folder) / "demo"
            run(Path(folder), "demo", "--no-window", "--out", str(demo))
        # As a person would call them.
        data, model = Path(folder) / "seismic tiles", Path(folder) / "salt-u-net"
        shutil.copytree(demo.resolve() / "data", data)
        shutil.copytree(demo.resolve() / "model", model)
        run(Path(folder), "evaluate", data.name, "--model", model.name, "--out", "report")
        photograph_page(Path(folder) / "report" / "report.html", "report")
        photograph_scores(data, model)


if __name__ == "__main__":
    main()
