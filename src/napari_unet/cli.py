"""The command line: inspect, train, finetune, segment, evaluate, project, doctor, demo.

Exit codes: 0 done; 2 wrong use or unreadable input, said in one sentence; 130 cancelled.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from napari_unet import __version__
from napari_unet.engine.inline import run_inline
from napari_unet.errors import Cancelled, OutputError, SettingsError, WorkbenchError
from napari_unet.progress import CancelToken, Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from napari_unet.engine.task import Task

DONE, WRONG, STOPPED = 0, 2, 130
Result = TypeVar("Result")


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
    # TensorFlow greets in a dozen lines unless told, before it is imported, not to.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("ABSL_MIN_LOG_LEVEL", "3")
    options = _parser().parse_args(arguments)
    try:
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="napari-unet", description="Segment images with U-Nets: train, segment, and trust the scores."
    )
    parser.add_argument("--version", action="version", version=f"napari-unet-workbench {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], about: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=about, description=about)
        sub.add_argument("--debug", action="store_true", help="show where an error came from")
        sub.set_defaults(command=run)
        return sub

    sub = command("inspect", _inspect, "Say what a data set is, and what is wrong with it.")
    sub.add_argument("data", type=Path, metavar="DATA", help="folder, zip or CSV table")
    sub.add_argument("--format", help="layout, if it is not to be recognized")
    sub.add_argument("--json", action="store_true", help="print everything as JSON")
    sub.add_argument("--pairs", action="store_true", help="list which mask belongs to which image, and why")

    sub = command("train", _train, "Train a model on a data set.")
    sub.add_argument("data", type=Path, metavar="DATA", help="folder, zip or CSV table")
    sub.add_argument("--out", type=Path, required=True, metavar="MODEL", help="folder of the model")
    sub.add_argument("--recipe", default="fast", help="fast, accurate or paper (default: %(default)s)")
    sub.add_argument("--network", help="name of the network, instead of the recipe's")
    sub.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="changes", help="change a setting"
    )
    sub.add_argument("--minutes", type=float, help="time budget, instead of the recipe's amount")
    sub.add_argument("--seed", type=int, default=None, help="same seed, same result (default: 0)")
    sub.add_argument("--init", type=Path, metavar="MODEL", help="start from the weights of a model")
    sub.add_argument("--split", type=Path, metavar="FILE", help="use this split")
    sub.add_argument("--resume", action="store_true", help="go on where a killed training was")
    sub.add_argument("--format", help="layout, if it is not to be recognized")

    sub = command(
        "finetune", _finetune, "Let a model learn from corrections, and compare it with the old one."
    )
    sub.add_argument("--model", type=Path, required=True, metavar="MODEL", help="folder or zip to start from")
    sub.add_argument(
        "--corrections", type=Path, required=True, metavar="DIR",
        help="images and corrected masks: folder, zip or table; images without a mask there are replayed "
        "with the model's own predictions",
    )  # fmt: skip
    sub.add_argument(
        "--unvouched", type=int, metavar="VALUE",
        help="value of mask pixels nobody vouches for (default: 255, unless masks are black and white)",
    )  # fmt: skip
    sub.add_argument("--replay", type=Path, metavar="DATA", help="data set the model was trained on")
    sub.add_argument("--out", type=Path, required=True, metavar="MODEL2", help="folder of the new model")
    sub.add_argument("--minutes", type=float, default=1.0, help="time budget (default: %(default)s)")
    sub.add_argument("--seed", type=int, default=0, help="of patches and their order (default: 0)")
    sub.add_argument("--format", help="layout of the corrections, if it is not to be recognized")

    sub = command("segment", _segment, "Segment images: one mask for each.")
    sub.add_argument("inputs", type=Path, nargs="+", metavar="INPUT", help="files, folders, zips, data sets")
    sub.add_argument("--model", type=Path, required=True, metavar="MODEL", help="folder or zip of a model")
    sub.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the masks")
    sub.add_argument("--probabilities", action="store_true", help="write probabilities as well")

    sub = command("evaluate", _evaluate, "Score a model, or masks, against reference masks.")
    sub.add_argument("data", type=Path, metavar="DATA", help="data set with reference masks")
    what = sub.add_mutually_exclusive_group(required=True)
    what.add_argument("--model", type=Path, metavar="MODEL", help="folder or zip of a model")
    what.add_argument("--masks", type=Path, metavar="DIR", help="masks named after the images")
    sub.add_argument("--report", type=Path, required=True, metavar="DIR", help="for iou.csv and report.json")
    sub.add_argument("--format", help="layout, if it is not to be recognized")
    sub.add_argument(
        "--empty", choices=("one", "zero", "skip"), default="one",
        help="score where both masks are empty (default: one)",
    )  # fmt: skip

    sub = command("project", _project, "Look at a project, compare and roll back its models, pack it.")
    sub.add_argument("folder", type=Path, metavar="PATH", help="folder of the project")
    sub.add_argument(
        "action", nargs="?", choices=("status", "compare", "rollback", "pack"), default="status",
        help="status (default); compare A B; rollback [V], to the version before without V; pack",
    )  # fmt: skip
    sub.add_argument("versions", nargs="*", metavar="V", help="numbers of versions, like 2 or v002")
    sub.add_argument("--out", type=Path, metavar="ZIP", help="of pack (default: PATH.zip)")
    sub.add_argument("--images", action="store_true", help="pack the images as well")

    sub = command("doctor", _doctor, "Say what this machine can do, and what is missing.")
    sub.add_argument("--json", action="store_true", help="print everything as JSON")

    sub = command("demo", _demo, "Make images, train on them for a minute, segment, show the scores.")
    sub.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR", help="folder (default: demo)")
    sub.add_argument("--no-window", action="store_true", help="do not open napari on the result")
    sub.add_argument("--minutes", type=float, default=1.0, help="of training (default: %(default)s)")
    return parser


def _run(task: Task[Result]) -> Result:
    """Run a task with a progress bar on stderr; Ctrl-C stops it between two pieces of work."""
    cancel = CancelToken()

    def stop(number: int, frame: FrameType | None) -> None:
        if cancel.cancelled:  # asked twice: now
            raise KeyboardInterrupt
        cancel.cancel()

    before = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        with _Bar() as bar:
            return run_inline(task, bar.show, cancel)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Bar:
    """A bar with time left on stderr."""

    def __enter__(self) -> _Bar:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn
        from rich.progress import Progress as Bars

        self.bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[left]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self.bars.start()
        self.row: Any = None
        return self

    def show(self, progress: Progress) -> None:
        """Take a report of a task."""
        left = progress.seconds_left
        if self.row is None:
            self.row = self.bars.add_task(progress.message, left="", total=progress.total or None)
        self.bars.update(
            self.row,
            total=progress.total or None,
            completed=progress.done,
            description=progress.message,
            left="" if left is None else f"{_time(left)} left",
        )

    def __exit__(self, *error: object) -> None:
        self.bars.stop()


def _start_backend() -> None:
    """Import Keras with stderr turned away: TensorFlow greets there whatever its settings say."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import keras  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _inspect(options: argparse.Namespace) -> int:
    from napari_unet.data.catalog import open_dataset
    from napari_unet.workflow.inspect import InspectTask

    if options.pairs:
        dataset = open_dataset(options.data, options.format)
        for sample in dataset.samples:
            print(f"{sample.image_name}\t{sample.mask_name}\t{sample.reason}")
        return DONE
    inspection = _run(InspectTask(options.data, options.format))
    print(json.dumps(inspection.to_json(), indent=1) if options.json else inspection.summary())
    return DONE


