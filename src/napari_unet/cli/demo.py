"""The command `demo`: all of it on made-up images."""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.atomic import check_outputs
from napari_unet.cli.shared.results import show
from napari_unet.cli.shared.running import DONE, add_overwrite_argument, epoch_line, run_task, start_backend

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

NAME = "demo"
ABOUT = "Make images, train on them for a minute, segment, show the scores."
EXAMPLES = ("demo",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "--out", type=Path, default=Path("demo"), metavar="DIR", help="Folder of the results (default: demo)."
    )
    add_overwrite_argument(parser)
    parser.add_argument("--no-window", action="store_true", help="Do not open napari on the result.")
    parser.add_argument(
        "--minutes", type=float, default=1.0, help="Minutes of training (default: %(default)s)."
    )


def _say_nothing(text: str) -> None:
    """For programs, which read one JSON text in the end."""


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    parts = [options.out / part for part in ("nuclei", "data", "model", "masks", "report")]
    check_outputs(parts, overwrite=options.overwrite)
    start_backend()
    from napari_unet.evaluation.report.report_files import summary_lines, table_lines
    from napari_unet.workflow.demo import DemoTask, FirstMasksTask
    from napari_unet.workflow.doctor import screen_available

    started = time.monotonic()
    scores = run_task(FirstMasksTask(options.out)).overall()["scores"]
    took = time.monotonic() - started
    talk: Callable[[str], None] = _say_nothing if options.json else partial(print, flush=True)
    talk(
        f"built-in model nuclei on {scores['iou']['images']} made-up images, {took:.0f} s: "
        f"mean IoU {scores['iou']['mean']:.2f}, F1 of objects {scores['f1_50']['mean']:.2f}; "
        f"masks in {options.out / 'nuclei' / 'masks'}"
    )
    talk("now a model of your own, trained on made-up seismic tiles:")
    evaluation = run_task(DemoTask(options.out, options.minutes, on_epoch=epoch_line))
    show(
        options,
        {"nuclei": scores, "seismic": evaluation.overall(), "report": options.out / "report" / "report.html"},
        [
            *table_lines(evaluation),
            "",
            *summary_lines(evaluation),
            f"model and masks in {options.out}; report in {options.out / 'report' / 'report.html'}",
        ],
    )
    if options.no_window:
        return DONE
    if not screen_available():
        talk("no screen here: run `napari-unet demo` on a desktop to see the result in napari")
        return DONE
    # A process of its own: napari's never loads TensorFlow.
    return subprocess.run(
        [sys.executable, "-m", "napari_unet.plugin.show_demo", options.out], check=False
    ).returncode
