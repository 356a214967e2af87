"""Cell Tracking Challenge, two dimensions: sequences NN/tNNN.tif with masks of numbered cells.

Gold masks (drawn by people) in NN_GT/SEG/man_segNNN.tif come before silver ones (computed from
many entries) in NN_ST/SEG. A gold mask is partial where it has clearly fewer cells than the silver
mask of the same frame or, without one, than the masks of the frames around. Silver cells that no gold
cell touches are then added. Without a silver mask the pixels outside the drawn cells get weight 0,
because a cell that was left out looks like background.

Groups are sequences; a single one is cut into ten blocks of consecutive frames, so that it can be
split at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.dataset import Dataset
from napari_unet.data.files.loaders import ImageLoader
from napari_unet.data.formats.pairing import unpaired_mask
from napari_unet.data.masks.mask_pixels import decode_labels
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.data.files.source import Source

NAME = "cell-tracking"
TITLE = "Cell Tracking Challenge"
FRAME = re.compile(r"((?:.*/)?\d\d)/t(\d{1,9})\.tif$", re.IGNORECASE)
MASK = re.compile(r"((?:.*/)?\d\d)_(GT|ST)/SEG/man_seg(\d{1,9})\.tif$", re.IGNORECASE)
VOLUME_MASK = re.compile(r"(?:.*/)?\d\d_(?:GT|ST)/SEG/man_seg_\d+_\d+\.tif$", re.IGNORECASE)
PARTIAL_SHARE = 0.6  # of the number of cells that is to be expected
FRAMES_AROUND = 5
BLOCKS = 10  # that a single sequence is cut into

Key = tuple[str, int]  # sequence and frame


def recognize(source: Source) -> bool:
    """Whether a source has frames and masks in folders of these names."""
    if not any(map(FRAME.match, source.sizes)):
        return False
    return any(MASK.match(n) or VOLUME_MASK.match(n) for n in source.sizes)


@dataclass
class CellCounts:
    """How many cells the masks of a sequence show; each is counted once, when first asked for.

    Attributes
    ----------
    source : Source
        Where the masks are.
    names : dict
        Frame to mask file, silver where there is one.
    """

    source: Source
    names: dict[int, str]
    _counts: dict[str, int] = field(default_factory=dict)
    _lock: Any = field(default_factory=Lock)

    def around(self, frame: int) -> float:
        """Median over the masks nearest to a frame, itself left out; 0 if it is the only one."""
        near = sorted((abs(other - frame), other) for other in self.names if other != frame)
        counts = [self._count(self.names[other]) for _, other in near[:FRAMES_AROUND]]
        return float(np.median(counts)) if counts else 0.0

    def _count(self, name: str) -> int:
        with self._lock:
            if name not in self._counts:
                self._counts[name] = count_cells(decode_labels(self.source.read(name), name))
            return self._counts[name]

    def __getstate__(self) -> dict[str, object]:
        return {"source": self.source, "names": self.names, "_counts": dict(self._counts)}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state, _lock=Lock())


def count_cells(objects: NDArray[np.generic]) -> int:
    """Number of different positive numbers in a mask."""
    numbers = np.unique(objects)
    return int((numbers > 0).sum())


@dataclass(frozen=True)
class CellMaskLoader:
    """Reads a mask of numbered cells, gold before silver, and completes a partial one."""

    source: Source
    frame: int
    gold: str | None
    silver: str | None
    counts: CellCounts = field(hash=False)

    def __call__(self) -> ReferenceMask:
        """Read, and find out whether the mask is partial."""
        if self.gold is None:
            assert self.silver is not None
            return _whole(self._read(self.silver))
        gold = self._read(self.gold)
        silver = self._read(self.silver) if self.silver is not None else None
        expected = self.counts.around(self.frame) if silver is None else count_cells(silver)
        if count_cells(gold) >= PARTIAL_SHARE * expected:
            return _whole(gold)
        if silver is None:
            drawn = gold > 0
            return ReferenceMask(drawn.astype(np.uint8), gold, drawn.astype(np.float32))
        if silver.shape != gold.shape:
            raise DataError(
                f"{self.gold} and {self.silver} differ in size",
                code="data.mask.size",
                expected=f"{gold.shape[1]} x {gold.shape[0]} pixels",
                got=f"{silver.shape[1]} x {silver.shape[0]}",
                remedy="remove one of the two",
            )
        # A silver cell that a gold one touches is the same cell.
        touched = np.unique(silver[gold > 0])
        added = (silver > 0) & ~np.isin(silver, touched)
        return _whole(np.where(added, silver + gold.max(), gold))

    def _read(self, name: str) -> NDArray[np.int32]:
        pixels = decode_labels(self.source.read(name), name)
        if pixels.ndim != 2 or not np.issubdtype(pixels.dtype, np.integer):
            raise DataError(
                f"{name} is not a mask of numbered cells",
                code="data.mask.values",
                expected="one channel of whole numbers",
                got=f"{pixels.shape[2] if pixels.ndim == 3 else 1} channels of {pixels.dtype}",
            )
        return pixels.astype(np.int32)


def _whole(objects: NDArray[np.int32]) -> ReferenceMask:
    return ReferenceMask((objects > 0).astype(np.uint8), objects.astype(np.int32))


def open_source(source: Source) -> Dataset:
    """Open a source of this layout.

    Raises
    ------
    DataError
        If no frame has a mask, or the sequences are of volumes.
    """
    frames = {(m[1], int(m[2])): n for n in source.sizes if (m := FRAME.match(n))}
    gold, silver = _masks(source, "GT"), _masks(source, "ST")
    annotated = [key for key in frames if key in gold or key in silver]
    if not annotated:
        if any(map(VOLUME_MASK.match, source.sizes)):
            raise DataError(
                f"{source.path} has masks of volumes",
                code="data.mask.volume",
                expected="sequences of two dimensions",
                got="masks like man_seg_000_010.tif",
                remedy="list the slices with their masks in a CSV file with the columns image and mask",
            )
        raise DataError(
            f"{source.path} has no frame with a mask",
            code="data.masks.missing",
            expected="01/t000.tif with 01_GT/SEG/man_seg000.tif or 01_ST/SEG/man_seg000.tif",
            remedy="give the folder that holds both",
        )
    sequences = list(dict.fromkeys(sequence for sequence, _ in annotated))
    counts = {
        sequence: CellCounts(source, {f: n for (s, f), n in {**gold, **silver}.items() if s == sequence})
        for sequence in sequences
    }
    width = len(str(max(frame for _, frame in frames)))
    samples, unlabelled = [], []
    for key, name in frames.items():
        sequence, frame = key
        identifier = f"{sequence.replace('/', '_')}_t{frame:0{max(3, width)}d}"
        load = ImageLoader(source, name)
        if key not in gold and key not in silver:
            unlabelled.append(Sample(identifier, load, image_name=name))
            continue
        group = f"sequence {sequence}"
        if len(sequences) == 1:
            group += f" block {annotated.index(key) * BLOCKS // len(annotated)}"
        loader = CellMaskLoader(source, frame, gold.get(key), silver.get(key), counts[sequence])
        mask = gold.get(key) or silver[key]
        reason = f"{'gold' if key in gold else 'silver'} mask of the same frame"
        samples.append(Sample(identifier, load, loader, group, name, mask, reason))
    alone = [n for key, n in [*gold.items(), *silver.items()] if key not in frames]
    return Dataset(
        name=source.name,
        format=NAME,
        path=source.path,
        samples=tuple(samples),
        unlabelled=tuple(unlabelled),
        classes=("cell",),
        problems=tuple(map(unpaired_mask, alone)),
        licence="terms of the Cell Tracking Challenge",
        citation="Maška et al. 2023, doi:10.1038/s41592-023-01879-y",
        group_rule="sequence" if len(sequences) > 1 else "block of frames (there is one sequence)",
    )


def _masks(source: Source, kind: str) -> dict[Key, str]:
    """Masks of one kind, GT or ST, by sequence and frame."""
    matches = ((name, MASK.match(name)) for name in source.sizes)
    return {(m[1], int(m[3])): name for name, m in matches if m and m[2].upper() == kind}
