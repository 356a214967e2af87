"""Folders of images and masks in the usual namings.

images/X + masks/X (or image/label, imgs/labels, train_images/train_masks and the like), X + X_mask in
one folder; X may carry _mask, _label, img_, ... on either side, and train, val and test folders may
stand above or below. Where more than one pairing is possible none is made, and that is reported.
What the values of the masks mean is found by ``mask_meaning``.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from napari_unet.data.dataset import Dataset, Problem
from napari_unet.data.file_names import composed, name_key
from napari_unet.data.files.decoders.image_kinds import (
    SEVERAL,
    is_image_name,
    path_of_image,
    split_array_name,
    suffix_of,
)
from napari_unet.data.files.loaders import ImageLoader, LabelMaskLoader, ObjectFilesLoader
from napari_unet.data.files.pages import PageLoader, count_pages_in, page_id, page_name, page_samples
from napari_unet.data.formats.mask_meaning import find_meaning
from napari_unet.data.formats.pairing import ambiguous, unpaired_image, unpaired_mask
from napari_unet.data.sample import Sample
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_unet.data.files.source import Source
    from napari_unet.data.masks.mask_values import MaskValues

NAME = "image-mask-folders"
TITLE = "folders of images and masks"
# In whole or as a word of a folder's name (train_masks).
IMAGE_WORDS = {"image", "images", "img", "imgs", "jpegimages"}
MASK_WORDS = {
    "mask", "masks", "label", "labels", "lbl", "gt", "groundtruth", "seg", "segmentation",
    "segmentations", "annotation", "annotations", "labelcol", "segmentationclass", "manual",
}  # fmt: skip
ROLE_WORDS = IMAGE_WORDS | MASK_WORDS
# As a whole name alone, and only where no clearer folder is on the path.
WEAK_IMAGE_FOLDERS = {"raw", "frames", "input", "inputs", "x", "data"}
WEAK_MASK_FOLDERS = {"target", "targets", "output", "outputs", "y", "ground_truth", "ground-truth"}
WORDS = re.compile(r"[_\-. ]+")
BLOCKS = 8  # that a stack is cut into for the split, where there are few stacks
MASK_AFFIX = re.compile(
    r"(?<=.)[_\-. ](?:cp_masks|masks?|labels?|seg|segmentation|gt|annotation|lbl|manual)$"
    r"|^(?:masks?|labels?|seg|segmentation|gt|lbl)[_\-. ](?=.)",
    re.IGNORECASE,
)
IMAGE_AFFIX = re.compile(r"(?<=.)[_\-. ](?:images?|img|raw|sat)$|^(?:images?|img)[_\-. ](?=.)", re.IGNORECASE)
# What file managers add to the name of a copy.
COPY = re.compile(r"(?<=.)(?: - copy(?: \(\d+\))?| copy(?: \d+)?| \(\d+\))$", re.IGNORECASE)


class Key(NamedTuple):
    """What image and mask must have in common, see ``name_key``."""

    folder: str
    stem: str


def role_and_folder(parts: tuple[str, ...]) -> tuple[str, str]:
    """Role by folders ("image", "mask" or ""), and the path without the folder that says it."""
    roles, rest = [], []
    for part in parts:
        words = [word for word in WORDS.split(part.lower()) if word]
        roles += ["mask" if word in MASK_WORDS else "image" for word in words if word in ROLE_WORDS]
        others = [word for word in words if word not in ROLE_WORDS]
        rest += [part if len(others) == len(words) else "_".join(others)] if others else []
    if roles:
        return roles[-1], "/".join(rest)  # in images/labels/X the last word tells
    for index in reversed(range(len(parts))):
        for role, folders in (("image", WEAK_IMAGE_FOLDERS), ("mask", WEAK_MASK_FOLDERS)):
            if parts[index].lower() in folders:
                return role, "/".join([*parts[:index], *parts[index + 1 :]])
    return "", "/".join(parts)


def role_in_file(name: str, role: str) -> str:
    """Role of an array by its own name in its file, of which clear words go before those of folders."""
    found = split_array_name(name)
    if found is None or not found[1]:
        return role
    inner, _ = role_and_folder(PurePosixPath(found[1]).parts)
    words = {word for word in WORDS.split(found[1].replace("/", "_").lower()) if word}
    return inner if words & ROLE_WORDS else role or inner


def sort_by_role(names: Iterable[str]) -> tuple[dict[Key, list[str]], dict[Key, list[str]]]:
    """Images and masks, by what they are matched on."""
    images: dict[Key, list[str]] = {}
    masks: dict[Key, list[str]] = {}
    for name in filter(is_image_name, names):
        path = path_of_image(name)
        role, folder = role_and_folder(path.parts[:-1])
        role = role_in_file(name, role)
        without = MASK_AFFIX.sub("", path.stem, count=1)
        role = role or ("mask" if without != path.stem else "image")
        # In a folder of images X_mask would be an image of that name.
        stem = IMAGE_AFFIX.sub("", without if role == "mask" else path.stem, count=1)
        (masks if role == "mask" else images).setdefault(Key(name_key(folder), name_key(stem)), []).append(
            name
        )
    for key in [key for key in masks if key not in images]:
        # images/seg_1 and masks/seg_1: what looked like an ending is part of both names.
        exact = {Key(key.folder, name_key(_exact_stem(n))) for n in masks[key]}
        exact = exact if exact & images.keys() else {Key(key.folder, name_key(COPY.sub("", key.stem)))}
        # a.ome.tif goes with a.png: its ending is of two parts.
        exact = exact if exact & images.keys() else {Key(key.folder, key.stem.removesuffix(".ome"))}
        if len(exact) == 1 and (other := exact.pop()) in images:
            masks.setdefault(other, []).extend(masks.pop(key))
    return images, masks


def recognize(source: Source) -> bool:
    """Whether any image has a mask, clearly or not."""
    images, masks = sort_by_role(source.sizes)
    return bool(images.keys() & masks.keys()) or bool(objects_of(images, masks))


def objects_of(images: dict[Key, list[str]], masks: dict[Key, list[str]]) -> dict[str, list[str]]:
    """Image to its masks, where each object has a file: images/X.png with masks/X/1.png, 2.png and so on."""
    folders: dict[str, list[str]] = {}
    for key, names in masks.items():
        folders.setdefault(key.folder, []).extend(names)
    found = {}
    for key, names in images.items():
        folder = f"{key.folder}/{key.stem}" if key.folder else key.stem
        if len(names) == 1 and key not in masks and folder in folders:
            found[names[0]] = sorted(folders[folder])
    return found


class Pair(NamedTuple):
    """An image and its mask."""

    image: str
    mask: str


def find_pairs(names: Iterable[str]) -> tuple[list[Pair], list[str], list[Problem]]:
    """Pair images with masks.

    Returns
    -------
    list of Pair
        The clear ones.
    list of str
        Images without a mask, or with more than one possible.
    list of Problem
        "ambiguous", "unpaired image" (where others in its folder have a mask), "unpaired mask".
    """
    images, masks = sort_by_role(names)
    pairs: list[Pair] = []
    alone: list[str] = []
    problems: list[Problem] = []
    labelled = {_parent(n) for key, of_key in images.items() if key in masks for n in of_key}
    for key, of_key in images.items():
        found = masks.get(key, [])
        same = {_exact_stem(n): n for n in found}
        if len(of_key) == len(found) == 1:
            pairs.append(Pair(of_key[0], found[0]))
        elif len(of_key) == len(found) == len(same) and {*map(_exact_stem, of_key)} == same.keys():
            # 1.png and 1_img.png, each with a mask of the very name.
            pairs += [Pair(n, same[_exact_stem(n)]) for n in of_key]
        elif found:
            alone += of_key
            problems.append(ambiguous((*of_key, *found)))
        else:
            alone += of_key
            problems += [unpaired_image(n) for n in of_key if _parent(n) in labelled]
    problems += [unpaired_mask(n) for key, of_key in masks.items() if key not in images for n in of_key]
    return pairs, alone, problems


def open_source(source: Source) -> Dataset:
    """Open a source of this layout.

    Raises
    ------
    DataError
        If nothing pairs up, or the masks' values make no sense.
    """
    pairs, alone, problems = find_pairs(source.sizes)
    objects = {} if pairs else objects_of(*sort_by_role(source.sizes))
    if objects:
        return _with_object_files(source, objects, alone, problems)
    if not pairs:
        raise DataError(
            f"{source.path} has no image with a mask",
            code="data.masks.missing",
            expected="images/X.png with masks/X.png, or X.png with X_mask.png",
            got=problems[0].message if problems else f"{len(alone)} images, no mask",
            remedy="list the pairs in a CSV file with the columns image and mask",
        )
    whole = {pair.mask for pair in pairs if _is_of_channels(source, pair)}
    found = find_meaning(source, [pair.mask for pair in pairs], whole=whole)
    twice = Counter(name_key(path_of_image(n).stem) for n in [*(p.image for p in pairs), *alone])
    samples = [
        _samples(source, pair, identifier_of(pair.image, twice), found.by_name[pair.mask]) for pair in pairs
    ]
    stacks = any(len(of_file) > 1 for of_file in samples)
    return Dataset(
        name=source.name,
        format=NAME,
        path=source.path,
        samples=tuple(_grouped(samples) if stacks else (sample for (sample,) in samples)),
        group_rule="slice block" if stacks else "image",
        unlabelled=tuple(
            sample for name in alone for sample in page_samples(source, name, identifier_of(name, twice))
        ),
        classes=found.classes,
        problems=(*problems, *found.problems),
        masks=found.words,
        several_values=found.several,
    )


def _with_object_files(
    source: Source, objects: dict[str, list[str]], alone: list[str], problems: list[Problem]
) -> Dataset:
    """A data set in which each object has a mask of its own."""
    used = {name for names in objects.values() for name in names}
    twice = Counter(name_key(PurePosixPath(name).stem) for name in alone)
    samples = [
        Sample(
            identifier_of(image, twice),
            ImageLoader(source, image),
            ObjectFilesLoader(source, tuple(names)),
            None,
            image,
            _parent(names[0]),
            f"{len(names)} object mask{'s' * (len(names) != 1)} in {_parent(names[0])}/",
        )
        for image, names in objects.items()
    ]
    without = [name for name in alone if name not in objects]
    return Dataset(
        name=source.name,
        format=NAME,
        path=source.path,
        samples=tuple(samples),
        unlabelled=tuple(
            sample for name in without for sample in page_samples(source, name, identifier_of(name, twice))
        ),
        classes=("foreground",),
        problems=(
            *(problem for problem in problems if not used & set(problem.names)),
            *(unpaired_image(name) for name in without),
        ),
        masks="one file an object",
    )


def _is_of_channels(source: Source, pair: Pair) -> bool:
    """Whether a mask file has several pages for one image: a channel a class."""
    if suffix_of(pair.mask) not in SEVERAL or count_pages_in(source, pair.mask) == 1:
        return False
    return count_pages_in(source, pair.image) == 1


def _samples(source: Source, pair: Pair, identifier: str, meaning: MaskValues) -> list[Sample]:
    """One, or one a page where image and mask are stacks."""
    pages = count_pages_in(source, pair.image)
    masks = count_pages_in(source, pair.mask)
    if pages != masks and not (pages == 1 and meaning.kind == "channels"):
        raise DataError(
            f"{pair.image} and {pair.mask} do not hold as many pages",
            code="data.image.pages",
            expected=f"{pages} mask{'s' * (pages != 1)}, one for each image",
            got=str(masks),
            remedy="save one mask for each page; if the pages are channels, say so with --axes CYX",
        )
    if pages == 1:
        return [
            Sample(
                identifier,
                ImageLoader(source, pair.image),
                LabelMaskLoader(source, pair.mask, meaning),
                None,
                pair.image,
                pair.mask,
                _reason(pair),
            )
        ]
    return [
        Sample(
            page_id(identifier, page),
            PageLoader(source, pair.image, page),
            LabelMaskLoader(source, pair.mask, meaning, page),
            None,
            page_name(pair.image, page),
            page_name(pair.mask, page),
            _reason(pair),
        )
        for page in range(pages)
    ]


def _grouped(samples: list[list[Sample]]) -> Iterable[Sample]:
    """Neighbouring pages look alike, so that a split must not part them: stacks, or blocks of few."""
    few = len(samples) < BLOCKS
    for of_file in samples:
        size = max(1, -(-len(of_file) // BLOCKS)) if few else len(of_file)
        for number, sample in enumerate(of_file):
            start = number // size * size
            yield replace(sample, group=of_file[start].id) if len(of_file) > 1 else sample


def _parent(name: str) -> str:
    return str(PurePosixPath(name).parent)


def _exact_stem(name: str) -> str:
    return composed(path_of_image(name).stem)


def identifier_of(name: str, twice: Counter[str]) -> str:
    """The stem; where another image has it, in any case, the path and suffix as well."""
    path = path_of_image(name)
    if twice[name_key(path.stem)] == 1:
        return path.stem
    return str(path.with_suffix("")).replace("/", "_") + suffix_of(name).replace(".", "_")


def _reason(pair: Pair) -> str:
    image, mask = path_of_image(pair.image), path_of_image(pair.mask)
    if image == mask:
        return f"in one file, {pair.mask.rpartition(':/')[2]} with {pair.image.rpartition(':/')[2]}"
    if image.parent == mask.parent:
        return f"{mask.stem} with {image.stem}"
    same = (
        "same stem" if composed(image.stem) == composed(mask.stem) else f"{mask.stem} goes with {image.stem}"
    )
    return f"{same} in {image.parent}/ and {mask.parent}/"
