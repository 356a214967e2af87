"""ISBI 2012 challenge: serial section electron microscopy of a fly's nerve cord, 512 x 512 pixels.

PNG slices train/image/N.png with train/label/N.png and test/N.png, or the stacks train-volume.tif,
train-labels.tif and test-volume.tif. Labels: 255 inside cells (class 1), 0 on membranes. Groups are
blocks of three neighbouring slices, because slices 50 nm apart look alike.

Numbered files in such folders could be anything; recognized are only slices of the challenge's size,
with numbers of its range and labels of its two values.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.dataset import Dataset, Problem
from napari_unet.data.files.loaders import BinaryMaskLoader, ImageLoader
from napari_unet.data.files.pages import PageLoader, page_samples, read_header
from napari_unet.data.formats.pairing import by_stem, unpaired_image, unpaired_mask
from napari_unet.data.masks.mask_pixels import decode_labels
from napari_unet.data.sample import Sample
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from napari_unet.data.files.source import Source

NAME = "isbi2012"
TITLE = "ISBI 2012 EM segmentation challenge"
SLICES = 30
SIZE = 512
SLICES_PER_BLOCK = 3
IMAGE = re.compile(r"train/images?/(\d+)\.(?:png|tif|tiff)$", re.IGNORECASE)
LABEL = re.compile(r"train/labels?/(\d+)\.(?:png|tif|tiff)$", re.IGNORECASE)
TEST = re.compile(r"test/(?:images?/)?(\d+)\.(?:png|tif|tiff)$", re.IGNORECASE)
VOLUME, LABELS, TEST_VOLUME = "train-volume.tif", "train-labels.tif", "test-volume.tif"
STACKS = (VOLUME, LABELS, TEST_VOLUME)


def recognize(source: Source) -> bool:
    """Whether a source has the stacks, or slices that could be of the challenge."""
    if VOLUME in source.sizes and LABELS in source.sizes:
        return True
    images = {int(m[1][:9]): n for n in source.sizes if (m := IMAGE.match(n))}
    label = next(filter(LABEL.match, source.sizes), None)
    if not images or max(images) > SLICES or label is None:
        return False
    try:
        header = read_header(source, next(iter(images.values())))
        if (header.height, header.width, header.channels) != (SIZE, SIZE, 1):
            return False
        return bool(np.isin(decode_labels(source.read(label), label), (0, 255)).all())
    except DataError:
        return False


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
    from_stacks = VOLUME in source.sizes and LABELS in source.sizes
    samples, unlabelled, problems = (_open_stacks if from_stacks else _open_slices)(source)
    if not samples:
        raise DataError(
            f"{source.path} has no slice with a label",
            code="data.masks.missing",
            expected="train-volume.tif with train-labels.tif, or train/image/N.png with train/label/N.png",
            remedy="give the folder or the zip of the challenge's data",
        )
    return Dataset(
        name=source.name,
        format=NAME,
        path=source.path,
        samples=tuple(samples),
        unlabelled=tuple(unlabelled),
        classes=("cell interior",),
        problems=tuple(problems),
        licence="research use; cite the challenge",
        citation="Arganda-Carreras et al. 2015, doi:10.3389/fnana.2015.00142",
        group_rule="slice block",
    )


def _open_slices(source: Source) -> tuple[list[Sample], list[Sample], list[Problem]]:
    images, problems = by_stem(filter(IMAGE.match, source.sizes))
    labels, twice = by_stem(filter(LABEL.match, source.sizes))
    test, twice_in_test = by_stem(filter(TEST.match, source.sizes))
    problems += twice + twice_in_test
    samples = [
        Sample(
            number,
            ImageLoader(source, name),
            BinaryMaskLoader(source, labels[number], 127),
            block_of(int(number)),
            name,
            labels[number],
            "same number",
        )
        for number, name in images.items()
        if number in labels
    ]
    alone = {number: name for number, name in images.items() if number not in labels}
    unlabelled = [
        Sample(number, ImageLoader(source, name), image_name=name) for number, name in alone.items()
    ]
    unlabelled += [
        Sample(f"test_{number}", ImageLoader(source, name), image_name=name) for number, name in test.items()
    ]
    problems += map(unpaired_image, alone.values())
    problems += [unpaired_mask(name) for number, name in labels.items() if number not in images]
    return samples, unlabelled, problems


def _open_stacks(source: Source) -> tuple[list[Sample], list[Sample], list[Problem]]:
    images, labels = (read_header(source, name).pages for name in (VOLUME, LABELS))
    if images != labels:
        raise DataError(
            f"{VOLUME} and {LABELS} differ in length",
            code="data.stack.length",
            expected=f"{images} slices",
            got=str(labels),
            remedy="download both again",
        )
    samples = [
        Sample(
            str(page),
            PageLoader(source, VOLUME, page),
            BinaryMaskLoader(source, LABELS, 127, page=page),
            block_of(page),
            f"{VOLUME}[{page}]",
            f"{LABELS}[{page}]",
            "same slice of both stacks",
        )
        for page in range(images)
    ]
    test = page_samples(source, TEST_VOLUME, "test") if TEST_VOLUME in source.sizes else []
    return samples, test, []
