"""Make the models that come with the program: `nuclei`, `nerve-and-vessel` and `membranes-3d`.

    python benchmarks/make_shipped_models.py nuclei --data DSB2018 --work DIR --out FOLDER
    python benchmarks/make_shipped_models.py nerve-and-vessel --data USGRA_SEG --work DIR --out FOLDER
    python benchmarks/make_shipped_models.py membranes-3d --data FIB_MEDULLA --work DIR --out FOLDER

DSB2018 is stage1_train of the 2018 Data Science Bowl (BBBC038, CC0), USGRA_SEG the folder with images/ and
masks/ of usgra-seg (CC-BY 4.0), FIB_MEDULLA that with images/, masks/ and bodies/ of fib-medulla (CC-BY). A
run that was stopped resumes. The split is drawn by kind of image, or by blocks of slices, and written before
anything is trained. Threshold, least depth and smallest size, or join, are chosen on validation images;
held-out images are scored in the end and decide nothing.

`--init` starts from the weights of an earlier run: the split is drawn by the same seed, so what is held out
stays so. FOLDER becomes a model with its card, weights in half precision. `--now` makes it of a training
that is still under way.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from add_likeness import SIZES, likeness_of
from napari_unet.cli.shared.running import epoch_line, run_task, start_backend
from napari_unet.data.catalog import open_dataset
from napari_unet.data.split import Split
from napari_unet.data.volumes.volume_split import make_volume_split
from napari_unet.models.image_statistics import describe_image, kind_of, summarize_statistics
from napari_unet.models.likeness import KEY
from napari_unet.models.normalization import resize
from napari_unet.progress import CancelToken, ignore_progress
from napari_unet.workflow.train.recipes import recipe
from shipped_cards import ABOUT, CLASSES, FLIPS, card_text

if TYPE_CHECKING:
    from napari_unet.data.dataset import Dataset
    from napari_unet.models.model import Model
    from napari_unet.settings import Recipe
    from napari_unet.workflow.train.train_task import TrainTask

SEED = 8
HELD_OUT, VALIDATION = 0.15, 0.10  # of every kind of image
BRIGHT = 0.4  # of the range: mean from which an image counts as bright field

SETTINGS = {
    "nuclei": (
        "network.name=encoder_unet", "encoder=EfficientNetLite0", "filters=16", "depth=4",
        "separation=distance", "training.scale=1.0", "channels=grey", "intensities=robust", "patch=160",
        "batch_size=6", "steps_per_epoch=150", "megapixels=900", "learning_rate=1.5e-3", "averaging=0.998",
        "foreground_patches=0.5", "training.seed=8", "rotation=180", "augmentation.scale=2.0",
        "warp_probability=0.8", "brightness=0.4", "contrast=0.4", "gamma=0.6", "shading=0.5", "blur=2.0",
        "noise=0.4", "invert=0.25", "find_scale=true",
    ),
    "nerve-and-vessel": (
        "network.name=encoder_unet", "encoder=EfficientNetLite0", "filters=16", "depth=5",
        "training.scale=0.5", "channels=grey", "intensities=robust", "patch=256", "batch_size=4",
        "steps_per_epoch=100", "megapixels=350", "learning_rate=7e-4", "weight_decay=1e-3",
        "averaging=0.998", "foreground_patches=0.5", "dropout=0.4", "training.seed=8", "rotation=30",
        "augmentation.scale=0.4", "warp_probability=0.9", "elastic=6", "brightness=0.4", "contrast=0.4",
        "gamma=0.5", "shading=0.5", "blur=1.0", "noise=0.3",
    ),
    "membranes-3d": (
        "dimensions=2.5d", "slices=7", "network.name=encoder_unet", "encoder=EfficientNetLite0", "filters=16",
        "depth=4", "megapixels=420", "training.seed=8", "symmetry=dihedral", "objects=agglomerate",
        "orthogonal=true",
    ),
}  # fmt: skip
VOLUMES = {"membranes-3d"}  # of which cells are scored in three dimensions


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


def first_split(name: str, dataset: Dataset) -> Split:
    """The split of a model before it is trained."""
    if name not in VOLUMES:
        return split_by_kind(dataset)
    return make_volume_split(
        dataset, validation=VALIDATION, held_out=VALIDATION, seed=0, coverage=None,
        on_progress=ignore_progress, cancel=CancelToken(),
    )  # fmt: skip


def settings_of(name: str, changes: list[str]) -> Recipe:
    """The recipe of a shipped model."""
    return recipe("fast", [*SETTINGS[name], *changes]).model_copy(update={"name": name})


def trained(task: TrainTask, dataset: Dataset, now: bool) -> Model:
    """The model of a training: to its end, or with the best weights that it has now."""
    from napari_unet.models.model import Model, load_model
    from napari_unet.models.model_folder import SETTINGS_FILE, STATE_FILE
    from napari_unet.models.normalization import Normalization
    from napari_unet.networks.registry import build_network
    from napari_unet.training.checkpoint import load_state
    from napari_unet.workflow.train.dataset_scan import DatasetScan
    from napari_unet.workflow.train.recipes import fit_recipe
    from napari_unet.workflow.train.trained_from import provenance_of

    if not now:
        if not (task.out / SETTINGS_FILE).exists() or (task.out / STATE_FILE).exists():
            run_task(task)
        return load_model(task.out)
    assert isinstance(task.split, Path)
    split = Split.load(task.split)
    state = load_state(task.out / STATE_FILE)
    chosen = fit_recipe(task.recipe, dataset.subset(split.train))
    network = build_network(chosen.network, chosen.training.seed)
    network.set_weights(state.best)
    training = chosen.training
    normalization = Normalization(
        channels=chosen.network.input_channels, intensities=training.intensities, scale=training.scale
    )
    scan = DatasetScan(dataset)
    about = provenance_of(scan, split, normalization, state.best_score, state.step, state.seconds)
    return Model(chosen, normalization, dataset.classes, network, about)


def looks_of(dataset: Dataset) -> list[dict[str, Any]]:
    """Looks of the training images, at half and double size too, as the network bears them."""
    looks = []
    for sample in dataset.samples:
        image = sample.read_image()[..., :3]
        for factor in (0.5, 1.0, 2.0):
            shape = tuple(round(n * factor) for n in image.shape[:2])
            look = describe_image(resize(image, shape))
            looks.append((kind_of(look), look))
    return summarize_statistics(looks)


def finish(name: str, model: Model, dataset: Dataset, data: Path, out: Path) -> None:
    """Choose the last settings on validation images; write the model, its scores, its card."""
    from napari_unet.models.model import load_model, save_model
    from napari_unet.workflow.train.tune_threshold import tune_threshold
    from score_shipped import cell_figures, choose_cells, evaluate, figures, held_out

    plain = model.recipe.inference.model_copy(update={"flips": FLIPS[name]})
    model.recipe = model.recipe.model_copy(update={"inference": plain})
    if name in VOLUMES:
        settings, chosen_by = choose_cells(model, dataset, data)
    else:
        tuned = tune_threshold(model, dataset.subset(model.provenance["split"]["validation"]))
        settings, chosen_by = tuned.settings, tuned.to_json()
    model.recipe = model.recipe.model_copy(update={"inference": settings})
    model.classes = CLASSES[name]
    model.provenance["looks"] = looks_of(dataset.subset(model.provenance["split"]["train"]))
    split = Split.from_json(model.provenance["split"], "split")
    likeness = likeness_of(dataset, split, model.normalization, SIZES)
    if likeness is not None:  # one volume is too few to say what is unlike it
        model.provenance[KEY] = likeness.to_json()
    model.provenance["about"] = {**ABOUT[name], "scores": {}}
    model.provenance["data"].pop("path", None)  # of the machine that it was trained on
    save_model(model, out, half=True)
    written = load_model(out)
    found = figures(evaluate(written, held_out(written, dataset)))
    if name in VOLUMES:
        found |= cell_figures(written, dataset, data)
    scores = {"held_out": found, "chosen_by": chosen_by}
    written.provenance["about"]["scores"] = scores
    save_model(written, out, half=True)
    (out / "card.md").write_text(card_text(written), encoding="utf-8")
    print(json.dumps(scores, indent=1))


def main() -> int:
    """Train, or continue training, and write the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("name", choices=sorted(SETTINGS))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder of the training")
    parser.add_argument("--out", type=Path, help="folder of the model; without it nothing but training")
    parser.add_argument("--now", action="store_true", help="take what the training has come to")
    parser.add_argument("--init", type=Path, help="a model with the same settings to start from")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings, changed")
    options = parser.parse_args()
    start_backend()
    from napari_unet.models.model_folder import SETTINGS_FILE
    from napari_unet.workflow.train.train_task import TrainTask

    dataset = open_dataset(options.data)
    split = options.work / "split.json"
    if not split.exists():
        first_split(options.name, dataset).save(split)
    task = TrainTask(
        options.data,
        options.work / "training",
        settings_of(options.name, options.set),
        split=split,
        resume=True,
        on_epoch=epoch_line,
        init=options.init,
    )
    model = trained(task, dataset, options.now and not (task.out / SETTINGS_FILE).exists())
    if options.out is not None:
        finish(options.name, model, dataset, options.data, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
