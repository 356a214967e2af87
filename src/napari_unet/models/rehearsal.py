"""A rehearsal set: a few crops of the training images inside a model, for it to remember them by later."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.atomic import atomic_path
from napari_unet.errors import ModelError
from napari_unet.models.model_folder import DAMAGED_ZIP, REHEARSAL_FILE, check_bytes, file_of_model
from napari_unet.models.normalization import resize
from napari_unet.plain_json import BAD_CONTENT, parse_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

VERSION = 2  # 1 where no crop is of a volume, so that earlier programs read those
ABOUT = "about"  # the array that holds JSON
MOST_BYTES = 256 * 1024**2  # of a set, unpacked
MOST_CROPS = 10_000
UNKNOWN = 255  # in the labels of a slice of a volume: nobody knows what it is


@dataclass(frozen=True, eq=False)
class RehearsalCrop:
    """A piece of a training image, with its mask.

    Attributes
    ----------
    id : str
        Unique in the set.
    image : numpy.ndarray
        (Y, X, C) in the stored dtype.
    labels : numpy.ndarray
        (Y, X) uint8, 0 background, 1..K classes. In slices of volumes 255 is unknown, also in all of a slice
        that is there to be seen around others.
    objects : numpy.ndarray or None
        (Y, X) int32 numbers of objects, 0 background; None where the mask does not tell them apart.
    source : str
        Hash of the image that it was cut from.
    volume : str
        Of a slice the block that it belongs to; empty for a crop that is an image of its own.
    z : int
        Number of the slice there.
    """

    id: str
    image: NDArray[np.generic]
    labels: NDArray[np.uint8]
    objects: NDArray[np.int32] | None = None
    source: str = ""
    volume: str = ""
    z: int = 0


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """What a model carries of its training images.

    Attributes
    ----------
    crops : tuple of RehearsalCrop
        In any order.
    zoom : float
        Enlargement that brings the crops to the resolution of the images they were cut from; crops of a model
        that works at a smaller scale are stored at that.
    about : mapping
        name, licence and citation of the data; JSON.
    """

    crops: tuple[RehearsalCrop, ...]
    zoom: float = 1.0
    about: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.crops)

    def full_size(self) -> list[RehearsalCrop]:
        """The crops at the resolution of the images that they were cut from."""
        if self.zoom == 1:
            return list(self.crops)
        found = []
        for crop in self.crops:
            y, x = (max(round(n * self.zoom), 1) for n in crop.labels.shape)
            image = resize(np.asarray(crop.image, np.float32), (y, x)).astype(crop.image.dtype)
            labels = resize(crop.labels[..., None], (y, x), nearest=True)[..., 0]
            objects = None
            if crop.objects is not None:
                numbers = np.asarray(crop.objects, np.float32)[..., None]
                objects = resize(numbers, (y, x), nearest=True)[..., 0].astype(np.int32)
            found.append(replace(crop, image=image, labels=labels, objects=objects))
        return found


def write_rehearsal(folder: Path, rehearsal: Rehearsal | None) -> None:
    """Put a rehearsal set into the folder of a model; None takes away one that is there.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    file = folder / REHEARSAL_FILE
    if rehearsal is None or not len(rehearsal):
        file.unlink(missing_ok=True)
        return
    arrays: dict[str, NDArray[Any]] = {}
    crops = []
    for number, crop in enumerate(rehearsal.crops):
        entry = {"id": crop.id, "source": crop.source, "objects": crop.objects is not None}
        crops.append(entry | ({"volume": crop.volume, "z": crop.z} if crop.volume else {}))
        arrays[f"image{number}"] = crop.image
        arrays[f"labels{number}"] = crop.labels
        if crop.objects is not None:
            few = int(crop.objects.max(initial=0)) <= np.iinfo(np.uint16).max
            arrays[f"objects{number}"] = crop.objects.astype(np.uint16) if few else crop.objects
    version = VERSION if any(crop.volume for crop in rehearsal.crops) else 1
    about = {"version": version, "zoom": rehearsal.zoom, "about": dict(rehearsal.about), "crops": crops}
    text = np.frombuffer(json.dumps(about).encode(), np.uint8)
    with atomic_path(file) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **{ABOUT: text, **arrays})


def read_rehearsal(path: Path) -> Rehearsal | None:
    """Read the rehearsal set of a model.

    Parameters
    ----------
    path : pathlib.Path
        Folder or zip of the model, or the name of one that comes with the program.

    Returns
    -------
    Rehearsal or None
        None if the model has none.

    Raises
    ------
    ModelError
        If it is damaged, too large, or written by a newer program.
    """
    content = file_of_model(path, REHEARSAL_FILE)
    if content is None:
        return None
    name = f"{REHEARSAL_FILE} in {path}"
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            check_bytes(sum(info.file_size for info in archive.infolist()), MOST_BYTES, name)
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            about = parse_json(bytes(arrays[ABOUT].tobytes()))
            if about["version"] > VERSION:
                raise ModelError(
                    f"{name} was written by a newer program",
                    code="model.newer",
                    expected=f"version {VERSION} or lower",
                    got=str(about["version"]),
                    remedy="upgrade napari-unet-workbench",
                )
            if len(about["crops"]) > MOST_CROPS:
                raise ValueError(f"{len(about['crops'])} crops")
            crops = tuple(_crop(entry, number, arrays) for number, entry in enumerate(about["crops"]))
            described = {str(key): str(value) for key, value in about["about"].items()}
            return Rehearsal(crops, float(about["zoom"]), described)
    except (*DAMAGED_ZIP, *BAD_CONTENT) as error:
        raise ModelError(
            f"{name} cannot be read",
            code="model.rehearsal.damaged",
            expected="images and masks as the program writes them",
            reason=str(error),
            remedy="copy the model again, or delete that file: the model works without it",
        ) from error


def _crop(entry: Mapping[str, Any], number: int, arrays: Any) -> RehearsalCrop:
    image, labels = arrays[f"image{number}"], arrays[f"labels{number}"]
    objects = arrays[f"objects{number}"].astype(np.int32) if entry["objects"] else None
    fits = image.ndim == 3 and image.shape[:2] == labels.shape and labels.dtype == np.uint8
    if not fits or (objects is not None and objects.shape != labels.shape) or not labels.size:
        raise ValueError("an image and a mask that do not fit together")
    volume, z = str(entry.get("volume", "")), int(entry.get("z", 0))
    return RehearsalCrop(str(entry["id"]), image, labels, objects, str(entry["source"]), volume, z)
