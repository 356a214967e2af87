"""Objects with classes: a class for each pixel, or one read off inside each object, on three sets of images.

Nuclei of dsb2018 get two made-up classes: by size, and dark beside bright (half of them are dimmed). The
mitochondria and synapses of vnc-em are two classes as they are. The masks are written as COCO outlines, and
trained on as such. Each model is scored both ways on held-out images. What it finds goes through every
export of objects and back.

Run: python benchmarks/object_classes.py DSB2018 VNC_EM [MINUTES] [IMAGES]
"""

from __future__ import annotations

import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from PIL import Image

from judging import scores
from napari_unet.data.catalog import open_dataset
from napari_unet.data.split import Split
from napari_unet.engine.hardware import default_precision
from napari_unet.engine.inline import run_inline
from napari_unet.export.formats import FORMATS
from napari_unet.export.segmented import SegmentedImage
from napari_unet.inference.postprocess import connected_objects
from napari_unet.models.ensemble import load_any
from napari_unet.workflow.segment.segment_samples import segment_samples
from napari_unet.workflow.train.recipes import recipe
from napari_unet.workflow.train.train_task import TrainTask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.models.ensemble import AnyModel

DIMMED = 0.35  # of its contrast that a dark nucleus has
SCORED = ("f1_50", "ap", "pq")
# What organelles need, see organelles.py: no cuts in large objects, and specks dropped.
TUNED = [
    "training.tune_threshold=true",
    "training.augmentation.symmetry=dihedral",
    "training.foreground_patches=0.5",
]
LITE0 = ["network.name=encoder_unet", "network.encoder=EfficientNetLite0"]
DISTANCE = ["network.separation=distance"]
WAYS = {"pixels": "each pixel", "objects": "each object"}
Labelled = tuple[str, "NDArray[np.uint8]", "NDArray[np.uint8]", "NDArray[np.int32]"]


def fluorescent(path: Path, count: int) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.int32]]]:
    """Dark images of nuclei with their numbers: name, (Y, X) grey, (Y, X) numbers."""
    found = 0
    for sample in open_dataset(path).samples:
        grey = np.asarray(sample.read_image())[..., :3].mean(axis=2).astype(np.uint8)
        objects = sample.read_mask().objects
        if found == count:
            return
        if np.median(grey) < 64 and objects is not None and len(np.unique(objects)) > 6:
            found += 1
            yield sample.id[:12], grey, objects


def by_size(path: Path, count: int) -> Iterator[Labelled]:
    """Nuclei larger than the median of all, and smaller ones."""
    images = list(fluorescent(path, count))
    areas = [np.bincount(objects.ravel())[1:] for _, _, objects in images]
    middle = np.median(np.concatenate([a[a > 0] for a in areas]))
    for (name, grey, objects), area in zip(images, areas, strict=True):
        classes = np.concatenate([[0], 1 + (area > middle)]).astype(np.uint8)
        yield name, grey, classes[objects], objects


def dark_beside_bright(path: Path, count: int) -> Iterator[Labelled]:
    """Every nucleus as it is, or dimmed, by a coin."""
    rng = np.random.default_rng(0)
    for name, grey, objects in fluorescent(path, count):
        classes = np.concatenate([[0], rng.integers(1, 3, int(objects.max()))]).astype(np.uint8)
        mask = classes[objects]
        ground = np.median(grey[objects == 0])
        dimmed = ground + DIMMED * (grey - ground)
        yield name, np.where(mask == 2, dimmed, grey).clip(0, 255).astype(np.uint8), mask, objects


def organelles(path: Path) -> Iterator[Labelled]:
    """Mitochondria and synapses, slice by slice."""
    import tifffile

    image, masks = (tifffile.imread(next((path / folder).rglob("*.tif"))) for folder in ("images", "masks"))
    for number, (grey, mask) in enumerate(zip(image, masks, strict=True)):
        classes = np.where(mask >= 2, mask - 1, 0).astype(np.uint8)
        yield f"slice{number:02d}", grey.astype(np.uint8), classes, connected_objects(classes)


def write_set(folder: Path, images: list[Labelled], classes: tuple[str, ...]) -> Dataset:
    """Images with one COCO file of outlines; its masks are held against what was written."""
    (folder / "images").mkdir(parents=True)
    gather = FORMATS["coco"].gather
    assert gather is not None
    with gather(folder / "outlines.json", "objects") as add:
        for name, grey, mask, objects in images:
            Image.fromarray(grey).save(folder / "images" / f"{name}.png")
            add(SegmentedImage(name, mask, partial(np.asarray, objects), classes, f"{name}.png"))
    dataset = open_dataset(folder)
    written = {name: mask for name, _, mask, _ in images}
    assert all(np.array_equal(s.read_mask().labels, written[s.id]) for s in dataset.samples)
    return dataset


