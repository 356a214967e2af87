"""Give a model of an earlier version what its training images look like, so that it can say what does not.

    python benchmarks/add_likeness.py MODEL DATA [--sizes]

Changes settings.json of a model folder; only figures go in. DATA is the data set that the model was trained
on: its images are told by the names in the model's split. With ``--sizes`` images at half and at double the
size count as alike, too, as for the models that come with the program, which were trained to bear that.
Prints how many of the validation and held-out images, which were not looked at, are called unlike.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.atomic import write_text
from napari_unet.data.catalog import open_dataset
from napari_unet.data.split import Split
from napari_unet.models.image_statistics import describe_image
from napari_unet.models.likeness import KEY, Likeness
from napari_unet.models.model_folder import read_settings
from napari_unet.models.normalization import resize, scaled_shape

if TYPE_CHECKING:
    from napari_unet.data.dataset import Dataset
    from napari_unet.models.image_statistics import ImageStatistics
    from napari_unet.models.normalization import Normalization

SIZES = (0.5, 2.0)


def likeness_of(
    dataset: Dataset, split: Split, normalization: Normalization, sizes: tuple[float, ...] = ()
) -> Likeness | None:
    """What the training images of a model look like, at these other sizes too."""
    looks: list[ImageStatistics] = []
    others: list[ImageStatistics] = []
    variants: list[ImageStatistics] = []
    groups: list[str] = []
    training, unseen = set(split.train), {*split.validation, *split.held_out}
    for sample in dataset.samples:
        if sample.id in training:
            image = sample.read_image()
            looks.append(describe_image(image))
            groups.append(split.groups.get(sample.id, sample.id))
            resized = (resize(image, scaled_shape(image.shape[:2], factor)) for factor in sizes)
            variants.extend(map(describe_image, resized))
        elif sample.id in unseen:
            others.append(describe_image(sample.read_image()))
    return Likeness.of_training(looks, groups, normalization, others, variants)


def main() -> int:
    """Add it and say how it does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sizes", action="store_true", help="half and double size count as alike")
    options = parser.parse_args()
    _, normalization, _, provenance = read_settings(options.model)
    split = Split.from_json(provenance["split"], "split")
    found = likeness_of(open_dataset(options.data), split, normalization, SIZES if options.sizes else ())
    if found is None:
        print("fewer than 5 groups of training images: nothing can be said", file=sys.stderr)
        return 1
    file = options.model / "settings.json"
    settings = json.loads(file.read_text(encoding="utf-8"))
    settings["provenance"][KEY] = found.to_json()
    write_text(file, json.dumps(settings, indent=1))
    print(f"{found.measured} of {found.measured_on} images that were not trained on are called unlike")
    return 0


if __name__ == "__main__":
    sys.exit(main())
