"""Inspecting a data set, as a task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_unet.data.catalog import open_dataset
from napari_unet.data.inspection import Inspection, inspect_dataset

if TYPE_CHECKING:
    from pathlib import Path

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
    """

    data: Path
    format: str | None = None

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Inspection:
        """Open and inspect."""
        return inspect_dataset(open_dataset(self.data, self.format), on_progress, cancel)
