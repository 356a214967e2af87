"""Images as a network sees them: alone, with their neighbours as channels, or as volumes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from napari_unet.data.volumes.blocks_of_slices import as_volumes
from napari_unet.data.volumes.slices import place_of
from napari_unet.data.volumes.voxel_size import parse_voxel_size
from napari_unet.training.feeding.batches import TrainingBatches
from napari_unet.training.feeding.prepared_sample import prepare_sample
from napari_unet.training.feeding.prepared_volume import prepare_volume
from napari_unet.training.feeding.slice_channels import dataset_with_seen_slices
from napari_unet.training.feeding.volume_batches import VolumeBatches, depth_of_patch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import Sample
    from napari_unet.models.normalization import Normalization
    from napari_unet.networks.sizes import InputSizes
    from napari_unet.settings import Recipe, TrainingSettings
    from napari_unet.training.feeding.augmentation import Patch


def network_anisotropy(training: TrainingSettings) -> float | None:
    """How many times as thick a slice is as a pixel of the network is wide; None if nobody knows.

    Parameters
    ----------
    training : TrainingSettings
        Fitted to the data.
    """
    voxel = parse_voxel_size(training.voxel_size) if training.voxel_size else None
    return None if voxel is None else voxel.anisotropy * training.scale


def as_seen(dataset: Dataset, recipe: Recipe, sizes: InputSizes, judges: Iterable[Sample] = ()) -> Dataset:
    """Some images as the network of a recipe sees them.

    Parameters
    ----------
    dataset : Dataset
        Of images; of slices, for a network that sees several.
    recipe : Recipe
        Fitted to the data.
    sizes : InputSizes
        Of its network.
    judges : iterable of Sample
        Slices that must not be among those around a block.

    Returns
    -------
    Dataset
        For a network in three dimensions its samples are volumes, see ``as_volumes``.

    Raises
    ------
    DataError
        If an image is no slice of a volume.
    """
    network = recipe.network
    if network.dimensions == "2.5d":
        return dataset_with_seen_slices(dataset, network)
    if not network.in_3d:
        return dataset
    places = map(place_of, judges)
    taken = {(place.file, place.z) for place in places if place is not None}
    return as_volumes(
        dataset, taken, depth_of_patch(recipe.training, network_anisotropy(recipe.training), sizes)
    )


def batches_kind(recipe: Recipe) -> Callable[..., TrainingBatches]:
    """What makes the batches of a recipe: of images, or of volumes for a network in three dimensions."""
    if not recipe.network.in_3d:
        return TrainingBatches
    return partial(VolumeBatches, anisotropy=network_anisotropy(recipe.training))


def whole_patches(dataset: Dataset, normalization: Normalization, recipe: Recipe) -> list[Patch]:
    """Whole images, or volumes, to score a network on: at its own resolution, without weights of borders.

    Parameters
    ----------
    dataset : Dataset
        As the network sees it.
    normalization : Normalization
        Of the model.
    recipe : Recipe
        Of the model.
    """
    if recipe.network.in_3d:
        return [prepare_volume(dataset, s, normalization).whole for s in dataset.samples]
    plain = recipe.training.model_copy(update={"border_weight": 0.0})
    return [prepare_sample(dataset, s, normalization, plain).whole for s in dataset.samples]
