"""Which model fits an image, by a quick look at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_unet.models.image_statistics import ALIKE, closest_kind
from napari_unet.models.likeness import Likeness

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_unet.models.card import ModelCard
    from napari_unet.models.image_statistics import ImageStatistics


@dataclass(frozen=True, eq=False)
class Suggestion:
    """A model that fits an image.

    Attributes
    ----------
    card : ModelCard
        The model.
    reason : str
        Why, in one line for a person.
    difference : float
        From what it was trained on, in deviations; the smaller the better.
    """

    card: ModelCard
    reason: str
    difference: float


def suggest(statistics: ImageStatistics, channels: int, cards: Iterable[ModelCard]) -> Suggestion | None:
    """The model whose training images an image looks most like.

    Parameters
    ----------
    statistics : ImageStatistics
        Of the image, by ``describe_image``.
    channels : int
        Of the image.
    cards : iterable of ModelCard
        Models to choose from; those that tell no looks of their training images are passed over.

    Returns
    -------
    Suggestion or None
        None if no model takes such channels and was trained on images like this.
    """
    best: Suggestion | None = None
    for card in cards:
        kinds = card.provenance.get("looks")
        if not isinstance(kinds, list) or card.mismatch(channels):
            continue
        kind, difference = closest_kind(statistics, kinds)
        if difference > ALIKE or (best is not None and difference >= best.difference):
            continue
        images = f"{kind} training images" if kind else "training images"
        likeness = Likeness.of_model(card.provenance)
        if likeness is not None and likeness.compare(statistics).is_unlike:
            reason = f"{card.name} is closest: looks a little like its {images}"
        else:
            reason = f"{card.name} fits: looks like its {images}"
        best = Suggestion(card, reason, difference)
    return best
