"""VGG-16, the encoder of FCN and SegNet: its convolutions, its published weights, its classifier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import ModelError, SettingsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.networks.layers.blocks import Builder
    from napari_unet.settings import NetworkSettings

# Convolutions of each level, and their filters as multiples of those of the first.
CONVOLUTIONS = (2, 2, 3, 3, 3)
WIDTHS = (1, 2, 4, 8, 8)
PUBLISHED_FILTERS = 64
# Published weights are for images with a standard deviation of about this in grey levels, mean taken away.
DEVIATION = 58.0
PREFIX = "encoder_"


def level(lay: Builder, x: Any, number: int, *, name: str = f"{PREFIX}block{{0}}_conv{{1}}") -> Any:
    """The convolutions of one level, each with normalization and ReLU.

    Parameters
    ----------
    lay : Builder
        With same padding.
    x : keras tensor
        (N, Y, X, C).
    number : int
        Of the level, from 0; levels beyond VGG's five are like its last.
    name : str
        Of the layers, with level and convolution counted from 1.
    """
    row = min(number, len(CONVOLUTIONS) - 1)
    for convolution in range(CONVOLUTIONS[row]):
        filters = lay.settings.filters * WIDTHS[row]
        x = lay.step(x, filters, name=name.format(number + 1, convolution + 1))
    return x


def take_weights(network: Any, classifier: Any) -> list[str]:
    """Move the weights of a VGG-16 classifier into a network, those of dense layers into convolutions.

    A dense layer on a flattened 7x7 map is a 7x7 convolution that fits once: its matrix
    (7 * 7 * C, F) is the kernel (7, 7, C, F). The first convolution is fitted to the network's channels
    and to images that are normalized to deviation 1 rather than given in grey levels.

    Parameters
    ----------
    network : keras.Model
        With layers "encoder_blockL_convN" and perhaps "encoder_fc6" and "encoder_fc7"; changed in place.
    classifier : keras.Model
        With layers "blockL_convN" and perhaps "fc1" and "fc2", named as in keras.applications.

    Returns
    -------
    list of str
        The layers that got weights.

    Raises
    ------
    ModelError
        If a layer has another shape.

    References
    ----------
    Simonyan, Zisserman 2015, arXiv:1409.1556. Long, Shelhamer, Darrell 2015,
    doi:10.1109/CVPR.2015.7298965, figure 2.
    """
    names = {layer.name for layer in classifier.layers}
    partner = {"fc6": "fc1", "fc7": "fc2"}
    taken = []
    for layer in network.layers:
        if not layer.name.startswith(PREFIX) or not layer.weights:
            continue
        theirs = layer.name.removeprefix(PREFIX)
        theirs = partner.get(theirs, theirs)
        if theirs not in names:
            continue
        kernel, bias = classifier.get_layer(theirs).get_weights()
        wanted = tuple(layer.kernel.shape)
        if theirs in partner.values():
            kernel = kernel.reshape(wanted) if kernel.size == np.prod(wanted) else kernel
        elif theirs == "block1_conv1":
            kernel = for_channels(kernel, wanted[2]) * np.float32(DEVIATION)
        if kernel.shape != wanted:
            raise ModelError(
                f"the weights of {theirs} do not fit the network",
                code="model.pretrained.misfit",
                expected=f"a kernel of {wanted}",
                got=f"{kernel.shape}",
                remedy=f"set filters={PUBLISHED_FILTERS} for published weights",
            )
        layer.set_weights([kernel, bias])
        taken.append(layer.name)
    return taken


def for_channels(kernel: NDArray[np.float32], channels: int, reverse: bool = True) -> NDArray[np.float32]:
    """A first kernel for other channels than red, green, blue.

    For three channels it stays (turned around where it was trained on blue, green, red). For any other
    number each channel gets an equal share of the sum. So a grey image in all of them answers as it
    would in colour.

    Parameters
    ----------
    kernel : numpy.ndarray
        (Y, X, 3, F).
    channels : int
        Wanted.
    reverse : bool
        Whether the kernel expects blue first.

    Returns
    -------
    numpy.ndarray
        (Y, X, channels, F) float32.
    """
    if kernel.shape[2] == channels == 3:
        return kernel[:, :, ::-1] if reverse else kernel
    share = kernel.sum(axis=2, keepdims=True) / channels
    return np.repeat(share, channels, axis=2).astype(np.float32)


def pretrained(network: Any, settings: NetworkSettings, source: str) -> None:
    """Fill the convolutions of VGG-16 in a network with published weights.

    Parameters
    ----------
    network : keras.Model
        Changed in place.
    settings : NetworkSettings
        With 64 filters and without normalization, as the weights were trained.
    source : str
        "imagenet", which fetches 528 MB once, or the path of a file as keras.applications.VGG16 reads it.

    Raises
    ------
    SettingsError
        If the settings are others.
    ModelError
        If the weights cannot be fetched or read, or do not fit.
    """
    if settings.normalization != "none" or settings.filters != PUBLISHED_FILTERS:
        raise SettingsError(
            "published weights of VGG-16 do not fit these settings",
            code="settings.pretrained.unsupported",
            expected=f"filters={PUBLISHED_FILTERS} and normalization=none",
            got=f"filters={settings.filters} and normalization={settings.normalization}",
            remedy="set both, or train without pretrained weights",
        )
    take_weights(network, published("VGG16", source, include_top="notop" not in Path(source).name))


def published(name: str, source: str, **options: Any) -> Any:
    """A classifier of keras.applications with published weights.

    Parameters
    ----------
    name : str
        "VGG16", "ResNet50" ...
    source : str
        "imagenet", or the path of a file with weights.
    **options
        Of the function of keras.applications.

    Raises
    ------
    ModelError
        If the weights cannot be fetched or read.
    """
    import keras

    if source != "imagenet" and not Path(source).is_file():
        raise ModelError(
            f"there are no pretrained weights at {source}",
            code="model.pretrained.missing",
            expected="imagenet, or a file with the weights",
            remedy="check the path, or train without pretrained weights",
        )
    try:
        return getattr(keras.applications, name)(weights=source, **options)
    except Exception as error:  # Keras raises a plain Exception when a download fails
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        fetched = source == "imagenet"
        raise ModelError(
            f"the pretrained weights of {name} cannot be {'fetched' if fetched else 'read'}",
            code="model.pretrained.unreadable",
            got=said[:200],
            remedy="go online once, or fetch the file on another machine and give its path as pretrained"
            if fetched
            else "give the file that keras.applications offers for this network",
        ) from error
