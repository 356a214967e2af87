"""A large image in the window: its mask grows on disk from where the person looks, stops and continues."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from scipy import ndimage

from napari_unet.models.card import ModelCard
from napari_unet.widgets.canvas import large_masks
from napari_unet.widgets.parts.preferences import Preferences

pytestmark = pytest.mark.window
SIDE = 2048


@pytest.fixture
def image(tmp_path: Path) -> Any:
    noise = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((512, 512)), 4)
    tile = (noise * 900 + 128).clip(0, 255).astype(np.uint8)
    array = zarr.create_array(tmp_path / "a.zarr", shape=(SIDE, SIDE), chunks=(512, 512), dtype=np.uint8)
    array[:] = np.tile(tile, (SIDE // 512, SIDE // 512))
    return array


@pytest.fixture
def _small_limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    chosen = Preferences(large_megapixels=1.0, memory=0.2)
    monkeypatch.setattr("napari_unet.widgets.workbench.read_preferences", lambda: chosen)
    monkeypatch.setattr(large_masks, "folder_for", lambda source: tmp_path / "masks")


@pytest.mark.usefixtures("_small_limits")
def test_a_large_image_is_segmented_from_where_one_looks(
    ready: Any, image: Any, qtbot: Any, tmp_path: Path
) -> None:
    viewer, session = ready.viewer, ready.session
    viewer.add_image(image, name="a", contrast_limits=(0, 255))
    qtbot.waitUntil(lambda: session.workspace.current == "a", timeout=5000)
    viewer.layers["a"].corner_pixels = np.array([[1700, 1700], [SIDE - 1, SIDE - 1]])
    told: list[str] = []
    # The words are written at the same signal, just before.
    ready._soon.timeout.connect(lambda: told.append(ready.segment_panel.progress_words.text()))
    pieces: list[Any] = []
    taken = ready.large._on_progress

    def stop_after_three(progress: Any) -> None:
        taken(progress)
        if hasattr(progress.piece, "rows"):
            pieces.append(progress.piece)
            if len(pieces) == 3:
                session.runner.cancel()

    ready.large._on_progress = stop_after_three
    ready.segment_panel.run_button.click()
    qtbot.waitUntil(lambda: session.runner.busy, timeout=5000)
    qtbot.waitUntil(lambda: not session.runner.busy, timeout=120_000)
    first = pieces[0]
    assert first.rows.start > SIDE / 2
    assert first.columns.start > SIDE / 2
    (unfinished,) = (tmp_path / "masks").iterdir()
    assert unfinished.name.endswith(".unfinished")
    layer = ready.large.layer
    assert layer.multiscale
    # What is finished is seen on the coarsest level, too, and nothing else.
    rows, columns = (slice(p.start // 4, p.stop // 4) for p in (first.rows, first.columns))
    assert np.asarray(layer.data[2][rows, columns]).any()
    assert not np.asarray(layer.data[2][: SIDE // 16, : SIDE // 16]).any()

    files = {path: path.stat().st_mtime_ns for path in (unfinished / "0" / "c").glob("*/*")}
    assert len(files) >= 3
    pieces.clear()
    ready.large._on_progress = lambda progress: (
        taken(progress),
        pieces.append(progress.piece) if hasattr(progress.piece, "rows") else None,
    )
    ready.segment_panel.run_button.click()
    qtbot.waitUntil(lambda: session.runner.busy, timeout=5000)
    qtbot.waitUntil(lambda: not session.runner.busy, timeout=240_000)
    (out,) = (tmp_path / "masks").iterdir()
    assert out.name.endswith(".ome.zarr")
    for path, stamp in files.items():
        assert (out / path.relative_to(unfinished)).stat().st_mtime_ns == stamp
    assert ready.large.layer is layer
    assert Path(layer.data[0].store.root) == out
    found = np.asarray(layer.data[0])
    assert 0.1 < found.mean() < 0.9
    # The image repeats itself, and so does its mask, away from the border.
    np.testing.assert_array_equal(found[512:1024, 512:1024], found[1024:1536, 512:1024])
    assert sum((p.rows.stop - p.rows.start) * (p.columns.stop - p.columns.start) for p in pieces) < SIDE**2
    assert any("Megapixels" in words and "left" in words for words in told)
    # Asked for again, it is there.
    pieces.clear()
    ready.segment_panel.run_button.click()
    qtbot.waitUntil(lambda: not session.runner.busy, timeout=20_000)
    assert not pieces
    assert [path.name for path in (tmp_path / "masks").iterdir()] == [out.name]


def test_masks_go_beside_the_image(tmp_path: Path) -> None:
    image = tmp_path / "a.zarr"
    image.mkdir()
    assert large_masks.folder_for(str(image)) == tmp_path
    assert large_masks.folder_for(None) == Path.home() / large_masks.ELSEWHERE
    assert large_masks.folder_for(str(tmp_path / "gone" / "b.zarr")) == Path.home() / large_masks.ELSEWHERE


@pytest.mark.usefixtures("_small_limits")
def test_who_goes_to_another_image_finds_the_mask_where_it_belongs(
    ready: Any, image: Any, qtbot: Any, tmp_path: Path
) -> None:
    viewer, session = ready.viewer, ready.session
    viewer.add_image(image, name="a", contrast_limits=(0, 255))
    viewer.add_image(image[:700, :500], name="b", contrast_limits=(0, 255))
    qtbot.waitUntil(
        lambda: session.workspace.collection is not None and len(session.workspace.collection) == 2,
        timeout=5000,
    )
    session.workspace.select("a")
    qtbot.waitUntil(lambda: session.workspace.current == "a", timeout=5000)
    taken = ready.large._on_progress

    def leave(progress: Any) -> None:
        if session.workspace.current == "a":  # before anything of the mask is there
            session.workspace.select("b")
        taken(progress)

    ready.large._on_progress = leave
    ready.segment_panel.run_button.click()
    qtbot.waitUntil(lambda: session.runner.busy, timeout=5000)
    qtbot.waitUntil(lambda: not session.runner.busy, timeout=240_000)
    assert session.workspace.current == "b"
    (out,) = (tmp_path / "masks").iterdir()
    (layer,) = [one for one in viewer.layers if one.name.endswith("mask on disk")]
    assert layer.name == "a grey: mask on disk"
    assert Path(layer.data[0].store.root) == out
    assert layer.data[0].shape == (SIDE, SIDE)
    ready.large._on_progress = taken
    session.workspace.select("a")
    ready.segment_panel.run_button.click()
    qtbot.waitUntil(lambda: session.runner.busy, timeout=5000)
    qtbot.waitUntil(lambda: not session.runner.busy, timeout=20_000)
    assert [one for one in viewer.layers if one.name.endswith("mask on disk")] == [layer]


def test_models_that_see_an_image_as_a_whole_do_not_go_by_blocks(tiny_models: dict[str, Path]) -> None:
    card = ModelCard.read(tiny_models["grey"])
    plain = card.recipe.inference
    assert large_masks.goes_by_blocks(card, plain)
    assert not large_masks.goes_by_blocks(card, plain.model_copy(update={"refinement": 0.5}))
    members = {"ensemble": {"members": ["a", "b"], "weights": [0.5, 0.5]}}
    assert not large_masks.goes_by_blocks(replace(card, provenance=members), plain)

    def with_network(**changes: Any) -> ModelCard:
        network = card.recipe.network.model_copy(update=changes)
        return replace(card, recipe=card.recipe.model_copy(update={"network": network}))

    assert not large_masks.goes_by_blocks(with_network(name="mask_rcnn", separation="objects"), plain)
    present = with_network(presence=True)
    assert large_masks.goes_by_blocks(present, plain)
    assert not large_masks.goes_by_blocks(present, plain.model_copy(update={"least_presence": 0.5}))
