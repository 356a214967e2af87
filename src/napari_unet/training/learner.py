"""What of a network is trained, and what it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_unet.networks.heads import learner_of
from napari_unet.networks.registry import architecture
from napari_unet.training.regions import prepare_batch, region_learner

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.settings import NetworkSettings


def learner_for(
    network: Any, settings: NetworkSettings
) -> tuple[Any, Callable[[Any, Any, int], tuple[Any, Any]] | None]:
    """The view of a network that is trained, and what turns a batch into what it is shown.

    Parameters
    ----------
    network : keras.Model
        From the registry.
    settings : NetworkSettings
        That it was built from.

    Returns
    -------
    learner : keras.Model
        With the same layers; what comes out is what ``losses.make_loss`` takes.
    prepare_batch : callable or None
        (images, targets, step) -> (shown, wanted), for images (N, Y, X, C) float32 and targets as
        ``TrainingBatches`` makes them; see ``regions.prepare_batch``. None: images and targets as they are.

    Raises
    ------
    SettingsError
        If there is no network of that name.
    """
    if architecture(settings.name).decode_detections is not None:
        return region_learner(network), prepare_batch
    return learner_of(network, settings), None
