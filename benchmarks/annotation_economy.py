"""What corrections are worth: a simulated person paints the true mask on the images that are offered.

Run: python benchmarks/annotation_economy.py PART [options], with PART one of

    economy   IoU against the number of corrected images, arm by arm
    choice    one round on 15 images of the order `representative` (after economy), and on 15 at random
    domain    a nuclei model from fluorescence, corrected on bright-field histology
    strokes   only a tenth of the wrong pixels is painted
    speed     one round with ten corrected 256x256 images and 16 filters, by the clock
    table     print what is there
    plot      draw the curves of economy

Budgets are counted in megapixels of patches seen in training, not in time, so that no arm gets less when the
machine is busy, and anyone gets the same curves. Only "speed" goes by the clock. How much of each set is
used, and at which scale, is in economy/case.py (PLANS); every figure of it can be given here.

Every round of every arm is kept as JSON under --work; what is there already is not done again, so a run
that was stopped continues. Data sets are unpacked folders under --data (see README there).
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path

from economy.arms import ARMS, economy
from economy.case import PLANS
from economy.choice import choice
from economy.parts import domain, speed, strokes
from economy.tables import plot, table

PARTS = {
    "economy": economy, "choice": choice, "domain": domain, "strokes": strokes, "speed": speed,
    "table": table, "plot": plot,
}  # fmt: skip


def main() -> int:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("part", choices=list(PARTS))
    parser.add_argument("--data", type=Path, default=Path("data"), help="unpacked data sets")
    parser.add_argument("--work", type=Path, default=Path("economy"), help="for models and JSON")
    parser.add_argument("--sets", nargs="+", default=list(PLANS))
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    parser.add_argument(
        "--tag", default="", help="kept beside the plain run under a name with this at its end"
    )
    parser.add_argument("--domain-arms", nargs="+", default=["random", "own-predictions", "no-replay"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--offered-from", type=int, default=60, help="images estimated each round")
    parser.add_argument(
        "--judges", default="corrected", choices=["corrected", "none"],
        help="every fifth corrected image judges and is not learned from, as in the window; or none is",
    )  # fmt: skip
    parser.add_argument("--flips", default="none", help="averaged over when scoring; auto is slower")
    parser.add_argument("--start-share", type=float, default=0.05)
    parser.add_argument("--most", type=float, default=0.15, help="share of the images corrected in the end")
    parser.add_argument("--batch", type=int, default=5, help="images a round")
    parser.add_argument("--rounds", type=int, default=2, help="of strokes")
    parser.add_argument("--model", default="", help="start from this model, by folder or name (nuclei)")
    parser.add_argument(
        "--learn", nargs="*", default=["filters=8"], metavar="KEY=VALUE",
        help="settings of the start model and of training on everything (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--seconds", type=float, default=60.0, help="of the round of speed")
    parser.add_argument("--picture", type=Path, default=Path("economy.png"), help="of plot")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of fine-tuning")
    plan = parser.add_argument_group("instead of the set's own plan")
    for key, kind, text in (
        ("scale", float, "of the images"),
        ("largest", int, "longest side of images taken, in pixels; 0: all"),
        ("images", int, "training images taken of a set"),
        ("test", int, "test images, at most"),
        ("start", float, "megapixels of the start model"),
        ("round", float, "megapixels of a round"),
        ("all", float, "megapixels of training on everything"),
    ):
        plan.add_argument(f"--{key}", dest=f"plan_{key}", type=kind, help=text)
    options = parser.parse_args()
    with contextlib.suppress(BrokenPipeError):
        PARTS[options.part](options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
