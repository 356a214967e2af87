"""A plain PNG is decoded without Pillow, to the same pixels; any other goes to Pillow as before."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from napari_unet.data.files.decoders.pictures import decode_plain_png
from napari_unet.data.files.image_files import decode_image, decode_pixels
from support.errors import raises_code

GREY = np.arange(12 * 17, dtype=np.uint8).reshape(12, 17)
PIXELS = {
    "grey": GREY,
    "deep": (GREY.astype(np.uint16) * 257)[:, ::-1],
    "colours": np.stack([GREY, GREY.T.reshape(12, 17), 255 - GREY], axis=-1),
}


def png(pixels: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", **options)  # type: ignore[arg-type]
    return file.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


@pytest.mark.parametrize("kind", PIXELS)
def test_pixels_are_those_that_were_written(kind: str) -> None:
    data = png(PIXELS[kind])
    found = decode_plain_png(data)
    assert found is not None
    expected = PIXELS[kind] if kind == "colours" else PIXELS[kind][..., None]
    assert found.pixels.dtype == expected.dtype
    np.testing.assert_array_equal(found.pixels, expected)
    assert (found.colour, found.alpha) == (kind == "colours", None)
    np.testing.assert_array_equal(decode_image(data, "a.png"), expected)


def test_what_changes_the_picture_goes_to_pillow() -> None:
    upright = png(GREY)
    exif = Image.Exif()
    exif[274] = 6  # a quarter turn
    turned = png(GREY, exif=exif.tobytes())
    at_the_end = upright[:-12] + chunk(b"eXIf", exif.tobytes()[6:]) + upright[-12:]
    text = PngImagePlugin.PngInfo()
    text.add_text("Software", "any")
    others = {
        "turned": turned,
        "turned at the end": at_the_end,
        "palette": _palette(),
        "transparent colour": png(GREY, transparency=3),
        "transparency": png(np.dstack([PIXELS["colours"], GREY])),
        "black and white": png(GREY > 90),
        "text": png(GREY, pnginfo=text),
    }
    for name, data in others.items():
        assert decode_plain_png(data) is None, name
    assert decode_image(turned, "a.png").shape == (17, 12, 1)
    assert decode_pixels(others["transparent colour"], "a.png").alpha == 1
    np.testing.assert_array_equal(decode_image(others["text"], "a.png")[..., 0], GREY)


def _palette() -> bytes:
    file = io.BytesIO()
    picture = Image.fromarray(GREY % 3, "P")
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    picture.save(file, "PNG")
    return file.getvalue()


def test_a_damaged_file_is_no_plain_one() -> None:
    data = png(GREY)
    broken = bytearray(data)
    broken[60] ^= 0xFF  # within the pixels
    for damaged in (data[:-20], data[:50], bytes(broken), data[:20], b""):
        assert decode_plain_png(damaged) is None
    with raises_code("data.image.unreadable"):
        decode_image(data[:50], "a.png")
