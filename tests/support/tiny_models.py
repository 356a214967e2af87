"""Tiny models for the tests: random weights, set so that about half of a picture is foreground.

Run as a script it writes them where a process may not load TensorFlow: those of the window.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

GREY, COLOUR, CLASSES = "grey", "colour", "classes"


def without_graphs(wanted: bool = True) -> None:
    """Have TensorFlow compute step by step: to build a graph takes longer than all that tiny models do."""
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow

        tensorflow.config.run_functions_eagerly(wanted)


def write_tiny_model(
    path: Path,
    channels: int = 1,
    classes: tuple[str, ...] = ("foreground",),
    provenance: dict[str, Any] | None = None,
    seed: int = 0,
    filters: int = 4,
    depth: int = 2,
    separation: str = "none",
) -> Path:
    """A small U-Net that answers at once and always the same."""
    from napari_unet.models.model import Model, save_model
    from napari_unet.models.normalization import Normalization
    from napari_unet.networks.registry import build_network
    from napari_unet.settings import InferenceSettings, NetworkSettings, Recipe

    activation = "sigmoid" if len(classes) == 1 else "softmax"
    network = NetworkSettings(
        input_channels=channels, classes=len(classes), activation=activation, filters=filters, depth=depth,
        separation=separation,
    )  # fmt: skip
    inference = InferenceSettings(flips="none", tile=64, overlap=16)
    recipe = Recipe(name="tiny", network=network, inference=inference)
    built = build_network(network, seed)
    noise = np.random.default_rng(seed).standard_normal((4, 64, 64, channels)).astype(np.float32)
    logits = np.asarray(built.predict_on_batch(noise))
    last = next(layer for layer in reversed(built.layers) if layer.get_weights())
    kernel, bias = last.get_weights()
    spread = 2 / max(float(logits.std()), 1e-6)
    last.set_weights([kernel * spread, (bias - np.median(logits, axis=(0, 1, 2))) * spread])
    model = Model(recipe, Normalization(channels=channels), classes, built, provenance or {})
    return save_model(model, path)


def provenance_of(dataset: Any, train: Sequence[str], held_out: Sequence[str]) -> dict[str, Any]:
    """What a training on a data set leaves in its model: split, hashes of the images, scores."""
    from napari_unet.data.image_hash import image_hash
    from napari_unet.data.split import Split

    split = Split(tuple(train), (), tuple(held_out), groups={i: f"group of {i}" for i in (*train, *held_out)})
    images = {s.id: image_hash(dataset.image(s)) for s in dataset.samples if s.id in split.groups}
    data = {"name": dataset.name, "images": len(dataset)}
    return {"data": data, "split": split.to_json(), "image_hashes": images, "scores": {"validation_iou": 0.5}}


def write_models(out: Path, salt: Path) -> None:
    """One of grey images, trained, so it says, on half of a salt set; one of 5 channels; one of 2 classes."""
    from napari_unet.data.catalog import open_dataset

    dataset = open_dataset(salt)
    ids = [s.id for s in dataset.samples]
    half = len(ids) // 2
    write_tiny_model(out / GREY, provenance=provenance_of(dataset, ids[:half], ids[half:]))
    write_tiny_model(out / COLOUR, 5)
    write_tiny_model(out / CLASSES, classes=("one", "two"), seed=1)
    (out / "made.json").write_text(json.dumps(ids))


if __name__ == "__main__":
    write_models(Path(sys.argv[1]), Path(sys.argv[2]))
