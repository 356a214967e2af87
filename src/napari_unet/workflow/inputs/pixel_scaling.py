"""Images at the size of the pixels that a model was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.data.files.loaders import ImageLoader
from napari_unet.data.files.pages import PageLoader
from napari_unet.data.files.pixel_size import parse_pixel_size, read_pixel_size
from napari_unet.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.data.files.pixel_size import PixelSize
    from napari_unet.data.sample import Sample
    from napari_unet.models.ensemble import AnyModel

ALIKE = 0.02  # pixels whose sizes differ by less are taken for equal
MOST = 16.0  # times larger or smaller than the model's: what differs more is a unit mistaken


def pixel_size_of_model(model: AnyModel) -> PixelSize | None:
    """Size of a pixel of the images a model was trained on, before they were resized; None if unknown."""
    pixel_size = model.recipe.training.pixel_size
    return parse_pixel_size(pixel_size) if pixel_size else None


def pixel_size_of_samples(samples: Sequence[Sample]) -> PixelSize | None:
    """Size of a pixel that the files of all samples tell alike; None if one tells nothing, or another."""
    first: PixelSize | None = None
    for sample in samples:
        load = sample.load_image
        if not isinstance(load, ImageLoader | PageLoader):
            return None
        file = load.source.path / load.name
        size = read_pixel_size(file) if file.is_file() else None
        if size is None:
            return None
        first = first or size
        pairs = zip(size.metres(), first.metres(), strict=True)
        if any(abs(have / want - 1) >= ALIKE for have, want in pairs):
            return None
    return first


def resizing(model: AnyModel, size: PixelSize | None) -> tuple[float, float]:
    """By how much an image is resized before it enters the network, along Y and X.

    Parameters
    ----------
    model : Model
        Wants its own scale, and pixels of the size it was trained on.
    size : PixelSize or None
        Of the image.

    Returns
    -------
    tuple of float
        The model's scale, times the size of the image's pixels over those of the model's if both are known.

    Raises
    ------
    SettingsError
        If they differ so much that one of them must be wrong.
    """
    scale = model.normalization.scale
    wanted = pixel_size_of_model(model)
    if size is None or wanted is None:
        return scale, scale
    factors = []
    for have, want in zip(size.metres(), wanted.metres(), strict=True):
        factor = have / want
        if not 1 / MOST <= factor <= MOST:
            raise SettingsError(
                "the pixels of the image and those the model was trained on differ too much",
                code="settings.pixel.different",
                expected=f"about {wanted.text}",
                got=size.text,
                remedy="check the pixel size of the image, or choose a level of it with --level",
            )
        factors.append(scale if abs(factor - 1) < ALIKE else scale * factor)
    return factors[0], factors[1]


def coarsest_useful(model: AnyModel) -> float | None:
    """Metres: larger pixels lack something that the network would see; None if the model does not know."""
    wanted = pixel_size_of_model(model)
    return None if wanted is None else min(wanted.metres()) / min(model.normalization.scale, 1.0)
