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
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.atomic import check_model, write_text
from napari_unet.engine.devices import data_parallel
from napari_unet.errors import OutputError
from napari_unet.evaluation.leakage import trained_on_before
from napari_unet.metrics.object_confidence import KEY as CONFIDENCE
from napari_unet.models.model import Model, save_model
from napari_unet.models.model_folder import METRICS_FILE, SPLIT_FILE, STATE_FILE, check_place
from napari_unet.models.rehearsal import write_rehearsal
from napari_unet.models.volumes.normalized_volume import normalization_of_slices
from napari_unet.networks.registry import build_network, input_sizes
from napari_unet.networks.transfer import freeze_encoder, use_pretrained
from napari_unet.training.checkpoint import load_state, save_state
from napari_unet.training.feeding.slices_seen import network_anisotropy, whole_patches
from napari_unet.training.feeding.volume_batches import depth_of_patch
from napari_unet.training.feeding.weight_maps import class_weights
from napari_unet.training.fit import Training
from napari_unet.training.learner import learner_for
from napari_unet.training.losses import make_loss
from napari_unet.workflow.train.choose_rehearsal import choose_rehearsal, choose_volume_rehearsal
from napari_unet.workflow.train.fit_object_confidence import fit_object_confidence
from napari_unet.workflow.train.recipes import recipe
from napari_unet.workflow.train.trained_from import provenance_of, start_from
from napari_unet.workflow.train.training_data import prepare_training
from napari_unet.workflow.train.tune_threshold import TunedThreshold, tune_threshold
from napari_unet.workflow.train.validation import Validation

if TYPE_CHECKING:
    from napari_unet.data.dataset import Dataset
    from napari_unet.data.split import Split
    from napari_unet.models.normalization import Normalization
    from napari_unet.models.rehearsal import Rehearsal
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.settings import Recipe
    from napari_unet.workflow.inputs.labelled_images import GivenData
    from napari_unet.workflow.train.training_data import TrainingData

MAX_VALIDATION_IMAGES = 64  # scored after an epoch
MOST_TO_TUNE = 400  # images by which a threshold is chosen


