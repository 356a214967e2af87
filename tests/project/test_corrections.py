"""Corrections: who verifies what, worked out by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.data.sample import Sample
from napari_unet.data.split import Split
from napari_unet.project.project import Project
from support.errors import raises_code

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.project.corrections.corrections import Corrections

IDS = tuple(f"i{n}" for n in range(12))


@pytest.fixture
def project(tmp_path: Path) -> Any:
    images = [Sample(i, lambda: np.zeros((3, 4, 1), np.uint8)) for i in IDS]
    with Project.create(tmp_path / "p", images, classes=("cell", "dirt")) as project:
        project.corrections._edits.clock = iter(range(0, 10_000, 10)).__next__  # ten seconds a stroke
        yield project


@pytest.fixture
def corrections(project: Project) -> Corrections:
    return project.corrections


PREDICTED = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]], np.uint8)


def painted(*places: tuple[int, int], value: int = 1, on: np.ndarray = PREDICTED) -> np.ndarray:
    mask = on.copy()
    for place in places:
        mask[place] = value
    return mask


def places(array: np.ndarray) -> list[tuple[int, ...]]:
    return [tuple(int(n) for n in place) for place in np.argwhere(array)]


def test_painted_pixels_are_vouched_for(corrections: Corrections) -> None:
    assert corrections.record("i0", PREDICTED, PREDICTED) is None
    assert "i0" not in corrections
    first = painted((0, 2), (1, 2))
    corrections.record("i0", PREDICTED, first)
    second = painted((0, 0), value=0, on=first)
    corrections.record("i0", first, second, "erase", box=(0, 0, 1, 4))
    found = corrections["i0"]
    assert np.array_equal(found.mask, second)
    assert places(found.verified) == [(0, 0), (0, 2), (1, 2)]
    assert np.array_equal(found.prediction, PREDICTED)
    assert (found.stats.strokes, found.stats.changed, found.stats.verified) == (2, 3, 3)
    assert found.stats.seconds == 10
    reference = found.reference()
    assert np.array_equal(reference.labels, second)
    assert reference.weights is not None
    assert places(reference.weights) == [(0, 0), (0, 2), (1, 2)]


def test_what_is_ignored_is_no_evidence_even_when_done(corrections: Corrections) -> None:
    after = painted((2, 2), (2, 3), value=255)
    corrections.record("i0", PREDICTED, after)
    corrections.set_done("i0")
    reference = corrections["i0"].reference()
    assert reference.weights is not None
    assert places(reference.weights == 0) == [(2, 2), (2, 3)]
    assert reference.labels.max() == 1


def test_done_vouches_for_everything(corrections: Corrections) -> None:
    with raises_code("data.mask.missing"):
        corrections.set_done("i1")
    corrections.set_done("i1", mask=PREDICTED)
    assert corrections["i1"].reference().weights is None
    assert corrections.touched() == ("i1",)
    corrections.set_done("i1", done=False)
    assert corrections.touched() == ()
    corrections.undo("i1")


def test_taking_a_stroke_back_takes_back_that_one_vouched_for_it(corrections: Corrections) -> None:
    one, two = painted((0, 2)), painted((0, 2), (0, 3))
    corrections.record("i0", PREDICTED, one)
    corrections.record("i0", one, two)
    stroke = corrections.record("i0", two, one)  # as napari's own undo shows it
    assert stroke is not None
    assert stroke.kind == "undo"
    assert places(corrections["i0"].verified) == [(0, 2)]
    corrections.record("i0", one, two)  # redo
    assert places(corrections["i0"].verified) == [(0, 2), (0, 3)]
    for _ in range(2):
        corrections.undo("i0")
    assert corrections.undo("i0") is None
    assert not corrections["i0"].verified.any()
    assert np.array_equal(corrections["i0"].mask, PREDICTED)
    assert corrections.stats("i0").strokes == 3


def test_painting_over_ones_own_stroke_keeps_vouching(corrections: Corrections) -> None:
    one = painted((0, 2), (0, 3))
    corrections.record("i0", PREDICTED, one)
    corrections.record("i0", one, painted((0, 2)))  # half of it back: no undo
    assert places(corrections["i0"].verified) == [(0, 2), (0, 3)]


def test_revert_to_prediction_and_back(corrections: Corrections) -> None:
    after = painted((0, 2))
    corrections.record("i0", PREDICTED, after)
    corrections.set_done("i0")
    corrections.revert("i0")
    assert np.array_equal(corrections["i0"].mask, PREDICTED)
    assert corrections.touched() == ()
    corrections.undo("i0")
    assert np.array_equal(corrections["i0"].mask, after)
    assert corrections.stats("i0").done
    assert places(corrections["i0"].verified) == [(0, 2)]


def test_every_version_of_an_image_can_be_had_again(project: Project) -> None:
    corrections = project.corrections
    seen = [(PREDICTED, np.zeros((3, 4), bool))]
    rng = np.random.default_rng(0)
    for step in range(12):
        mask = seen[-1][0]
        corrections.record(
            "i0", mask, painted((int(rng.integers(3)), int(rng.integers(4))), value=2, on=mask)
        )
        if step == 5:
            project.save()
        found = corrections["i0"]
        if not np.array_equal(found.mask, mask):
            seen.append((found.mask, found.verified))
    project.close()
    with Project.open(project.folder) as again:
        versions = again.corrections.versions("i0")
        assert [v.number for v in versions] == list(range(len(seen)))
        for version, (mask, verified) in zip(versions, seen, strict=True):
            again.corrections.revert_to("i0", version.number)
            assert np.array_equal(again.corrections["i0"].mask, mask)
            assert np.array_equal(again.corrections["i0"].verified, verified)
        with raises_code("data.history.unknown"):
            again.corrections.revert_to("i0", 999)


def test_every_fifth_image_judges_and_is_never_trained_on(corrections: Corrections) -> None:
    for identifier in IDS:
        corrections.record(identifier, PREDICTED, painted((2, 2)))
    reserved = {i for i in IDS if corrections.part(i) == "held-out"}
    assert 0 < len(reserved) < len(IDS) / 2
    for identifier in IDS:
        corrections.set_done(identifier)
    assert {i for i in IDS if corrections.part(i) == "held-out"} == reserved
    assert {i for i in IDS if corrections.part(i) == "train"} == set(IDS) - reserved
    assert set(corrections.seen()) == set(IDS)


def test_a_split_decides_where_there_is_one(tmp_path: Path) -> None:
    images = [Sample(i, lambda: np.zeros((3, 4, 1), np.uint8)) for i in IDS]
    split = Split(IDS[:10], (), IDS[10:])
    with Project.create(tmp_path / "split", images, split=split) as project:
        for identifier in IDS:
            project.corrections.set_done(identifier, mask=PREDICTED)
        assert {project.corrections.part(i) for i in IDS[:10]} == {"train"}
        assert {project.corrections.part(i) for i in IDS[10:]} == {"held-out"}


def test_a_correction_is_a_snapshot(corrections: Corrections) -> None:
    after = painted((2, 2))
    corrections.record("i0", PREDICTED, after)
    found = corrections["i0"].reference()
    corrections.record("i0", after, painted((2, 3), value=2, on=after))
    assert np.array_equal(found.labels, after)
    assert found.weights is not None
    assert places(found.weights > 0) == [(2, 2)]


def test_masks_that_do_not_fit_are_refused(corrections: Corrections) -> None:
    with raises_code("data.mask.size"):
        corrections.record("i0", np.zeros((9, 9), np.uint8), np.ones((9, 9), np.uint8))
    with raises_code("data.mask.size"):
        corrections.record("i0", PREDICTED, PREDICTED.astype(np.int32))
    with raises_code("data.image.unknown"):
        corrections.record("nobody", PREDICTED, painted((0, 2)))
    assert len(corrections) == 0


def test_a_damaged_mask_is_set_aside_and_said(project: Project) -> None:
    project.corrections.record("i0", PREDICTED, painted((0, 2)))
    project.corrections.record("i1", PREDICTED, painted((0, 2)))
    project.close()
    (project.folder / "masks" / "i0.tif").write_bytes(b"II*\0 spoilt")
    with Project.open(project.folder) as again:
        assert "i0.tif cannot be read" in again.notes[1]
        assert again.corrections.touched() == ("i1",)
        again.corrections.record("i0", PREDICTED, painted((0, 3)))
    assert (project.folder / "masks" / "i0.damaged-1").read_bytes() == b"II*\0 spoilt"
    with Project.open(project.folder) as again:
        assert places(again.corrections["i0"].verified) == [(0, 3)]


def test_the_mask_file_is_a_mask_for_other_programs(project: Project) -> None:
    import tifffile

    project.corrections.record("i0", PREDICTED, painted((0, 2), value=2))
    project.close()
    assert np.array_equal(tifffile.imread(project.folder / "masks" / "i0.tif"), painted((0, 2), value=2))


def test_closing_leaves_an_empty_journal(project: Project) -> None:
    project.corrections.record("i0", PREDICTED, painted((0, 2)))
    project.close()
    assert list((project.folder / "journal").iterdir()) == []
    with Project.open(project.folder) as again:
        assert again.restored.sentence == ""


def test_the_parts_of_one_drag_are_one_stroke(corrections: Corrections) -> None:
    """Kept three times while it went on; counted, listed, taken back and restored as one."""
    first = painted((0, 2))
    second = painted((0, 3), on=first)
    third = painted((1, 3), (0, 0), value=2, on=second)
    corrections.record("i0", PREDICTED, first)
    corrections.record("i0", first, second, begun=0)
    corrections.record("i0", second, third, begun=0, box=(0, 0, 2, 4))
    stats = corrections.stats("i0")
    assert (stats.strokes, stats.changed, stats.verified) == (1, 4, 4)
    assert [(v.kind, v.pixels) for v in corrections.versions("i0")] == [("prediction", 0), ("paint", 4)]
    corrections.record("i0", third, painted((2, 0), on=third))
    assert corrections.stats("i0").strokes == 2
    corrections.undo("i0")
    corrections.undo("i0")
    assert np.array_equal(corrections["i0"].mask, PREDICTED)
    assert not corrections["i0"].verified.any()
    assert corrections.undo("i0") is None


def test_a_drag_undone_in_the_layer_is_an_undo(corrections: Corrections) -> None:
    first = painted((0, 2))
    second = painted((1, 3), on=first)
    corrections.record("i0", PREDICTED, first)
    corrections.record("i0", first, second, begun=0)
    undone = corrections.record("i0", second, PREDICTED)
    assert undone is not None
    assert undone.kind == "undo"
    assert not corrections["i0"].verified.any()
    assert corrections.stats("i0").strokes == 1


def test_what_does_not_follow_its_stroke_is_a_stroke_of_its_own(corrections: Corrections) -> None:
    """Nothing before it, another image, or a way back between: then it is counted."""
    corrections.record("i0", PREDICTED, painted((0, 2)), begun=0)
    assert corrections.stats("i0").strokes == 1
    corrections.record("i1", PREDICTED, painted((0, 2)), begun=0)
    assert corrections.stats("i1").strokes == 1
    corrections.revert("i0", painted((2, 2)))
    mask = corrections["i0"].mask
    corrections.record("i0", mask, painted((2, 3), on=mask), begun=0)
    assert corrections.stats("i0").strokes == 2
    corrections.record("i0", painted((2, 3), on=mask), painted((2, 0), (2, 3), on=mask), begun=3)
    assert corrections.stats("i0").strokes == 5


def test_a_drag_is_one_stroke_in_a_project_that_is_opened_again(tmp_path: Path) -> None:
    images = [Sample(i, lambda: np.zeros((3, 4, 1), np.uint8)) for i in IDS]
    first, second = painted((0, 2)), painted((0, 2), (0, 3))
    with Project.create(tmp_path / "p", images, classes=("cell", "dirt")) as project:
        project.corrections.record("i0", PREDICTED, first)
        project.corrections.record("i0", first, second, begun=0)
        project.corrections.record("i1", PREDICTED, first)
    with Project.open(tmp_path / "p") as project:
        assert project.corrections.stats("i0").strokes == 1
        assert project.corrections.total().strokes == 2
        assert [(v.kind, v.pixels) for v in project.corrections.versions("i0")][1:] == [("paint", 2)]
        project.corrections.revert_to("i0", 0)
        assert np.array_equal(project.corrections["i0"].mask, PREDICTED)
