"""A window is killed while a person paints in a stack: no stroke that is older than a second is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.project.project import Project
from support.kill_stack import NAME, SHAPE, UNKNOWN, digest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.window, pytest.mark.slow]
GRACE = 1.0  # seconds


def lines_of(log: Path) -> list[dict[str, Any]]:
    text = log.read_text() if log.exists() else ""
    return [json.loads(line) for line in text.splitlines() if line.endswith("}")]


@pytest.mark.parametrize(("seed", "kind"), [(1, "mask"), (2, "mask"), (3, "strokes")])
def test_strokes_in_slices_of_a_stack_outlive_a_kill(tmp_path: Path, seed: int, kind: str) -> None:
    log = tmp_path / "log"
    nothing = np.full(SHAPE[1:], UNKNOWN if kind == "strokes" else 0)
    command = [sys.executable, "-m", "support.kill_stack", str(log), str(seed), kind]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    try:
        end = time.monotonic() + 90
        while not lines_of(log) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(2.5 + 0.3 * seed)
        assert process.poll() is None
    finally:
        killed = time.monotonic()
        process.kill()
        process.wait()
    lines = lines_of(log)
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
