"""What a training starts from: images that can be read, their split, settings that fit them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_unet.data.catalog import open_dataset
from napari_unet.data.files.channels import common_channels
from napari_unet.data.split import Split, make_split
from napari_unet.errors import DataError, TrainingError
from napari_unet.models.normalization import Normalization, measure_intensities
from napari_unet.workflow.inputs.labelled_images import GivenData
from napari_unet.workflow.train.dataset_scan import scan_sound_part
from napari_unet.workflow.train.recipes import fit_recipe

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_unet.data.dataset import Dataset
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.settings import Recipe, TrainingSettings
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
            sums = (one.intensities.get(channels) or one.intensities[1] for one in self.facts)
            mean, deviation = measure_intensities(sums, channels)
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
    split = split_for(data, scan.dataset, recipe.training, given, on_progress, cancel, scan.coverages())
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
    settings: TrainingSettings,
    given: Path | Split | None,
    on_progress: OnProgress,
    cancel: CancelToken,
    coverage: Mapping[str, float] | None = None,
) -> Split:
    """The split to train with: the one given, that of the data, or a new one; errors as ``make_split``."""
    if isinstance(given, Split):
        return given
    if given is not None:
        return Split.load(given)
    if isinstance(data, GivenData) and data.split is not None:
        return data.split
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
