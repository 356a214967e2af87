"""Volumes block by block: the same as in memory, resumed, with objects over the borders of blocks."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import zarr

from napari_unet.data.catalog import open_images
from napari_unet.data.files.lazy_files import open_lazy
from napari_unet.engine.cluster import Cluster
from napari_unet.errors import Cancelled
from napari_unet.inference import predict
from napari_unet.inference.linked_objects import StackNumbers
from napari_unet.inference.postprocess import connected_objects
from napari_unet.inference.tiling import plan_volume
from napari_unet.inference.volumes import parted_volumes
from napari_unet.models.model import load_model, save_model
from napari_unet.progress import CancelToken, Progress, ignore_progress
from napari_unet.settings import LargeImageSettings
from napari_unet.workflow.large_images.plan import Block, nearest_first
from napari_unet.workflow.large_images.segment_files import SegmentFilesTask
from napari_unet.workflow.large_images.segment_large import segment_stack
from napari_unet.workflow.large_images.volumes import finish_volume, volume_plan
from napari_unet.workflow.segment.segment_samples import segment_samples
from support.errors import raises_code
from support.tiny_models import without_graphs
from support.volume_models import SHAPE, made_ensemble, made_model, mask_and_objects, write_noise

if TYPE_CHECKING:
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.settings import Dimensions, Separation

VOXELS = 4096  # of a tile


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "plan_volume", partial(plan_volume, voxels=VOXELS))
    monkeypatch.setattr(volume_plan, "TILE_VOXELS", VOXELS)
    monkeypatch.setattr(finish_volume, "PART", 6000)
    monkeypatch.setattr(parted_volumes, "AROUND", 6)
    monkeypatch.setattr(parted_volumes, "SIDE", 20)
    without_graphs()


@pytest.fixture
def volume(tmp_path: Path) -> np.ndarray:
    """Smooth noise, one slice of which is black, as a TIFF and as an OME-Zarr with chunks along Z."""
    return write_noise(tmp_path, 8.0)


def in_memory(tmp_path: Path, model: AnyModel, **changes: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mask and objects as they are of a volume that fits into memory."""
    return mask_and_objects(tmp_path, model, 2.0, **changes)


def in_blocks(tmp_path: Path, model: AnyModel, image: str = "em.ome.zarr", **further: Any) -> zarr.Group:
    """What is written of it block by block."""
    changes = further.pop("changes", {})
    settings = model.recipe.inference.model_copy(update=changes)
    written = segment_stack(
        open_lazy(tmp_path / image), model, tmp_path / "out.ome.zarr", settings, **further
    )
    return zarr.open_group(written, mode="r")


@pytest.mark.parametrize("source", ["em.ome.zarr", "em.tif"])
@pytest.mark.parametrize("dimensions", ["3d", "2.5d"])
def test_the_mask_is_that_of_the_volume_in_memory(
    tmp_path: Path, volume: np.ndarray, dimensions: Dimensions, source: str
) -> None:
    model = made_model(dimensions)
    whole, _ = in_memory(tmp_path, model)
    found = in_blocks(tmp_path, model, source)
    assert 0.2 < whole.mean() < 0.8
    assert not whole[6].any()  # there is nothing to see in a black slice
    np.testing.assert_array_equal(found["0"][...], whole)
    assert sorted(found) == ["0"]
    (shown,) = found.attrs["ome"]["multiscales"]
    assert [axis["name"] for axis in shown["axes"]] == ["z", "y", "x"]
    assert {axis["unit"] for axis in shown["axes"]} == {"nanometer"}
    (scale,) = shown["datasets"][0]["coordinateTransformations"]
    assert scale["scale"] == pytest.approx([8.0, 4.0, 4.0])


def test_a_volume_has_several_tiles_and_cells(tmp_path: Path, volume: np.ndarray) -> None:
    model = made_model("3d")
    stack = open_lazy(tmp_path / "em.ome.zarr")
    planned = volume_plan.plan_large_volume(stack, model, model.recipe.inference, LargeImageSettings())
    assert planned.exact
    assert len(planned.plan) > 8
    assert planned.plan.cells > 8
    assert sum(map(planned.pixels, planned.blocks)) == np.prod(SHAPE)


