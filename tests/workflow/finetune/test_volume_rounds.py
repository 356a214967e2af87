"""Learning from a few slices of a volume: which teach, which judge, and that nothing leaks between them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from napari_unet.data.catalog import open_dataset
from napari_unet.data.volumes.blocks_of_slices import as_volumes
from napari_unet.data.volumes.nearness import block_of, far_from, gap_between, in_order
from napari_unet.data.volumes.slices import place_of
from napari_unet.engine.inline import run_inline
from napari_unet.evaluation.leakage import TrainingMembership
from napari_unet.models.model import Model, load_model, save_model
from napari_unet.models.normalization import Normalization
from napari_unet.models.rehearsal import read_rehearsal, write_rehearsal
from napari_unet.networks.registry import build_network
from napari_unet.progress import CancelToken, ignore_progress
from napari_unet.settings import (
    FineTuneSettings,
    InferenceSettings,
    NetworkSettings,
    Recipe,
    TrainingSettings,
)
from napari_unet.training.feeding.slices_seen import as_seen, batches_kind
from napari_unet.workflow.finetune.fine_tune_task import FineTuned, FineTuneTask
from napari_unet.workflow.finetune.replay_source import samples_of
from napari_unet.workflow.finetune.training_examples import read_corrections
from napari_unet.workflow.train.choose_rehearsal import choose_volume_rehearsal
from napari_unet.workflow.train.recipes import recipe
from napari_unet.workflow.train.training_data import split_for
from support.errors import raises_code

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.data.dataset import Dataset

WAYS = {
    "2.5d": NetworkSettings(filters=2, depth=1, dimensions="2.5d", slices=3, input_channels=3),
    "3d": NetworkSettings(filters=2, depth=1, dimensions="3d"),
}
TRAINING = TrainingSettings(scale=1.0, patch=16, patch_depth=4, voxel_size="1x1x1um", precision="float32")


def write_slices(folder: Path, annotated: list[int], slices: int = 40) -> Path:
    """Numbered files of a bright rod on noise; some slices have a mask."""
    luck = np.random.default_rng(0)
    mask = np.zeros((18, 20), np.uint8)
    mask[6:14, 5:12] = 1
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for z in range(slices):
        noise = luck.integers(0, 60, mask.shape)
        tifffile.imwrite(folder / "images" / f"em_{z:02d}.tif", (noise + 150 * mask).astype(np.uint8))
    for z in annotated:
        tifffile.imwrite(folder / "masks" / f"em_{z:02d}.tif", mask)
    return folder


def model_of(way: str, folder: Path) -> Path:
    own = Recipe(network=WAYS[way], training=TRAINING, inference=InferenceSettings(flips="none"))
    network = build_network(WAYS[way], 1)
    normalization = Normalization(channels=WAYS[way].input_channels)
    return save_model(Model(own, normalization, ("rod",), network), folder)


def numbers(ids: object, data: Dataset) -> list[int]:
    by_id = {sample.id: sample for sample in data.samples}
    return sorted(place.z for i in ids if (place := place_of(by_id[i])) is not None)  # type: ignore[attr-defined]


def fine_tune(way: str, folder: Path, annotated: list[int], **more: object) -> tuple[FineTuned, Dataset]:
    data = write_slices(folder / "data", annotated)
    corrections, others, _ = read_corrections(data, 1)
    settings = FineTuneSettings(seconds=60, megapixels=0.02, batch_pixels=2**11)
    task = FineTuneTask(
        model_of(way, folder / "old"), corrections, folder / "new", settings, others=others, **more
    )
    return run_inline(task, lambda p: None), open_dataset(data)


@pytest.mark.slow
@pytest.mark.parametrize("way", sorted(WAYS))
def test_a_model_of_volumes_learns_from_some_slices_and_others_judge(tmp_path: Path, way: str) -> None:
    annotated = list(range(0, 40, 4))
    result, data = fine_tune(way, tmp_path, annotated)
    teach, judge = numbers(result.learned_from, data), numbers(result.held_out, data)
    assert sorted(teach + judge) == annotated
    assert len(judge) >= 2
    # Slices that judge and lie four or fewer from one that teaches do not count.
    apart = [z for z in judge if all(abs(z - t) > 4 for t in teach)]
    judged = [name.removeprefix("labelled/") for name in result.comparison.images]
    assert numbers(judged, data) == (apart or judge)
    new = load_model(result.model)
    assert new.recipe.network.dimensions == way
    assert result.replayed == "own predictions"
    seen = TrainingMembership(new.provenance)
    parts = {seen.part(sample.read_image()) for sample in data.samples if sample.id in result.learned_from}
    assert parts == {"train"}


@pytest.mark.slow
def test_few_slices_judge_each_other_the_first_and_the_last(tmp_path: Path) -> None:
    result, data = fine_tune("2.5d", tmp_path, [3, 5, 20, 30])
    assert numbers(result.learned_from, data) == [3, 5, 20, 30]
    assert numbers(result.cross_validated, data) == [3, 5, 20, 30]
    assert len(result.comparison.images) == 4


def test_images_that_are_no_slices_are_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for kind, high in (("images", 200), ("masks", 1)):
        (data / kind).mkdir(parents=True)
        tifffile.imwrite(data / kind / "alone.tif", np.full((8, 8), high, np.uint8))
    corrections, _, _ = read_corrections(data, 1)
    with raises_code("data.volume.slices", "alone"):
        run_inline(FineTuneTask(model_of("3d", tmp_path / "old"), corrections, tmp_path / "new"))


def test_slices_near_one_that_teaches_do_not_judge(tmp_path: Path) -> None:
    samples = open_dataset(write_slices(tmp_path, list(range(0, 40, 2)))).samples
    gap = gap_between(samples)
    assert gap == 4  # the size of a voxel is not known
    at = {place.z: sample for sample in samples if (place := place_of(sample)) is not None}
    far = far_from([at[z] for z in (2, 4, 6, 14, 16, 30)], [at[0], at[20]], gap)
    assert far == [at[6], at[14], at[30]]
    assert block_of(at[0], gap) == block_of(at[14], gap) != block_of(at[16], gap)
    assert [s.id for s in in_order([at[8], at[2]])] == [at[2].id, at[8].id]


def test_a_lone_slice_is_seen_with_those_around_it_but_for_what_judges(tmp_path: Path) -> None:
    data = open_dataset(write_slices(tmp_path, [10, 30]))
    first = data.samples[0]
    file = place_of(first).file
    (block,) = as_volumes(data.subset([first.id]), {(file, 12)}, 6).samples
    mask = block.read_mask()
    assert block.id.endswith("[z6-11]")  # 12 judges
    assert mask.weights is not None
    assert list(mask.weights[:, 0, 0]) == [0, 0, 0, 0, 1, 0]
    assert block.read_image().shape == (6, 18, 20, 1)
    both = as_volumes(data, (), 6)  # 19 slices without a mask are too many for one block
    assert [sample.id.rpartition("[")[2] for sample in both.samples] == ["z7-12]", "z27-32]"]


@pytest.mark.parametrize("way", sorted(WAYS))
def test_batches_hold_neighbours_and_weigh_what_is_annotated(tmp_path: Path, way: str) -> None:
    data = open_dataset(write_slices(tmp_path, [10, 30]))
    own = Recipe(network=WAYS[way], training=TRAINING)
    model = load_model(model_of(way, tmp_path / "model"))
    batches = batches_kind(own)(
        as_seen(data, own, model.sizes), model.normalization, own.training, model.sizes, 1
    )
    images, targets = batches.batch(0)
    assert images.shape[1:] == ((16, 16, 3) if way == "2.5d" else (4, 16, 16, 1))
    weighed = {float(w) for w in targets[..., -1].sum(axis=(-1, -2)).ravel()}
    assert max(weighed) == 256
    if way == "3d":
        assert min(weighed) == 0


def test_of_few_annotated_slices_none_is_lost_to_a_gap(tmp_path: Path) -> None:
    """Of slices 0, 8, ... 32 the last is held out, the one before validates; of 0 to 5 two are lost."""
    for name, annotated, expected in (
        ("sparse", [0, 8, 16, 24, 32], [[0, 8, 16], [24], [32]]),
        ("dense", [0, 1, 2, 3, 4, 5], [[0, 1], [3], [5]]),
    ):
        data = open_dataset(write_slices(tmp_path / name, annotated))
        chosen = recipe("fast", ["dimensions=2.5d", "held_out=0.2", "validation=0.2"])
        split = split_for(tmp_path, data, chosen, None, ignore_progress, CancelToken())
        parts = [numbers(ids, data) for ids in (split.train, split.validation, split.held_out)]
        assert parts == expected


def blocks_of(data: Dataset, count: int, depth: int, taken: list[int]) -> dict[str, list[int]]:
    """Which slices the blocks of a rehearsal set hold; those of these numbers are of other parts."""
    at = {place.z: s for s in data.samples if (place := place_of(s)) is not None}
    own = data.subset([s.id for z, s in at.items() if z not in taken])
    others = [at[z] for z in taken]
    found: dict[str, list[int]] = {}
    for crop in choose_volume_rehearsal(own, Normalization(), count, depth, others).crops:
        found.setdefault(crop.volume, []).append(crop.z)
    return found


def test_blocks_to_rehearse_end_before_slices_of_other_parts(tmp_path: Path) -> None:
    data = open_dataset(write_slices(tmp_path, [10, 13, 30]))
    blocks = {name.split(" ", 1)[1]: found for name, found in blocks_of(data, 2, 5, [13]).items()}
    at = {place.z: s.id for s in data.samples if (place := place_of(s)) is not None}
    assert blocks == {at[10]: [8, 9, 10, 11, 12], at[30]: [28, 29, 30, 31, 32]}
    blocks = {name.split(" ", 1)[1]: found for name, found in blocks_of(data, 2, 7, [13]).items()}
    assert blocks[at[10]] == [6, 7, 8, 9, 10, 11, 12]


def test_a_model_remembers_blocks_with_their_places_and_what_is_not_known(tmp_path: Path) -> None:
    data = open_dataset(write_slices(tmp_path / "data", [10, 12, 30]))
    write_rehearsal(tmp_path, choose_volume_rehearsal(data, Normalization(), 3, 5))
    found = read_rehearsal(tmp_path)
    assert found is not None
    assert len(found) == 15
    samples = samples_of(found)
    by_block: dict[str, list[int]] = {}
    for sample in samples:
        place = place_of(sample)
        assert place is not None
        assert len(place.slices) == 5
        by_block.setdefault(str(sample.group), []).append(place.z)
    assert sorted(by_block.values()) == [[10, 12], [10, 12], [30]]  # slices with a mask; others are seen
    original = {place.z: s for s in data.samples if (place := place_of(s)) is not None}
    for sample in samples:
        place = place_of(sample)
        np.testing.assert_array_equal(sample.read_image(), original[place.z].read_image())
        np.testing.assert_array_equal(sample.read_mask().labels, original[place.z].read_mask().labels)
        assert sample.read_mask().weights is None
    (block,) = as_volumes(data.subset([original[30].id]), (), 5).samples
    remembered = [s for s in samples if place_of(s).z == 30]
    (again,) = as_volumes(replace(data, samples=tuple(remembered)), (), 5).samples
    np.testing.assert_array_equal(again.read_image(), block.read_image())
    np.testing.assert_array_equal(again.read_mask().weights, block.read_mask().weights)


@pytest.mark.slow
@pytest.mark.parametrize("way", sorted(WAYS))
def test_a_model_of_volumes_replays_what_it_remembers(tmp_path: Path, way: str) -> None:
    old = open_dataset(write_slices(tmp_path / "old-data", [5, 15, 25, 35]))
    data = write_slices(tmp_path / "data", [3, 5, 20, 30])
    corrections, others, _ = read_corrections(data, 1)
    model = model_of(way, tmp_path / "old")
    write_rehearsal(model, choose_volume_rehearsal(old, Normalization(), 4, 6, in_3d=way == "3d"))
    settings = FineTuneSettings(seconds=60, megapixels=0.02, batch_pixels=2**11)
    task = FineTuneTask(model, corrections, tmp_path / "new", settings, others=others)
    result = run_inline(task, lambda p: None)
    assert result.replayed == "rehearsal set"
    carried = read_rehearsal(result.model)
    assert carried is not None
    assert len(carried) == 24
    assert {crop.z for crop in carried.crops} >= {5, 15, 25, 35}
