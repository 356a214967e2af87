"""Strokes on a mask of which nothing else is known: what is not painted is unknown, not background."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.sample import Sample
from napari_unet.project.corrections.correction import IGNORE
from napari_unet.project.corrections.corrections import Corrections
from napari_unet.project.project import Project

if TYPE_CHECKING:
    from pathlib import Path

UNKNOWN = np.full((4, 6), IGNORE, np.uint8)


def painted() -> Corrections:
    """Two pixels of an object, then three of background."""
    corrections = Corrections.in_memory()
    one = UNKNOWN.copy()
    one[0, :2] = 1
    two = one.copy()
    two[3, 3:] = 0
    corrections.record("a", UNKNOWN, one)
    corrections.record("a", one, two)
    return corrections


def test_what_nobody_painted_teaches_nothing() -> None:
    corrections = painted()
    assert corrections.has_unknown("a")
    reference = corrections["a"].reference()
    assert reference.weights is not None
    assert reference.weights.sum() == 5
    assert reference.labels[0, :2].tolist() == [1, 1]
    assert reference.labels[3, 3:].tolist() == [0, 0, 0]
    # Verifying all of it verifies what is known, and no more.
    corrections.set_done("a")
    done = corrections["a"].reference()
    assert done.weights is not None
    assert done.weights.sum() == 5


def test_a_mask_with_a_prediction_has_nothing_unknown() -> None:
    corrections = Corrections.in_memory()
    mask = np.zeros((4, 6), np.uint8)
    after = mask.copy()
    after[0, 0] = IGNORE  # a person says so: that is known
    corrections.record("a", mask, after)
    assert not corrections.has_unknown("a")
    assert not corrections.has_unknown("b")


def test_a_preview_fills_what_is_unknown_and_painted_pixels_win() -> None:
    corrections = painted()
    preview = np.zeros((4, 6), np.uint8)
    preview[:, 3:] = 1
    corrections.fill_unknown("a", preview)
    wanted = preview.copy()
    wanted[0, :2], wanted[3, 3:] = 1, 0
    found = corrections["a"]
    np.testing.assert_array_equal(found.mask, wanted)
    assert found.verified.sum() == 5  # a prediction that was accepted is verified by nobody
    assert found.stats.strokes == 2
    assert not corrections.has_unknown("a")
    corrections.undo("a")
    assert corrections.has_unknown("a")
    assert (corrections["a"].mask == IGNORE).sum() == 24 - 5


def test_strokes_in_memory_reach_the_project_as_they_are(tmp_path: Path) -> None:
    image = np.zeros((4, 6, 1), np.uint8)
    corrections = painted()
    with Project.create(tmp_path / "project", [Sample("a", lambda: image)]) as project:
        project.corrections.take_over("a", corrections, "a")
    with Project.open(tmp_path / "project", read_only=True) as project:
        assert project.corrections.has_unknown("a")
        np.testing.assert_array_equal(project.corrections.mask("a"), corrections.mask("a"))
        assert project.corrections.stats("a").verified == 5
