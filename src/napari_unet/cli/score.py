"""The command `score`: a submission, as its competition scores it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.shared.results import show
from napari_unet.cli.shared.running import DONE, run_task

if TYPE_CHECKING:
    import argparse

NAME = "score"
ABOUT = "Score a submission as its competition does."
EXAMPLES = ("score submission.csv --truth train.csv --size 101x101",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "submission", type=Path, metavar="SUBMISSION", help="CSV table of the submission, or a zip of it."
    )
    parser.add_argument(
        "--truth", type=Path, required=True, metavar="TABLE",
        help="Truth: train.csv, train_masks.csv, stage1_train_labels.csv or stage1_solution.csv.",
    )  # fmt: skip
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--images", type=Path, metavar="DIR", help="Folder of the images, for their sizes.")
    where.add_argument(
        "--size", metavar="WIDTHxHEIGHT", help="Size of all images in pixels, such as 101x101."
    )
    parser.add_argument(
        "--partial", action="store_true", help="Score the images that are there if the submission lacks some."
    )


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from napari_unet.workflow.evaluate.score_submission import ScoreSubmissionTask, parse_size

    size = parse_size(options.size) if options.size is not None else None
    task = ScoreSubmissionTask(options.submission, options.truth, options.images, size, options.partial)
    result = run_task(task)
    overall = result.evaluation.overall()
    contest, (low, high) = overall["competition"], overall["ci95"]["competition"]
    why = overall["no_interval"]
    interval = f" (95 % interval {low:.4f} to {high:.4f})" if low is not None else f" ({why})" if why else ""
    lines = [f"{contest['name']}: {contest['score']:.6f}{interval} over {overall['images']} images"]
    lines.append(f"mean IoU {overall['mean_iou']:.4f}, mean Dice {overall['mean_dice']:.4f}, both empty = 1")
    if result.left_out:
        lines.append(f"{result.left_out} images of the truth are not in the submission and were left out")
    if not result.sized:
        lines.append(
            "sizes of images are not known, so runs beyond an image are not found (--images, --size)"
        )
    facts = {"overall": overall, "left_out": result.left_out, "sizes_known": result.sized}
    show(options, facts, lines)
    return DONE
