from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from npe2 import PluginManifest

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "src" / "napari_unet" / "napari.yaml"


def test_the_manifest_is_valid_and_every_command_can_be_imported() -> None:
    manifest = PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()
    assert manifest.name == "napari-unet-workbench"
    assert (ROOT / "napari.yaml").resolve() == MANIFEST.resolve()


@pytest.mark.parametrize("kind", ["salt", "nerve", "nuclei", "membranes"])
def test_samples_are_layers_that_fit_together(kind: str) -> None:
    from napari_unet.plugin import sample_data

    (image, about, first), (labels, _, second) = getattr(sample_data, kind)()
    assert (first, second) == ("image", "labels")
    assert image.shape[:3] == labels.shape
    assert about["rgb"] == (image.ndim == 4)
    assert labels.dtype == np.int32
    assert labels.max() >= 1
