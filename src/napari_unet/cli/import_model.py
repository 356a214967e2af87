"""The command `import-model`: a plain Keras model becomes one of ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.shared.results import show
from napari_unet.cli.shared.running import DONE, add_overwrite_argument, note, run_task, start_backend

if TYPE_CHECKING:
    import argparse

NAME = "import-model"
ABOUT = "Make a model of a plain Keras file, given the settings of its network."
EXAMPLES = ("import-model unet.keras --settings network.json --out my-model",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="File that Keras saved: .keras, or .h5 of a whole model or of weights.",
    )
    parser.add_argument(
        "--settings", type=Path, required=True, metavar="JSON",
        help="JSON file with network, classes and, if need be, normalization; or settings.json of a model.",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="Folder or .zip of the new model."
    )
    add_overwrite_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    start_backend()
    from napari_unet.workflow.import_model import ImportModelTask

    imported = run_task(ImportModelTask(options.file, options.settings, options.out, options.overwrite))
    for line in imported.found:
        note(line)
    facts = {"model": imported.out, "notes": imported.found}
    show(options, facts, [f"{options.file} as the model {imported.out}"])
    return DONE
