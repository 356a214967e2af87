"""Kinds of files that people bring: the right pixels, or one sentence that says what is missing."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_unet.data.catalog import open_images
from napari_unet.data.files.image_files import image_header
from napari_unet.data.files.lazy_files import open_lazy_images
from support.errors import raises_code

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 255, (40, 64), dtype=np.uint8)
DEEP = RNG.integers(0, 60_000, (40, 64), dtype=np.uint16)
FLOAT = RNG.random((40, 64)).astype(np.float32)
RGB = RNG.integers(0, 255, (40, 64, 3), dtype=np.uint8)
STACK = RNG.integers(0, 9999, (2, 5, 40, 64), dtype=np.uint16)
TIFFS: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    **{
        name: (GREY, {"compression": name, "tile": (32, 32)}) for name in ("lzma", "zstd", "zlib", "packbits")
    },
    **{name: (GREY, {"compression": name}) for name in ("jpeg2000", "jpegxl", "png", "lerc")},
    "differences": (DEEP, {"compression": "zlib", "predictor": 2}),
    "differences of floats": (FLOAT, {"compression": "zlib", "predictor": 3}),
    "half floats": (FLOAT.astype(np.float16), {}),
    "64-bit floats": (FLOAT.astype(np.float64), {}),
    "64-bit integers": (DEEP.astype(np.uint64), {}),
    "signed": (GREY.astype(np.int8), {}),
    "12 bits": (DEEP % 4096, {"bitspersample": 12}),
    "BigTIFF": (DEEP, {"bigtiff": True}),
}


@pytest.mark.parametrize("kind", TIFFS)
def test_tiffs_of_any_compression_and_type(tmp_path: Path, kind: str) -> None:
    pixels, options = TIFFS[kind]
    tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
    (sample,) = open_images([tmp_path / "a.tif"])
    found = sample.read_image()
    assert found.dtype == pixels.dtype
    np.testing.assert_array_equal(found[..., 0], pixels)
    (stack,) = open_lazy_images(tmp_path / "a.tif")
    np.testing.assert_array_equal(stack.read((), slice(9, 40), slice(3, 60))[..., 0], pixels[9:, 3:60])


def test_hyperstacks_thumbnails_and_pyramids(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, metadata={"axes": "CZYX"})
    with tifffile.TiffWriter(tmp_path / "b.ome.tif") as writer:
        writer.write(DEEP, subifds=2, tile=(32, 32), metadata={"axes": "YX"})
        writer.write(DEEP[::2, ::2], subfiletype=1, tile=(32, 32))
        writer.write(DEEP[::4, ::4], subfiletype=1, tile=(32, 32))
    with tifffile.TiffWriter(tmp_path / "c.tif") as writer:
        writer.write(GREY[::4, ::4], subfiletype=1, metadata=None)
        writer.write(GREY, metadata=None)
    slices = open_images([tmp_path / "a.ome.tif"])
    assert len(slices) == 5
    for number, sample in enumerate(slices):
        np.testing.assert_array_equal(sample.read_image(), np.moveaxis(STACK[:, number], 0, -1))
    for name, expected in (("b.ome.tif", DEEP), ("c.tif", GREY)):
        (sample,) = open_images([tmp_path / name])
        np.testing.assert_array_equal(sample.read_image()[..., 0], expected)
        (stack,) = open_lazy_images(tmp_path / name)
        np.testing.assert_array_equal(stack.read((), slice(0, 40), slice(0, 64))[..., 0], expected)


def test_pngs_webp_and_gif(tmp_path: Path) -> None:
    Image.fromarray(GREY > 127).save(tmp_path / "bits.png")
    (tmp_path / "alpha.png").write_bytes(imagecodecs.png_encode(np.stack([DEEP, DEEP // 2], axis=2)))
    (tmp_path / "deep.png").write_bytes(imagecodecs.png_encode(RGB.astype(np.uint16) * 257))
    expected = {"bits": GREY[..., None] > 127, "alpha": DEEP[..., None], "deep": RGB.astype(np.uint16) * 257}
    for name, pixels in expected.items():
        (sample,) = open_images([tmp_path / f"{name}.png"])
        np.testing.assert_array_equal(sample.read_image(), pixels)
    frames = [Image.fromarray(np.roll(RGB, n, 0)) for n in range(3)]
    frames[0].save(tmp_path / "m.webp", save_all=True, append_images=frames[1:], lossless=True)
    greys = [Image.fromarray(np.roll(GREY, n, 0)) for n in range(3)]
    greys[0].save(tmp_path / "m.gif", save_all=True, append_images=greys[1:])
    for name, shown in (("m.webp", frames), ("m.gif", [f.convert("RGB") for f in greys])):
        found = [sample.read_image() for sample in open_images([tmp_path / name])]
        np.testing.assert_array_equal(np.stack(found), np.stack([np.asarray(f) for f in shown]))
    frames[0].save(tmp_path / "m.png", save_all=True, append_images=frames[1:])
    (sample,) = open_images([tmp_path / "m.png"])
    with raises_code("data.image.stack", "m.png", 3):
        sample.read_image()


def test_portable_greys_colours_and_bits(tmp_path: Path) -> None:
    """By hand: two rows of three. Grey values of 12 bits are spread over 16, as viewers do it."""
    words = np.array([0, 1000, 4095, 1, 2, 3], ">u2").tobytes()
    for name, text, shown in (
        (
            "grey.pgm",
            b"P5\n# a comment\n3 2\n255\n" + bytes([0, 10, 20, 30, 40, 255]),
            [0, 10, 20, 30, 40, 255],
        ),
        ("deep.pgm", b"P5 3 2 65535 " + words, [0, 1000, 4095, 1, 2, 3]),
        ("twelve.pgm", b"P5 3 2 4095 " + words, [0, 16004, 65535, 16, 32, 48]),
        ("plain.pgm", b"P2\n3 2\n255\n0 10 20\n30 40 255\n", [0, 10, 20, 30, 40, 255]),
        ("bits.pbm", b"P1\n3 2\n1 0 1\n0 0 1\n", [False, True, False, True, True, False]),
        ("any.pnm", b"P4\n3 2\n" + bytes([0b10100000, 0b00100000]), [False, True, False, True, True, False]),
    ):
        (tmp_path / name).write_bytes(text)
        (sample,) = open_images([tmp_path / name])
        found = sample.read_image()
        assert found.shape == (2, 3, 1)
        assert found.ravel().tolist() == shown
        header = image_header(text, name)
        assert (header.height, header.width, header.channels, header.dtype) == (2, 3, 1, found.dtype.name)
    (tmp_path / "colour.ppm").write_bytes(b"P6 1 2 255 " + bytes([1, 2, 3, 4, 5, 6]))
    (sample,) = open_images([tmp_path / "colour.ppm"])
    assert sample.read_image().tolist() == [[[1, 2, 3]], [[4, 5, 6]]]
    (tmp_path / "cut.pgm").write_bytes(b"P5 3 2 255 " + bytes(5))
    (sample,) = open_images([tmp_path / "cut.pgm"])
    with raises_code("data.image.unreadable", "cut.pgm"):
        sample.read_image()
    (tmp_path / "bomb.pgm").write_bytes(b"P5 60000 60000 255 " + bytes(5))
    (sample,) = open_images([tmp_path / "bomb.pgm"])
    with raises_code("data.image.bomb", "bomb.pgm"):
        sample.read_image()


def test_arrays_of_numpy_are_called_what_they_are(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", GREY)
    np.savez(tmp_path / "b.npz", one=GREY, two=DEEP)
    for name in ("a.npy", "b.npz"):
        with raises_code("data.image.format", name, "tifffile.imwrite"):
            open_images([tmp_path / name])


OME = """<?xml version="1.0" encoding="UTF-8"?>
<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{own}"><Image ID="Image:0">
<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16"
SizeX="64" SizeY="40" SizeZ="2" SizeC="1" SizeT="1">
<Channel ID="Channel:0:0" SamplesPerPixel="1"/>
<TiffData IFD="0" FirstZ="0" PlaneCount="1"><UUID FileName="z0.ome.tif">urn:uuid:{0}</UUID></TiffData>
<TiffData IFD="0" FirstZ="1" PlaneCount="1"><UUID FileName="z1.ome.tif">urn:uuid:{1}</UUID></TiffData>
</Pixels></Image></OME>"""


def test_an_image_in_several_files_is_whole_or_not_read(tmp_path: Path) -> None:
    names = [f"0000000{n}-0000-0000-0000-000000000000" for n in range(2)]
    planes = STACK[:, 0] + 1
    for number in range(2):
        about = OME.format(*names, own=names[number])
        tifffile.imwrite(tmp_path / f"z{number}.ome.tif", planes[number], description=about, metadata=None)
    found = [sample.read_image()[..., 0] for sample in open_images([tmp_path / "z0.ome.tif"])]
    np.testing.assert_array_equal(np.stack(found), planes)
    (stack,) = open_lazy_images(tmp_path / "z0.ome.tif")
    for number, plane in enumerate(planes):
        found = stack.read((number,), slice(0, 40), slice(0, 64))  # type: ignore[assignment]
        np.testing.assert_array_equal(found[..., 0], plane)  # type: ignore[call-overload]
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        for number in range(2):
            archive.write(tmp_path / f"z{number}.ome.tif", f"z{number}.ome.tif")
    (tmp_path / "z1.ome.tif").unlink()
    with raises_code("data.image.parts"):
        open_lazy_images(tmp_path / "z0.ome.tif")
    for path in (tmp_path / "z0.ome.tif", tmp_path / "z.zip"):
        with raises_code("data.image.parts", "unpack"):
            for sample in open_images([path]):
                sample.read_image()
