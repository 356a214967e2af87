"""Images that are never in memory as a whole: the same masks, bounded memory, runs that continue."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from scipy import ndimage

from napari_unet.data.files.lazy_stack import lazy_stack
from napari_unet.data.files.pixel_size import PixelSize
from napari_unet.data.sample import Sample
from napari_unet.errors import Cancelled
from napari_unet.inference.postprocess import connected_objects
from napari_unet.inference.predict import average_over_flips
from napari_unet.models.model import Model, load_model
from napari_unet.models.normalization import resize
from napari_unet.networks.graphs.cost import held_values, reach
from napari_unet.progress import CancelToken, Progress
from napari_unet.settings import LargeImageSettings
from napari_unet.workflow.large_images import plan as large_module
from napari_unet.workflow.large_images import tile_runner
from napari_unet.workflow.large_images.local_run import FinishedBlock
from napari_unet.workflow.large_images.segment_large import segment_stack
from napari_unet.workflow.segment.segment_samples import Segmentation, segment_samples
from support.errors import raises_code
from support.tiny_models import write_tiny_model

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


ROUNDING = 5e-4  # of a probability: a step of half precision, in which they are kept


@pytest.fixture(scope="module")
def model(grey_model: Path) -> Model:
    return load_model(grey_model)


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 80 pixels, files of 40: many of them in a small image."""
    monkeypatch.setattr("napari_unet.inference.budget.LARGEST_TILE", 128)
    monkeypatch.setattr("napari_unet.workflow.large_images.plan.LARGEST_CHUNK", 40)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((240, 320)), 4)
    return (noise * 8000 + 30_000).clip(0, 65_535).astype(np.uint16)


def at_once(image: np.ndarray, model: Model, **changes: Any) -> Segmentation:
    """What the network says of the whole image at once."""
    settings = model.recipe.inference.model_copy(update={"tile": 2048, **changes})
    (found,) = segment_samples([Sample("a", lambda: image[..., None])], model, settings)
    return found


def whole(image: np.ndarray, model: Model, **changes: Any) -> np.ndarray:
    """The mask of the network put on the whole image at once."""
    return at_once(image, model, **changes).mask


def assert_whole(found: np.ndarray, image: np.ndarray, model: Model, **changes: Any) -> None:
    """As ``whole``, but for the few pixels at the threshold which rounding decides.

    Some processors add in another order where the image has another size.
    """
    expected = at_once(image, model, **changes)
    decided = np.abs(expected.probabilities[..., 0] - expected.settings.threshold) > ROUNDING
    assert decided.mean() > 0.99
    np.testing.assert_array_equal(found[decided], expected.mask[decided])


def result(path: Path, level: int = 0) -> np.ndarray:
    return np.asarray(zarr.open_group(path, mode="r")[str(level)])


def test_the_mask_is_that_of_the_whole_image(tmp_path: Path, image: np.ndarray, model: Model) -> None:
    seen: list[Progress] = []
    out = segment_stack(lazy_stack(image, "a"), model, tmp_path / "a.ome.zarr", on_progress=seen.append)
    assert 0.2 < result(out).mean() < 0.8
    assert_whole(result(out), image, model)
    np.testing.assert_array_equal(result(out, 1), result(out)[::2, ::2])
    blocks = [p.piece for p in seen if isinstance(p.piece, FinishedBlock)]
    assert len(blocks) == 12
    assert [p.done for p in seen if p.piece][-1] == pytest.approx(0.0768)
    assert sum((b.rows.stop - b.rows.start) * (b.columns.stop - b.columns.start) for b in blocks) == 76_800


