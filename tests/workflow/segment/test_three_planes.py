"""Volumes in three planes: what a network of images says along z, y and x, averaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from napari_unet.data.catalog import open_images
from napari_unet.data.volumes.voxel_size import parse_voxel_size
from napari_unet.models.model import load_model
from napari_unet.progress import CancelToken, ignore_progress
from napari_unet.settings import InferenceSettings
from napari_unet.workflow.segment.segment_samples import Segmentation, segment_samples
from napari_unet.workflow.segment.segment_task import SegmentTask
from support.errors import raises_code
from support.tiny_models import without_graphs
from support.volume_models import thresholding

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.models.model import Model
    from napari_unet.settings import Dimensions

SHAPE = (6, 8, 10)
PLACE = (2, 3, 4)


def write(file: Path, bright: np.ndarray, spacing: float = 0.25) -> None:
    """Write an ImageJ stack of voxels 0.25 um wide; spacing 0: it says nothing of their size."""
    values = np.where(bright, 200, 0).astype(np.uint8)
    size = {"spacing": spacing, "unit": "um"} if spacing else {}
    resolution = (4.0, 4.0) if spacing else None
    tifffile.imwrite(file, values, imagej=True, resolution=resolution, metadata={"axes": "ZYX", **size})


def one_bright() -> np.ndarray:
    """(Z, Y, X) bool: one voxel, and something in the corner of each slice, so that none is blank."""
    bright = np.zeros(SHAPE, bool)
    bright[PLACE] = True
    bright[:, 0, 0] = True
    return bright


def model_of(path: Path, dimensions: Dimensions, behind: int = 0) -> Model:
    """See ``thresholding``; computed without a graph."""
    without_graphs()
    return load_model(thresholding(path, dimensions, behind))


def segmented(path: Path, model: Model, **options: bool) -> list[Segmentation]:
    """All slices of a stack, in three planes."""
    settings = InferenceSettings(flips="none", orthogonal=True)
    return list(segment_samples(open_images([path]), model, settings, **options))  # type: ignore[arg-type]


def test_a_network_that_looks_behind_looks_along_all_three_axes(tmp_path: Path) -> None:
    write(tmp_path / "em.tif", one_bright())
    model = model_of(tmp_path / "model", "2.5d", behind=1)
    found = segmented(tmp_path / "em.tif", model)
    z, y, x = PLACE
    probability = np.stack([one.probabilities[..., 0] for one in found])
    for place in ((z + 1, y, x), (z, y + 1, x), (z, y, x + 1)):
        assert probability[place] == pytest.approx(1 / 3, abs=1e-3)
    assert probability[PLACE] == pytest.approx(0, abs=1e-3)
    assert probability[:, 3:].sum() == pytest.approx(1, abs=0.02)
    # The corner is bright in all slices: behind it along z, beyond it along y and x.
    assert probability[3, 0, 0] == pytest.approx(1 / 3, abs=1e-3)
    assert not np.stack([one.mask for one in found])[:, 3:].any()


@pytest.mark.parametrize("dimensions", ["2d", "2.5d"])
def test_what_looks_alike_along_all_axes_stays_as_it_is(tmp_path: Path, dimensions: Dimensions) -> None:
    bright = one_bright()
    write(tmp_path / "em.tif", bright)
    found = segmented(tmp_path / "em.tif", model_of(tmp_path / "model", dimensions))
    np.testing.assert_array_equal(np.stack([one.mask for one in found]) > 0, bright)


def test_some_slices_are_seen_with_those_around_them(tmp_path: Path) -> None:
    write(tmp_path / "em.tif", one_bright())
    model = model_of(tmp_path / "model", "2.5d", behind=1)
    settings = InferenceSettings(flips="none", orthogonal=True)
    samples = list(open_images([tmp_path / "em.tif"]))
    (alone,) = segment_samples(samples[3:4], model, settings)
    whole = segmented(tmp_path / "em.tif", model)[3]
    np.testing.assert_array_equal(alone.probabilities, whole.probabilities)
    assert alone.probabilities[3, 4, 0] == pytest.approx(1 / 3, abs=1e-3)


def test_a_slice_in_which_there_is_nothing_to_see_stays_empty(tmp_path: Path) -> None:
    bright = one_bright()
    bright[4] = True
    write(tmp_path / "em.tif", bright)
    found = segmented(tmp_path / "em.tif", model_of(tmp_path / "model", "2d"))
    assert not found[4].probabilities.any()
    assert found[2].mask[3, 4] == 1


def test_where_the_three_answers_differ_they_disagree(tmp_path: Path) -> None:
    write(tmp_path / "em.tif", one_bright())
    model = model_of(tmp_path / "model", "2.5d", behind=1)
    apart = segmented(tmp_path / "em.tif", model, disagreement=True)[3].disagreement
    assert apart is not None
    assert apart[3, 4] == pytest.approx(np.sqrt(1 / 3 * 2 / 3), abs=1e-3)  # two say 0, one says 1
    assert apart[5, 5] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("disagreement", [False, True])
def test_thick_slices_are_looked_at_alone_which_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, disagreement: bool
) -> None:
    write(tmp_path / "em.tif", one_bright(), spacing=0.75)
    model = model_of(tmp_path / "model", "2d")
    found = segmented(tmp_path / "em.tif", model, disagreement=disagreement)
    assert "em_000 to em_005 looks different along z (voxels of 0.75 x 0.25 x 0.25" in caplog.text
    plain = InferenceSettings(flips="none")
    samples = open_images([tmp_path / "em.tif"])
    expected = list(segment_samples(samples, model, plain, disagreement=disagreement))
    assert len(found) == len(expected) == len(one_bright())
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.probabilities, other.probabilities)


def test_where_files_say_nothing_the_model_is_asked_and_else_a_person_knows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "em.tif", one_bright(), spacing=0)
    model = model_of(tmp_path / "model", "2d")
    assert len(segmented(tmp_path / "em.tif", model)) == len(one_bright())
    assert sum("taken for cubic" in message for message in caplog.messages) == 1
    training = model.recipe.training.model_copy(update={"voxel_size": "50x5x5nm"})
    model.recipe = model.recipe.model_copy(update={"training": training})
    segmented(tmp_path / "em.tif", model)
    assert "looks different along z (voxels of 50 x 5 x 5 nm)" in caplog.text


def test_a_network_in_three_dimensions_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "em.tif", one_bright())
    with raises_code("settings.planes.unsupported", "three dimensions"):
        segmented(tmp_path / "em.tif", model_of(tmp_path / "model", "3d"))


def test_an_image_that_is_no_slice_has_one_plane(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bright = one_bright()[2]
    tifffile.imwrite(tmp_path / "alone.tif", np.where(bright, 200, 0).astype(np.uint8))
    (found,) = segmented(tmp_path / "alone.tif", model_of(tmp_path / "model", "2d"))
    np.testing.assert_array_equal(found.mask, bright)
    assert "1 image is no slice of a volume" in caplog.text


def test_a_two_dimensional_model_writes_a_volume_whose_objects_are_in_three_dimensions(
    tmp_path: Path,
) -> None:
    bright = np.zeros(SHAPE, bool)
    bright[:, 1:3, 1:4] = True
    bright[[0, 1, 4, 5], 5:7, 6:9] = True
    write(tmp_path / "em.tif", bright)
    model_of(tmp_path / "model", "2d")
    task = SegmentTask(
        (tmp_path / "em.tif",), tmp_path / "model", tmp_path / "out", objects=True,
        settings=InferenceSettings(flips="none", orthogonal=True),
    )  # fmt: skip
    (written,) = task.run(ignore_progress, CancelToken())
    assert written.name == "em.ome.tif"
    found = tifffile.imread(written)
    np.testing.assert_array_equal(found > 0, bright)
    assert found.max() == 3
    assert (tmp_path / "out" / "em.objects.csv").is_file()


def test_about_cubic_is_up_to_thirty_per_cent() -> None:
    sizes = [parse_voxel_size(f"{z}x10x10nm") for z in (10, 12.9, 13.1, 7.8, 7.6)]
    assert [one.is_cubic for one in sizes] == [True, True, False, True, False]
    assert not parse_voxel_size("10x14x7nm").is_cubic
