"""Folders of images and masks in the usual namings.

images/X + masks/X (or image/label, imgs/labels, and the like; X may carry _mask, _label, _seg ...
on either side), X + X_mask in one folder, with train, val and test folders above or below. Masks may be
palette indices, class numbers, colours, black and white of any depth, lossy, or object numbers; what
their values mean is found from the masks themselves and is the same for the whole set.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.dataset import Dataset, Problem
from napari_unet.data.image_files import LOSSY_SUFFIXES, decode_labels, is_image_name, suffix_of
from napari_unet.data.loaders import ImageLoader, LabelMaskLoader, MaskValues
from napari_unet.data.sample import Sample
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_unet.data.source import Source

NAME = "image-mask-folders"
TITLE = "folders of images and masks"
IMAGE_FOLDERS = {"image", "images", "img", "imgs", "raw", "frames", "input", "inputs", "x", "data"}
MASK_FOLDERS = {
    "mask", "masks", "label", "labels", "lbl", "gt", "groundtruth", "ground_truth", "seg",
    "segmentation", "segmentations", "annotation", "annotations", "target", "targets", "y", "labelcol",
}  # fmt: skip
MASK_ENDING = re.compile(r"[_\-. ](?:masks?|labels?|seg|segmentation|gt|annotation|lbl)$", re.IGNORECASE)
IMAGE_ENDING = re.compile(r"[_\-. ](?:images?|img|raw|sat)$", re.IGNORECASE)
MAX_CLASSES = 32
MASKS_LOOKED_AT = 300


def _split(name: str) -> tuple[str, str, str]:
    """Role by folder ("image", "mask" or ""), folder without that part, and stem."""
    path = PurePosixPath(name)
    role, rest = "", []
    for part in path.parts[:-1]:
        lower = part.lower()
        if not role and lower in MASK_FOLDERS:
            role = "mask"
        elif not role and lower in IMAGE_FOLDERS:
            role = "image"
        else:
            rest.append(part)
    return role, "/".join(rest), path.stem


def _sort(source: Source) -> tuple[dict[tuple[str, str], list[str]], dict[tuple[str, str], list[str]]]:
    """Images and masks by what they are matched on: the folder besides the role, and the stem."""
    images: dict[tuple[str, str], list[str]] = {}
    masks: dict[tuple[str, str], list[str]] = {}
    for name in source.sizes:
        if not is_image_name(name):
            continue
        role, folder, stem = _split(name)
        ending = MASK_ENDING.search(stem)
        if role == "mask" or (role != "image" and ending):
            bare = stem[: ending.start()] if ending else stem
            masks.setdefault((folder, bare.lower()), []).append(name)
        else:
            found = IMAGE_ENDING.search(stem)
            images.setdefault((folder, (stem[: found.start()] if found else stem).lower()), []).append(name)
    return images, masks


def recognize(source: Source) -> bool:
    """Whether any image has a mask."""
    images, masks = _sort(source)
    return bool(images.keys() & masks.keys())


def open_source(source: Source) -> Dataset:
    """Open a source of this layout.

    Raises
    ------
    DataError
        If nothing pairs up, or the masks' values make no sense.
    """
    images, masks = _sort(source)
    pairs: list[tuple[str, str, str]] = []
    alone: list[str] = []
    problems: list[Problem] = []
    with_masks = {_parent(n) for key, n_ in images.items() if key in masks for n in n_}
    for key, names in images.items():
        found = masks.get(key, [])
        if len(names) == 1 and len(found) == 1:
            pairs.append((names[0], found[0], _reason(names[0], found[0])))
        elif found:
            both = (*names, *found)
            problems.append(
                Problem("ambiguous", f"which of {', '.join(both)} belong together is not clear",
                        "rename or remove files, or list the pairs in a CSV file", both)
            )  # fmt: skip
        else:
            alone += names
            problems += [
                Problem("unpaired image", f"{n} has no mask", "add the mask or leave it out", (n,))
                for n in names
                if _parent(n) in with_masks
            ]
    problems += [
        Problem("unpaired mask", f"{name} has no image", "add the image or delete the mask", (name,))
        for key, names in masks.items()
        if key not in images
        for name in names
    ]
    if not pairs:
        raise DataError(
            f"{source.path} has no image with a mask",
            expected="images/X.png with masks/X.png, or X.png with X_mask.png",
            remedy="list the pairs in a CSV file with the columns image and mask",
        )
    meaning, classes = find_meaning(source, [mask for _, mask, _ in pairs])
    twice = Counter(PurePosixPath(n).stem for n in [*(i for i, _, _ in pairs), *alone])
    samples = tuple(
        Sample(
            _identifier(image, twice),
            ImageLoader(source, image),
            LabelMaskLoader(source, mask, meaning),
            None,
            image,
            mask,
            reason,
        )
        for image, mask, reason in pairs
    )
    return Dataset(
        name=source.name,
        format=NAME,
        path=source.path,
        samples=samples,
        unlabelled=tuple(
            Sample(_identifier(name, twice), ImageLoader(source, name), image_name=name) for name in alone
        ),
        classes=classes,
        problems=tuple(problems),
    )


def _parent(name: str) -> str:
    return str(PurePosixPath(name).parent)


def _identifier(name: str, twice: Counter[str]) -> str:
    stem = PurePosixPath(name).stem
    return (
        stem
        if twice[stem] == 1
        else str(PurePosixPath(name).with_suffix("")).replace("/", "_")
        + (suffix_of(name).replace(".", "_") if twice[stem] > 1 else "")
    )


def _reason(image: str, mask: str) -> str:
    if _parent(image) == _parent(mask):
        return f"{PurePosixPath(mask).stem} beside {PurePosixPath(image).stem}"
    same = (
        "same stem"
        if PurePosixPath(image).stem == PurePosixPath(mask).stem
        else "same stem but for its ending"
    )
    return f"{same} in {_parent(image)}/ and {_parent(mask)}/"


def find_meaning(source: Source, masks: Sequence[str]) -> tuple[MaskValues, tuple[str, ...]]:
    """What the values of the masks of a data set mean, and what the classes are called.

    Parameters
    ----------
    source : Source
        Where they are; a classes.txt at its root names the classes 1..K, one a line.
    masks : sequence of str
        Their names. Evenly spread over them, up to 300 are read.

    Returns
    -------
    MaskValues
        The same for every mask.
    tuple of str
        Names of the classes.

    Raises
    ------
    DataError
        If the masks have too many values to be classes and are not object numbers.
    """
    step = max(1, -(-len(masks) // MASKS_LOOKED_AT))
    numbers: set[int] = set()
    colours: set[tuple[int, ...]] = set()
    lossy = any(suffix_of(name) in LOSSY_SUFFIXES for name in masks)
    for name in masks[::step]:
        if lossy or len(numbers) > 4096:
            break
        pixels = decode_labels(source.read(name), name)
        if np.issubdtype(pixels.dtype, np.floating) and not _all_whole(pixels.astype(np.float64)):
            raise DataError(f"{name} is not a mask", expected="whole numbers", got="fractions or NaN")
        if pixels.ndim == 2:
            numbers.update(np.unique(pixels).astype(int).tolist())
        else:
            colours.update(map(tuple, np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0).tolist()))
            _check_colours(name, colours)
    meaning = _meaning(numbers, colours, lossy, masks[0] if masks else "")
    return meaning, _class_names(source, meaning.classes)


def _all_whole(pixels: NDArray[np.float64]) -> bool:
    return bool((np.isfinite(pixels) & (pixels == np.round(pixels))).all())


def _check_colours(name: str, colours: set[tuple[int, ...]]) -> None:
    if len(colours) > MAX_CLASSES + 1:
        raise DataError(
            f"{name} has too many colours for a mask",
            expected=f"at most {MAX_CLASSES}",
            got=f"{len(colours)} or more",
            remedy="save masks without loss and without smoothing",
        )


def _meaning(numbers: set[int], colours: set[tuple[int, ...]], lossy: bool, name: str) -> MaskValues:
    if lossy:
        return MaskValues("threshold", threshold=127)
    if colours:
        known = colours | {(n, n, n) for n in numbers}
        return MaskValues("colours", tuple(sorted(c for c in known if any(c))))
    positive = sorted(n for n in numbers if n != 0)
    if len(positive) <= 1:
        return MaskValues("threshold", threshold=0)
    if len(positive) <= MAX_CLASSES and (positive[-1] <= MAX_CLASSES or 0 in numbers):
        highest = positive[-1]
        values = range(1, highest + 1) if highest <= MAX_CLASSES else positive
        return MaskValues("values", tuple((v,) for v in values))
    if positive[0] > 0 and positive[-1] <= 4 * len(positive):
        return MaskValues("objects")
    raise DataError(
        f"masks like {name} have too many values to be classes",
        expected=f"at most {MAX_CLASSES} classes, or objects numbered from 1",
        got=f"{len(positive)} values up to {positive[-1]}",
        remedy="save masks without loss and without smoothing",
    )


def _class_names(source: Source, count: int) -> tuple[str, ...]:
    if "classes.txt" in source.sizes:
        names = [
            line.strip() for line in source.read("classes.txt").decode("utf-8-sig", "replace").splitlines()
        ]
        names = [line for line in names if line]
        if len(names) != count:
            raise DataError(
                "classes.txt does not fit the masks", expected=f"{count} lines", got=str(len(names))
            )
        return tuple(names)
    return ("foreground",) if count == 1 else tuple(f"class {n}" for n in range(1, count + 1))