def test_tiles_that_run_one_by_one_are_computed_for_their_middle_alone(
    tmp_path: Path, image: np.ndarray, model: Model
) -> None:
    settings = model.recipe.inference.model_copy(update={"batch_pixels": 1, "flips": "dihedral"})
    planned = large_module.plan_large_image(lazy_stack(image), model, settings, LargeImageSettings())
    plan = planned.plan
    assert plan.partial
    halo = plan.rows.halo
    assert plan.part_shape == (plan.tile_shape[0] - 2 * halo, plan.tile_shape[1] - 2 * halo)
    assert plan.offset(0) == (0, 0)
    middle = len(plan.columns) + 1
    assert plan.offset(middle) == (halo, halo)
    out = segment_stack(lazy_stack(image), model, tmp_path / "a.ome.zarr", settings)
    assert_whole(result(out), image, model, flips="dihedral")


def test_where_parts_are_enough_the_whole_network_is_not_compiled(
    image: np.ndarray, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Model] = []
    monkeypatch.setattr(tile_runner, "pixel_outputs", lambda of: asked.append(of) or (lambda tiles: tiles))
    for pixels, compiled in ((1, []), (0, [model])):
        settings = model.recipe.inference.model_copy(update={"batch_pixels": pixels, "flips": "none"})
        large = large_module.plan_large_image(lazy_stack(image), model, settings, LargeImageSettings())
        assert large.plan.partial == (pixels == 1)
        tile = np.zeros((*large.plan.tile_shape, 1), np.float32)
        tile_runner.TileRunner(large, model).run(large.blocks[:1], [tile])
        assert asked == compiled


def test_of_a_strip_no_tile_is_narrowed_along_its_short_side(
    tmp_path: Path, image: np.ndarray, model: Model
) -> None:
    strip = image[:72]
    settings = model.recipe.inference.model_copy(update={"batch_pixels": 1})
    plan = large_module.plan_large_image(lazy_stack(strip), model, settings, LargeImageSettings()).plan
    assert plan.partial
    assert plan.tile_shape == (72, 128)
    assert plan.part_shape == (72, 128 - 2 * plan.columns.halo)
    out = segment_stack(lazy_stack(strip), model, tmp_path / "a.ome.zarr", settings)
    assert_whole(result(out), strip, model)


def test_too_little_context_is_seen_in_the_mask(tmp_path: Path, image: np.ndarray, model: Model) -> None:
    out = segment_stack(
        lazy_stack(image), model, tmp_path / "a.ome.zarr", large=LargeImageSettings(context=0)
    )
    assert (result(out) != whole(image, model)).sum() > 20


def test_small_pieces_are_dropped_across_blocks(tmp_path: Path, image: np.ndarray, model: Model) -> None:
    settings = model.recipe.inference.model_copy(update={"minimum_size": 300})
    out = segment_stack(lazy_stack(image), model, tmp_path / "a.ome.zarr", settings)
    assert 0 < whole(image, model, minimum_size=300).sum() < whole(image, model).sum()
    assert_whole(result(out), image, model, minimum_size=300)
    assert "raw" not in zarr.open_group(out, mode="r")


@pytest.mark.parametrize("minimum", [0, 300])
def test_objects_are_the_connected_pieces_of_the_whole(
    minimum: int, tmp_path: Path, image: np.ndarray, model: Model
) -> None:
    settings = model.recipe.inference.model_copy(update={"minimum_size": minimum, "threshold": 0.6})
    out = segment_stack(lazy_stack(image), model, tmp_path / "a.ome.zarr", settings, objects=True)
    found = result(out)
    assert found.dtype == np.uint32
    expected = connected_objects(whole(image, model, minimum_size=minimum, threshold=0.6))
    assert expected.max() > 5  # some of them larger than a block
    np.testing.assert_array_equal(np.unique(found), np.arange(expected.max() + 1))
    # The same pieces, whatever their numbers: each of ours is one of theirs.
    pairs = np.unique(np.stack([found.ravel(), expected.ravel()]), axis=1)
    assert pairs.shape[1] == expected.max() + 1
    np.testing.assert_array_equal(result(out, 1), found[::2, ::2])


