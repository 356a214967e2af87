"""Training an ensemble: folds of the data, several seeds, or snapshots of one training."""

from __future__ import annotations

import math
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_unet.atomic import check_model
from napari_unet.data.image_hash import image_hash
from napari_unet.data.split import Split
from napari_unet.engine.cluster import connect
from napari_unet.errors import DataError, SettingsError, TrainingError
from napari_unet.models.ensemble import MOST_MEMBERS, Member, save_ensemble
from napari_unet.models.model_folder import (
    MEMBERS,
    SETTINGS_FILE,
    SPLIT_FILE,
    STATE_FILE,
    check_place,
    read_settings,
)
from napari_unet.progress import Stage, tracked
from napari_unet.workflow.ensemble.cluster_training import check_workers, train_on_cluster
from napari_unet.workflow.ensemble.ensemble_task import Chosen, ensemble_of
from napari_unet.workflow.ensemble.run_folder import RUNNING, earlier_run, run_folder
from napari_unet.workflow.inputs.left_out import sound_part
from napari_unet.workflow.train.training_data import open_training_data, split_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from distributed import Client

    from napari_unet.engine.cluster import Cluster
    from napari_unet.models.ensemble import Ensemble
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.settings import Recipe
    from napari_unet.workflow.train.train_task import TrainTask

Kind = Literal["folds", "seeds", "snapshots"]
FEWEST = 2


@dataclass(frozen=True)
class TrainMembersTask:
    """Train several models on one data set, and make an ensemble of them.

    - folds: what is not held out is divided by group into as many parts. Each model chooses its weights
      on one of them and is trained on the others (Breiman 1996, doi:10.1007/BF00058655, has the idea).
    - seeds: the same split, other random weights, other patches.
    - snapshots: one training whose rate comes down as many times as there are members, each from where
      the last one was (Huang et al. 2017, arXiv:1704.00109). The amount of the recipe is shared; for folds
      and seeds each member has all of it.

    All hold out the same images, so that the ensemble can be judged on them. They are trained in a folder
    next to the ensemble's own; an older ensemble is replaced when all are there.

    Attributes
    ----------
    train : TrainTask
        What one member is trained like; `out` is the folder of the ensemble.
    kind : str
        "folds", "seeds" or "snapshots".
    count : int
        Members, 2 to 99.
    on_member : callable, optional
        Takes the number of a member from 1 on, when its training begins here.
    cluster : str or distributed.Client
        Whose workers train folds or seeds, the address of a Dask scheduler or a client; empty: this process.
    """

    train: TrainTask
    kind: Kind
    count: int
    on_member: Callable[[int], None] | None = None
    cluster: str | Client = ""

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Ensemble:
        """Train the members that are not there yet, then write the ensemble; errors as ``TrainTask.run``.

        Raises
        ------
        SettingsError
            If there are too few members, or groups for folds.
        """
        out = self.train.out
        check_place(out, "ensemble")
        if not self.train.resume:
            check_model(out, overwrite=self.train.overwrite)
        if not FEWEST <= self.count <= MOST_MEMBERS:
            raise SettingsError(
                f"an ensemble cannot have {self.count} {self.kind}",
                code="settings.ensemble.count",
                expected=f"{FEWEST} to {MOST_MEMBERS}",
            )
        if self.cluster and self.kind == "snapshots":
            raise SettingsError(
                "snapshots are stages of one training, which a cluster does not make faster",
                code="settings.cluster.unsupported",
                expected="folds or seeds",
                remedy="leave out --cluster",
            )
        with connect(self.cluster) if self.cluster else nullcontext() as cluster:
            return self._train(cluster, on_progress, cancel)

    def _train(self, cluster: Cluster | None, on_progress: OnProgress, cancel: CancelToken) -> Ensemble:
        out, resume = self.train.out, self.train.resume
        earlier = earlier_run(out) if resume else None
        base = self._split((earlier or out) / SPLIT_FILE, on_progress, cancel)
        splits = folds(base, self.count) if self.kind == "folds" else [base] * self.count
        if earlier is not None or resume:
            self._check_same_images((earlier or out / MEMBERS), on_progress, cancel)
        names = [f"{number:02d}-{self.kind[:-1]}" for number in range(1, self.count + 1)]
        source = (earlier or out / MEMBERS) if resume else None
        check = partial(check_workers, cluster, self.train)
        with run_folder(out, base, names, source, check) as folder:
            paths = [folder / name for name in names]
            lacking = {
                number: self._task(number, split, paths)
                for number, split in enumerate(splits, start=1)
                if not (paths[number - 1] / SETTINGS_FILE).exists()
            }
            if cluster is not None:
                train_on_cluster(cluster, list(lacking.values()), folder / RUNNING, on_progress, cancel)
            else:
                for number, task in lacking.items():
                    if self.on_member is not None:
                        self.on_member(number)
                    task.run(Stage(on_progress, number, self.count, "Model"), cancel)
            ensemble = self._ensemble(paths)
            save_ensemble(ensemble, out, split=folder / SPLIT_FILE)
        ensemble.members = tuple(replace(m, path=out / MEMBERS / m.path.name) for m in ensemble.members)
        return ensemble

    def _ensemble(self, paths: Sequence[Path]) -> Ensemble:
        settings = [read_settings(path) for path in paths]
        members = [Member(path, 1 / self.count) for path in paths]
        names = tuple(member.name for member in members)
        ensemble = ensemble_of(members, settings, Chosen(names, (1 / self.count,) * self.count), "uniform")
        ensemble.provenance["ensemble"]["trained_as"] = self.kind
        if left := settings[0][3].get("left_out"):
            ensemble.provenance["left_out"] = left
        scores = [float((s[3].get("scores") or {}).get("validation_iou", np.nan)) for s in settings]
        if np.isfinite(scores).all():
            ensemble.provenance["scores"] = {"validation_iou": float(np.mean(scores))}
        return ensemble

    def _task(self, number: int, split: Split, paths: Sequence[Path]) -> TrainTask:
        """That trains one member."""
        path = paths[number - 1]
        task = replace(
            self.train,
            out=path,
            recipe=self._recipe(number),
            split=split,
            resume=(path / STATE_FILE).exists(),
        )
        if self.kind != "snapshots" or number == 1:
            return task
        before = paths[number - 2]
        return replace(task, init=before, parent=str(self.train.out / MEMBERS / before.name))

    def _check_same_images(self, folder: Path, on_progress: OnProgress, cancel: CancelToken) -> None:
        """Refuse to resume from members that were trained on other images under the same names."""
        finished = sorted(file.parent for file in folder.glob(f"*/{SETTINGS_FILE}"))
        if not finished:
            return
        before: dict[str, str] = read_settings(finished[-1])[3].get("image_hashes") or {}
        dataset = open_training_data(self.train.data, self.train.format)
        for sample in tracked(dataset.samples, len(dataset), "Looking", on_progress, cancel):
            with suppress(DataError):  # damaged ones are left out, as they were
                if before.get(sample.id, "") not in {"", image_hash(dataset.image(sample))}:
                    raise TrainingError(
                        f"the members in {folder} were trained on another image called {sample.id}",
                        code="training.member.different",
                        remedy="resume with the data that the training began with, or train without --resume",
                    )

    def _split(self, split_file: Path, on_progress: OnProgress, cancel: CancelToken) -> Split:
        if self.train.resume and split_file.exists() and self.train.split is None:
            return Split.load(split_file)
        whole = open_training_data(self.train.data, self.train.format)
        dataset, left = sound_part(whole, on_progress, cancel)
        split = split_for(self.train.data, dataset, self.train.recipe, self.train.split, on_progress, cancel)
        return split.without(item.id for item in left)

    def _recipe(self, number: int) -> Recipe:
        recipe = self.train.recipe
        training = recipe.training
        changes: dict[str, float] = {"seed": (training.seed + number - 1) % 2**31}
        if self.kind == "snapshots":
            changes |= {
                "minutes": training.minutes / self.count,
                "megapixels": training.megapixels / self.count,
                "epochs": math.ceil(training.epochs / self.count),
            }
        return recipe.model_copy(update={"training": training.model_copy(update=changes)})


