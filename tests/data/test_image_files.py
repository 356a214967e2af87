from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_unet.data.files.decoders import bounds
from napari_unet.data.files.decoders.image_kinds import HEAD_BYTES
from napari_unet.data.files.image_files import (
    ImageHeader,
    count_pages,
    decode_image,
    decode_pixels,
    image_header,
)
from napari_unet.data.masks.mask_pixels import decode_labels
from napari_unet.errors import DataError
from support.errors import raises_code
from support.file_builders import jpeg, png, tiff

RNG = np.random.default_rng(5)
GREY = RNG.integers(0, 255, (7, 5), np.uint8)
COLOUR = RNG.integers(0, 255, (7, 5, 3), np.uint8)
DEEP = (RNG.integers(0, 65535, (7, 5)) | 1).astype(np.uint16)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("compression", [None, "lzw", "zlib"])
def test_tiff_keeps_every_type_and_value(dtype: Any, compression: Any) -> None:
    pixels = (RNG.random((7, 5)) * 200 - (100 if np.dtype(dtype).kind != "u" else 0)).astype(dtype)
    read = decode_image(tiff(pixels, compression=compression), "a.tif")
    assert read.dtype == dtype
    assert np.array_equal(read[..., 0], pixels)


@pytest.mark.parametrize(
    "options",
    [
        {"tile": (16, 16)},
        {"rowsperstrip": 2, "compression": "zlib"},
        {"byteorder": ">"},
        {"bigtiff": True},
        {"predictor": 2, "compression": "lzw"},
    ],
)
def test_tiff_layouts(options: Any) -> None:
    read = decode_image(tiff(DEEP, **options), "a.tif")
    assert read.dtype == np.dtype(np.uint16)
    assert read.dtype.isnative
    assert np.array_equal(read[..., 0], DEEP)


def test_planar_tiff_has_its_channels_last() -> None:
    planar = tiff(np.moveaxis(COLOUR, -1, 0), photometric="rgb", planarconfig="separate")
    assert np.array_equal(decode_image(planar, "a.tif"), COLOUR)


def test_one_bit_is_bool() -> None:
    bits = GREY > 100
    assert np.array_equal(decode_image(tiff(bits, photometric="minisblack"), "a.tif")[..., 0], bits)
    assert np.array_equal(decode_image(png(bits), "a.png")[..., 0], bits)
    assert decode_image(png(bits), "a.png").dtype == bool


def test_png_of_every_kind() -> None:
    assert np.array_equal(decode_image(png(GREY), "a.png"), GREY[..., None])
    assert np.array_equal(decode_image(png(COLOUR), "a.png"), COLOUR)
    assert np.array_equal(decode_image(png(DEEP), "a.png"), DEEP[..., None])
    assert decode_image(png(DEEP), "a.png").dtype == np.uint16


def test_sixteen_bit_colour_keeps_its_low_bits() -> None:
    deep = np.stack([DEEP, DEEP[::-1], DEEP[:, ::-1]], -1)
    assert np.array_equal(decode_image(imagecodecs.png_encode(deep), "a.png"), deep)


def test_transparency_is_no_data() -> None:
    alpha = np.full((7, 5, 1), 255, np.uint8)
    opaque = np.concatenate([COLOUR, alpha], -1)
    assert np.array_equal(decode_image(png(opaque), "a.png"), COLOUR)
    opaque[0, 0, 3] = 254
    assert np.array_equal(decode_image(png(opaque), "a.png"), COLOUR)
    assert decode_pixels(png(opaque), "a.png").alpha == 3
    assert np.array_equal(decode_pixels(png(opaque), "a.png").pixels, opaque)
    grey_alpha = np.concatenate([GREY[..., None], alpha], -1)
    assert np.array_equal(decode_image(png(grey_alpha), "a.png"), GREY[..., None])