# Settings that came later: as they are by themselves they change nothing, so that older states continue.
ADDED = (
    ("network", "presence", False),
    ("network", "dimensions", "2d"),
    ("network", "slices", 0),
    ("network", "flat_levels", 0),
    ("training", "patch_depth", 0),
    ("training", "voxel_size", ""),
    ("training", "side", 0),
    ("training", "restarts", 2),
    ("training", "augmentation", "shading", 0.0),
    ("training", "augmentation", "blur", 0.0),
    ("inference", "least_presence", 0.0),
    ("inference", "least_depth", 0.0),
    ("inference", "class_of", "auto"),
    ("inference", "find_scale", False),
    ("inference", "join", 0.6),
    ("inference", "orthogonal", False),
)
# Tiles decide no weights: states of any are resumed, and these are what older ones were written with.
TILES = {"tile": 512, "overlap": 64}
FORMER_ENCODER = "MobileNetV2"  # the default when states were first written; other networks have none
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
        Folder of the model; also holds split.json and metrics.csv, and the state until done.
    recipe : Recipe
        Settings, possibly automatic.
    format : str, optional
        Layout of the data, if it is not to be recognized.
    split : pathlib.Path or Split, optional
        A split to use; drawn if not given.
    init : pathlib.Path, optional
        A model to start from.
    resume : bool
        Resume a run that was stopped or killed.
    on_epoch : callable, optional
        Takes a row of the metrics after each epoch.
    on_validation : callable, optional
        Takes the model and its score after each validation, with the averaged weights in place.
    stop : callable, optional
        () -> whether to stop now and keep the best.
    devices : tuple of str
        That share each batch, see ``data_parallel``.
    parent : str
        What the new model says that it started from; empty: `init`.
    overwrite : bool
        Whether a model, or a training that was begun, may be replaced.
    rehearsal : int
        Crops of the training images to put into the model, for fine-tuning it later; 0: none.
    """

    data: Path | GivenData
    out: Path
    recipe: Recipe = field(default_factory=lambda: recipe("fast"))
    format: str | None = None
    split: Path | Split | None = None
    init: Path | None = None
    resume: bool = False
    on_epoch: OnEpoch | None = None
    on_validation: Callable[[Model, float], None] | None = None
    stop: Callable[[], bool] | None = None
    devices: tuple[str, ...] = ()
    parent: str = ""
    overwrite: bool = False
    rehearsal: int = 0

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
        own_split = self.out / SPLIT_FILE
        given = own_split if self.resume and own_split.exists() and self.split is None else self.split
        data = prepare_training(self.data, self.format, self.recipe, given, on_progress, cancel)
        run = _Training(self, data, on_progress, cancel)
        with data_parallel(self.devices) as shares:
            return run.train(shares)

    def _check_new(self) -> None:
        """Refuse to replace a model, or a training that can be resumed."""
        begun = (self.out / STATE_FILE).exists()
        if not (begun and self.resume):
            or_else = "resume with --resume" if begun else ""
            check_model(self.out, overwrite=self.overwrite, or_else=or_else, begun=begun)


@dataclass
class _Training:
    """One training, its parts put together."""

    task: TrainTask
    data: TrainingData
    on_progress: OnProgress
    cancel: CancelToken

    def train(self, shares: int = 1) -> Model:
        data, recipe, split, out = self.data, self.data.recipe, self.data.split, self.task.out
        training, facts = recipe.training, data.facts
        data.check_foreground()
        normalization = data.normalization()
        weights = None
        if training.balance_classes:
            pixels = sum((one.pixels for one in facts), np.zeros(256, np.int64))
            weights = class_weights(pixels[: recipe.network.classes + 1])
        batches = data.batches(weights, shares)
        network = build_network(recipe.network, training.seed, training.precision)
        model = Model(recipe, normalization, data.dataset.classes, network)
        origin = self._start_weights(model)
        freeze_encoder(network, training.frozen)
        state_file = out / STATE_FILE
        fingerprint = training_fingerprint(recipe, split)
        content = self._content()
        state = None
        if self.task.resume and state_file.exists():
            state = load_state(state_file, fingerprint, content)
        split.save(out / SPLIT_FILE)
        judging = data.dataset.subset(evenly(split.validation, MOST_TO_TUNE))
        chosen = split.validation
        if recipe.network.in_3d:  # slices that lie one behind another
            chosen = chosen[:MAX_VALIDATION_IMAGES]
        held = data.dataset.subset(evenly(chosen, MAX_VALIDATION_IMAGES))
        validation = self._validation(model, held) if len(held) else None
        learner, prepare_batch = learner_for(network, recipe.network)
        run = Training(
            network,
            batches,
            make_loss(recipe.network, training),
            training,
            learner,
            prepare_batch,
            validate=None if validation is None else partial(self._validate, model, validation),
            validation_pixels=0 if validation is None else validation.pixels,
            save=partial(save_state, path=state_file, fingerprint=fingerprint, content=content),
            on_epoch=self._log_epoch,
            stop=self.task.stop,
            weights_changed=model.weights_changed,
            on_progress=self.on_progress,
            cancel=self.cancel,
        )
        self._history: list[dict[str, float]] = list(state.history) if state else []
        finished = run.run(state)
        tuned: TunedThreshold | None = None
        groups = {split.groups.get(s.id, s.id) for s in judging.samples}
        if training.tune_threshold and validation is not None and len(groups) >= GROUPS_TO_TUNE:
            tuned = tune_threshold(model, judging, self.cancel, self.on_progress)
            model.recipe = recipe.model_copy(update={"inference": tuned.settings})
        model.provenance = provenance_of(
            data.scan,
            split,
            normalization,
            finished.best_score,
            finished.step,
            finished.seconds,
            self.task.parent or str(self.task.init or ""),
        )
        model.provenance |= origin
        if data.left_out:
            model.provenance["left_out"] = [list(item.entry) for item in data.left_out]
        if finished.averaged:
            model.provenance["averaged_snapshots"] = finished.averaged
        if tuned is not None:
            model.provenance["tuned"] = tuned.to_json()
        confidence = fit_object_confidence(model, judging, self.cancel, self.on_progress)
        if confidence is not None:
            model.provenance[CONFIDENCE] = confidence.to_json()
        if isinstance(self.task.data, Path):
            # Where to look for what can be replayed when the model is fine-tuned.
            model.provenance["data"]["path"] = str(self.task.data.resolve())
        save_model(model, out)
        carried = None
        if self.task.rehearsal > 0:
            carried = self._rehearsal(data, normalization)
        write_rehearsal(out, carried)
        state_file.unlink(missing_ok=True)
        return model

    def _start_weights(self, model: Model) -> dict[str, Any]:
        """Give a network the weights that it starts with; what its provenance says of them."""
        if self.task.init is not None:
            parent = start_from(model, self.task.init)
            origin: dict[str, Any] = {"seen_before": trained_on_before(parent)}
            if not parent.get("image_hashes") or parent.get("seen_not_known"):
                origin["seen_not_known"] = True
            if parent.get("pretrained"):
                origin["pretrained"] = dict(parent["pretrained"])
            return origin
        recipe = model.recipe
        published = use_pretrained(model.network, recipe.network, recipe.training.pretrained)
        if published is None:
            return {}
        model.weights_changed()
        return {"pretrained": asdict(published)}

    def _rehearsal(self, data: TrainingData, normalization: Normalization) -> Rehearsal:
        """Crops of training images; for a network that sees several slices, blocks of these."""
        network, training, count = data.recipe.network, data.recipe.training, self.task.rehearsal
        if network.dimensions == "2d":
            return choose_rehearsal(data.train, normalization, count, training.seed)
        slices = network.seen_slices
        of_slice = normalization_of_slices(normalization, slices)
        own = set(data.split.train)
        return choose_volume_rehearsal(
            data.train,
            of_slice.model_copy(update={"scale": normalization.scale}),
            count,
            depth_of_patch(training, network_anisotropy(training), input_sizes(network))
            if network.in_3d else slices,
            (sample for sample in data.dataset.samples if sample.id not in own),
            training.seed,
            in_3d=network.in_3d,
        )  # fmt: skip

    def _validate(self, model: Model, validation: Validation) -> float:
        score = validation()
        if self.task.on_validation is not None:
            self.task.on_validation(model, score)
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

    def _validation(self, model: Model, held: Dataset) -> Validation:
        """For scores at the network's own resolution, without flips."""
        seen = self.data.as_seen(held)
        return Validation(model, whole_patches(seen, model.normalization, self.data.recipe), self.cancel)

    def _content(self) -> str:
        """Changes when other pixels or masks are under the names that are trained on."""
        digest = hashlib.sha256()
        wanted = {*self.data.split.train, *self.data.split.validation}
        for sample in self.data.dataset.samples:
            if sample.id in wanted:
                facts = self.data.scan[sample]
                pieces = " ".join((facts.hash, *facts.mask_hashes))
                digest.update(f"{sample.id}\0{pieces}\n".encode("utf-8", "replace"))
        return digest.hexdigest()


def training_fingerprint(recipe: Recipe, split: Split) -> str:
    """Changes whenever resuming an older state would mix two trainings."""
    settings = recipe.model_dump(mode="json")
    for free in ("megapixels", "epochs", "minutes", "patience"):
        settings["training"].pop(free)
    settings["inference"] |= TILES
    if settings["network"]["name"] != "encoder_unet":
        settings["network"]["encoder"] = FORMER_ENCODER
    for *rooms, name, default in ADDED:
        place = settings
        for room in rooms:
            place = place[str(room)]
        if place[name] == default:
            place.pop(name)
    text = json.dumps([settings, split.to_json()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def evenly(ids: tuple[str, ...], most: int) -> tuple[str, ...]:
    """At most so many of a part's images, from all of it: those of one group stand side by side."""
    if len(ids) <= most:
        return ids
    return tuple(ids[n * len(ids) // most] for n in range(most))
