"""The command `import-model`: a plain Keras model becomes one of ours."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.running import DONE, add_overwrite_argument, run_task, start_backend

if TYPE_CHECKING:
    import argparse

NAME = "import-model"
ABOUT = "Make a model of a plain Keras file, given the settings of its network."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help=".keras, or .h5 of a whole model or of weights, as Keras saves",
    )
    parser.add_argument(
        "--settings", type=Path, required=True, metavar="JSON",
        help="network and classes, and normalization if need be; or the settings.json of a model",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder or .zip of the model")
    add_overwrite_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    start_backend()
    from napari_unet.workflow.import_model import ImportModelTask

    imported = run_task(ImportModelTask(options.file, options.settings, options.out, options.overwrite))
    for line in imported.found:
        print(f"note: {line}", file=sys.stderr)
    print(f"{options.file} as the model {imported.out}")
    return DONE
