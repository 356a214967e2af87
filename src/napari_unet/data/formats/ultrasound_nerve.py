"""Ultrasound Nerve Segmentation (Kaggle 2016): frames S_I of subject S, 580 x 420 pixels.

train/S_I.tif with train/S_I_mask.tif ({0, 255}), train_masks.csv (subject, img, pixels), test/N.tif;
also the copies that go about as images/S_I.jpg with masks/S_I_mask.jpg, whose lossy masks are cut
at 127. Groups are subjects.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from napari_unet.data.dataset import Dataset, Problem
from napari_unet.data.image_files import is_image_name
from napari_unet.data.loaders import BinaryMaskLoader, ImageLoader, RunLengthLoader
from napari_unet.data.sample import Sample
from napari_unet.data.tables import read_table
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from napari_unet.data.source import Source

NAME = "ultrasound-nerve"
TITLE = "Ultrasound Nerve Segmentation"
IMAGE = re.compile(r"(?:(?:train|images)/)?(\d+)_(\d+)\.(?:tif|tiff|png|jpg|jpeg)$", re.IGNORECASE)
MASK = re.compile(r"(?:(?:train|masks)/)?(\d+_\d+)_mask\.(?:tif|tiff|png|jpg|jpeg)$", re.IGNORECASE)
TABLE = "train_masks.csv"


def recognize(source: Source) -> bool:
    """Whether a source is laid out like this."""
    labelled = [name for name in source.sizes if is_image_name(name) and not name.startswith("test/")]
    images = [name for name in labelled if IMAGE.match(name)]
    masks = [name for name in labelled if MASK.match(name)]
    if not images or len(images) + len(masks) != len(labelled):
        return False
    return bool(masks) or TABLE in source.sizes


def open_source(source: Source) -> Dataset:
    """Open a source of this layout.

    Raises
    ------
    DataError
        If there are no images, or the table has bad ids.
    """
    images, masks = {}, {}
    for name in source.sizes:
        if match := IMAGE.match(name):
            images[f"{match[1]}_{match[2]}"] = name
        elif match := MASK.match(name):
            masks[match[1]] = name
    if not images:
        raise DataError(f"{source.path} has no images like train/1_1.tif", remedy="check the folder")
    runs = _runs(source)
    samples, unlabelled, problems = [], [], []
    for stem, name in images.items():
        load = ImageLoader(source, name)
        group = f"subject {stem.split('_')[0]}"
        if stem in masks:
            loader = BinaryMaskLoader(source, masks[stem], 127, runs.get(stem))
            reason = "same name with _mask" + (f" and a row in {TABLE}" if stem in runs else "")
            samples.append(Sample(stem, load, loader, group, name, masks[stem], reason))
        elif stem in runs:
            table = RunLengthLoader((runs[stem],), load, stem)
            samples.append(Sample(stem, load, table, group, name, TABLE, f"row in {TABLE}"))
        else:
            unlabelled.append(Sample(stem, load, None, group, name))
            problems.append(
                Problem("unpaired image", f"{name} has no mask", "add the mask or leave it out", (name,))
            )
    problems += [
        Problem("unpaired mask", f"{name} has no image", "add the image or delete the mask", (name,))
        for stem, name in masks.items()
        if stem not in images
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
        classes=("nerve",),
        problems=tuple(problems),
        licence="Kaggle competition rules",
        citation="Ultrasound Nerve Segmentation, Kaggle 2016",
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
                expected="subject and img like 1 and 12",
                got=f"{row['subject'][:40]!r} and {row['img'][:40]!r}",
                remedy="mend the table",
            )
        runs[f"{row['subject']}_{row['img']}"] = row["pixels"]
    return runs
