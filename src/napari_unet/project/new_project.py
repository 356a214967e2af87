"""A new project: its folder, its list of images with a hash of each, and its frozen split."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from napari_unet.data.dataset import Dataset
from napari_unet.data.sample import Sample
from napari_unet.data.split import Split, make_split
from napari_unet.errors import DataError, unwritable
from napari_unet.project.image_links import image_entries
from napari_unet.project.layout import FOLDERS, SPLIT_FILE, check_empty
from napari_unet.project.lock import ProjectLock
from napari_unet.project.project_file import DataLink, ProjectFile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.progress import CancelToken, OnProgress


def make_project_folder(
    folder: Path,
    data: Dataset | Sequence[Sample],
    name: str,
    classes: tuple[str, ...],
    split: Split | None,
    settings: dict[str, Any],
    skip_unreadable: bool,
    on_progress: OnProgress,
    cancel: CancelToken | None,
    may_be_empty: bool = False,
) -> tuple[ProjectFile, Split, ProjectLock]:
    """Write the folder of a new project and lock it; parameters and errors as ``Project.create``."""
    check_empty(folder)
    dataset = data if isinstance(data, Dataset) else None
    samples = (*data.samples, *data.unlabelled) if isinstance(data, Dataset) else tuple(data)
    if not samples and not may_be_empty:
        raise DataError("a project without images", code="data.images.missing", remedy="open images first")
    if len({s.id for s in samples}) < len(samples):
        raise DataError("two images have one name", code="data.image.duplicate", remedy="rename one of them")
    groups: dict[str, str] = {}
    read: Callable[[Sample], NDArray[np.generic]] = Sample.read_image
    link = DataLink("memory")
    if dataset is not None:
        groups = dict(zip((s.id for s in dataset.samples), dataset.groups(), strict=True))
        read, classes = dataset.image, dataset.classes
        if dataset.path.exists() and all(s.image_name for s in samples):
            link = DataLink.to(dataset.path, dataset.format, folder, dataset.masks_are, dataset.channels)
    entries = image_entries(samples, groups, read, on_progress, cancel, skip_unreadable)
    if samples and not entries:
        raise DataError(
            "no image can be read",
            code="data.images.unusable",
            remedy="see the list for what is wrong with each",
        )
    if split is None:
        split = Split((), note="no reference masks: every fifth corrected image is held out")
        if dataset is not None and len(dataset):
            split = make_split(dataset, on_progress=on_progress, cancel=cancel)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    file = ProjectFile(name or folder.resolve().name, now, classes, link, entries, settings)
    lock = ProjectLock(folder)
    try:
        for part in FOLDERS:
            (folder / part).mkdir(parents=True, exist_ok=True)
        lock.acquire()
        split.save(folder / SPLIT_FILE)
        file.save(folder)
    except OSError as error:
        raise unwritable(f"the project {folder} cannot be made", error) from error
    return file, split, lock
