"""What the network that learns from strokes says of the rest of these images, as labels to learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.inference.predict import predict_probabilities

if TYPE_CHECKING:
    from napari_unet.models.model import Model
    from napari_unet.progress import CancelToken
    from napari_unet.training.strokes import StrokeTraining

EVERY = 40  # steps until it is asked for the first time, and between two times
MOST_PIXELS = 2**20  # of the images that it is asked about at a time; about a second on two cores


def guess_if_due(model: Model, training: StrokeTraining, cancel: CancelToken | None = None) -> bool:
    """Label what nobody painted by the averaged weights, every forty steps; says whether it did.

    Of many images those come first that were asked about the longest ago.

    Parameters
    ----------
    model : Model
        In training, with averaged weights.
    training : StrokeTraining
        Its images are given guesses.
    cancel : CancelToken, optional
        Checked before every batch.
    """
    if training.step < training.guessed_at + EVERY:
        return False
    training.guessed_at = training.step
    images, pixels = training.patches.images, 0
    settings = model.recipe.inference.model_copy(update={"flips": "none"})
    for identifier, image in list(images.items()):
        pixels += image.whole.labels.size
        if pixels > max(MOST_PIXELS, image.whole.labels.size):
            break
        (found,) = predict_probabilities([image.whole.image], model.outputs, model.sizes, settings, cancel)
        del images[identifier]  # comes last now
        images[identifier] = image.guess(found)
    return True
