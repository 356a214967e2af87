"""What a package says of its model, for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_unet.networks.registry import architecture

if TYPE_CHECKING:
    from napari_unet.models.card import ModelCard
    from napari_unet.networks.sizes import InputSizes
    from napari_unet.settings import NetworkSettings

INTENSITIES = {
    "image": "Each image is brought to mean 0 and deviation 1, channel by channel; the package does that "
    "itself, so any range of intensities will do. Give whole images, not tiles, to have the same result.",
    "robust": "Before you give an image to the package, cut its 0.1 % darkest and brightest pixels. Then "
    "bring each channel to mean 0 and deviation 1. The package does not do that. "
    "The test image is prepared already.",
    "dataset": "Divide integers by the largest value of their type (255 for 8 bits) first. Mean and "
    "deviation of the training images are then applied by the package itself.",
    "range": "Divide integers by the largest value of their type (255 for 8 bits) first; nothing else "
    "is done.",
}


def documentation(card: ModelCard, title: str, sizes: InputSizes) -> str:
    """The documentation of a package, from the model's card.

    Parameters
    ----------
    card : ModelCard
        What the model knows of itself.
    title : str
        Its heading.
    sizes : InputSizes
        That the network takes.

    Returns
    -------
    str
        Markdown.
    """
    network, normalization = card.recipe.network, card.normalization
    paper = architecture(network.name)
    scale = normalization.scale
    channels = f"{normalization.channels} channel{'s' * (normalization.channels != 1)}"
    lines = [
        f"# {title}",
        "",
        f"A {paper.title} ({paper.doi}) that marks {_list(card.classes)} in images with {channels}, "
        f"trained with napari-unet on {card.trained_on}.{_started(card)}",
        "",
        "## Input",
        "",
        INTENSITIES[normalization.intensities],
        "",
    ]
    if scale != 1:
        lines += [
            f"Resize images by {scale:g} in Y and X before that: the network was trained at this size, and "
            "the package cannot say so itself. The test image is at that size already.",
            "",
        ]
    lines += [
        *_slices(network, sizes),
        f"Y and X are {sizes.at_least(sizes.minimum)} pixels plus any multiple of {sizes.multiple}."
        + (f" {sizes.margin} pixels are lost at each side." if sizes.margin else ""),
        "",
        "## Output",
        "",
        f"Probabilities of {_list(card.classes)}"
        + (", then presence: whether there is anything in the image, everywhere the same" * network.presence)
        + (f", then {_apart(network)} that tells touching objects apart" if _apart(network) else "")
        + f". The mask is where a probability is above {card.recipe.inference.threshold:g}."
        + _least(card),
        "",
        "## Validation",
        "",
        _validation(card),
        "",
        "The test image and the cover are synthetic: they show that the network computes as it should, not "
        "how good it is.",
        "",
    ]
    return "\n".join(lines)


def _least(card: ModelCard) -> str:
    """Which pieces of the mask are background after all."""
    inference = card.recipe.inference
    if not inference.asks_depth(card.recipe.network):
        return ""
    return f" Pieces of it that are nowhere deeper than {inference.least_depth:g} are background."


def _slices(network: NetworkSettings, sizes: InputSizes) -> list[str]:
    """How a network sees slices of a volume, for one that does."""
    if network.dimensions == "2.5d":
        each = network.input_channels // network.slices
        return [
            f"The channels are those of {network.slices} slices of a volume, one behind another"
            f"{f', {each} of each' if each > 1 else ''}. The answer is that for the slice in the middle. "
            "At the first and the last slice the volume is mirrored.",
            "",
        ]
    if sizes.along_z is None:
        return []
    z = sizes.along_z
    return [f"Z is {z.at_least(z.minimum)} slices plus any multiple of {z.multiple}.", ""]


def _started(card: ModelCard) -> str:
    """Whose weights the training started from, as their licence asks; empty for random ones."""
    weights = card.provenance.get("pretrained") or {}
    if not weights:
        return ""
    return (
        f" Its encoder was trained further from {weights['title']} ({weights['source']}) by "
        f"{weights['attribution']}, under the licence {weights['licence']} "
        f"(https://spdx.org/licenses/{weights['licence']})."
    )


def _validation(card: ModelCard) -> str:
    held_out = (card.provenance.get("split") or {}).get("held_out") or ()
    said = []
    if card.validation_iou is not None:
        said.append(f"IoU {card.validation_iou:.3f} on the images by which its weights were chosen.")
    if held_out:
        said.append(f"{len(held_out):,} further images of the data set were never looked at in training.")
    if not said:
        said.append("No score is stored with this model.")
    said.append("Check it on images of your own with reference masks before you trust it.")
    return " ".join(said)


def _apart(network: Any) -> str:
    if network.separation == "star":
        return "the distance, and star-convex polygons (shares of 1024 pixels along 32 rays)"
    return "" if network.separation == "none" else f"the {network.separation}"


def _list(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
