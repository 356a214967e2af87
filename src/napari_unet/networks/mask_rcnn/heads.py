"""The layers of Mask R-CNN: what proposes regions, what names them, what draws masks in them.

Keras is imported when the first of them is asked for, so each class is made in a function. Each head
holds its own convolutions, so that training can ask it about regions of its own choice.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from napari_unet.networks.layers.own_layers import PACKAGE
from napari_unet.networks.mask_rcnn.boxes import (
    anchor_shapes,
    anchors,
    area,
    best,
    clipped,
    decode,
    rows,
    suppress,
)
from napari_unet.networks.mask_rcnn.detections import BEFORE_MASK, CLASS, SCORE

TRIED = len(anchor_shapes(1))  # boxes around each pixel of a level
PIXELS_A_REGION = 256  # of the image: as many regions as fit into it at this size are looked at
FEWEST, MOST = 16, 4096  # of them: the largest is that of a tile of 1024 pixels
MOST_DESCRIBED = 8192  # boxes, by pairs; more would take gigabytes
PROPOSED_OVERLAP, FOUND_OVERLAP = 0.7, 0.5  # beyond which the worse of two boxes is left out
LEAST_SCORE = 0.05
LEAST_SIDE = 2.0  # pixels
SPREAD = np.array([0.1, 0.1, 0.2, 0.2], np.float32)  # what one unit of a box head's answer means
MASK = 28  # sides of a mask, twice those of the features it is made from


def regions_of(level: Any, stride: int) -> Any:
    """How many regions of an image are looked at: one for 256 pixels of it, from 16 to 4096.

    Parameters
    ----------
    level : tensor
        (N, Y, X, C) of the pyramid, whose size counts alone.
    stride : int
        Pixels of the image between two of its pixels.

    Returns
    -------
    int or tensor
        A scalar int32 where sizes are known only when it runs.
    """
    shape = level.shape
    if None in shape[1:3]:
        from keras import ops

        size = ops.shape(level)
        return ops.clip(size[1] * size[2] * stride**2 // PIXELS_A_REGION, FEWEST, MOST)
    return int(np.clip(shape[1] * shape[2] * stride**2 // PIXELS_A_REGION, FEWEST, MOST))


def _initial(seed: int, deviation: float | None = None) -> Any:
    from keras import initializers

    if deviation is None:
        return initializers.HeNormal(seed)
    return initializers.RandomNormal(0.0, deviation, seed)


@cache
def proposal_head() -> Any:
    """The class of the layer that says of each box that is tried whether something is in it, and where."""
    import keras
    from keras import layers, ops

    @keras.saving.register_keras_serializable(PACKAGE)
    class ProposalHead(keras.layers.Layer):  # type: ignore[misc]
        """Levels (N, Y, X, C) to logits (N, A, 1) and steps (N, A, 4), one level after another."""

        def __init__(self, filters: int, seed: int, **options: Any) -> None:
            super().__init__(**options)
            self.filters, self.seed = filters, seed
            made = {"dtype": self.dtype_policy}
            self.shared = layers.Conv2D(
                filters, 3, padding="same", activation="relu", kernel_initializer=_initial(seed), **made
            )
            self.objectness = layers.Conv2D(TRIED, 1, kernel_initializer=_initial(seed + 1, 0.01), **made)
            self.steps = layers.Conv2D(4 * TRIED, 1, kernel_initializer=_initial(seed + 2, 0.01), **made)

        def build(self, shapes: Any) -> None:
            self.shared.build(shapes[0])
            for layer in (self.objectness, self.steps):
                layer.build((*shapes[0][:-1], self.filters))

        def call(self, levels: list[Any]) -> tuple[Any, Any]:
            shared = [self.shared(level) for level in levels]
            count = ops.shape(levels[0])[0]

            def rolled(layer: Any, width: int) -> Any:
                return ops.concatenate([ops.reshape(layer(s), (count, -1, width)) for s in shared], axis=1)

            return rolled(self.objectness, 1), rolled(self.steps, 4)

        def compute_output_spec(self, levels: list[Any]) -> tuple[Any, Any]:
            count = None
            if all(None not in level.shape[1:3] for level in levels):
                count = TRIED * sum(level.shape[1] * level.shape[2] for level in levels)
            made = self.compute_dtype
            return tuple(keras.KerasTensor((levels[0].shape[0], count, n), made) for n in (1, 4))

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "filters": self.filters, "seed": self.seed}

        def products(self, given: list[tuple[int, ...]], made: list[tuple[int, ...]]) -> int:
            """Multiplications for one image."""
            pixels = made[0][1] // TRIED
            return pixels * (9 * given[0][-1] * self.filters + 5 * TRIED * self.filters)

    return ProposalHead


@cache
def proposals() -> Any:
    """The class of the layer that keeps the most promising boxes, no two of them much alike."""
    import keras
    from keras import ops

    @keras.saving.register_keras_serializable(PACKAGE)
    class Proposals(keras.layers.Layer):  # type: ignore[misc]
        """Logits (N, A, 1), steps (N, A, 4) and the levels they are from to boxes (N, R, 4); zeros: none."""

        def __init__(self, strides: tuple[int, ...], **options: Any) -> None:
            super().__init__(dtype="float32", **{k: v for k, v in options.items() if k != "dtype"})
            self.strides = tuple(strides)

        def call(self, given: list[Any]) -> Any:
            logits, steps, *levels = (ops.stop_gradient(one) for one in given)
            tried = [anchors(level, stride) for level, stride in zip(levels, self.strides, strict=True)]
            around = ops.concatenate(tried, axis=0)[None] + ops.zeros_like(steps)
            wanted = regions_of(levels[0], self.strides[0])
            more = ops.minimum(4 * wanted, MOST_DESCRIBED)
            looked_at = min(4 * wanted, MOST_DESCRIBED) if isinstance(wanted, int) else more
            _, steps, around = best(logits[..., 0], looked_at, steps, around)
            shape = ops.shape(levels[0])
            height, width = shape[1] * self.strides[0], shape[2] * self.strides[0]
            boxes = clipped(decode(steps, around), height, width)
            short = ops.minimum(boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1])
            survivors = suppress(boxes, ops.cast(short >= LEAST_SIDE, "float32"), PROPOSED_OVERLAP)
            place = ops.cumsum(ops.ones_like(survivors), axis=1)
            return best(survivors - place / MOST_DESCRIBED, wanted, boxes * survivors[..., None])[1]

        def compute_output_spec(self, given: list[Any]) -> Any:
            level = given[2]
            known = None not in level.shape[1:3]
            count = regions_of(level, self.strides[0]) if known else None
            return keras.KerasTensor((level.shape[0], count, 4), "float32")

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "strides": list(self.strides)}

    return Proposals


@cache
def box_head() -> Any:
    """The class of the layer that names what is in a region and moves its box."""
    import keras
    from keras import layers, ops

    @keras.saving.register_keras_serializable(PACKAGE)
    class BoxHead(keras.layers.Layer):  # type: ignore[misc]
        """Features (N, R, S, S, C) to logits (N, R, K + 1), background first, and steps (N, R, 4 K)."""

        def __init__(self, filters: int, classes: int, seed: int, **options: Any) -> None:
            super().__init__(**options)
            self.filters, self.classes, self.seed = filters, classes, seed
            made = {"dtype": self.dtype_policy}
            self.hidden = [
                layers.Dense(filters, activation="relu", kernel_initializer=_initial(seed + n), **made)
                for n in (0, 1)
            ]
            self.names = layers.Dense(classes + 1, kernel_initializer=_initial(seed + 2, 0.01), **made)
            self.steps = layers.Dense(4 * classes, kernel_initializer=_initial(seed + 3, 0.001), **made)

        def build(self, shape: Any) -> None:
            self.hidden[0].build((*shape[:2], int(np.prod(shape[2:]))))
            for layer in (self.hidden[1], self.names, self.steps):
                layer.build((*shape[:2], self.filters))

        def call(self, features: Any) -> tuple[Any, Any]:
            shape = ops.shape(features)
            x = ops.reshape(features, (shape[0], shape[1], int(np.prod(features.shape[2:]))))
            for layer in self.hidden:
                x = layer(x)
            return self.names(x), self.steps(x)

        def compute_output_spec(self, features: Any) -> tuple[Any, Any]:
            widths = self.classes + 1, 4 * self.classes
            made = self.compute_dtype
            return tuple(keras.KerasTensor((*features.shape[:2], n), made) for n in widths)

        def get_config(self) -> dict[str, Any]:
            own = {"filters": self.filters, "classes": self.classes, "seed": self.seed}
            return {**super().get_config(), **own}

        def products(self, given: list[tuple[int, ...]], made: list[tuple[int, ...]]) -> int:
            """Multiplications for one image."""
            inside = int(np.prod(given[0][2:]))
            return made[0][1] * self.filters * (inside + self.filters + 5 * self.classes + 1)

    return BoxHead


@cache
def found_boxes() -> Any:
    """The class of the layer that makes the box head's answers to boxes, the best first."""
    import keras
    from keras import ops

    @keras.saving.register_keras_serializable(PACKAGE)
    class FoundBoxes(keras.layers.Layer):  # type: ignore[misc]
        """Proposals (N, R, 4), logits, steps and a level of stride 2 to (N, R, 6): box, score, class.

        Classes are 1..K, and of boxes of one class none overlaps another by more than half; the rest of the
        rows are 0.
        """

        def __init__(self, **options: Any) -> None:
            super().__init__(dtype="float32", **{k: v for k, v in options.items() if k != "dtype"})

        def call(self, given: list[Any]) -> Any:
            regions, logits, steps, level = (ops.stop_gradient(one) for one in given)
            scores = ops.softmax(logits, axis=-1)[..., 1:]
            named = ops.argmax(scores, axis=-1)
            chosen = ops.one_hot(named, scores.shape[-1], dtype="float32")
            score = ops.sum(scores * chosen, axis=-1)
            boxes = decode(steps_of(steps, chosen) * ops.convert_to_tensor(SPREAD), regions)
            shape = ops.shape(level)
            boxes = clipped(boxes, 2 * shape[1], 2 * shape[2])
            score = score * ops.cast(area(regions) > 0, "float32")
            table = ops.concatenate(
                [boxes, score[..., None], ops.cast(named, "float32")[..., None] + 1], axis=-1
            )
            order = ops.argsort(-score, axis=1)
            table = rows(table, order)
            short = ops.minimum(table[..., 2] - table[..., 0], table[..., 3] - table[..., 1])
            valid = ops.logical_and(table[..., SCORE] >= LEAST_SCORE, short >= LEAST_SIDE)
            # Far apart, so that only boxes of one class are in each other's way.
            apart = table[..., :4] + 1e5 * table[..., CLASS, None]
            survivors = suppress(apart, ops.cast(valid, "float32"), FOUND_OVERLAP)
            return table * survivors[..., None]

        def compute_output_spec(self, given: list[Any]) -> Any:
            return keras.KerasTensor((*given[0].shape[:2], BEFORE_MASK), "float32")

    return FoundBoxes