@pytest.mark.parametrize("separation", ["none", "distance", "border"])
@pytest.mark.parametrize("dimensions", ["3d", "2.5d"])
def test_objects_are_those_of_the_volume_in_memory(
    tmp_path: Path, volume: np.ndarray, dimensions: Dimensions, separation: Separation
) -> None:
    model = made_model(dimensions, separation)
    _, objects = in_memory(tmp_path, model)
    found = in_blocks(tmp_path, model, objects=True)
    assert objects.max() > 3
    np.testing.assert_array_equal(found["0"][...], objects)
    assert sorted(found) == ["0"]


@pytest.mark.parametrize(
    ("dimensions", "separation", "classes", "changes"),
    [
        ("3d", "none", 1, {"objects": "agglomerate", "join": 0.75}),
        ("3d", "none", 2, {"objects": "agglomerate", "join": 0.1, "class_of": "pixels"}),
        ("2.5d", "none", 1, {"objects": "agglomerate", "join": 0.3}),
        ("2.5d", "none", 2, {"objects": "agglomerate", "class_of": "pixels"}),
        ("3d", "distance", 1, {"objects": "probability"}),
        ("3d", "none", 1, {"refinement": 0.5, "objects": "shape", "threshold": 0.6}),
        ("3d", "border", 1, {"refinement": 0.4}),
        ("2.5d", "distance", 1, {"refinement": 0.4, "minimum_size": 20}),
        ("3d", "distance", 2, {}),
        ("2.5d", "border", 2, {"minimum_size": 20}),
    ],
)
def test_contours_and_all_ways_to_part_objects_are_those_of_the_volume_in_memory(
    tmp_path: Path, volume: np.ndarray, dimensions: Dimensions, separation: Separation, classes: int,
    changes: dict[str, Any],
) -> None:  # fmt: skip
    model = made_model(dimensions, separation, classes=classes)
    mask, objects = in_memory(tmp_path, model, **changes)
    plain, _ = in_memory(tmp_path, model, refinement=0.0, class_of="pixels")
    if "refinement" in changes or (classes == 2 and "class_of" not in changes):
        assert (mask != plain).sum() > 50
    assert objects.max() > 1
    found = in_blocks(tmp_path, model, changes=changes, objects=True)
    np.testing.assert_array_equal(found["0"][...], objects)
    assert sorted(found) == ["0"] + ["objects"] * (classes > 1)
    if classes > 1:
        np.testing.assert_array_equal(found["objects/class"][...][objects], mask)
    alone = in_blocks(tmp_path, model, changes=changes, overwrite=True)
    np.testing.assert_array_equal(alone["0"][...], mask)


def test_members_of_an_ensemble_are_averaged_and_compared_as_in_memory(
    tmp_path: Path, volume: np.ndarray
) -> None:
    """One of them sees slices at half their size, and has other tiles."""
    members = made_model("3d", "distance"), made_model("3d", "distance", scale=0.5, seed=3)
    both = made_ensemble(tmp_path, *members)
    _, objects = in_memory(tmp_path, both)
    expected = list(segment_samples(open_images([tmp_path / "em.tif"]), both))
    apart = np.stack([one.disagreement for one in expected if one.disagreement is not None])
    assert apart.max() > 0.2
    found = in_blocks(tmp_path, both, objects=True, disagreement=True, probabilities=True)["0"][...]
    said = zarr.open_group(tmp_path / "out_probabilities.ome.zarr", mode="r")["0"][...]
    np.testing.assert_allclose(said, np.stack([one.probabilities[..., 0] for one in expected]), atol=1e-3)
    written = zarr.open_group(tmp_path / "out_disagreement.ome.zarr", mode="r")["0"][...]
    np.testing.assert_allclose(written, apart, atol=1e-3)
    mask = np.stack([one.mask for one in expected])
    assert ((found > 0) != (mask > 0)).mean() < 0.002  # rounding of what is resized
    assert abs(int(found.max()) - int(objects.max())) <= 1


def test_members_that_see_all_pixels_make_the_same_objects_to_the_voxel(
    tmp_path: Path, volume: np.ndarray
) -> None:
    both = made_ensemble(tmp_path, made_model("3d", "distance"), made_model("3d", "distance", seed=3))
    mask, objects = in_memory(tmp_path, both)
    expected = list(segment_samples(open_images([tmp_path / "em.tif"]), both))
    planned = volume_plan.plan_large_volume(
        open_lazy(tmp_path / "em.ome.zarr"), both, both.recipe.inference, LargeImageSettings()
    )
    assert sum(map(planned.pixels, planned.blocks)) == pytest.approx(np.prod(SHAPE), rel=0.02)
    cancel, seen = CancelToken(), []

    def stop_soon(progress: Progress) -> None:
        seen.append(progress.message)
        if seen.count("Segmenting") == len(planned.plan) // 2 + 2:
            cancel.cancel()

    with pytest.raises(Cancelled):
        in_blocks(tmp_path, both, objects=True, disagreement=True, on_progress=stop_soon, cancel=cancel)
    found = in_blocks(tmp_path, both, objects=True, disagreement=True)["0"][...]
    np.testing.assert_array_equal(found, objects)
    np.testing.assert_array_equal(found > 0, mask > 0)
    written = zarr.open_group(tmp_path / "out_disagreement.ome.zarr", mode="r")["0"][...]
    apart = np.stack([one.disagreement for one in expected if one.disagreement is not None])
    np.testing.assert_array_equal(written, apart)


