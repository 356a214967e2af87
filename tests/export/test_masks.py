from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.data.atomic import atomic_path
from napari_unet.data.image_files import decode_labels
from napari_unet.errors import OutputError
from napari_unet.export.masks import safe_stem, write_mask, write_probabilities

if TYPE_CHECKING:
    from pathlib import Path

MASK = np.array([[0, 1, 0], [1, 1, 0]], np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_masks_round_trip(tmp_path: Path, suffix: str) -> None:
    path = write_mask(tmp_path / f"a{suffix}", MASK)
    np.testing.assert_array_equal(decode_labels(path.read_bytes(), path.name), MASK * 255)
    path = write_mask(tmp_path / f"b{suffix}", MASK * 2, classes=2)
    np.testing.assert_array_equal(decode_labels(path.read_bytes(), path.name), MASK * 2)


def test_probabilities_round_trip(tmp_path: Path) -> None:
    import tifffile

    p = np.random.default_rng(0).random((5, 7, 2)).astype(np.float32)
    write_probabilities(tmp_path / "p.tif", p)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "p.tif"), np.moveaxis(p, -1, 0))
    write_probabilities(tmp_path / "q.tif", p[..., :1])
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "q.tif"), p[..., 0])


@given(st.text(max_size=40))
def test_file_names_are_safe(identifier: str) -> None:
    stem = safe_stem(identifier)
    assert stem
    assert not set(stem) & set('/\\:\0*?"<>|\n')
    assert not stem.startswith(".")
    assert stem not in {"..", "."}
    assert safe_stem(stem) == stem


def test_plain_ids_stay() -> None:
    assert safe_stem("00a3af90ab") == "00a3af90ab"
    assert safe_stem("../../etc/passwd") == "_.._etc_passwd"


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail() -> None:
        with atomic_path(target) as partial:
            partial.write_text("half")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_full_disk_is_an_error_in_words_and_leaves_nothing(tmp_path: Path) -> None:
    def fill() -> None:
        with atomic_path(tmp_path / "a.txt"):
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left on device; choose another folder or make room"):
        fill()
    assert list(tmp_path.iterdir()) == []
