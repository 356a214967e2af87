"""Ultrasound Nerve Segmentation (Kaggle 2016): frames S_I of subject S, 580 x 420 pixels.

train/S_I.tif with train/S_I_mask.tif ({0, 255}), train_masks.csv (subject, img, pixels), test/N.tif;
also the copies that go about as images/S_I.jpg with masks/S_I_mask.jpg. Masks are cut at 127, because
those of the copies are lossy; where there is no file, the table is used. Groups are subjects.

Numbers alone do not make a file a nerve frame. A set is recognized only if all its labelled images
are called S_I. It must also have the competition's table, or frames of its size, or lossy masks (which
can have no more than one class).
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from napari_unet.data.dataset import Dataset
from napari_unet.data.files.decoders.image_kinds import LOSSY_SUFFIXES, is_image_name, suffix_of
from napari_unet.data.files.loaders import ImageLoader
from napari_unet.data.files.pages import read_header
from napari_unet.data.formats.pairing import by_stem, sample_of, unpaired_image, unpaired_mask
from napari_unet.data.sample import Sample
from napari_unet.data.tables import read_table
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from napari_unet.data.files.source import Source

NAME = "ultrasound-nerve"
TITLE = "Ultrasound Nerve Segmentation"
SUFFIX = r"\.(?:tif|tiff|png|jpg|jpeg)$"
IMAGE = re.compile(rf"(?:(?:train|images)/)?\d+_\d+{SUFFIX}", re.IGNORECASE)
MASK = re.compile(rf"(?:(?:train|masks)/)?\d+_\d+_mask{SUFFIX}", re.IGNORECASE)
TABLE = "train_masks.csv"
HEIGHT, WIDTH = 420, 580


def recognize(source: Source) -> bool:
    """Whether a source is laid out like this, and is of the competition (see above)."""
    labelled = [name for name in source.sizes if is_image_name(name) and not name.startswith("test/")]
    images = [name for name in labelled if IMAGE.match(name)]
    masks = [name for name in labelled if MASK.match(name)]
    if not images or len(images) + len(masks) != len(labelled):
        return False
    if TABLE in source.sizes:
        return True
    if not masks:
        return False
    if all(suffix_of(name) in LOSSY_SUFFIXES for name in masks):
        return True
    try:
        header = read_header(source, images[0])
    except DataError:
        return False
    return (header.height, header.width) == (HEIGHT, WIDTH)


def open_source(source: Source) -> Dataset:
    """Open a source of this layout.

    Raises
    ------
    DataError
        If there are no images, or the table has bad ids.
    """
    images, problems = by_stem(filter(IMAGE.match, source.sizes))
    masks, twice = by_stem(filter(MASK.match, source.sizes))
    problems += twice
    if not images:
        raise DataError(
            f"{source.path} has no images like train/1_1.tif",
            code="data.set.incomplete",
            expected="train/S_I.tif with train/S_I_mask.tif or train_masks.csv",
            remedy="give the folder or the zip of the competition's data",
        )
    runs = _runs(source)
    samples: list[Sample] = []
    unlabelled: list[Sample] = []
    for stem, name in images.items():
        group, reason = f"subject {stem.split('_')[0]}", "same name with _mask"
        mask, run = masks.get(f"{stem}_mask"), runs.get(stem)
        sample = sample_of(source, stem, name, mask, run, TABLE, reason, threshold=127, group=group)
        (samples if sample.has_mask else unlabelled).append(sample)
        if not sample.has_mask:
            problems.append(unpaired_image(name))
    problems += [
        unpaired_mask(name) for stem, name in masks.items() if stem.removesuffix("_mask") not in images
    ]
    unlabelled += [
        Sample(f"test_{PurePosixPath(name).stem}", ImageLoader(source, name), image_name=name)
        for name in source.sizes
        if name.startswith("test/") and is_image_name(name)
    ]
    return Dataset(
        name=source.name,
        format=NAME,
        path=source.path,
        samples=tuple(samples),
        unlabelled=tuple(unlabelled),
        problems=tuple(problems),
        classes=("nerve",),
        licence="rules of the Kaggle competition",
        citation="Ultrasound Nerve Segmentation, Kaggle 2016, "
        "https://www.kaggle.com/c/ultrasound-nerve-segmentation",
        group_rule="subject",
    )


def _runs(source: Source) -> dict[str, str]:
    if TABLE not in source.sizes:
        return {}
    runs = {}
    for row in read_table(source, TABLE, ("subject", "img", "pixels")):
        if not (row["subject"].isdecimal() and row["img"].isdecimal()):
            raise DataError(
                f"{TABLE} has an image id that is not two whole numbers",
                code="data.table.id",
                expected="subject and img like 1 and 12",
                got=f"{row['subject'][:40]!r} and {row['img'][:40]!r}",
                remedy="mend the table",
            )
        runs[f"{row['subject']}_{row['img']}"] = row["pixels"]
    return runs
