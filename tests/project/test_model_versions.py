"""Versions of a model: lineage, keeping, rolling back, discarding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from napari_unet.project.model_versions import ModelStore
from napari_unet.project.status import compare_lines
from napari_unet.widgets.learn.versions_row import words_of
from support.errors import raises_code

if TYPE_CHECKING:
    from pathlib import Path


def weights(folder: Path) -> None:
    (folder / "model.weights.h5").write_bytes(b"weights")


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    store = ModelStore(tmp_path / "models")
    for iou in (0.5, 0.6, 0.7):
        store.add(weights, scores={"iou": iou}, corrections={"a": int(iou * 10)}, keep=True)
    return store


def numbers(store: ModelStore) -> list[int]:
    return [v.number for v in store.versions()]


def current(store: ModelStore) -> int:
    assert store.current is not None
    return store.current.number


def test_an_empty_store(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    assert store.versions() == ()
    assert store.current is None
    with raises_code("model.version.first"):
        store.roll_back()
    with raises_code("model.version.unknown"):
        store.version(1)


def test_versions_have_a_line(store: ModelStore) -> None:
    assert numbers(store) == [1, 2, 3]
    assert store.ancestors(3) == (3, 2, 1)
    branch = store.add(weights, parent=1)
    assert store.ancestors(branch.number) == (4, 1)
    assert current(store) == 3
    assert branch.name == "v004"
    assert (branch.path / "model.weights.h5").read_bytes() == b"weights"


def test_rolling_back_goes_back_one_step_and_on(store: ModelStore) -> None:
    assert store.roll_back().number == 2
    assert current(store) == 2
    assert store.roll_back().number == 1
    with raises_code("model.version.first"):
        store.roll_back()
    store.keep(3)
    assert store.roll_back().number == 1
    store.keep(2)
    assert store.roll_back(to=1).number == 1
    assert store.roll_back(to=3).number == 3
    assert store.roll_back().number == 1


def test_rolling_back_never_leads_to_a_newer_version(store: ModelStore) -> None:
    assert store.earlier is not None
    assert store.earlier.number == 2
    store.keep(1)  # chosen by hand: nothing is older
    assert current(store) == 1
    assert store.earlier is None
    with raises_code("model.version.first"):
        store.roll_back()
    store.keep(3)
    assert store.roll_back().number == 1
    # An older program wrote down which was used after which.
    file = store.folder / "versions.json"
    file.write_text('{"kept": [1, 3, 2, 3, 1, 3, 2], "discarded": [], "last": 0}')
    assert current(store) == 2
    assert store.roll_back().number == 1
    with raises_code("model.version.first"):
        store.roll_back()


def test_discarded_versions_stay_until_they_are_pruned(store: ModelStore) -> None:
    with raises_code("model.version.used"):
        store.discard(3)
    store.discard(2)
    assert [v.discarded for v in store.versions()] == [False, True, False]
    store.keep(2)
    assert not store.version(2).discarded
    store.keep(3)
    store.discard(2)
    store.add(weights)
    store.discard(4)
    assert store.prune() == 2
    assert numbers(store) == [1, 3]
    assert store.roll_back().number == 1
    assert store.add(weights).number == 5  # a number is never given twice


def test_two_versions_are_compared(store: ModelStore) -> None:
    rows = {row.name: (row.first, row.second) for row in store.compare(1, 3)}
    assert rows["iou"] == (0.5, 0.7)
    assert rows["parent"] == (None, 2)
    assert rows["strokes up to"] == (5, 7)


def test_a_model_in_a_folder_is_copied(store: ModelStore, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    weights(tmp_path / "mine")
    version = store.add(tmp_path / "mine", note="from elsewhere")
    assert sorted(p.name for p in version.path.iterdir()) == ["model.weights.h5", "version.json"]
    with raises_code("model.foreign"):
        store.add(tmp_path / "nothing")
    assert list((tmp_path / "models").glob(".partial-*")) == []


def test_a_version_that_fails_leaves_nothing(store: ModelStore) -> None:
    def fail(folder: Path) -> None:
        weights(folder)
        raise OSError(28, "No space left on device")

    with raises_code("output.unwritable", "No space left"):
        store.add(fail)
    assert numbers(store) == [1, 2, 3]
    assert list(store.folder.glob(".partial-*")) == []


def test_what_a_kill_leaves_is_no_version(store: ModelStore) -> None:
    (store.folder / ".partial-x" / "model").mkdir(parents=True)
    assert numbers(store) == [1, 2, 3]


def test_versions_move_into_an_empty_store_with_their_numbers(store: ModelStore, tmp_path: Path) -> None:
    store.discard(1)
    store.roll_back(2)
    store.discard(3)
    store.prune()
    moved = ModelStore(tmp_path / "new" / "models")
    assert moved.take_over(store) == 1
    assert numbers(moved) == [2]
    assert current(moved) == 2
    assert moved.versions()[0].scores == {"iou": 0.6}
    assert moved.add(weights).number == 4  # 3 is not given twice
    assert numbers(store) == [2]  # the old ones stay where they are


def test_a_store_with_versions_takes_only_the_one_in_use_and_only_once(
    store: ModelStore, tmp_path: Path
) -> None:
    other = ModelStore(tmp_path / "other")
    other.add(lambda folder: (folder / "model.weights.h5").write_bytes(b"other"), note="mine", keep=True)
    assert other.take_over(store) == 1
    assert [v.note for v in other.versions()] == ["mine", ""]
    assert other.versions()[1].scores == {"iou": 0.7}
    assert current(other) == 1
    assert other.take_over(store) == 0
    assert other.take_over(ModelStore(tmp_path / "nowhere")) == 0


def test_the_list_shows_numbers_of_the_same_images_only(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    # Over 320 images with flips: no number to stand beside one over 132 images.
    store.add(weights, scores={"held_out_iou": 0.698, "held_out_images": 320.0}, keep=True)
    pair = {"held_out_iou": 0.631, "difference": -0.041, "held_out_images": 132.0}
    store.add(weights, scores=pair, note="no clear difference")
    assert [words_of(version, 1) for version in store.versions()] == [
        "v001 in use",
        "v002, no clear difference: 0.672 before, 0.631 now on 132 images",
    ]


def test_versions_of_an_earlier_release_tell_no_number_of_images(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    store.add(weights, scores={"held_out_iou": 0.698}, keep=True)  # earlier releases counted no images
    store.add(weights, scores={"held_out_iou": 0.72, "held_out_images": 131.0}, note="better", keep=True)
    store.add(weights, scores={"validation_iou": 0.5})
    words = [words_of(version, current(store)) for version in store.versions()]
    assert words == ["v001", "v002 in use, better", "v003"]
    lines = compare_lines(1, 2, store.compare(1, 2))
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.split()}
    assert rows["held_out_iou"] == ["0.698", "0.720", "+0.022"]
    assert rows["held_out_images"] == ["-", "131"]
    rows = {line.split()[0]: line.split()[1:] for line in compare_lines(1, 3, store.compare(1, 3))}
    assert "held_out_images" not in rows
