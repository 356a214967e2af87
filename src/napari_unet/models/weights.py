"""The file of a model's weights: its size is looked at before anything is built, its numbers after."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import ModelError
from napari_unet.models.hdf5 import open_hdf5
from napari_unet.networks.registry import count_parameters
from napari_unet.plain_json import BAD_CONTENT

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.settings import NetworkSettings

# Networks up to these take about 100 MB at most.
FEW_FILTERS, FEW_DEEPEST = 32, 512
SMALL_ENCODERS = {"MobileNetV2", "EfficientNetLite0"}
BYTES_OF_A_WEIGHT, MOST_PACKED = 2, 4  # in half precision; how far somebody may have compressed the file


def halve_weights(file: Path) -> None:
    """Store the convolutions in a file of weights in half precision, and leave out the optimizer.

    Biases and normalization stay as they are: they are few, and a variance may be too large or too
    small for half precision.
    """
    import h5py

    smaller = file.with_suffix(".half")
    with h5py.File(file, "r") as source, h5py.File(smaller, "w") as target:

        def copy(name: str, item: Any) -> None:
            if name.split("/")[0] == "optimizer":
                return
            if isinstance(item, h5py.Group):
                target.require_group(name).attrs.update(item.attrs)
                return
            values = item[()]
            if np.ndim(values) > 1:
                values = values.astype(np.float16)
            target.create_dataset(name, data=values).attrs.update(item.attrs)

        target.attrs.update(source.attrs)
        source.visititems(copy)
    smaller.replace(file)


def check_weights_size(settings: NetworkSettings, file: Path, name: str) -> None:
    """Refuse settings of a network that is much larger than the file of its weights, before it is built.

    Raises
    ------
    ModelError
        With both sizes.
    """
    deepest = settings.filters * 2**settings.depth
    own_encoder = settings.name == "encoder_unet" and settings.encoder not in SMALL_ENCODERS
    if settings.filters <= FEW_FILTERS and deepest <= FEW_DEEPEST and not own_encoder:
        return
    bytes_there, weights = file.stat().st_size, count_parameters(settings)
    if BYTES_OF_A_WEIGHT * weights > MOST_PACKED * bytes_there:
        raise ModelError(
            f"the weights of the model {name} do not belong to its settings",
            code="model.weights.small",
            expected=f"{weights:,} weights",
            got=f"a file of {bytes_there:,} bytes",
            remedy="copy or train it again",
        )


def load_weights(network: Any, file: Path, name: str) -> None:
    """Fill a network with weights from a file.

    Raises
    ------
    ModelError
        If the file is damaged or belongs to another network.
    """
    try:
        with open_hdf5(file, network.count_params()), warnings.catch_warnings():
            # Keras only warns of layers that the file lacks, and leaves them at random.
            warnings.simplefilter("error", UserWarning)
            network.load_weights(file)
    except (OSError, RuntimeError, *BAD_CONTENT, UserWarning) as error:
        raise ModelError(
            f"the weights of the model {name} cannot be read",
            code="model.weights.unreadable",
            expected="an intact file that belongs to its settings",
            reason=str(error).splitlines()[0] if str(error) else type(error).__name__,
            remedy="copy or train it again",
        ) from error
    if not all(np.isfinite(w).all() for w in network.get_weights()):
        raise ModelError(
            f"the weights of the model {name} are not numbers",
            code="model.weights.values",
            remedy="train it again",
        )
