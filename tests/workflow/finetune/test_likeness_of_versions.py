"""A new version of a model knows the kind of the images that it was corrected on."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.models.image_statistics import describe_image
from napari_unet.models.likeness import KEY, Likeness
from napari_unet.models.normalization import Normalization
from napari_unet.workflow.finetune.provenance import provenance_of_version
from napari_unet.workflow.inputs.labelled_images import as_dataset


def noise(seed: int, high: int = 200) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, high, (48, 48, 1)).astype(np.uint8)


def stripes(width: int) -> np.ndarray:
    return np.tile(np.repeat(np.array([0, 200], np.uint8), width), (48, 24 // width))[..., None]


def test_learned_images_are_known_and_judging_ones_are_not() -> None:
    looks = [describe_image(noise(seed)) for seed in range(20)]
    likeness = Likeness.of_training(looks, [str(n) for n in range(20)], Normalization(channels=1))
    assert likeness is not None
    mask = ReferenceMask(np.zeros((48, 48), np.uint8))
    learned, judging = (Sample(str(width), partial(stripes, width), lambda: mask) for width in (2, 12))
    painted = as_dataset("corrections", [learned, judging], ("foreground",))

    def version(parent: dict[str, object]) -> Likeness | None:
        found = provenance_of_version(parent, Path("model"), "0", painted, [learned], [judging], {})
        return Likeness.of_model(found)

    new = version({KEY: likeness.to_json()})
    assert new is not None
    for one, known in ((learned, True), (judging, False)):
        look = describe_image(one.read_image())
        assert likeness.compare(look).is_unlike
        assert new.compare(look).is_unlike is not known
    assert version({}) is None  # a parent that does not know the kind of its images
