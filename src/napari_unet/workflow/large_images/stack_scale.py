"""The scale at which a model sees images that are never in memory as a whole."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from napari_unet.models.ensemble import Ensemble
from napari_unet.models.intensities import measure, prepare_part
from napari_unet.models.normalization import resize, scaled_shape
from napari_unet.workflow.inputs.pixel_scaling import resizing
from napari_unet.workflow.large_images.plan import check_channels
from napari_unet.workflow.segment.fitting_scale import FittingScale
from napari_unet.workflow.segment.three_planes import sees_volumes

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.data.files.lazy_stack import LazyStack
    from napari_unet.data.sample import Sample
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.settings import InferenceSettings

SIDE = 512  # pixels of the network: of a part
LOOKS = 4  # parts that are looked at along each axis, and images of a stack
REMEMBERED = 64
log = logging.getLogger(__name__)
_found: dict[tuple[str, str, str], float] = {}


def stack_scale(stack: LazyStack, model: AnyModel, settings: InferenceSettings, key: str) -> float:
    """The scale at which a model sees a stack, 1 unless its settings ask for another to be found.

    At most 16 parts of each of 4 images are read. The one with the most contrast is seen at several scales,
    as ``FittingScale`` does with an image in memory.

    Parameters
    ----------
    stack : LazyStack
        Images of one size.
    model : Model or Ensemble
        As is asked of images in memory, an ensemble and what sees volumes keep their scale.
    settings : InferenceSettings
        Whether one is looked for; threshold and flips.
    key : str
        Of the model and its precision: what was found is remembered in this process.

    Raises
    ------
    ModelError
        If the channels do not fit the model.
    """
    if not settings.find_scale or isinstance(model, Ensemble) or sees_volumes(model.recipe.network, settings):
        return 1.0
    known = (stack.fingerprint, key, settings.model_dump_json())
    if known not in _found:
        check_channels(stack, model)
        y, x = resizing(model, stack.pixel_size)
        parts = [part for looks in _looks(stack, y, x) for part in _prepared(looks, model, y, x)]
        part = max(parts, key=lambda one: float(one.std()))
        pixels = round(stack.shape[0] * y * stack.shape[1] * x)
        scale = FittingScale(model, settings, _unread).of_part(part, pixels)
        if scale != 1.0:
            log.warning(
                "%s is segmented at %g times the size, because the model knows objects of that size better",
                stack.name,
                scale,
            )
        while len(_found) >= REMEMBERED:
            del _found[next(iter(_found))]
        _found[known] = scale
    return _found[known]


def _looks(stack: LazyStack, y: float, x: float) -> Iterator[list[NDArray[np.generic]]]:
    """Parts (Y, X, C) of some images, evenly spread; of each image together."""
    height, width, _ = stack.shape
    indices = stack.indices
    rows, columns = (
        [slice(start, start + side) for start in _spread(length - side)]
        for length, side in ((height, min(height, round(SIDE / y))), (width, min(width, round(SIDE / x))))
    )
    for number in _spread(len(indices) - 1):
        yield [stack.read(indices[number], row, column) for row in rows for column in columns]


def _spread(last: int) -> list[int]:
    """At most so many numbers from 0 to the last one."""
    return sorted({round(n * last / (LOOKS - 1)) for n in range(LOOKS)})


def _prepared(
    parts: list[NDArray[np.generic]], model: AnyModel, y: float, x: float
) -> list[NDArray[np.float32]]:
    """Parts of one image as the network is shown them, by the intensities of all of them."""
    height, width, _ = parts[0].shape
    places = [slice(number * height, (number + 1) * height) for number in range(len(parts))]

    def together() -> Iterator[tuple[slice, slice, NDArray[np.generic]]]:
        for place, part in zip(places, parts, strict=True):
            yield place, slice(0, width), part

    intensities = measure(model.normalization, together, (height * len(parts), width))
    shown = scaled_shape((height, width), y)[0], scaled_shape((height, width), x)[1]
    prepared = (prepare_part(model.normalization, part, intensities) for part in parts)
    return [one if one.shape[:2] == shown else resize(one, shown) for one in prepared]


def _unread(sample: Sample) -> NDArray[np.generic]:
    raise AssertionError(f"{sample.id} is not read as a whole")
