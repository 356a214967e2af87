"""RoIAlign: features of boxes at fractions of a pixel, all boxes as large, from the level that suits each."""

from __future__ import annotations

from functools import cache
from typing import Any

from napari_unet.networks.layers.own_layers import PACKAGE
from napari_unet.networks.mask_rcnn.boxes import area

CELLS = 28  # pixels of its level that a box is at most wide, but for the coarsest level


def align(levels: list[Any], strides: tuple[int, ...], boxes: Any, size: int, samples: int = 1) -> Any:
    """Features of boxes: the mean of samples * samples places in each of size * size parts.

    Values between pixels are interpolated between their four neighbours; nothing is rounded. A box is
    read from the first level in which it is below 28 pixels wide and high (the root of its area), or
    from the last. Beyond the image's borders the last pixel continues.

    Parameters
    ----------
    levels : list of tensor
        (N, Y, X, C) float32 each, the finest first.
    strides : tuple of int
        Pixels of the image between two of each level.
    boxes : tensor
        (N, R, 4) float32, in pixels of the image.
    size : int
        Parts along Y and X.
    samples : int
        Places along Y and X in each part.

    Returns
    -------
    tensor
        (N, R, size, size, C) float32.

    References
    ----------
    He, Gkioxari, Dollár, Girshick 2017, doi:10.1109/ICCV.2017.322; which level: Lin et al. 2017,
    equation 1, doi:10.1109/CVPR.2017.106.
    """
    from keras import ops

    side, channels = size * samples, levels[0].shape[-1]
    count, regions = ops.shape(boxes)[0], ops.shape(boxes)[1]
    level = _level(boxes, len(levels))
    flat = [ops.reshape(one, (count, -1, channels)) for one in levels]
    whole = ops.concatenate(flat, axis=1)
    pixels = ops.shape(whole)[1]
    stride, first, height, width = _place(level, levels, strides)
    low_y, high_y, share_y = _between(boxes[..., 0], boxes[..., 2], side, stride, height)
    low_x, high_x, share_x = _between(boxes[..., 1], boxes[..., 3], side, stride, width)
    image = pixels * (ops.cumsum(ops.ones_like(level), axis=0) - 1)
    start = (first + image)[..., None, None]
    whole = ops.reshape(whole, (count * pixels, channels))
    share_y, share_x = share_y[..., :, None, None], share_x[..., None, :, None]

    def read(y: Any, x: Any) -> Any:
        at = start + y[..., :, None] * width[..., None, None] + x[..., None, :]
        return ops.take(whole, at, axis=0)

    above = (1 - share_x) * read(low_y, low_x) + share_x * read(low_y, high_x)
    below = (1 - share_x) * read(high_y, low_x) + share_x * read(high_y, high_x)
    found = (1 - share_y) * above + share_y * below
    if samples == 1:
        return found
    parts = ops.reshape(found, (count, regions, size, samples, size, samples, channels))
    return ops.mean(parts, axis=(3, 5))


def _level(boxes: Any, count: int) -> Any:
    """(N, R) int32: which level each box is read from."""
    from keras import ops

    root = ops.sqrt(ops.maximum(area(boxes), 1e-6))
    finest = 2 * CELLS  # pixels of the image at which the second level begins
    number = ops.floor(ops.log2(root / finest + 1e-6)) + 1
    return ops.cast(ops.clip(number, 0, count - 1), "int32")


def _place(level: Any, levels: list[Any], strides: tuple[int, ...]) -> tuple[Any, Any, Any, Any]:
    """Stride, first row in the table of all levels, height and width of each box's level, (N, R) each."""
    from keras import ops

    nothing = ops.zeros_like(level)
    stride, first, height, width = nothing, nothing, nothing, nothing
    begins: Any = 0
    for number, one in enumerate(levels):
        here = ops.equal(level, number)
        shape = ops.shape(one)
        stride = ops.where(here, strides[number], stride)
        first = ops.where(here, begins, first)
        height = ops.where(here, shape[1], height)
        width = ops.where(here, shape[2], width)
        begins = begins + shape[1] * shape[2]
    return stride, first, height, width


def _between(low: Any, high: Any, side: int, stride: Any, length: Any) -> tuple[Any, Any, Any]:
    """Pixels before and after each of `side` places along one axis, (N, R, side), and how far between."""
    from keras import ops

    share = (ops.arange(side, dtype="float32") + 0.5) / side
    image = low[..., None] + share * (high - low)[..., None]
    last = ops.cast(length, "float32")[..., None] - 1
    at = ops.clip(image / ops.cast(stride, "float32")[..., None] - 0.5, 0.0, last)
    before = ops.floor(at)
    after = ops.minimum(before + 1, last)
    return ops.cast(before, "int32"), ops.cast(after, "int32"), at - before


@cache
def region_align() -> Any:
    """The class of the layer that gives boxes their features."""
    import keras

    @keras.saving.register_keras_serializable(PACKAGE)
    class RegionAlign(keras.layers.Layer):  # type: ignore[misc]
        """Boxes (N, R, 4) and levels (N, Y, X, C), the finest first, to (N, R, size, size, C)."""

        def __init__(self, size: int, samples: int, strides: tuple[int, ...], **options: Any) -> None:
            super().__init__(dtype="float32", **{k: v for k, v in options.items() if k != "dtype"})
            self.size, self.samples, self.strides = size, samples, tuple(strides)

        def call(self, given: list[Any]) -> Any:
            boxes, *levels = given
            return align(levels, self.strides, boxes, self.size, self.samples)

        def compute_output_spec(self, given: list[Any]) -> Any:
            boxes, level = given[0].shape, given[1].shape
            return keras.KerasTensor((*boxes[:2], self.size, self.size, level[-1]), "float32")

        def get_config(self) -> dict[str, Any]:
            own = {"size": self.size, "samples": self.samples, "strides": list(self.strides)}
            return {**super().get_config(), **own}

    return RegionAlign