def _train(options: argparse.Namespace) -> int:
    _start_backend()
    from napari_unet.workflow.recipes import recipe
    from napari_unet.workflow.train import TrainTask

    changes = list(options.changes)
    if options.network is not None:
        changes.append(f"network.name={options.network}")
    if options.minutes is not None:
        changes.append(f"training.minutes={options.minutes}")
    if options.seed is not None:
        changes.append(f"training.seed={options.seed}")
    task = TrainTask(
        options.data,
        options.out,
        recipe(options.recipe, changes),
        options.format,
        options.split,
        options.init,
        options.resume,
        on_epoch=_epoch_line,
    )
    model = _run(task)
    split = model.provenance["split"]
    parts = ", ".join(f"{len(split[p])} {p.replace('_', '-')}" for p in ("train", "validation", "held_out"))
    print(f"trained on {model.provenance['data']['name']} ({parts}); model in {options.out}")
    if split["note"]:
        print(split["note"])
    return DONE


def _finetune(options: argparse.Namespace) -> int:
    _start_backend()
    from napari_unet.models.model import read_settings
    from napari_unet.settings import FineTuneSettings
    from napari_unet.workflow.fine_tune import FineTuneTask
    from napari_unet.workflow.lessons import read_corrections

    if options.minutes <= 0:
        raise SettingsError("--minutes must be above 0", got=f"{options.minutes:g}")
    classes = len(read_settings(options.model)[2])
    corrections, others, notes = read_corrections(
        options.corrections, classes, options.format, options.unvouched
    )
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    settings = FineTuneSettings(seconds=60 * options.minutes, seed=options.seed)
    task = FineTuneTask(
        options.model, corrections, options.out, settings, replay=options.replay, others=others
    )
    result = _run(task)
    print(
        f"learned from {len(result.lessons)} corrected image{'s' * (len(result.lessons) != 1)}, "
        f"{len(result.held_out)} kept for judging; replayed {result.replayed}; "
        f"{result.steps} steps in {result.seconds:.0f} s"
    )
    print(result.comparison.sentence)
    if result.comparison.verdict == "worse":
        print(f"the new model in {options.out} is worse than {options.model}: keep the old one")
    else:
        print(f"new model in {options.out}; {options.model} is as it was")
    return DONE