def test_palette_is_colours_for_images_and_indices_for_masks() -> None:
    indices = np.array([[0, 1], [2, 1]], np.uint8)
    file = png(indices, "P")
    assert decode_image(file, "a.png").tolist() == [
        [[0, 0, 0], [200, 10, 20]],
        [[30, 220, 40], [200, 10, 20]],
    ]
    assert np.array_equal(decode_labels(file, "a.png"), indices)


def test_palette_tiff() -> None:
    colours = np.zeros((3, 256), np.uint16)
    colours[:, 1] = (0xFF00, 0x8000, 0x0100)
    file = tiff(np.array([[0, 1]], np.uint8), photometric="palette", colormap=colours)
    assert decode_image(file, "a.tif").tolist() == [[[0, 0, 0], [255, 128, 1]]]
    assert decode_labels(file, "a.tif").tolist() == [[0, 1]]


def test_a_transparent_colour_in_a_palette_warns_of_nothing() -> None:
    file = png(np.array([[0, 1]], np.uint8), "P", transparency=b"\x00\xff")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode_image(file, "a.png").shape == (1, 2, 3)


def test_jpeg_bmp_and_gif() -> None:
    flat = np.full((8, 8), 77, np.uint8)
    assert np.abs(decode_image(jpeg(flat), "a.jpg").astype(int) - 77).max() <= 1
    for kind in ("BMP", "GIF"):
        file = io.BytesIO()
        Image.fromarray(GREY).save(file, kind)
        assert np.array_equal(decode_labels(file.getvalue(), f"a.{kind.lower()}"), GREY)


def test_grey_saved_as_colour_is_one_number_in_a_mask() -> None:
    same = np.stack([GREY] * 3, -1)
    assert np.array_equal(decode_labels(png(same), "a.png"), GREY)
    assert decode_labels(png(COLOUR), "a.png").shape == (7, 5, 3)


def test_the_content_counts_not_the_suffix() -> None:
    assert np.array_equal(decode_image(tiff(GREY), "a.png")[..., 0], GREY)
    assert np.array_equal(decode_image(png(GREY), "a.tif")[..., 0], GREY)


@pytest.mark.parametrize(
    "options", [{"photometric": "minisblack"}, {"imagej": True, "metadata": {"axes": "ZYX"}}]
)
def test_stacks_are_read_page_by_page(options: Any) -> None:
    stack = np.stack([GREY, GREY + 1, GREY + 2])
    file = tiff(stack, **options)
    assert count_pages(file, "s.tif") == 3
    for page in range(3):
        assert np.array_equal(decode_image(file, "s.tif", page)[..., 0], stack[page])
    with raises_code("data.image.stack", "3 images"):
        decode_image(file, "s.tif")
    with raises_code("data.image.page", "page 3"):
        decode_image(file, "s.tif", 3)


def test_stack_of_colour_pages() -> None:
    stack = np.stack([COLOUR, COLOUR[::-1]])
    file = tiff(stack, photometric="rgb")
    assert np.array_equal(decode_image(file, "s.tif", 1), COLOUR[::-1])


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (png(GREY), ImageHeader(7, 5, 1, "uint8")),
        (png(DEEP), ImageHeader(7, 5, 1, "uint16")),
        (png(GREY > 9), ImageHeader(7, 5, 1, "bool")),
        (png(COLOUR), ImageHeader(7, 5, 3, "uint8")),
        (jpeg(COLOUR), ImageHeader(7, 5, 3, "uint8")),
        (tiff(DEEP), ImageHeader(7, 5, 1, "uint16")),
        (tiff(GREY.astype(np.float32)), ImageHeader(7, 5, 1, "float32")),
        (tiff(np.stack([GREY] * 4), photometric="minisblack"), ImageHeader(7, 5, 1, "uint8", 4)),
    ],
)
def test_headers(file: Any, expected: Any) -> None:
    assert image_header(file, "a") == expected


