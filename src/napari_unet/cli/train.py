"""The command `train`: a model from a data set."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.shared.results import left_out_facts, show
from napari_unet.cli.shared.running import (
    QUIET,
    add_layout_argument,
    add_on_argument,
    add_overwrite_argument,
    add_save_run_argument,
    add_set_argument,
    epoch_line,
    note,
    recorded,
    report_left_out,
    run_task,
    start_backend,
)

if TYPE_CHECKING:
    import argparse

    from napari_unet.models.model import Model
    from napari_unet.workflow.ensemble.train_members import Kind
    from napari_unet.workflow.train.train_task import TrainTask

NAME = "train"
ABOUT = "Train a model on a data set."
EXAMPLES = ("train data --out my-model", "train data --out my-model --minutes 10 --set training.patch=192")
DEFAULT = "fast"
SEVERAL: tuple[Kind, ...] = ("folds", "seeds", "snapshots")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("data", type=Path, metavar="DATA", help="Data set: folder, zip or CSV table.")
    parser.add_argument("--out", type=Path, required=True, metavar="MODEL", help="Folder of the new model.")
    parser.add_argument(
        "--recipe",
        metavar="NAME",
        help="Recipe: fast, accurate, paper, or one for a known set: tgs-salt, ultrasound-nerve, isbi2012, "
        "dsb2018, cell-tracking (default: fast).",
    )
    parser.add_argument(
        "--network",
        metavar="NAME",
        help="Network instead of the recipe's; `napari-unet networks` lists them.",
    )
    add_set_argument(parser)
    parser.add_argument("--minutes", type=float, help="Minutes of training, instead of the recipe's amount.")
    parser.add_argument(
        "--seed",
        type=int,
        default=None,
        help="Seed of everything random: same seed, same result (default: 0).",
    )
    parser.add_argument("--init", type=Path, metavar="MODEL", help="Model whose weights to start from.")
    parser.add_argument("--split", type=Path, metavar="FILE", help="File with the split to use.")
    parser.add_argument(
        "--rehearsal", type=int, default=0, metavar="N",
        help="Number of crops of training images and masks to put into the model. Fine-tuning needs them "
        "against forgetting, and whoever has the model can see them (default: none).",
    )  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="Resume a killed training.")
    several = parser.add_mutually_exclusive_group()
    several.add_argument(
        "--folds",
        type=int,
        metavar="K",
        help="Train an ensemble of K models, each on another part of the data.",
    )
    several.add_argument(
        "--seeds", type=int, metavar="K", help="Train an ensemble of K models with different seeds."
    )
    several.add_argument(
        "--snapshots",
        type=int,
        metavar="K",
        help="Train an ensemble of K stages of one training, which share its amount.",
    )
    parser.add_argument(
        "--devices",
        default="",
        metavar="NAME,NAME",
        help="Devices that share each batch, such as gpu:0,gpu:1, with JAX alone (default: all GPUs).",
    )
    parser.add_argument(
        "--cluster", default="", metavar="ADDRESS",
        help="Address of a Dask scheduler whose workers train folds or seeds, such as tcp://host:8786.",
    )  # fmt: skip
    add_layout_argument(parser)
    add_overwrite_argument(parser)
    add_on_argument(parser)
    add_save_run_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    start_backend(options)
    from napari_unet.data.split import Split
    from napari_unet.errors import SettingsError
    from napari_unet.workflow.inputs.content_path import ContentPath
    from napari_unet.workflow.replay.run_record import TrainRun

    if options.rehearsal < 0:
        raise SettingsError(
            "--rehearsal must not be negative",
            code="settings.rehearsal.range",
            got=str(options.rehearsal),
        )
    task = _task(options)
    several = [kind for kind in SEVERAL if getattr(options, kind) is not None]
    if options.cluster and not several:
        raise SettingsError(
            "a single training is not spread over a cluster",
            code="settings.cluster.unsupported",
            expected="--folds or --seeds",
            remedy="leave out --cluster",
        )
    if several:
        return _train_several(options, task, several[0])

    def describe() -> TrainRun:
        return TrainRun(
            data=ContentPath.of(options.data),
            recipe=task.recipe,
            format=options.layout,
            split=None if options.split is None else Split.load(options.split).to_json(),
            init=None if options.init is None else ContentPath.of(options.init),
        )

    with recorded(options, options.out, describe):
        model = run_task(task, options.on)
    return _report(options, model)


def _task(options: argparse.Namespace) -> TrainTask:
    """What the flags ask for; says where another recipe is made for the data."""
    from napari_unet.data.catalog import find_format
    from napari_unet.workflow.train.recipes import own_recipe, recipe
    from napari_unet.workflow.train.train_task import TrainTask

    changes = list(options.changes)
    if options.network is not None:
        changes.append(f"network.name={options.network}")
    if options.minutes is not None:
        changes.append(f"training.minutes={options.minutes}")
    if options.seed is not None:
        changes.append(f"training.seed={options.seed}")
    chosen = recipe(options.recipe or DEFAULT, changes)
    if options.recipe is None:
        hint = own_recipe(options.layout or find_format(options.data) or "", DEFAULT)
        if hint:
            note(hint)
    return TrainTask(
        options.data,
        options.out,
        chosen,
        options.layout,
        options.split,
        options.init,
        options.resume,
        on_epoch=epoch_line,
        devices=tuple(name.strip() for name in options.devices.split(",") if name.strip()),
        overwrite=options.overwrite,
        rehearsal=options.rehearsal,
    )


def _report(options: argparse.Namespace, model: Model) -> int:
    """Say what a training came to; gives the exit code."""
    from napari_unet.data.inspection.look_alikes import between_parts
    from napari_unet.data.split import Split
    from napari_unet.workflow.inputs.left_out import LeftOut

    split = model.provenance["split"]
    parts = ", ".join(f"{len(split[p])} {p.replace('_', '-')}" for p in ("train", "validation", "held_out"))
    lines = [f"trained on {model.provenance['data']['name']} ({parts}); model in {options.out}"]
    if split["note"]:
        lines.append(split["note"])
    parts_of = Split.from_json(split, "the split").part_of
    prints = model.provenance["fingerprints"]
    for problem in between_parts(prints, {i: parts_of(i) or "" for i in prints}):
        more = f" and {len(problem.names) - 3} more" if len(problem.names) > 3 else ""
        lines.append(f"{problem.message}: {', '.join(problem.names[:3])}{more}; {problem.remedy}")
    left = [LeftOut(*item) for item in model.provenance.get("left_out", ())]
    facts = {
        "model": options.out,
        "images": {part: len(split[part]) for part in ("train", "validation", "held_out")},
        "scores": model.provenance.get("scores", {}),
        "notes": lines[1:],
        "left_out": left_out_facts(left),
    }
    show(options, facts, lines)
    return report_left_out(left)


def _train_several(options: argparse.Namespace, task: TrainTask, kind: Kind) -> int:
    from napari_unet.errors import SettingsError
    from napari_unet.workflow.ensemble.train_members import TrainMembersTask
    from napari_unet.workflow.inputs.left_out import LeftOut

    if options.save_run is not None:
        raise SettingsError(
            f"the training of several {kind} has no run record yet that could be saved",
            code="settings.record.unsupported",
            remedy="leave --save-run out; the same command with the same seed trains the same models",
        )
    count = getattr(options, kind)
    ensemble = run_task(
        TrainMembersTask(task, kind, count, lambda n: member_line(n, count), options.cluster), options.on
    )
    name = ensemble.provenance["data"]["name"]
    left = [LeftOut(*item) for item in ensemble.provenance.get("left_out", ())]
    facts = {"ensemble": options.out, kind: count, "left_out": left_out_facts(left)}
    show(options, facts, [f"trained {count} {kind} on {name}; ensemble in {options.out}"])
    return report_left_out(left)


def member_line(number: int, count: int) -> None:
    """Say on stderr which model is trained now."""
    if not QUIET.get():
        print(f"model {number} of {count}", file=sys.stderr, flush=True)
