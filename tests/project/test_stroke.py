"""Strokes and the journal: small, exact, and cut where they are torn."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.errors import DataError
from napari_unet.project.corrections.journal import FRAME, Journal, StrokeFile, framed, read_strokes
from napari_unet.project.corrections.stroke import HEAD, Stroke, changed_runs, joined, states
from support.errors import raises_code

if TYPE_CHECKING:
    from pathlib import Path


def stroke(number: int = 1, image: str = "a", size: int = 3) -> Stroke:
    before = np.zeros((20, 30), np.uint8)
    after = before.copy()
    after[4 : 4 + size, 5 : 5 + size] = 1
    runs = changed_runs(states(before, before > 0), states(after, after > 0))
    return Stroke(number, image, 12.5, "paint", (20, 30), *runs)


def test_runs_by_hand() -> None:
    before = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]], np.uint16)
    after = np.array([[0, 0, 0, 0], [0, 2, 2, 2], [0, 2, 0, 0]], np.uint16)
    box, gaps, lengths, old, new = changed_runs(before, after)
    assert box == (1, 1, 3, 4)
    assert gaps.tolist() == [0, 0]
    assert lengths.tolist() == [2, 2]  # over the end of the row, as the change is the same
    assert old.tolist() == [1, 0]
    assert new.tolist() == [2, 2]


pixels = arrays(np.uint16, (5, 7), elements=st.sampled_from([0, 1, 255, 256, 257, 511]))


@given(pixels, pixels)
def test_a_stroke_goes_to_bytes_there_and_back(before: np.ndarray, after: np.ndarray) -> None:
    written = Stroke(7, "ä/1", 1e9, "paint", (5, 7), *changed_runs(before, after), True, False, 1.25)
    read = Stroke.from_bytes(written.to_bytes())
    mask, verified = (before & 255).astype(np.uint8), before > 255
    read.apply(mask, verified)
    assert np.array_equal(states(mask, verified), after)
    assert read.pixels == (before != after).sum()
    read.inverse().apply(mask, verified)
    assert np.array_equal(states(mask, verified), before)
    assert (read.number, read.image, read.kind, read.done_before, read.done) == (
        7,
        "ä/1",
        "paint",
        True,
        False,
    )


def test_a_stroke_is_as_small_as_what_was_painted() -> None:
    rng = np.random.default_rng(0)
    before = rng.integers(0, 2, (4000, 4000)).astype(np.uint16)
    after = before.copy()
    after[100:120, 100:120] = 257
    runs = changed_runs(before, after)
    assert len(Stroke(1, "a", 0, "paint", (4000, 4000), *runs).to_bytes()) < 1000


def test_a_stroke_does_not_fit_another_mask() -> None:
    with raises_code("data.stroke.size"):
        stroke().apply(np.zeros((3, 3), np.uint8), np.zeros((3, 3), bool))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"box":[4,5,7,8]', b'"box":[4,5,7,99]'),
        (b'"shape":[20,30]', b'"shape":[99999999,99999999]'),
        (b'"runs":1', b'"runs":300'),
        (b'"runs":1', b'"runs":-1'),
        (b'"t":12.5', b'"t":NaN'),
        (b'"id"', b'"di"'),
    ],
)
def test_a_forged_stroke_is_refused(old: bytes, new: bytes) -> None:
    data = stroke().to_bytes()
    (length,) = HEAD.unpack_from(data)
    header = data[2 : 2 + length].replace(old, new)
    assert header != data[2 : 2 + length]
    with raises_code("data.stroke.damaged"):
        Stroke.from_bytes(HEAD.pack(len(header)) + header + data[2 + length :])


def test_a_bomb_is_not_unpacked() -> None:
    data = stroke().to_bytes()
    (length,) = HEAD.unpack_from(data)
    with raises_code("data.stroke.damaged"):
        Stroke.from_bytes(data[: 2 + length] + zlib.compress(bytes(10**8)))


def test_a_torn_end_is_cut_at_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.strokes"
    file = StrokeFile(path)
    file.append([stroke(1), stroke(2)])
    file.close()
    whole = path.read_bytes()
    two = len(whole)
    last = len(framed([stroke(2)]))
    for end in range(two):
        path.write_bytes(whole[:end])
        found = [s.number for s in read_strokes(path).strokes]
        assert found == ([1] if end >= two - last else [])
    path.write_bytes(whole + bytes(64))  # what some file systems leave after a power cut
    assert [s.number for s in read_strokes(path).strokes] == [1, 2]
    file = StrokeFile(path)
    file.append([stroke(3)])
    file.close()
    assert [s.number for s in read_strokes(path).strokes] == [1, 2, 3]
    assert read_strokes(path).torn == 0


def test_a_spoilt_stroke_in_the_middle_is_told_and_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.append([stroke(1), stroke(2), stroke(3)])
    journal.close()
    (path,) = journal.segments()
    data = bytearray(path.read_bytes())
    data[data.index(framed([stroke(2)])) + FRAME.size + 20] ^= 255
    path.write_bytes(data)
    found, problems = Journal(tmp_path / "journal").read()
    assert [s.number for s in found] == [1, 3]
    assert "left out: 1" in problems[0]


def test_another_file_is_not_taken_for_a_journal(tmp_path: Path) -> None:
    (tmp_path / "000001.strokes").write_bytes(b"a letter to my aunt, of some length")
    found, problems = Journal(tmp_path).read()
    assert found == []
    assert "not a journal" in problems[0]


def test_segments_rotate_and_go_once_everything_in_them_is_saved(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", segment_bytes=500)
    for number in range(1, 11):
        journal.append([stroke(number, "ab"[number % 2])])
    names = [p.name for p in journal.segments()]
    assert len(names) > 2
    assert names == sorted(names)
    saved = {"a": 4, "b": 5}
    journal.compact(lambda i: saved[i])
    left, _ = Journal(tmp_path / "journal").read()
    assert {6, 7, 8, 9, 10} <= {s.number for s in left}
    assert 1 not in {s.number for s in left}
    journal.compact(lambda i: 10)
    assert journal.segments() == []
    journal.append([stroke(11)])
    journal.close()
    assert [s.number for s in Journal(tmp_path / "journal").read()[0]] == [11]


def test_strokes_that_were_written_twice_count_once(tmp_path: Path) -> None:
    for _ in range(2):
        journal = Journal(tmp_path / "journal")
        journal.append([stroke(1), stroke(2)])
        journal.close()
    assert [s.number for s in Journal(tmp_path / "journal").read()[0]] == [1, 2]


def test_old_journals_are_read_and_new_ones_say_no_more_than_they_must() -> None:
    """A stroke of its own is written as ever; only the rest of a drag has a word more."""
    assert b"begun" not in stroke().to_bytes()
    assert Stroke.from_bytes(stroke().to_bytes()).begun == 1
    for begun in (0, 3):
        assert Stroke.from_bytes(replace(stroke(), begun=begun).to_bytes()).begun == begun
    spoilt = replace(stroke(), begun=-1).to_bytes()
    with pytest.raises(DataError, match="damaged"):
        Stroke.from_bytes(spoilt)


@given(pixels, pixels, pixels)
def test_two_strokes_joined_do_what_both_do(first: np.ndarray, second: np.ndarray, third: np.ndarray) -> None:
    one = Stroke(1, "a", 1.0, "paint", (5, 7), *changed_runs(first, second), seconds=2.0)
    other = Stroke(2, "a", 2.0, "paint", (5, 7), *changed_runs(second, third), seconds=0.5, begun=0)
    both = joined(one, other)
    mask, verified = (first & 255).astype(np.uint8), first > 255
    both.apply(mask, verified)
    assert np.array_equal(states(mask, verified), third)
    both.inverse().apply(mask, verified)
    assert np.array_equal(states(mask, verified), first)
    assert both.pixels == (first != third).sum()
    assert (both.number, both.seconds, both.begun) == (2, 2.5, 1)
