"""The mask of a large image on disk: painted on all levels alike, undone, found again after a kill."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.data.sample import Sample
from napari_unet.project.corrections import background_writer, disk_mask
from napari_unet.project.corrections.disk_mask import DiskMask, corrections_folder, note_making
from napari_unet.workflow.large_images.layers.stroke_mask import make_stroke_mask
from support.errors import raises_code
from support.large_masks import halved, levels_of, write_large_mask

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHAPE = (700, 610)  # three levels, the last chunk of each row and column cut


@pytest.fixture
def store(tmp_path: Path) -> Path:
    probabilities = np.random.default_rng(0).random((*SHAPE, 1)).astype(np.float32)
    path = tmp_path / "a.ome.zarr"
    write_large_mask(path, probabilities, chunk=128)
    return path


def brush(mask: DiskMask, place: tuple[int, int], size: int, label: int, **about: Any) -> Any:
    """Paint a square through a lens of 200 x 200 pixels around it, as the window does."""
    height, width = mask.shape
    top, left = (max(0, min(p - 90, side - 200)) for p, side in zip(place, (height, width), strict=True))
    before = mask.read(slice(top, top + 200), slice(left, left + 200))
    after = before.copy()
    after[place[0] - top : place[0] - top + size, place[1] - left : place[1] - left + size] = label
    return mask.paint(before, after, (top, left), **about)


def test_a_stroke_is_in_the_mask_on_all_levels(store: Path) -> None:
    expected = levels_of(store)[0]
    expected[120:140, 250:270] = 1
    mask = DiskMask(store, "a")
    brush(mask, (120, 250), 20, 1)
    np.testing.assert_array_equal(mask.read(slice(100, 150), slice(240, 280)), expected[100:150, 240:280])
    assert mask.flush()
    for found, wanted in zip(levels_of(store), halved(expected, 3), strict=True):
        np.testing.assert_array_equal(found, wanted)
    mask.close()


def test_levels_wait_until_the_hand_rests_but_not_for_ever(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_mask, "REST", 60.0)
    plain = levels_of(store)[0]
    mask = DiskMask(store, "a")
    brush(mask, (10, 10), 30, 2)
    brush(mask, (60, 40), 30, 3)
    until(lambda: not mask.waiting)  # both are in the journal
    np.testing.assert_array_equal(levels_of(store)[0], plain)
    wanted = plain.copy()
    wanted[10:40, 10:40], wanted[60:90, 40:70] = 2, 3
    np.testing.assert_array_equal(mask.mask(), wanted)  # what is read has them all the same
    assert mask.flush(10)  # which waits for no rest
    np.testing.assert_array_equal(levels_of(store)[0], wanted)
    monkeypatch.setattr(background_writer, "LONGEST_REST", 0.05)
    brush(mask, (200, 200), 30, 3)
    wanted[200:230, 200:230] = 3
    until(lambda: np.array_equal(levels_of(store)[0], wanted))
    mask.close()


def until(so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + 10
    while not so():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_levels_are_those_of_a_full_rebuild_whatever_is_painted_and_undone(store: Path) -> None:
    chance = random.Random(3)
    plain = levels_of(store)[0]
    mask = DiskMask(store, "a")
    undo: list[np.ndarray] = []
    for _ in range(120):
        if undo and chance.random() < 0.3:
            mask.undo()
            plain = undo.pop()
            continue
        y, x, size = chance.randrange(SHAPE[0]), chance.randrange(SHAPE[1]), chance.randrange(1, 90)
        label = chance.choice([0, 1, 2, 255])
        after = plain.copy()
        after[y : y + size, x : x + size] = label
        if brush(mask, (y, x), size, label) is not None:
            undo.append(plain)
            plain = after
    y, x = chance.randrange(500), chance.randrange(400)
    np.testing.assert_array_equal(
        mask.read(slice(y, y + 200), slice(x, x + 200)), plain[y : y + 200, x : x + 200]
    )
    mask.close()
    for found, wanted in zip(levels_of(store), halved(plain, 3), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_what_is_painted_is_verified_and_counted_until_it_is_taken_back(store: Path) -> None:
    mask = DiskMask(store, "a", clock=lambda: 5.0)
    before = mask.read(slice(0, 40), slice(0, 40))
    changed = int((before[:10, :10] != 2).sum())
    assert changed == 100
    brush(mask, (0, 0), 10, 2)
    assert (mask.stats().strokes, mask.stats().changed, mask.stats().verified) == (1, 100, 100)
    assert mask.has_evidence()
    seen = mask.verified(slice(5, 15), slice(0, 20))
    assert seen.sum() == 50
    assert seen[:5, :10].all()
    # More of one drag is one stroke, and is taken back with it.
    brush(mask, (10, 0), 10, 2, begun=0)
    assert mask.stats().strokes == 1
    assert len(mask.versions()) == 2
    mask.undo()
    np.testing.assert_array_equal(mask.read(slice(0, 40), slice(0, 40)), before)
    assert mask.stats().verified == 0
    assert not mask.has_evidence()
    assert mask.undo() is None
    mask.close()


def test_undo_by_napari_is_an_undo(store: Path) -> None:
    mask = DiskMask(store, "a")
    before = mask.read(slice(0, 40), slice(0, 40))
    after = before.copy()
    after[3:9, 3:9] = 2
    mask.paint(before, after, (0, 0))
    taken = mask.paint(after, before, (0, 0))
    assert taken is not None
    assert taken.kind == "undo"
    assert not mask.has_evidence()
    mask.close()


def test_opened_again_it_can_be_undone_and_reverted(store: Path) -> None:
    plain = levels_of(store)[0]
    with_strokes = DiskMask(store, "a")
    for number in range(3):
        brush(with_strokes, (30 * number, 50), 20, 2)
    with_strokes.set_done()
    with_strokes.close()
    mask = DiskMask(store, "a")
    assert mask.stats().done
    assert len(mask.versions()) == 4
    assert (mask.read(slice(60, 80), slice(50, 70)) == 2).all()
    mask.revert_to("a", mask.versions()[1].number)
    np.testing.assert_array_equal(mask.read(slice(30, 100), slice(50, 70)), plain[30:100, 50:70])
    assert (mask.read(slice(0, 20), slice(50, 70)) == 2).all()
    mask.revert()
    assert not mask.has_evidence()
    mask.close()
    np.testing.assert_array_equal(levels_of(store)[0], plain)


def test_two_windows_do_not_paint_on_one_mask(store: Path) -> None:
    first = DiskMask(store, "a")
    brush(first, (0, 0), 10, 2)
    first.flush()
    second = DiskMask(store, "a")
    assert second.read_only
    assert "open elsewhere" in second.problem
    assert (second.read(slice(0, 10), slice(0, 10)) == 2).all()
    with raises_code("output.project.readonly"):
        brush(second, (50, 50), 10, 2)
    second.close()
    first.close()


def test_made_again_of_its_probabilities_it_gets_its_strokes_back(store: Path) -> None:
    """A stroke that is undone then leaves the new prediction, not what was there before."""
    mask = DiskMask(store, "a")
    brush(mask, (100, 100), 30, 2)
    mask.close()
    note_making(store, made=False)
    probabilities = np.zeros((*SHAPE, 1), np.float32)
    write_large_mask(store, probabilities, chunk=128)
    # Killed before the new mask was whole: the strokes are there all the same.
    killed = DiskMask(store, "a")
    assert (killed.read(slice(100, 130), slice(100, 130)) == 2).all()
    killed.close()
    note_making(store, made=False)
    write_large_mask(store, probabilities, chunk=128)
    note_making(store, made=True)
    mask = DiskMask(store, "a")
    assert (mask.read(slice(100, 130), slice(100, 130)) == 2).all()
    assert mask.stats().verified == 900
    mask.undo()
    assert not mask.read(slice(90, 140), slice(90, 140)).any()
    mask.close()
    assert not levels_of(store)[0].any()


def test_strokes_go_over_to_the_mask_of_another_model(store: Path, tmp_path: Path) -> None:
    other = tmp_path / "b.ome.zarr"
    write_large_mask(other, np.ones((*SHAPE, 1), np.float32), chunk=128)
    old, new = DiskMask(store, "a"), DiskMask(other, "a")
    brush(old, (300, 300), 10, 2)
    brush(old, (300, 305), 10, 0)
    assert new.carry_over(old) == 2
    assert new.carry_over(old) == 0
    wanted = np.ones(SHAPE, np.uint8)
    wanted[300:310, 300:305], wanted[300:310, 305:315] = 2, 0
    new.undo()
    wanted[300:310, 305:310], wanted[300:310, 310:315] = 2, 1
    old.close()
    new.close()
    np.testing.assert_array_equal(levels_of(other)[0], wanted)


def stroke_mask(folder: Path) -> Path:
    """A mask of which nothing is known yet, of an image of the same size."""
    image = np.zeros((*SHAPE, 1), np.uint8)
    sample = Sample("a", lambda: image)
    return make_stroke_mask(sample, (*SHAPE, 1), folder, "a strokes", ("one", "two"))


def test_a_mask_of_strokes_is_unknown_where_nobody_painted(tmp_path: Path) -> None:
    path = stroke_mask(tmp_path)
    mask = DiskMask(path, "a")
    assert mask.holds_strokes_only
    assert (mask.mask() == 255).all()
    brush(mask, (120, 250), 20, 1)
    brush(mask, (300, 310), 10, 0)
    mask.close()
    wanted = np.full(SHAPE, 255, np.uint8)
    wanted[120:140, 250:270], wanted[300:310, 310:320] = 1, 0
    for found, level in zip(levels_of(path), halved(wanted, 3), strict=False):
        np.testing.assert_array_equal(found, level)
    again = DiskMask(path, "a")
    assert again.stats().verified == 500
    assert again.last_strokes(256) == {(0, 0): 1, (0, 1): 1, (1, 1): 2}
    again.undo()
    assert (again.read(slice(300, 310), slice(310, 320)) == 255).all()
    again.close()
    # The mask of the same image is found again; that of another image is left alone.
    assert stroke_mask(tmp_path) == path
    other = np.ones((*SHAPE, 1), np.uint8)
    sample = Sample("a", lambda: other)
    assert make_stroke_mask(sample, (*SHAPE, 1), tmp_path, "a strokes", ("one",)) != path


def test_strokes_go_over_to_the_mask_that_a_model_makes_without_what_was_erased(
    store: Path, tmp_path: Path
) -> None:
    strokes, new = DiskMask(stroke_mask(tmp_path), "a"), DiskMask(store, "a")
    wanted = new.mask()
    brush(strokes, (300, 300), 10, 2)
    brush(strokes, (300, 305), 5, 255)  # the eraser: unknown again
    assert new.carry_over(strokes) == 2
    wanted[300:310, 300:305] = wanted[305:310, 305:310] = 2
    np.testing.assert_array_equal(new.mask(), wanted)
    assert new.stats().verified == 75
    strokes.close()
    new.close()


def paint_until_killed(path: Path, log: Path, seed: int) -> None:
    """A person who paints, and writes down what shall be there, and afterwards that it is."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    chance, mask = random.Random(seed), DiskMask(path, "a")
    while True:
        y, x, label = (
            chance.randrange(SHAPE[0] - 30),
            chance.randrange(SHAPE[1] - 30),
            chance.choice([0, 2, 3]),
        )
        stroke = {"y": y, "x": x, "label": label}
        os.write(handle, json.dumps({"will": stroke, "t": time.monotonic()}).encode() + b"\n")
        brush(mask, (y, x), 30, label)
        os.write(handle, json.dumps({"did": stroke, "t": time.monotonic()}).encode() + b"\n")
        time.sleep(chance.random() * 0.02)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "kind"), [(0, "mask"), (1, "mask"), (2, "strokes")])
