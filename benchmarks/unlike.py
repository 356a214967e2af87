"""How well images are told that do not look like the training images of a model, and how many false alarms.

    python benchmarks/unlike.py DATA [DATA ...] --work DIR

For each data set (nuclei once more by their ground, bright and dark): groups are drawn by a seed, three
quarters for training, the rest held out; three draws. From the training part comes what a model with one grey
channel and intensities evened out by itself would keep; no network is needed. Printed are, in percent: false
alarms among held-out images; hits among all images of each other set; and hits among held-out images that
were changed. What was measured of each image is kept in DIR, so that a run that was stopped resumes.

    python benchmarks/unlike.py DATA --segment MODEL

segments up to 100 images and prints what the comparison costs beside that.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from napari_unet.atomic import write_text
from napari_unet.data.catalog import open_dataset
from napari_unet.models.image_statistics import ImageStatistics, describe_image, kind_of
from napari_unet.models.likeness import Likeness
from napari_unet.models.normalization import Normalization
from napari_unet.workflow.segment.unlike_images import UnlikeImages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

MOST = 300  # images of a set, drawn by a seed
HELD_OUT, DRAWS = 0.25, 3
COST_IMAGES = 100
PLAIN = "as it is"


class Look(NamedTuple):
    """One image: its group, and what it looks like, changed and as it is."""

    group: str
    looks: dict[str, ImageStatistics]


def changed(image: NDArray[np.generic]) -> Iterator[tuple[str, NDArray[np.generic]]]:
    """The image as it is and as another microscope or another sample might give it, (Y, X, C)."""
    yield PLAIN, image
    values = image[..., :3].astype(np.float32)
    if values.shape[2] == 2:
        values = values[..., :1]
    yield "4 x larger", _resized(values, 4)
    yield "4 x smaller", _resized(values, 0.25)
    yield "inverted", values.max() - values
    yield "blurred", _blurred(values)
    noise = np.random.default_rng(0).normal(0, 0.5 * float(values.std()), values.shape)
    yield "noise", (values + noise).astype(np.float32)


def _resized(values: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    resized = cv2.resize(values, None, fx=factor, fy=factor, interpolation=how)
    return np.asarray(resized, np.float32).reshape(*resized.shape[:2], -1)


def _blurred(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), 4), np.float32).reshape(values.shape)


def measured(path: Path, work: Path) -> list[Look]:
    """Of each image of a data set; from the file of an earlier run where there is one."""
    file = work / f"{path.name}.json"
    if not file.exists():
        dataset = open_dataset(path)
        groups = list(dataset.groups())
        chosen = sorted(np.random.default_rng(0).permutation(len(dataset))[:MOST])
        rows = []
        for n in chosen:
            image = dataset.samples[n].read_image()
            rows.append([groups[n], {name: describe_image(one) for name, one in changed(image)}])
        write_text(file, json.dumps(rows))
    return [
        Look(group, {name: tuple(values) for name, values in looks.items()})
        for group, looks in json.loads(file.read_text())
    ]


def unlike_share(likeness: Likeness, looks: list[ImageStatistics]) -> float:
    """In percent."""
    return 100 * float(np.mean([likeness.compare(look).is_unlike for look in looks]))


def print_cost(data: Path, path: Path) -> None:
    """Processor time of the comparison, and of all that a segmentation takes."""
    from napari_unet.cli.shared.running import start_backend

    start_backend()
    from napari_unet.models.ensemble import load_any
    from napari_unet.workflow.segment.segment_samples import segment_samples

    model = load_any(path)
    unlike = UnlikeImages(model.provenance, model.normalization)
    samples = open_dataset(data).samples[:COST_IMAGES]
    for _ in segment_samples(samples[:2], model):
        pass  # the first call of a shape builds a graph
    images = [sample.read_image() for sample in samples]
    start = time.process_time()
    for sample, image in zip(samples, images, strict=True):
        unlike.look(sample, image)
    compared = time.process_time() - start
    start = time.process_time()
    for _ in segment_samples(samples, model):
        pass
    segmented = time.process_time() - start
    print(
        f"{len(samples)} images: {1000 * compared / len(samples):.2f} ms an image to compare, "
        f"{1000 * segmented / len(samples):.1f} ms to segment: {100 * compared / segmented:.2f} %"
    )


def main() -> None:
    """Print three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--work", type=Path, default=Path("unlike"))
    parser.add_argument("--segment", type=Path, metavar="MODEL")
    options = parser.parse_args()
    if options.segment is not None:
        print_cost(options.data[0], options.segment)
        return
    options.work.mkdir(parents=True, exist_ok=True)
    sets: dict[str, list[Look]] = {}
    for path in options.data:
        images = measured(path, options.work)
        if path.name == "dsb2018":
            for kind in ("dark", "bright"):
                sets[f"nuclei, {kind}"] = [one for one in images if kind_of(one.looks[PLAIN]) == kind]
        sets[path.name] = images
    names, changes = list(sets), list(next(iter(sets.values()))[0].looks)[1:]
    print("| trained on | training images | limit | false alarms | " + " | ".join(changes) + " |")
    print("| --- " * (4 + len(changes)) + "|")
    tables: dict[str, dict[str, float]] = {}
    for name, images in sets.items():
        figures: dict[str, list[float]] = {}
        for seed in range(DRAWS):
            groups = sorted({one.group for one in images})
            drawn = np.random.default_rng(seed).permutation(groups)
            held = set(drawn[: max(1, round(HELD_OUT * len(groups)))])
            trained = [one for one in images if one.group not in held]
            kept = [one for one in images if one.group in held]
            likeness = Likeness.of_training(
                [one.looks[PLAIN] for one in trained],
                [one.group for one in trained],
                Normalization(channels=1, intensities="robust"),
            )
            if likeness is None:
                continue
            figures.setdefault("images", []).append(len(trained))
            figures.setdefault("limit", []).append(100 * likeness.false_alarms)
            for change in (PLAIN, *changes):
                share = unlike_share(likeness, [one.looks[change] for one in kept])
                figures.setdefault(change, []).append(share)
            for other in names:
                share = unlike_share(likeness, [one.looks[PLAIN] for one in sets[other]])
                figures.setdefault(f"of {other}", []).append(share)
        tables[name] = {key: float(np.mean(values)) for key, values in figures.items()}
        found = tables[name]
        if not found:
            print(f"| {name} | too few groups: not known |" + " |" * (2 + len(changes)))
            continue
        cells = " | ".join(f"{found[change]:.0f}" for change in changes)
        print(f"| {name} | {found['images']:.0f} | {found['limit']:.1f} | {found[PLAIN]:.1f} | {cells} |")
    print("\n| trained on | " + " | ".join(names) + " |\n" + "| --- " * (1 + len(names)) + "|")
    for name, found in tables.items():
        shares = [f"{found[f'of {o}']:.0f}" if found and not _same(name, o) else "-" for o in names]
        print(f"| {name} | {' | '.join(shares)} |")


def _same(one: str, other: str) -> bool:
    """Whether images of one set are in the other."""
    return one == other or {one, other} in ({"dsb2018", "nuclei, dark"}, {"dsb2018", "nuclei, bright"})


if __name__ == "__main__":
    main()
