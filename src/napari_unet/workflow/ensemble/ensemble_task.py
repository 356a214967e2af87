"""Making an ensemble of models: uniform, weighted, or chosen, by images that none was trained on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_unet import PROGRAM
from napari_unet.atomic import check_model
from napari_unet.data.catalog import open_dataset
from napari_unet.data.split import Split
from napari_unet.engine.hardware import default_precision
from napari_unet.errors import SettingsError
from napari_unet.evaluation.leakage import TrainingMembership
from napari_unet.inference.ensembles.selection import ROUNDS, SquaredError, greedy_weights
from napari_unet.inference.postprocess import mask_from_probabilities
from napari_unet.metrics.object_confidence import KEY as CONFIDENCE
from napari_unet.metrics.overlap import count_overlap, image_score
from napari_unet.models.ensemble import (
    Ensemble,
    Member,
    check_alike,
    is_ensemble,
    load_any,
    load_member,
    save_ensemble,
)
from napari_unet.models.likeness import KEY
from napari_unet.models.model_folder import check_place, read_settings
from napari_unet.models.shipped import locate
from napari_unet.progress import Progress
from napari_unet.workflow.inputs.left_out import sound_part
from napari_unet.workflow.segment.segment_samples import segment_samples
from napari_unet.workflow.train.fit_object_confidence import fit_object_confidence, inherited
from napari_unet.workflow.train.selection_images import RANK, choosing_images, note_chosen_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import ReferenceMask, Sample
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.settings import InferenceSettings
    from napari_unet.workflow.inputs.left_out import LeftOut

    Settings = tuple[Any, Any, tuple[str, ...], dict[str, Any]]

Choice = Literal["uniform", "weighted", "greedy"]
LEAST = 0.01  # weights below it are left out


@dataclass(frozen=True)
class Chosen:
    """What became of the models.

    Attributes
    ----------
    names : tuple of str
        Of all models given.
    weights : tuple of float
        Theirs, 0 for those that are left out.
    scores : tuple of float
        Mean IoU of each alone on the images it was chosen by; empty without such images.
    uniform : float or None
        Mean IoU of the plain average.
    score : float or None
        Mean IoU of the ensemble.
    images : int
        It was chosen by.
    left_out : tuple of LeftOut
        Images that could not be read.
    """

    names: tuple[str, ...]
    weights: tuple[float, ...]
    scores: tuple[float, ...] = ()
    uniform: float | None = None
    score: float | None = None
    images: int = 0
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True)
class EnsembleTask:
    """Make an ensemble of models.

    Attributes
    ----------
    models : tuple of pathlib.Path
        Folders, zips, names; ensembles give their members.
    out : pathlib.Path
        Folder of the ensemble.
    choose : str
        "uniform": all alike; "weighted": the weights with the smallest squared error; "greedy": one model
        after another as long as the mean IoU rises.
    data : pathlib.Path, optional
        With reference masks, to choose by: images that no model was trained on and that are not held out.
        With "uniform" it only gives scores.
    format : str, optional
        Layout of the data.
    head : str
        The auxiliary head that answers in each model; empty for the output.
    link : bool
        Whether models stay where they are.
    inference : InferenceSettings, optional
        Flips, threshold, tiles of the ensemble; those of the first model if not given.
    overwrite : bool
        Whether an ensemble that is there may be replaced; never one of the models.
    """

    models: tuple[Path, ...]
    out: Path
    choose: Choice = "uniform"
    data: Path | None = None
    format: str | None = None
    head: str = ""
    link: bool = False
    inference: InferenceSettings | None = None
    overwrite: bool = False

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Chosen:
        """Choose, and write the ensemble.

        Raises
        ------
        ModelError
            If a model cannot be read, or they do not go together.
        DataError
            If there is no image to choose by.
        SettingsError
            If there is nothing to choose by.
        OutputError
            If it cannot be written.
        Cancelled
            When the person stopped it; nothing is written then.
        """
        check_place(self.out, "ensemble")
        check_model(self.out, self.models, overwrite=self.overwrite)
        if self.choose != "uniform" and self.data is None:
            raise SettingsError(
                f"an ensemble cannot be {self.choose} without images to choose by",
                code="settings.ensemble.images",
                expected="a data set that no model was trained on, or its validation images",
                remedy="give one with --data, or choose uniform",
            )
        paths = self._paths()
        settings = [read_settings(path) for path in paths]
        check_alike(settings)
        if self.head:
            for path in paths:
                load_member(Member(path, 1.0, self.head))
        members = [Member(path, 1 / len(paths), self.head) for path in paths]
        chosen = Chosen(tuple(m.name for m in members), tuple(m.weight for m in members))
        used: dict[str, str] = {}
        judging: Dataset | None = None
        ensemble = ensemble_of(members, settings, chosen, self.choose, self.inference)
        if self.data is not None:
            dataset, left = sound_part(open_dataset(self.data, self.format), on_progress, cancel)
            judges = choosing_images(dataset, [TrainingMembership(s[3]) for s in settings], cancel)
            chosen, used = self._chosen(ensemble, dataset, judges, on_progress, cancel)
            chosen = replace(chosen, left_out=left)
            judging = dataset.subset(sample.id for sample, _ in judges)
        weighted = [
            (replace(member, weight=weight), one)
            for member, one, weight in zip(members, settings, chosen.weights, strict=True)
            if weight > 0
        ]
        ensemble = ensemble_of(
            [m for m, _ in weighted],
            [s for _, s in weighted],
            chosen,
            self.choose,
            self.inference,
        )
        if self.choose != "uniform":
            note_chosen_by(ensemble.provenance, used)
        if judging is not None:
            confidence = fit_object_confidence(ensemble, judging, cancel, on_progress)
            if confidence is not None:
                ensemble.provenance[CONFIDENCE] = confidence.to_json()
        cancel.check()
        save_ensemble(ensemble, self.out, link=self.link)
        return chosen

    def _paths(self) -> list[Path]:
        """The models, and the members of those that are ensembles."""
        paths: list[Path] = []
        for given in self.models:
            path = locate(given)
            listed = path.is_dir() and is_ensemble(path)
            found = load_any(path, default_precision()) if listed else None
            paths += [m.path for m in found.members] if isinstance(found, Ensemble) else [path]
        return paths

    def _chosen(
        self,
        ensemble: Ensemble,
        dataset: Dataset,
        judges: Sequence[tuple[Sample, str]],
        on_progress: OnProgress,
        cancel: CancelToken,
    ) -> tuple[Chosen, dict[str, str]]:
        """Weights by images, and the ids of those images by their pixels' hash."""
        answers = MemberProbabilities(ensemble, dataset)
        samples = [sample for sample, _ in judges]
        for done, member in enumerate(ensemble.members):
            on_progress(Progress(done, len(ensemble.members), f"Asking {member.name}"))
            answers.ask(member, samples, cancel)
        count = len(ensemble.members)
        alone = [answers.score(np.eye(count)[i]) for i in range(count)]
        uniform = answers.score(np.full(count, 1 / count))
        on_progress(Progress(count, count, "Choosing"))
        if self.choose == "greedy":
            weights, _ = greedy_weights(count, answers.score, max(ROUNDS, 2 * count))
        elif self.choose == "weighted":
            weights = answers.squared_error().weights()
        else:
            weights = np.full(count, 1 / count)
        weights = np.where(weights < LEAST, 0, weights)
        weights = weights / weights.sum()
        names = tuple(m.name for m in ensemble.members)
        found = Chosen(
            names, tuple(map(float, weights)), tuple(alone), uniform, answers.score(weights), len(judges)
        )
        return found, {digest: sample.id for sample, digest in judges}


