"""Which image a file of outlines belongs to: by the name that it says, or by its own."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from napari_unet.data.file_names import name_key
from napari_unet.data.files.decoders.image_kinds import is_image_name
from napari_unet.data.files.pages import page_id
from napari_unet.data.formats.image_mask_folders import MASK_AFFIX, role_and_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Place = tuple[str, "int | None"]  # image, and page of a stack
# What programs add to the name of an image: a_rois.zip, RoiSet_a.zip, a.ome.geojson.
AFFIX = re.compile(
    r"(?<=.)[_\-. ](?:rois?|roi_?set|outlines?|objects?|annotations?|cells?|detections?|ome)$"
    r"|^(?:rois?|roi_?set|outlines?|annotations?)[_\-. ](?=.)",
    re.IGNORECASE,
)
FOLDERS = {"json", "jsons", "geojson", "roi", "rois", "roiset", "outlines", "coco", "labelme", "qupath"}
ANY_NAME = {"roiset", "annotations", "outlines", "rois"}  # of the outlines of the only image


class Finder:
    """Finds images by the names in files of outlines, and by the names of those files.

    Parameters
    ----------
    pages : mapping
        Name of each image to its number of pages.
    """

    def __init__(self, pages: Mapping[str, int]) -> None:
        self._pages = pages
        self._by_stem: dict[str, list[Place]] = defaultdict(list)
        self._by_last: dict[str, list[Place]] = defaultdict(list)
        for name, count in pages.items():
            path = PurePosixPath(name)
            self._by_last[name_key(path.name)].append((name, None))
            self._by_stem[name_key(path.stem)].append((name, None))
            for page in range(count if count > 1 else 0):
                self._by_stem[name_key(page_id(path.stem, page))].append((name, page))

    def find(self, said: Iterable[str], file: str) -> list[Place]:
        """The image, or those that it might be; none where it is not there.

        Parameters
        ----------
        said : iterable of str
            What the file calls its image, the most certain first.
        file : str
            Name of the file, where that may tell its image; else "".
        """
        by_name: list[Place] = []
        for text in said:
            by_name = by_name or self._called(text)
        by_file = self._by_own_name(file) if file else []
        if not by_name or not by_file:
            return by_name or by_file
        both = [place for place in by_file if place[0] in {image for image, _ in by_name}]
        return both or [*by_name, *by_file]  # it says one and is named like the other

    def _called(self, text: str) -> list[Place]:
        """By what a file says: the longest end of a path that is there, or the name without its kind."""
        parts = [part for part in text.replace("\\", "/").split("/") if part not in {"", ".", ".."}]
        if not parts:
            return []
        found = self._by_last.get(name_key(parts[-1])) or self._by_stem.get(
            name_key(PurePosixPath(parts[-1]).stem if is_image_name(parts[-1]) else parts[-1]), []
        )
        return _nearest(found, parts[:-1])

    def _by_own_name(self, file: str) -> list[Place]:
        """By the name of the file: that of its image, with or without what programs add."""
        path = PurePosixPath(file)
        for stem in _stems(path):
            if found := self._by_stem.get(name_key(stem)):
                return _same_folder(found, path.parts[:-1])
        single = len(self._pages) == 1 and name_key(path.stem) in ANY_NAME
        return [(next(iter(self._pages)), None)] if single else []


def _stems(path: PurePosixPath) -> Iterable[str]:
    """What the image may be called, the longest first."""
    stem = path.name
    for suffix in (".json", ".geojson", ".zip", ".roi"):
        if stem.lower().endswith(suffix):
            stem = stem[: -len(suffix)]
            break
    yield stem
    while True:
        shorter = PurePosixPath(stem).stem if is_image_name(stem) else MASK_AFFIX.sub("", stem, count=1)
        shorter = AFFIX.sub("", stem, count=1) if shorter == stem else shorter
        if shorter == stem:
            return
        yield shorter
        stem = shorter


def _nearest(found: list[Place], folders: list[str]) -> list[Place]:
    """Those with the longest end of a path in common."""
    if len(found) < 2:
        return found

    def common(place: Place) -> int:
        own = PurePosixPath(place[0]).parts[:-1]
        count = 0
        while count < min(len(own), len(folders)) and own[-1 - count] == folders[-1 - count]:
            count += 1
        return count

    best = max(map(common, found))
    return [place for place in found if common(place) == best]


def _same_folder(found: list[Place], folders: tuple[str, ...]) -> list[Place]:
    """Those in the same folder, apart from the words that say what is in it; all where there are none."""
    if len(found) < 2:
        return found

    def plain(parts: tuple[str, ...]) -> str:
        kept = tuple(part for part in parts if part.lower() not in FOLDERS)
        return name_key(role_and_folder(kept)[1])

    same = [place for place in found if plain(PurePosixPath(place[0]).parts[:-1]) == plain(folders)]
    return same or found
