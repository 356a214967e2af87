"""Which images do not look like those that a model was trained on, found while they pass by."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_unet.atomic import some_names
from napari_unet.data.files.channels import channels_of
from napari_unet.errors import ModelError
from napari_unet.models.image_statistics import describe_image
from napari_unet.models.likeness import Likeness

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.data.sample import Sample
    from napari_unet.models.normalization import Normalization


class UnlikeImages:
    """Compares images with the training images of a model.

    Parameters
    ----------
    provenance : mapping
        Of the model.
    normalization : Normalization
        Of the model, which picks the channels.

    Attributes
    ----------
    is_known : bool
        Whether the model says what its training images look like; models of earlier versions do not.
    count : int
        Images that were compared.
    why : dict
        Name of each image that does not look like them, to what differs most.
    """

    def __init__(self, provenance: Mapping[str, Any], normalization: Normalization) -> None:
        self._likeness = Likeness.of_model(provenance)
        self._normalization = normalization
        self.count = 0
        self.why: dict[str, str] = {}

    @property
    def is_known(self) -> bool:  # noqa: D102 - see the class
        return self._likeness is not None

    def look(self, sample: Sample, image: NDArray[np.generic]) -> None:
        """Compare one image, (Y, X, C); one that does not fit the model is passed over."""
        if self._likeness is None or not image.size:
            return
        try:
            if image.ndim > 2 and image.shape[2] > 1:
                image = self._normalization.pick(image, *channels_of(sample), sample.id)
        except ModelError:
            return  # where it is segmented that is said
        self.compare(sample.id, image)

    def compare(self, name: str, image: NDArray[np.generic]) -> None:
        """Compare one image (Y, X, C), or its middle, with the channels that the model is given."""
        if self._likeness is None or not image.size:
            return
        self.count += 1
        found = self._likeness.compare(describe_image(image))
        if found.is_unlike:
            self.why[name] = found.why

    def watched(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """The same samples, each of which is compared in the thread that reads its image."""
        for sample in samples:
            if self._likeness is None:
                yield sample
            else:
                yield replace(sample, load_image=partial(self._read, sample))

    def _read(self, sample: Sample) -> NDArray[np.generic]:
        image = sample.read_image()
        self.look(sample, image)
        return image

    @property
    def sentence(self) -> str:
        """What a person should know; empty where all look like the training images, or nobody knows."""
        if not self.why:
            return ""
        many = len(self.why) != 1
        most = Counter(self.why.values()).most_common(1)[0][0]
        mostly = "mostly " if len(set(self.why.values())) > 1 else ""
        counted = f"{len(self.why):,} of {self.count:,} image{'s' * (self.count != 1)}"
        named = some_names(list(self.why))
        return (
            f"{counted} {'do' if many else 'does'} not look like those that the model was trained on "
            f"({mostly}{most}): {named}. Check {'their masks' if many else 'the mask'}"
        )

    def to_json(self) -> dict[str, Any] | None:
        """For a report; None if it is not known."""
        if self._likeness is None:
            return None
        return {
            "compared": self.count,
            "false_alarms": self._likeness.false_alarms,
            "images": [{"image": name, "why": why} for name, why in self.why.items()],
        }
