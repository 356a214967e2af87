"""The network that learns from strokes, and how it is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.models.model import Model
from napari_unet.networks.registry import build_network, input_sizes
from napari_unet.networks.transfer import use_pretrained
from napari_unet.settings import (
    AugmentationSettings,
    InferenceSettings,
    NetworkSettings,
    Recipe,
    TrainingSettings,
)
from napari_unet.training.feeding.stroke_patches import StrokePatches
from napari_unet.training.losses import make_loss
from napari_unet.training.strokes import StrokeTraining
from napari_unet.training.warm import warm_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_unet.models.normalization import Normalization

# A decoder without normalization has no statistics that a few patches could spoil, and those of the encoder
# stay. Measured in docs/benchmarks/scribbles.md.
STROKES = Recipe(
    name="strokes",
    network=NetworkSettings(name="encoder_unet", encoder="EfficientNetLite0", depth=4, normalization="none"),
    training=TrainingSettings(
        learning_rate=2e-3,
        batch_size=8,
        patch=128,
        scale=0.0,
        averaging=0.95,
        precision="float32",  # depthwise convolutions gain nothing from bfloat16
        augmentation=AugmentationSettings(
            symmetry="dihedral",
            rotation=15.0,
            scale=0.25,
            warp_probability=0.5,
            brightness=0.3,
            contrast=0.3,
            gamma=0.2,
        ),
    ),
    inference=InferenceSettings(flips="none"),
)
_FIRST: dict[NetworkSettings, list[NDArray[np.float32]]] = {}  # weights of the last network that was built
LARGEST_SIDE = 1536  # pixels; a larger image is halved until its longer side is no longer than this


def for_images(recipe: Recipe, channels: int, classes: int, shapes: Sequence[tuple[int, int]]) -> Recipe:
    """A recipe for images of these shapes (Y, X), with so many channels and classes 1..K."""
    activation = "softmax" if classes > 1 else "sigmoid"
    network = {"input_channels": channels, "classes": classes, "activation": activation}
    training = {"scale": recipe.training.scale or scale_of(shapes)}
    return recipe.model_copy(
        update={
            "network": recipe.network.model_copy(update=network),
            "training": recipe.training.model_copy(update=training),
        }
    )


def scale_of(shapes: Sequence[tuple[int, int]]) -> float:
    """1, or so many halves of it that the longest side of all images is not above 1,536 pixels."""
    longest, scale = max(max(shape) for shape in shapes), 1.0
    while longest * scale > LARGEST_SIDE:
        scale /= 2
    return scale


def fresh_model(recipe: Recipe, normalization: Normalization, classes: tuple[str, ...]) -> Model:
    """A model that learned nothing yet but what its encoder knows; built already if one is warm."""
    known = _FIRST.get(recipe.network)
    warm = None if known is None else warm_model().take_with(recipe, known)
    if warm is not None:
        warm.normalization, warm.classes = normalization, classes
        return warm
    network = build_network(recipe.network, recipe.training.seed, recipe.training.precision)
    use_pretrained(network, recipe.network, recipe.training.pretrained)
    _FIRST.clear()
    _FIRST[recipe.network] = [np.array(weights) for weights in network.get_weights()]
    model = warm_model().take(Model(recipe, normalization, classes, network))
    model.weights_changed()
    return model


def training_of(model: Model) -> StrokeTraining:
    """The training of a model, with no strokes yet."""
    recipe = model.recipe
    patches = StrokePatches(recipe.training, recipe.network.classes, input_sizes(recipe.network).multiple)
    loss = make_loss(recipe.network, recipe.training)
    return StrokeTraining(model.network, patches, loss, recipe.training, model.weights_changed)
