"""Models that see several slices of a volume, and what takes models of single images only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.errors import ModelError

if TYPE_CHECKING:
    from napari_unet.settings import NetworkSettings


def check_sees_one_slice(network: NetworkSettings, what: str) -> None:
    """Refuse a model that sees several slices where it would be given one.

    Parameters
    ----------
    network : NetworkSettings
        Of the model, or of one to be trained.
    what : str
        What is asked of it, like "fine-tuning".

    Raises
    ------
    ModelError
        If its dimensions are not "2d".
    """
    if network.dimensions != "2d":
        raise ModelError(
            f"{what} takes a model that sees one slice at a time",
            code="model.volume.unsupported",
            expected="dimensions=2d",
            got=f"dimensions={network.dimensions}",
            remedy="train a model with dimensions=2d for this, on the same slices",
        )
