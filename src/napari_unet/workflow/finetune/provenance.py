"""What a new version of a model tells of its parent and of the corrections it saw."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet import __version__
from napari_unet.data.image_hash import image_hash
from napari_unet.data.inspection.resemblance import fingerprint
from napari_unet.data.split import Split
from napari_unet.evaluation.leakage import TrainingMembership
from napari_unet.inference.predict import FLIPS
from napari_unet.metrics.object_confidence import KEY as CONFIDENCE
from napari_unet.metrics.object_confidence import ObjectConfidence
from napari_unet.models.image_statistics import describe_image
from napari_unet.models.likeness import KEY, Likeness
from napari_unet.workflow.inputs.labelled_images import as_dataset
from napari_unet.workflow.train.fit_object_confidence import fit_object_confidence, inherited

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import ReferenceMask, Sample
    from napari_unet.models.model import Model
    from napari_unet.progress import CancelToken
    from napari_unet.workflow.finetune.held_out_gate import HeldOutGate

CORRECTED = "corrections/"  # before their ids in the split, where those of several data sets meet
UNVERIFIED = np.uint8(255)
FITTING_MARGIN = 1.5  # of the forecast of how long it takes
MOST_FITTING = 0.1  # share of the budget that it may take


def provenance_of_version(
    parent: Mapping[str, Any],
    parent_path: Path,
    parent_weights: str,
    painted: Dataset,
    learned_from: Sequence[Sample],
    reserved: Sequence[Sample],
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """Of the parent's provenance what stays true, and what was learned on top of it.

    Corrections enter the split, those learned from as training images and the judging ones as
    held-out ones, with their hashes: so ``TrainingMembership`` knows them again wherever they turn up.

    Parameters
    ----------
    parent : mapping
        Provenance of the model that was started from.
    parent_path : pathlib.Path
        Where that is.
    parent_weights : str
        Hash of its weights.
    painted : Dataset
        All corrections.
    learned_from, reserved : sequence of Sample
        Of those, what was learned from and what was held out.
    about : mapping
        Scores, settings and whatever else there is to tell, plain JSON.
    """
    hashes: dict[str, str] = dict(parent.get("image_hashes") or {})
    prints: dict[str, str] = dict(parent.get("fingerprints") or {})
    # What a parent without a record was trained on stays unknown, whatever is learned on top.
    not_known = {} if hashes and not parent.get("seen_not_known") else {"seen_not_known": True}
    data: dict[str, Any] = dict(parent.get("data") or {})
    split = TrainingMembership(parent).split or Split(train=(), data=str(data.get("name", "")))
    members = {part: list(getattr(split, part)) for part in ("train", "validation", "held_out")}
    groups = dict(split.groups)
    corrections: dict[str, dict[str, Any]] = dict(parent.get("corrections") or {})
    for part, samples in (("train", learned_from), ("held_out", reserved)):
        for sample in samples:
            name = CORRECTED + sample.id
            for ids in members.values():
                if name in ids:
                    ids.remove(name)
            members[part].append(name)
            groups[name] = sample.group or name
            hashes[name] = image_hash(painted.image(sample))
            prints[name] = fingerprint(painted.image(sample))
            mask = painted.mask(sample)
            corrections[sample.id] = {
                "image": hashes[name],
                "mask": mask_hash(mask),
                "vouched": 1.0 if mask.weights is None else float((mask.weights > 0).mean()),
                "held_out": part == "held_out",
            }
    whole = replace(
        split,
        train=tuple(members["train"]),
        validation=tuple(members["validation"]),
        held_out=tuple(members["held_out"]),
        groups=groups,
    )
    likeness = Likeness.of_model(parent)
    looks = [describe_image(painted.image(s)) for s in learned_from] if likeness is not None else []
    digest = hashlib.sha256("".join(sorted(hashes.values())).encode()).hexdigest()
    return {
        **parent,
        "program": f"napari-unet-workbench {__version__}",
        "parent": str(parent_path),
        "lineage": [*parent.get("lineage", []), {"model": str(parent_path), "weights": parent_weights}],
        "data": {**data, "sha256": digest},
        "split": whole.to_json(),
        "image_hashes": hashes,
        "fingerprints": prints,
        **not_known,
        "corrections": corrections,
        **({KEY: likeness.with_more(looks).to_json()} if likeness is not None else {}),
        **about,
    }


def mask_hash(mask: ReferenceMask) -> str:
    """Sixteen hexadecimal digits that tell what was verified from all else."""
    known = np.ones(mask.labels.shape, bool) if mask.weights is None else mask.weights > 0
    return image_hash(np.where(known, mask.labels, UNVERIFIED))


def weights_hash(network: Any) -> str:
    """Sixteen hexadecimal digits that tell a network's weights from all others'."""
    digest = hashlib.blake2b(digest_size=8)
    for array in network.get_weights():
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class VersionConfidence:
    """The confidence of objects of a version.

    Attributes
    ----------
    provenance : dict
        To go into that of the version; empty where neither it nor its parent has one.
    sentence : str
        What a person should know of it; empty where it was fitted to the version itself.
    """

    provenance: dict[str, Any] = field(default_factory=dict)
    sentence: str = ""


def forecast(model: Model, gates: Sequence[HeldOutGate]) -> float:
    """Seconds that it takes to segment the images on which weights are chosen, about."""
    views = len(FLIPS[model.recipe.inference.flips])
    return FITTING_MARGIN * views * sum(gate.look_seconds for gate in gates)


def confidence_of_version(
    model: Model,
    parent: Mapping[str, Any],
    parent_name: str,
    gates: Sequence[HeldOutGate],
    *,
    in_time: bool,
    cancel: CancelToken | None = None,
) -> VersionConfidence:
    """Fit the confidence of objects on the images that choose the weights of a round; else take the parent's.

    Parameters
    ----------
    model : Model
        The new version.
    parent : mapping
        Provenance of the model that it started from.
    parent_name : str
        What to call that.
    gates : sequence of HeldOutGate
        Whose live images choose weights and teach nothing.
    in_time : bool
        Whether there is time to segment these images once more.
    cancel : CancelToken, optional
        Checked before every batch.
    """
    samples = [
        replace(
            sample,
            load_image=partial(gate.held_out.image, sample),
            load_mask=partial(gate.held_out.mask, sample),
        )
        for gate in gates
        for sample in gate.live
    ]
    found: ObjectConfidence | None = None
    if in_time and samples:
        found = fit_object_confidence(model, as_dataset("validation", samples, model.classes), cancel)
    if found is not None:
        return VersionConfidence({CONFIDENCE: found.to_json()})
    if ObjectConfidence.of(parent) is None:
        return VersionConfidence()
    why = "too few objects" if in_time else "no time"
    return VersionConfidence(
        inherited(parent, parent_name),
        f"the confidence of objects is that of {parent_name}: {why} to measure it again",
    )
