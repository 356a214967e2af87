"""The command `run`: a run from its record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.shared.results import show
from napari_unet.cli.shared.running import DONE, note, run_task, start_backend

if TYPE_CHECKING:
    import argparse

NAME = "run"
ABOUT = "Repeat a run from the record that it saved."
EXAMPLES = ("run segmentation.json --out again",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "record", type=Path, metavar="RECORD", help="Run record that the window or a command saved."
    )
    parser.add_argument(
        "--out", type=Path, metavar="PATH", help="Place of the result (default: the same as before)."
    )
    parser.add_argument(
        "--anyway", action="store_true", help="Continue even if data or weights have changed."
    )
    parser.add_argument("--overwrite", action="store_true", help="Replace existing files.")


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from napari_unet.workflow.replay.run_record import RunRecord, programs_differ

    record = RunRecord.load(options.record)
    out = options.out or Path(record.out)
    start_backend()
    from napari_unet.workflow.replay.replay_task import ReplayTask

    for phrase in programs_differ(record.program):
        note(phrase)
    if record.by_time:
        note("a time budget decides how far it goes, so the result differs a little")
    changes = run_task(ReplayTask(record, out, options.anyway, options.overwrite))
    for phrase in changes:
        note(f"{phrase}; the result may be another")
    facts = {"command": record.run.command, "out": out, "changes": list(changes)}
    show(options, facts, [f"{record.run.command} repeated; the result is in {out}"])
    return DONE
