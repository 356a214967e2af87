"""Images with outlines that were drawn in other programs, and named classes where outlines have them.

GeoJSON (QuPath), labelme and ImageJ have a file for each image: next to it, or in a folder of the same
layout, under the image's name. COCO, CVAT and Datumaro have one for many images, which it names.

Outlines of the class Region* bound what is annotated; outside nothing is known. An image without such
an outline is annotated throughout. regions.txt, one name a line, says which other classes mean the same.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from napari_unet.data.dataset import Dataset, Problem
from napari_unet.data.file_names import name_key
from napari_unet.data.files.decoders.image_kinds import is_image_name
from napari_unet.data.files.loaders import ImageLoader
from napari_unet.data.files.pages import (
    PageLoader,
    count_pages_in,
    page_id,
    page_name,
    page_samples,
)
from napari_unet.data.files.source import FolderSource, natural_key
from napari_unet.data.formats.declared_classes import declared_classes
from napari_unet.data.formats.image_mask_folders import (
    identifier_of,
    role_and_folder,
    sort_by_role,
)
from napari_unet.data.formats.mask_sightings import MAX_CLASSES
from napari_unet.data.formats.outline_pairs import Finder
from napari_unet.data.outlines import coco, cvat, geojson, imagej, labelme
from napari_unet.data.outlines.files import HEAD_BYTES, SUFFIXES, kind_by_head, understood
from napari_unet.data.outlines.masks import OutlineMask, OutlineMeaning, count_by_class
from napari_unet.data.sample import Sample
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from napari_unet.data.files.source import Source
    from napari_unet.data.outlines.outline import OutlinedImage

NAME = "outlines"
TITLE = "images with outlines"
REGIONS = "regions.txt"
MOST_CLASSES = 255
SHORT_HEAD = 4096
READERS: Mapping[str, Callable[[Source, str], list[OutlinedImage]]] = {
    "geojson": geojson.read_geojson,
    "labelme": labelme.read_labelme,
    "imagej-zip": imagej.read_zip,
    "coco": coco.read_coco,
    "cvat-xml": cvat.read_xml,
    "cvat-backup": cvat.read_backup,
    "datumaro": cvat.read_datumaro,
}
OF_ONE_IMAGE = {"geojson", "labelme", "imagej-zip", "imagej"}
TITLES = {
    "geojson": "GeoJSON", "labelme": "labelme", "imagej-zip": "ImageJ", "imagej": "ImageJ", "coco": "COCO",
    "cvat-xml": "CVAT", "cvat-backup": "CVAT", "datumaro": "Datumaro",
}  # fmt: skip


def recognize(source: Source) -> bool:
    """Whether there are images, and a file of outlines."""
    return any(map(is_image_name, source.sizes)) and bool(first_outline_file(source))


def first_outline_file(source: Source) -> str:
    """Name of the first file of outlines; "" without any."""
    return next((name for name in source.sizes if kind_of(source, name)), "")


def is_outline_file(path: Path) -> bool:
    """Whether a file on disk is of outlines."""
    return path.suffix.lower() in SUFFIXES and bool(
        kind_of(FolderSource(path.parent, only=[path.name]), path.name)
    )


def kind_of(source: Source, name: str) -> str:
    """What ``kind_by_head`` says of a file, of which no more is read than that takes."""
    if not name.lower().endswith(SUFFIXES):
        return ""
    kind = kind_by_head(name, source.head(name, SHORT_HEAD))
    if kind or source.sizes[name] <= SHORT_HEAD:
        return kind
    return kind_by_head(name, source.head(name, HEAD_BYTES))


def open_file(path: Path) -> Dataset:
    """Open a file of outlines on disk with its images: in its folder, or the one above a folder annotations.

    Raises
    ------
    DataError
        As ``open_source``.
    """
    folder = path.parent
    if role_and_folder((folder.resolve().name,))[0] == "mask":  # annotations/ next to images/
        folder = folder.parent if folder.name else folder.resolve().parent
    source = FolderSource(folder, common_root=False)
    name = path.relative_to(folder).as_posix()
    return replace(_open(source, {name: kind_of(source, name)}), name=path.stem, path=path)


def open_source(source: Source) -> Dataset:
    """Open a source of this layout.

    Raises
    ------
    DataError
        If no outlines can be read, none belongs to an image, or the names of their classes make no sense.
    """
    return _open(source, {name: kind for name in source.sizes if (kind := kind_of(source, name))})


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Outlines of one image, and the image they belong to."""

    image: str
    page: int | None  # of a stack; None: of all its pages
    outlined: OutlinedImage


