"""How well TGS tiles are put together again, and how far a random split flatters.

    python benchmarks/mosaics.py DATA [--minutes M]

Without --minutes only the matching is measured. With it the recipe ``fast`` is trained twice for that
long, once on a split by mosaic and once by image, and both are scored on their held-out tiles.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from napari_unet.data.catalog import open_dataset
from napari_unet.data.mosaic import find_seams, mosaic_groups
from napari_unet.data.split import make_split


def halves(tiles: np.ndarray) -> tuple[float, float]:
    """Recall and precision when every tile is cut in two and the other half is looked for."""
    middle = tiles.shape[2] // 2
    shown = tiles[tiles.std(axis=(1, 2)) >= 2]
    both = np.concatenate([shown[:, :, :middle], shown[:, :, -middle:]])
    found = [s for s in find_seams(both) if s.across]
    count = len(shown)
    right = sum(s.second == s.first + count for s in found if s.first < count)
    claimed = sum(s.first < count <= s.second for s in found)
    return right / count, right / max(claimed, 1)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--minutes", type=float, default=0.0)
    arguments = parser.parse_args()
    dataset = open_dataset(arguments.data)
    tiles = np.stack([dataset.image(s)[..., 0] for s in dataset.samples])
    masks = np.stack([dataset.mask(s).labels for s in dataset.samples])
    even = tiles[:, :, : tiles.shape[2] - tiles.shape[2] % 2 or None]
    recall, precision = halves(even)
    print(f"halves of one tile found again: {recall:.3f}, precision {precision:.3f}")
    start = time.perf_counter()
    groups = mosaic_groups(dataset.samples)
    seconds = time.perf_counter() - start
    sizes = Counter(groups)
    joined = sum(n for n in sizes.values() if n > 1)
    print(f"{len(groups)} tiles, {len(sizes)} groups in {seconds:.1f} s; largest {max(sizes.values())};")
    print(f"tiles with a neighbour or a copy in the set: {joined} ({joined / len(groups):.1%})")
    rng = np.random.default_rng(0)
    for across in (True, False):
        seams = [s for s in find_seams(tiles) if s.across is across]
        if not seams:
            continue
        first = np.array([s.first for s in seams])
        second = np.array([s.second for s in seams])
        edge = masks[first][:, :, -1] if across else masks[first][:, -1]
        other = masks[second][:, :, 0] if across else masks[second][:, 0]
        mixed = other[rng.permutation(len(other))]
        agree, chance = (edge == other).mean(), (edge == mixed).mean()
        way = "side by side" if across else "one above the other"
        print(
            f"{way}: {len(seams)} seams; masks agree along them {agree:.3f}, along random pairs {chance:.3f}"
        )
    for by_group in (True, False):
        split = make_split(dataset, by_group=by_group)
        held = set(split.held_out)
        of = dict(zip((s.id for s in dataset.samples), groups, strict=True))
        train = {of[i] for i in split.train}
        leaks = sum(of[i] in train for i in held)
        name = "mosaic" if by_group else "image "
        print(f"split by {name}: {leaks} of {len(held)} held-out tiles have a piece of their mosaic in train")
        if arguments.minutes:
            train_and_score(arguments.data, by_group, arguments.minutes)


def train_and_score(data: str, by_group: bool, minutes: float) -> None:
    """Train on a split and print the score on its held-out tiles."""
    from napari_unet.engine.inline import run_inline
    from napari_unet.workflow.evaluate.evaluate_task import EvaluateTask
    from napari_unet.workflow.train.recipes import recipe
    from napari_unet.workflow.train.train_task import TrainTask

    changes = [f"minutes={minutes}", f"split_by_group={str(by_group).lower()}"]
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        run_inline(TrainTask(Path(data), model, recipe("fast", changes)))
        task = EvaluateTask(Path(data), Path(folder) / "report", model=model)
        overall = run_inline(task).overall()
        low, high = overall["ci95"]["mean_iou"]
        print(f"  mean IoU {overall['mean_iou']:.3f} ({low:.3f} to {high:.3f}) on {overall['images']} tiles")


if __name__ == "__main__":
    main()
