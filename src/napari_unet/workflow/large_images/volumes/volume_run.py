"""An answer of the network to a tile of a volume becomes a part of the mask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.export.label_store import ANSWERS, HEIGHT, SPREAD
from napari_unet.inference.object_classes import raw_mask, reads_classes
from napari_unet.inference.shapes.contours import refines
from napari_unet.models.normalization import known_pixels
from napari_unet.workflow.large_images.told_apart import SAID
from napari_unet.workflow.large_images.volumes.tile_answers import TileAnswers
from napari_unet.workflow.large_images.volumes.volume_plan import VolumeIntensities

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.export.label_store import LabelStore
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.models.intensities import Intensities
    from napari_unet.settings import Separation
    from napari_unet.workflow.large_images.plan import Block
    from napari_unet.workflow.large_images.volumes.volume_plan import LargeVolume


def write_answer(
    large: LargeVolume,
    model: AnyModel,
    store: LabelStore,
    key: str,
    block: Block,
    outputs: NDArray[np.float32],
    measured: Intensities,
) -> None:
    """Store what the network said of a tile, and write the cells of which nothing lacks any more.

    Parameters
    ----------
    large : LargeVolume
        All of it.
    model : Model
        That answered.
    store : LabelStore
        Of the mask.
    key : str
        Of the array there.
    block : Block
        The tile.
    outputs : numpy.ndarray
        (Z, Y, X, K) float32, as ``VolumePlan.finish`` gives it.
    measured : Intensities
        Of the volume.

    Raises
    ------
    OutputError
        If the disk refuses.
    """
    plan, answers = large.plan, TileAnswers(store.path, block.image)
    index = large.stack.indices[block.image]
    answers.write(block.number, outputs)
    for cell in plan.cells_of(block.number):
        if store.has(key, (*index, *plan.place(cell))) or not all(map(answers.has, plan.tiles_of(cell))):
            continue
        try:
            blended = plan.blend(cell, answers.read)
        except FileNotFoundError:
            continue  # another process has written the cell, and removed what it was made of
        _write_cell(large, model, store, key, block.image, cell, blended, measured)
        for tile in plan.tiles_of(cell):
            if all(store.has(key, (*index, *plan.place(other))) for other in plan.cells_of(tile)):
                answers.forget(tile)


def _write_cell(
    large: LargeVolume,
    model: AnyModel,
    store: LabelStore,
    key: str,
    image: int,
    cell: int,
    blended: NDArray[np.float32],
    measured: Intensities,
) -> None:
    index, (depth, rows, columns) = large.stack.indices[image], large.plan.part(cell)
    if large.spread:
        blended, spread = blended[..., :-1], blended[..., -1]
        store.write(SPREAD, (*index, depth), rows, columns, spread)
    known = _leave_blank(large, blended, image, cell, measured)
    # Rounded as the probabilities of volumes in memory are.
    rounded = blended.astype(np.float16).astype(np.float32)
    classes = len(model.classes)
    probabilities, network = rounded[..., :classes], model.recipe.network
    mask = known  # contours part what holds data, and the mask is made with them
    if not refines(large.settings, classes):
        whole = reads_classes(large.settings, classes, network.separation)
        mask = raw_mask(probabilities, large.settings, network.activation, whole)
    if store.has_answers:
        said = np.moveaxis(rounded, -1, 1).astype(np.float16)
        store.write_channels(ANSWERS, (*index, depth), rows, columns, said)
    if store.has_array(HEIGHT):
        height = height_of(probabilities, rounded[..., classes], mask, network.separation)
        store.write(HEIGHT, (*index, depth), rows, columns, height)
    if store.has_array(SAID):
        said = np.moveaxis(probabilities, -1, 1).astype(np.float16)
        store.write_channels(SAID, (*index, depth), rows, columns, said)
    store.write(key, (*index, depth), rows, columns, mask)  # last: that it is there says that it is finished


def _leave_blank(
    large: LargeVolume, outputs: NDArray[np.float32], image: int, cell: int, measured: Intensities
) -> NDArray[np.uint8]:
    """Nothing is there where there are no data, or a slice is constant; as in volumes in memory.

    Gives (Z, Y, X) uint8: 0 there, elsewhere 1.
    """
    depth, rows, columns = large.plan.part(cell)
    there = np.ones(outputs.shape[:-1], np.uint8)
    if large.stack.slices.may_lack_data:
        values = large.stack.read(large.stack.indices[image], depth, rows, columns)
        for one, of_slice in zip(values, there, strict=True):
            known = known_pixels(one)
            if known is not None:
                of_slice[~known] = 0
    if isinstance(measured, VolumeIntensities):
        for z in measured.blank:
            if depth.start <= z < depth.stop:
                there[z - depth.start] = 0
    outputs[there == 0] = 0
    return there


def height_of(
    probabilities: NDArray[np.float32],
    separation: NDArray[np.float32],
    mask: NDArray[np.uint8],
    kind: Separation,
) -> NDArray[np.float32]:
    """How deep in objects pixels lie, by the network; not yet smoothed.

    Parameters
    ----------
    probabilities : numpy.ndarray
        (..., K) float32 in [0, 1].
    separation : numpy.ndarray
        (...) float32 in [0, 1], the output of the network that tells objects apart.
    mask : numpy.ndarray
        (...) uint8, 0..K.
    kind : str
        What that output was trained to be, "distance" or "border".
    """
    if kind != "border":
        return separation
    of_class = np.maximum(mask, 1).astype(np.intp)[..., None] - 1
    return np.take_along_axis(probabilities, of_class, axis=-1)[..., 0] * (1 - separation)
