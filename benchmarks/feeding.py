"""Whether the network ever waits for its data: steps with full augmentation against steps on ready data.

    python benchmarks/feeding.py [--rounds N] [--steps N]

Both take turns in one process, on the same network and synthetic salt tiles; the ratio counts. The
machine should do nothing else meanwhile.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from napari_unet.data.catalog import open_dataset
from napari_unet.data.synthetic import write_synthetic
from napari_unet.models.normalization import Normalization
from napari_unet.networks.registry import build_network, input_sizes
from napari_unet.settings import AugmentationSettings
from napari_unet.training.feeding.batches import TrainingBatches
from napari_unet.training.fit import compile_network
from napari_unet.training.losses import make_loss
from napari_unet.workflow.train.recipes import fit_recipe, recipe

FULL = AugmentationSettings(
    symmetry="dihedral", rotation=180, scale=0.2, elastic=5, warp_probability=1.0,
    brightness=0.3, contrast=0.3, gamma=0.2, noise=0.1,
)  # fmt: skip


def measure(rounds: int, steps: int) -> list[dict[str, Any]]:
    """Take turns.

    Parameters
    ----------
    rounds, steps : int
        Turns, and steps of each.

    Returns
    -------
    list of dict
        For each augmentation ``row``, its name; ``share`` of the step rate on ready data, one a round;
        ``make`` and ``train``, milliseconds of a patch.
    """
    found = []
    with tempfile.TemporaryDirectory() as folder:
        dataset = open_dataset(write_synthetic("salt", Path(folder), 160))
        for name, augmentation in (("recipe fast", None), ("everything", FULL)):
            chosen = fit_recipe(recipe("fast"), dataset)
            training = chosen.training
            if augmentation is not None:
                training = training.model_copy(update={"augmentation": augmentation})
            batches = TrainingBatches(
                dataset, Normalization(), training, input_sizes(chosen.network), chosen.network.classes
            )
            network = build_network(chosen.network, 0, training.precision)
            compile_network(network, make_loss(chosen.network, training), training)
            found.append({"row": name, **_turns(network, batches, rounds, steps)})
    return found


def _turns(network: Any, batches: TrainingBatches, rounds: int, steps: int) -> dict[str, Any]:
    ready = [batches.batch(n) for n in range(4)]
    for images, targets in ready:
        network.train_on_batch(images, targets)
    stream = batches.stream()
    shares = []
    for _ in range(rounds):
        start = time.perf_counter()
        for n in range(steps):
            network.train_on_batch(*ready[n % len(ready)])
        bare = time.perf_counter() - start
        next(stream)  # what was made ahead while the other took its turn does not count
        for _ in range(4):
            network.train_on_batch(*next(stream))
        start = time.perf_counter()
        for _ in range(steps):
            network.train_on_batch(*next(stream))
        shares.append(bare / (time.perf_counter() - start))
    stream.close()
    start = time.perf_counter()
    for n in range(8):
        batches.batch(100 + n)
    alone = (time.perf_counter() - start) / 8
    patch = 1e3 / batches.batch_size
    return {"share": shares, "make": alone * patch, "train": bare / steps * patch}


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=25)
    arguments = parser.parse_args()
    for row in measure(arguments.rounds, arguments.steps):
        shares = row["share"]
        print(
            f"{row['row']}: {statistics.median(shares):.3f} of the step rate on ready data "
            f"({min(shares):.3f} to {max(shares):.3f} over {len(shares)} rounds); "
            f"{row['make']:.2f} ms to make a patch, {row['train']:.2f} ms to train on it"
        )


if __name__ == "__main__":
    main()
