"""Trainings that start from the ImageNet weights in the program, and what they say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from napari_unet.cli import main
from napari_unet.engine.inline import run_inline
from napari_unet.evaluation.methods import methods_text
from napari_unet.inference.tiling import TilingPlan
from napari_unet.models.model import load_model
from napari_unet.networks import efficientnet_lite as lite
from napari_unet.workflow.recipes import recipe
from napari_unet.workflow.train import TrainTask

if TYPE_CHECKING:
    from pathlib import Path
