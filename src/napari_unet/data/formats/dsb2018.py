"""2018 Data Science Bowl: nuclei, one folder an image, one mask file a nucleus.

stage1_train/ID/images/ID.png and stage1_train/ID/masks/*.png; stage1_test/ID/images/ID.png. Without
mask files, stage1_train_labels.csv (ImageId, EncodedPixels; one row a nucleus) is used. Where masks
overlap, the smaller nucleus stays on top, so that none disappears; ``ReferenceMask.overlap`` counts
the pixels. Images are RGBA with an opaque alpha, which is left out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_unet.data.dataset import Dataset, Problem
from napari_unet.data.file_names import composed
from napari_unet.data.files.loaders import ImageLoader, ObjectFilesLoader
from napari_unet.data.formats import image_mask_folders
from napari_unet.data.formats.pairing import ambiguous, unpaired_image
from napari_unet.data.formats.run_length_csv import ObjectRunsLoader
from napari_unet.data.sample import Sample
from napari_unet.data.tables import check_id, read_table
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from napari_unet.data.files.source import Source

NAME = "dsb2018"
TITLE = "2018 Data Science Bowl"
IMAGE = re.compile(r"(?:.*/)?([^/]+)/images/\1\.(?:png|tif|tiff)$", re.IGNORECASE)
MASK = re.compile(r"(?:.*/)?([^/]+)/masks/[^/]+\.(?:png|tif|tiff)$", re.IGNORECASE)
TABLE = "stage1_train_labels.csv"


def recognize(source: Source) -> bool:
    """Whether a source has images in folders of their names, and masks or the competition's table."""
    left_out = _folder_of_one(source)
    if left_out and image_mask_folders.recognize(source):
        return False  # images/ID.png and masks/ID.png are a pair like any other
    names = [composed(left_out + name) for name in source.sizes]
    if not any(map(IMAGE.match, names)):
        return False
    return bool(_table(source)) or any(map(MASK.match, names))


def _folder_of_one(source: Source) -> str:
    """The folder "ID/" of a set of one image, or opened by itself, which the names lack; else ""."""
    images = [name for name in source.sizes if name.lower().startswith("images/")]
    folder = f"{source.name}/{source.root}".split("/")[-2] + "/"
    return folder if len(images) == 1 and IMAGE.match(composed(folder + images[0])) else ""


def _table(source: Source) -> str:
    return next((n for n in source.sizes if n.rsplit("/", 1)[-1] == TABLE), "")


def open_source(source: Source) -> Dataset:
    """Open a source of this layout.

    Raises
    ------
    DataError
        If no image has a mask, or the table has bad ids.
    """
    images: dict[str, list[str]] = {}
    masks: dict[str, dict[str, list[str]]] = {}
    left_out = _folder_of_one(source)
    for name in source.sizes:
        if match := IMAGE.match(composed(left_out + name)):
            images.setdefault(match[1], []).append(name)
        elif match := MASK.match(composed(left_out + name)):
            masks.setdefault(match[1], {}).setdefault(name.rsplit("/", 1)[0], []).append(name)
    table = _table(source)
    runs = _runs(source, table) if table else {}
    samples, unlabelled = [], []
    problems: list[Problem] = []
    for stem, names in images.items():
        folders = masks.get(stem, {})
        if len(names) > 1 or len(folders) > 1:
            problems.append(ambiguous([*names, *folders]))
            continue
        name, load = names[0], ImageLoader(source, names[0])
        if folders:
            folder, files = next(iter(folders.items()))
            reason = f"{len(files)} object masks in the same folder"
            objects = ObjectFilesLoader(source, tuple(files))
            samples.append(Sample(stem, load, objects, None, name, folder, reason))
        elif stem in runs:
            reason = f"{len(runs[stem])} rows in {table}"
            load_runs = ObjectRunsLoader(tuple(runs[stem]), source, name)
            samples.append(Sample(stem, load, load_runs, None, name, table, reason))
        else:
            unlabelled.append(Sample(stem, load, image_name=name))
            if "test" not in composed(name).removesuffix(f"{stem}/images/{stem}").lower():
                problems.append(unpaired_image(name))
    problems += [
        Problem("unpaired mask", f"{folder} has no image", "add the image or delete the masks", tuple(files))
        for stem, folders in masks.items()
        if stem not in images
        for folder, files in folders.items()
    ]
    if not samples:
        raise DataError(
            f"{source.path} has no image with masks",
            code="data.masks.missing",
            expected="ID/images/ID.png with ID/masks/*.png",
            remedy="give the folder or the zip of stage1_train",
        )
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


def _runs(source: Source, table: str) -> dict[str, list[str]]:
    runs: dict[str, list[str]] = {}
    for row in read_table(source, table, ("ImageId", "EncodedPixels")):
        runs.setdefault(check_id(row["ImageId"], table), []).append(row["EncodedPixels"])
    return runs
