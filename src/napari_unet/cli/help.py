"""The command `help`: the help of the program, or of a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.cli.shared.results import show
from napari_unet.cli.shared.running import DONE

if TYPE_CHECKING:
    import argparse

NAME = "help"
ABOUT = "Show the help of the program or of a command."
EXAMPLES = ("help", "help segment")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("topic", nargs="?", metavar="COMMAND", help="Command whose help to show.")


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    root = options.root
    text = (root.parser_of(options.topic) if options.topic else root).format_help()
    show(options, {"help": text}, [text.rstrip()])
    return DONE