@dataclass(eq=False)
class MemberProbabilities:
    """What each member says of the images that are chosen by, in half precision.

    Attributes
    ----------
    ensemble : Ensemble
        Whose settings count.
    dataset : Dataset
        With the reference masks.
    """

    ensemble: Ensemble
    dataset: Dataset
    _said: list[list[NDArray[np.float16]]] = field(default_factory=list, init=False)
    _truth: list[ReferenceMask] = field(default_factory=list, init=False)

    def ask(self, member: Member, samples: Sequence[Sample], cancel: CancelToken) -> None:
        """Have one member answer all images."""
        model = load_member(member, self.ensemble.precision)
        results = segment_samples(samples, model, self.ensemble.recipe.inference, cancel)
        said = {result.sample.id: result.probabilities.astype(np.float16) for result in results}
        self._said.append([said[sample.id] for sample in samples])  # volumes come in the order of slices
        self._truth = self._truth or [self.dataset.mask(sample) for sample in samples]

    def _mean(self, image: int, weights: NDArray[np.float64]) -> NDArray[np.float32]:
        shape = self._said[0][image].shape
        mean = np.zeros(shape, np.float32)
        for said, weight in zip(self._said, weights, strict=True):
            if weight:
                mean += np.float32(weight) * said[image]
        return mean

    def score(self, weights: NDArray[np.float64]) -> float:
        """Mean IoU over the images of the average with these weights, at the ensemble's threshold."""
        recipe, scores = self.ensemble.recipe, []
        for image, truth in enumerate(self._truth):
            mask = mask_from_probabilities(
                self._mean(image, weights), recipe.inference.threshold, activation=recipe.network.activation
            )
            counts = count_overlap(truth.labels, mask, len(self.ensemble.classes), truth.weights)
            scores.append(image_score(counts.iou(), counts))
        return float(np.mean(scores))

    def squared_error(self) -> SquaredError:
        """Sums over all pixels that are known."""
        sums = SquaredError(len(self._said))
        for image, truth in enumerate(self._truth):
            known = np.ones(truth.labels.shape, bool) if truth.weights is None else truth.weights > 0
            for number in range(len(self.ensemble.classes)):
                said = np.stack([s[image][..., number][known] for s in self._said]).astype(np.float32)
                sums.add(said, (truth.labels[known] == number + 1).astype(np.float32))
        return sums


