"""Recipes: named settings, changed by key=value, and fitted to a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from napari_unet.data.files.pixel_size import parse_pixel_size
from napari_unet.engine.hardware import default_precision
from napari_unet.errors import SettingsError, did_you_mean
from napari_unet.networks.registry import architecture
from napari_unet.setting_values import value_error
from napari_unet.settings import (
    AugmentationSettings,
    InferenceSettings,
    NetworkSettings,
    Recipe,
    Settings,
    TrainingSettings,
)
from napari_unet.workflow.inputs.pixel_scaling import pixel_size_of_samples
from napari_unet.workflow.segment.three_planes import check_planes
from napari_unet.workflow.train.dataset_recipes import SET_RECIPES
from napari_unet.workflow.train.dataset_scan import DatasetScan
from napari_unet.workflow.train.fit_dimensions import fit_dimensions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari_unet.data.dataset import Dataset
    from napari_unet.settings import Separation
    from napari_unet.workflow.train.dataset_scan import ImageFacts

# Under a microscope nothing is up; in a section of the earth or of an arm it is.
WITHOUT_UP = {"dsb2018", "isbi2012", "cell-tracking"}
IMAGES_LOOKED_AT = 48
THINNEST = 12.0  # pixels that structures should measure at the network's resolution
SMALLEST_SIDE = 192  # images are not shrunk below this

GENTLE = AugmentationSettings(
    rotation=8.0, scale=0.15, warp_probability=0.4, brightness=0.2, contrast=0.2, gamma=0.1
)

RECIPES: dict[str, Recipe] = {
    "fast": Recipe(
        name="fast",
        network=NetworkSettings(name="encoder_unet"),  # docs/benchmarks/head-start.md
        training=TrainingSettings(augmentation=GENTLE),
    ),
    "accurate": Recipe(
        name="accurate",
        network=NetworkSettings(filters=32),
        training=TrainingSettings(
            megapixels=4000.0,
            learning_rate=1e-3,
            averaging=0.999,
            augmentation=AugmentationSettings(
                rotation=15.0,
                scale=0.2,
                elastic=3.0,
                warp_probability=0.5,
                brightness=0.3,
                contrast=0.3,
                gamma=0.2,
                noise=0.1,
            ),
        ),
    ),
    "paper": Recipe(
        name="paper",
        network=NetworkSettings(
            activation="softmax",
            filters=64,
            padding="valid",
            normalization="none",
            block="plain",
            dropout=0.5,
        ),
        training=TrainingSettings(
            optimizer="sgd",
            learning_rate=1e-3,
            momentum=0.99,
            weight_decay=0.0,
            schedule="constant",
            batch_size=1,
            patch=388,
            scale=1.0,
            foreground_patches=0.0,
            loss="cross_entropy",
            border_weight=10.0,
            border_sigma=5.0,
            balance_classes=True,
            tune_threshold=True,  # the weights draw the borders wider than they are
            averaging=0.0,
            augmentation=AugmentationSettings(elastic=10.0, rotation=180.0, brightness=0.2, contrast=0.2),
        ),
        inference=InferenceSettings(tile=572),
    ),
}
RECIPES |= SET_RECIPES

Kind = TypeVar("Kind", bound=Settings)


def recipe(name: str, changes: Iterable[str] = ()) -> Recipe:
    """A recipe by name, with settings changed by "key=value".

    Parameters
    ----------
    name : str
        Of ``RECIPES``.
    changes : iterable of str
        "filters=32" or "network.filters=32"; the last of two equal keys counts.

    Returns
    -------
    Recipe
        Checked.

    Raises
    ------
    SettingsError
        If there is no such recipe or setting, or a value is out of range.
    """
    if name not in RECIPES:
        raise SettingsError(
            f"there is no recipe {name!r}",
            code="settings.recipe.unknown",
            remedy=did_you_mean(name, RECIPES),
        )
    content = RECIPES[name].model_dump(mode="json", exclude_unset=True)  # what is set stays known as set
    changed: set[tuple[str, ...]] = set()
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise SettingsError(
                f"{change!r} is not a setting", code="settings.malformed", expected="key=value"
            )
        path = _path_of(key.strip())
        branch = content
        for part in path[:-1]:
            branch = branch.setdefault(part, {})
        branch[path[-1]] = value.strip()
        changed.add(path)
    network = content.get("network", {})
    if network.get("dimensions") == "3d" and ("network", "name") not in changed:
        network["name"] = "unet"  # published encoders see in two dimensions
    return checked(Recipe, content)


def own_recipe(layout: str, chosen: str) -> str:
    """One line about the recipe that a data set has of its own, where another was chosen; else empty.

    Parameters
    ----------
    layout : str
        Of the data set, such as "tgs-salt".
    chosen : str
        Name of the recipe.
    """
    if layout not in SET_RECIPES or chosen == layout:
        return ""
    return f"{layout} has a recipe of its own, which is slower: --recipe {layout}"


def checked(kind: type[Kind], content: Mapping[str, Any]) -> Kind:
    """Make settings of values that a person gave.

    Raises
    ------
    SettingsError
        Naming the first setting that is wrong.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise value_error(kind, error) from error


