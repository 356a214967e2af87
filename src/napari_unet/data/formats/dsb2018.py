"""2018 Data Science Bowl: nuclei, one folder an image, one mask file a nucleus.

stage1_train/ID/images/ID.png and stage1_train/ID/masks/*.png; stage1_test/ID/images/ID.png.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_unet.data.dataset import Dataset, Problem
from napari_unet.data.loaders import ImageLoader, ObjectFilesLoader
from napari_unet.data.sample import Sample
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from napari_unet.data.source import Source

NAME = "dsb2018"
TITLE = "2018 Data Science Bowl"
IMAGE = re.compile(r"(?:.*/)?([^/]+)/images/\1\.(?:png|tif|tiff)$", re.IGNORECASE)
MASK = re.compile(r"(?:.*/)?([^/]+)/masks/[^/]+\.(?:png|tif|tiff)$", re.IGNORECASE)


def recognize(source: Source) -> bool:
    """Whether a source is laid out like this."""
    return any(map(IMAGE.match, source.sizes)) and any(map(MASK.match, source.sizes))


def open_source(source: Source) -> Dataset:
    """Open a source of this layout.

    Raises
    ------
    DataError
        If no image has a mask.
    """
    images: dict[str, str] = {}
    masks: dict[str, list[str]] = {}
    for name in source.sizes:
        if match := IMAGE.match(name):
            images[match[1]] = name
        elif match := MASK.match(name):
            masks.setdefault(match[1], []).append(name)
    samples, unlabelled, problems = [], [], []
    for stem, name in images.items():
        load = ImageLoader(source, name)
        if stem in masks:
            files = tuple(masks[stem])
            folder = files[0].rsplit("/", 1)[0]
            reason = f"{len(files)} object masks in the same folder"
            samples.append(Sample(stem, load, ObjectFilesLoader(source, files), None, name, folder, reason))
        else:
            unlabelled.append(Sample(stem, load, image_name=name))
            if "test" not in name:
                problems.append(
                    Problem("unpaired image", f"{name} has no masks", "add masks or leave it out", (name,))
                )
    problems += [
        Problem("unpaired mask", f"{names[0]} has no image", "add the image", tuple(names))
        for stem, names in masks.items()
        if stem not in images
    ]
    if not samples:
        raise DataError(f"{source.path} has no image with masks", remedy="check the folder")
    return Dataset(
        name=source.name,
        format=NAME,
        path=source.path,
        samples=tuple(samples),
        unlabelled=tuple(unlabelled),
        classes=("nucleus",),
        problems=tuple(problems),
        licence="CC0 (BBBC038)",
        citation="Caicedo et al. 2019, doi:10.1038/s41592-019-0612-7",
    )
