"""Exporting the masks of a session: as corrected, else as predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.engine.task import FromCaller
from napari_unet.metrics.object_confidence import ObjectConfidence
from napari_unet.project.corrections.correction import IGNORE
from napari_unet.workflow.export.mask_sources import CallerMasks, HandedMask
from napari_unet.workflow.inputs.image_reference import refer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.data.files.pixel_size import PixelSize
    from napari_unet.session.workspace import Workspace


ALL = 1 - 1e-9  # of an image


def exportable(workspace: Workspace) -> dict[str, tuple[str, ...]]:
    """Ids of the images that have masks: "image" (the current one), "all", and "done"."""
    rows = [row for row in workspace.rows() if row.status != "new"]
    every = tuple(row.id for row in rows)
    return {
        "image": tuple(i for i in every if i == workspace.current),
        "all": every,
        "done": tuple(row.id for row in rows if row.status == "done"),
    }


def segmented_in_part(workspace: Workspace, identifiers: Sequence[str]) -> str:
    """Why images cannot be exported as a whole, in a sentence; empty if they can.

    A mask that a person made or verified is whole whatever a model was put on.
    """
    collection = workspace.collection
    assert collection is not None
    for identifier in identifiers:
        entry = collection.entries[identifier]
        if entry.has_strokes_only and not entry.is_whole:
            return f"{identifier} has strokes only. Segment it, or use its preview, then export it."
        if entry.disk is not None:
            share = entry.disk.share
            part = share < ALL
        else:
            share = 0.0
            part = entry.prediction is not None and not entry.is_whole and not entry.is_corrected
        if part:
            much = f" ({100 * share:.2g} %)" if share else ""
            return f"Only a part of {identifier}{much} is segmented. Segment this image, then export it."
    return ""


def current_masks(
    workspace: Workspace, identifiers: Sequence[str], pixel_sizes: Mapping[str, PixelSize] | None = None
) -> CallerMasks:
    """Masks and objects of images, as they are when the export comes to them.

    Parameters
    ----------
    workspace : Workspace
        With a collection.
    identifiers : sequence of str
        Of its images.
    pixel_sizes : mapping, optional
        Of images whose size of a pixel is known; else what the file says.

    Returns
    -------
    CallerMasks
        Pixels that are ignored count as background.
    """
    collection = workspace.collection
    assert collection is not None
    settings = workspace.inference
    highest = len(collection.classes)
    handed: dict[str, HandedMask] = {}

    def mask(identifier: str) -> NDArray[np.uint8] | Path | None:
        entry = collection.entries[identifier]
        if entry.disk is not None:
            entry.disk.flush()
            return entry.disk.path  # no large mask travels between processes
        corrected = entry.is_corrected
        found = collection.mask(identifier, settings)
        if found is None:
            return None
        if entry.has_strokes_only:  # the model says what nobody painted
            predicted = collection.predicted_mask(identifier, settings)
            found = found if predicted is None else np.where(found == IGNORE, predicted, found)
        known: NDArray[np.uint8] = np.where(found > highest, 0, found).astype(np.uint8)
        joined = collection.joined(identifier)
        handed[identifier] = HandedMask(
            known if corrected else None,
            entry.prediction,
            collection.objects(identifier, known, settings) if joined is not None else None,
        )
        return known

    def objects(identifier: str) -> NDArray[np.int32]:
        found = mask(identifier)
        assert isinstance(found, np.ndarray)
        return collection.objects(identifier, found, settings)

    def ties(identifier: str) -> tuple[tuple[int, int, int], ...]:
        prediction = collection.entries[identifier].prediction
        return () if prediction is None else prediction.ties

    about: dict[str, Any] = {"threshold": settings.threshold, "minimum_size": settings.minimum_size}
    if workspace.model is not None:
        about["model"] = workspace.model.name
    return CallerMasks(
        tuple(refer(collection.entries[i].sample, collection.dataset) for i in identifiers),
        FromCaller(mask),
        tuple(collection.classes),
        FromCaller(objects),
        pixel_sizes=dict(pixel_sizes or {}),
        about=about,
        handed=handed,
        said=FromCaller(collection.said),
        ties=FromCaller(ties) if highest > 1 else None,
        confidence=None if workspace.model is None else ObjectConfidence.of(workspace.model.provenance),
    )
