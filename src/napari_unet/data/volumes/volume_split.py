"""Splits of volumes: whole volumes where there are enough, else blocks along z with a gap between them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_unet.data.split import Split, make_split
from napari_unet.data.volumes.nearness import gap_between
from napari_unet.data.volumes.slices import check_slices, volumes_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import Sample
    from napari_unet.progress import CancelToken, OnProgress

LARGEST_GAP = 0.1  # of the annotated slices of a volume


def make_volume_split(
    dataset: Dataset,
    *,
    validation: float,
    held_out: float,
    seed: int,
    coverage: Mapping[str, float] | None,
    on_progress: OnProgress,
    cancel: CancelToken,
) -> Split:
    """Draw a split of slices.

    Three volumes or more go to one part each, as ``make_split`` draws groups. Of fewer volumes each is cut
    along z: the first slices are to train on, then come those for validation, the last are held out.
    Neighbouring slices look alike, so that some between two blocks belong to no part.

    Parameters
    ----------
    dataset : Dataset
        Of slices with masks.
    validation, held_out : float
        Shares of the slices.
    seed, coverage, on_progress, cancel
        As ``make_split``.

    Raises
    ------
    DataError
        If an image is no slice of a volume.
    """
    check_slices(dataset.samples)
    volumes = volumes_of(dataset.samples)
    if len(volumes) >= 1 + (validation > 0) + (held_out > 0):
        grouped = tuple(replace(s, group=name) for name, members in volumes.items() for _, s in members)
        return make_split(
            replace(dataset, samples=grouped, find_groups=None, group_rule="volume"),
            validation=validation,
            held_out=held_out,
            seed=seed,
            coverage=coverage,
            on_progress=on_progress,
            cancel=cancel,
        )
    wanted = gap_between(dataset.samples)
    parts: dict[str, list[str]] = {"train": [], "validation": [], "held_out": []}
    groups: dict[str, str] = {}
    gaps = set()
    for name, members in volumes.items():
        slices = members
        gap = min(wanted, max(1, int(LARGEST_GAP * (members[-1][0] - members[0][0] + 1))))
        gaps.add(gap)
        for part, block in _blocks(slices, {"held_out": held_out, "validation": validation}, gap).items():
            parts[part] += [sample.id for _, sample in block]
            groups |= {sample.id: f"{name}, {part.replace('_', '-')}" for _, sample in block}
    words = " or ".join(map(str, sorted(gaps)))
    note = f"blocks along z; {words} slice{'s' * (words != '1')} between two blocks belong to none"
    return Split(
        tuple(parts["train"]),
        tuple(parts["validation"]),
        tuple(parts["held_out"]),
        seed=seed,
        groups=groups,
        group_rule="block of slices",
        data=dataset.name,
        note=note,
    )


def _blocks(
    slices: list[tuple[int, Sample]], shares: Mapping[str, float], gap: int
) -> dict[str, list[tuple[int, Sample]]]:
    """The slices of each part, from the last to the first; all to train on where there are too few.

    Where few slices have a mask those lie apart by themselves, and none is lost to a gap.
    """
    blocks: dict[str, list[tuple[int, Sample]]] = {}
    rest = slices
    for part, share in shares.items():
        count = max(1, round(share * len(slices))) if share > 0 else 0
        enough = 0 < count < len(rest)
        before = [(z, one) for z, one in rest[:-count] if z < rest[-count][0] - gap] if enough else []
        if before:
            blocks[part] = rest[-count:]
            rest = before
    return {"train": rest, **blocks}