def _open(source: Source, kinds: Mapping[str, str]) -> Dataset:
    images, _ = sort_by_role(source.sizes)
    names = [name for several in images.values() for name in several]
    names = names or [name for name in source.sizes if is_image_name(name)]
    pages = {name: _pages(source, name) for name in names}
    finder = Finder(pages)
    read = _read_all(source, kinds, finder)
    drawn, problems = _pair(read, kinds, finder)
    outlined = [one.outlined for one in drawn]
    if all(one.outlined.error is not None for one in drawn):
        raise _refusal(source, read, problems, names)
    meaning = _meaning(source, outlined)
    twice = Counter(name_key(PurePosixPath(name).stem) for name in names)
    samples, unlabelled = [], []
    by_image: dict[str, list[_Drawn]] = defaultdict(list)
    for one in drawn:
        by_image[one.image].append(one)
    for name in names:
        identifier = identifier_of(name, twice)
        if name not in by_image:
            unlabelled += page_samples(source, name, identifier)
            continue
        labelled, without = _samples(source, name, pages[name], identifier, by_image[name], meaning)
        samples += labelled
        unlabelled += without
    stacks = any(pages[name] > 1 for name in by_image)
    return Dataset(
        name=source.name,
        format=NAME,
        path=source.path,
        samples=tuple(samples),
        unlabelled=tuple(unlabelled),
        classes=meaning.classes,
        problems=(*problems, *_doubts(outlined, meaning)),
        outlines=_in_words(outlined, meaning, kinds, len(by_image)),
        group_rule="slice block" if stacks else "image",
    )


def _pages(source: Source, name: str) -> int:
    try:
        return count_pages_in(source, name)
    except DataError:
        return 1  # reading it says what is wrong


def _read_all(source: Source, kinds: Mapping[str, str], finder: Finder) -> list[OutlinedImage]:
    found: list[OutlinedImage] = []
    regions: dict[str, list[str]] = defaultdict(list)
    for name, kind in kinds.items():
        if kind != "imagej":
            found += understood(name, partial(READERS[kind], source, name))
            continue
        folder = name.rpartition("/")[0]
        if f"{folder}.zip" in kinds:
            continue  # the same regions, which the zip of a data set shows as files
        # a.roi goes with a.tif; regions of other names go with an image that is called like their folder.
        regions[folder if folder and not finder.find((), name) else name].append(name)
    for called, names in regions.items():
        found += understood(called, partial(imagej.read_files, source, called, names))
    return found


def _pair(
    read: Sequence[OutlinedImage], kinds: Mapping[str, str], finder: Finder
) -> tuple[list[_Drawn], list[Problem]]:
    """What belongs to which image; several files for one, and images that are not there, are problems."""
    found: dict[tuple[str, int | None], list[OutlinedImage]] = defaultdict(list)
    problems: list[Problem] = []
    missing: list[str] = []
    for one in read:
        alone = kinds.get(one.file, "imagej") in OF_ONE_IMAGE
        if one.error is not None and not alone and not one.names:
            problems.append(Problem("unreadable", one.error.sentence, names=(one.file,)))
            continue
        places = finder.find(one.names, one.file if alone else "")
        if len(places) == 1:
            found[places[0]].append(one)
        elif places:
            listed = ", ".join(image for image, _ in places[:4])
            message = f"{one.file} may outline any of {listed}, so it is left out"
            remedy = "give the image and its outlines one name"
            problems.append(Problem("ambiguous", message, remedy, (one.file,)))
        else:
            missing.append(one.names[0] if one.names else one.file)
    for (image, _), several in found.items():
        if len(several) > 1:
            message = f"{', '.join(one.file for one in several)} all outline {image}, so none counts"
            problems.append(Problem("ambiguous", message, "keep one of them", (image,)))
    if missing:
        message = f"{len(missing)} images that outlines belong to are not there, like {missing[0]}"
        remedy = "add them, or continue with the others"
        problems.append(Problem("missing image", message, remedy, tuple(missing)))
    single = [_Drawn(*place, several[0]) for place, several in found.items() if len(several) == 1]
    return single, problems


