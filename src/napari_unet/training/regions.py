"""How Mask R-CNN learns: which boxes and regions stand for which object, and five losses on them.

All losses of a batch come out of one network, which gets the objects with the image; so it trains on
every backend as any other does.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.networks.layers.own_layers import PACKAGE
from napari_unet.networks.mask_rcnn.boxes import anchors, area, best, encode, overlaps, rows
from napari_unet.networks.mask_rcnn.heads import MASK, SPREAD, regions_of, steps_of
from napari_unet.networks.mask_rcnn.network import POOLED, READ_FROM, TRIED_ON
from napari_unet.networks.mask_rcnn.region_align import region_align
from napari_unet.training.entropy import sigmoid_cross_entropy

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_PIXELS = 9  # of an object in a patch; of less of it nobody could say what it is
FEWEST_OBJECTS = 16  # rows of the table; it has twice as many, and so on, where there are more
ALIKE, UNLIKE = 0.7, 0.3  # overlap from which a tried box is of an object, and below which it is not
OF_OBJECT = 0.5  # overlap from which a region is of an object
TRIED_A_REGION = 4  # boxes whose loss is taken, for each region that is looked at
STEEP = 1 / 9  # units, below which the loss of tried boxes is a parabola
LOSSES = ("objectness", "tried boxes", "class", "box", "mask")


def prepare_batch(
    images: NDArray[np.float32], targets: NDArray[np.float32], step: int
) -> tuple[tuple[NDArray[np.float32], ...], NDArray[np.float32]]:
    """What the learner is shown of a batch.

    Parameters
    ----------
    images : numpy.ndarray
        (N, Y, X, C) float32.
    targets : numpy.ndarray
        (N, Y, X, K + 2) float32: one-hot classes, numbers of objects (-1 unknown), weights.
    step : int
        Of the training.

    Returns
    -------
    shown : tuple of numpy.ndarray
        Images. Numbers (N, Y, X) float32, 0 background, 1..G, -1 unknown. Objects (N, G, 5) float32: box
        and class 1..K, zeros for none, G a power of two. Luck (N, 1) float32 in [0, 1), which decides what
        is looked at and follows from the step alone.
    wanted : numpy.ndarray
        (N, 1) float32 zeros: the losses are to become that.
    """
    found = [objects_of(one) for one in targets]
    most = max(len(table) for _, table in found)
    count = FEWEST_OBJECTS
    while count < most:
        count *= 2
    objects = np.zeros((len(images), count, 5), np.float32)
    for row, (_, table) in zip(objects, found, strict=True):
        row[: len(table)] = table
    numbers = np.stack([one for one, _ in found])
    luck = np.random.default_rng(step).random((len(images), 1), np.float32)
    return (images, numbers, objects, luck), np.zeros((len(images), 1), np.float32)


def objects_of(target: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The objects of a patch.

    Parameters
    ----------
    target : numpy.ndarray
        (Y, X, K + 2) float32.

    Returns
    -------
    numbers : numpy.ndarray
        (Y, X) float32: 0 background, 1..G; -1 where it is not known, or too little of an object is seen.
    table : numpy.ndarray
        (G, 5) float32: top, left, bottom, right, class.
    """
    from scipy import ndimage

    before = target[..., -2]
    labels = target[..., :-2].argmax(axis=-1) + 1
    _, compact = np.unique(np.maximum(before, 0), return_inverse=True)
    compact = compact.reshape(before.shape) + (0 if (before <= 0).any() else 1)
    numbers = np.where(before < 0, -1, compact).astype(np.float32)
    table: list[tuple[float, ...]] = []
    for number, box in enumerate(ndimage.find_objects(compact), start=1):
        if box is None:
            continue
        part = numbers[box]
        inside = compact[box] == number
        if inside.sum() < LEAST_PIXELS:
            part[inside] = -1
            continue
        table.append((box[0].start, box[1].start, box[0].stop, box[1].stop, labels[box][inside].max()))
        part[inside] = len(table)
    return numbers, np.array(table, np.float32).reshape(-1, 5)


