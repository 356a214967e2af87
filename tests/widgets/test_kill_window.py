"""A window is killed while a person paints: no stroke that is older than a second is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.project.corrections.disk_mask import DiskMask
from napari_unet.project.project import Project
from support import kill_lens
from support.kill_stack import NAME, SHAPE, UNKNOWN, digest
from support.large_masks import halved, levels_of, write_large_mask

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.window, pytest.mark.slow]
GRACE = 1.0  # seconds


def lines_of(log: Path) -> list[dict[str, Any]]:
    text = log.read_text() if log.exists() else ""
    return [json.loads(line) for line in text.splitlines() if line.endswith("}")]


def paint_until_killed(
    program: str, log: Path, *about: str, seconds: float
) -> tuple[list[dict[str, Any]], float]:
    """Kill a program that paints so long after its first line; gives its lines, and when that was."""
    command = [sys.executable, "-m", program, str(log), *about]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    try:
        end = time.monotonic() + 90
        while not lines_of(log) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(seconds)
        assert process.poll() is None
    finally:
        killed = time.monotonic()
        process.kill()
        process.wait()
    return lines_of(log), killed


@pytest.mark.parametrize(("seed", "kind"), [(1, "mask"), (2, "mask"), (3, "strokes")])
def test_strokes_in_slices_of_a_stack_outlive_a_kill(tmp_path: Path, seed: int, kind: str) -> None:
    log = tmp_path / "log"
    nothing = np.full(SHAPE[1:], UNKNOWN if kind == "strokes" else 0)
    lines, killed = paint_until_killed("support.kill_stack", log, str(seed), kind, seconds=2.5 + 0.3 * seed)
    demanded = 0
    with Project.open(lines[0]["open"], read_only=True) as project:
        for number in range(SHAPE[0]):
            # The states in order; the last one that must be there, and those that may be.
            states = [line["state"] for line in lines if line.get("will") == number]
            old = [line for line in lines if line.get("did") == number and line["t"] < killed - GRACE]
            must = len(old)  # each stroke was announced once and done once
            demanded += must
            identifier = f"{NAME} [{number}]"
            kept = project.corrections.mask(identifier) if identifier in project.corrections else None
            if kept is None:
                assert set(states[:must]) <= {digest(nothing)}  # nothing but erased where nothing was
                continue
            first = digest(np.eye(*SHAPE[1:], dtype=np.uint8))
            allowed = [first, digest(nothing), *states] if not must else states[must - 1 :]
            assert digest(kept) in allowed, (number, must, len(states))
    assert demanded >= 3


def test_strokes_through_the_lens_outlive_a_kill(tmp_path: Path) -> None:
    store = tmp_path / "a.ome.zarr"
    probabilities = np.random.default_rng(0).random((*kill_lens.SHAPE, 1)).astype(np.float32)
    state = write_large_mask(store, probabilities, chunk=128)
    log = tmp_path / "log"
    lines, killed = paint_until_killed("support.kill_lens", log, str(store), "4", seconds=3.5)
    states = [state]
    for y, x, label in (line["will"] for line in lines if "will" in line):
        states.append(states[-1].copy())
        states[-1][y : y + kill_lens.SIZE, x : x + kill_lens.SIZE] = label
    sure = sum("did" in line and line["t"] < killed - GRACE for line in lines)
    assert sure >= 3
    mask = DiskMask(store, "a")
    found = mask.mask()
    there = [n for n, wanted in enumerate(states) if np.array_equal(wanted, found)]
    mask.close()
    assert there
    assert there[-1] >= sure
    levels = levels_of(store)
    for level, wanted in zip(levels, halved(found, len(levels)), strict=True):
        np.testing.assert_array_equal(level, wanted)
