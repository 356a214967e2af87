"""ISBI 2012 challenge: serial section electron microscopy of a fly's nerve cord, 512 x 512 pixels.

PNG slices train/image/N.png with train/label/N.png and test/N.png, or the stacks train-volume.tif,
train-labels.tif and test-volume.tif. Labels: 255 inside cells (class 1), 0 on membranes. Groups are
blocks of neighbouring slices, because slices 50 nm apart look alike.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_unet.data.dataset import Dataset, Problem
from napari_unet.data.image_files import count_pages
from napari_unet.data.loaders import BinaryMaskLoader, ImageLoader
from napari_unet.data.sample import Sample
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_unet.data.source import Source

NAME = "isbi2012"
TITLE = "ISBI 2012 EM segmentation challenge"
SLICES_PER_BLOCK = 3
IMAGE = re.compile(r"train/images?/(\d+)\.(?:png|tif|tiff)$", re.IGNORECASE)
LABEL = re.compile(r"train/labels?/(\d+)\.(?:png|tif|tiff)$", re.IGNORECASE)
TEST = re.compile(r"test/(?:images?/)?(\d+)\.(?:png|tif|tiff)$", re.IGNORECASE)
VOLUME, LABELS, TEST_VOLUME = "train-volume.tif", "train-labels.tif", "test-volume.tif"


def recognize(source: Source) -> bool:
    """Whether a source is laid out like this."""
    if VOLUME in source.sizes and LABELS in source.sizes:
        return True
    return any(map(IMAGE.match, source.sizes)) and any(map(LABEL.match, source.sizes))


def block_of(number: int) -> str:
    """Group of a slice."""
    first = number // SLICES_PER_BLOCK * SLICES_PER_BLOCK
    return f"slices {first}-{first + SLICES_PER_BLOCK - 1}"


def open_source(source: Source) -> Dataset:
    """Open a source of this layout.

    Raises
    ------
    DataError
        If the stacks differ in length, or no slice has a label.
    """
    problems: list[Problem] = []
    if VOLUME in source.sizes:
        samples = tuple(_from_stacks(source))
        test = _pages(source, TEST_VOLUME) if TEST_VOLUME in source.sizes else 0
        unlabelled = [
            Sample(
                f"test_{page}", ImageLoader(source, TEST_VOLUME, page), image_name=f"{TEST_VOLUME}[{page}]"
            )
            for page in range(test)
        ]
    else:
        images = {int(m[1]): n for n in source.sizes if (m := IMAGE.match(n))}
        labels = {int(m[1]): n for n in source.sizes if (m := LABEL.match(n))}
        samples = tuple(
            Sample(
                str(number),
                ImageLoader(source, images[number]),
                BinaryMaskLoader(source, labels[number], 127),
                block_of(number),
                images[number],
                labels[number],
                "same number",
            )
            for number in sorted(images.keys() & labels.keys())
        )
        unlabelled = [
            Sample(str(number), ImageLoader(source, images[number]), image_name=images[number])
            for number in sorted(images.keys() - labels.keys())
        ]
        problems += _unpaired(images[n] for n in sorted(images.keys() - labels.keys()))
        problems += [
            Problem("unpaired mask", f"{labels[n]} has no image", "add the image", (labels[n],))
            for n in sorted(labels.keys() - images.keys())
        ]
        unlabelled += [
            Sample(f"test_{int(m[1])}", ImageLoader(source, n), image_name=n)
            for n in source.sizes
            if (m := TEST.match(n))
        ]
    if not samples:
        raise DataError(f"{source.path} has no slice with a label", remedy="check the folder")
    return Dataset(
        name=source.name,
        format=NAME,
        path=source.path,
        samples=samples,
        unlabelled=tuple(unlabelled),
        classes=("cell interior",),
        problems=tuple(problems),
        licence="research use, cite the challenge",
        citation="Arganda-Carreras et al. 2015, doi:10.3389/fnana.2015.00142",
        group_rule="slice block",
    )


def _unpaired(names: Iterable[str]) -> list[Problem]:
    return [
        Problem("unpaired image", f"{name} has no label", "add the label or leave it out", (name,))
        for name in names
    ]


def _pages(source: Source, name: str) -> int:
    return count_pages(source.read(name), name)


def _from_stacks(source: Source) -> Iterable[Sample]:
    images, labels = _pages(source, VOLUME), _pages(source, LABELS)
    if images != labels:
        raise DataError(
            f"{VOLUME} and {LABELS} differ in length",
            expected=f"{images} slices",
            got=str(labels),
            remedy="download both again",
        )
    for page in range(images):
        yield Sample(
            str(page),
            ImageLoader(source, VOLUME, page),
            BinaryMaskLoader(source, LABELS, 127, page=page),
            block_of(page),
            f"{VOLUME}[{page}]",
            f"{LABELS}[{page}]",
            "same slice of both stacks",
        )
