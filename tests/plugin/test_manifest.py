from __future__ import annotations

import pickle
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from npe2 import PluginManifest

from napari_unet.plugin import sample_data
from napari_unet.session.images.layer_metadata import METADATA_KEY

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "src" / "napari_unet" / "napari.yaml"


def test_the_manifest_is_valid_and_every_command_can_be_imported() -> None:
    manifest = PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()
    assert manifest.name == "napari-unet-workbench"
    assert (ROOT / "napari.yaml").resolve() == MANIFEST.resolve()


@pytest.mark.parametrize("kind", ["salt", "nerve", "nuclei", "membranes"])
def test_samples_are_layers_that_know_their_data_set(kind: str) -> None:
    (image, about, first), (labels, about_labels, second) = getattr(sample_data, kind)()
    assert (first, second) == ("image", "labels")
    assert image.shape[: labels.ndim] == labels.shape
    assert about["rgb"] == (image.ndim > labels.ndim)
    assert np.asarray(labels).max() >= 1
    opened = about["metadata"][METADATA_KEY]
    assert about_labels["metadata"][METADATA_KEY].dataset is opened.dataset
    assert len(opened.dataset) == sample_data.COUNT
    assert len(opened.ids) == (1 if labels.ndim == 2 else len(labels))
    sample = opened.dataset.samples[0]
    assert sample.read_mask().labels.shape == sample.read_image().shape[:2]


def test_samples_can_travel_to_another_process() -> None:
    samples = sample_data.synthetic_dataset("nerve", 2).samples
    back = pickle.loads(pickle.dumps(samples))
    np.testing.assert_array_equal(back[1].read_image(), samples[1].read_image())
    assert [sample.group for sample in back] == ["subject 1", "subject 1"]


def test_the_icon_is_in_the_package() -> None:
    icon = PluginManifest.from_file(MANIFEST).icon
    assert isinstance(icon, str)
    package, name = icon.split(":")
    assert resources.files(package).joinpath(name).read_text().startswith("<svg")


def test_menus_are_ones_that_napari_has() -> None:
    from napari._app_model.constants import MenuId

    menus = PluginManifest.from_file(MANIFEST).contributions.menus
    assert set(menus) <= {str(menu) for menu in MenuId.contributables()}
