"""The images on which thresholds and weights of an ensemble are chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_unet.data.image_hash import image_hash
from napari_unet.data.split import Split
from napari_unet.errors import DataError
from napari_unet.evaluation.leakage import NOT_KNOWN, TrainingMembership

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import Sample
    from napari_unet.progress import CancelToken

MOST_IMAGES = 64
MOST_VALUES = 2**28  # probabilities of all members that are held while they are weighed
RANK = ("held-out", "unseen", NOT_KNOWN, "validation", "train")


def choosing_images(
    dataset: Dataset, seen: Sequence[TrainingMembership], cancel: CancelToken
) -> list[tuple[Sample, str]]:
    """Images that an ensemble may be chosen by, with the hash of their pixels.

    Parameters
    ----------
    dataset : Dataset
        With reference masks.
    seen : sequence of TrainingMembership
        Of each model.
    cancel : CancelToken
        Checked before each image.

    Returns
    -------
    list of (Sample, str)
        Those that no model was trained on and none holds out; at most 64, evenly over the set.

    Raises
    ------
    DataError
        If there is none.
    """
    free: list[tuple[Sample, str]] = []
    parts: list[str] = []
    for sample in dataset.samples:
        cancel.check()
        image = dataset.image(sample)
        part = max((s.part(image) for s in seen), key=RANK.index)
        held_out = any(s.part(image) == "held-out" for s in seen)
        parts.append("held-out" if held_out and part != "train" else part)
        if part != "train" and not held_out:
            free.append((sample, image_hash(image)))
    if not free:
        trained = parts.count("train")
        raise DataError(
            f"{dataset.name} has no image to choose an ensemble by",
            code="data.heldout.missing",
            expected="one that no model was trained on and none holds out",
            got=f"{trained} that one was trained on, {len(parts) - trained} held out",
            remedy="choose uniform, as for folds, or give other images",
        )
    step = max(1, -(-len(free) // MOST_IMAGES))
    chosen = free[::step]
    shape = dataset.image(chosen[0][0]).shape
    most = max(1, MOST_VALUES // max(1, shape[0] * shape[1] * len(seen) * len(dataset.classes)))
    return chosen[:most]


def note_chosen_by(provenance: dict[str, Any], used: Mapping[str, str]) -> None:
    """Have images that weights were chosen by count as validation images, by hash to id.

    Parameters
    ----------
    provenance : dict
        Of the ensemble; changed in place.
    used : mapping
        Hash of an image to its id.
    """
    split = Split.from_json(provenance["split"], "the ensemble's split")
    hashes: dict[str, str] = provenance["image_hashes"]
    by_digest = {digest: name for name, digest in hashes.items()}
    added, groups = [], dict(split.groups)
    for digest, name in used.items():
        known = by_digest.get(digest)
        if known is not None and split.part_of(known) is not None:
            continue
        fresh = known or (name if name not in hashes else f"{name} {digest}")
        hashes[fresh] = digest
        groups.setdefault(fresh, fresh)
        added.append(fresh)
    merged = replace(split, validation=(*split.validation, *added), groups=groups)
    provenance["split"] = merged.to_json()
