from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.atomic import atomic_path
from napari_unet.data.file_names import safe_stem, unique_stems
from napari_unet.data.masks.mask_pixels import decode_labels
from napari_unet.export.masks import write_mask, write_probabilities
from support.errors import raises_code

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


@given(st.text(max_size=300))
def test_file_names_are_safe(identifier: str) -> None:
    stem = safe_stem(identifier)
    assert stem
    assert not set(stem) & set('/\\:\0*?"<>|\n')
    assert not stem.startswith(".")
    assert ".." not in stem
    assert len(stem.encode()) <= 200
    assert safe_stem(stem) == stem


def test_plain_ids_stay() -> None:
    assert safe_stem("00a3af90ab") == "00a3af90ab"
    assert safe_stem("slice 3 (left).v2") == "slice 3 (left).v2"


@pytest.mark.parametrize(
    ("identifier", "stem"),
    [
        ("../../etc/passwd", "____etc_passwd"),
        ("..", "_"),
        ("", "image"),
        (" . ", "image"),
        (".hidden.", "hidden"),
        ("a\\b:c", "a_b_c"),
        ("nul", "_nul"),
        ("COM1.old", "_COM1.old"),
        ("\ud800", "_"),
    ],
)
def test_what_is_not_safe_is_replaced(identifier: str, stem: str) -> None:
    assert safe_stem(identifier) == stem


def test_long_ids_that_begin_alike_stay_apart() -> None:
    one, two = "é" * 150 + "1", "é" * 150 + "2"
    assert safe_stem(one) != safe_stem(two)
    assert len(safe_stem(one).encode()) <= 200


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


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_mask(tmp_path / "a.png", MASK)
        assert stat.S_IMODE((tmp_path / "a.png").stat().st_mode) == 0o640
    finally:
        assert os.umask(before) == 0o027


def test_a_full_disk_is_an_error_in_words_and_leaves_nothing(tmp_path: Path) -> None:
    def fill() -> None:
        with atomic_path(tmp_path / "a.txt"):
            raise OSError(28, "No space left on device")

    with raises_code("output.unwritable", "No space left on device"):
        fill()
    assert list(tmp_path.iterdir()) == []


FILL = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from napari_unet.errors import DataError, OutputError
from napari_unet.export.masks import write_mask, write_probabilities
path = Path(sys.argv[1])
noise = np.random.default_rng(0).integers(0, 2, (500, 500), dtype=np.uint8)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    if "probabilities" in path.name:
        write_probabilities(path, noise[..., None].astype(np.float32))
    else:
        write_mask(path, noise)
except OutputError as error:
    print(error)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot limit the size of files")
@pytest.mark.parametrize("name", ["mask.png", "mask.tif", "probabilities.tif"])
def test_a_file_that_the_system_stops_halfway_leaves_nothing(tmp_path: Path, name: str) -> None:
    told = subprocess.run(
        [sys.executable, "-c", FILL, str(tmp_path / name)], capture_output=True, text=True, check=True
    )
    assert f"{name} cannot be written" in told.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF"])
@pytest.mark.parametrize("classes", [1, 2, 255, 300])
def test_what_is_written_is_read(tmp_path: Path, suffix: str, classes: int) -> None:
    mask = np.random.default_rng(classes).integers(0, classes + 1, (13, 17))
    mask[0, 0] = classes
    path = write_mask(tmp_path / f"m{suffix}", mask, classes)
    found = decode_labels(path.read_bytes(), path.name)
    np.testing.assert_array_equal(found, mask * 255 if classes == 1 else mask)
    assert found.dtype == (np.uint8 if classes < 256 else np.uint16)


def test_labels_that_would_be_lost_are_refused(tmp_path: Path) -> None:
    for mask in (MASK * 2, MASK.astype(int) - 1):
        with pytest.raises(ValueError, match="not all within 0 to 1"):
            write_mask(tmp_path / "m.png", mask)
    with pytest.raises(ValueError, match=r"a mask is \(Y, X\)"):
        write_mask(tmp_path / "m.png", MASK[None])
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_promises_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    with raises_code("output.name.ending", ".png, .tif, .tiff", ".jpg"):
        write_mask(tmp_path / "m.jpg", MASK)
    with raises_code("output.name.ending", "no suffix"):
        write_probabilities(tmp_path / "p", np.zeros((2, 2, 1), np.float32))
    assert list(tmp_path.iterdir()) == []


def test_two_ids_never_share_a_file() -> None:
    stems = unique_stems(["a/b", "a_b", "A_B", "c", "a_b_2"])
    assert stems == {"a/b": "a_b", "a_b": "a_b_2", "A_B": "A_B_3", "c": "c", "a_b_2": "a_b_2_2"}
