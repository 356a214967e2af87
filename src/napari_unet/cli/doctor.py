"""The command `doctor`: what this machine can do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from napari_unet.cli.running import DONE

if TYPE_CHECKING:
    import argparse

NAME = "doctor"
ABOUT = "Say what this machine can do, and what is missing."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from napari_unet.workflow.doctor import examine

    report = examine()
    print(json.dumps(report.to_json(), indent=1) if options.json else "\n".join(report.lines()))
    return DONE
