from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_unet.engine.chosen import ComputeHost
from napari_unet.engine.inline import InlineEngine
from napari_unet.session import compute_place
from napari_unet.session.session import Session
from napari_unet.widgets.segment.place_row import PlaceRow

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def session(qapp: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    class Near(InlineEngine):
        def __init__(self, dispatch: Any, start: Any) -> None:
            pass

    monkeypatch.setattr(compute_place, "ProcessEngine", Near)
    monkeypatch.setattr("napari_unet.workflow.machine.working_gpu", lambda: "A100")
    monkeypatch.setattr("napari_unet.workflow.machine.default_precision", lambda: "mixed_bfloat16")
    found = Session(InlineEngine(), lambda function: function(), ComputeHost())
    yield found
    found.close()


def test_a_computer_is_used_once_it_was_checked(session: Session) -> None:
    row = PlaceRow(session.place, None)
    assert not row.isVisibleTo(None)
    QTest.keyClicks(row.field, "no-such-program box")
    QTest.mouseClick(row.button, Qt.MouseButton.LeftButton)
    assert "no-such-program" in row.words.text()
    assert row.field.text() == "no-such-program box"  # to be mended
    assert session.place.place.command == ()
    row.field.clear()
    QTest.keyClicks(row.field, f"{sys.executable} worker")
    QTest.mouseClick(row.button, Qt.MouseButton.LeftButton)
    assert "A100" in row.words.text()
    assert "mixed_bfloat16" in row.words.text()
    assert list(session.place.place.command) == [sys.executable, "worker"]
    row.field.clear()
    QTest.keyClick(row.field, Qt.Key.Key_Return)
    assert session.place.place.command == ()
    assert row.words.isHidden()
    row.deleteLater()