def steps_of(steps: Any, chosen: Any) -> Any:
    """Of steps (N, R, 4 K) those of the class that is 1 in `chosen` (N, R, K): (N, R, 4)."""
    from keras import ops

    shape = ops.shape(steps)
    each = ops.reshape(steps, (shape[0], shape[1], chosen.shape[-1], 4))
    return ops.sum(each * chosen[..., None], axis=2)


@cache
def mask_head() -> Any:
    """The class of the layer that draws a mask for each class in a region."""
    import keras
    from keras import layers, ops

    @keras.saving.register_keras_serializable(PACKAGE)
    class MaskHead(keras.layers.Layer):  # type: ignore[misc]
        """Features (N, R, 14, 14, C) to logits (N, R, 28, 28, K)."""

        def __init__(self, filters: int, classes: int, seed: int, **options: Any) -> None:
            super().__init__(**options)
            self.filters, self.classes, self.seed = filters, classes, seed
            made = {"dtype": self.dtype_policy}
            self.convolutions = [
                layers.Conv2D(
                    filters,
                    3,
                    padding="same",
                    activation="relu",
                    kernel_initializer=_initial(seed + n),
                    **made,
                )
                for n in range(4)
            ]
            self.larger = layers.Conv2DTranspose(
                filters, 2, strides=2, activation="relu", kernel_initializer=_initial(seed + 4), **made
            )
            self.logits = layers.Conv2D(classes, 1, kernel_initializer=_initial(seed + 5), **made)

        def build(self, shape: Any) -> None:
            inner: tuple[Any, ...] = (None, *shape[2:])
            for layer in (*self.convolutions, self.larger, self.logits):
                layer.build(inner)
                inner = (*inner[:-1], self.filters)

        def call(self, features: Any) -> Any:
            shape = ops.shape(features)
            x = ops.reshape(features, (shape[0] * shape[1], *features.shape[2:]))
            for layer in (*self.convolutions, self.larger, self.logits):
                x = layer(x)
            return ops.reshape(x, (shape[0], shape[1], MASK, MASK, self.classes))

        def compute_output_spec(self, features: Any) -> Any:
            shape = (*features.shape[:2], MASK, MASK, self.classes)
            return keras.KerasTensor(shape, self.compute_dtype)

        def get_config(self) -> dict[str, Any]:
            own = {"filters": self.filters, "classes": self.classes, "seed": self.seed}
            return {**super().get_config(), **own}

        def products(self, given: list[tuple[int, ...]], made: list[tuple[int, ...]]) -> int:
            """Multiplications for one image."""
            f, pixels = self.filters, (MASK // 2) ** 2
            first = 9 * given[0][-1] * f
            return made[0][1] * pixels * (first + 27 * f * f + 4 * f * f + 4 * f * self.classes)

    return MaskHead


@cache
def found_objects() -> Any:
    """The class of the layer that puts boxes and masks together."""
    import keras
    from keras import ops

    @keras.saving.register_keras_serializable(PACKAGE)
    class FoundObjects(keras.layers.Layer):  # type: ignore[misc]
        """Boxes (N, R, 6) and masks' logits (N, R, 28, 28, K) to (N, R, 6 + 784) float32."""

        def __init__(self, **options: Any) -> None:
            super().__init__(dtype="float32", **{k: v for k, v in options.items() if k != "dtype"})

        def call(self, given: list[Any]) -> Any:
            boxes, logits = given
            named = ops.cast(boxes[..., CLASS], "int32") - 1
            chosen = ops.one_hot(named, logits.shape[-1], dtype="float32")[:, :, None, None]
            mask = ops.sigmoid(ops.sum(logits * chosen, axis=-1))
            shape = ops.shape(boxes)
            flat = ops.reshape(mask, (shape[0], shape[1], MASK * MASK))
            return ops.concatenate([boxes, flat], axis=-1)

        def compute_output_spec(self, given: list[Any]) -> Any:
            return keras.KerasTensor((*given[0].shape[:2], BEFORE_MASK + MASK * MASK), "float32")

        def reads(self, first: int, last: int) -> None:
            """Everything in the image."""

    return FoundObjects
