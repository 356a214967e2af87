"""What a training starts from: images that can be read, their split, settings that fit them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_unet.data.catalog import open_dataset
from napari_unet.data.files.channels import common_channels
from napari_unet.data.split import Split, make_split
from napari_unet.data.volumes.volume_split import make_volume_split
from napari_unet.errors import DataError, TrainingError
from napari_unet.models.normalization import Normalization, measure_intensities
from napari_unet.networks.registry import input_sizes
from napari_unet.training.feeding.slices_seen import as_seen, batches_kind
from napari_unet.workflow.inputs.labelled_images import GivenData
from napari_unet.workflow.train.dataset_scan import scan_sound_part
from napari_unet.workflow.train.recipes import fit_recipe

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.settings import Recipe
    from napari_unet.training.feeding.batches import TrainingBatches
    from napari_unet.workflow.inputs.left_out import LeftOut
    from napari_unet.workflow.train.dataset_scan import DatasetScan, ImageFacts


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What a training starts from.

    Attributes
    ----------
    scan : DatasetScan
        Of all images that can be read.
    split : Split
        To train with.
    recipe : Recipe
        Without automatic settings.
    left_out : tuple of LeftOut
        Images that cannot be read.
    """

    scan: DatasetScan
    split: Split
    recipe: Recipe
    left_out: tuple[LeftOut, ...]

    @property
    def dataset(self) -> Dataset:
        """All images that can be read, whatever their part."""
        return self.scan.dataset

    @property
    def train(self) -> Dataset:
        """The images to train on."""
        return self.dataset.subset(self.split.train)

    def as_seen(self, dataset: Dataset) -> Dataset:
        """Some of the images as the network sees them: alone, with their neighbours, or as volumes."""
        own = {sample.id for sample in dataset.samples}
        others = (sample for sample in self.dataset.samples if sample.id not in own)
        return as_seen(dataset, self.recipe, input_sizes(self.recipe.network), others)

    def batches(self, class_weights: NDArray[np.float32] | None = None, shares: int = 1) -> TrainingBatches:
        """The batches that the network learns from; parameters as ``TrainingBatches``."""
        network, training = self.recipe.network, self.recipe.training
        return batches_kind(self.recipe)(
            self.as_seen(self.train),
            self.normalization(),
            training,
            input_sizes(network),
            network.classes,
            class_weights,
            network.separation,
            shares=shares,
            shapes=None if network.in_3d else [one.shape for one in self.facts],
        )

    @property
    def facts(self) -> list[ImageFacts]:
        """Of the images to train on, in their order."""
        return self.scan.of(self.train.samples)

    def check_foreground(self) -> None:
        """Refuse training images whose masks are all empty.

        Raises
        ------
        TrainingError
            If there is nothing to learn.
        """
        if not any(one.coverage for one in self.facts):
            raise TrainingError(
                "no mask of the training images has any foreground",
                code="training.masks.empty",
                expected="at least one pixel that is not background",
                remedy="check the masks with `napari-unet inspect`",
            )

    def normalization(self) -> Normalization:
        """As the settings say, with mean and deviation of the training images where they ask for them."""
        training, channels = self.recipe.training, self.recipe.network.input_channels
        mean: tuple[float, ...] = ()
        deviation: tuple[float, ...] = ()
        if training.intensities == "dataset":
            slices = self.recipe.network.slices if self.recipe.network.dimensions == "2.5d" else 1
            of_slice = channels // slices
            sums = (one.intensities.get(of_slice) or one.intensities[1] for one in self.facts)
            mean, deviation = (slices * found for found in measure_intensities(sums, of_slice))
        return Normalization(
            channels=channels,
            intensities=training.intensities,
            mean=mean,
            deviation=deviation,
            scale=training.scale,
            channel_names=common_channels(self.train.samples, channels),
        )


def prepare_training(
    data: Path | GivenData,
    layout: str | None,
    recipe: Recipe,
    given: Path | Split | None,
    on_progress: OnProgress,
    cancel: CancelToken,
) -> TrainingData:
    """Open the data and read each image and mask once; errors as ``TrainTask.run``."""
    by_dataset = recipe.training.intensities == "dataset"
    scan, left = scan_sound_part(open_training_data(data, layout), by_dataset, on_progress, cancel)
    split = split_for(data, scan.dataset, recipe, given, on_progress, cancel, scan.coverages())
    split = split.without(item.id for item in left)
    fitted = fit_recipe(recipe, scan.dataset.subset(split.train), scan)
    return TrainingData(scan, split, fitted, left)


def open_training_data(data: Path | GivenData, layout: str | None) -> Dataset:
    """Open what is to be trained on.

    Raises
    ------
    DataError
        If it cannot be read, or there is no image with a mask.
    """
    dataset = data.open() if isinstance(data, GivenData) else open_dataset(data, layout)
    if len(dataset) == 0:
        name = data.name if isinstance(data, GivenData) else data
        raise DataError(
            f"{name} has no image with a mask",
            code="data.masks.missing",
            remedy="check it with `napari-unet inspect`",
        )
    return dataset


def split_for(
    data: Path | GivenData,
    dataset: Dataset,
    recipe: Recipe,
    given: Path | Split | None,
    on_progress: OnProgress,
    cancel: CancelToken,
    coverage: Mapping[str, float] | None = None,
) -> Split:
    """The split to train with: the one given, that of the data, or a new one; errors as ``make_split``.

    A network that sees several slices gets blocks of slices, with a gap between them.
    """
    settings = recipe.training
    if isinstance(given, Split):
        return given
    if given is not None:
        return Split.load(given)
    if isinstance(data, GivenData) and data.split is not None:
        return data.split
    if recipe.network.dimensions != "2d":
        return make_volume_split(
            dataset,
            validation=settings.validation,
            held_out=settings.held_out,
            seed=settings.seed,
            coverage=coverage,
            on_progress=on_progress,
            cancel=cancel,
        )
    return make_split(
        dataset,
        validation=settings.validation,
        held_out=settings.held_out,
        seed=settings.seed,
        by_group=settings.split_by_group,
        coverage=coverage,
        on_progress=on_progress,
        cancel=cancel,
    )
