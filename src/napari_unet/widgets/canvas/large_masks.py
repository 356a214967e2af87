"""Images too large to be segmented as a whole: their masks are on disk, and grow from where one looks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

from napari_unet.data.file_names import safe_stem
from napari_unet.engine.task import FromCaller
from napari_unet.export.label_store import UNFINISHED
from napari_unet.settings import LargeImageSettings
from napari_unet.widgets.canvas.layer_images import OURS, image_shape, view_of
from napari_unet.widgets.canvas.layer_styles import class_colormap
from napari_unet.workflow.inputs.image_reference import refer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.engine.task import Job
    from napari_unet.models.card import ModelCard
    from napari_unet.progress import Progress
    from napari_unet.session.session import Session
    from napari_unet.settings import InferenceSettings
    from napari_unet.widgets.canvas.image_source import ImageSource
    from napari_unet.widgets.parts.preferences import Preferences

SHOWN = "large mask"  # what a layer of such a mask says of itself
REFRESH = 500  # milliseconds between two looks at what has been finished
LOOK = 200  # milliseconds between two looks at where a person looks
ELSEWHERE = "napari-unet-masks"  # folder in the person's own, for images that are in no file


@dataclass(frozen=True, eq=False)
class Making:
    """What is being segmented, whatever else the person goes to meanwhile.

    Attributes
    ----------
    image : napari layer
        Of the image.
    name : str
        What the layer of its mask is called.
    classes : int
        Of the model.
    """

    image: Any
    name: str
    classes: int


class LargeMasks(QObject):  # type: ignore[misc]
    """Has large images segmented block by block, and shows what is there.

    Parameters
    ----------
    viewer : napari.Viewer
        Gets a layer for each mask.
    session : Session
        Runs the task.
    image_source : ImageSource
        Knows the layer of the current image.
    """

    def __init__(self, viewer: Any, session: Session, image_source: ImageSource, parent: QObject) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.session = session
        self.image_source = image_source
        self.layer: Any = None  # of the mask that is being made
        self._seen: tuple[int, float, float] | None = None
        self._making: Making | None = None
        self._look = QTimer(self)
        self._look.setInterval(LOOK)
        self._look.timeout.connect(self._where)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(REFRESH)
        self._soon.timeout.connect(self._refresh)

    def close(self) -> None:
        """Look at nothing any more."""
        self._look.stop()
        self._soon.stop()

    def segment(self, identifiers: Sequence[str], preferences: Preferences) -> bool:
        """Segment this way, if it is one image, that is large, and the model can; says whether it is."""
        session, layer = self.session, self.image_source.layer
        if len(identifiers) != 1 or identifiers[0] != session.workspace.current or layer is None:
            return False
        shape = image_shape(layer)
        if shape[0] * shape[1] <= preferences.large_megapixels * 1e6:
            return False
        assert session.workspace.collection is not None
        assert session.workspace.model is not None
        if not goes_by_blocks(session.workspace.model, session.workspace.inference):
            return False
        sample = session.workspace.collection.entries[session.workspace.current].sample
        name = f"{session.workspace.current} {session.workspace.model.name}"
        self._making = Making(layer, f"{name}: mask on disk", len(session.workspace.model.classes))
        self._where()
        from napari_unet.workflow.large_images.segment_layer import (
            SegmentLayerTask,  # of no use to the dock when it opens
        )

        task = SegmentLayerTask(
            session.workspace.model.path,
            refer(sample, session.workspace.collection.dataset),
            shape,
            folder_for(layer.source.path),
            safe_stem(name),
            session.workspace.inference,
            LargeImageSettings(memory=preferences.memory),
            FromCaller(lambda: self._seen),
            preferences.cluster,
            self.image_source.pixel_sizes([session.workspace.current]).get(session.workspace.current),
        )
        self._look.start()
        session.runner.run(task, 0, self._on_progress, self._on_end)
        return True

    def _on_progress(self, progress: Progress) -> None:
        from napari_unet.workflow.large_images.segment_layer import LargeMask

        if isinstance(progress.piece, LargeMask):
            self._show(progress.piece.path)
        elif progress.piece is not None and not self._soon.isActive():
            self._soon.start()

    def _on_end(self, job: Job) -> None:
        self._look.stop()
        self._soon.stop()
        if job.state == "done":
            self._show(job.result)  # it has its name only now
        self._refresh()

    def _where(self) -> None:
        """Keep in mind what is in the middle of the view, for who asks from another thread."""
        image = self._making.image if self._making is not None else None
        if image not in self.viewer.layers:
            return
        view = view_of(image, image_shape(image)[:2])
        if view is not None:
            self._seen = (0, (view[0] + view[2]) / 2, (view[1] + view[3]) / 2)

    def _show(self, path: Path) -> None:
        """Show labels on disk, in the layer there is of them."""
        import zarr

        making = self._making
        assert making is not None
        group = zarr.open_group(path, mode="r")
        datasets = group.attrs["ome"]["multiscales"][0]["datasets"]
        levels = [group[one["path"]] for one in datasets]
        data = levels if len(levels) > 1 else levels[0]
        mark = (SHOWN, str(path).removesuffix(UNFINISHED))
        self.layer = next((one for one in self.viewer.layers if one.metadata.get(OURS) == mark), None)
        if self.layer is not None:
            self.layer.data = data
            return
        self.layer = self.viewer.add_labels(
            data,
            multiscale=len(levels) > 1,
            name=making.name,
            colormap=class_colormap(making.classes),
            scale=making.image.scale[-2:],
            translate=making.image.translate[-2:],
            metadata={OURS: mark},
        )

    def _refresh(self) -> None:
        if self.layer in self.viewer.layers:
            self.layer.refresh()


def goes_by_blocks(model: ModelCard, settings: InferenceSettings) -> bool:
    """Whether a model can be asked block by block; the others see an image as a whole, as small ones are."""
    network = model.recipe.network
    whole = settings.refinement or (network.presence and settings.least_presence)
    return not (model.members or network.separation == "objects" or whole)


def folder_for(source: str | None) -> Path:
    """Where the mask of an image goes: beside its file, else into a folder of the person's own."""
    if source is not None and Path(source).exists() and os.access(Path(source).parent, os.W_OK):
        return Path(source).parent
    return Path.home() / ELSEWHERE