def test_the_header_of_a_png_needs_its_first_bytes_alone() -> None:
    assert image_header(png(GREY)[:HEAD_BYTES], "a.png") == ImageHeader(7, 5, 1, "uint8")


def png_declaring(width: int, height: int) -> bytes:
    """A PNG that says it is large and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("width", "height"), [(100_000, 100_000), (2**31 - 1, 2**31 - 1), (20_000, 20_000)])
def test_a_png_that_declares_a_huge_image_takes_no_memory(width: Any, height: Any) -> None:
    import tracemalloc

    file = png_declaring(width, height)
    tracemalloc.start()
    with pytest.raises(DataError, match=r"bomb\.png (is too large|declares more)"):
        decode_image(file, "bomb.png")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


def test_a_tiff_that_declares_a_huge_image_is_refused() -> None:
    good = tiff(np.zeros((4, 4), np.uint8), metadata=None)
    for tag in (256, 257):  # width and height, as one 32-bit number each
        old = struct.pack("<HHII", tag, 4, 1, 4)
        assert good.count(old) == 1
        good = good.replace(old, struct.pack("<HHII", tag, 4, 1, 1_000_000))
    with pytest.raises(DataError, match=r"bomb\.tif (is too large|declares more)"):
        decode_image(good, "bomb.tif")


def test_a_tiff_that_declares_a_huge_tile_is_refused() -> None:
    good = tiff(np.zeros((40, 40), np.uint8), tile=(32, 32), compression="zlib", metadata=None)
    old = struct.pack("<HHII", 323, 4, 1, 32)  # length of a tile
    assert good.count(old) == 1
    bad = good.replace(old, struct.pack("<HHII", 323, 4, 1, 48 << 24))
    with pytest.raises(DataError, match=r"bomb\.tif (is too large|declares more).*tiles"):
        decode_image(bad, "bomb.tif")


def test_the_bound_names_file_and_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_DECODED_BYTES", 30)
    for name, file in {"a.png": png(GREY), "a.tif": tiff(GREY), "a.jpg": jpeg(GREY)}.items():
        with raises_code("data.image.large", name, "5 x 7"):
            decode_image(file, name)


def test_nothing_and_text_are_no_images() -> None:
    with raises_code("data.image.empty", "a.png"):
        decode_image(b"", "a.png")
    with raises_code("data.image.unreadable", "a.png"):
        decode_image(b"hello, this is text", "a.png")


NOISE = RNG.integers(0, 255, (60, 50), np.uint8)
FILES = {
    "raw.tif": tiff(NOISE),
    "lzw.tif": tiff(NOISE, compression="lzw", rowsperstrip=16),
    "tiled.tif": tiff(NOISE, compression="zlib", tile=(32, 32)),
    "stack.tif": tiff(np.stack([NOISE] * 4), photometric="minisblack"),
    "imagej.tif": tiff(np.stack([NOISE] * 4), imagej=True, metadata={"axes": "ZYX"}),
    "grey.png": png(NOISE),
    "deep.png": imagecodecs.png_encode(np.stack([NOISE.astype(np.uint16) * 7] * 3, -1)),
    "palette.png": png(NOISE % 4, "P"),
    "a.jpg": jpeg(NOISE),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_files_cut_off_are_told_never_half_read(name: Any, share: float) -> None:
    file = FILES[name]
    cut = file[: int(len(file) * share)]
    with raises_code("data.image.unreadable", name):
        for page in range(count_pages(cut, name)):
            decode_image(cut, name, page)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(FILES)), st.lists(st.tuples(st.integers(0, 299), st.integers(0, 255)), max_size=5)
)
def test_altered_files_give_an_image_or_a_clear_error(name: Any, changes: Any) -> None:
    file = bytearray(FILES[name])
    for place, value in changes:
        file[place] = value
    try:
        assert decode_image(bytes(file), name, 0).ndim == 3
        assert image_header(bytes(file), name).pages >= 1
    except DataError as error:
        assert name in str(error)
