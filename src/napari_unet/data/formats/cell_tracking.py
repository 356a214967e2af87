"""Cell Tracking Challenge, two dimensions: sequences NN/tNNN.tif with masks of numbered cells.

Gold masks (drawn by people) in NN_GT/SEG/man_segNNN.tif come before silver ones (computed from
many entries) in NN_ST/SEG. A gold mask with far fewer cells than the sequence usually has is partial:
its silver mask fills the rest if there is one, else the pixels outside the drawn cells get weight 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.dataset import Dataset
from napari_unet.data.image_files import decode_labels
from napari_unet.data.loaders import ImageLoader
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.data.source import Source

NAME = "cell-tracking"
TITLE = "Cell Tracking Challenge"
FRAME = re.compile(r"(?:.*/)?(\d\d)/t(\d+)\.tif$", re.IGNORECASE)
MASK = re.compile(r"(?:.*/)?(\d\d)_(GT|ST)/SEG/man_seg(\d+)\.tif$", re.IGNORECASE)
PARTIAL_SHARE = 0.6  # of the usual number of cells
BLOCKS = 10  # that a single sequence is cut into


def recognize(source: Source) -> bool:
    """Whether a source is laid out like this."""
    return any(map(FRAME.match, source.sizes)) and any(map(MASK.match, source.sizes))


@dataclass
class CellCounts:
    """How many cells the masks of a sequence show; read once, when first asked."""

    source: Source
    names: tuple[str, ...]
    _usual: float | None = None
    _lock: Lock = field(default_factory=Lock)

    def usual(self) -> float:
        """Median over the masks."""
        with self._lock:
            if self._usual is None:
                counts = [_count(decode_labels(self.source.read(n), n)) for n in self.names]
                self._usual = float(np.median(counts))
            return self._usual

    def __getstate__(self) -> dict[str, object]:
        return {"source": self.source, "names": self.names, "_usual": self._usual}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state, _lock=Lock())


def _count(objects: NDArray[np.generic]) -> int:
    return len(np.unique(objects)) - 1


@dataclass(frozen=True)
class CellMaskLoader:
    """Reads a mask of numbered cells."""

    source: Source
    gold: str | None
    silver: str | None
    counts: CellCounts = field(hash=False)

    def __call__(self) -> ReferenceMask:
        """Read, and find out whether the mask is partial."""
        if self.gold is None:
            assert self.silver is not None
            return _whole(self._read(self.silver))
        gold = self._read(self.gold)
        if _count(gold) >= PARTIAL_SHARE * self.counts.usual():
            return _whole(gold)
        if self.silver is not None:
            silver = self._read(self.silver)
            # A silver cell that a gold one covers is the same cell.
            covered = np.unique(silver[gold > 0])
            rest = np.where(np.isin(silver, covered), 0, silver)
            return _whole(np.where(gold > 0, gold, np.where(rest > 0, rest + gold.max(), 0)))
        return ReferenceMask((gold > 0).astype(np.uint8), gold, (gold > 0).astype(np.float32))

    def _read(self, name: str) -> NDArray[np.int32]:
        pixels = decode_labels(self.source.read(name), name)
        if pixels.ndim != 2:
            raise DataError(f"{name} is not a mask of numbered cells", expected="one channel")
        return pixels.astype(np.int32)


def _whole(objects: NDArray[np.int32]) -> ReferenceMask:
    return ReferenceMask((objects > 0).astype(np.uint8), objects.astype(np.int32))


def open_source(source: Source) -> Dataset:
    """Open a source of this layout.

    Raises
    ------
    DataError
        If no frame has a mask.
    """
    frames = {(m[1], int(m[2])): n for n in source.sizes if (m := FRAME.match(n))}
    masks: dict[str, dict[tuple[str, int], str]] = {"GT": {}, "ST": {}}
    for name in source.sizes:
        if match := MASK.match(name):
            masks[match[2].upper()][(match[1], int(match[3]))] = name
    sequences = sorted({sequence for sequence, _ in frames})
    counts = {
        sequence: CellCounts(
            source,
            tuple(n for kind in masks.values() for (s, _), n in kind.items() if s == sequence),
        )
        for sequence in sequences
    }
    annotated = [key for key in frames if key in masks["GT"] or key in masks["ST"]]
    samples, unlabelled = [], []
    for key, name in frames.items():
        sequence, number = key
        identifier = f"{sequence}_t{number:03d}"
        load = ImageLoader(source, name)
        if key not in masks["GT"] and key not in masks["ST"]:
            unlabelled.append(Sample(identifier, load, image_name=name))
            continue
        gold, silver = masks["GT"].get(key), masks["ST"].get(key)
        group = f"sequence {sequence}"
        if len(sequences) == 1:
            block = annotated.index(key) * BLOCKS // len(annotated)
            group += f" block {block}"
        reason = "gold mask of the same frame" if gold else "silver mask of the same frame"
        loader = CellMaskLoader(source, gold, silver, counts[sequence])
        samples.append(Sample(identifier, load, loader, group, name, gold or silver or "", reason))
    if not samples:
        raise DataError(f"{source.path} has no frame with a mask", remedy="check the folder")
    return Dataset(
        name=source.name,
        format=NAME,
        path=source.path,
        samples=tuple(samples),
        unlabelled=tuple(unlabelled),
        classes=("cell",),
        licence="Cell Tracking Challenge terms",
        citation="Maška et al. 2023, doi:10.1038/s41592-023-01879-y",
        group_rule="sequence" if len(sequences) > 1 else "block of frames (there is one sequence)",
    )
