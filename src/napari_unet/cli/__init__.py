"""The command line: one module a command, one workflow with the window.

Exit codes: 0 done; 2 wrong use or unreadable input, said in one sentence; 3 partly done, the images that were
left out are named; 130 cancelled.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from napari_unet import PROGRAM
from napari_unet.cli import (
    compare,
    compare_networks,
    completion,
    demo,
    doctor,
    ensemble,
    evaluate,
    export,
    finetune,
    help,
    import_model,
    inspect,
    models,
    networks,
    open_data,
    project,
    refine,
    run,
    score,
    segment,
    settings,
    submit,
    train,
    worker,
)
from napari_unet.cli.shared.old_spellings import modern
from napari_unet.cli.shared.parsing import COMMON, Parser, add_common_arguments, examples
from napari_unet.cli.shared.paths import expand_paths
from napari_unet.cli.shared.running import (
    DONE,
    STOPPED,
    WRONG,
    add_mask_arguments,
    add_reading_arguments,
    clock_time,
    mask_reading_of,
    notes_on_stderr,
    reading_of,
)
from napari_unet.errors import Cancelled, WorkbenchError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

# Each has NAME, ABOUT, EXAMPLES, add_arguments(parser) and run(options); in the order of the help.
COMMANDS = (
    demo,
    open_data,
    segment,
    models,
    inspect,
    train,
    finetune,
    evaluate,
    compare,
    export,
    project,
    networks,
    compare_networks,
    settings,
    ensemble,
    refine,
    import_model,
    submit,
    score,
    run,
    worker,
    doctor,
    completion,
    help,
)
EXAMPLES = (
    "demo",
    "segment images --model nuclei --out masks",
    "train data --out my-model",
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
    parser = _parser()
    options = parser.parse_args(modern(sys.argv[1:] if arguments is None else arguments))
    if not hasattr(options, "command"):
        # A script that lost its command has to notice, so this is wrong use; stdout is for results.
        print(parser.format_help(), end="", file=sys.stderr)
        return WRONG
    started = time.monotonic()
    with notes_on_stderr(quiet=options.quiet, verbose=options.verbose):
        code = _run(options)
    if options.verbose:
        print(f"time: {clock_time(time.monotonic() - started)}", file=sys.stderr)
    return code


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
        if options.verbose:
            print(f"code: {error.code}", file=sys.stderr)
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


def _parser() -> Parser:
    parser = Parser(
        prog="napari-unet",
        description="Segment images with U-Nets: train, segment, and trust the scores.",
        epilog=examples(EXAMPLES) + "\n\nExit codes: 0 done; 2 wrong use or unreadable input; 3 partly done, "
        "images that were left out are named; 130 cancelled.",
    )
    parser.add_argument("--version", action="version", version=PROGRAM, help="Show the version.")
    add_common_arguments(parser)
    parser.set_defaults(root=parser, **COMMON)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in COMMANDS:
        sub = commands.add_parser(
            command.NAME, help=command.ABOUT, description=command.ABOUT, epilog=examples(command.EXAMPLES)
        )
        command.add_arguments(sub)
        if command in READ_IMAGES:
            add_reading_arguments(sub)
        if command in READ_MASKS:
            add_mask_arguments(sub)
        add_common_arguments(sub)
        sub.set_defaults(command=command.run, parser=sub)
    parser.commands = commands
    return parser
