"""Which model fits an image, by a quick look at it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_unet.models.image_statistics import ALIKE, closest_kind
from napari_unet.models.likeness import Likeness

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
    channel : str
        Number of the channel of the image that it fits; empty: the image as it is read.
    """

    card: ModelCard
    reason: str
    difference: float
    channel: str = ""


def suggest(
    statistics: ImageStatistics, channels: int, cards: Iterable[ModelCard], colour: bool | None = None
) -> Suggestion | None:
    """The model whose training images an image looks most like.

    Parameters
    ----------
    statistics : ImageStatistics
        Of the image, by ``describe_image``.
    channels : int
        Of the image.
    cards : iterable of ModelCard
        Models to choose from; those that tell no looks of their training images are passed over.
    colour : bool or None
        Whether the channels are red, green and blue of one colour; None where nobody says so.

    Returns
    -------
    Suggestion or None
        None if no model takes such channels and was trained on images like this.
    """
    best: Suggestion | None = None
    for card in cards:
        kinds = card.provenance.get("looks")
        if not isinstance(kinds, list) or card.mismatch(channels, colour):
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


def closest_model(
    statistics: ImageStatistics, channels: int, cards: Iterable[ModelCard], colour: bool | None = None
) -> Suggestion | None:
    """The model whose training images an image is least unlike, where none fits; parameters as for `suggest`.

    Returns
    -------
    Suggestion or None
        With what is unlike as its reason. None if no model takes such channels.
    """
    best: Suggestion | None = None
    for card in cards:
        kinds = card.provenance.get("looks")
        if not isinstance(kinds, list) or card.mismatch(channels, colour):
            continue
        _, difference = closest_kind(statistics, kinds)
        if best is None or difference < best.difference:
            likeness = Likeness.of_model(card.provenance)
            why = likeness.compare(statistics).why if likeness is not None else ""
            best = Suggestion(card, why, difference)
    return best


def suggest_channel(looks: Iterable[ImageStatistics], cards: Sequence[ModelCard]) -> Suggestion | None:
    """The model and the channel of an image that fit each other best.

    Parameters
    ----------
    looks : iterable of ImageStatistics
        Of each channel, in order.
    cards : sequence of ModelCard
        Models to choose from.
    """
    found = [
        replace(one, channel=str(number))
        for number, look in enumerate(looks)
        if (one := suggest(look, 1, cards)) is not None
    ]
    return min(found, key=lambda one: one.difference, default=None)
