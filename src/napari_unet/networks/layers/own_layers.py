"""Layers that Keras does not have; each works on every backend and is rebuilt from code, never from a file.

Keras is imported when the first of them is asked for, so each class is made in a function.
"""

from __future__ import annotations

from functools import cache
from typing import Any

PACKAGE = "napari_unet"


@cache
def max_pooling_with_indices() -> Any:
    """The class of 2x2 max pooling that also tells where each maximum was (Badrinarayanan et al. 2017)."""
    import keras
    from keras import ops

    @keras.saving.register_keras_serializable(PACKAGE)
    class MaxPoolingWithIndices(keras.layers.Layer):  # type: ignore[misc]
        """(N, Y, X, C) to maxima (N, Y / 2, X / 2, C) and int32 places 0..3 in each window, row by row."""

        def call(self, x: Any) -> tuple[Any, Any]:
            corners = [x[:, row::2, column::2] for row in (0, 1) for column in (0, 1)]
            stacked = ops.stack(corners, axis=-1)
            places = ops.cast(ops.argmax(stacked, axis=-1), "int32")
            return ops.max(stacked, axis=-1), places

        def compute_output_spec(self, x: Any) -> tuple[Any, Any]:
            shape = (x.shape[0], *(None if n is None else n // 2 for n in x.shape[1:3]), x.shape[3])
            return keras.KerasTensor(shape, x.dtype), keras.KerasTensor(shape, "int32")

        def reads(self, first: int, last: int) -> tuple[int, int]:
            """Pixels of the input that a run of output pixels depends on."""
            return 2 * first, 2 * last + 1

    return MaxPoolingWithIndices


@cache
def max_unpooling() -> Any:
    """The class that puts values back where max pooling took them from, and zeros elsewhere."""
    import keras
    from keras import ops

    @keras.saving.register_keras_serializable(PACKAGE)
    class MaxUnpooling(keras.layers.Layer):  # type: ignore[misc]
        """Values (N, Y, X, C) and their places (N, Y, X, C) to (N, 2 Y, 2 X, C)."""

        def call(self, x: Any, places: Any) -> Any:
            at = [ops.where(ops.equal(places, n), x, ops.zeros_like(x)) for n in range(4)]
            shape = ops.shape(x)
            count, channels = shape[0], x.shape[-1]
            # Columns side by side, then rows one below the other.
            upper, lower = (ops.stack(pair, axis=3) for pair in (at[:2], at[2:]))
            both = ops.stack([upper, lower], axis=2)
            return ops.reshape(both, (count, 2 * shape[1], 2 * shape[2], channels))

        def compute_output_spec(self, x: Any, places: Any) -> Any:
            del places
            shape = (x.shape[0], *(None if n is None else 2 * n for n in x.shape[1:3]), x.shape[3])
            return keras.KerasTensor(shape, x.dtype)

        def reads(self, first: int, last: int) -> tuple[int, int]:
            """Pixels of the input that a run of output pixels depends on."""
            return first // 2, last // 2

    return MaxUnpooling


@cache
def crop_like() -> Any:
    """The class that cuts the first input at bottom and right to the size of the second."""
    import keras
    from keras import ops

    @keras.saving.register_keras_serializable(PACKAGE)
    class CropLike(keras.layers.Layer):  # type: ignore[misc]
        """(N, Y, X, C) and (N, Y', X', D) with Y' <= Y and X' <= X to (N, Y', X', C)."""

        def call(self, x: Any, like: Any) -> Any:
            shape = ops.shape(like)
            return x[:, : shape[1], : shape[2]]

        def compute_output_spec(self, x: Any, like: Any) -> Any:
            return keras.KerasTensor((x.shape[0], *like.shape[1:3], x.shape[3]), x.dtype)

        def reads(self, first: int, last: int) -> tuple[int, int]:
            """Pixels of the input that a run of output pixels depends on."""
            return first, last

    return CropLike


@cache
def spread_like() -> Any:
    """The class that repeats one value per image and channel over the size of the second input."""
    import keras
    from keras import ops

    @keras.saving.register_keras_serializable(PACKAGE)
    class SpreadLike(keras.layers.Layer):  # type: ignore[misc]
        """(N, 1, 1, C) and (N, Y, X, D) to (N, Y, X, C)."""

        def call(self, x: Any, like: Any) -> Any:
            return x * ops.ones_like(like[..., :1])

        def compute_output_spec(self, x: Any, like: Any) -> Any:
            return keras.KerasTensor((x.shape[0], *like.shape[1:3], x.shape[3]), x.dtype)

        def reads(self, first: int, last: int) -> tuple[int, int]:
            """Pixels of the input that a run of output pixels depends on."""
            return first, last

    return SpreadLike


@cache
def bilinear_upsampling() -> Any:
    """The class that enlarges bilinearly by a whole factor, at sizes that are only known when it runs."""
    import keras
    from keras import ops

    def along(x: Any, axis: int, factor: int) -> Any:
        """Enlarge along Y (1) or X (2); beyond the borders the last pixel continues."""
        before = [slice(None)] * axis
        first, last = x[(*before, slice(0, 1))], x[(*before, slice(-1, None))]
        left = ops.concatenate([first, x[(*before, slice(0, -1))]], axis=axis)
        right = ops.concatenate([x[(*before, slice(1, None))], last], axis=axis)
        phases = []
        for phase in range(factor):
            place = (phase + 0.5) / factor - 0.5
            other = left if place < 0 else right
            phases.append((1 - abs(place)) * x + abs(place) * other)
        shape = list(ops.shape(x))
        shape[axis] = shape[axis] * factor
        shape[3] = x.shape[3]
        return ops.reshape(ops.stack(phases, axis=axis + 1), tuple(shape))

    @keras.saving.register_keras_serializable(PACKAGE)
    class BilinearUpsampling(keras.layers.Layer):  # type: ignore[misc]
        """(N, Y, X, C) to (N, factor Y, factor X, C)."""

        def __init__(self, factor: int, **options: Any) -> None:
            super().__init__(**options)
            self.factor = factor

        def call(self, x: Any) -> Any:
            return along(along(x, 1, self.factor), 2, self.factor)

        def compute_output_spec(self, x: Any) -> Any:
            sides = (None if n is None else self.factor * n for n in x.shape[1:3])
            return keras.KerasTensor((x.shape[0], *sides, x.shape[3]), self.compute_dtype)

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "factor": self.factor}

        def reads(self, first: int, last: int) -> tuple[int, int]:
            """Pixels of the input that a run of output pixels depends on."""
            twice = 2 * self.factor
            return (2 * first + 1 - self.factor) // twice, -((self.factor - 1 - 2 * last) // twice)

    return BilinearUpsampling


@cache
def stacked_heads() -> Any:
    """The class that lays the outputs of several heads behind one another, for a loss that wants them all."""
    import keras
    from keras import ops

    @keras.saving.register_keras_serializable(PACKAGE)
    class StackedHeads(keras.layers.Layer):  # type: ignore[misc]
        """Logits of H heads, (N, Y, X, K) each, to (N, Y, X, H K + 1); last the auxiliary heads' weight."""

        def build(self, shapes: Any) -> None:
            del shapes
            self.share = self.add_weight(shape=(), initializer="ones", trainable=False, name="share")

        def call(self, heads: list[Any]) -> Any:
            share = ops.cast(self.share, heads[0].dtype) * ops.ones_like(heads[0][..., :1])
            return ops.concatenate([*heads, share], axis=-1)

        def compute_output_spec(self, heads: list[Any]) -> Any:
            channels = sum(h.shape[-1] for h in heads) + 1
            return keras.KerasTensor((*heads[0].shape[:-1], channels), heads[0].dtype)

    return StackedHeads
