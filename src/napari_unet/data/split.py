"""Splits: train, validation and held-out, by whole groups, balanced by coverage, frozen in a file."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.atomic import write_text
from napari_unet.data.file_names import composed
from napari_unet.errors import DataError, SettingsError
from napari_unet.plain_json import BAD_CONTENT, parse_json
from napari_unet.progress import ignore_progress, tracked

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from napari_unet.data.dataset import Dataset
    from napari_unet.progress import CancelToken, OnProgress

PARTS = ("train", "validation", "held_out")
COVERAGE_BINS = 4
VERSION = 1


@dataclass(frozen=True)
class Split:
    """Which images are for training, for choosing weights, and for judging.

    Attributes
    ----------
    train, validation, held_out : tuple of str
        Ids; no id in two of them.
    seed : int
        It was drawn with.
    groups : mapping
        Id to group.
    group_rule : str
        What a group is.
    data : str
        Name of the data set.
    note : str
        What a person should know ("all images are of one group").
    """

    train: tuple[str, ...]
    validation: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    seed: int = 0
    groups: Mapping[str, str] = field(default_factory=dict)
    group_rule: str = "image"
    data: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        for part in PARTS:  # ids are the same on every system
            object.__setattr__(self, part, tuple(map(composed, getattr(self, part))))
        object.__setattr__(self, "groups", {composed(i): group for i, group in self.groups.items()})
        every = [*self.train, *self.validation, *self.held_out]
        twice = [name for name, count in Counter(every).items() if count > 1]
        if twice:
            raise DataError(
                f"the split has {twice[0]} more than once",
                code="data.split.duplicate",
                remedy="make a new split",
            )

    def part_of(self, identifier: str) -> str | None:
        """Name the part of an image: train, validation, held-out; None if the split does not know it."""
        return self._parts.get(identifier)

    @cached_property
    def _parts(self) -> dict[str, str]:
        return {i: part.replace("_", "-") for part in PARTS for i in getattr(self, part)}

    def without(self, ids: Iterable[str]) -> Split:
        """The same split without these images, which cannot be read."""
        gone = set(ids)
        if not gone:
            return self
        train, validation, held_out = (
            tuple(i for i in part if i not in gone) for part in (self.train, self.validation, self.held_out)
        )
        groups = {i: group for i, group in self.groups.items() if i not in gone}
        return replace(self, train=train, validation=validation, held_out=held_out, groups=groups)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"format": "napari-unet split", "version": VERSION, **asdict(self)}

    def save(self, path: Path) -> None:
        """Write to a JSON file, atomically."""
        write_text(path, json.dumps(self.to_json(), indent=1))

    @classmethod
    def load(cls, path: Path) -> Split:
        """Read from a JSON file.

        Raises
        ------
        DataError
            If it is not a split, is newer than this program, or has an image in two parts.
        """
        try:
            content = parse_json(path.read_bytes())
        except (OSError, ValueError) as error:
            raise DataError(
                f"the split {path} cannot be read",
                code="data.split.unreadable",
                expected="a JSON file that `train` wrote",
                reason=str(error),
                remedy="give another file, or make a new split",
            ) from error
        return cls.from_json(content, str(path))

    @classmethod
    def from_json(cls, content: object, name: str) -> Split:
        """Read from plain JSON; errors as ``load``."""
        if not isinstance(content, dict) or content.get("format") != "napari-unet split":
            raise DataError(
                f"{name} is not a split", code="data.split.malformed", remedy="give a file that `train` wrote"
            )
        if content.get("version") != VERSION:
            raise DataError(
                f"the split {name} was written by another version",
                code="data.split.version",
                expected=f"version {VERSION}",
                got=str(content.get("version")),
                remedy="update this program, or make a new split",
            )
        try:
            if not all(isinstance(content[part], list | tuple) for part in PARTS):
                raise TypeError("a part that is not a list")
            parts = {part: tuple(str(i) for i in content[part]) for part in PARTS}
            return cls(
                **parts,
                seed=int(content["seed"]),
                groups={str(k): str(v) for k, v in content["groups"].items()},
                group_rule=str(content["group_rule"]),
                data=str(content["data"]),
                note=str(content["note"]),
            )
        except BAD_CONTENT as error:
            raise DataError(
                f"the split {name} is damaged",
                code="data.split.damaged",
                reason=repr(error),
                remedy="make a new split",
            ) from error


def coverages(
    dataset: Dataset, on_progress: OnProgress = ignore_progress, cancel: CancelToken | None = None
) -> dict[str, float]:
    """Share of foreground in every reference mask, 0 to 1, by id; reads all masks."""
    return {
        s.id: float((dataset.mask(s).labels > 0).mean())
        for s in tracked(dataset.samples, len(dataset), "Reading masks", on_progress, cancel)
    }


def make_split(
    dataset: Dataset,
    *,
    validation: float = 0.1,
    held_out: float = 0.1,
    max_validation: int = 200,
    max_held_out: int = 400,
    seed: int = 0,
    by_group: bool = True,
    coverage: Mapping[str, float] | None = None,
    on_progress: OnProgress = ignore_progress,
    cancel: CancelToken | None = None,
) -> Split:
    """Draw a split.

    Whole groups go to one part. First the held-out part, then the validation part, take from the shuffled
    groups the one that fits best. Its mix of empty, sparse and dense masks is closest to what the part
    still lacks. The rest is for training.

    Parameters
    ----------
    dataset : Dataset
        To be split.
    validation, held_out : float
        Shares of the images, 0 to 1, together below 1; a part of share 0 stays empty.
    max_validation, max_held_out : int
        Never more images than these, unless even the smallest group is larger.
    seed : int
        Same seed, same split.
    by_group : bool
        False splits by image; a score on such a split may flatter.
    coverage : mapping, optional
        Id to share of foreground; read from the masks if not given.
    on_progress, cancel
        While reading masks.

    Returns
    -------
    Split
        Validation and held-out are empty where there are fewer groups than parts, and the note
        says so.

    Raises
    ------
    DataError
        If there is no image with a mask, or `coverage` lacks one.
    SettingsError
        If the shares leave nothing for training.
    """
    if not (validation >= 0 and held_out >= 0 and validation + held_out < 1):
        raise SettingsError(
            "the shares of validation and held-out images leave nothing for training",
            code="settings.shares.range",
            expected="two numbers from 0 to 1, together below 1",
            got=f"{validation} and {held_out}",
            remedy="take smaller shares",
        )
    if len(dataset) == 0:
        raise DataError(
            f"{dataset.name} has no image with a mask",
            code="data.masks.missing",
            remedy="check it with `inspect`",
        )
    if coverage is None:
        coverage = coverages(dataset, on_progress, cancel)
    ids = [s.id for s in dataset.samples]
    unknown = [i for i in ids if i not in coverage]
    if unknown:
        raise DataError(
            f"the coverage of {unknown[0]} is not known",
            code="data.split.coverage",
            expected="a coverage for every image",
            remedy="have it worked out again from the masks",
        )
    groups = dataset.groups() if by_group else tuple(ids)
    strata = _strata(np.array([coverage[i] for i in ids]))
    names, group_of = np.unique(np.array(groups), return_inverse=True)
    table = np.zeros((len(names), strata.max() + 1), np.int64)
    np.add.at(table, (group_of, strata), 1)
    count = len(ids)
    bounds = {"held_out": (held_out, max_held_out), "validation": (validation, max_validation)}
    wanted = {
        name: (min(max(round(share * count), 1), most), most)
        for name, (share, most) in bounds.items()
        if share > 0 and most > 0
    }
    note = ""
    if len(names) < 1 + len(wanted):
        wanted = {}
        note = f"{count} images of {len(names)} group{'s' * (len(names) != 1)}: too few to keep any aside"
    part = _assign(table, wanted, np.random.default_rng(seed))
    chosen = np.array(part)[group_of]
    parts = {name: tuple(i for i, p in zip(ids, chosen, strict=True) if p == name) for name in PARTS}
    return Split(
        **parts,
        seed=seed,
        groups=dict(zip(ids, groups, strict=True)),
        group_rule=dataset.group_rule if by_group else "image",
        data=dataset.name,
        note=note,
    )


def _strata(coverage: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.intp]]:
    """0 for empty masks, 1.. by quantile of coverage for the others."""
    strata = np.zeros(len(coverage), np.intp)
    filled = coverage > 0
    if filled.any():
        edges = np.quantile(coverage[filled], np.linspace(0, 1, COVERAGE_BINS + 1)[1:-1])
        strata[filled] = 1 + np.searchsorted(edges, coverage[filled], side="right")
    return strata


def _assign(
    table: np.ndarray[Any, np.dtype[np.int64]],
    wanted: Mapping[str, tuple[int, int]],
    rng: np.random.Generator,
) -> list[str]:
    """A part for every group; `table` is (groups, strata) numbers of images, `wanted` (target, most)."""
    part = ["train"] * len(table)
    overall = table.sum(axis=0) / table.sum()
    free = list(rng.permutation(len(table)))
    for later, (name, (target, most)) in enumerate(wanted.items()):
        reserved = len(wanted) - later  # a group for each part still to come, training among them
        lacking = overall * target
        filled = 0
        while filled < target and len(free) > reserved:
            sizes = table[free].sum(axis=1)
            # What the part still lacks, less what a group would bring: the closest group is best.
            distance = np.abs(lacking - table[free]).sum(axis=1) / np.maximum(sizes, 1)
            too_large = (sizes > (target - filled) * 1.5 + 1) | (filled + sizes > most)
            # Single images tie in all but their stratum: the random order decides among them.
            best = int(np.argmin(np.where(too_large, np.inf, distance)))
            if too_large[best]:
                if filled:
                    break
                best = int(np.argmin(sizes))
            group = free.pop(best)
            part[group] = name
            lacking = lacking - table[group]
            filled += int(sizes[best])
    return part