def lost_in_exports(dataset: Dataset, model: AnyModel, folder: Path) -> Mapping[str, int]:
    """Pixels whose class or object differs after each export and back, over all images; and ties."""
    lost = dict.fromkeys(("geojson", "coco", "imagej-roi"), 0) | {"objects": 0, "ties": 0}
    for number, result in enumerate(segment_samples(dataset.samples, model)):
        name = result.sample.id
        image = SegmentedImage(
            name, result.mask, partial(np.asarray, result.objects), tuple(model.classes), f"{name}.png"
        )
        lost["objects"] += len(list(image.found()))
        lost["ties"] += 0 if result.read_off is None else len(result.read_off.ties)
        for kind in ("geojson", "coco", "imagej-roi"):
            place = folder / f"{number}-{kind}"
            place.mkdir(parents=True)
            Image.fromarray(np.zeros(result.mask.shape, np.uint8)).save(place / f"{name}.png")
            entry = FORMATS[kind]
            path = place / f"{name}{entry.suffix}"
            if entry.gather is not None:
                with entry.gather(path, "objects") as add:
                    add(image)
            elif entry.write is not None:
                entry.write(path, image, "objects")
            if not result.mask.any():
                continue
            back = open_dataset(place).samples[0].read_mask()
            assert back.objects is not None
            differ = (back.labels != result.mask) | ((back.objects > 0) != (result.objects > 0))
            order = np.unique(result.objects[result.objects > 0])
            differ |= back.objects != np.where(
                result.objects > 0, np.searchsorted(order, result.objects) + 1, 0
            )
            lost[kind] += int(differ.sum())
    return lost


def show(title: str, way: str, overall: Mapping[str, Any]) -> None:
    """A line a class."""
    for name, values in overall["per_class"].items():
        cells = [f"{values[key]:.3f}" if values[key] is not None else "" for key in SCORED]
        iou = f"{values['pooled_iou']:.3f}" if values["pooled_iou"] is not None else ""
        print(f"| {title} | {WAYS[way]} | {name} | {iou} | {' | '.join(cells)} |", flush=True)


def main() -> int:
    """Train, score and print a table in Markdown."""
    minutes = float(sys.argv[3]) if len(sys.argv) > 3 else 5
    count = int(sys.argv[4]) if len(sys.argv) > 4 else 60
    nuclei, vnc = Path(sys.argv[1]), Path(sys.argv[2])
    sets: dict[str, tuple[tuple[str, ...], Callable[[], Iterator[Labelled]], list[str]]] = {
        "nuclei by size": (("small", "large"), lambda: by_size(nuclei, count), DISTANCE),
        "dark beside bright": (("bright", "dark"), lambda: dark_beside_bright(nuclei, count), DISTANCE),
        "organelles": (("mitochondrion", "synapse"), lambda: organelles(vnc), [*TUNED, *LITE0]),
    }
    print("| images | class of | class | pooled IoU | F1 at 0.5 | AP | PQ |\n| --- |" + " --- |" * 6)
    notes = []
    with tempfile.TemporaryDirectory() as place:
        for title, (classes, make, how) in sets.items():
            folder = Path(place) / title.replace(" ", "-")
            dataset = write_set(folder, list(make()), classes)
            ids = [sample.id for sample in dataset.samples]
            first = len(ids) - -(-len(ids) // 4)
            held, chosen = ids[first:], ids[first - max(3, len(ids) // 10) : first]
            split = Split(tuple(i for i in ids if i not in {*held, *chosen}), tuple(chosen), tuple(held))
            changes = [f"training.minutes={minutes}", *how]
            run_inline(TrainTask(folder, folder / "model", recipe("fast", changes), split=split))
            model = load_any(folder / "model", default_precision())
            unseen = dataset.subset(held)
            for way in WAYS:
                show(title, way, scores(unseen, model, class_of=way))
            lost = lost_in_exports(unseen, model, folder / "exports")
            apart = ", ".join(f"{kind} {lost[kind]}" for kind in ("geojson", "coco", "imagej-roi"))
            notes.append(
                f"{title}: {len(split.train)} images to train on, {len(held)} held out, "
                f"{lost['objects']} objects found, {lost['ties']} ties; "
                f"pixels that differ after an export and back: {apart}"
            )
    print("", *notes, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
