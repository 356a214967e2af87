"""The command line: one module a command, one workflow with the window.

Exit codes: 0 done; 2 wrong use or unreadable input, said in one sentence; 3 partly done, the images that were
left out are named; 130 cancelled.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from napari_unet import PROGRAM
from napari_unet.cli import (
    compare,
    compare_networks,
    demo,
    doctor,
    ensemble,
    evaluate,
    export,
    finetune,
    import_model,
    inspect,
    networks,
    project,
    refine,
    run,
    score,
    segment,
    submit,
    train,
)
from napari_unet.cli.paths import expand_paths
from napari_unet.cli.running import (
    DONE,
    STOPPED,
    WRONG,
    add_mask_arguments,
    add_reading_arguments,
    mask_reading_of,
    notes_on_stderr,
    reading_of,
)
from napari_unet.errors import Cancelled, WorkbenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

# Each has NAME, ABOUT, add_arguments(parser) and run(options); in the order of the help.
COMMANDS = (
    inspect,
    networks,
    train,
    finetune,
    ensemble,
    refine,
    segment,
    evaluate,
    compare,
    compare_networks,
    export,
    import_model,
    submit,
    score,
    run,
    project,
    doctor,
    demo,
)


READ_IMAGES = {
    segment, train, finetune, evaluate, inspect, export, compare, compare_networks, ensemble, refine, submit
}  # fmt: skip

READ_MASKS = READ_IMAGES - {segment}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process if not given.

    Returns
    -------
    int
        Exit code.
    """
    # TensorFlow greets in a dozen lines unless it is silenced before it is imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("ABSL_MIN_LOG_LEVEL", "3")
    options = _parser().parse_args(arguments)
    with notes_on_stderr():
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    from napari_unet.data.files.reading import reading_images
    from napari_unet.data.masks.mask_reading import reading_masks

    try:
        expand_paths(options)
        with reading_images(reading_of(options)), reading_masks(mask_reading_of(options)):
            return int(options.command(options))
    except (Cancelled, KeyboardInterrupt):
        print("cancelled", file=sys.stderr)
        return STOPPED
    except WorkbenchError as error:
        if options.debug:
            raise
        print(f"napari-unet: {error.sentence}", file=sys.stderr)
        return WRONG
    except MemoryError as error:
        if options.debug:
            raise
        print(f"napari-unet: out of memory ({error}); use smaller batches or tiles", file=sys.stderr)
        return WRONG
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:  # such as a folder that this person must not look into
        if options.debug:
            raise
        what = f"{error.filename} cannot be used" if error.filename else "a file cannot be used"
        print(f"napari-unet: {what}: {error.strerror or error}", file=sys.stderr)
        return WRONG


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="napari-unet",
        description="Segment images with U-Nets: train, segment, and trust the scores.",
        epilog="Exit codes: 0 done; 2 wrong use or unreadable input; 3 partly done, images that were "
        "left out are named; 130 cancelled.",
    )
    parser.add_argument("--version", action="version", version=PROGRAM)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        sub = commands.add_parser(command.NAME, help=command.ABOUT, description=command.ABOUT)
        sub.add_argument("--debug", action="store_true", help="show where an error came from")
        command.add_arguments(sub)
        if command in READ_IMAGES:
            add_reading_arguments(sub)
        if command in READ_MASKS:
            add_mask_arguments(sub)
        sub.set_defaults(command=command.run)
    return parser
