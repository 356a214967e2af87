"""The command `doctor`: what this machine can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.cli.shared.results import show
from napari_unet.cli.shared.running import DONE

if TYPE_CHECKING:
    import argparse

NAME = "doctor"
ABOUT = "Say what this machine can do, and what is missing."
EXAMPLES = ("doctor", "doctor --json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes: nothing of its own."""


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from napari_unet.workflow.doctor import examine

    report = examine()
    show(options, report.to_json(), report.lines())
    return DONE
