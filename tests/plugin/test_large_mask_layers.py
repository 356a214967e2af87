"""A layer that shows a part of a mask on disk is saved as the whole mask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tifffile

from napari_unet.plugin.writer import write_tiff
from napari_unet.session.images.layer_metadata import LARGE_MASK_KEY
from support.large_masks import write_large_mask

if TYPE_CHECKING:
    from pathlib import Path


def test_the_lens_is_saved_as_all_of_the_mask(tmp_path: Path) -> None:
    probabilities = np.random.default_rng(0).random((90, 80, 1)).astype(np.float32)
    mask = write_large_mask(tmp_path / "a.ome.zarr", probabilities)
    about = {"metadata": {LARGE_MASK_KEY: str(tmp_path / "a.ome.zarr")}, "name": "U-Net mask"}
    for path in ("a.tif", "a.ome.tif"):
        write_tiff(str(tmp_path / path), mask[10:40, 10:40], about)
        np.testing.assert_array_equal(tifffile.imread(tmp_path / path) > 0, mask > 0)