def region_learner(network: Any) -> Any:
    """The view of a Mask R-CNN that is trained: from what ``prepare_batch`` gives to the losses.

    Parameters
    ----------
    network : keras.Model
        From ``networks.mask_rcnn.network``.

    Returns
    -------
    keras.Model
        With the same layers; its output is (N, 5) float32, the losses of ``LOSSES``, the same for all images
        of a batch.
    """
    import keras

    numbers = keras.Input((None, None), name="numbers")
    objects = keras.Input((None, 5), name="objects")
    luck = keras.Input((1,), name="luck")
    truth = [numbers, objects, luck]
    levels = [network.get_layer(f"level{n}").output for n in range(1, len(TRIED_ON) + 2)]
    logits, steps = network.get_layer("proposal_head").output
    tried = tried_loss()(name="tried_loss")([logits, steps, *truth, *levels[1:]])
    regions = network.get_layer("proposals").output
    chosen, wanted, drawn_in, masks = chosen_regions()(name="chosen_regions")([regions, *truth, levels[0]])
    features = region_align()(POOLED, 2, READ_FROM, name="align_chosen")([chosen, *levels[:-1]])
    named, moved = network.get_layer("box_head")(features)
    features = region_align()(MASK // 2, 1, READ_FROM, name="align_drawn")([drawn_in, *levels[:-1]])
    drawn = network.get_layer("mask_head")(features)
    rest = region_loss()(name="region_loss")([named, moved, drawn, wanted, masks])
    losses = keras.layers.Concatenate(dtype="float32", name="losses")([tried, rest])
    return keras.Model([network.input, *truth], losses, name="mask_rcnn_learner")


def summed_losses(wanted: Any, losses: Any) -> Any:
    """The sum of the five losses, which are the same in every row of (N, 5)."""
    from keras import ops

    del wanted
    return ops.mean(ops.sum(losses, axis=-1))


def by_luck(wanted: Any, luck: Any) -> Any:
    """A number in [0, 1) for each place (N, B) that is 1 in `wanted`, another in each batch; -1 elsewhere."""
    from keras import ops

    place = ops.cumsum(ops.ones_like(wanted), axis=1)
    wave = 43758.5453 * ops.sin(12.9898 * place + 78.233 * luck)
    return ops.where(wanted > 0, wave - ops.floor(wave), -1.0)


def known_at(boxes: Any, numbers: Any) -> Any:
    """(N, B) float32: 1 where it is known what is in the middle of boxes (N, B, 4)."""
    from keras import ops

    y, x = (boxes[..., 0] + boxes[..., 2]) / 2, (boxes[..., 1] + boxes[..., 3]) / 2
    return ops.cast(numbers_at(numbers, y, x) >= 0, "float32")


def numbers_at(numbers: Any, y: Any, x: Any) -> Any:
    """(N, B) float32: numbers (N, Y, X) of the pixels that places (N, B) lie in."""
    from keras import ops

    shape = ops.shape(numbers)
    height, width = shape[1], shape[2]
    row = ops.clip(ops.cast(y, "int32"), 0, height - 1)
    column = ops.clip(ops.cast(x, "int32"), 0, width - 1)
    flat = ops.reshape(numbers, (shape[0], height * width, 1))
    return rows(flat, row * width + column)[..., 0]


def matched(tried: Any, objects: Any) -> tuple[Any, Any, Any]:
    """Which object each tried box stands for.

    Parameters
    ----------
    tried : tensor
        (N or 1, A, 4) float32.
    objects : tensor
        (N, G, 4) float32, zeros for none.

    Returns
    -------
    stands : tensor
        (N, A) float32, 1 for boxes that overlap an object by 0.7 or more, or as well as any box does.
    apart : tensor
        (N, A) float32, 1 for those of the others that overlap none by 0.3.
    which : tensor
        (N, A) int32, the row of the object that each overlaps most.
    """
    from keras import ops

    both = overlaps(tried, objects)
    most = ops.max(both, axis=2)
    best_there_is = ops.max(both, axis=1, keepdims=True)
    as_well = ops.logical_and(both >= best_there_is - 1e-6, best_there_is > 0)
    stands = ops.logical_or(most >= ALIKE, ops.any(as_well, axis=2))
    apart = ops.logical_and(most < UNLIKE, ops.logical_not(stands))
    which = ops.cast(ops.argmax(both, axis=2), "int32")
    return ops.cast(stands, "float32"), ops.cast(apart, "float32"), which


def smooth_l1(wrong: Any, steep: float) -> Any:
    """Absolute errors of (..., D), squared where they are below `steep`, summed over the last axis: (...)."""
    from keras import ops

    size = ops.abs(wrong)
    return ops.sum(ops.where(size < steep, size * size / (2 * steep), size - steep / 2), axis=-1)


def mean_of(values: Any, weights: Any) -> Any:
    """Mean of values (...), with weights (...), over everything; 0 where the weights sum to less than 0."""
    from keras import ops

    return ops.sum(values * weights) / ops.maximum(ops.sum(weights), 1.0)


def in_every_row(losses: list[Any], like: Any) -> Any:
    """Scalars as (N, len(losses)), for as many images as `like` has."""
    from keras import ops

    first = ops.reshape(ops.cast(like, "float32"), (ops.shape(like)[0], -1))[:, :1]
    return ops.stack(losses)[None] + 0.0 * ops.stop_gradient(first)


@cache
def tried_loss() -> Any:
    """The class of the layer that judges what is said of the tried boxes."""
    import keras
    from keras import ops

    @keras.saving.register_keras_serializable(PACKAGE)
    class TriedLoss(keras.layers.Layer):  # type: ignore[misc]
        """Logits, steps, what ``prepare_batch`` gives, and the levels tried on, to two losses (N, 2)."""

        def __init__(self, **options: Any) -> None:
            super().__init__(dtype="float32", **options)

        def call(self, given: list[Any]) -> Any:
            logits, steps, numbers, objects, luck, *levels = given
            tried = [anchors(level, stride) for level, stride in zip(levels, TRIED_ON, strict=True)]
            around = ops.concatenate(tried, axis=0)[None]
            stands, apart, which = matched(around, objects[..., :4])
            around = around + ops.zeros_like(ops.stop_gradient(steps))
            apart = apart * known_at(around, numbers)
            count = TRIED_A_REGION * regions_of(levels[0], TRIED_ON[0])
            arrays = logits, steps, around, ops.cast(which, "float32")[..., None]
            drawn = best(by_luck(stands, luck), count // 2, *arrays)
            chosen, yes, moved, boxes, row = drawn
            others, no = best(by_luck(apart, luck), count // 2, logits)
            ours, theirs = (ops.cast(one >= 0, "float32") for one in (chosen, others))
            said = ops.concatenate([yes, no], axis=1)[..., 0]
            right = ops.concatenate([ours, 0 * theirs], axis=1)
            weights = ops.concatenate([ours, theirs], axis=1)
            objectness = mean_of(sigmoid_cross_entropy(right, said), weights)
            wanted = encode(rows(objects, row[..., 0])[..., :4], boxes)
            where = mean_of(smooth_l1(moved - wanted, STEEP), ours)
            return in_every_row([objectness, where], luck)

        def compute_output_spec(self, given: list[Any]) -> Any:
            return keras.KerasTensor((given[0].shape[0], 2), "float32")

    return TriedLoss


@cache
def chosen_regions() -> Any:
    """The class of the layer that chooses regions to learn from, half of them of objects if there are."""
    import keras
    from keras import ops

    @keras.saving.register_keras_serializable(PACKAGE)
    class ChosenRegions(keras.layers.Layer):  # type: ignore[misc]
        """Proposals, what ``prepare_batch`` gives and a level of stride 2 to regions and what is wanted.

        Regions (N, n, 4), those of objects in the first half. For each class, weight and four steps
        (N, n, 6). The first half again (N, n / 2, 4). For each of it class, weight, and the mask
        (N, n / 2, 2 + 784), -1 where it is not known.
        """

        def __init__(self, **options: Any) -> None:
            super().__init__(dtype="float32", **options)

        def call(self, given: list[Any]) -> tuple[Any, Any, Any, Any]:
            proposed, numbers, objects, luck, level = (ops.stop_gradient(one) for one in given)
            regions = ops.concatenate([proposed, objects[..., :4]], axis=1)
            both = overlaps(regions, objects[..., :4])
            most = ops.max(both, axis=2)
            real = ops.cast(area(regions) > 0, "float32")
            of_object = real * ops.cast(most >= OF_OBJECT, "float32")
            of_none = real * ops.cast(most < OF_OBJECT, "float32") * known_at(regions, numbers)
            which = ops.cast(ops.argmax(both, axis=2), "float32")[..., None]
            half = regions_of(level, READ_FROM[0]) // 4
            first, ours, row = best(by_luck(of_object, luck), half, regions, which)
            second, theirs = best(by_luck(of_none, luck), half, regions)
            first, second = (ops.cast(one >= 0, "float32")[..., None] for one in (first, second))
            ours, theirs, row = ours * first, theirs * second, row[..., 0]
            found = rows(objects, row)
            steps = encode(found[..., :4], ours) / ops.convert_to_tensor(SPREAD)
            wanted = ops.concatenate([found[..., 4:] * first, first, steps], axis=-1)
            blank = ops.zeros_like(theirs[..., :1])
            other = ops.concatenate([blank, second, 0 * theirs], axis=-1)
            masks = ops.concatenate([wanted[..., :2], self.masks(ours, row, numbers)], axis=-1)
            everything = ops.concatenate([ours, theirs], axis=1)
            return everything, ops.concatenate([wanted, other], axis=1), ours, masks

        @staticmethod
        def masks(boxes: Any, row: Any, numbers: Any) -> Any:
            """(N, P, 784): 1 in the object of each box, 0 outside, -1 where it is not known."""
            share = (ops.arange(MASK, dtype="float32") + 0.5) / MASK
            y = boxes[..., :1] + share * (boxes[..., 2:3] - boxes[..., :1])
            x = boxes[..., 1:2] + share * (boxes[..., 3:] - boxes[..., 1:2])
            y, x = y[..., :, None] + 0 * x[..., None, :], x[..., None, :] + 0 * y[..., :, None]
            shape = ops.shape(y)
            places = (shape[0], shape[1] * MASK * MASK)
            there = numbers_at(numbers, ops.reshape(y, places), ops.reshape(x, places))
            there = ops.reshape(there, (shape[0], shape[1], MASK * MASK))
            inside = ops.cast(ops.equal(there, row[..., None] + 1), "float32")
            return ops.where(there < 0, -1.0, inside)

        def compute_output_spec(self, given: list[Any]) -> tuple[Any, ...]:
            shapes = [(None, 4), (None, 6), (None, 4), (None, 2 + MASK * MASK)]
            return tuple(keras.KerasTensor((given[0].shape[0], *s), "float32") for s in shapes)

    return ChosenRegions


@cache
def region_loss() -> Any:
    """The class of the layer that judges classes, boxes and masks."""
    import keras
    from keras import ops

    @keras.saving.register_keras_serializable(PACKAGE)
    class RegionLoss(keras.layers.Layer):  # type: ignore[misc]
        """Logits, steps, masks' logits, and what is wanted, to three losses (N, 3)."""

        def __init__(self, **options: Any) -> None:
            super().__init__(dtype="float32", **options)

        def call(self, given: list[Any]) -> Any:
            named, moved, drawn, wanted, masks = given
            classes = named.shape[-1]
            number = ops.cast(wanted[..., 0], "int32")
            right = ops.one_hot(number, classes, dtype="float32")
            naming = mean_of(-ops.sum(right * ops.log_softmax(named, axis=-1), axis=-1), wanted[..., 1])
            wrong = steps_of(moved, right[..., 1:]) - wanted[..., 2:]
            of_object = wanted[..., 1] * ops.cast(number > 0, "float32")
            moving = mean_of(smooth_l1(wrong, 1.0), of_object)
            chosen = ops.one_hot(ops.cast(masks[..., 0], "int32"), classes, dtype="float32")[..., 1:]
            said = ops.sum(drawn * chosen[:, :, None, None], axis=-1)
            there = ops.reshape(masks[..., 2:], ops.shape(said))
            known = ops.cast(there >= 0, "float32") * masks[..., 1:2, None]
            drawing = mean_of(sigmoid_cross_entropy(ops.maximum(there, 0.0), said), known)
            return in_every_row([naming, moving, drawing], wanted)

        def compute_output_spec(self, given: list[Any]) -> Any:
            return keras.KerasTensor((given[0].shape[0], 3), "float32")

    return RegionLoss
