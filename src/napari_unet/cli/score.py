"""The command `score`: a submission, as its competition scores it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.running import DONE, run_task

if TYPE_CHECKING:
    import argparse

NAME = "score"
ABOUT = "Score a submission as its competition does."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("submission", type=Path, metavar="SUBMISSION", help="CSV table, or a zip of it")
    parser.add_argument(
        "--truth", type=Path, required=True, metavar="TABLE",
        help="train.csv, train_masks.csv, stage1_train_labels.csv or stage1_solution.csv",
    )  # fmt: skip
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--images", type=Path, metavar="DIR", help="the images, for their sizes")
    where.add_argument("--size", metavar="WIDTHxHEIGHT", help="size of all images in pixels")
    parser.add_argument(
        "--partial", action="store_true", help="score the images that are there, if the submission lacks some"
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
    print(f"{contest['name']}: {contest['score']:.6f}{interval} over {overall['images']} images")
    print(f"mean IoU {overall['mean_iou']:.4f}, mean Dice {overall['mean_dice']:.4f}, both empty = 1")
    if result.left_out:
        print(f"{result.left_out} images of the truth are not in the submission and were left out")
    if not result.sized:
        print("the images' sizes are not known: runs beyond an image were not looked for (--images, --size)")
    return DONE
