"""Whether a model can segment without Keras, whose import takes most of the time until a first mask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.engine.hardware import default_precision, may_have_gpu
from napari_unet.errors import WorkbenchError
from napari_unet.models import native
from napari_unet.models.model import program_key_of
from napari_unet.models.shipped import locate
from napari_unet.networks.onnx.remembered import is_remembered

if TYPE_CHECKING:
    from pathlib import Path


def runs_without_keras(path: Path) -> bool:
    """Whether an earlier process compiled the model, for the processor of this machine.

    Parameters
    ----------
    path : pathlib.Path
        Folder of a model, or the name of one that comes with the program. Of zips and ensembles the answer
        is no, and whoever loads one imports Keras.
    """
    try:
        folder = locate(path)
        if may_have_gpu() or not native.is_chosen() or not folder.is_dir():
            return False
        return is_remembered(program_key_of(folder, default_precision()))
    except (OSError, WorkbenchError):
        return False  # said where the model is read