def test_killed_at_any_moment_nothing_older_than_a_second_is_lost(
    store: Path, tmp_path: Path, seed: int, kind: str
) -> None:
    if kind == "strokes":
        store = stroke_mask(tmp_path)
    plain = levels_of(store)[0]
    context: Any = multiprocessing.get_context("forkserver" if os.name != "nt" else "spawn")
    for round_number in range(3):
        log = tmp_path / f"{round_number}.log"
        process = context.Process(target=paint_until_killed, args=(store, log, seed * 100 + round_number))
        process.start()
        end = time.monotonic() + 30
        while time.monotonic() < end and not (log.exists() and log.stat().st_size):
            time.sleep(0.01)
        time.sleep(random.Random(seed + round_number).uniform(0.1, 1.8))
        killed = time.monotonic()
        process.kill()
        process.join()
        lines = [json.loads(line) for line in log.read_text().split("\n")[:-1]]
        strokes = [line["will"] for line in lines if "will" in line]
        sure = sum("did" in line and line["t"] < killed - 1 for line in lines)
        states = [plain]
        for stroke in strokes:
            after = states[-1].copy()
            y, x = stroke["y"], stroke["x"]
            after[y : y + 30, x : x + 30] = stroke["label"]
            states.append(after)
        mask = DiskMask(store, "a")
        assert not mask.problem
        found = mask.mask()
        kept = [n for n, state in enumerate(states) if np.array_equal(state, found)]
        assert kept
        assert kept[-1] >= sure
        mask.close()
        plain = found
        for level, wanted in zip(levels_of(store), halved(plain, len(levels_of(store))), strict=True):
            np.testing.assert_array_equal(level, wanted)
    assert corrections_folder(store).is_dir()
