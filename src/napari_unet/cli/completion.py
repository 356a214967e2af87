"""The command `completion`: what makes a shell complete commands and options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.cli.shared.results import show
from napari_unet.cli.shared.running import DONE

if TYPE_CHECKING:
    import argparse

NAME = "completion"
ABOUT = "Print the script that makes a shell complete commands and options with the Tab key."
EXAMPLES = (
    "completion bash > ~/.local/share/bash-completion/completions/napari-unet",
    "completion zsh > ~/.zfunc/_napari-unet",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "shell", choices=("bash", "zsh", "tcsh"), metavar="SHELL", help="Shell: bash, zsh or tcsh."
    )


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    import shtab

    script = shtab.complete(options.root, options.shell)
    show(options, {"shell": options.shell, "script": script}, [script])
    return DONE
