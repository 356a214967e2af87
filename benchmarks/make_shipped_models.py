"""Make the models that come with the program: `nuclei` and `nerve-and-vessel`.

    python benchmarks/make_shipped_models.py nuclei --data DSB2018 --work DIR
    python benchmarks/make_shipped_models.py nerve-and-vessel --data USGRA_SEG --work DIR

DSB2018 is stage1_train of the 2018 Data Science Bowl (BBBC038, CC0), USGRA_SEG the folder with images/ and
masks/ of usgra-seg (CC-BY 4.0). A run that was stopped goes on where it was. The split is drawn by
kind of image and written before anything is trained; held-out images are looked at once, by
`benchmarks/score_shipped.py`, and decide nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.cli.running import epoch_line, run_task, start_backend
from napari_unet.data.catalog import open_dataset
from napari_unet.data.split import Split
from napari_unet.workflow.recipes import recipe

if TYPE_CHECKING:
    from napari_unet.data.dataset import Dataset
    from napari_unet.settings import Recipe

SEED = 8
HELD_OUT, VALIDATION = 0.15, 0.10  # of every kind of image
BRIGHT = 0.4  # of the range: mean from which an image counts as bright field

SETTINGS = {
    "nuclei": (
        "filters=12", "depth=4", "separation=distance", "training.scale=1.0", "channels=grey",
        "intensities=robust", "patch=160", "batch_size=6", "megapixels=300", "learning_rate=2e-3",
        "averaging=0.995", "foreground_patches=0.5", "training.seed=8",
        "rotation=180", "augmentation.scale=1.0", "warp_probability=0.8", "brightness=0.4", "contrast=0.4",
        "gamma=0.6", "noise=0.4", "invert=0.25",
    ),
    "nerve-and-vessel": (
        "filters=8", "depth=5", "training.scale=0.5", "channels=grey", "intensities=robust",
        "patch=256", "batch_size=4", "megapixels=500", "learning_rate=2e-3", "averaging=0.995",
        "foreground_patches=0.5", "dropout=0.2", "training.seed=8", "rotation=20",
        "augmentation.scale=0.4", "warp_probability=0.9", "elastic=6", "brightness=0.4", "contrast=0.4",
        "gamma=0.5", "noise=0.3",
    ),
}  # fmt: skip


def kind(image: np.ndarray) -> str:
    """Size and look of an image, which tell here what preparation it came from."""
    colour = image.shape[2] > 2 and not bool((image[..., :3] == image[..., :1]).all())
    bright = float(image[..., :3].mean()) > BRIGHT * 255
    look = f"{'colour' if colour else 'grey'} {'bright' if bright else 'dark'}"
    return f"{image.shape[0]}x{image.shape[1]} {look}"


def split_by_kind(dataset: Dataset) -> Split:
    """Held-out and validation parts from every kind of image; a kind of one image is trained on."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for sample in dataset.samples:
        kinds[kind(sample.read_image())].append(sample.id)
    rng = np.random.default_rng(SEED)
    parts: dict[str, list[str]] = {"train": [], "validation": [], "held_out": []}
    for _, ids in sorted(kinds.items()):
        drawn = [ids[i] for i in rng.permutation(len(ids))]
        held = round(HELD_OUT * len(ids)) if len(ids) < 7 else max(1, round(HELD_OUT * len(ids)))
        chosen = held + max(int(len(ids) > 4), round(VALIDATION * len(ids)))
        parts["held_out"] += drawn[:held]
        parts["validation"] += drawn[held:chosen]
        parts["train"] += drawn[chosen:]
    return Split(
        **{name: tuple(sorted(ids)) for name, ids in parts.items()},
        seed=SEED,
        groups={s.id: s.id for s in dataset.samples},
        group_rule="image",
        data=dataset.name,
        note="drawn within each kind of image (size, colour, bright or dark)",
    )


def settings_of(name: str, changes: list[str]) -> Recipe:
    """The recipe of a shipped model."""
    return recipe("fast", [*SETTINGS[name], *changes]).model_copy(update={"name": name})


def main() -> int:
    """Train, or go on training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("name", choices=sorted(SETTINGS))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder of the training")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings, changed")
    options = parser.parse_args()
    start_backend()
    from napari_unet.workflow.train import TrainTask

    dataset = open_dataset(options.data)
    split = options.work.parent / f"{options.name}-split.json"
    if not split.exists():
        split_by_kind(dataset).save(split)
    task = TrainTask(
        options.data,
        options.work,
        settings_of(options.name, options.set),
        split=split,
        resume=True,
        on_epoch=epoch_line,
    )
    run_task(task)
    return 0


if __name__ == "__main__":
    sys.exit(main())
