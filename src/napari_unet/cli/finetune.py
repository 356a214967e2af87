"""The command `finetune`: a model learns from corrections."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.running import DONE, run_task, start_backend
from napari_unet.errors import SettingsError

if TYPE_CHECKING:
    import argparse

NAME = "finetune"
ABOUT = "Let a model learn from corrections, and compare it with the old one."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "--model", type=Path, required=True, metavar="MODEL", help="folder or zip to start from"
    )
    parser.add_argument(
        "--corrections", type=Path, required=True, metavar="DIR",
        help="images and corrected masks: folder, zip or table; images without a mask there are replayed "
        "with the model's own predictions",
    )  # fmt: skip
    parser.add_argument(
        "--unvouched", type=int, metavar="VALUE",
        help="value of mask pixels nobody vouches for (default: 255, unless masks are black and white)",
    )  # fmt: skip
    parser.add_argument("--replay", type=Path, metavar="DATA", help="data set the model was trained on")
    parser.add_argument("--out", type=Path, required=True, metavar="MODEL2", help="folder of the new model")
    parser.add_argument("--minutes", type=float, default=1.0, help="time budget (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of patches and their order (default: 0)")
    parser.add_argument("--format", help="layout of the corrections, if it is not to be recognized")


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    start_backend()
    from napari_unet.models.model import read_settings
    from napari_unet.settings import FineTuneSettings
    from napari_unet.workflow.fine_tune import FineTuneTask
    from napari_unet.workflow.lessons import read_corrections

    if options.minutes <= 0:
        raise SettingsError("--minutes must be above 0", got=f"{options.minutes:g}")
    classes = len(read_settings(options.model)[2])
    corrections, others, notes = read_corrections(
        options.corrections, classes, options.format, options.unvouched
    )
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    settings = FineTuneSettings(seconds=60 * options.minutes, seed=options.seed)
    task = FineTuneTask(
        options.model, corrections, options.out, settings, replay=options.replay, others=others
    )
    result = run_task(task)
    print(
        f"learned from {len(result.lessons)} corrected image{'s' * (len(result.lessons) != 1)}, "
        f"{len(result.held_out)} kept for judging; replayed {result.replayed}; "
        f"{result.steps} steps in {result.seconds:.0f} s"
    )
    print(result.comparison.sentence)
    if result.comparison.verdict == "worse":
        print(f"the new model in {options.out} is worse than {options.model}: keep the old one")
    else:
        print(f"new model in {options.out}; {options.model} is as it was")
    return DONE
