"""Weights from a Keras file into a network of ours, and the proof that both then answer alike."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import ModelError
from napari_unet.models.keras_import.keras_graph import build_source
from napari_unet.networks.registry import build_network, count_parameters, input_sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.models.keras_import.keras_files import KerasFile, StoredLayer
    from napari_unet.settings import NetworkSettings

TOLERANCE = 1e-4
SEED = 0
BY_NAME = "by name"
AFTER_MERGE = re.compile(r"decode\d+_(conv1|project)")  # what reads skip and up-convolution together
Weights = dict[str, "list[NDArray[np.float32]]"]


@dataclass(frozen=True, eq=False)
class Adopted:
    """A network of ours with the weights of a file.

    Attributes
    ----------
    network : keras.Model
        Images to logits.
    how : str
        How the weights were matched, in words.
    activation : str
        What the file puts on the logits; empty where it holds weights alone.
    difference : float or None
        Largest difference of the outputs on the test images; None where there was nothing to compare with.
    factor : float
        What the file multiplied images by first.
    """

    network: Any
    how: str
    activation: str = ""
    difference: float | None = None
    factor: float = 1.0


def weights_of(settings: NetworkSettings) -> int:
    """How many weights the network of these settings has."""
    return count_parameters(settings)


def adopt(source: KerasFile, settings: NetworkSettings, most: int) -> Adopted:
    """Build the network of the settings with the weights of a file.

    Weights are matched by the names of the layers, else by order and shape. Biases before a batch
    normalization, which ours does without, go into its mean. Where the up-convolution is merged before
    the skip, the channels of the kernels that read them are exchanged. A file with a whole network is
    only accepted if it answers as ours does then.

    Parameters
    ----------
    source : KerasFile
        The file.
    settings : NetworkSettings
        Of the network.
    most : int
        Weights that the file's network may have in all.

    Returns
    -------
    Adopted
        The network and what was found.

    Raises
    ------
    ModelError
        If shapes do not fit, or the outputs differ.
    """
    network = build_network(settings)
    weights, how = _match(network, source)
    if not all(np.isfinite(array).all() for arrays in weights.values() for array in arrays):
        raise ModelError(
            f"the weights in {source.name} are not all numbers",
            code="model.weights.values",
            expected="finite weights",
            got="NaN or infinity",
            remedy="train the model again",
        )
    _set(network, weights)
    if source.config is None:
        return Adopted(network, how)
    sizes = input_sizes(settings)
    shape = (sizes.at_least(64), sizes.at_least(96), settings.input_channels)
    theirs = build_source(source, shape, most)
    _check_activation(theirs.activation, settings, source.name)
    images = test_images(shape)
    wanted = np.asarray(theirs.network.predict_on_batch(images), np.float32)
    if np.ptp(wanted) < TOLERANCE:
        raise ModelError(
            f"the network in {source.name} answers the same everywhere",
            code="model.network.constant",
            expected="answers that depend on the image, so that they can be compared",
            got=f"{wanted.flat[0]:.4g} for every pixel",
            remedy="train it again, or import its weights alone",
        )
    difference = _difference(network, images, wanted, theirs.activation)
    if difference > TOLERANCE and any(AFTER_MERGE.fullmatch(name) for name in weights):
        _set(network, _exchanged(weights))
        exchanged = _difference(network, images, wanted, theirs.activation)
        if exchanged <= TOLERANCE:
            difference, how = exchanged, f"{how}, with up-convolution and skip exchanged"
    if not difference <= TOLERANCE:
        raise ModelError(
            f"the network of the settings does not answer as the one in {source.name}",
            code="model.network.different",
            expected=f"outputs equal within {TOLERANCE:g}",
            got=f"a difference of {difference:.3g}",
            remedy="name the network's block, padding, normalization and activations in the settings as they "
            "were built; activations inside must be ReLU",
        )
    return Adopted(network, how, theirs.activation, difference, theirs.factor)


def test_images(shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """(2, Y, X, C) float32: noise around 0 with deviation 1, and noise from 0 to 1; always the same."""
    rng = np.random.default_rng(SEED)
    return np.stack([rng.standard_normal(shape), rng.random(shape)]).astype(np.float32)


def _match(network: Any, source: KerasFile) -> tuple[Weights, str]:
    """Weights for each layer of ours, and how they were found."""
    ours = [layer for layer in network.layers if layer.weights]
    named = {layer.name: layer for layer in source.layers}
    if all(o.name in named and _shapes(o) == named[o.name].shapes for o in ours) and len(named) == len(ours):
        return {o.name: list(named[o.name].arrays) for o in ours}, BY_NAME
    found: Weights = {}
    biases: dict[str, NDArray[np.float32]] = {}
    left = list(source.layers)
    normalized = {o.name for o in ours if o.__class__.__name__ == "BatchNormalization"}
    for layer in ours:
        bare = f"{layer.name}_norm" in normalized
        chosen = next((other for other in left if _fits(layer, other, bare)), None)
        if chosen is None:
            raise _no_place(source, f"the layer {layer.name} with {_words(_shapes(layer))}", left)
        left.remove(chosen)
        count = len(layer.weights)
        found[layer.name] = list(chosen.arrays[:count])
        if len(chosen.arrays) > count:
            biases[f"{layer.name}_norm"] = chosen.arrays[count]
    if left:
        raise _no_place(source, f"{len(ours)} layers with weights", left)
    for name, bias in biases.items():
        found[name][2] = found[name][2] - bias  # gamma, beta, mean, variance
    return found, "by order and shape"


def _no_place(source: KerasFile, expected: str, left: list[StoredLayer]) -> ModelError:
    got = f"{left[0].name} with {_words(left[0].shapes)}" if left else "no layer more"
    return ModelError(
        f"the weights in {source.name} do not fit the network of the settings",
        code="model.weights.misfit",
        expected=expected,
        got=got,
        remedy="correct filters, depth, block, normalization, channels or classes in the settings",
    )


def _shapes(layer: Any) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(w.shape) for w in layer.weights)


def _words(shapes: tuple[tuple[int, ...], ...]) -> str:
    return " and ".join("x".join(map(str, shape)) for shape in shapes)


def _fits(layer: Any, other: StoredLayer, bare: bool) -> bool:
    """Whether the weights are those of such a layer, or of one with a bias where ours is bare of it."""
    shapes = _shapes(layer)
    if other.shapes == shapes:
        return True
    return bare and len(shapes) == 1 and other.shapes == (*shapes, shapes[0][-1:])


def _set(network: Any, weights: Weights) -> None:
    for name, arrays in weights.items():
        network.get_layer(name).set_weights(arrays)


def _exchanged(weights: Weights) -> Weights:
    """The same with the halves of the channels exchanged where skip and up-convolution are read."""
    changed = dict(weights)
    for name, (kernel, *rest) in weights.items():
        if AFTER_MERGE.fullmatch(name):
            half = kernel.shape[2] // 2
            changed[name] = [np.concatenate([kernel[:, :, half:], kernel[:, :, :half]], axis=2), *rest]
    return changed


def _difference(network: Any, images: NDArray[np.float32], wanted: NDArray[np.float32], last: str) -> float:
    """Largest difference of logits, as a share of the largest where that is above 1, and of probabilities."""
    found = np.asarray(network.predict_on_batch(images), np.float32)
    if found.shape != wanted.shape:
        return float("inf")
    gap = float(np.abs(found - wanted).max()) / max(1.0, float(np.abs(wanted).max()))
    if last != "linear":
        gap = max(gap, float(np.abs(_put_on(found, last) - _put_on(wanted, last)).max()))
    return gap


def _put_on(logits: NDArray[np.float32], activation: str) -> NDArray[np.float64]:
    values = logits.astype(np.float64)
    if activation == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-np.clip(values, -80, 80))))
    shifted = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def _check_activation(found: str, settings: NetworkSettings, name: str) -> None:
    if found == "linear" or (found == settings.activation and settings.separation == "none"):
        return
    if found == "sigmoid" == settings.activation:
        return
    raise ModelError(
        f"the network in {name} ends otherwise than the settings say",
        code="model.network.activation",
        expected=f"logits or {settings.activation}",
        got=found,
        remedy=f"set activation to {found} in the settings"
        if settings.separation == "none"
        else "set separation to none in the settings",
    )
