"""Running a task from the shell: a bar with time left, Ctrl-C, exit codes."""

from __future__ import annotations

import logging
import signal
import sys
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from napari_unet.atomic import MOST_NAMED
from napari_unet.cli.shared.paths import OUTPUTS
from napari_unet.engine.fast_import import import_keras
from napari_unet.engine.inline import run_inline
from napari_unet.progress import CancelToken, Progress

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

    from napari_unet.data.files.reading import ImageReading
    from napari_unet.data.masks.mask_reading import MaskReading
    from napari_unet.engine.task import Task
    from napari_unet.progress import OnProgress
    from napari_unet.workflow.inputs.left_out import LeftOut
    from napari_unet.workflow.replay.run_record import Run

LOOK = 0.1  # seconds between two looks whether somebody wants to stop
DONE, WRONG, PARTLY, STOPPED = 0, 2, 3, 130
QUIET: ContextVar[bool] = ContextVar("quiet", default=False)  # whether neither notes nor progress are shown
Result = TypeVar("Result")


def run_task(task: Task[Result], on: str = "") -> Result:
    """Run a task with a progress bar on stderr; Ctrl-C stops it between two pieces of work.

    Parameters
    ----------
    task : Task
        What is done.
    on : str
        Command that leads to the machine that does it, like "ssh box"; empty: this one.
    """
    cancel = CancelToken()

    def stop(number: int, frame: FrameType | None) -> None:
        if cancel.cancelled:  # asked twice: now
            raise KeyboardInterrupt
        cancel.cancel()

    before = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        with Bar() as bar:
            return run_far(task, on, bar.show, cancel) if on else run_inline(task, bar.show, cancel)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_far(task: Task[Result], on: str, on_progress: OnProgress, cancel: CancelToken) -> Result:
    """Run a task at the other end of a command, and hand back what it gives here."""
    from contextvars import copy_context

    from napari_unet.engine.process import ProcessEngine
    from napari_unet.engine.remote.command import command_of
    from napari_unet.engine.remote.near_end import FarProcess
    from napari_unet.workflow.journeys import TravellingTask, WrittenFiles, journey_of

    command, context = command_of(on), copy_context()
    engine = ProcessEngine(start=lambda: FarProcess(command, journey_of, context=context, notes=True))
    try:
        job = engine.submit(TravellingTask(task), on_progress)
        while True:
            with suppress(TimeoutError):
                result = job.wait(LOOK)
                break
            if cancel.cancelled:
                job.cancel()
    finally:
        engine.close()
    return cast("Result", result.here() if isinstance(result, WrittenFiles) else result)


class Bar:
    """A bar with time left on stderr."""

    def __enter__(self) -> Bar:
        from rich.console import Console

        console = Console(stderr=True)
        # In a pipe there is no bar to be seen, and rich would leave a blank line.
        self.shown = console.is_interactive and not QUIET.get()
        if not self.shown:
            return self
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn
        from rich.progress import Progress as Bars

        self.bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
        )
        self.bars.start()
        self.row: Any = None
        return self

    def show(self, progress: Progress) -> None:
        """Take a report of a task."""
        if not self.shown:
            return
        left = progress.seconds_left
        if self.row is None:
            self.row = self.bars.add_task(progress.message, left="", total=progress.total or None)
        self.bars.update(
            self.row,
            total=progress.total or None,
            completed=progress.done,
            description=progress.message,
            left="" if left is None else f"{clock_time(left)} left",
        )

    def __exit__(self, *error: object) -> None:
        if self.shown:
            self.bars.stop()


def add_on_argument(parser: argparse.ArgumentParser) -> None:
    """Let a command compute on another machine."""
    parser.add_argument(
        "--on", default="", metavar="COMMAND",
        help="Command that leads to another machine, such as 'ssh box': it computes, results come here.",
    )  # fmt: skip


def add_save_run_argument(parser: argparse.ArgumentParser) -> None:
    """Let a command write the record that `napari-unet run` repeats it from."""
    parser.add_argument(
        "--save-run", type=Path, metavar="FILE",
        help="Write a record of this run; `napari-unet run FILE` repeats it.",
    )  # fmt: skip


def add_reading_arguments(parser: argparse.ArgumentParser) -> None:
    """Let a command read images otherwise than their files say; ``reading_of`` takes it up."""
    group = parser.add_argument_group("reading images")
    group.add_argument(
        "--channel", action="append", default=[], metavar="NAME",
        help="Channel to read, by name or by number from 0. Repeat it for several channels (default: all).",
    )  # fmt: skip
    group.add_argument(
        "--axes", default="", metavar="LETTERS",
        help="Axes of TIFF and Zarr files that name none or wrong ones: CYX for channels, TYX for images.",
    )  # fmt: skip


def reading_of(options: argparse.Namespace) -> ImageReading:
    """How the command is to read images; a SettingsError if axes make no sense."""
    from napari_unet.data.files.reading import ImageReading

    said = vars(options)
    return ImageReading(said.get("axes", ""), tuple(said.get("channel", ())))


def add_mask_arguments(parser: argparse.ArgumentParser) -> None:
    """Let a command read masks otherwise than their values tell; ``mask_reading_of`` takes it up."""
    group = parser.add_argument_group("reading masks")
    group.add_argument(
        "--masks-are", choices=("objects", "classes"), default="",
        help="What the values in a mask count (default: `inspect` shows what the values suggest).",
    )  # fmt: skip
    group.add_argument(
        "--leave-out-problems", action="store_true",
        help="Leave out images that are unreadable, constant or copies, and those with faulty masks.",
    )  # fmt: skip


def mask_reading_of(options: argparse.Namespace) -> MaskReading:
    """How the command is to read masks."""
    from napari_unet.data.masks.mask_reading import MaskReading

    return MaskReading(getattr(options, "masks_are", ""), getattr(options, "leave_out_problems", False))


