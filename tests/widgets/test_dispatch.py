"""What other threads hand to the window is run whatever happens to what came before it."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytest

from napari_unet.widgets.parts.dispatcher import Dispatcher

pytestmark = pytest.mark.window


def test_what_waits_behind_a_function_that_fails_runs_and_the_error_is_reported(
    qapp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: reported.append(error))
    ran: list[int] = []

    def fail() -> None:
        raise ValueError("one function fails")

    dispatcher = Dispatcher()
    for function in (fail, lambda: ran.append(1), fail, lambda: ran.append(2)):
        dispatcher(function)
    until = time.monotonic() + 2
    while len(ran) < 2 and time.monotonic() < until:
        qapp.processEvents()
    dispatcher.close()
    assert ran == [1, 2]
    assert [str(error) for error in reported] == ["one function fails"] * 2
