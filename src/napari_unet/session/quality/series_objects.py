"""The open images as a time series: which of their objects are one, and what becomes of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_unet.errors import WorkbenchError
from napari_unet.project.corrections.correction import IGNORE
from napari_unet.workflow.inputs.stack_objects import StackObjects, series_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_unet.metrics.objects_over_time import ObjectInTime
    from napari_unet.session.images.collection import Collection
    from napari_unet.session.quality.object_tables import ObjectTables
    from napari_unet.session.task_runner import TaskRunner
    from napari_unet.session.workspace import Workspace
    from napari_unet.settings import InferenceSettings


@dataclass(frozen=True, eq=False)
class FollowedObjects:
    """The objects of all images with a mask, linked by overlap.

    Attributes
    ----------
    keys : dict
        Id of each image to what its objects were made of, see ``ObjectTables.key``.
    frames : dict
        Id to the number of the image in its series, from 1.
    numbers : dict
        Id to (highest number + 1,) int32: for each object of the image its number in the series.
    series : dict
        Name of each series to what becomes of its objects.
    """

    keys: Mapping[str, Any]
    frames: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, NDArray[np.int32]] = field(default_factory=dict)
    series: dict[str, list[ObjectInTime]] = field(default_factory=dict)


class SeriesObjects:
    """Follows objects over the open images when somebody asks, in the background.

    Parameters
    ----------
    workspace : Workspace
        Whose images and masks.
    runner : TaskRunner
        Has a thread for it.
    tables : ObjectTables
        Knows of which mask the objects of an image are.
    """

    changed = Signal()

    def __init__(self, workspace: Workspace, runner: TaskRunner, tables: ObjectTables) -> None:
        self.workspace, self._runner, self._tables = workspace, runner, tables
        self.found: FollowedObjects | None = None
        self.busy = False
        workspace.collection_changed.connect(self._forget)

    def _forget(self) -> None:
        self.found = None

    @property
    def _keys(self) -> dict[str, Any]:
        collection = self.workspace.collection
        every = {i: self._tables.key(i) for i in collection.ids} if collection is not None else {}
        return {i: key for i, key in every.items() if key is not None}

    @property
    def is_current(self) -> bool:
        """Whether what was found is of the masks as they are now."""
        return self.found is not None and self.found.keys == self._keys

    def want(self) -> None:
        """Follow the objects of all images, unless that is done."""
        collection, keys = self.workspace.collection, self._keys
        if self.busy or collection is None or self.is_current:
            return
        self.busy = True
        settings = self.workspace.inference

        def work() -> None:
            found = None
            try:
                found = follow(collection, keys, settings)
            finally:
                self._runner.dispatch(lambda: self._take(collection, found))

        self._runner.in_background(work)

    def _take(self, collection: Collection, found: FollowedObjects | None) -> None:
        self.busy = False
        if found is not None and collection is self.workspace.collection:
            self.found = found
        self.changed.emit()


def follow(collection: Collection, keys: Mapping[str, Any], settings: InferenceSettings) -> FollowedObjects:
    """Follow objects over the images of a collection, in their order; in any thread.

    Parameters
    ----------
    collection : Collection
        The images. A stack is a series; the other images of a folder are one.
    keys : mapping
        Ids of those that have a mask, and what that is made of.
    settings : InferenceSettings
        How masks and objects are made.
    """
    found = FollowedObjects(keys)
    stacks = StackObjects(linked=True, over_time=True)
    places = series_of(collection.entries[i].sample for i in collection.ids)
    for identifier in collection.ids:
        try:
            mask = collection.mask(identifier, settings) if identifier in keys else None
        except (WorkbenchError, OSError, ValueError):
            mask = None  # it is said where the mask is shown
        if mask is None:
            continue
        known = np.where(mask == IGNORE, 0, mask).astype(np.uint8)
        objects = collection.objects(identifier, known, settings)
        numbered = stacks.number(objects, known, places[identifier])
        table = np.zeros(int(objects.max(initial=0)) + 1, np.int32)
        table[objects.ravel()] = numbered.ravel()
        found.numbers[identifier] = table
        found.frames[identifier] = places[identifier].place + 1
    for name, over_time in stacks.series.items():
        found.series[name] = over_time.finish()
    return found
