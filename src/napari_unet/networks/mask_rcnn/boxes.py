"""Boxes on every backend: how much they overlap, how one is encoded from another, which are left out.

A box is (top, left, bottom, right) in pixels: the first pixel's near edge and the last one's far edge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LONGEST_STEP = float(np.log(1000 / 16))  # of a side, as a logarithm; a wild guess must not overflow


def anchor_shapes(stride: int) -> NDArray[np.float32]:
    """Heights and widths of the boxes that are tried around each pixel of a level of the pyramid.

    Parameters
    ----------
    stride : int
        Pixels of the image between two pixels of the level.

    Returns
    -------
    numpy.ndarray
        (6, 2) float32: sides of 3 and 4.2 strides, each as it is, half as high as wide, twice as high.
    """
    sides = [3 * stride, 3 * stride * np.sqrt(2)]
    return np.array([(s * r, s / r) for s in sides for r in np.sqrt((0.5, 1, 2))], np.float32)


def anchors(level: Any, stride: int) -> Any:
    """Boxes that are tried on a level of the pyramid.

    Parameters
    ----------
    level : tensor
        (N, Y, X, C), whose size counts alone.
    stride : int
        Pixels of the image between two of its pixels.

    Returns
    -------
    tensor
        (Y * X * 6, 4) float32, around the pixels row by row.
    """
    from keras import ops

    one = ops.ones_like(ops.cast(level[0, ..., :1], "float32"))  # sizes may be known only when it runs
    y, x = (stride * (ops.cumsum(one, axis=axis) - 0.5) for axis in (0, 1))
    half = ops.convert_to_tensor(anchor_shapes(stride)[None, None] / 2)
    sides = [y - half[..., 0], x - half[..., 1], y + half[..., 0], x + half[..., 1]]
    return ops.reshape(ops.stack(sides, axis=-1), (-1, 4))


def area(boxes: Any) -> Any:
    """(...) pixels of boxes (..., 4); 0 for one that is turned inside out."""
    from keras import ops

    height = ops.maximum(boxes[..., 2] - boxes[..., 0], 0.0)
    return height * ops.maximum(boxes[..., 3] - boxes[..., 1], 0.0)


def overlaps(one: Any, two: Any) -> Any:
    """Intersection over union of boxes (N, A, 4) with boxes (N, B, 4), (N, A, B); 0 for empty ones."""
    from keras import ops

    a, b = one[:, :, None], two[:, None]
    height = ops.minimum(a[..., 2], b[..., 2]) - ops.maximum(a[..., 0], b[..., 0])
    width = ops.minimum(a[..., 3], b[..., 3]) - ops.maximum(a[..., 1], b[..., 1])
    both = ops.maximum(height, 0.0) * ops.maximum(width, 0.0)
    return both / ops.maximum(area(a) + area(b) - both, 1e-6)


def encode(boxes: Any, around: Any) -> Any:
    """How boxes lie to others: steps of the middle, in sides of these, and logarithms of how sides grow.

    Parameters
    ----------
    boxes, around : tensor
        (..., 4) float32; sides below a hundredth of a pixel count as that.

    Returns
    -------
    tensor
        (..., 4) float32: along Y, along X, height, width.

    References
    ----------
    Girshick et al. 2014, appendix C, doi:10.1109/CVPR.2014.81.
    """
    from keras import ops

    (y, x, h, w), (at_y, at_x, height, width) = _middles(boxes), _middles(around)
    steps = [(y - at_y) / height, (x - at_x) / width, ops.log(h / height), ops.log(w / width)]
    return ops.stack(steps, axis=-1)


def decode(steps: Any, around: Any) -> Any:
    """The boxes that lie to others as ``encode`` says; arrays as there."""
    from keras import ops

    at_y, at_x, height, width = _middles(around)
    y, x = at_y + steps[..., 0] * height, at_x + steps[..., 1] * width
    h = height * ops.exp(ops.minimum(steps[..., 2], LONGEST_STEP)) / 2
    w = width * ops.exp(ops.minimum(steps[..., 3], LONGEST_STEP)) / 2
    return ops.stack([y - h, x - w, y + h, x + w], axis=-1)


def _middles(boxes: Any) -> tuple[Any, Any, Any, Any]:
    """Y, X, height and width."""
    from keras import ops

    height = ops.maximum(boxes[..., 2] - boxes[..., 0], 0.01)
    width = ops.maximum(boxes[..., 3] - boxes[..., 1], 0.01)
    return (boxes[..., 0] + boxes[..., 2]) / 2, (boxes[..., 1] + boxes[..., 3]) / 2, height, width


def clipped(boxes: Any, height: Any, width: Any) -> Any:
    """Boxes (..., 4) cut at the borders of an image."""
    from keras import ops

    ends = [ops.cast(end, "float32") for end in (height, width, height, width)]
    return ops.stack([ops.clip(boxes[..., n], 0.0, end) for n, end in enumerate(ends)], axis=-1)


def suppress(boxes: Any, valid: Any, most: float) -> Any:
    """Which boxes stay when each that overlaps a better one that stays is left out.

    Parameters
    ----------
    boxes : tensor
        (N, B, 4) float32, the best first.
    valid : tensor
        (N, B) float32, 0 for those that are left out from the beginning.
    most : float
        Overlap (intersection over union) beyond which a box is left out.

    Returns
    -------
    tensor
        (N, B) float32, 1 for those that stay.

    Notes
    -----
    All at once, in rounds: a box stays if none before it that stayed in the round before is in its way.
    After n rounds the first n are right, after a round without change all are.
    """
    from keras import ops

    place = ops.cumsum(ops.ones_like(valid), axis=1)
    before = place[:, :, None] > place[:, None]
    in_the_way = ops.cast(ops.logical_and(before, overlaps(boxes, boxes) > most), "float32")

    def again(survivors: Any, changed: Any) -> tuple[Any, Any]:
        del changed
        hidden = ops.matmul(in_the_way, survivors[..., None])[..., 0]
        now = valid * ops.cast(hidden < 0.5, "float32")
        return now, ops.sum(ops.abs(now - survivors))

    def unsettled(survivors: Any, changed: Any) -> Any:
        del survivors
        return changed > 0

    return ops.while_loop(unsettled, again, again(valid, None))[0]


def best(scores: Any, count: Any, *arrays: Any) -> tuple[Any, ...]:
    """The `count` highest of scores (N, B), and of each array (N, B, ...) the rows that go with them."""
    from keras import ops

    values, places = ops.top_k(scores, count)
    return values, *(rows(array, places) for array in arrays)


def rows(array: Any, places: Any) -> Any:
    """Of an array (N, B, C) the rows (N, K), whole numbers, each image from its own: (N, K, C)."""
    from keras import ops

    shape, places = ops.shape(array), ops.cast(places, "int32")
    first = shape[1] * ops.cast(ops.cumsum(ops.ones_like(places[:, :1]), axis=0) - 1, "int32")
    flat = ops.reshape(array, (shape[0] * shape[1], array.shape[-1]))
    return ops.take(flat, places + first, axis=0)
