"""Where a model comes from: its data, its split, and the model whose weights it started from."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from napari_unet import PROGRAM
from napari_unet.errors import ModelError
from napari_unet.models.image_statistics import describe_image, kind_of, summarize_statistics
from napari_unet.models.likeness import KEY, Likeness, evenly_spaced
from napari_unet.models.model import Model, load_model
from napari_unet.networks.registry import architecture
from napari_unet.networks.transfer import copy_weights, related

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.split import Split
    from napari_unet.models.image_statistics import ImageStatistics
    from napari_unet.models.normalization import Normalization
    from napari_unet.workflow.train.dataset_scan import DatasetScan


MOST_DESCRIBED = 400  # images whose statistics are stored


def provenance_of(
    scan: DatasetScan,
    split: Split,
    normalization: Normalization,
    score: float,
    steps: int,
    seconds: float,
    parent: str = "",
) -> dict[str, Any]:
    """What a model says of where it came from.

    Parameters
    ----------
    scan : DatasetScan
        Of all images.
    split : Split
        That it was trained with.
    normalization : Normalization
        How it prepares images.
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

    dataset = scan.dataset
    images = {sample.id: scan[sample].hash for sample in dataset.samples}
    prints = {sample.id: scan[sample].fingerprint for sample in dataset.samples}
    trained = split.train[:MOST_DESCRIBED]
    looks = _looks_of(dataset, trained)
    others = _looks_of(dataset, (*split.validation, *split.held_out))
    groups = [split.groups.get(identifier, identifier) for identifier in trained]
    likeness = Likeness.of_training(looks, groups, normalization, others)
    digest = hashlib.sha256("".join(sorted(images.values())).encode()).hexdigest()
    return {
        "program": PROGRAM,
        "keras": f"{keras.__version__} on {keras.backend.backend()}",
        "data": {
            "name": dataset.name,
            "format": dataset.format,
            "images": len(dataset),
            "sha256": digest,
            "licence": dataset.licence,
            "citation": dataset.citation,
            **({"masks_are": dataset.masks_are} if dataset.masks_are else {}),
            **({"channels": list(dataset.channels)} if dataset.channels else {}),
        },
        "split": split.to_json(),
        "image_hashes": images,
        "fingerprints": prints,
        "looks": summarize_statistics((kind_of(look), look) for look in looks),
        **({KEY: likeness.to_json()} if likeness is not None else {}),
        "parent": parent,
        "scores": {"validation_iou": score} if score >= 0 else {},
        "steps": steps,
        "seconds": round(seconds, 1),
    }


def _looks_of(dataset: Dataset, ids: tuple[str, ...]) -> list[ImageStatistics]:
    """Of these images, or of so many from all of them."""
    by_id = {sample.id: sample for sample in dataset.samples}
    wanted = [ids[n] for n in evenly_spaced(len(ids), MOST_DESCRIBED)]
    return [describe_image(dataset.image(by_id[identifier])) for identifier in wanted]


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
        copy_weights(model.network, parent.network)
    else:
        raise ModelError(
            f"the network of {path} is not the one to be trained",
            code="model.network.different",
            expected=", ".join(f"{n} {getattr(ours, n)}" for n in differences),
            got=", ".join(f"{n} {getattr(theirs, n)}" for n in differences),
            remedy="change the settings with --set, or train without --init",
        )
    model.weights_changed()
    return parent.provenance
