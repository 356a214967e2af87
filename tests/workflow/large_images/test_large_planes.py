"""Three planes of volumes block by block: the same as in memory, resumed, with objects."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

from napari_unet.data.catalog import open_images
from napari_unet.data.files.lazy_files import open_lazy
from napari_unet.errors import Cancelled
from napari_unet.inference.volumes import plane_blocks, volume_blocks
from napari_unet.progress import CancelToken, Progress
from napari_unet.settings import LargeImageSettings
from napari_unet.workflow.large_images.segment_large import segment_stack
from napari_unet.workflow.large_images.volumes import plane_plan
from napari_unet.workflow.segment.segment_samples import segment_samples
from support.errors import raises_code
from support.tiny_models import without_graphs
from support.volume_models import SHAPE, made_ensemble, made_model, mask_and_objects, write_noise

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.models.ensemble import AnyModel
    from napari_unet.models.model import Model
    from napari_unet.settings import Dimensions

VOXELS = 4 * 37 * 45  # of a slab


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plane_plan, "SLAB_VOXELS", VOXELS)
    monkeypatch.setattr(plane_blocks, "LARGEST_CELL", 16)
    monkeypatch.setattr(volume_blocks, "LARGEST_CELL", 16)
    without_graphs()


@pytest.fixture
def volume(tmp_path: Path) -> np.ndarray:
    """Smooth noise of cubic voxels, one slice of which is black: a TIFF, an OME-Zarr with thick chunks."""
    return write_noise(tmp_path, 4.0)


def in_memory(tmp_path: Path, model: Model, **changes: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mask and objects as they are of a volume that fits into memory."""
    return mask_and_objects(tmp_path, model, 1.0, orthogonal=True, **changes)


def in_blocks(tmp_path: Path, model: AnyModel, image: str = "em.ome.zarr", **further: Any) -> zarr.Group:
    """What is written of it block by block."""
    settings = model.recipe.inference.model_copy(update={"orthogonal": True})
    out = tmp_path / "out.ome.zarr"
    return zarr.open_group(
        segment_stack(open_lazy(tmp_path / image), model, out, settings, **further), mode="r"
    )


@pytest.mark.parametrize(
    ("dimensions", "source", "scale"), [("2d", "em.tif", 0.5), ("2.5d", "em.ome.zarr", 1.0)]
)
def test_the_mask_is_that_of_the_volume_in_memory(
    tmp_path: Path, volume: np.ndarray, dimensions: Dimensions, source: str, scale: float
) -> None:
    model = made_model(dimensions, scale=scale)
    whole, _ = in_memory(tmp_path, model)
    plain = np.stack([one.mask for one in segment_samples(open_images([tmp_path / "em.tif"]), model)])
    found = in_blocks(tmp_path, model, source)["0"][...]
    assert 0.2 < whole.mean() < 0.8
    assert (whole != plain).mean() > 0.02  # the other planes count
    assert not whole[6].any()
    assert (found != whole).mean() < 0.0005  # sums of intensities are rounded


def test_objects_are_those_of_the_volume_in_memory(tmp_path: Path, volume: np.ndarray) -> None:
    model = made_model("2d", "distance")
    _, objects = in_memory(tmp_path, model)
    found = in_blocks(tmp_path, model, objects=True)
    assert objects.max() > 3
    np.testing.assert_array_equal(found["0"][...] > 0, objects > 0)
    assert found["0"][...].max() == objects.max()
    assert sorted(found) == ["0"]


def test_a_stopped_run_resumes_and_nothing_is_asked_again(tmp_path: Path, volume: np.ndarray) -> None:
    model = made_model("2d")
    whole, _ = in_memory(tmp_path, model)
    cancel, seen = CancelToken(), []

    def stop_soon(progress: Progress) -> None:
        if progress.message == "Segmenting":
            seen.append(progress)
            if len(seen) == 7:
                cancel.cancel()

    with pytest.raises(Cancelled):
        in_blocks(tmp_path, model, on_progress=stop_soon, cancel=cancel)
    with raises_code("output.different", "other settings"):
        segment_stack(open_lazy(tmp_path / "em.ome.zarr"), model, tmp_path / "out.ome.zarr")
    later: list[Progress] = []
    found = in_blocks(tmp_path, model, on_progress=later.append)["0"][...]
    assert (found != whole).mean() < 0.0005
    computed = [one for one in later if one.message == "Segmenting"]
    settings = model.recipe.inference.model_copy(update={"orthogonal": True})
    stack = open_lazy(tmp_path / "em.ome.zarr")
    planned = plane_plan.plan_planes(stack, model, settings, LargeImageSettings())
    assert len(computed) + len(seen) <= len(planned.plan) + 1
    assert len(planned.plan) == 4 + 4 + 4
    assert planned.exact
    assert sum(map(planned.pixels, planned.blocks)) == pytest.approx(np.prod(SHAPE), rel=0.01)


def test_little_memory_makes_thinner_slabs_that_are_not_mixed_with_others(
    tmp_path: Path, volume: np.ndarray
) -> None:
    model = made_model("2d")
    settings = model.recipe.inference.model_copy(update={"orthogonal": True})
    planned = partial(plane_plan.plan_planes, open_lazy(tmp_path / "em.tif"), model, settings)
    assert planned(LargeImageSettings(memory=0.1)).plan.tile_shape == (1, 1, 1)
    assert not planned(LargeImageSettings(memory=0.1)).exact
    assert planned(LargeImageSettings()).plan.tile_shape == (4, 10, 12)


@pytest.mark.parametrize("several", [False, True])
def test_answers_along_the_axes_are_compared_as_in_memory(
    tmp_path: Path, volume: np.ndarray, several: bool
) -> None:
    model: AnyModel = made_model("2d")
    if several:
        model = made_ensemble(tmp_path, made_model("2d"), made_model("2d", seed=3))
    settings = model.recipe.inference.model_copy(update={"orthogonal": True})
    samples = open_images([tmp_path / "em.tif"])
    expected = list(segment_samples(samples, model, settings, disagreement=True))
    apart = np.stack([one.disagreement for one in expected if one.disagreement is not None])
    assert apart.max() > 0.2
    found = in_blocks(tmp_path, model, disagreement=True)["0"][...]
    assert (found != np.stack([one.mask for one in expected])).mean() < 0.0005
    written = zarr.open_group(tmp_path / "out_disagreement.ome.zarr", mode="r")["0"][...]
    np.testing.assert_allclose(written, apart, atol=1e-3)  # sums of intensities are rounded


def test_thick_slices_and_three_dimensions_are_refused(tmp_path: Path, volume: np.ndarray) -> None:
    with raises_code("settings.planes.unsupported"):
        in_blocks(tmp_path, made_model("3d"))
    group = zarr.open_group(tmp_path / "em.ome.zarr", mode="a")
    found = dict(group.attrs["ome"])
    found["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"] = [9.0, 4.0, 4.0]
    group.attrs["ome"] = found
    with raises_code("data.volume.anisotropic", "9 x 4 x 4 nm"):
        in_blocks(tmp_path, made_model("2d"))
