"""Training: a data set and a recipe become a model."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet import __version__
from napari_unet.atomic import check_model, write_text
from napari_unet.data.catalog import open_dataset
from napari_unet.data.files.channels import common_channels
from napari_unet.data.image_hash import image_hash
from napari_unet.data.resemblance import fingerprint
from napari_unet.data.split import Split, coverages, make_split
from napari_unet.engine.devices import data_parallel
from napari_unet.errors import DataError, ModelError, OutputError, TrainingError
from napari_unet.evaluation.leakage import trained_on_before
from napari_unet.inference.postprocess import mask_from_probabilities
from napari_unet.inference.predict import predict_probabilities
from napari_unet.metrics.overlap import count_overlap, image_score
from napari_unet.models.look import kind_of, measure_look, summarize_looks
from napari_unet.models.model import (
    METRICS_FILE,
    SPLIT_FILE,
    STATE_FILE,
    Model,
    check_place,
    load_model,
    save_model,
)
from napari_unet.models.normalization import Normalization, measure_intensities
from napari_unet.networks.registry import architecture, build_network, input_sizes
from napari_unet.networks.transfer import freeze_encoder, related, take_over, use_pretrained
from napari_unet.training.batches import TrainingBatches, prepare_sample
from napari_unet.training.checkpoint import load_state, save_state
from napari_unet.training.fit import Training
from napari_unet.training.learner import learner_for
from napari_unet.training.losses import make_loss
from napari_unet.training.weight_maps import class_weights
from napari_unet.workflow.inputs.labelled_images import GivenData
from napari_unet.workflow.inputs.left_out import sound_part
from napari_unet.workflow.train.recipes import fit_recipe, recipe
from napari_unet.workflow.train.tune_threshold import Tuned, tune

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import Sample
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.settings import Recipe, TrainingSettings
    from napari_unet.training.augmentation import Patch
    from napari_unet.workflow.inputs.left_out import LeftOut

MAX_VALIDATION_IMAGES = 64  # scored after an epoch
MOST_TO_TUNE = 400  # images by which a threshold is chosen
MOST_LOOKED_AT = 400  # images whose looks are kept
# Settings that came later: as they are by themselves they change nothing, so that older states go on.
ADDED = (
    ("network", "presence", False),
    ("training", "side", 0),
    ("training", "restarts", 2),
    ("inference", "least_presence", 0.0),
)
# Tiles decide no weights: states of any are gone on with, and these are what older ones were written with.
TILES = {"tile": 512, "overlap": 64}
GROUPS_TO_TUNE = 3  # a threshold that suits one or two groups may suit no other

OnEpoch = Callable[[dict[str, float]], None]


@dataclass(frozen=True)
class TrainTask:
    """Train a model on a data set.

    Attributes
    ----------
    data : pathlib.Path or GivenData
        Folder, zip or table; or images that only the caller has.
    out : pathlib.Path
        Folder of the model; holds split.json and metrics.csv beside it, and the state until done.
    recipe : Recipe
        Settings, possibly automatic.
    format : str, optional
        Layout of the data, if it is not to be recognized.
    split : pathlib.Path or Split, optional
        A split to use; drawn if not given.
    init : pathlib.Path, optional
        A model to start from.
    resume : bool
        Go on with a run that was stopped or killed.
    on_epoch : callable, optional
        Takes a row of the metrics after each epoch.
    on_look : callable, optional
        Takes the model and its score after each validation, with the averaged weights in place.
    stop : callable, optional
        () -> whether to stop now and keep the best.
    devices : tuple of str
        That share each batch, see ``data_parallel``.
    parent : str
        What the new model says that it started from; empty: `init`.
    overwrite : bool
        Whether a model, or a training that was begun, may be replaced.
    """

    data: Path | GivenData
    out: Path
    recipe: Recipe = field(default_factory=lambda: recipe("fast"))
    format: str | None = None
    split: Path | Split | None = None
    init: Path | None = None
    resume: bool = False
    on_epoch: OnEpoch | None = None
    on_look: Callable[[Model, float], None] | None = None
    stop: Callable[[], bool] | None = None
    devices: tuple[str, ...] = ()
    parent: str = ""
    overwrite: bool = False

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Model:
        """Train and write the model.

        Raises
        ------
        OutputError
            If it cannot be written there.
        DataError
            If the data cannot be read, or no image has a mask.
        SettingsError
            If settings and network do not go together.
        TrainingError
            If all masks are empty, a training cannot be resumed, or the loss is not a number any more.
        Cancelled
            When the person stopped it; it can be resumed.
        """
        check_place(self.out)
        if self.out.suffix.lower() == ".zip":
            raise OutputError(
                f"training writes a folder, and {self.out} looks like an archive",
                code="output.name.archive",
                remedy="give a name without .zip; zip the folder when it is done, it is read as well",
            )
        self._check_new()
        dataset, left = sound_part(open_training_data(self.data, self.format), on_progress, cancel)
        kept = self.out / SPLIT_FILE
        given = Split.load(kept) if self.resume and kept.exists() and self.split is None else self.split
        split = split_for(self.data, dataset, self.recipe.training, given, on_progress, cancel)
        split = split.without(item.id for item in left)
        chosen = fit_recipe(self.recipe, dataset.subset(split.train))
        run = _Run(self, dataset, split, chosen, on_progress, cancel, left)
        with data_parallel(self.devices) as shares:
            return run.train(shares)

    def _check_new(self) -> None:
        """Refuse to replace a model, or a training that can be resumed."""
        begun = (self.out / STATE_FILE).exists()
        if not (begun and self.resume):
            or_else = "go on with --resume" if begun else ""
            check_model(self.out, overwrite=self.overwrite, or_else=or_else, begun=begun)


def open_training_data(data: Path | GivenData, format: str | None) -> Dataset:
    """Open what is to be trained on.

    Raises
    ------
    DataError
        If it cannot be read, or there is no image with a mask.
    """
    dataset = data.open() if isinstance(data, GivenData) else open_dataset(data, format)
    if len(dataset) == 0:
        name = data.name if isinstance(data, GivenData) else data
        raise DataError(
            f"{name} has no image with a mask",
            code="data.masks.missing",
            remedy="check it with `napari-unet inspect`",
        )
    return dataset


def split_for(
    data: Path | GivenData,
    dataset: Dataset,
    settings: TrainingSettings,
    given: Path | Split | None,
    on_progress: OnProgress,
    cancel: CancelToken,
) -> Split:
    """The split to train with: the one given, that of the data, or a new one; errors as ``make_split``."""
    if isinstance(given, Split):
        return given
    if given is not None:
        return Split.load(given)
    if isinstance(data, GivenData) and data.split is not None:
        return data.split
    return make_split(
        dataset,
        validation=settings.validation,
        held_out=settings.held_out,
        seed=settings.seed,
        by_group=settings.split_by_group,
        coverage=coverages(dataset, on_progress, cancel),
    )


@dataclass
class _Run:
    """One training, its parts put together."""

    task: TrainTask
    dataset: Dataset
    split: Split
    recipe: Recipe
    on_progress: OnProgress
    cancel: CancelToken
    left_out: tuple[LeftOut, ...] = ()

    def train(self, shares: int = 1) -> Model:
        training, out = self.recipe.training, self.task.out
        train = self.dataset.subset(self.split.train)
        check_foreground(train)
        normalization = self._normalization(train)
        sizes = input_sizes(self.recipe.network)
        classes = self.recipe.network.classes
        weights = self._class_weights(train) if training.balance_classes else None
        separation = self.recipe.network.separation
        batches = TrainingBatches(
            train, normalization, training, sizes, classes, weights, separation, shares=shares
        )
        network = build_network(self.recipe.network, training.seed, training.precision)
        model = Model(self.recipe, normalization, self.dataset.classes, network)
        if self.task.init is not None:
            parent = start_from(model, self.task.init)
            included = dict(parent.get("pretrained") or {})
        elif published := use_pretrained(network, self.recipe.network, training.pretrained):
            included = asdict(published)
        else:
            included = {}
        freeze_encoder(network, training.frozen)
        state_file = out / STATE_FILE
        fingerprint = self._fingerprint()
        content = self._content()
        state = None
        if self.task.resume and state_file.exists():
            state = load_state(state_file, fingerprint, content)
        self.split.save(out / SPLIT_FILE)
        judging = self.dataset.subset(evenly(self.split.validation, MOST_TO_TUNE))
        held = self.dataset.subset(evenly(self.split.validation, MAX_VALIDATION_IMAGES))
        validation = self._validation(model, held) if len(held) else None
        learner, told = learner_for(network, self.recipe.network)
        run = Training(
            network,
            batches,
            make_loss(self.recipe.network, training),
            training,
            learner,
            told,
            validate=None if validation is None else partial(self._validate, model, validation),
            save=partial(save_state, path=state_file, fingerprint=fingerprint, content=content),
            on_epoch=self._log_epoch,
            stop=self.task.stop,
            on_progress=self.on_progress,
            cancel=self.cancel,
        )
        self._history: list[dict[str, float]] = list(state.history) if state else []
        finished = run.run(state)
        tuned: Tuned | None = None
        groups = {self.split.groups.get(s.id, s.id) for s in judging.samples}
        if training.tune_threshold and validation is not None and len(groups) >= GROUPS_TO_TUNE:
            tuned = tune(model, judging, self.cancel, self.on_progress)
            model.recipe = self.recipe.model_copy(update={"inference": tuned.settings})
        model.provenance = provenance_of(
            self.dataset,
            self.split,
            finished.best_score,
            finished.step,
            finished.seconds,
            self.task.parent or str(self.task.init or ""),
        )
        if self.task.init is not None:
            model.provenance["seen_before"] = trained_on_before(parent)
            if not parent.get("image_hashes") or parent.get("seen_not_known"):
                model.provenance["seen_not_known"] = True
        if included:
            model.provenance["pretrained"] = included
        if self.left_out:
            model.provenance["left_out"] = [list(item.entry) for item in self.left_out]
        if finished.averaged:
            model.provenance["averaged_snapshots"] = finished.averaged
        if tuned is not None:
            model.provenance["tuned"] = tuned.to_json()
        save_model(model, out)
        state_file.unlink(missing_ok=True)
        return model

    def _validate(self, model: Model, validation: Validation) -> float:
        score = validation()
        if self.task.on_look is not None:
            self.task.on_look(model, score)
        return score

    def _log_epoch(self, row: dict[str, float]) -> None:
        self._history.append(row)
        columns = ["epoch", "step", "seconds", "loss", "validation_iou", "learning_rate", "megapixels"]
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for entry in self._history:
            writer.writerow({k: "" if math.isnan(v) else f"{v:.6g}" for k, v in entry.items()})
        write_text(self.task.out / METRICS_FILE, text.getvalue())
        if self.task.on_epoch is not None:
            self.task.on_epoch(row)

    def _normalization(self, train: Dataset) -> Normalization:
        training, channels = self.recipe.training, self.recipe.network.input_channels
        mean: tuple[float, ...] = ()
        deviation: tuple[float, ...] = ()
        if training.intensities == "dataset":
            mean, deviation = measure_intensities((train.image(s) for s in train.samples), channels)
        return Normalization(
            channels=channels,
            intensities=training.intensities,
            mean=mean,
            deviation=deviation,
            scale=training.scale,
            channel_names=common_channels(train.samples, channels),
        )

    def _class_weights(self, train: Dataset) -> NDArray[np.float32]:
        counts = np.zeros(self.recipe.network.classes + 1, np.int64)
        for sample in train.samples:
            mask = train.mask(sample)
            labels = mask.labels if mask.weights is None else mask.labels[mask.weights > 0]
            counts += np.bincount(labels.ravel(), minlength=len(counts))
        return class_weights(counts)

    def _validation(self, model: Model, held: Dataset) -> Validation:
        """For scores at the network's own resolution, without flips."""
        plain = self.recipe.training.model_copy(update={"border_weight": 0.0})
        prepared = [prepare_sample(held, s, model.normalization, plain).whole for s in held.samples]
        return Validation(model, prepared, self.cancel)

    def _content(self) -> str:
        """Changes when other pixels or masks are under the names that are trained on."""
        digest = hashlib.sha256()
        wanted = {*self.split.train, *self.split.validation}
        for sample in self.dataset.samples:
            if sample.id in wanted:
                mask = self.dataset.mask(sample)
                parts = (mask.labels, mask.objects, mask.weights)
                pieces = [image_hash(self.dataset.image(sample))]
                pieces += [hashlib.sha256(p.tobytes()).hexdigest() for p in parts if p is not None]
                digest.update(f"{sample.id}\0{' '.join(pieces)}\n".encode("utf-8", "replace"))
        return digest.hexdigest()

    def _fingerprint(self) -> str:
        """Changes whenever going on with an older state would mix two trainings."""
        settings = self.recipe.model_dump(mode="json")
        for free in ("megapixels", "epochs", "minutes", "patience"):
            settings["training"].pop(free)
        settings["inference"] |= TILES
        for room, name, default in ADDED:
            if settings[room][name] == default:
                settings[room].pop(name)
        text = json.dumps([settings, self.split.to_json()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def evenly(ids: tuple[str, ...], most: int) -> tuple[str, ...]:
    """At most so many of a part's images, from all of it: those of one group stand side by side."""
    if len(ids) <= most:
        return ids
    return tuple(ids[n * len(ids) // most] for n in range(most))


def provenance_of(
    dataset: Dataset, split: Split, score: float, steps: int, seconds: float, parent: str = ""
) -> dict[str, Any]:
    """What a model says of where it came from.

    Parameters
    ----------
    dataset : Dataset
        All of it; every image is read.
    split : Split
        That it was trained with.
    score : float
        Validation IoU; negative if there is none.
    steps, seconds
        Of training.
    parent : str
        The model whose weights it started from.

    Returns
    -------
    dict
        JSON throughout.
    """
    import keras

    images, prints, looks = {}, {}, []
    looked_at = set(split.train[:MOST_LOOKED_AT])
    for sample in dataset.samples:
        image = dataset.image(sample)
        images[sample.id], prints[sample.id] = image_hash(image), fingerprint(image)
        if sample.id in looked_at:
            looks.append(measure_look(image))
    digest = hashlib.sha256("".join(sorted(images.values())).encode()).hexdigest()
    return {
        "program": f"napari-unet-workbench {__version__}",
        "keras": f"{keras.__version__} on {keras.backend.backend()}",
        "data": {
            "name": dataset.name,
            "format": dataset.format,
            "images": len(dataset),
            "sha256": digest,
            "licence": dataset.licence,
            "citation": dataset.citation,
            **({"masks_are": dataset.masks_are} if dataset.masks_are else {}),
        },
        "split": split.to_json(),
        "image_hashes": images,
        "fingerprints": prints,
        "looks": summarize_looks((kind_of(look), look) for look in looks),
        "parent": parent,
        "scores": {"validation_iou": score} if score >= 0 else {},
        "steps": steps,
        "seconds": round(seconds, 1),
    }


@dataclass(frozen=True)
class Validation:
    """Images that the network does not train on, on which its weights are chosen.

    Attributes
    ----------
    model : Model
        In training.
    patches : list of Patch
        Whole images with labels and weights, at the network's resolution.
    cancel : CancelToken
        Asked before every batch.
    """

    model: Model
    patches: list[Patch]
    cancel: CancelToken

    def __call__(self) -> float:
        """Mean IoU at the model's threshold."""
        settings = self.model.recipe.inference.model_copy(update={"flips": "none"})
        activation = self.model.recipe.network.activation
        results = predict_probabilities(
            (p.image for p in self.patches), self.model.probabilities, self.model.sizes, settings, self.cancel
        )
        scores = []
        for patch, probabilities in zip(self.patches, results, strict=True):
            mask = mask_from_probabilities(probabilities, settings.threshold, activation=activation)
            counted = count_overlap(patch.labels, mask, len(self.model.classes), patch.weights)
            scores.append(image_score(counted.iou(), counted))
        return float(np.mean(scores))


def check_foreground(train: Dataset) -> None:
    """Refuse training images whose masks are all empty.

    Raises
    ------
    TrainingError
        If there is nothing to learn.
    """

    def has_foreground(sample: Sample) -> bool:
        return bool(train.mask(sample).labels.any())

    if not any(map(has_foreground, train.samples)):
        raise TrainingError(
            "no mask of the training images has any foreground",
            code="training.masks.empty",
            expected="at least one pixel that is not background",
            remedy="check the masks with `napari-unet inspect`",
        )


def start_from(model: Model, path: Path) -> dict[str, Any]:
    """Give a new model the weights of an older one.

    Its network must be the same, or one of the same family: FCN-16s starts from FCN-32s, FCN-8s from either.

    Returns
    -------
    dict
        Provenance of the older one.

    Raises
    ------
    ModelError
        If their networks differ.
    """
    parent = load_model(path)
    ours, theirs = model.recipe.network, parent.recipe.network
    differences = [n for n in architecture(ours.name).differing(ours, theirs) if n != "dropout"]
    if not differences:
        model.network.set_weights(parent.network.get_weights())
    elif related(ours, theirs):
        take_over(model.network, parent.network)
    else:
        raise ModelError(
            f"the network of {path} is not the one to be trained",
            code="model.network.different",
            expected=", ".join(f"{n} {getattr(ours, n)}" for n in differences),
            got=", ".join(f"{n} {getattr(theirs, n)}" for n in differences),
            remedy="change the settings with --set, or train without --init",
        )
    return parent.provenance
