"""Auxiliary heads: logits on the way through a network that are trained along with its output.

The network that is saved and used has one output. Its auxiliary heads are layers on the way to it, so
training only needs another view of the same layers, in which their outputs come out as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_unet.networks.layers.own_layers import stacked_heads
from napari_unet.networks.registry import architecture

if TYPE_CHECKING:
    from napari_unet.settings import NetworkSettings

LEAST = 0.01  # what the weight of the auxiliary heads falls to, as a share of where it starts
STACK = "stacked_heads"


def learner_of(network: Any, settings: NetworkSettings) -> Any:
    """The view of a network that is trained: itself, or one that gives the logits of all heads.

    Parameters
    ----------
    network : keras.Model
        From the registry.
    settings : NetworkSettings
        That it was built from.

    Returns
    -------
    keras.Model
        With the same layers. For H auxiliary heads its output is (N, Y, X, (1 + H) * outputs + 1)
        float32: the logits of the output, those of the heads, and the heads' weight in the loss.

    Raises
    ------
    SettingsError
        If there is no network of that name.
    """
    import keras

    names = architecture(settings.name).heads(settings)
    if not names:
        return network
    answers = [network.output, *(network.get_layer(name).output for name in names)]
    stacked = stacked_heads()(dtype="float32", name=STACK)(answers)
    return keras.Model(network.input, stacked, name=f"{network.name}_learner")


def set_share(learner: Any, auxiliary_weight: float, progress: float) -> None:
    """Weigh the auxiliary heads for a moment of the training; nothing where there are none.

    The weight falls from `auxiliary_weight` to a hundredth of it, by the same factor in each step, as the
    deep contextual network has it (doi:10.1609/aaai.v30i1.10141).

    Parameters
    ----------
    learner : keras.Model
        From ``learner_of``.
    auxiliary_weight : float
        At the start.
    progress : float
        Share of the training that is done, 0 to 1.
    """
    last = learner.layers[-1]
    if last.name == STACK:
        last.share.assign(auxiliary_weight * LEAST**progress)


def heads_of(network: Any, settings: NetworkSettings) -> dict[str, Any]:
    """A network for each auxiliary head, and "output"; all share their layers.

    Parameters
    ----------
    network, settings
        As ``learner_of``.

    Returns
    -------
    dict of str to keras.Model
        By the name of the head: (N, Y, X, C) float32 to its logits, (N, Y, X, outputs) float32.

    Raises
    ------
    SettingsError
        If there is no network of that name.
    """
    import keras

    names = architecture(settings.name).heads(settings)
    found = {name.removesuffix("_float32"): network.get_layer(name).output for name in names}
    return {
        "output": network,
        **{name: keras.Model(network.input, output, name=name) for name, output in found.items()},
    }