def test_one_model_in_three_dimensions_is_not_compared_with_itself(
    tmp_path: Path, volume: np.ndarray
) -> None:
    with raises_code("model.volume.several", "ensemble"):
        in_blocks(tmp_path, made_model("3d"), disagreement=True)


def test_a_model_that_wants_smaller_images_gets_them(tmp_path: Path, volume: np.ndarray) -> None:
    model = made_model("3d", scale=0.5)
    whole, _ = in_memory(tmp_path, model)
    found = in_blocks(tmp_path, model)["0"][...]
    assert (found != whole).mean() < 0.002  # rounding of what is resized


@pytest.mark.parametrize("dimensions", ["3d", "2.5d"])
def test_small_pieces_of_slices_are_dropped_across_blocks(
    tmp_path: Path, volume: np.ndarray, dimensions: Dimensions
) -> None:
    model = made_model(dimensions)
    without, _ = in_memory(tmp_path, model)
    whole, _ = in_memory(tmp_path, model, minimum_size=60)
    found = in_blocks(tmp_path, model, changes={"minimum_size": 60})
    assert whole.sum() < without.sum()
    np.testing.assert_array_equal(found["0"][...], whole)


def test_a_stopped_run_resumes(tmp_path: Path, volume: np.ndarray) -> None:
    model = made_model("3d", "distance")
    whole, _ = in_memory(tmp_path, model)
    cancel, seen = CancelToken(), []

    def stop_soon(progress: Progress) -> None:
        if progress.message == "Segmenting":
            seen.append(progress)
            if len(seen) == 9:
                cancel.cancel()

    with pytest.raises(Cancelled):
        in_blocks(tmp_path, model, on_progress=stop_soon, cancel=cancel)
    assert seen[-1].seconds_left is not None
    assert seen[-1].done < seen[-1].total == pytest.approx(np.prod(SHAPE) / 1e6)
    unfinished = tmp_path / "out.ome.zarr.unfinished"
    before = {file.name: file.stat().st_mtime_ns for file in (unfinished / "0" / "c").rglob("*")}
    assert before
    later: list[Progress] = []
    found = in_blocks(tmp_path, model, on_progress=later.append)
    np.testing.assert_array_equal(found["0"][...], whole)
    computed = [one for one in later if one.message == "Segmenting"]
    # Answers of tiles that were stored are not asked for again.
    assert (
        len(computed) + len(seen)
        <= len(
            volume_plan.plan_large_volume(
                open_lazy(tmp_path / "em.tif"), model, model.recipe.inference, LargeImageSettings()
            ).plan
        )
        + 1
    )
    assert not unfinished.exists()


