"""Strokes without a model in a session: what they count for, and what learning from them is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.engine.inline import InlineEngine
from napari_unet.project.corrections.correction import IGNORE
from napari_unet.session.export_masks import exportable, segmented_in_part
from napari_unet.session.images.collection import Collection
from napari_unet.session.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterator

SHAPE = (6, 8)
TRUTH = np.zeros(SHAPE, np.uint8)
TRUTH[2:4, 2:6] = 1


@pytest.fixture
def session(no_pause: None) -> Iterator[Session]:
    """Three images with reference masks, no model."""
    found = Session(InlineEngine(), lambda function: function())
    found.projects.automatic = False

    def sample(number: int) -> Sample:
        image = np.full((*SHAPE, 1), number, np.uint8)
        return Sample(str(number), lambda: image, lambda: ReferenceMask(TRUTH))

    found.workspace.show(Collection("layers", [sample(n) for n in range(3)]))
    yield found
    found.close()


def paint(session: Session, identifier: str, row: int, label: int) -> None:
    mask = session.painting.unknown_mask(identifier, SHAPE).copy()
    mask[row, :3] = label
    session.painting.correct(identifier, mask)


def entry(session: Session, identifier: str) -> Any:
    assert session.workspace.collection is not None
    return session.workspace.collection.entries[identifier]


def test_strokes_are_no_mask_to_be_scored_or_exported(session: Session) -> None:
    assert session.painting.begin_strokes("0")
    assert entry(session, "0").has_strokes_only
    assert session.workspace.row("0").status == "new"
    paint(session, "0", 2, 1)
    paint(session, "0", 0, 0)
    assert not session.painting.begin_strokes("0")  # it is begun
    assert (entry(session, "0").corrected != IGNORE).sum() == 6
    row = session.workspace.row("0")
    assert (row.status, row.iou) == ("corrected", None)  # six pixels, two of them wrong, are no score of 48
    assert exportable(session.workspace)["all"] == ("0",)
    assert "strokes only" in segmented_in_part(session.workspace, ["0"])
    session.painting.fill_unknown("0", TRUTH)
    wanted = TRUTH.copy()
    wanted[2, :2], wanted[0, :3] = 1, 0
    np.testing.assert_array_equal(entry(session, "0").corrected, wanted)
    assert session.workspace.row("0").iou == pytest.approx(8 / 10)
    assert segmented_in_part(session.workspace, ["0"]) == ""


def test_learning_is_given_what_was_painted_since(session: Session) -> None:
    learning = session.strokes
    assert learning.words() == "0 images with strokes"
    assert learning.obstacle() == "Paint first: some objects, and some background."
    for identifier in ("0", "1"):
        session.painting.begin_strokes(identifier)
        paint(session, identifier, 1, 0)
    assert learning.words() == "2 images with strokes"
    assert learning.obstacle() == ""
    collection = session.workspace.collection
    assert collection is not None
    first = learning._strokes(collection, {})
    assert [one.id for one in first] == ["0", "1"]
    assert [int((one.mask != IGNORE).sum()) for one in first] == [3, 3]
    assert first[1].image[0, 0, 0] == 1  # the image comes along once
    known = {one.id: one.number for one in first}
    assert learning._strokes(collection, known) == []
    paint(session, "1", 2, 1)
    (second,) = learning._strokes(collection, known)
    assert (second.id, second.image) == ("1", None)
    assert (second.mask[2, :3] == 1).all()
    # All of it undone: that is said once, so that it teaches nothing any more.
    session.painting.undo("1")
    session.painting.undo("1")
    known["1"] = second.number
    (gone,) = learning._strokes(collection, known)
    assert (gone.id, bool((gone.mask != IGNORE).any())) == ("1", False)
    assert learning._strokes(collection, {**known, "1": gone.number}) == []
    # Other images are open by then.
    assert learning._strokes(Collection("others", []), {}) == []
