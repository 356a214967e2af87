"""The command `open`: the window on images or a data set."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.errors import ComputeError, DataError

if TYPE_CHECKING:
    import argparse

NAME = "open"
ABOUT = "Open the window on images or a data set."
EXAMPLES = ("open images", "open slide.tif")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "data", type=Path, nargs="+", metavar="DATA", help="Images to open: files, folders, zips, data sets."
    )


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from napari_unet.workflow.doctor import screen_available

    for path in options.data:
        if not path.exists():
            raise DataError(f"{path} does not exist", code="data.file.missing", remedy="check the path")
    if not screen_available():
        raise ComputeError(
            "there is no screen here, so no window can open",
            code="compute.screen.missing",
            remedy="run this on a desktop, or use `napari-unet segment` without a window",
        )
    # A process of its own: napari's never loads TensorFlow.
    return subprocess.run(
        [sys.executable, "-m", "napari_unet.plugin.show_data", *options.data], check=False
    ).returncode
