"""The pieces networks are made of: convolutions, blocks, merges. Keras is imported when building."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_unet.networks.layers.batch_norm import batch_normalization
from napari_unet.networks.layers.flat import volume_convolutions
from napari_unet.networks.layers.own_layers import spread_like

if TYPE_CHECKING:
    from napari_unet.settings import NetworkSettings

GROUPS = 8
STAR_FEATURES = 64  # channels from which star-convex distances are computed
PRESENCE_FILTERS = 32


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

    def sides(self, size: int, *, flat: bool = False, still: int = 1) -> int | tuple[int, int, int]:
        """A size along all axes of an image, or of a volume: (Z, Y, X), of which Z may stand still."""
        if not self.settings.in_3d:
            return size
        return (still if flat else size, size, size)

    def convolution(
        self,
        x: Any,
        filters: int,
        kernel: int = 3,
        *,
        name: str,
        stride: int = 1,
        dilation: int = 1,
        bias: bool | None = None,
        flat: bool = False,
    ) -> Any:
        """One convolution with the initialization of He et al. 2015, doi:10.1109/ICCV.2015.123.

        Parameters
        ----------
        x : keras tensor
            (N, Y, X, C), or (N, Z, Y, X, C) of volumes.
        filters : int
            Channels that come out.
        kernel : int
            Size along every axis.
        name : str
            Name of the layer.
        stride, dilation : int
            Steps between outputs, and between the pixels that one output reads.
        bias : bool, optional
            Whether a bias is added; if not given, only where no normalization follows.
        flat : bool
            Of volumes: whether it stays within a slice.
        """
        from keras import initializers, layers

        kind = volume_convolutions()[0] if self.settings.in_3d else layers.Conv2D
        return kind(
            filters,
            self.sides(kernel, flat=flat),
            strides=stride,
            dilation_rate=dilation,
            padding="same" if kernel == 1 else self.settings.padding,
            use_bias=self.settings.normalization == "none" if bias is None else bias,
            kernel_initializer=initializers.HeNormal(self.next_seed()),
            name=name,
        )(x)

    def normalize(self, x: Any, *, name: str) -> Any:
        """Normalization as the settings say; nothing for "none"."""
        from keras import layers

        kind = self.settings.normalization
        if kind == "batch":
            return batch_normalization(f"{name}_norm")(x)
        if kind == "group":
            channels = x.shape[-1]
            groups = next(g for g in range(min(GROUPS, channels), 0, -1) if channels % g == 0)
            return layers.GroupNormalization(groups, name=f"{name}_norm")(x)
        return x

    def step(
        self, x: Any, filters: int, kernel: int = 3, *, name: str, stride: int = 1, dilation: int = 1
    ) -> Any:
        """Convolution, normalization, ReLU; parameters as ``convolution``."""
        from keras import layers

        x = self.convolution(x, filters, kernel, name=name, stride=stride, dilation=dilation)
        return layers.Activation("relu", name=f"{name}_relu")(self.normalize(x, name=name))

    def block(self, x: Any, filters: int, *, name: str, flat: bool = False) -> Any:
        """Two 3x3 convolutions, each with normalization and ReLU, around a shortcut if residual.

        Parameters
        ----------
        x : keras tensor
            (N, Y, X, C), or (N, Z, Y, X, C) of volumes, for which they are 3x3x3.
        filters : int
            Channels that come out.
        name : str
            Prefix of the layers' names.
        flat : bool
            Of volumes: whether the convolutions stay within a slice.

        Returns
        -------
        keras tensor
            (N, Y, X, filters) with same padding, (N, Y - 4, X - 4, filters) without.
        """
        from keras import layers

        residual = self.settings.block == "residual"
        y = self.convolution(x, filters, name=f"{name}_conv1", flat=flat)
        y = self.normalize(y, name=f"{name}_conv1")
        y = layers.Activation("relu", name=f"{name}_relu1")(y)
        y = self.convolution(y, filters, name=f"{name}_conv2", flat=flat)
        y = self.normalize(y, name=f"{name}_conv2")
        if residual:
            shortcut = x
            if self.settings.padding == "valid":
                shortcut = layers.Cropping2D(2, name=f"{name}_crop")(shortcut)
            if shortcut.shape[-1] != filters:
                shortcut = self.convolution(shortcut, filters, 1, name=f"{name}_project")
            y = layers.Add(name=f"{name}_add")([y, shortcut])
        return layers.Activation("relu", name=f"{name}_relu2")(y)

    def pool(self, x: Any, *, name: str, flat: bool = False) -> Any:
        """Max pooling by two along every axis, but Z where it is flat."""
        from keras import layers

        kind = layers.MaxPooling3D if self.settings.in_3d else layers.MaxPooling2D
        return kind(self.sides(2, flat=flat), name=name)(x)

    def up(
        self, x: Any, filters: int, *, name: str, factor: int = 2, kernel: int = 2, flat: bool = False
    ) -> Any:
        """Up-convolution: a transposed convolution, 2x2 by itself, that multiplies Y and X by its factor.

        That of volumes multiplies Z, too, unless it is flat.
        """
        from keras import initializers, layers

        kind = volume_convolutions()[1] if self.settings.in_3d else layers.Conv2DTranspose
        return kind(
            filters,
            self.sides(kernel, flat=flat),
            strides=self.sides(factor, flat=flat),
            padding="same",
            kernel_initializer=initializers.HeNormal(self.next_seed()),
            name=name,
        )(x)

    def drop(self, x: Any, *, name: str) -> Any:
        """Dropout at the settings' rate; nothing at rate 0."""
        from keras import layers

        if self.settings.dropout == 0:
            return x
        return layers.Dropout(self.settings.dropout, seed=self.next_seed(), name=name)(x)

    def head(self, x: Any, *, name: str = "logits") -> Any:
        """The 1x1 convolution to logits, float32 whatever the precision of the rest.

        Star-convex distances get a 3x3 convolution of their own before it, as in Schmidt et al. 2018
        (doi:10.1007/978-3-030-00934-2_30): the few channels of a mask are too few for 32 distances.

        Returns
        -------
        keras tensor
            (N, Y, X, K) logits for sigmoid, (N, Y, X, K + 1) with background first for softmax.
        """
        if self.settings.separation == "star":
            from keras import layers

            kernel = 3 if self.settings.padding == "same" else 1  # which leaves the size of the output
            x = self.convolution(x, STAR_FEATURES, kernel, name=f"{name}_features", bias=True)
            x = layers.ReLU(name=f"{name}_features_relu")(x)
        logits = self.convolution(x, self.settings.outputs, 1, name=name, bias=True)
        return self.in_float32(logits, name=name)

    def heads(self, x: Any, bottom: Any, *, name: str = "presence") -> Any:
        """The logits of the pixels and, if wanted, of the image as a whole: whether there is anything in it.

        Parameters
        ----------
        x : keras tensor
            (N, Y', X', C), the last features.
        bottom : keras tensor
            (N, Y, X, C), what the network knows where it sees farthest.
        name : str
            Prefix of the layers' names.

        Returns
        -------
        keras tensor
            As ``head``; with presence one channel more, the last, the same for all pixels of an image.
        """
        from keras import layers

        logits = self.head(x)
        if not self.settings.presence:
            return logits
        mean = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean")(bottom)
        few = self.convolution(mean, PRESENCE_FILTERS, 1, name=f"{name}_few", bias=True)
        few = layers.Activation("relu", name=f"{name}_relu")(few)
        found = self.in_float32(self.convolution(few, 1, 1, name=name, bias=True), name=name)
        spread = spread_like()(dtype="float32", name=f"{name}_spread")(found, logits)
        return layers.Concatenate(dtype="float32", name=f"{name}_and_logits")([logits, spread])

    @staticmethod
    def in_float32(logits: Any, *, name: str = "logits") -> Any:
        """Logits in float32, whatever the precision of the rest."""
        from keras import layers

        return layers.Activation("linear", dtype="float32", name=f"{name}_float32")(logits)


def padded(settings: NetworkSettings) -> NetworkSettings:
    """The settings with same padding, for networks that know no other."""
    return settings.model_copy(update={"padding": "same"})
