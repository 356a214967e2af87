"""Read by region, a TIFF of any kind is the picture that viewers show, as it is when read whole."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from napari_unet.data.files.image_files import decode_image
from napari_unet.data.files.lazy_files import open_lazy, open_lazy_images
from napari_unet.data.files.lazy_tiff import count_tiff_stacks, pixels_of_tiff
from napari_unet.data.files.pixel_size import PixelSize
from napari_unet.data.files.reading import ImageReading, reading_images
from support.errors import raises_code

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(3)
GREY = RNG.integers(0, 255, (60, 90), dtype=np.uint8)
DEEP = RNG.integers(0, 60_000, (60, 90), dtype=np.uint16)
RGB, FOUR = (RNG.integers(0, 255, (60, 90, n), dtype=np.uint8) for n in (3, 4))
TABLE = RNG.integers(0, 65535, (3, 256), dtype=np.uint16)
TILES = {"tile": (32, 16), "compression": "zlib"}
STRIPS = {"rowsperstrip": 7, "compression": "lzw"}
KINDS: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "palette": (GREY, {"photometric": "palette", "colormap": TABLE, **TILES}),
    "palette of 16 bits": (
        DEEP // 256, {"photometric": "palette", "colormap": np.resize(TABLE, (3, 65536)), **TILES},
    ),
    "CMYK": (FOUR, {"photometric": "separated", **TILES}),
    "CMYK of 16 bits": (FOUR.astype(np.uint16) * 257, {"photometric": "separated", **STRIPS}),
    "CMYK and alpha": (
        np.concatenate([FOUR, RGB[..., :1]], axis=2),
        {"photometric": "separated", "extrasamples": ["unassalpha"], **TILES},
    ),
    "white is 0": (GREY, {"photometric": "miniswhite", **STRIPS}),
    "white is 0, 16 bits": (DEEP, {"photometric": "miniswhite", **TILES}),
    "white is 0, 1 bit": (GREY > 127, {"photometric": "miniswhite", "rowsperstrip": 7}),
    "CIELAB": (RGB, {"photometric": "cielab", **TILES}),
    "RGB and alpha": (FOUR, {"photometric": "rgb", "extrasamples": ["unassalpha"], **STRIPS}),
    "planes": (np.moveaxis(RGB, 2, 0), {"photometric": "rgb", "planarconfig": "separate", **TILES}),
    "in one piece": (DEEP, {"byteorder": ">"}),
    "YCbCr in JPEG": (RGB, {"photometric": "rgb", "compression": "jpeg", "tile": (16, 16)}),
}  # fmt: skip
REGIONS = [(slice(0, 60), slice(0, 60)), (slice(11, 38), slice(25, 58)), (slice(47, 48), slice(0, 1))]


def write(path: Path, kind: str, orientation: int = 1) -> Path:
    pixels, options = KINDS[kind]
    turned = [(274, "H", 1, orientation, True)] if orientation != 1 else []
    tifffile.imwrite(path, pixels, extratags=turned, **options)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_pictures_are_read_upright_by_region(tmp_path: Path, orientation: int) -> None:
    upright = {
        1: DEEP, 2: DEEP[:, ::-1], 3: DEEP[::-1, ::-1], 4: DEEP[::-1],
        5: DEEP.T, 6: np.rot90(DEEP, -1), 7: DEEP[::-1, ::-1].T, 8: np.rot90(DEEP),
    }[orientation]  # fmt: skip
    for options in (TILES, STRIPS, {}):
        tifffile.imwrite(
            tmp_path / "a.tif", DEEP, extratags=[(274, "H", 1, orientation, True)],
            resolution=(20_000, 10_000), resolutionunit="CENTIMETER", **options,
        )  # fmt: skip
        stack = pickle.loads(pickle.dumps(open_lazy(tmp_path / "a.tif")))
        assert stack.shape == (*upright.shape, 1)
        sides = (0.5, 1.0) if orientation > 4 else (1.0, 0.5)  # µm: y and x change places with the picture
        assert stack.pixel_size == PixelSize(*sides, "µm")
        for rows, columns in REGIONS:
            found = stack.read((), rows, columns)
            np.testing.assert_array_equal(found[..., 0], upright[rows, columns])
        whole = np.zeros(upright.shape, np.uint16)
        for rows, columns, values in stack.parts(()):
            whole[rows, columns] = values[..., 0]
        np.testing.assert_array_equal(whole, upright)


@pytest.mark.parametrize("orientation", [1, 7])
@pytest.mark.parametrize("kind", KINDS)
def test_any_kind_is_the_same_by_region_and_whole(tmp_path: Path, kind: str, orientation: int) -> None:
    path = write(tmp_path / "a.tif", kind, orientation)
    whole = decode_image(path.read_bytes(), "a.tif")
    stack = open_lazy(path)
    assert (stack.shape, stack.dtype) == (whole.shape, whole.dtype)
    for rows, columns in REGIONS:
        np.testing.assert_array_equal(stack.read((), rows, columns), whole[rows, columns])
    with reading_images(ImageReading(channels=("0",))):
        chosen = decode_image(path.read_bytes(), "a.tif", reading=ImageReading(channels=("0",)))
    np.testing.assert_array_equal(stack.choose(["0"]).read((), *REGIONS[0]), chosen[REGIONS[0]])


def test_pixels_by_hand(tmp_path: Path) -> None:
    colours = np.zeros((3, 256), np.uint16)
    colours[:, 7] = 65535, 257, 0
    tifffile.imwrite(
        tmp_path / "p.tif", np.full((20, 30), 7, np.uint8), photometric="palette", colormap=colours
    )
    assert open_lazy(tmp_path / "p.tif").read((), slice(3, 4), slice(5, 6)).tolist() == [[[255, 1, 0]]]
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[..., 0], inks[..., 3] = 255, 51  # cyan, a fifth black
    tifffile.imwrite(tmp_path / "c.tif", inks, photometric="separated")
    assert open_lazy(tmp_path / "c.tif").read((), slice(3, 4), slice(5, 6)).tolist() == [[[0, 204, 204]]]
    tifffile.imwrite(tmp_path / "w.tif", np.full((20, 30), 7, np.uint8), photometric="miniswhite")
    assert open_lazy(tmp_path / "w.tif").read((), slice(3, 4), slice(5, 6)).tolist() == [[[248]]]


def test_pixels_that_the_palette_has_no_colour_for_are_damage(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "p.tif", np.full((20, 30), 7, np.uint8), photometric="palette",
        colormap=np.zeros((3, 256), np.uint16),
    )  # fmt: skip
    stack = open_lazy(tmp_path / "p.tif")
    assert stack.stored is not None
    assert stack.stored.palette is not None
    short = replace(stack, stored=replace(stack.stored, palette=stack.stored.palette[:7]))
    with raises_code("data.image.unreadable", "p cannot be read at rows 3 to 4"):
        short.read((), slice(3, 4), slice(5, 6))


def test_a_transparency_that_is_asked_for_is_not_turned(tmp_path: Path) -> None:
    pixels = np.stack([GREY, GREY // 2], axis=2)
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, photometric="miniswhite", extrasamples=["unassalpha"],
        planarconfig="contig",
    )  # fmt: skip
    stack = open_lazy(tmp_path / "a.tif")
    np.testing.assert_array_equal(stack.read((), *REGIONS[0]), 255 - pixels[:60, :60, :1])
    both = stack.choose(["1", "0"]).read((), *REGIONS[0])
    np.testing.assert_array_equal(both, np.stack([pixels[..., 1], 255 - pixels[..., 0]], axis=2)[:60, :60])


def test_every_series_is_a_stack_of_its_own(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "s.tif") as writer:
        writer.write(GREY, photometric="miniswhite", **TILES)
        writer.write(DEEP[:40], extratags=[(274, "H", 1, 6, True)], **STRIPS)
        writer.write(RGB, photometric="rgb")
    first, second, third = open_lazy_images(tmp_path / "s.tif")
    assert [s.name for s in (first, second, third)] == ["s_000", "s_001", "s_002"]
    assert (count_tiff_stacks(tmp_path / "s.tif"), pixels_of_tiff(tmp_path / "s.tif")) == (3, 5400)
    np.testing.assert_array_equal(first.read((), *REGIONS[1])[..., 0], 255 - GREY[REGIONS[1]])
    expected = np.rot90(DEEP[:40], -1)  # 90 x 40 pixels
    np.testing.assert_array_equal(second.read((), slice(40, 90), slice(3, 40))[..., 0], expected[40:, 3:])
    np.testing.assert_array_equal(third.read((), *REGIONS[1]), RGB[REGIONS[1]])
    assert len({s.fingerprint for s in (first, second, third)}) == 3
    assert pickle.loads(pickle.dumps(second)).fingerprint == second.fingerprint


def test_series_of_one_size_become_channels_where_a_person_says_so(tmp_path: Path) -> None:
    planes = [DEEP, DEEP[::-1], DEEP[:, ::-1]]
    for number, plane in enumerate(planes):
        tifffile.imwrite(tmp_path / "a.tif", plane, append=number > 0, metadata=None, rowsperstrip=8)
    assert [s.leading for s in open_lazy_images(tmp_path / "a.tif")] in ([(("t", 3),)], [()] * 3)
    for axes, leading in (("CYX", ()), ("TYX", (("t", 3),))):
        with reading_images(ImageReading(axes)):
            (stack,) = open_lazy_images(tmp_path / "a.tif")
        assert stack.leading == leading
        stack = pickle.loads(pickle.dumps(stack))
        if leading:
            found = np.stack([stack.read((n,), *REGIONS[1])[..., 0] for n in range(3)], axis=2)
        else:
            found = stack.read((), *REGIONS[1])
        np.testing.assert_array_equal(found, np.stack(planes, axis=2)[REGIONS[1]])


def test_the_beginning_of_a_file_with_several_images_is_not_taken_for_all(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "s.tif") as writer:
        writer.write(GREY)
        writer.write(DEEP[:40])
    content = (tmp_path / "s.tif").read_bytes()
    with tifffile.TiffFile(tmp_path / "s.tif") as tiff:
        start = tiff.pages[1].offset
    (tmp_path / "s.tif").write_bytes(content[:start])
    with raises_code("data.file.unreadable", "s.tif"):
        open_lazy_images(tmp_path / "s.tif")


def test_colours_in_several_channels_name_the_way_out(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.ome.tif",
        np.stack([RGB, RGB]),
        photometric="rgb",
        metadata={"axes": "CYXS"},
        tile=(16, 16),
    )
    with raises_code("data.image.colours", "--stream"):
        open_lazy(tmp_path / "a.ome.tif")