def _refusal(
    source: Source, read: Sequence[OutlinedImage], problems: Sequence[Problem], images: Sequence[str]
) -> DataError:
    """Why no outlines can be used."""
    for one in read:
        if one.error is not None:
            return one.error
    for problem in problems:
        if problem.kind == "ambiguous":
            return DataError(problem.message, code="data.outlines.ambiguous", remedy=problem.remedy)
    file = read[0].file if read else "the file"
    called = next((one.names[0] for one in read if one.names), "")
    return DataError(
        f"the outlines in {file} belong to none of the images in {source.path}",
        code="data.outlines.images",
        expected=f"an image called {called}" if called else "images named like the files of outlines",
        got=f"{len(images):,} images, like {images[0]}" if images else "no image",
        remedy="put the images and their outlines into one folder, with their original names",
    )


def _meaning(source: Source, outlined: Sequence[OutlinedImage]) -> OutlineMeaning:
    """What the names of the outlines mean, and in which order their classes are numbered."""
    meaning = OutlineMeaning(())
    if REGIONS in source.sizes:
        text = source.read(REGIONS).decode("utf-8-sig", "replace")
        lines = frozenset(line.strip().lower() for line in text.splitlines() if line.strip())
        meaning = replace(meaning, regions=meaning.regions | lines)
    objects = [(one, o) for one in outlined for o in one.outlines if meaning.is_object(o)]
    labels = {o.label for _, o in objects if o.label}
    bare = [one for one, o in objects if not o.label]
    special = meaning.regions | meaning.ignored
    declared = [c for one in outlined for c in one.classes if c.lower() not in special]
    named = declared_classes(source)
    in_files = tuple(dict.fromkeys(declared))
    others = tuple(sorted(labels - set(in_files), key=natural_key))
    classes = named or (*in_files, *others) or ("foreground",)
    if bare and (labels or len(classes) > 1):
        raise DataError(
            f"{bare[0].file} has outlines without a class among others with one",
            code="data.outlines.class",
            expected="a class for every outline, or for none",
            got=f"{len(bare)} of {len(objects)} without",
            remedy="give each a class; one that only bounds what is annotated gets the class Region*",
        )
    unknown = sorted(labels - set(classes))
    most = MOST_CLASSES if named or in_files else MAX_CLASSES
    if unknown:
        raise DataError(
            f"the named classes do not fit the outlines of {outlined[0].file}",
            code="data.classes.count",
            expected=f"{unknown[0]} among the names in classes.txt or classes.json",
            got=", ".join(named)[:100],
            remedy="name every class",
        )
    if len(classes) > most:
        raise DataError(
            f"the outlines of {outlined[0].file} have too many classes",
            code="data.outlines.class",
            expected=f"at most {most}",
            got=f"{len(classes)}, like {classes[0]} and {classes[1]}",
            remedy="give outlines of one kind the same class: objects are numbered here",
        )
    return replace(meaning, classes=classes)


