"""The command `run`: a run from its record."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.running import DONE, run_task, start_backend

if TYPE_CHECKING:
    import argparse

NAME = "run"
ABOUT = "Repeat a run from the record that it saved."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "record", type=Path, metavar="RECORD", help="run record that the window or a command saved"
    )
    parser.add_argument(
        "--out", type=Path, metavar="PATH", help="where the result goes (default: where it went before)"
    )
    parser.add_argument(
        "--anyway", action="store_true", help="continue where data or weights are no more what they were"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what is there")


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from napari_unet.workflow.replay.run_record import RunRecord, programs_differ

    record = RunRecord.load(options.record)
    out = options.out or Path(record.out)
    start_backend()
    from napari_unet.workflow.replay.replay_task import ReplayTask

    for phrase in programs_differ(record.program):
        print(f"note: {phrase}", file=sys.stderr)
    if record.by_time:
        print("note: a time budget decides how far it goes, so the result differs a little", file=sys.stderr)
    changes = run_task(ReplayTask(record, out, options.anyway, options.overwrite))
    for phrase in changes:
        print(f"note: {phrase}; the result may be another", file=sys.stderr)
    print(f"{record.run.command} repeated; the result is in {out}")
    return DONE
