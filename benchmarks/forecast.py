"""How good the forecast of a training is: steps and memory, forecast and then measured.

    python benchmarks/forecast.py DATA [--recipe fast] [--minutes 1] [--set KEY=VALUE ...]

Each runs in a process of its own, as in the window: first the plan, then the training it is of.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from napari_unet.engine.process import ProcessEngine
from napari_unet.workflow.finetune.train_version import TrainVersionTask
from napari_unet.workflow.train.forecast_task import PlanTask
from napari_unet.workflow.train.recipes import recipe


def main() -> None:
    """Plan, train, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--set", action="append", default=[], dest="changes", metavar="KEY=VALUE")
    options = parser.parse_args()
    chosen = recipe(options.recipe, options.changes)
    engine = ProcessEngine()
    try:
        plan = engine.submit(PlanTask(options.data, chosen)).wait(3600)
        print(plan.split_words)
        print(plan.forecast_words(options.minutes))
        with tempfile.TemporaryDirectory() as folder:
            task = TrainVersionTask(options.data, Path(folder) / "model", plan.recipe_for(options.minutes))
            trained = engine.submit(task).wait(3600 + 120 * options.minutes)
    finally:
        engine.close()
    steps, memory = plan.steps(options.minutes), plan.memory / 2**30
    print(f"steps: forecast {steps:,}, made {trained.steps:,} ({trained.steps / max(steps, 1):.2f} of it)")
    print(f"memory: forecast {memory:.2f} GB, held {trained.memory / 2**30:.2f} GB")
    print(f"in all {trained.seconds:.0f} s; {trained.sentence}")


if __name__ == "__main__":
    main()
