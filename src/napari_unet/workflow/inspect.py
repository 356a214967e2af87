"""Inspecting a data set, as a task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_unet.data.catalog import open_dataset
from napari_unet.data.inspection.inspect_dataset import inspect_dataset
from napari_unet.data.split import Split

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.data.inspection.inspection import Inspection
    from napari_unet.progress import CancelToken, OnProgress


@dataclass(frozen=True)
class InspectTask:
    """Say what a data set is, and what is wrong with it.

    Attributes
    ----------
    data : pathlib.Path
        Folder, zip or table.
    format : str, optional
        Layout, if it is not to be recognized.
    split : pathlib.Path, optional
        A split of these images: copies that lie in different parts of it are reported.
    """

    data: Path
    format: str | None = None
    split: Path | None = None

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Inspection:
        """Open and inspect."""
        split = Split.load(self.split) if self.split is not None else None
        dataset = open_dataset(self.data, self.format)
        parts = None if split is None else {s.id: split.part_of(s.id) or "" for s in dataset.samples}
        return inspect_dataset(dataset, on_progress, cancel, parts)
