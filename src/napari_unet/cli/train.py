"""The command `train`: a model from a data set."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.running import (
    add_overwrite_argument,
    add_save_run_argument,
    epoch_line,
    recorded,
    report_left_out,
    run_task,
    start_backend,
)

if TYPE_CHECKING:
    import argparse

    from napari_unet.workflow.ensemble.train_members import Kind
    from napari_unet.workflow.train.train_task import TrainTask

NAME = "train"
ABOUT = "Train a model on a data set."
DEFAULT = "fast"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("data", type=Path, metavar="DATA", help="folder, zip or CSV table")
    parser.add_argument("--out", type=Path, required=True, metavar="MODEL", help="folder of the model")
    parser.add_argument(
        "--recipe",
        help="fast, accurate, paper, or one for a known set: tgs-salt, ultrasound-nerve, isbi2012, dsb2018, "
        "cell-tracking (default: fast)",
    )
    parser.add_argument("--network", help="name of the network, instead of the recipe's")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="changes", help="change a setting"
    )
    parser.add_argument("--minutes", type=float, help="time budget, instead of the recipe's amount")
    parser.add_argument("--seed", type=int, default=None, help="same seed, same result (default: 0)")
    parser.add_argument("--init", type=Path, metavar="MODEL", help="start from the weights of a model")
    parser.add_argument("--split", type=Path, metavar="FILE", help="use this split")
    parser.add_argument(
        "--rehearsal", type=int, default=0, metavar="N",
        help="put N crops of the training images and their masks into the model: whoever fine-tunes it later "
        "needs them against forgetting, and can see them (default: none)",
    )  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="resume a killed training")
    several = parser.add_mutually_exclusive_group()
    several.add_argument(
        "--folds", type=int, metavar="K", help="an ensemble of K models, each on another part of the data"
    )
    several.add_argument("--seeds", type=int, metavar="K", help="an ensemble of K models of other seeds")
    several.add_argument(
        "--snapshots",
        type=int,
        metavar="K",
        help="an ensemble of K stages of one training, which share its amount; folds and seeds have it each",
    )
    parser.add_argument(
        "--devices",
        default="",
        metavar="NAME,NAME",
        help="share each batch, as gpu:0,gpu:1; with JAX alone (default: all graphics processors)",
    )
    parser.add_argument(
        "--cluster", default="", metavar="ADDRESS",
        help="have the workers of this Dask scheduler train folds or seeds, like tcp://host:8786",
    )  # fmt: skip
    parser.add_argument("--format", help="layout, if it is not to be recognized")
    add_overwrite_argument(parser)
    add_save_run_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    start_backend()
    from napari_unet.data.catalog import find_format
    from napari_unet.data.inspection.look_alikes import between_parts
    from napari_unet.data.split import Split
    from napari_unet.errors import SettingsError
    from napari_unet.workflow.inputs.content_path import ContentPath
    from napari_unet.workflow.inputs.left_out import LeftOut
    from napari_unet.workflow.replay.run_record import TrainRun
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
        hint = own_recipe(options.format or find_format(options.data) or "", DEFAULT)
        if hint:
            print(hint, file=sys.stderr, flush=True)
    task = TrainTask(
        options.data,
        options.out,
        chosen,
        options.format,
        options.split,
        options.init,
        options.resume,
        on_epoch=epoch_line,
        devices=tuple(name.strip() for name in options.devices.split(",") if name.strip()),
        overwrite=options.overwrite,
        rehearsal=options.rehearsal,
    )
    if options.rehearsal < 0:
        raise SettingsError(
            "--rehearsal must not be negative",
            code="settings.rehearsal.range",
            got=str(options.rehearsal),
        )

    if options.cluster and options.folds is None and options.seeds is None and options.snapshots is None:
        raise SettingsError(
            "a single training is not spread over a cluster",
            code="settings.cluster.unsupported",
            expected="--folds or --seeds",
            remedy="leave out --cluster",
        )
    for kind in ("folds", "seeds", "snapshots"):
        if getattr(options, kind) is not None:
            return _train_several(options, task, kind)

    def describe() -> TrainRun:
        return TrainRun(
            data=ContentPath.of(options.data),
            recipe=task.recipe,
            format=options.format,
            split=None if options.split is None else Split.load(options.split).to_json(),
            init=None if options.init is None else ContentPath.of(options.init),
        )

    with recorded(options, options.out, describe):
        model = run_task(task)
    split = model.provenance["split"]
    parts = ", ".join(f"{len(split[p])} {p.replace('_', '-')}" for p in ("train", "validation", "held_out"))
    print(f"trained on {model.provenance['data']['name']} ({parts}); model in {options.out}")
    if split["note"]:
        print(split["note"])
    parts_of = Split.from_json(split, "the split").part_of
    prints = model.provenance["fingerprints"]
    for problem in between_parts(prints, {i: parts_of(i) or "" for i in prints}):
        more = f" and {len(problem.names) - 3} more" if len(problem.names) > 3 else ""
        print(f"{problem.message}: {', '.join(problem.names[:3])}{more}; {problem.remedy}")
    return report_left_out([LeftOut(*item) for item in model.provenance.get("left_out", ())])


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
    ensemble = run_task(TrainMembersTask(task, kind, count, lambda n: member_line(n, count), options.cluster))
    name = ensemble.provenance["data"]["name"]
    print(f"trained {count} {kind} on {name}; ensemble in {options.out}")
    return report_left_out([LeftOut(*item) for item in ensemble.provenance.get("left_out", ())])


def member_line(number: int, count: int) -> None:
    """Say on stderr which model is trained now."""
    print(f"model {number} of {count}", file=sys.stderr, flush=True)
