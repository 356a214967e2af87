"""What is damaged, and the functions of the program that read it, as command line and window call them."""

from __future__ import annotations

import fnmatch
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fuzzing import model_seeds, seeds

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fuzzing.seeds import Files


@dataclass(frozen=True)
class Kind:
    """One kind of input.

    Attributes
    ----------
    seeds : callable
        () -> whole inputs, each as its files.
    read : callable
        (folder) -> anything; opens what is there and reads all of it. Only errors for a person may come out.
    damaged : tuple of str
        Patterns of the names of files that are damaged.
    share : float
        Of all inputs, beside those of other kinds.
    keras : bool
        Whether reading needs Keras.
    """

    seeds: Callable[[], list[Files]]
    read: Callable[[Path], object]
    damaged: tuple[str, ...] = ("*",)
    share: float = 1.0
    keras: bool = False

    def targets(self, files: Files) -> list[str]:
        """The files of an input that are damaged."""
        return [name for name in files if any(fnmatch.fnmatch(name, p) for p in self.damaged)]


def read_image(folder: Path) -> None:
    """As an image, as a mask, and by region."""
    from napari_unet.data.catalog import open_images
    from napari_unet.data.files.decoders.image_kinds import TIFF_SUFFIXES
    from napari_unet.data.files.lazy_files import open_lazy
    from napari_unet.data.files.lazy_tiff import pixels_of_tiff
    from napari_unet.data.files.pixel_size import read_pixel_size
    from napari_unet.data.masks.mask_pixels import decode_labels
    from napari_unet.errors import WorkbenchError

    (path,) = folder.iterdir()
    with suppress(WorkbenchError):
        decode_labels(path.read_bytes(), path.name, None)
    if path.suffix in TIFF_SUFFIXES:
        read_pixel_size(path)
        pixels_of_tiff(path)
        with suppress(WorkbenchError):
            look_at(open_lazy(path))
    for sample in open_images([path]):
        sample.read_image()


def look_at(stack: object) -> None:
    """Read some of a large image."""
    stack.fingerprint  # type: ignore[attr-defined]  # noqa: B018 - reads patches
    for index in stack.indices[:3]:  # type: ignore[attr-defined]
        height, width, _ = stack.shape  # type: ignore[attr-defined]
        stack.read(index, slice(0, min(height, 64)), slice(0, min(width, 64)))  # type: ignore[attr-defined]


def read_folder(folder: Path) -> None:
    """As a data set, all of it."""
    _read_dataset(folder)


def read_zip(folder: Path) -> None:
    """As a data set in a zip, and its images alone."""
    from napari_unet.data.catalog import open_images
    from napari_unet.errors import WorkbenchError

    with suppress(WorkbenchError):
        open_images([folder / "a.zip"])
    _read_dataset(folder / "a.zip")


def _read_dataset(path: Path) -> None:
    from napari_unet.data.catalog import find_format, open_dataset
    from napari_unet.data.inspection.inspect_dataset import inspect_dataset
    from napari_unet.errors import WorkbenchError

    find_format(path)
    dataset = open_dataset(path)
    inspect_dataset(dataset).summary()
    for sample in dataset.unlabelled:
        with suppress(WorkbenchError):
            sample.read_image()


def read_tables(folder: Path) -> None:
    """As a data set, and as a submission."""
    from napari_unet.data.masks.mask_tables import read_mask_table
    from napari_unet.errors import WorkbenchError

    with suppress(WorkbenchError):
        read_mask_table(folder / "table.csv")
    _read_dataset(folder / "table.csv")


def read_array(folder: Path) -> None:
    """As an image beside a record, or in a packed project."""
    from napari_unet.data.lossless_images import read_exactly

    read_exactly(folder / "a.npy")


def read_zarr(folder: Path) -> None:
    """As a large image."""
    from napari_unet.data.files.lazy_files import open_lazy

    look_at(open_lazy(folder / "a.ome.zarr"))


