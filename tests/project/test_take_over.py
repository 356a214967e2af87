"""What was painted in memory is done again in a project, stroke by stroke; worked out by hand."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.data.sample import Sample
from napari_unet.project.corrections.corrections import Corrections
from napari_unet.project.project import Project
from support.errors import raises_code

IDS = ("a", "b")
PREDICTED = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]], np.uint8)


def made(folder: Path) -> Project:
    images = [Sample(i, lambda: np.zeros((3, 4, 1), np.uint8)) for i in IDS]
    return Project.create(folder, images, classes=("cell", "dirt"))


@pytest.fixture
def project(tmp_path: Path) -> Any:
    with made(tmp_path / "p") as project:
        yield project


def painted(*places: tuple[int, int], value: int = 1, on: np.ndarray = PREDICTED) -> np.ndarray:
    mask = on.copy()
    for place in places:
        mask[place] = value
    return mask


def places(array: np.ndarray) -> list[tuple[int, ...]]:
    return [tuple(int(n) for n in place) for place in np.argwhere(array)]


def test_strokes_in_memory_are_strokes_of_the_project(project: Project) -> None:
    memory = Corrections.in_memory()
    first = painted((0, 2))
    second = painted((0, 0), value=0, on=first)
    memory.record("a", PREDICTED, first)
    memory.record("a", first, second, "erase")
    memory.set_done("a")
    assert project.corrections.take_over("a", memory, "a") == 3
    found = project.corrections["a"]
    np.testing.assert_array_equal(found.mask, second)
    np.testing.assert_array_equal(found.prediction, PREDICTED)
    assert places(found.verified) == [(0, 0), (0, 2)]
    assert (found.stats.done, found.stats.strokes, found.stats.changed) == (True, 2, 2)
    kinds = [v.kind for v in project.corrections.versions("a")]
    assert kinds == ["prediction", "paint", "erase", "done"]
    # What was painted in memory is taken back in the project, one stroke at a time.
    project.corrections.undo("a")
    np.testing.assert_array_equal(project.corrections.mask("a"), first)
    project.corrections.undo("a")
    np.testing.assert_array_equal(project.corrections.mask("a"), PREDICTED)
    assert project.corrections.undo("a") is None
    project.close()
    with Project.open(project.folder) as again:
        again.corrections.revert_to("a", 2)
        np.testing.assert_array_equal(again.corrections.mask("a"), second)


def test_they_are_on_the_disk_at_once(project: Project) -> None:
    memory = Corrections.in_memory()
    masks = {"a": painted((0, 2), (0, 3)), "b": painted((2, 2))}
    for identifier, mask in masks.items():
        memory.record(identifier, PREDICTED, mask)
        project.corrections.take_over(identifier, memory, identifier)
    writer: Any = project.corrections.writer
    assert writer.flush(10)
    with Project.open(project.folder, read_only=True) as other:  # as after a kill
        for identifier, mask in masks.items():
            np.testing.assert_array_equal(other.corrections.mask(identifier), mask)
            assert len(other.corrections.versions(identifier)) == 2


def test_what_is_painted_now_goes_first_and_the_rest_of_what_was_painted_earlier_stays(
    project: Project,
) -> None:
    """As where a project is found while somebody paints an image that was corrected in another session."""
    earlier = painted((0, 2), (2, 3), value=2)
    project.corrections.record("a", PREDICTED, earlier)
    memory = Corrections.in_memory()
    now = painted((0, 2), (1, 2))  # the first of them was painted earlier, too
    memory.record("a", PREDICTED, painted((1, 2)))
    memory.record("a", painted((1, 2)), now)
    project.corrections.take_over("a", memory, "a")
    wanted = painted((0, 2), (1, 2), on=earlier)
    np.testing.assert_array_equal(project.corrections.mask("a"), wanted)
    assert places(project.corrections["a"].verified) == [(0, 2), (1, 2), (2, 3)]
    project.corrections.undo("a")
    np.testing.assert_array_equal(project.corrections.mask("a"), painted((1, 2), on=earlier))
    project.corrections.undo("a")
    np.testing.assert_array_equal(project.corrections.mask("a"), earlier)
    project.corrections.undo("a")
    np.testing.assert_array_equal(project.corrections.mask("a"), PREDICTED)


def test_what_was_taken_back_in_memory_takes_nothing_back_in_the_project(project: Project) -> None:
    earlier = painted((0, 2), value=2)
    project.corrections.record("a", PREDICTED, earlier)
    memory = Corrections.in_memory()
    memory.record("a", PREDICTED, painted((0, 2)))
    memory.undo("a")
    project.corrections.take_over("a", memory, "a")
    np.testing.assert_array_equal(project.corrections.mask("a"), earlier)


def test_an_image_done_in_memory_is_right_throughout_in_the_project(project: Project) -> None:
    project.corrections.record("a", PREDICTED, painted((0, 2), value=2))
    project.corrections.undo("a")  # nothing is verified any more
    other = painted((2, 0), (2, 1))  # what a newer model predicts
    memory = Corrections.in_memory()
    memory.set_done("a", mask=other)
    project.corrections.take_over("a", memory, "a")
    np.testing.assert_array_equal(project.corrections.mask("a"), other)
    assert project.corrections.stats("a").done


def test_a_second_time_only_what_came_since_is_taken(project: Project) -> None:
    memory = Corrections.in_memory()
    first, second = painted((0, 2)), painted((0, 2), (0, 3))
    memory.record("a", PREDICTED, first)
    taken = project.corrections.take_over("a", memory, "a")
    assert project.corrections.take_over("a", memory, "a", taken) == taken
    memory.record("a", first, second, begun=0)  # the same drag continues
    taken = project.corrections.take_over("a", memory, "a", taken)
    assert project.corrections.stats("a").strokes == 1
    np.testing.assert_array_equal(project.corrections.mask("a"), second)
    third = painted((1, 3), on=second)
    project.corrections.record("a", second, third, begun=0)  # and on, in the project
    assert project.corrections.stats("a").strokes == 1
    project.corrections.undo("a")
    np.testing.assert_array_equal(project.corrections.mask("a"), PREDICTED)


def test_what_is_of_another_image_goes_but_its_history_stays(project: Project) -> None:
    project.corrections.record("a", PREDICTED, painted((0, 2), (2, 2), value=2))
    project.corrections.set_done("a")
    memory = Corrections.in_memory()
    start = np.zeros((3, 4), np.uint8)
    memory.record("x", start, painted((1, 1), on=start))
    project.corrections.take_over("a", memory, "x", fresh=True)
    found = project.corrections["a"]
    np.testing.assert_array_equal(found.mask, painted((1, 1), on=start))
    assert places(found.verified) == [(1, 1)]
    assert not found.stats.done
    project.corrections.undo("a")
    np.testing.assert_array_equal(project.corrections.mask("a"), start)
    assert project.corrections.undo("a") is None
    assert [v.kind for v in project.corrections.versions("a")][1:] == [
        "paint", "done", "prediction", "paint", "undo",
    ]  # fmt: skip


def test_a_file_that_cannot_be_read_is_set_aside_for_what_is_painted_now(project: Project) -> None:
    project.corrections.record("a", PREDICTED, painted((0, 2)))
    project.close()
    with Project.open(project.folder) as again:
        file = project.folder / "masks" / "a.tif"
        file.write_bytes(b"II*\0 spoilt")
        memory = Corrections.in_memory()
        memory.record("a", PREDICTED, painted((0, 3)))
        with raises_code("data.mask.unreadable"):
            again.corrections.take_over("a", memory, "a")
        again.corrections.take_over("a", memory, "a", fresh=True)
        assert places(again.corrections["a"].verified) == [(0, 3)]
    assert (project.folder / "masks" / "a.damaged-1").read_bytes() == b"II*\0 spoilt"
    with Project.open(project.folder) as again:
        assert places(again.corrections["a"].verified) == [(0, 3)]


def test_what_does_not_fit_stays_where_it_is(project: Project) -> None:
    memory = Corrections.in_memory()
    memory.record("a", np.zeros((9, 9), np.uint8), np.ones((9, 9), np.uint8))
    memory.record("nobody", PREDICTED, painted((0, 2)))
    with raises_code("data.mask.size"):
        project.corrections.take_over("a", memory, "a")
    with raises_code("data.image.unknown"):
        project.corrections.take_over("nobody", memory, "nobody")
    assert len(project.corrections) == 0
    assert set(memory) == {"a", "nobody"}


def test_another_project_is_taken_over_with_its_history_even_where_that_is_spoilt(
    project: Project, tmp_path: Path
) -> None:
    first, second = painted((0, 2)), painted((0, 2), (2, 2), value=2)
    for identifier in IDS:
        project.corrections.record(identifier, PREDICTED, first)
        project.corrections.record(identifier, first, second)
    project.close()
    (project.folder / "history" / "b.strokes").write_bytes(b"spoilt")
    with made(tmp_path / "other") as other, Project.open(project.folder) as old:
        for identifier in IDS:
            other.corrections.take_over(identifier, old.corrections, identifier)
            np.testing.assert_array_equal(other.corrections.mask(identifier), second)
            assert places(other.corrections[identifier].verified) == [(0, 2), (2, 2)]
        assert [v.kind for v in other.corrections.versions("a")] == ["prediction", "paint", "paint"]
        assert [v.kind for v in other.corrections.versions("b")] == ["prediction", "taken over"]


def test_a_mask_that_was_handed_out_never_changes() -> None:
    memory = Corrections.in_memory()
    first = painted((0, 2))
    memory.record("a", PREDICTED, first)
    mask, correction = memory.mask("a"), memory["a"]
    assert memory.mask("a") is mask
    memory.record("a", first, painted((2, 2), on=first))
    np.testing.assert_array_equal(mask, first)
    assert places(correction.verified) == [(0, 2)]
    with pytest.raises(ValueError, match="read-only"):
        mask[0, 0] = 2
    first[:] = 9  # what was given may be used again
    assert memory.mask("a").max() == 1


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["paint", "more", "undo", "done", "revert", "version"]),
        st.integers(0, 2), st.integers(0, 3), st.integers(1, 3), st.sampled_from([0, 1, 2, 255]),
    ),
    max_size=14,
)  # fmt: skip


def work(corrections: Corrections, operations: list[tuple[str, int, int, int, int]]) -> None:
    for kind, y, x, size, label in operations:
        known = "a" in corrections
        before = corrections.mask("a") if known else PREDICTED
        if kind in ("paint", "more"):
            after = before.copy()
            after[y : y + size, x : x + size] = label
            corrections.record("a", before, after, begun=int(kind == "paint"))
        elif kind == "undo":
            corrections.undo("a")
        elif kind == "done":
            corrections.set_done("a", not corrections.stats("a").done, mask=before)
        elif kind == "revert":
            corrections.revert("a")
        elif known:
            numbers = [v.number for v in corrections.versions("a")]
            corrections.revert_to("a", numbers[size % len(numbers)])


@settings(max_examples=60, deadline=None)
@given(first=OPERATIONS, second=OPERATIONS, third=OPERATIONS)
def test_whatever_was_done_in_memory_is_the_same_in_the_project(first: Any, second: Any, third: Any) -> None:
    """Taken over in two steps and worked on there: as if all had been done in the project."""
    with tempfile.TemporaryDirectory() as folder:
        memory = Corrections.in_memory()
        with made(Path(folder) / "p") as project, made(Path(folder) / "q") as direct:
            work(memory, first)
            taken = project.corrections.take_over("a", memory, "a")
            work(memory, second)
            project.corrections.take_over("a", memory, "a", taken)
            work(project.corrections, third)
            work(direct.corrections, [*first, *second, *third])
            for _ in range(5):
                assert ("a" in project.corrections) == ("a" in direct.corrections)
                if "a" not in direct.corrections:
                    break
                one, other = project.corrections["a"], direct.corrections["a"]
                np.testing.assert_array_equal(one.mask, other.mask)
                np.testing.assert_array_equal(one.verified, other.verified)
                assert one.stats.done == other.stats.done
                assert one.stats.verified == one.verified.sum()
                kinds = [[v.kind for v in p.corrections.versions("a")] for p in (project, direct)]
                assert kinds[0] == kinds[1]
                project.corrections.undo("a")
                direct.corrections.undo("a")
