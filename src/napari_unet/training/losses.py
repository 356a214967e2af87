"""Losses on logits, weighted by pixel: a pixel of weight 0 counts for nothing.

Every loss takes ``(target, logits)``. ``target`` is (N, Y, X, K + 1) float32: first the one-hot
classes 1..K, then the weight of the pixel. ``logits`` is (N, Y, X, K) for sigmoid and
(N, Y, X, K + 1), background first, for softmax. A loss is a float32 scalar, 0 where nothing is
annotated. Of volumes both have an axis more, Z before Y. A network with a separation has one more target,
before the weights, and one more logit; a star-convex one has 33 more of each. A network with presence
has one more logit, the last. One that finds objects answers with its losses themselves.
With auxiliary heads ``logits`` holds those of its output, those of each head,
and last the heads' weight: (N, Y, X, (1 + H) * channels + 1).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from napari_unet.errors import SettingsError
from napari_unet.settings import SEPARATION_CHANNELS
from napari_unet.training.entropy import sigmoid_cross_entropy
from napari_unet.training.regions import summed_losses

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.settings import NetworkSettings, TrainingSettings

FOCUS = 2.0  # gamma of the focal loss
SMOOTH = 1e-5
RAY_WEIGHT = 3.2  # 0.2 a pixel, of units of 16
PRESENCE_WEIGHT = 0.5
KNOWN_TO_BE_EMPTY = 1 / 3  # share of a patch that is annotated from which it is empty if nothing is in it


def make_loss(network: NetworkSettings, training: TrainingSettings) -> Callable[[Any, Any], Any]:
    """The loss the settings name.

    Parameters
    ----------
    network : NetworkSettings
        Its activation, separation and presence say what target and logits hold.
    training : TrainingSettings
        Its `loss`.

    Returns
    -------
    callable
        (target, logits) -> float32 scalar.

    Raises
    ------
    SettingsError
        If there is no loss of that name.
    """
    if network.separation == "objects":
        return summed_losses
    terms = {
        "cross_entropy": (cross_entropy,),
        "dice": (dice,),
        "cross_entropy_dice": (cross_entropy, dice),
        "lovasz": (lovasz,),
        "cross_entropy_lovasz": (cross_entropy, lovasz),
        "focal": (focal,),
    }.get(training.loss)
    if terms is None:
        raise SettingsError(f"there is no loss called {training.loss!r}", code="settings.loss.unknown")
    softmax = network.activation == "softmax"
    apart = SEPARATION_CHANNELS[network.separation]
    channels = network.outputs

    def loss(target: Any, logits: Any) -> Any:
        one = separated if apart else whole
        total = one(target, logits[..., :channels])
        if network.presence:  # such networks have no auxiliary heads
            first = target[..., : network.classes]
            return total + PRESENCE_WEIGHT * presence_loss(first, target[..., -1:], logits[..., channels:])
        heads = [one(target, logits[..., n : n + channels]) for n in _heads(logits.shape[-1], channels)]
        return total if not heads else total + _share(logits) * sum(heads[1:], heads[0])

    def separated(target: Any, logits: Any) -> Any:
        from keras import ops

        weights = target[..., -1:]
        first, first_logit = target.shape[-1] - 1 - apart, channels - apart
        classes = ops.concatenate([target[..., :first], weights], axis=-1)
        deep = ops.concatenate([target[..., first : first + 1], weights], axis=-1)
        total = whole(classes, logits[..., :first_logit])
        total = total + separation_loss(deep, logits[..., first_logit : first_logit + 1])
        if network.separation == "star":
            total = total + ray_loss(target[..., first:], logits[..., first_logit + 1 :])
        return total

    def whole(target: Any, logits: Any) -> Any:
        total = terms[0](target, logits, softmax)
        for term in terms[1:]:
            total = total + term(target, logits, softmax)
        return total

    return loss


def _heads(width: int, channels: int) -> range:
    """Where the logits of each auxiliary head begin; nothing if there are none."""
    return range(channels, width - 1, channels)


def _share(logits: Any) -> Any:
    """Weight of the auxiliary heads, which lies in the last channel."""
    from keras import ops

    return ops.mean(logits[..., -1])


def _parts(target: Any, softmax: bool) -> tuple[Any, Any]:
    """One-hot classes, with the background first for softmax, and weights (N, Y, X, 1)."""
    from keras import ops

    classes, weights = target[..., :-1], target[..., -1:]
    if softmax:
        background = 1.0 - ops.sum(classes, axis=-1, keepdims=True)
        classes = ops.concatenate([background, classes], axis=-1)
    return classes, weights


def _probabilities(logits: Any, softmax: bool) -> Any:
    from keras import ops

    return ops.softmax(logits, axis=-1) if softmax else ops.sigmoid(logits)


def _pixel_cross_entropy(classes: Any, logits: Any, softmax: bool) -> Any:
    """(N, Y, X, 1): cross entropy of each pixel, the mean over the classes for sigmoid."""
    from keras import ops

    if softmax:
        return -ops.sum(classes * ops.log_softmax(logits, axis=-1), axis=-1, keepdims=True)
    return ops.mean(sigmoid_cross_entropy(classes, logits), axis=-1, keepdims=True)


def cross_entropy(target: Any, logits: Any, softmax: bool = False) -> Any:
    """Pixel-wise weighted cross entropy, equation 1 of the U-Net paper, per unit of weight.

    Notes
    -----
    sum(w(x) * -log p(x)) / sum(w(x)). Ronneberger et al. 2015, doi:10.1007/978-3-319-24574-4_28.
    """
    from keras import ops

    classes, weights = _parts(target, softmax)
    each = _pixel_cross_entropy(classes, logits, softmax)
    return ops.sum(weights * each) / (ops.sum(weights) + SMOOTH)


def separation_loss(target: Any, logits: Any) -> Any:
    """Cross entropy of the output that tells objects apart.

    Parameters
    ----------
    target : tensor
        (N, Y, X, 2): separation in [0, 1], negative where it is not known, and weight.
    logits : tensor
        (N, Y, X, 1).

    Notes
    -----
    A target between 0 and 1 is a probability; the loss is smallest where sigmoid(logit) equals it.
    """
    from keras import ops

    known = ops.cast(target[..., :1] >= 0, "float32") * target[..., 1:]
    both = ops.concatenate([ops.maximum(target[..., :1], 0.0), known], axis=-1)
    return cross_entropy(both, logits)


def presence_loss(classes: Any, weights: Any, logits: Any) -> Any:
    """Cross entropy of whether there is anything in an image.

    Parameters
    ----------
    classes : tensor
        (N, Y, X, K), one-hot.
    weights : tensor
        (N, Y, X, 1).
    logits : tensor
        (N, Y, X, 1), the same for all pixels of an image.

    Notes
    -----
    Something is there if a pixel of known foreground is; nothing, if none is and a third of the patch or
    more is known. Other patches do not count.
    """
    from keras import ops

    known = ops.cast(weights > 0, "float32")
    there = ops.max(ops.max(classes, axis=-1, keepdims=True) * known, axis=(1, 2, 3))
    annotated = ops.mean(known, axis=(1, 2, 3)) >= KNOWN_TO_BE_EMPTY
    counts = ops.maximum(there, ops.cast(annotated, "float32"))
    each = sigmoid_cross_entropy(there, ops.mean(logits, axis=(1, 2, 3)))
    return ops.sum(counts * each) / (ops.sum(counts) + SMOOTH)


def ray_loss(target: Any, logits: Any) -> Any:
    """Mean absolute error of the distances along rays, deep pixels counting most.

    Parameters
    ----------
    target : tensor
        (N, Y, X, 34): depth, 32 distances in units of 16 pixels, negative where they are not known, weight.
    logits : tensor
        (N, Y, X, 32): distances in the same units.

    Notes
    -----
    As in Schmidt et al. 2018, doi:10.1007/978-3-030-00934-2_30, with 0.2 a pixel.
    """
    from keras import ops

    depth, distances, weights = target[..., :1], target[..., 1:-1], target[..., -1:]
    known = ops.cast(distances >= 0, "float32") * ops.maximum(depth, 0.0) * weights
    wrong = ops.abs(distances - ops.cast(logits, "float32"))
    return RAY_WEIGHT * ops.sum(known * wrong) / (ops.sum(known) + SMOOTH)


def focal(target: Any, logits: Any, softmax: bool = False) -> Any:
    """Focal loss: cross entropy times (1 - p) ** 2, so that easy pixels weigh little.

    Notes
    -----
    Lin et al. 2017, doi:10.1109/ICCV.2017.324.
    """
    from keras import ops

    classes, weights = _parts(target, softmax)
    p = _probabilities(logits, softmax)
    if softmax:
        true = ops.sum(classes * p, axis=-1, keepdims=True)
        each = (1.0 - true) ** FOCUS * _pixel_cross_entropy(classes, logits, softmax)
    else:
        true = classes * p + (1.0 - classes) * (1.0 - p)
        entropy = sigmoid_cross_entropy(classes, logits)
        each = ops.mean((1.0 - true) ** FOCUS * entropy, axis=-1, keepdims=True)
    return ops.sum(weights * each) / (ops.sum(weights) + SMOOTH)


def dice(target: Any, logits: Any, softmax: bool = False) -> Any:
    """One minus soft Dice over the batch, the mean over the classes that occur in it.

    Notes
    -----
    1 - (2 sum(w p t) + s) / (sum(w p) + sum(w t) + s) for each class, background left out. The
    small s makes it 0 where a class neither occurs nor is predicted.
    Milletari et al. 2016, doi:10.1109/3DV.2016.79.
    """
    from keras import ops

    classes, weights = _parts(target, softmax)
    p = _probabilities(logits, softmax)
    if softmax:
        classes, p = classes[..., 1:], p[..., 1:]
    axes = tuple(range(len(p.shape) - 1))
    both = ops.sum(weights * classes * p, axis=axes)
    sizes = ops.sum(weights * p, axis=axes) + ops.sum(weights * classes, axis=axes)
    smooth = 1.0
    return ops.mean(1.0 - (2.0 * both + smooth) / (sizes + smooth))


def lovasz(target: Any, logits: Any, softmax: bool = False) -> Any:
    """Lovász loss: the convex surrogate of one minus IoU, image by image.

    Notes
    -----
    Hinge errors for sigmoid, 1 - p for softmax, sorted, times the discrete gradient of IoU. Hinge
    errors pass through elu + 1 rather than relu, so that the gradient does not vanish early.
    Images where a class has no pixel count too. Berman et al. 2018, doi:10.1109/CVPR.2018.00464.
    """
    from keras import ops

    classes, weights = _parts(target, softmax)
    known = ops.cast(weights > 0, "float32")
    if softmax:
        p = _probabilities(logits, softmax)
        errors = ops.abs(classes - p)[..., 1:]
        classes = classes[..., 1:]
    else:
        errors = ops.elu(1.0 - (2.0 * classes - 1.0) * logits) + 1.0
    # Unknown pixels sort to the end with error 0 and count as background there.
    errors, classes = errors * known, classes * known
    count = classes.shape[-1]
    shape = ops.shape(errors)
    flat = (shape[0], math.prod(shape[1:-1]), count)
    errors, classes = ops.reshape(errors, flat), ops.reshape(classes, flat)
    order = ops.argsort(-errors, axis=1)
    sorted_errors = ops.take_along_axis(errors, order, axis=1)
    sorted_classes = ops.take_along_axis(classes, order, axis=1)
    total = ops.sum(sorted_classes, axis=1, keepdims=True)
    intersection = total - ops.cumsum(sorted_classes, axis=1)
    union = total + ops.cumsum(1.0 - sorted_classes, axis=1)
    jaccard = 1.0 - intersection / ops.maximum(union, SMOOTH)
    gradient = ops.concatenate([jaccard[:, :1], jaccard[:, 1:] - jaccard[:, :-1]], axis=1)
    return ops.mean(ops.sum(sorted_errors * ops.stop_gradient(gradient), axis=1))