def read_model(folder: Path) -> None:
    """What it says of itself, then the network."""
    from napari_unet.models.card import ModelCard, find_models
    from napari_unet.models.ensemble import Ensemble, load_any
    from napari_unet.models.shipped import locate

    find_models(folder)
    (path,) = folder.iterdir()
    card = ModelCard.read(locate(path))
    _ = (card.name, card.trained_on, card.members, card.validation_iou, card.mismatch(2))
    model = load_any(path)
    if isinstance(model, Ensemble):
        list(model.models())
    else:
        _ = model.hash


def read_import(folder: Path) -> None:
    """As a file of Keras to be imported."""
    from napari_unet.progress import CancelToken, ignore_progress
    from napari_unet.workflow.import_model import ImportModelTask

    (file,) = (p for p in folder.iterdir() if p.suffix in {".keras", ".h5"})
    ImportModelTask(file, folder / "settings.json", folder / "out").run(ignore_progress, CancelToken())


def read_project(folder: Path) -> None:
    """Looked at, then opened and closed, corrections and history read."""
    from napari_unet.errors import WorkbenchError
    from napari_unet.project.project import Project
    from napari_unet.project.status import status_lines

    for read_only in (True, False):
        with Project.open(folder / "project", read_only=read_only) as project:
            with suppress(WorkbenchError):
                status_lines(project)
            for identifier in project.ids:
                with suppress(WorkbenchError, KeyError):
                    project.corrections[identifier].mask  # noqa: B018 - reads a file
                with suppress(WorkbenchError):
                    project.corrections.versions(identifier)
                with suppress(WorkbenchError):
                    project.images.sample(identifier).read_image()
            with suppress(WorkbenchError):
                project.models.compare(1, 2)
            with suppress(WorkbenchError):
                project.models.ancestors(2)


def read_split(folder: Path) -> None:
    """As a split."""
    from napari_unet.data.split import Split

    Split.load(folder / "split.json").part_of("a")


def read_record(folder: Path) -> None:
    """As what `run` repeats; images and masks beside it are read."""
    from napari_unet.errors import WorkbenchError
    from napari_unet.workflow.replay.recorded_images import RecordedImages
    from napari_unet.workflow.replay.run_record import RunRecord, images_of, programs_differ

    record = RunRecord.load(folder / "record.json")
    _ = (record.by_time, record.changes(), programs_differ(record.program))
    opened = RecordedImages()
    for images in images_of(record.run).values():
        for image in images:
            with suppress(WorkbenchError):
                sample = opened.sample(image)
                sample.read_image()
                sample.read_region(slice(0, 4), slice(0, 4))
                if sample.has_mask:
                    sample.read_mask()


def read_state(folder: Path) -> None:
    """As what `train --resume` begins with."""
    from napari_unet.training.checkpoint import load_state

    load_state(folder / "training-state.npz")


KINDS: dict[str, Kind] = {
    **{
        name: Kind(made, read_image, share=1.5 if "TIFF" in name else 1.0)
        for name, made in seeds.IMAGES.items()
    },
    "data set": Kind(seeds.dataset_seeds, read_folder),
    "CSV": Kind(seeds.table_seeds, read_tables, ("*.csv",)),
    "zip": Kind(seeds.zip_seeds, read_zip),
    "NPY": Kind(seeds.npy_seeds, read_array),
    "OME-Zarr": Kind(seeds.zarr_seeds, read_zarr),
    "split": Kind(seeds.split_seeds, read_split, share=0.5),
    "project": Kind(model_seeds.project_seeds, read_project, ("project/*",), 1.5),
    "run record": Kind(model_seeds.record_seeds, read_record, ("record*",)),
    "training state": Kind(model_seeds.state_seeds, read_state, share=0.5),
    "settings.json": Kind(model_seeds.model_seeds, read_model, ("*.json",), 1.0, True),
    "weights": Kind(model_seeds.model_seeds, read_model, ("*.h5",), 1.0, True),
    "model zip": Kind(
        lambda: [{"model.zip": seeds.packed(model_seeds.model_files())}], read_model, share=0.5, keras=True
    ),
    "ensemble": Kind(model_seeds.ensemble_seeds, read_model, share=0.5, keras=True),
    "Keras file": Kind(model_seeds.import_seeds, read_import, ("*.keras", "*.h5"), 0.5, True),
}
