"""Opening data sets in napari: folders, zips, tables, the stack train-volume.tif, files of microscopes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.data.catalog import find_format, open_dataset, open_image_file
from napari_unet.data.files.decoders.microscope_files import PLUGINS
from napari_unet.data.masks.mask_reading import MaskReading, reading_masks
from napari_unet.errors import DataError, WorkbenchError
from napari_unet.plugin.commands import show_workbench_later
from napari_unet.plugin.dataset_layers import layers_of
from napari_unet.session.auto_project import remembered_masks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_unet.data.dataset import Dataset
    from napari_unet.plugin.dataset_layers import LayerData

CHUNKED = {".zarr", ".n5"}  # folders of any number of files, none of them an image
CHUNKED_MARKS = (".zgroup", ".zarray", "zarr.json", "attributes.json")


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerData]] | None:
    """What napari asks first: whether this is a data set.

    Parameters
    ----------
    path : str or list of str
        What was dropped or chosen.

    Returns
    -------
    callable or None
        Reads the layers; None where it is not a data set that we know, so that other plugins have
        their turn. A folder, or a damaged zip, is ours, because reading it says what is wrong with it.
    """
    if not isinstance(path, str):
        return None
    place = Path(path)
    if not place.exists() or _is_chunked(place):
        return None
    if place.suffix.lower() in PLUGINS:
        return read  # napari has no reader of its own for them: ours says what to install
    try:
        layout = find_format(place)
    except DataError:
        return read
    # napari ends with a traceback where it has chosen us for a folder and we want nothing of it.
    return read if layout is not None or place.is_dir() else None


def _is_chunked(path: Path) -> bool:
    return path.suffix.lower() in CHUNKED or any((path / mark).exists() for mark in CHUNKED_MARKS)


def read(path: str) -> list[LayerData]:
    """Read a data set, and show the dock where there is a viewer.

    Parameters
    ----------
    path : str
        Of a folder, zip, table or stack.

    Returns
    -------
    list of tuple
        As ``dataset_layers.layers_of``.

    Raises
    ------
    DataError
        If something is wrong with the data set; the sentence says what.
    """
    try:
        layers = layers_of(_opened(path))
    except WorkbenchError as error:
        if not _viewer_is_open():
            raise
        # An error would end a napari that was started with this folder, with a traceback.
        from napari.utils.notifications import show_error

        show_error(error.sentence)
        return [(None,)]  # type: ignore[list-item]
    show_workbench_later(layers)
    return layers


def _opened(path: str) -> Dataset:
    """A data set, whose masks are read as a person wanted it when a project of its own was last in use."""
    if Path(path).suffix.lower() in PLUGINS:
        return open_image_file(Path(path))
    dataset = open_dataset(path)
    said = remembered_masks(dataset) if dataset.several_values and not dataset.masks_are else ""
    if not said:
        return dataset
    with reading_masks(MaskReading(said)):
        return open_dataset(path)


def _viewer_is_open() -> bool:
    from napari import current_viewer

    return current_viewer() is not None
