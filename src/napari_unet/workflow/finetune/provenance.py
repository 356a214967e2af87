"""What a new version of a model tells of its parent and of the corrections it saw."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet import __version__
from napari_unet.data.image_hash import image_hash
from napari_unet.data.inspection.resemblance import fingerprint
from napari_unet.data.split import Split
from napari_unet.evaluation.leakage import TrainingMembership
from napari_unet.models.image_statistics import describe_image
from napari_unet.models.likeness import KEY, Likeness

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import ReferenceMask, Sample

CORRECTED = "corrections/"  # before their ids in the split, where those of several data sets meet
UNVERIFIED = np.uint8(255)


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
