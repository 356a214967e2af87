"""Weights from elsewhere: of a network of the same family, or published ones; encoders that stay fixed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_unet.errors import SettingsError
from napari_unet.networks.registry import architecture, architectures

if TYPE_CHECKING:
    from napari_unet.networks.architecture import IncludedWeights
    from napari_unet.settings import NetworkSettings

ENCODER = "encoder_"
PUBLISHED = "imagenet"
RANDOM = "none"  # as a source: random weights, where published ones come with the program, too


def related(one: NetworkSettings, two: NetworkSettings) -> bool:
    """Whether two different networks may start from each other's weights: same family, same settings."""
    first, second = architecture(one.name), architecture(two.name)
    if not first.family or first.family != second.family:
        return False
    return first.differing(one, two.model_copy(update={"name": one.name, "dropout": one.dropout})) == []


def copy_weights(network: Any, parent: Any) -> list[str]:
    """Give a network the weights of its relative, layer by layer, where name and shapes agree.

    Parameters
    ----------
    network : keras.Model
        Changed in place; what the parent lacks stays as it is.
    parent : keras.Model
        With the weights.

    Returns
    -------
    list of str
        The layers that were given weights.
    """
    theirs = {layer.name: layer for layer in parent.layers if layer.weights}
    taken = []
    for layer in network.layers:
        other = theirs.get(layer.name)
        if other is None or [w.shape for w in layer.weights] != [w.shape for w in other.weights]:
            continue
        layer.set_weights(other.get_weights())
        taken.append(layer.name)
    return taken


def use_pretrained(network: Any, settings: NetworkSettings, source: str) -> IncludedWeights | None:
    """Fill the encoder of a network with published weights, if some are wanted.

    Parameters
    ----------
    network : keras.Model
        Changed in place.
    settings : NetworkSettings
        That it was built from.
    source : str
        "imagenet", which may fetch a file, or the path of a file; empty: those that come with the program,
        nothing for a network that has none there; "none": nothing.

    Returns
    -------
    IncludedWeights or None
        Those that it was filled with, if they come with the program.

    Raises
    ------
    SettingsError
        If there are no published weights for this network.
    ModelError
        If they cannot be fetched or read.
    """
    chosen = architecture(settings.name)
    included = chosen.included(settings)
    if source == RANDOM or not (source or included):
        return None
    if chosen.pretrained is None:
        able = sorted(name for name, other in architectures().items() if other.pretrained is not None)
        raise SettingsError(
            f"there are no published weights for the network {settings.name}",
            code="settings.pretrained.unsupported",
            expected=f"one of {', '.join(able)}",
            remedy="choose one of them, or leave the setting pretrained empty",
        )
    chosen.pretrained(network, settings, source or PUBLISHED)
    return included if source in ("", PUBLISHED) else None


def freeze_encoder(network: Any, share: float) -> int:
    """Keep the first layers of an encoder as they are, and its normalizations with the statistics they have.

    Parameters
    ----------
    network : keras.Model
        Changed in place.
    share : float
        Of the encoder's layers with weights, 0 to 1, from the input on.

    Returns
    -------
    int
        How many layers that is.

    Raises
    ------
    SettingsError
        If the network has no encoder that can be separated from the rest.
    """
    if share <= 0:
        return 0
    layers = [layer for layer in network.layers if layer.name.startswith(ENCODER) and layer.weights]
    if not layers:
        raise SettingsError(
            "this network has no encoder that could stay as it is",
            code="settings.encoder.missing",
            expected="encoder_unet, an FCN, SegNet or DeepLabv3+",
            remedy="set frozen=0",
        )
    count = round(share * len(layers))
    for layer in layers[:count]:
        layer.trainable = False
    return count
