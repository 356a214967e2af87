"""The project that the open images have by themselves, and whether it belongs to them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.data.files.channels import read_whole, whole_of
from napari_unet.data.image_hash import image_hash
from napari_unet.errors import WorkbenchError
from napari_unet.project.project_file import PROJECT_FILE, read_project_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.masks.mask_reading import Choice
    from napari_unet.data.sample import Sample
    from napari_unet.project.project import Project
    from napari_unet.session.images.collection import Collection

VARIABLE = "NAPARI_UNET_HOME"
PIECE = slice(0, 512)  # of rows and columns, by which images without a file are recognized


def own_folder(collection: Collection) -> Path:
    """Where the project of a collection goes by itself: in the person's data folder, by name and place.

    Images without a file have no place: names and a piece of the first one's pixels stand in, as many a
    layer is called the same.
    """
    dataset = collection.dataset
    if dataset is not None:
        return _folder(collection.name, str(dataset.path.resolve()))
    return _folder(collection.name, "|".join(collection.ids), _first_pixels(collection))


def remembered_masks(dataset: Dataset) -> Choice:
    """How a person chose to read the masks of a data set, by its automatic project."""
    folder = _folder(dataset.name, str(dataset.path.resolve()))
    if not (folder / PROJECT_FILE).is_file():
        return ""
    try:
        return read_project_file(folder)[0].data.masks_are
    except WorkbenchError:
        return ""  # reported when the project is opened


def _folder(name: str, place: str, more: str = "") -> Path:
    from napari_unet.data.file_names import safe_stem

    digest = hashlib.blake2b(place.encode("utf-8", "replace"), digest_size=4)
    digest.update(more.encode())
    return own_projects() / f"{safe_stem(name)[:60]}-{digest.hexdigest()}"


def own_projects() -> Path:
    """Folder of projects that nobody gave a place: in NAPARI_UNET_HOME, else in the person's data folder."""
    return _home() / "projects"


def own_masks() -> Path:
    """Folder of masks of large images that nobody gave a place."""
    return _home() / "masks"


def _home() -> Path:
    from platformdirs import user_data_path

    given = os.environ.get(VARIABLE, "")
    return Path(given).expanduser() if given else user_data_path("napari-unet")


def _first_pixels(collection: Collection) -> str:
    for entry in list(collection.entries.values()):
        try:
            return image_hash(_piece(entry.sample))
        except (WorkbenchError, OSError):
            continue
    return ""


def _piece(sample: Sample) -> NDArray[np.generic]:
    """(Y, X, C): a piece of an image with all its channels, whichever are read."""
    read: Any = whole_of(sample) if sample.load_region is not None else None
    return sample.read_region(PIECE, PIECE) if read in (None, sample.original) else read(PIECE, PIECE)


def given_images(collection: Collection) -> Dataset | list[Sample]:
    """What a project is made of: the data set of a collection, else the images themselves."""
    if collection.dataset is not None:
        return collection.dataset
    return [e.sample for e in collection.entries.values() if e.disk is None]


def find_again(project: Project, collection: Collection) -> None:
    """Link a project whose images were moved to the open data set, if that holds them.

    Raises
    ------
    DataError
        If it holds others.
    """
    dataset, link = collection.dataset, project.file.data
    moved = link.kind == "dataset" and link.find(project.folder) is None
    if moved and dataset is not None and dataset.path.exists():
        project.relink(dataset.path, dataset.format)


def other_images(collection: Collection, project: Project) -> dict[str, str]:
    """Why corrections do not belong to images that are called the same, by id; reads those images."""
    known = {image.id: image for image in project.file.images}
    others = {}
    for identifier in project.corrections:
        if identifier not in collection.entries or identifier not in known:
            continue
        entry = collection.entries[identifier]
        try:
            image = collection.image(identifier)
        except WorkbenchError as error:
            others[identifier] = error.sentence
            continue
        height, width = known[identifier].shape[:2]
        if image.shape[:2] != (height, width):
            others[identifier] = (
                f"it was corrected at {width} x {height} pixels, not "
                f"{image.shape[1]} x {image.shape[0]}; that correction is not shown"
            )
        elif collection.dataset is None and image_hash(read_whole(entry.sample)) != known[identifier].hash:
            others[identifier] = "another image of this name was corrected; that correction is not shown"
    return others
