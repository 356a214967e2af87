"""What learning from strokes is asked for, and how strokes are handed over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_unet.workflow.strokes.stroke_recipe import STROKES

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.engine.task import FromCaller
    from napari_unet.settings import Recipe
    from napari_unet.workflow.inputs.image_reference import FileReference

UNKNOWN = 255  # in a mask of strokes: nobody painted there


@dataclass(frozen=True, eq=False)
class PaintedImage:
    """Strokes on an image, as whoever has them hands them over.

    Attributes
    ----------
    id : str
        Of the image.
    number : int
        Of the last stroke on it.
    mask : numpy.ndarray
        (Y, X) uint8, 0 background, 1..K classes, 255 where nobody painted.
    image : FileReference, numpy.ndarray or None
        Where it is, or (Y, X, C) in the stored dtype; None of an image that was handed over before.
    whole : str
        Id of the large image that this is a part of; empty if it is a whole image.
    """

    id: str
    number: int
    mask: NDArray[np.uint8]
    image: FileReference | NDArray[np.generic] | None = None
    whole: str = ""


@dataclass(frozen=True, eq=False)
class ImagePart:
    """A part of a large image, as a preview is asked for.

    Attributes
    ----------
    whole : str
        Id of the image.
    origin : tuple of int
        Row and column of its first pixel.
    pixels : numpy.ndarray
        (Y, X, C) in the stored dtype.
    """

    whole: str
    origin: tuple[int, int]
    pixels: NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class StrokeRequest:
    """What is to be learned from, and where the model goes.

    Attributes
    ----------
    out : pathlib.Path
        Folder of the model.
    classes : tuple of str
        Names of the classes 1..K.
    strokes : FromCaller
        (mapping of id to number of the last stroke that is known) -> sequence of PaintedImage, those with
        other strokes. One whose mask is 255 throughout teaches nothing any more.
    start : pathlib.Path, optional
        A model that was learned from strokes before, to continue from.
    preview, stop : FromCaller, optional
        See ``FineTuneTask``; the preview may be asked of an ImagePart, too.
    seconds : float
        Budget, from the moment at which the network is ready.
    recipe : Recipe
        Network and training.
    intensities : FromCaller, optional
        (id of a large image, Normalization) -> Intensities of all of it, by which its parts are prepared.
    """

    out: Path
    classes: tuple[str, ...]
    strokes: FromCaller
    start: Path | None = None
    preview: FromCaller | None = None
    stop: FromCaller | None = None
    seconds: float = 60.0
    recipe: Recipe = field(default_factory=lambda: STROKES)
    intensities: FromCaller | None = None