def ensemble_of(
    members: Sequence[Member],
    settings: Sequence[Settings],
    chosen: Chosen,
    choose: str,
    inference: InferenceSettings | None = None,
) -> Ensemble:
    """Put models together.

    Parameters
    ----------
    members : sequence of Member
        With weights that make 1 together.
    settings : sequence of tuple
        Recipe, normalization, classes and provenance of each.
    chosen : Chosen
        For the provenance.
    choose : str
        How that came about.
    inference : InferenceSettings, optional
        The first one's if not given.
    """
    recipe, normalization, classes, _ = settings[0]
    kinds = {one.network.separation for one, *_ in settings}
    common = {
        "separation": kinds.pop() if len(kinds) == 1 else "none",
        "presence": all(one.network.presence for one, *_ in settings),
    }
    network = recipe.network.model_copy(update=common)
    recipe = recipe.model_copy(update={"network": network, "inference": inference or recipe.inference})
    provenance = merged_provenance([s[3] for s in settings])
    provenance["ensemble"] = {
        "choose": choose,
        "members": [m.name for m in members],
        "weights": [round(m.weight, 6) for m in members],
        "networks": [one.network.name for one, *_ in settings],
        "images": chosen.images,
    }
    for member, one in zip(members, settings, strict=True):
        if one[0].network.separation == common["separation"] and (found := inherited(one[3], member.name)):
            provenance |= found  # until it is fitted to the ensemble itself
            break
    if chosen.score is not None:
        provenance["scores"] = {"validation_iou": chosen.score}
    return Ensemble(recipe, normalization, classes, provenance, tuple(members), default_precision())


def merged_provenance(provenances: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What several models have seen: an image that one was trained on counts as trained on.

    An image is held out only if some model holds it out and none has seen it otherwise.
    """
    listed = list(provenances)
    ids: dict[str, str] = {}
    used: set[str] = set()
    parts: dict[str, str] = {}
    groups: dict[str, str] = {}
    prints: dict[str, str] = {}
    for provenance in listed:
        known_again = provenance.get("fingerprints") or {}
        hashes = provenance.get("image_hashes") or {}
        split = Split.from_json(provenance["split"], "the model's split") if hashes else Split(())
        for name, digest in hashes.items():
            if digest not in ids:
                ids[digest] = name if name not in used else f"{name} {digest}"
                used.add(ids[digest])
                groups[ids[digest]] = str(split.groups.get(name, name))
            if name in known_again:
                prints.setdefault(ids[digest], known_again[name])
            part = split.part_of(name) or "unseen"
            parts[digest] = max(parts.get(digest, part), part, key=RANK.index)
    by_part = {p: tuple(ids[d] for d, part in parts.items() if part == p) for p in RANK}
    datas = {str((p.get("data") or {}).get("sha256")): p.get("data") or {} for p in listed}
    data = next(iter(datas.values()), {})
    if len(datas) > 1:
        names = sorted({str(d.get("name", "unnamed data")) for d in datas.values()})
        data = {**data, "name": " + ".join(names), "images": len(ids), "sha256": ""}
    split_of_first = listed[0].get("split") or {}
    merged = Split(
        by_part["train"],
        by_part["validation"],
        by_part["held-out"],
        int(split_of_first.get("seed", 0)),
        groups,
        str(split_of_first.get("group_rule", "image")),
        str(data.get("name", "")),
        "of several models: an image counts as trained on if one of them was",
    )
    before: dict[str, dict[str, str]] = {"image_hashes": {}, "fingerprints": {}}
    for number, provenance in enumerate(listed):
        for kind, known in (provenance.get("seen_before") or {}).items():
            before[kind] |= {f"{number}/{name}": text for name, text in known.items()}
    return {
        "program": PROGRAM,
        "data": data,
        "split": merged.to_json(),
        "image_hashes": {name: digest for digest, name in ids.items()},
        "fingerprints": prints,
        **({"seen_before": before} if before["image_hashes"] else {}),
        **({} if all(map(_recorded, listed)) else {"seen_not_known": True}),
        "looks": next((p["looks"] for p in listed if p.get("looks")), []),
        **next(({KEY: p[KEY]} for p in listed if p.get(KEY)), {}),
        "scores": {},
        "seconds": round(sum(float(p.get("seconds") or 0) for p in listed), 1),
        "steps": sum(int(p.get("steps") or 0) for p in listed),
    }


def _recorded(provenance: Mapping[str, Any]) -> bool:
    """Whether a model keeps what it was trained on."""
    return bool(provenance.get("image_hashes")) and not provenance.get("seen_not_known")