def test_a_stopped_run_goes_on(tmp_path: Path, image: np.ndarray, model: Model) -> None:
    cancel, seen = CancelToken(), []

    def stop(progress: Progress) -> None:
        seen.append(progress)
        if sum(p.piece is not None for p in seen) == 5:
            cancel.cancel()

    out = tmp_path / "a.ome.zarr"
    one = model.recipe.inference.model_copy(update={"batch_pixels": 1})
    with pytest.raises(Cancelled):
        segment_stack(lazy_stack(image), model, out, one, on_progress=stop, cancel=cancel)
    assert not out.exists()
    first = [p.piece for p in seen if p.piece]
    assert 5 <= len(first) < 12
    seen.clear()
    segment_stack(lazy_stack(image), model, out, on_progress=seen.append)
    second = [p.piece for p in seen if p.piece]
    assert len(first) + len(second) == 12
    assert next(p for p in seen if p.piece).done > 0.0768 * 5 / 12
    assert_whole(result(out), image, model)
    assert not list(tmp_path.glob("*.unfinished"))


def test_less_memory_on_the_second_go_changes_nothing(
    tmp_path: Path, image: np.ndarray, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancel = CancelToken()
    out = tmp_path / "a.ome.zarr"
    with pytest.raises(Cancelled):
        segment_stack(
            lazy_stack(image), model, out, on_progress=lambda p: p.piece and cancel.cancel(), cancel=cancel
        )
    monkeypatch.setattr("napari_unet.inference.budget.LARGEST_TILE", 90)
    segment_stack(lazy_stack(image), model, out)
    assert_whole(result(out), image, model)


@pytest.mark.parametrize("what", ["image", "settings", "model", "finished"])
def test_what_was_begun_otherwise_is_not_gone_on_with(
    what: str, tmp_path: Path, image: np.ndarray, model: Model
) -> None:
    cancel = CancelToken()
    out = tmp_path / "a.ome.zarr"

    def go(image: np.ndarray = image, model: Model = model, **changes: Any) -> None:
        settings = model.recipe.inference.model_copy(update=changes)
        segment_stack(lazy_stack(image), model, out, settings)

    if what == "finished":
        go()
        with raises_code("output.exists"):
            go()
        return
    with pytest.raises(Cancelled):
        segment_stack(
            lazy_stack(image), model, out, on_progress=lambda p: p.piece and cancel.cancel(), cancel=cancel
        )
    if what == "image":
        with raises_code("output.different", "another image"):
            go(image[::-1])
    elif what == "settings":
        with raises_code("output.different", "other settings", "threshold 0.5", "threshold 0.7"):
            go(threshold=0.7)
    else:
        other = load_model(write_tiny_model(tmp_path / "other", seed=5))
        with raises_code("output.different", "another model"):
            go(model=other)
    segment_stack(lazy_stack(image[::-1]), model, out, overwrite=True)
    assert_whole(result(out), image[::-1], model)


def test_overwrite_removes_nothing_of_others(tmp_path: Path, image: np.ndarray, model: Model) -> None:
    precious = tmp_path / "a.ome.zarr"
    precious.mkdir()
    (precious / "thesis.txt").write_text("x")
    with raises_code("data.store.foreign"):
        segment_stack(lazy_stack(image), model, precious, overwrite=True)
    assert (precious / "thesis.txt").exists()


def test_stacks_go_image_by_image(tmp_path: Path, image: np.ndarray, model: Model) -> None:
    stack = np.stack([image[:100, :92], image[100:200, 92:184], image[140:, 200:292]])[None]
    size = PixelSize(0.5, 0.25)
    out = segment_stack(lazy_stack(stack, pixel_size=size), model, tmp_path / "a.ome.zarr")
    found = result(out)
    assert found.shape == (1, 3, 100, 92)
    for n in range(3):
        assert_whole(found[0, n], stack[0, n], model)
    about = zarr.open_group(out, mode="r").attrs["ome"]["multiscales"][0]
    assert [a["name"] for a in about["axes"]] == ["t", "z", "y", "x"]
    assert about["datasets"][0]["coordinateTransformations"][0]["scale"] == [1, 1, 0.5, 0.25]


def test_what_is_looked_at_comes_first(tmp_path: Path, image: np.ndarray, model: Model) -> None:
    seen: list[Any] = []
    segment_stack(
        lazy_stack(image), model, tmp_path / "a.ome.zarr", focus=lambda: (0, 200.0, 20.0),
        on_progress=lambda p: p.piece and seen.append(p.piece),
    )  # fmt: skip
    assert (seen[0].rows.start, seen[0].columns.start) == (160, 0)
    far = [np.hypot(max(200 - b.rows.stop, 0), max(b.columns.start - 20, 0)) for b in seen]
    assert far == sorted(far)


def test_memory_that_does_not_last_halves_the_batch_and_is_said_once(
    tmp_path: Path, image: np.ndarray, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    true = average_over_flips

    def scarce(network: Any, batch: np.ndarray, flips: str, rays: int) -> np.ndarray:
        sizes.append(len(batch))
        if len(batch) > 2:
            raise MemoryError
        return true(network, batch, flips)

    monkeypatch.setattr(tile_runner, "average_over_flips", scarce)
    messages: list[str] = []
    out = segment_stack(
        lazy_stack(image), model, tmp_path / "a.ome.zarr",
        model.recipe.inference.model_copy(update={"batch_pixels": 128 * 128 * 8}),
        on_progress=lambda p: messages.append(p.message),
    )  # fmt: skip
    assert_whole(result(out), image, model)
    assert sizes[:3] == [8, 4, 2]
    assert set(sizes[3:]) == {2}
    assert [m for m in messages if "memory" in m] == [
        f"Out of memory: continuing with batches of {n}" for n in (4, 2)
    ]
    monkeypatch.setattr(tile_runner, "average_over_flips", lambda *a: (_ for _ in ()).throw(MemoryError()))
    with raises_code("compute.memory"):
        segment_stack(lazy_stack(image), model, tmp_path / "b.ome.zarr")


def test_of_several_channels_one_must_be_chosen(tmp_path: Path, image: np.ndarray, model: Model) -> None:
    both = lazy_stack(np.stack([image[::-1], image]), axes="cyx", channels=["GFP", "DAPI"])
    with raises_code("model.channels.count", "1 channel", "got 2", "GFP, DAPI"):
        segment_stack(both, model, tmp_path / "a.ome.zarr")
    out = segment_stack(both.choose(["DAPI"]), model, tmp_path / "a.ome.zarr")
    assert_whole(result(out), image, model)


def test_a_constant_image_has_an_empty_mask_and_is_told(
    tmp_path: Path, image: np.ndarray, model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    both = lazy_stack(np.stack([np.full_like(image, 7), image]), "a", "zyx")
    out = segment_stack(both, model, tmp_path / "a.ome.zarr")
    assert caplog.messages == ["a at z 0 is constant: there is nothing to see, so its mask is empty"]
    assert not result(out)[0].any()
    assert_whole(result(out)[1], image, model)


def test_where_there_are_no_data_nothing_is_marked(tmp_path: Path, image: np.ndarray, model: Model) -> None:
    lacking = image.astype(np.float32)
    lacking[60:110, 200:] = np.nan
    found = result(segment_stack(lazy_stack(lacking, "a"), model, tmp_path / "a.ome.zarr"))
    assert not found[60:110, 200:].any()
    assert found[60:110, :200].any()
    assert_whole(found, lacking, model)


def test_pixels_of_another_size_are_resized_to_the_models(
    tmp_path: Path, image: np.ndarray, grey_model: Path
) -> None:
    knows = load_model(grey_model)
    training = knows.recipe.training.model_copy(update={"pixel_size": "0.5 um"})
    knows.recipe = knows.recipe.model_copy(update={"training": training})
    twice = image.repeat(2, 0).repeat(2, 1)
    out = segment_stack(lazy_stack(twice, pixel_size=PixelSize(0.25, 0.25)), knows, tmp_path / "a.ome.zarr")
    found = result(out)
    assert found.shape == (480, 640)
    settings = knows.recipe.inference.model_copy(update={"tile": 2048})
    (small,) = segment_samples([Sample("a", lambda: image[..., None])], knows, settings)
    expected = resize(small.probabilities, (480, 640))[..., 0] > settings.threshold
    assert (found != expected).mean() < 1e-3  # rounded to half precision before, not after


def test_other_programs_read_the_result(tmp_path: Path, image: np.ndarray, model: Model) -> None:
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    out = segment_stack(lazy_stack(image, pixel_size=PixelSize(0.5, 0.5)), model, tmp_path / "a.ome.zarr")
    (node,) = Reader(parse_url(out))()
    assert [level.shape for level in node.data] == [(240, 320), (120, 160)]
    assert_whole(np.asarray(node.data[0]), image, model)
    assert node.metadata["color"][1][:3] == pytest.approx([230 / 255, 159 / 255, 0], abs=0.01)


def test_how_far_a_network_sees_and_what_it_holds(model: Model) -> None:
    network = model.network
    middle = np.random.default_rng(0).standard_normal((1, 128, 128, 1)).astype(np.float32)
    sees = reach(network)
    assert sees is not None
    before = np.asarray(network.predict_on_batch(middle))
    for place in range(60, 68):
        changed = middle.copy()
        changed[:, :, place] += 5
        moved = np.abs(np.asarray(network.predict_on_batch(changed)) - before).max(axis=(0, 1, 3))
        touched = np.flatnonzero(moved)
        assert max(place - touched.min(), touched.max() - place) <= sees
    import keras

    given = keras.Input((None, None, 2))
    first = keras.layers.Conv2D(3, 3, padding="same")(given)
    second = keras.layers.Conv2D(5, 3, padding="same")(first)
    both = keras.Model(given, keras.layers.Concatenate()([first, second]))
    # At the end: 3 and 5 channels go in, 8 come out.
    assert held_values(both, (10, 10)) == 100 * (3 + 5 + 8)


def test_a_killed_program_goes_on(tmp_path: Path, image: np.ndarray, grey_model: Path, model: Model) -> None:
    large = np.tile(image, (6, 6))
    zarr.create_array(tmp_path / "a.zarr", data=large, chunks=(512, 512))
    line = [
        sys.executable, "-m", "napari_unet.cli", "segment", str(tmp_path / "a.zarr"),
        "--model", str(grey_model), "--out", str(tmp_path / "out"), "--memory", "0.155",
    ]  # fmt: skip
    with subprocess.Popen(line, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as program:
        chunks = tmp_path / "out" / "a.ome.zarr.unfinished" / "0" / "c"

        def finished() -> list[Path]:  # a chunk that is being written has another name until it is whole
            return [file for file in chunks.glob("*/*") if "partial" not in file.name]

        until = time.monotonic() + 120
        while time.monotonic() < until and len(finished()) < 3:
            assert program.poll() is None
            time.sleep(0.02)
        program.send_signal(signal.SIGKILL)
    kept = {file: file.stat().st_mtime_ns for file in finished()}
    assert len(kept) >= 3
    again = subprocess.run(line, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    out = tmp_path / "out" / "a.ome.zarr"
    untouched = [
        stamp == (out / file.relative_to(tmp_path / "out" / "a.ome.zarr.unfinished")).stat().st_mtime_ns
        for file, stamp in kept.items()
    ]
    assert all(untouched)
    uninterrupted = [*line[:-3], str(tmp_path / "at once"), *line[-2:]]
    subprocess.run(uninterrupted, check=True, capture_output=True)
    np.testing.assert_array_equal(result(out), result(tmp_path / "at once" / "a.ome.zarr"))
    # The program computes in the processor's precision, this process in float32.
    assert (result(out) == whole(large, model)).mean() > 0.99