def _epoch_line(row: dict[str, float]) -> None:
    scored = row["validation_iou"]
    iou = f"{scored:.3f}" if scored == scored else "  -  "  # NaN where validation was skipped
    print(
        f"epoch {row['epoch']:4.0f}  loss {row['loss']:.4f}  validation IoU {iou}  "
        f"{_time(row['seconds'])} done, {_time(row['seconds_left'])} left",
        file=sys.stderr,
        flush=True,
    )


def _segment(options: argparse.Namespace) -> int:
    _start_backend()
    from napari_unet.workflow.segment import SegmentTask

    written = _run(SegmentTask(tuple(options.inputs), options.model, options.out, options.probabilities))
    print(f"{len(written)} mask{'s' * (len(written) != 1)} in {options.out}")
    return DONE


def _evaluate(options: argparse.Namespace) -> int:
    _start_backend()
    from napari_unet.evaluation.report import summary_lines
    from napari_unet.settings import EvaluationSettings
    from napari_unet.workflow.evaluate import EvaluateTask

    settings = EvaluationSettings(empty=options.empty)
    task = EvaluateTask(options.data, options.report, options.model, options.masks, options.format, settings)
    evaluation = _run(task)
    print("\n".join([*summary_lines(evaluation), f"report in {options.report}"]))
    return DONE


def _project(options: argparse.Namespace) -> int:
    from napari_unet.workflow.pack import PackTask
    from napari_unet.workflow.project import Project
    from napari_unet.workflow.project_status import compare_lines, status_lines

    action, versions = options.action, [_version_number(text) for text in options.versions]
    fewest, most = {"compare": (2, 2), "rollback": (0, 1)}.get(action, (0, 0))
    if not fewest <= len(versions) <= most:
        wanted = {"compare": "two versions", "rollback": "one version, or none"}.get(action, "no versions")
        raise SettingsError(
            f"`project {action}` takes {wanted}",
            got=str(len(versions)),
            remedy="see `napari-unet project -h`",
        )
    if action == "pack":
        folder = options.folder.expanduser().resolve()
        out = options.out or folder.with_name(f"{folder.name}.zip")
        if out.exists():
            raise OutputError(f"{out} is there already", remedy="give another name with --out")
        _run(PackTask(folder, out, options.images))
        print(f"packed in {out}, {out.stat().st_size:,} bytes")
    elif action == "rollback":
        with Project.open(options.folder) as project:
            version = project.models.roll_back(*versions)
        print(f"{version.name} is in use")
    else:
        project = Project.open(options.folder, read_only=True)
        if action == "compare":
            first, second = versions
            lines = compare_lines(first, second, project.models.compare(first, second))
        else:
            lines = status_lines(project)
        print("\n".join(lines))
    return DONE


def _version_number(text: str) -> int:
    digits = text.lower().removeprefix("v")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
        raise SettingsError(f"{text!r} is no version", expected="a number like 2 or v002")
    return int(digits)


def _doctor(options: argparse.Namespace) -> int:
    from napari_unet.workflow.doctor import examine

    report = examine()
    print(json.dumps(report.to_json(), indent=1) if options.json else "\n".join(report.lines()))
    return DONE


def _demo(options: argparse.Namespace) -> int:
    _start_backend()
    from napari_unet.evaluation.report import summary_lines, table_lines
    from napari_unet.workflow.demo import DemoTask
    from napari_unet.workflow.doctor import screen_available

    evaluation = _run(DemoTask(options.out, options.minutes, on_epoch=_epoch_line))
    print("\n".join([*table_lines(evaluation), "", *summary_lines(evaluation)]))
    print(f"model, masks and report in {options.out}")
    if options.no_window:
        return DONE
    if not screen_available():
        print("no screen here: run `napari-unet demo` on a desktop to see the result in napari")
        return DONE
    # A process of its own: napari's never loads TensorFlow.
    return subprocess.run(
        [sys.executable, "-m", "napari_unet.widgets.show", options.out], check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
