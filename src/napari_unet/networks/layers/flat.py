"""Convolutions of volumes that stay within a slice, computed as those of images."""

from __future__ import annotations

from functools import cache
from typing import Any


def volume_convolutions() -> tuple[Any, Any]:
    """The convolution and the transposed one of Keras; on TensorFlow those that compute slices as images.

    The result is the same. oneDNN, as TensorFlow 2.21 has it, ends the program with a segmentation fault on
    processors with AMX, where it goes back through convolutions within a slice in bfloat16.
    """
    import keras

    if keras.backend.backend() == "tensorflow":
        return _by_slices()
    return keras.layers.Conv3D, keras.layers.Conv3DTranspose


@cache
def _by_slices() -> tuple[Any, Any]:
    import keras
    import tensorflow as tf

    # Files of weights are laid out by the names of classes.
    class Conv3D(keras.layers.Conv3D):  # type: ignore[misc]
        def convolution_op(self, inputs: Any, kernel: Any) -> Any:
            if self.kernel_size[0] != 1 or any(n != 1 for n in (*self.strides, *self.dilation_rate)):
                return super().convolution_op(inputs, kernel)
            sides, channels = tf.shape(inputs), inputs.shape[-1]
            if self.kernel_size == (1, 1, 1):
                made = tf.matmul(tf.reshape(inputs, (-1, channels)), kernel[0, 0, 0])
                return tf.reshape(made, tf.concat([sides[:-1], [self.filters]], 0))
            images = tf.reshape(inputs, (sides[0] * sides[1], sides[2], sides[3], channels))
            made = tf.nn.conv2d(images, kernel[0], strides=1, padding=self.padding.upper())
            return tf.reshape(made, tf.concat([sides[:2], tf.shape(made)[1:]], 0))

    class Conv3DTranspose(keras.layers.Conv3DTranspose):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            (deep, *step), flat = self.strides, self.kernel_size[0] == 1
            if not flat or deep != 1 or self.padding != "same" or any(n != 1 for n in self.dilation_rate):
                return super().call(inputs)
            sides = tf.shape(inputs)
            images = tf.reshape(inputs, (sides[0] * sides[1], sides[2], sides[3], inputs.shape[-1]))
            wanted = sides[0] * sides[1], step[0] * sides[2], step[1] * sides[3], self.filters
            kernel = tf.convert_to_tensor(self.kernel)
            made = tf.nn.conv2d_transpose(images, kernel[0], wanted, step, "SAME")
            made = made + tf.convert_to_tensor(self.bias) if self.use_bias else made
            return self.activation(tf.reshape(made, tf.concat([sides[:2], tf.shape(made)[1:]], 0)))

    return Conv3D, Conv3DTranspose