def setting_paths() -> dict[tuple[str, ...], str]:
    """All settings of a recipe: path and description."""

    def walk(kind: type[BaseModel], prefix: tuple[str, ...]) -> dict[tuple[str, ...], str]:
        found: dict[tuple[str, ...], str] = {}
        for name, info in kind.model_fields.items():
            inner = info.annotation
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                found |= walk(inner, (*prefix, name))
            else:
                found[(*prefix, name)] = info.description or ""
        return found

    return walk(Recipe, ())


def _path_of(key: str) -> tuple[str, ...]:
    wanted = tuple(key.split("."))
    paths = setting_paths()
    ends = [p for p in paths if p[-len(wanted) :] == wanted]
    if len(ends) > 1:
        # A setting of training that another room has too: say which.
        raise SettingsError(
            f"the setting {key!r} is ambiguous",
            code="settings.ambiguous",
            expected=" or ".join(".".join(p) for p in ends),
        )
    if not ends:
        # Whole paths only for whoever typed one: "training.epoch" is as near to "training.patch".
        names = (p[-len(wanted) :] for p in paths)
        hint = did_you_mean(key, (".".join(name) for name in names))
        if "did you mean" not in hint:
            hint = "see `napari-unet settings`"
        raise SettingsError(f"there is no setting {key!r}", code="settings.unknown", remedy=hint)
    return ends[0]


