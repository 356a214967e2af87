"""The road of `make window` to a saved stack, driven in a window with a warm process, on a small stack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.window,
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
    ),
]
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_a_stack_is_saved_in_thirteen_clicks(
    ready: Any, viewer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from roads import saved_stack
    from roads.hand import Hand

    monkeypatch.setattr(saved_stack, "SHAPE", (3, 96, 80))
    saved_stack.prepare(tmp_path)
    viewer.window._qt_window.show()
    hand = Hand(viewer, ready)
    assert saved_stack.drive(hand, tmp_path).startswith("one file of 3 x 96 x 80")
    assert hand.clicks == 13  # dock 2, menu 2, file 2, scope 2, Segment 1, menu 2, file 2