def _samples(
    source: Source, name: str, pages: int, identifier: str, drawn: Sequence[_Drawn], meaning: OutlineMeaning
) -> tuple[list[Sample], list[Sample]]:
    """With outlines and without; one, or one a page of a stack."""

    def sample(one: OutlinedImage, page: int | None) -> Sample:
        load = ImageLoader(source, name) if page is None else PageLoader(source, name, page)
        loader = OutlineMask(source, name, page, one, meaning)
        count = len(one.outlines)
        reason = f"{count} outline{'s' * (count != 1)} in {one.file}"
        if page is None:
            return Sample(identifier, load, loader, None, name, one.file, reason)
        group = f"{name} block {page * BLOCKS // pages}"
        return Sample(page_id(identifier, page), load, loader, group, page_name(name, page), one.file, reason)

    if pages == 1:
        return [sample(drawn[0].outlined, None)], []
    of_page = {one.page: one.outlined for one in drawn if one.page is not None}
    whole = next((one.outlined for one in drawn if one.page is None), None)
    labelled, without = [], []
    for page in range(pages):
        one = of_page.get(page)
        if one is None and whole is not None:
            here = tuple(o for o in whole.outlines if o.page in (0, page + 1))
            one = replace(whole, outlines=here) if here or whole.error else None
        if one is not None:
            labelled.append(sample(one, page))
        else:
            without.append(
                Sample(
                    page_id(identifier, page),
                    PageLoader(source, name, page),
                    image_name=page_name(name, page),
                )
            )
    return labelled, without


BLOCKS = 8  # that a stack is cut into for the split


def _doubts(outlined: Sequence[OutlinedImage], meaning: OutlineMeaning) -> Iterable[Problem]:
    """What was taken for one thing and might be another."""
    empty = [one for one in outlined if not one.outlines and one.error is None]
    if empty and len(empty) < len(outlined):
        yield Problem(
            "no outline",
            f"{len(empty)} images have no outline in {empty[0].file}, and count as background throughout",
            "if they are not annotated yet, take them out of that file",
            tuple(one.names[0] if one.names else one.file for one in empty),
        )
    not_areas: Counter[str] = Counter()
    for one in outlined:
        not_areas.update(one.not_areas)
    if not_areas:
        listed = ", ".join(f"{kind} ({count})" for kind, count in not_areas.most_common())
        yield Problem(
            "not areas",
            f"marks that outline no area are left out: {listed}",
            "draw polygons around what they mark, or continue without them",
            tuple(one.file for one in outlined if one.not_areas),
        )
    if crowds := sum(one.crowds for one in outlined):
        yield Problem(
            "interpretation",
            f"{crowds} outlines stand for several objects (iscrowd); each is taken as one object",
            "outline each object by itself, if objects are to be counted",
        )
    boxes = sum(o.only_box for one in outlined for o in one.outlines)
    if boxes:
        yield Problem(
            "boxes",
            f"{boxes} objects have a box and no outline; what is in those boxes counts for nothing",
            "outline these objects, or continue with the others",
            tuple(one.names[0] for one in outlined if one.names and any(o.only_box for o in one.outlines)),
        )
    within = [one for one in outlined if any(o.label.lower() in meaning.regions for o in one.outlines)]
    if within and len(within) < len(outlined):
        yield Problem(
            "interpretation",
            f"{len(within)} of {len(outlined)} images have a region that bounds what is annotated; "
            "the others count as annotated throughout",
            "outline a region of the class Region* in those that are annotated in part",
            tuple(one.file for one in outlined if one not in within),
        )


def _in_words(
    outlined: Sequence[OutlinedImage], meaning: OutlineMeaning, kinds: Mapping[str, str], images: int
) -> str:
    """Like "12 images, 340 outlines of 2 classes from annotations.json"."""
    counts = count_by_class(outlined, meaning)
    total = sum(counts.values())
    of = f"{len(counts)} classes" if len(counts) > 1 else "1 class"
    files = list(dict.fromkeys(one.file for one in outlined))
    programs = " and ".join(sorted({TITLES[kinds.get(file, "imagej")] for file in files}))
    where = files[0] if len(files) == 1 else f"{len(files):,} {programs} files"
    text = (
        f"{images:,} image{'s' * (images != 1)}, {total:,} outline{'s' * (total != 1)} of {of} from {where}"
    )
    regions = sum(o.label.lower() in meaning.regions for one in outlined for o in one.outlines)
    if len(counts) > 1:
        text += ": " + ", ".join(f"{name} {count:,}" for name, count in counts.items())
    if regions:
        text += f"; {regions:,} region{'s' * (regions != 1)} bound{'s' * (regions == 1)} what is annotated"
    return text
