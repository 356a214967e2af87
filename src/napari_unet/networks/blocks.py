"""The pieces networks are made of: convolutions, blocks, merges. Keras is imported when building."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_unet.settings import NetworkSettings

GROUPS = 8


@dataclass
class Builder:
    """Lays one network's blocks, numbering random seeds so that the same seed builds the same net.

    Parameters
    ----------
    settings : NetworkSettings
        Padding, normalization, kind of block, dropout.
    seed : int
        Seed of the first initializer; every further one counts up.
    """

    settings: NetworkSettings
    seed: int

    def next_seed(self) -> int:
        """A seed nobody else in this network has."""
        self.seed += 1
        return self.seed

    def convolution(self, x: Any, filters: int, kernel: int = 3, *, name: str) -> Any:
        """One convolution with the initialization of He et al. 2015, doi:10.1109/ICCV.2015.123.

        Parameters
        ----------
        x : keras tensor
            (N, Y, X, C).
        filters : int
            Channels that come out.
        kernel : int
            Size along Y and X.
        name : str
            Name of the layer.
        """
        from keras import initializers, layers

        return layers.Conv2D(
            filters,
            kernel,
            padding="same" if kernel == 1 else self.settings.padding,
            use_bias=self.settings.normalization == "none",
            kernel_initializer=initializers.HeNormal(self.next_seed()),
            name=name,
        )(x)

    def normalize(self, x: Any, *, name: str) -> Any:
        """Normalization as the settings say; nothing for "none"."""
        from keras import layers

        kind = self.settings.normalization
        if kind == "batch":
            return layers.BatchNormalization(momentum=0.95, name=f"{name}_norm")(x)
        if kind == "group":
            channels = x.shape[-1]
            groups = next(g for g in range(min(GROUPS, channels), 0, -1) if channels % g == 0)
            return layers.GroupNormalization(groups, name=f"{name}_norm")(x)
        return x

    def block(self, x: Any, filters: int, *, name: str) -> Any:
        """Two 3x3 convolutions, each with normalization and ReLU, around a shortcut if residual.

        Parameters
        ----------
        x : keras tensor
            (N, Y, X, C).
        filters : int
            Channels that come out.
        name : str
            Prefix of the layers' names.

        Returns
        -------
        keras tensor
            (N, Y, X, filters) with same padding, (N, Y - 4, X - 4, filters) without.
        """
        from keras import layers

        residual = self.settings.block == "residual"
        y = self.convolution(x, filters, name=f"{name}_conv1")
        y = self.normalize(y, name=f"{name}_conv1")
        y = layers.Activation("relu", name=f"{name}_relu1")(y)
        y = self.convolution(y, filters, name=f"{name}_conv2")
        y = self.normalize(y, name=f"{name}_conv2")
        if residual:
            shortcut = x
            if self.settings.padding == "valid":
                shortcut = layers.Cropping2D(2, name=f"{name}_crop")(shortcut)
            if shortcut.shape[-1] != filters:
                shortcut = self.convolution(shortcut, filters, 1, name=f"{name}_project")
            y = layers.Add(name=f"{name}_add")([y, shortcut])
        return layers.Activation("relu", name=f"{name}_relu2")(y)

    def up(self, x: Any, filters: int, *, name: str) -> Any:
        """Up-convolution: a 2x2 transposed convolution of stride 2 that doubles Y and X."""
        from keras import initializers, layers

        return layers.Conv2DTranspose(
            filters,
            2,
            strides=2,
            kernel_initializer=initializers.HeNormal(self.next_seed()),
            name=name,
        )(x)

    def drop(self, x: Any, *, name: str) -> Any:
        """Dropout at the settings' rate; nothing at rate 0."""
        from keras import layers

        if self.settings.dropout == 0:
            return x
        return layers.Dropout(self.settings.dropout, seed=self.next_seed(), name=name)(x)

    def head(self, x: Any) -> Any:
        """The 1x1 convolution to logits, float32 whatever the precision of the rest.

        Returns
        -------
        keras tensor
            (N, Y, X, K) logits for sigmoid, (N, Y, X, K + 1) with background first for softmax.
        """
        from keras import initializers, layers

        logits = layers.Conv2D(
            self.settings.outputs,
            1,
            kernel_initializer=initializers.HeNormal(self.next_seed()),
            name="logits",
        )(x)
        return layers.Activation("linear", dtype="float32", name="logits_float32")(logits)
