from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.data.dataset import Dataset
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.data.split import Split, coverages, make_split
from support.errors import raises_code


def dataset(groups: list[str], filled: list[float]) -> Dataset:
    def mask(share: float) -> ReferenceMask:
        labels = np.zeros((10, 10), np.uint8)
        labels.ravel()[: round(100 * share)] = 1
        return ReferenceMask(labels)

    samples = tuple(
        Sample(str(n), lambda: np.zeros((10, 10, 1)), lambda share=share: mask(share), group)  # type: ignore[misc]
        for n, (group, share) in enumerate(zip(groups, filled, strict=True))
    )
    return Dataset("d", "test", Path(), samples, group_rule="subject")


sets = st.lists(st.tuples(st.integers(0, 30), st.floats(0, 1)), min_size=1, max_size=120)


@given(sets, st.integers(0, 1000))
def test_parts_are_disjoint_whole_and_of_whole_groups(items: list[tuple[int, float]], seed: int) -> None:
    groups = [f"g{n}" for n, _ in items]
    data = dataset(groups, [share for _, share in items])
    split = make_split(data, seed=seed, coverage={str(n): share for n, (_, share) in enumerate(items)})
    parts = [split.train, split.validation, split.held_out]
    assert sorted(int(i) for part in parts for i in part) == list(range(len(items)))
    assert split.train
    of = [{split.groups[i] for i in part} for part in parts]
    assert not of[0] & of[1]
    assert not of[0] & of[2]
    assert not of[1] & of[2]
    if len(set(groups)) >= 3:
        assert split.validation
        assert split.held_out
    else:
        assert "too few to keep any aside" in split.note


def test_shares_and_coverage_are_balanced() -> None:
    rng = np.random.default_rng(0)
    filled = np.where(rng.random(1000) < 0.4, 0, rng.random(1000))
    data = dataset([str(n) for n in range(1000)], filled.tolist())
    split = make_split(data, validation=0.1, held_out=0.2, coverage={str(n): f for n, f in enumerate(filled)})
    assert len(split.validation) == 100
    assert len(split.held_out) == 200
    for part in (split.train, split.validation, split.held_out):
        of = np.array([filled[int(i)] for i in part])
        assert (of == 0).mean() == pytest.approx((filled == 0).mean(), abs=0.02)
        assert of.mean() == pytest.approx(filled.mean(), abs=0.03)


def test_large_groups_do_not_swallow_a_part() -> None:
    groups = ["large"] * 60 + [f"s{n // 5}" for n in range(40)]
    split = make_split(dataset(groups, [0.5] * 100), coverage={str(n): 0.5 for n in range(100)})
    assert len(split.validation) == len(split.held_out) == 10
    assert "large" in {split.groups[i] for i in split.train}


@given(sets, st.floats(0, 0.6), st.floats(0, 0.39), st.integers(0, 12), st.integers(0, 12))
def test_any_shares_leave_training_and_keep_their_bounds(
    items: list[tuple[int, float]], held_out: float, validation: float, most_held: int, most_val: int
) -> None:
    groups = [f"g{n}" for n, _ in items]
    split = make_split(
        dataset(groups, [0.5] * len(items)),
        held_out=held_out,
        validation=validation,
        max_held_out=most_held,
        max_validation=most_val,
        coverage={str(n): share for n, (_, share) in enumerate(items)},
    )
    sizes = Counter(groups)
    assert split.train
    for part, share, most in (
        (split.held_out, held_out, most_held),
        (split.validation, validation, most_val),
    ):
        if share == 0 or most == 0:
            assert not part
        else:
            assert part or split.note
            one_group = len({split.groups[i] for i in part}) == 1
            assert len(part) <= most or (one_group and most < max(sizes.values()))


def test_a_bound_is_kept_by_groups_that_do_not_divide_it() -> None:
    groups = [f"g{n // 3}" for n in range(300)]
    split = make_split(dataset(groups, [0.5] * 300), max_held_out=10, max_validation=10)
    assert len(split.held_out) == len(split.validation) == 9


def test_two_groups_do_when_only_one_part_is_kept_aside() -> None:
    data = dataset(["a"] * 5 + ["b"] * 3, [0.5] * 8)
    split = make_split(data, validation=0.0)
    assert (split.train, split.held_out) == (("0", "1", "2", "3", "4"), ("5", "6", "7"))
    assert not split.validation
    assert not split.note
    alone = make_split(dataset(["a"] * 5, [0.5] * 5))
    assert len(alone.train) == 5
    assert alone.note == "5 images of 1 group: too few to keep any aside"


@pytest.mark.parametrize("shares", [(0.5, 0.5), (-0.1, 0.1), (0.1, float("nan")), (0.0, 1.0)])
def test_shares_must_leave_something_for_training(shares: tuple[float, float]) -> None:
    with raises_code("settings.shares.range"):
        make_split(dataset(["a", "b", "c"], [0.1] * 3), validation=shares[0], held_out=shares[1])


def test_coverage_that_lacks_an_image_is_told() -> None:
    with raises_code("data.split.coverage", "coverage of 1"):
        make_split(dataset(["a", "b"], [0.1, 0.2]), coverage={"0": 0.1})


def test_bounds_and_splits_by_image() -> None:
    data = dataset(["one"] * 100, [0.5] * 100)
    coverage = {str(n): 0.5 for n in range(100)}
    split = make_split(data, by_group=False, max_validation=3, max_held_out=4, coverage=coverage)
    assert (len(split.validation), len(split.held_out)) == (3, 4)
    assert split.group_rule == "image"


def test_the_seed_decides() -> None:
    data = dataset([str(n) for n in range(60)], [0.1] * 60)
    one, two, other = (make_split(data, seed=seed) for seed in (1, 1, 2))
    assert one == two
    assert one.held_out != other.held_out


def test_coverages_read_the_masks() -> None:
    assert coverages(dataset(["a", "b"], [0.25, 0.0])) == {"0": 0.25, "1": 0.0}


def test_round_trip(tmp_path: Path) -> None:
    split = make_split(dataset([str(n) for n in range(20)], [0.1] * 20))
    split.save(tmp_path / "split.json")
    assert Split.load(tmp_path / "split.json") == split
    assert split.part_of(split.held_out[0]) == "held-out"
    assert split.part_of(split.train[0]) == "train"
    assert split.part_of("stranger") is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": "x"}, "data.split.malformed"),
        ({"version": 9}, "data.split.version"),
        ({"train": ["a", "b"], "validation": ["b"]}, "data.split.duplicate"),
        ({"groups": 3}, "data.split.damaged"),
    ],
)
def test_bad_files(tmp_path: Path, change: dict[str, object], says: str) -> None:
    content = {**Split(("a",), ("b",)).to_json(), **change}
    (tmp_path / "s.json").write_text(json.dumps(content))
    with raises_code(says):
        Split.load(tmp_path / "s.json")
    (tmp_path / "t.json").write_text("{")
    with raises_code("data.split.unreadable"):
        Split.load(tmp_path / "t.json")


def test_nothing_to_split() -> None:
    with raises_code("data.masks.missing"):
        make_split(Dataset("d", "test", Path(), ()))
