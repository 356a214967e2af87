"""The command `ensemble`: several models that answer as one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.running import add_overwrite_argument, report_left_out, run_task, start_backend
from napari_unet.cli.tables import print_table

if TYPE_CHECKING:
    import argparse

    from napari_unet.workflow.ensemble.ensemble_task import Chosen

NAME = "ensemble"
ABOUT = "Make an ensemble: several models whose probabilities are averaged, used like a model."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL", help="folders, zips, ensembles")
    parser.add_argument("--out", type=Path, required=True, metavar="ENSEMBLE", help="its folder")
    parser.add_argument(
        "--choose",
        choices=("uniform", "weighted", "greedy"),
        default="uniform",
        help="all alike, the best weights, or one after another while the IoU rises (default: %(default)s)",
    )
    parser.add_argument(
        "--data", type=Path, help="to choose by: images that no model was trained on and none holds out"
    )
    parser.add_argument("--format", help="layout of the data, if it is not to be recognized")
    parser.add_argument("--head", default="", help="let this auxiliary head answer in each model, as c1")
    parser.add_argument(
        "--flips",
        choices=("none", "horizontal", "dihedral"),
        help="average over flips, or flips and quarter turns (default: as the first model)",
    )
    parser.add_argument("--threshold", type=float, help="of the mask (default: as the first model)")
    parser.add_argument("--link", action="store_true", help="leave the models where they are, do not copy")
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
        options.format,
        options.head,
        options.link,
        inference,
        options.overwrite,
    )
    chosen = run_task(task)
    _print(chosen)
    members_used = sum(weight > 0 for weight in chosen.weights)
    print(f"{members_used} of {len(chosen.weights)} model{'s' * (len(chosen.weights) != 1)} in {options.out}")
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