def folds(split: Split, count: int) -> list[Split]:
    """Divide what a split does not hold out into folds of whole groups, of about as many images each.

    Parameters
    ----------
    split : Split
        Held out stays held out.
    count : int
        Folds.

    Returns
    -------
    list of Split
        The images of each fold are the validation part of one of them, and trained on in the others.

    Raises
    ------
    SettingsError
        If there are fewer groups than folds.
    """
    ids = [*split.train, *split.validation]
    members: dict[str, list[str]] = {}
    for identifier in ids:
        members.setdefault(str(split.groups.get(identifier, identifier)), []).append(identifier)
    if len(members) < count:
        raise SettingsError(
            f"{split.data or 'the data'} cannot be divided into {count} folds",
            code="settings.folds.many",
            expected=f"at least {count} groups of images that are not held out",
            got=f"{len(members)} (a group is: {split.group_rule})",
            remedy="take fewer folds, or train several --seeds",
        )
    order = np.random.default_rng(split.seed).permutation(sorted(members))
    parts: list[list[str]] = [[] for _ in range(count)]
    # The largest groups first, each to the fold that has the fewest images: folds come out alike.
    for group in sorted(order.tolist(), key=lambda g: -len(members[g])):
        min(parts, key=len).extend(members[group])
    found = []
    for number, part in enumerate(parts, start=1):
        held = set(part)
        found.append(
            replace(
                split,
                train=tuple(i for i in ids if i not in held),
                validation=tuple(part),
                note=f"fold {number} of {count}",
            )
        )
    return found
