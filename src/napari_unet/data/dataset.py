"""A data set: an ordered, lazy collection of samples with a name, classes, licence and citation."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, overload

from napari_unet.data.masks.mask_reading import Choice  # noqa: TC001 - a field's type
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Problem:
    """Something about a data set that a person should know, with its remedy."""

    kind: str
    message: str
    remedy: str = ""
    names: tuple[str, ...] = ()


class ArrayCache:
    """Keeps what was read last, up to a bound in bytes; safe to use from several threads."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._items: OrderedDict[tuple[str, str], tuple[object, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: tuple[str, str], load: Callable[[], object]) -> object:
        """Give back what is stored under `key`, or load and keep it."""
        with self._lock:
            if key in self._items:
                self._items.move_to_end(key)
                return self._items[key][0]
        item = load()
        size = _size(item)
        with self._lock:
            if key not in self._items and size <= self.max_bytes:
                self._items[key] = (item, size)
                self.bytes += size
                while self.bytes > self.max_bytes:
                    _, (_, dropped) = self._items.popitem(last=False)
                    self.bytes -= dropped
        return item


def _size(item: object) -> int:
    if isinstance(item, ReferenceMask):
        return sum(a.nbytes for a in (item.labels, item.objects, item.weights) if a is not None)
    return int(getattr(item, "nbytes", 0))


DEFAULT_CACHE_BYTES = 512 * 1024**2


@dataclass(frozen=True, eq=False)
class Dataset(Sequence[Sample]):
    """An ordered, lazy collection of samples.

    Attributes
    ----------
    name : str
        What people call it.
    format : str
        The layout it was recognized as, a name from ``data.catalog.FORMATS``.
    path : pathlib.Path
        The folder, archive or table it was opened from.
    samples : tuple of Sample
        The images that have a reference mask.
    unlabelled : tuple of Sample
        The images that have none (a competition's test images).
    classes : tuple of str
        Names of the classes 1..K.
    problems : tuple of Problem
        What was found while opening: unpaired files, ambiguous pairs, bad rows.
    masks : str
        Which values were found in the masks, and what they were taken for.
    outlines : str
        What outlines the masks are made of, in words; "" where they are not made of outlines.
    masks_are : str
        "objects" or "classes" where a person said what different values are; else "".
    channels : tuple of str
        Names or numbers of the channels that are read of each image, where a person chose; else empty.
    several_values : bool
        Whether masks have more than one value besides background, so that they might be either.
    licence, citation : str
        The terms of use and what to cite.
    find_groups : callable, optional
        (samples) -> one group name a sample, for sets whose groups must be worked out from pixels.
    group_rule : str
        What a group is here ("subject", "mosaic", "slice block", "sequence", "image").
    """

    name: str
    format: str
    path: Path
    samples: tuple[Sample, ...]
    unlabelled: tuple[Sample, ...] = ()
    classes: tuple[str, ...] = ("foreground",)
    problems: tuple[Problem, ...] = ()
    masks: str = ""
    outlines: str = ""
    masks_are: Choice = ""
    channels: tuple[str, ...] = ()
    several_values: bool = False
    licence: str = ""
    citation: str = ""
    find_groups: Callable[[Sequence[Sample]], Sequence[str]] | None = None
    group_rule: str = "image"
    cache: ArrayCache = field(default_factory=lambda: ArrayCache(DEFAULT_CACHE_BYTES), repr=False)

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for sample in (*self.samples, *self.unlabelled):
            if sample.id in seen:
                raise DataError(
                    f"two images of {self.name} are called {sample.id}",
                    code="data.image.duplicate",
                    expected="one image an id",
                    remedy="rename one of the files",
                )
            seen.add(sample.id)

    def __len__(self) -> int:
        return len(self.samples)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Sample, ...]: ...
    def __getitem__(self, index: int | slice) -> Sample | tuple[Sample, ...]:
        return self.samples[index]

    def image(self, sample: Sample) -> NDArray[np.generic]:
        """Read an image through the cache: (Y, X, C) in the stored dtype; do not write to it."""
        return self.cache.get((sample.id, "image"), sample.read_image)  # type: ignore[return-value]

    def mask(self, sample: Sample) -> ReferenceMask:
        """Read a reference mask through the cache; do not write to it."""
        return self.cache.get((sample.id, "mask"), sample.read_mask)  # type: ignore[return-value]

    def groups(self) -> tuple[str, ...]:
        """The group of every sample, worked out from pixels where the layout asks for it.

        Returns
        -------
        tuple of str
            As long as ``samples``.
        """
        cached: tuple[str, ...] | None = self.__dict__.get("_groups")
        if cached is None:
            if self.find_groups is not None:
                read = [replace(s, load_image=partial(self.image, s)) for s in self.samples]
                cached = tuple(self.find_groups(read))
            else:
                cached = tuple(s.id if s.group is None else s.group for s in self.samples)
            self.__dict__["_groups"] = cached
        return cached

    def subset(self, ids: Iterable[str]) -> Dataset:
        """The samples with these ids, in this order, sharing the cache.

        Raises
        ------
        DataError
            If an id is unknown.
        """
        index = {s.id: i for i, s in enumerate(self.samples)}
        wanted = list(ids)
        missing = [name for name in wanted if name not in index]
        if missing:
            raise DataError(
                f"{self.name} has no image {missing[0]}"
                + (f" and {len(missing) - 1} others" if len(missing) > 1 else ""),
                code="data.image.unknown",
                remedy="use a split that was made from this data set",
            )
        chosen = tuple(self.samples[index[name]] for name in wanted)
        find_groups = _GroupsOfWhole(self) if self.find_groups is not None else None
        return replace(self, samples=chosen, unlabelled=(), find_groups=find_groups)


@dataclass(frozen=True, eq=False)
class _GroupsOfWhole:
    """Groups of a subset, worked out, when asked, from the whole data set."""

    whole: Dataset

    def __call__(self, samples: Sequence[Sample]) -> list[str]:
        known = dict(zip((s.id for s in self.whole.samples), self.whole.groups(), strict=True))
        return [known[s.id] for s in samples]
