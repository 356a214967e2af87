"""The command `ensemble`: several models that answer as one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.shared.results import left_out_facts, show
from napari_unet.cli.shared.running import (
    add_layout_argument,
    add_overwrite_argument,
    report_left_out,
    run_task,
    start_backend,
)
from napari_unet.cli.shared.tables import print_table

if TYPE_CHECKING:
    import argparse

    from napari_unet.workflow.ensemble.ensemble_task import Chosen

NAME = "ensemble"
ABOUT = "Make an ensemble: several models whose probabilities are averaged, used like a model."
EXAMPLES = ("ensemble fold-1 fold-2 fold-3 --out folds",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "models", type=Path, nargs="+", metavar="MODEL", help="Models to average: folders, zips or ensembles."
    )
    parser.add_argument("--out", type=Path, required=True, metavar="ENSEMBLE", help="Folder of the ensemble.")
    parser.add_argument(
        "--choose",
        choices=("uniform", "weighted", "greedy"),
        default="uniform",
        help="How to weigh the models. uniform: all alike. weighted: the best weights. greedy: one after "
        "another while the IoU rises (default: %(default)s).",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DATA",
        help="Data set for the choice: images that no model was trained on or holds out.",
    )
    add_layout_argument(parser)
    parser.add_argument(
        "--head",
        default="",
        metavar="NAME",
        help="Auxiliary head whose answer counts in each model, such as c1.",
    )
    parser.add_argument(
        "--flips",
        choices=("none", "horizontal", "dihedral"),
        help="Flips to average over; dihedral adds quarter turns (default: as the first model).",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="P",
        help="Probability from which a pixel is foreground (default: as the first model).",
    )
    parser.add_argument(
        "--link", action="store_true", help="Leave the models where they are instead of copying them."
    )
    add_overwrite_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    start_backend()
    from napari_unet.errors import SettingsError
    from napari_unet.models.model_folder import read_settings
    from napari_unet.settings import InferenceSettings
    from napari_unet.workflow.ensemble.ensemble_task import EnsembleTask

    changes = {k: v for k in ("flips", "threshold") if (v := getattr(options, k)) is not None}
    inference = None
    if changes:
        if not 0 <= changes.get("threshold", 0) <= 1:
            raise SettingsError(
                "the threshold is a probability",
                code="settings.threshold.range",
                expected="0 to 1",
                got=str(options.threshold),
            )
        first = read_settings(options.models[0])[0].inference
        inference = InferenceSettings.model_validate({**first.model_dump(), **changes})
    task = EnsembleTask(
        tuple(options.models),
        options.out,
        options.choose,
        options.data,
        options.layout,
        options.head,
        options.link,
        inference,
        options.overwrite,
    )
    chosen = run_task(task)
    if not options.json:
        _print(chosen)
    members_used = sum(weight > 0 for weight in chosen.weights)
    show(
        options,
        {
            "ensemble": options.out,
            "members": [
                {"name": name, "weight": weight}
                for name, weight in zip(chosen.names, chosen.weights, strict=True)
            ],
            "iou_alone": chosen.scores,
            "iou": chosen.score,
            "iou_uniform": chosen.uniform,
            "images": chosen.images,
            "left_out": left_out_facts(chosen.left_out),
        },
        [f"{members_used} of {len(chosen.weights)} model{'s' * (len(chosen.weights) != 1)} in {options.out}"],
    )
    return report_left_out(chosen.left_out)


def _print(chosen: Chosen) -> None:
    columns = [("model", False), ("weight", True)]
    columns += [("mean IoU alone", True)] if chosen.scores else []
    rows = []
    for number, (name, weight) in enumerate(zip(chosen.names, chosen.weights, strict=True)):
        scores = [f"{chosen.scores[number]:.3f}"] if chosen.scores else []
        rows.append([name, f"{weight:.3f}" if weight else "left out", *scores])
    print_table(columns, rows)
    if chosen.score is not None:
        print(
            f"mean IoU on {chosen.images} images: this ensemble {chosen.score:.3f}, "
            f"all alike {chosen.uniform:.3f}, the best alone {max(chosen.scores):.3f}"
        )
