"""LZW of TIFF: what imagecodecs would crash on is refused before, everything else is left to it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from napari_unet.data.files.image_files import decode_image
from napari_unet.data.files.lazy_files import open_lazy
from napari_unet.data.lzw import check_lzw
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(0)


def packed(codes: list[tuple[int, int]], *, old: bool = False) -> bytes:
    """(number, bits) as a stream; the old way begins with the lowest bit of a byte."""
    total = place = 0
    for number, bits in codes:
        total = total | number << place if old else total << bits | number
        place += bits
    spare = -place % 8
    return total.to_bytes((place + spare) // 8, "little") if old else (total << spare).to_bytes(
        (place + spare) // 8, "big"
    )  # fmt: skip


@pytest.mark.parametrize("old", [False, True])
def test_a_piece_used_before_there_is_one(old: bool) -> None:
    with pytest.raises(ValueError, match="before there is one"):
        check_lzw(packed([(256, 9), (258, 9), (65, 9), (257, 9)], old=old))
    with pytest.raises(ValueError, match="before there is one"):
        check_lzw(packed([(256, 9), (65, 9), (258, 9), (256, 9), (300, 9), (65, 9), (257, 9)], old=old))
    check_lzw(packed([(256, 9), (65, 9), (258, 9), (256, 9), (66, 9), (258, 9), (257, 9)], old=old))
    # What comes after the end, or after what is wanted, does not matter.
    check_lzw(packed([(256, 9), (65, 9), (257, 9), (256, 9), (300, 9)], old=old))
    check_lzw(packed([(256, 9), (65, 9), (66, 9), (256, 9), (300, 9)], old=old), 2)


@pytest.mark.parametrize("old", [False, True])
def test_numbers_become_wider_where_the_table_grows(old: bool) -> None:
    early = 0 if old else 1
    for count in (252, 253, 254, 255, 766, 1800, 3000):
        codes, pieces = [(256, 9)], 257
        for _ in range(count):
            widths = 9 + sum(max(pieces, 258) >= limit - early for limit in (512, 1024, 2048))
            codes.append((65, widths))
            pieces += 1
        widths = 9 + sum(pieces >= limit - early for limit in (512, 1024, 2048))
        check_lzw(packed([*codes, (256, widths), (65, 9), (257, 9)], old=old))
        with pytest.raises(ValueError, match="before there is one"):
            check_lzw(packed([*codes, (256, widths), (290, 9), (257, 9)], old=old))


def test_a_table_emptied_all_the_time() -> None:
    with pytest.raises(ValueError, match="all the time"):
        check_lzw(packed([(256, 9)] + [(65, 9), (256, 9)] * 3000))


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_whole_files_are_read_as_ever(tmp_path: Path, kind: str) -> None:
    pixels = RNG.integers(0, 200, (300, 400)).astype(kind)
    for name, options in (("a.tif", {"predictor": True}), ("b.tif", {"tile": (64, 64)})):
        tifffile.imwrite(tmp_path / name, pixels, compression="lzw", **options)
        np.testing.assert_array_equal(decode_image((tmp_path / name).read_bytes(), name)[..., 0], pixels)
        found = open_lazy(tmp_path / name).read((), slice(0, 300), slice(0, 400))
        np.testing.assert_array_equal(found[..., 0], pixels)


def test_a_tiff_with_such_a_stream_is_refused(tmp_path: Path) -> None:
    stream = packed([(256, 9), (300, 9), (258, 9), (257, 9)])
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((8, 8), np.uint8), compression="lzw")
    data = bytearray(file.getvalue())
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        start = tiff.pages[0].dataoffsets[0]
    data[start : start + len(stream)] = stream
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.tif cannot be read"):
        decode_image(bytes(data), "a.tif")
    with pytest.raises(DataError):
        open_lazy(tmp_path / "a.tif").read((), slice(0, 8), slice(0, 8))
