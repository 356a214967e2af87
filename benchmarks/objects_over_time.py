"""Objects joined over the images of a series by their overlap, against the numbers that people gave them.

The masks of the Cell Tracking Challenge number a cell alike as long as it lives. Here each image gets new
numbers, cells are linked, and the links are held against those numbers. A cell that divides gets two new
numbers in the reference; a link to one of its daughters is counted by itself.

Run: python benchmarks/objects_over_time.py DIC_HELA [FOLDER_OF_MASKS]
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np

from napari_unet.inference.linked_objects import StackNumbers
from napari_unet.metrics.objects_over_time import ObjectsOverTime


def read_masks(folder: Path) -> list[tuple[int, np.ndarray]]:
    """Number in the series and (Y, X) int32 of each mask, in order."""
    import tifffile

    found = [(int(re.findall(r"\d+", path.stem)[-1]), path) for path in folder.glob("*.tif")]
    return [(frame, np.asarray(tifffile.imread(path), np.int32)) for frame, path in sorted(found)]


def main() -> int:
    """Link, compare and print a table in Markdown."""
    folder = Path(sys.argv[1]) / (sys.argv[2] if len(sys.argv) > 2 else "01_ST/SEG")
    masks = read_masks(folder)
    rng = np.random.default_rng(0)
    numbers, followed = StackNumbers(linked=True), ObjectsOverTime()
    pairs = right = divided = wrong = missed = 0
    before: dict[int, int] = {}  # number of the reference to ours, of the image before
    for frame, reference in masks:
        mask = (reference > 0).astype(np.uint8)
        order = np.concatenate([[0], 1 + rng.permutation(int(reference.max()))]).astype(np.int32)
        ours = numbers.number(order[reference], mask)
        followed.add(f"t{frame:03d}", frame, ours, mask)
        first = np.unique(reference, return_index=True)
        now = {int(n): int(ours.flat[place]) for n, place in zip(*first, strict=True) if n}
        known = {mine: theirs for theirs, mine in before.items()}
        for theirs, mine in now.items():
            pairs += theirs in before
            right += before.get(theirs) == mine
            missed += theirs in before and before[theirs] != mine
            if mine in known and known[mine] != theirs:
                ended = known[mine] not in now
                divided += theirs not in before and ended
                wrong += theirs in before or not ended
        before = now
    rows = followed.finish()
    splits = sum(row.began == "split" for row in rows)
    print("| images | cells in two images running | linked rightly | not, or wrongly | to another cell |")
    print("| --- | --- | --- | --- | --- |")
    print(f"| {len(masks)} | {pairs} | {right} ({100 * right / pairs:.1f} %) | {missed} | {wrong} |")
    print(f"\nlinks from a cell whose number ends to a new number (a daughter, or another cell): {divided}")
    print(f"objects that the table calls parts of a split: {splits}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
