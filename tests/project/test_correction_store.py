"""What is on the disk if the program is killed between two writes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.project.corrections.background_writer import NoWriter
from napari_unet.project.corrections.correction_store import CorrectionStore
from napari_unet.project.corrections.mask_edits import MaskEdits

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.project.corrections.stroke import Stroke

PREDICTED = np.eye(4, 5, dtype=np.uint8)
PAINTED = np.where(np.arange(5) == 2, 2, PREDICTED).astype(np.uint8)


def opened(folder: Path) -> tuple[CorrectionStore, MaskEdits]:
    """A store whose strokes nobody writes, as while the writing thread is busy."""
    lock = threading.RLock()
    store = CorrectionStore(folder, {"a": PREDICTED.shape}, {"a": "a"}, lock)
    assert not store.open().problems
    edits = MaskEdits(store, lock)
    edits.writer = NoWriter()
    return store, edits


def paint(edits: MaskEdits, mask: np.ndarray) -> Stroke:
    stroke = edits.become(edits.loaded("a"), "a", "paint", mask, mask != PREDICTED, False)
    assert stroke is not None
    return stroke


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("masks", "journal", "history"):
        (tmp_path / name).mkdir()
    return tmp_path


def test_a_mask_is_never_ahead_of_journal_and_history(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, edits = opened(project)
    edits.begin("a", PREDICTED)
    store.save("a")
    paint(edits, PAINTED)  # in memory, not yet in the journal

    def killed(*_: object) -> None:
        raise OSError("killed")

    monkeypatch.setattr(store, "_append_history", killed)
    with pytest.raises(OSError, match="killed"):
        store.save("a")
    store.journal.close()

    again, later = opened(project)
    found = again.load("a")
    assert found is not None
    np.testing.assert_array_equal(found.mask, PAINTED)
    (stroke,) = again.history("a")
    mask, verified = found.mask.copy(), found.verified.copy()
    stroke.inverse().apply(mask, verified)
    np.testing.assert_array_equal(mask, PREDICTED)
    assert not verified.any()
    paint(later, PREDICTED)
    again.save("a")
    assert [s.number for s in again.history("a")] == [1, 2]


def test_what_a_person_starts_from_is_saved_without_the_strokes_that_came_meanwhile(project: Path) -> None:
    store, edits = opened(project)
    edits.begin("a", PREDICTED)
    stroke = paint(edits, PAINTED)
    store.save("a")  # of the beginning
    on_disk = opened(project)[0].load("a")
    assert on_disk is not None
    np.testing.assert_array_equal(on_disk.mask, PREDICTED)
    assert on_disk.stats.number == 0
    store.append([stroke])
    restored, _ = opened(project)
    found = restored.load("a")
    assert found is not None
    np.testing.assert_array_equal(found.mask, PAINTED)
    assert store.unsaved() == ["a"]
    store.save("a")
    assert store.unsaved() == []
    assert [s.number for s in restored.history("a")] == [1]