def note(text: str) -> None:
    """Tell something on stderr that is neither result nor error."""
    if not QUIET.get():
        print(f"note: {text}", file=sys.stderr, flush=True)


@contextmanager
def notes_on_stderr(*, quiet: bool = False, verbose: bool = False) -> Iterator[None]:
    """Show what the program notes on its way, one line each, on stderr; the same only once.

    Parameters
    ----------
    quiet : bool
        Whether to show neither notes nor progress.
    verbose : bool
        Whether to show what the program logs besides its notes, too.
    """
    seen: set[str] = set()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("note: %(message)s"))

    def unseen(record: logging.LogRecord) -> bool:
        text = record.getMessage()
        return not (text in seen or seen.add(text))  # type: ignore[func-returns-value]

    handler.addFilter(unseen)
    root = logging.getLogger("napari_unet")
    root.addHandler(handler)
    before, root.propagate = root.propagate, False
    level = root.level
    root.setLevel(logging.ERROR if quiet else logging.DEBUG if verbose else logging.WARNING)
    tiffs = logging.getLogger("tifffile")  # what it finds damaged is an error of ours, with the file's name
    level_of_tiffs = tiffs.level
    tiffs.setLevel(level_of_tiffs if verbose else logging.CRITICAL)
    token = QUIET.set(quiet)
    try:
        yield
    finally:
        QUIET.reset(token)
        tiffs.setLevel(level_of_tiffs)
        root.setLevel(level)
        root.propagate = before
        root.removeHandler(handler)


def add_layout_argument(parser: argparse.ArgumentParser, of: str = "the data") -> None:
    """Let a command take the layout of a data set."""
    parser.add_argument(
        "--layout", metavar="NAME", help=f"Layout of {of}, such as tgs-salt (default: recognized)."
    )


def add_set_argument(parser: argparse.ArgumentParser) -> None:
    """Let a command change settings of a recipe."""
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="changes",
        help="Change a setting; `napari-unet settings` lists them.",
    )  # fmt: skip


def add_scores_argument(parser: argparse.ArgumentParser) -> None:
    """Let a command take which scores to compute."""
    parser.add_argument(
        "--scores", choices=("auto", "overlap", "all"), default="auto",
        help="Scores to compute. auto: those that fit the data (default). overlap: pixels alone. "
        "all: objects and outlines, too.",
    )  # fmt: skip


def add_empty_argument(parser: argparse.ArgumentParser) -> None:
    """Let a command take what a pair of empty masks counts."""
    parser.add_argument(
        "--empty", choices=("one", "zero", "skip"), default="one",
        help="Score of an image where both masks are empty (default: one).",
    )  # fmt: skip


def add_overwrite_argument(parser: argparse.ArgumentParser) -> None:
    """Let a command replace what is there; what it reads it never replaces."""
    parser.add_argument("--overwrite", action="store_true", help="Replace existing files.")


def report_left_out(left: Sequence[LeftOut]) -> int:
    """Say which images were left out and why; give back the exit code."""
    from napari_unet.workflow.inputs.left_out import left_out_line

    if not left:
        return DONE
    for item in left[:MOST_NAMED]:
        note(item.sentence)
    sys.stdout.flush()
    print(left_out_line(left), file=sys.stderr)
    return PARTLY


@contextmanager
def recorded(
    options: argparse.Namespace, out: Path, describe: Callable[[], Run]
) -> Iterator[dict[str, object]]:
    """Write the record of what is done in the block, if that is asked for and the block ends well.

    Parameters
    ----------
    options : argparse.Namespace
        With `save_run`.
    out : pathlib.Path
        Where the result goes.
    describe : callable
        () -> Run; what goes in is hashed before the block, which may add files to it.

    Yields
    ------
    dict
        Takes fields of the run that are known only when it is done.
    """
    from napari_unet.workflow.replay.run_record import RunRecord, check_new

    found: dict[str, object] = {}
    if options.save_run is None:
        yield found
        return
    given = [path for name, value in vars(options).items() if name not in OUTPUTS for path in _paths(value)]
    check_new(options.save_run, given, overwrite=getattr(options, "overwrite", False))
    record = RunRecord.of(describe(), out)
    yield found
    record = record.model_copy(update={"run": record.run.model_copy(update=found)})
    record.save(options.save_run)
    print(
        f"run record in {options.save_run}; repeat it with: napari-unet run {options.save_run}",
        file=sys.stderr if options.json else sys.stdout,
    )


def _paths(value: object) -> list[Path]:
    values = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, Path)]


def start_backend(options: argparse.Namespace | None = None) -> None:
    """Import Keras, without what serves nobody here; not where another machine computes.

    Raises
    ------
    SettingsError
        If both another machine and a cluster shall compute.
    """
    if not getattr(options, "on", ""):
        import_keras()
    elif getattr(options, "cluster", ""):
        from napari_unet.errors import SettingsError

        raise SettingsError(
            "--on and --cluster exclude each other",
            code="settings.remote.cluster",
            remedy="leave out one of them, or run the command with --cluster on the other machine",
        )


def clock_time(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def epoch_line(row: dict[str, float]) -> None:
    """Print a row of the training log on stderr."""
    if QUIET.get():
        return
    scored = row["validation_iou"]
    iou = f"{scored:.3f}" if scored == scored else "  -  "  # NaN where validation was skipped
    print(
        f"epoch {row['epoch']:4.0f}  loss {row['loss']:.4f}  validation IoU {iou}  "
        f"{clock_time(row['seconds'])} done, {clock_time(row['seconds_left'])} left",
        file=sys.stderr,
        flush=True,
    )