def fit_recipe(chosen: Recipe, dataset: Dataset, scan: DatasetScan | None = None) -> Recipe:
    """Fill in what a recipe leaves to the data: channels, classes, scale, symmetry, precision.

    Parameters
    ----------
    chosen : Recipe
        With automatic settings.
    dataset : Dataset
        To train on; up to 48 of its images and masks count.
    scan : DatasetScan, optional
        What is known of them already.

    Returns
    -------
    Recipe
        Without automatic settings, as it is stored with the model.
    """
    step = max(1, -(-len(dataset) // IMAGES_LOOKED_AT))
    looked_at = dataset.samples[::step]
    facts = (scan or DatasetScan(dataset)).of(looked_at)
    training, network, inference = chosen.training, chosen.network, chosen.inference
    symmetry = training.augmentation.symmetry
    volumes = network.dimensions != "2d"
    if symmetry == "auto":
        symmetry = "dihedral" if dataset.format in WITHOUT_UP or volumes else "horizontal"
    scale = training.scale or _automatic_scale(training, facts)
    precision = default_precision() if training.precision == "auto" else training.precision
    size = parse_pixel_size(training.pixel_size) if training.pixel_size else pixel_size_of_samples(looked_at)
    classes = len(dataset.classes)
    set_by_person = "input_channels" in network.model_fields_set
    of_slice = _channels_of_slice(network)
    channels = 1 if training.channels == "grey" else _channels(of_slice, facts, set_by_person)
    changed: dict[str, Any] = {"input_channels": channels, "classes": classes}
    voxel_size = training.voxel_size
    if volumes:
        settled, voxel_size = fit_dimensions(network, training, scale, looked_at)
        changed |= settled
        changed["input_channels"] = channels * (settled["slices"] or 1)
    changed["separation"] = own_separation(network)
    if classes > 1:
        changed["activation"] = "softmax"  # classes exclude each other
    fitted = network.model_copy(update=changed)
    if inference.orthogonal:
        check_planes(fitted, inference)
    flips = "none" if volumes else symmetry  # volumes take long enough once
    return Recipe(
        name=chosen.name,
        network=fitted,
        training=training.model_copy(
            update={
                "scale": scale,
                "precision": precision,
                "pixel_size": "" if size is None else size.text,
                "voxel_size": voxel_size,
                "augmentation": training.augmentation.model_copy(update={"symmetry": symmetry}),
            }
        ),
        inference=inference.model_copy(
            update={"flips": flips if inference.flips == "auto" else inference.flips}
        ),
    )


def _channels_of_slice(network: NetworkSettings) -> int:
    """Channels of a slice by the settings, which may be those of a model that was fitted already."""
    slices = network.slices if network.dimensions == "2.5d" else 0
    fitted = slices and network.input_channels % slices == 0
    return network.input_channels // slices if fitted else network.input_channels


def own_separation(network: NetworkSettings) -> Separation:
    """How the network tells objects apart: as it is set, but for one that finds them by itself.

    Raises
    ------
    SettingsError
        If network and separation do not go together.
    """
    finds = architecture(network.name).decode_detections is not None
    if finds and network.separation == "none":
        return "objects"
    if finds != (network.separation == "objects"):
        raise SettingsError(
            f"the network {network.name} does not tell objects apart by separation={network.separation}",
            code="settings.separation.unsupported",
            expected="separation=objects with mask_rcnn, another with other networks",
            remedy=f"add --set separation={'objects' if finds else 'none'}",
        )
    return network.separation


def with_open_channels(recipe: Recipe) -> Recipe:
    """A recipe that was read from a file, with its single channel as the default that it was there."""
    if recipe.network.input_channels != 1:
        return recipe
    rest = recipe.network.model_dump(exclude={"input_channels"})
    return recipe.model_copy(update={"network": NetworkSettings(**rest)})


def _channels(chosen: int, facts: Sequence[ImageFacts], set_by_person: bool) -> int:
    """Channels of the network: those of the data, unless more were set and grey images can be given so.

    Raises
    ------
    SettingsError
        If what is set contradicts the data.
    """
    found = max((one.channels for one in facts), default=1)
    if chosen == found or (chosen == 1 and not set_by_person):
        return found
    if found == 1:
        return chosen
    raise SettingsError(
        f"network.input_channels={chosen} contradicts the images",
        code="settings.channels.count",
        expected=f"{found}, the channels that they have",
        remedy=f"leave it out, or choose {chosen} channel{'s' * (chosen > 1)} with --channel"
        + (", or set training.channels=grey for colours" if chosen == 1 and found == 3 else ""),
    )


def _automatic_scale(training: TrainingSettings, facts: Sequence[ImageFacts]) -> float:
    """Images are shrunk to the side that is set, if there is one, else as far as what is annotated allows."""
    if not training.side:
        return choose_scale(facts)
    return min(1.0, training.side / float(np.median([max(one.shape) for one in facts])))


def choose_scale(facts: Sequence[ImageFacts]) -> float:
    """How much images can be shrunk before the thinnest annotated structures get too thin.

    Images are halved while what is annotated, and the background, keep a thickness of at least 12 pixels and
    the longer side at least 192.

    Returns
    -------
    float
        1, 0.5 or 0.25.
    """
    thickness = [one.thickness for one in facts if one.thickness]
    if not thickness:
        return 1.0
    thinnest = float(np.median(thickness))
    side = float(np.median([max(one.shape) for one in facts]))
    scale = 1.0
    while scale > 0.25 and thinnest * scale / 2 >= THINNEST and side * scale / 2 >= SMALLEST_SIDE:
        scale /= 2
    return scale