def test_a_kill_between_the_last_answer_and_the_mask_loses_nothing(
    tmp_path: Path, volume: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_unet.workflow.large_images.volumes import volume_run

    model = made_model("3d")
    whole, _ = in_memory(tmp_path, model)
    write, written = volume_run._write_cell, []

    def killed(*arguments: Any) -> None:
        written.append(arguments)
        if len(written) == 3:
            raise KeyboardInterrupt
        write(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(volume_run, "_write_cell", killed)
        with pytest.raises(KeyboardInterrupt):
            in_blocks(tmp_path, model)
    np.testing.assert_array_equal(in_blocks(tmp_path, model)["0"][...], whole)


def test_less_memory_makes_smaller_tiles_which_are_not_mixed(tmp_path: Path, volume: np.ndarray) -> None:
    model = made_model("3d")
    stack = open_lazy(tmp_path / "em.ome.zarr")
    little = LargeImageSettings(memory=0.1)  # less than a backend takes at all
    planned = volume_plan.plan_large_volume(stack, model, model.recipe.inference, little)
    assert not planned.exact
    cancel = CancelToken()
    with pytest.raises(Cancelled):
        in_blocks(tmp_path, model, on_progress=lambda _: cancel.cancel(), cancel=cancel)
    with raises_code("output.different", "other tiles"):
        in_blocks(tmp_path, model, large=little)


def test_images_that_are_no_slices_are_told(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "em.tif", np.zeros((5, 9, 9), np.uint8), metadata={"axes": "TYX"})
    with raises_code("data.volume.slices", "--axes ZYX"):
        in_blocks(tmp_path, made_model("3d"), "em.tif")


def test_the_command_writes_a_volume_of_labels(tmp_path: Path, volume: np.ndarray) -> None:
    model = made_model("3d")
    save_model(model, tmp_path / "model")
    whole, _ = in_memory(tmp_path, load_model(tmp_path / "model"))
    task = SegmentFilesTask((tmp_path / "em.ome.zarr",), tmp_path / "model", tmp_path / "masks")
    (written,) = task.run(ignore_progress, CancelToken())
    assert written.name == "em.ome.zarr"
    assert (zarr.open_group(written, mode="r")["0"][...] == whole).mean() > 0.98  # of another precision


def test_objects_of_slices_are_linked_as_in_memory(tmp_path: Path, volume: np.ndarray) -> None:
    model = made_model("2d")
    numbers = StackNumbers(linked=True)
    masks = [one.mask for one in segment_samples(open_images([tmp_path / "em.tif"]), model)]
    found = [numbers.number(connected_objects(mask), mask) for mask in masks]
    written = in_blocks(tmp_path, model, objects=True, link_objects=True)["0"][...]
    # The same objects, whose numbers may be given in another order.
    pairs = np.unique(np.stack([written.ravel(), np.stack(found).ravel()]), axis=1)
    assert pairs.shape[1] == len(np.unique(found)) == len(np.unique(written))
    alone = in_blocks(tmp_path, model, objects=True, overwrite=True)["0"][...]
    assert alone.max() < written.max()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # workers of this process end with it
def test_workers_of_a_cluster_make_the_same_volume(tmp_path: Path, volume: np.ndarray) -> None:
    distributed = pytest.importorskip("distributed")
    model = made_model("3d", "distance")
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    alone = in_blocks(tmp_path, loaded, objects=True)["0"][...]
    local = {"processes": False, "n_workers": 1, "threads_per_worker": 2, "dashboard_address": None}
    with distributed.Client(**local) as client:
        found = in_blocks(
            tmp_path, loaded, objects=True, overwrite=True, cluster=Cluster(client),
            source=tmp_path / "model", precision="float32",
        )  # fmt: skip
    np.testing.assert_array_equal(found["0"][...], alone)


def test_tiles_of_a_volume_go_by_their_distance_within_the_slice() -> None:
    boxes = [
        (slice(0, 8), slice(0, 16), slice(0, 16)),  # from 40, 40: 24 rows and 24 columns away
        (slice(0, 8), slice(16, 32), slice(0, 16)),  # 8 and 24
        (slice(8, 16), slice(16, 32), slice(16, 32)),  # 8 and 8
    ]
    large: Any = SimpleNamespace(plan=SimpleNamespace(result=boxes.__getitem__))
    blocks = [Block(0, number) for number in range(3)]
    assert [block.number for block in nearest_first(large, blocks, 0, 40.0, 40.0)] == [2, 1, 0]


@pytest.mark.parametrize(
    ("chunk", "sides"),
    [
        ((1, 512, 512), (2, 1024, 1024)),  # slice by slice: a whole number of files, 1024 pixels wide
        ((102, 102, 102), (102, 102, 102)),  # a file of 1.1 million voxels, of which two would be too many
        ((8, 128, 128), (8, 256, 1024)),
    ],
)
def test_parts_are_whole_files_and_hold_about_two_million_voxels(
    chunk: tuple[int, int, int], sides: tuple[int, int, int]
) -> None:
    array = SimpleNamespace(chunks=chunk, shape=(300, 1500, 1500))
    store: Any = SimpleNamespace(array=lambda key: array, path=Path("a"))
    parts = finish_volume.volume_parts(store, "0", 0, (), 2**21, 1024)
    assert tuple(one.stop - one.start for one in parts[0].box) == sides
    voxels = [math.prod(one.stop - one.start for one in part.box) for part in parts]
    assert max(voxels) <= 2**21
    assert sum(voxels) == 300 * 1500 * 1500
    assert len({part.place for part in parts}) == len(parts)
