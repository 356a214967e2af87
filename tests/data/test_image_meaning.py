"""What a file says of its pixels is heeded: axes, channels, orientation, min-is-white, no data."""

from __future__ import annotations

import io
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from napari_unet.data.files.image_files import decode_image, decode_pixels, image_header
from napari_unet.data.files.lazy_files import open_lazy
from napari_unet.data.files.lazy_stack import in_order_of, lazy_stack
from napari_unet.data.files.pages import page_samples
from napari_unet.data.files.reading import ImageReading, reading_images
from napari_unet.data.files.source import FolderSource
from napari_unet.data.masks.mask_pixels import decode_labels
from support.errors import raises_code

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(0)
ONE, TWO = RNG.integers(0, 250, (2, 20, 30), dtype=np.uint8)


def tiff(pixels: Any, **options: Any) -> Any:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **({"photometric": "minisblack"} | options))
    return file.getvalue()


@pytest.mark.parametrize("kind", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "webp", "tif"])
def test_every_orientation_is_what_viewers_show(kind: Any, ending: str) -> None:
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = kind
    if ending == "tif":
        file.write(tiff(ONE, extratags=[(274, "H", 1, kind, True)]))
    else:
        Image.fromarray(ONE).save(file, ending, exif=exif, **({"lossless": True} if ending == "webp" else {}))
    turned = Image.fromarray(ONE)
    turned.getexif()[0x0112] = kind
    shown = np.asarray(ImageOps.exif_transpose(turned))
    found = decode_image(file.getvalue(), f"a.{ending}")
    np.testing.assert_array_equal(found[..., 0], shown)
    header = image_header(file.getvalue(), f"a.{ending}")
    assert (header.height, header.width) == shown.shape
    if ending != "webp":
        np.testing.assert_array_equal(decode_labels(file.getvalue(), f"a.{ending}"), shown)


def test_white_is_zero_but_for_imagej_whose_inverting_table_says_nothing_of_the_pixels() -> None:
    assert decode_image(tiff(ONE, photometric="miniswhite"), "a.tif")[0, 0, 0] == 255 - ONE[0, 0]
    deep = ONE.astype(np.uint16) * 9
    found = decode_image(tiff(deep, photometric="miniswhite"), "a.tif")
    np.testing.assert_array_equal(found[..., 0], 65535 - deep)
    bits = ONE > 100
    np.testing.assert_array_equal(decode_labels(tiff(bits, photometric="miniswhite"), "a.tif"), ~bits)
    kept = decode_image(tiff(ONE, photometric="miniswhite", imagej=True), "a.tif")
    np.testing.assert_array_equal(kept[..., 0], ONE)


def test_channels_are_none_of_grey_and_alpha() -> None:
    both = np.stack([ONE, TWO])
    file = tiff(both, imagej=True, metadata={"axes": "CYX", "Labels": ["GFP", "DAPI"]})
    found = decode_pixels(file, "a.tif")
    np.testing.assert_array_equal(found.pixels, np.moveaxis(both, 0, -1))
    assert (found.channel_names, found.alpha, found.colour) == (("GFP", "DAPI"), None, False)
    four = np.stack([ONE, TWO, ONE, np.full_like(ONE, 255)], axis=-1)
    assert decode_image(tiff(four, planarconfig="contig"), "a.tif").shape == (20, 30, 4)
    assert decode_image(tiff(four, photometric="rgb"), "a.tif").shape == (20, 30, 3)  # says: alpha
    planar = tiff(np.moveaxis(four, -1, 0), planarconfig="separate")
    np.testing.assert_array_equal(decode_image(planar, "a.tif"), four)


def test_a_channel_by_name_or_number() -> None:
    file = tiff(
        np.stack([ONE, TWO]), ome=True, metadata={"axes": "CYX", "Channel": {"Name": ["GFP", "DAPI"]}}
    )
    for wanted in ("dapi", "1"):
        found = decode_image(file, "a.tif", reading=ImageReading(channels=(wanted,)))
        np.testing.assert_array_equal(found[..., 0], TWO)
    turned = decode_image(file, "a.tif", reading=ImageReading(channels=("DAPI", "GFP")))
    np.testing.assert_array_equal(turned, np.stack([TWO, ONE], axis=-1))
    with raises_code("settings.channel.unknown", "'Cy5'", "0 (GFP), 1 (DAPI)"):
        decode_image(file, "a.tif", reading=ImageReading(channels=("Cy5",)))


def test_axes_that_a_person_names() -> None:
    file = tiff(np.stack([ONE, TWO]))
    assert image_header(file, "a.tif").pages == 2
    assert "give --axes CYX" in image_header(file, "a.tif").note
    found = decode_image(file, "a.tif", reading=ImageReading("CYX"))
    np.testing.assert_array_equal(found, np.stack([ONE, TWO], axis=-1))
    last = tiff(np.stack([ONE, TWO], axis=-1))  # tifffile takes it for 20 pages of 30 x 2
    with raises_code("data.image.axes"):
        image_header(last, "a.tif")
    found = decode_image(last, "a.tif", reading=ImageReading("yxc"))
    np.testing.assert_array_equal(found, np.stack([ONE, TWO], axis=-1))
    with raises_code("data.image.axes", "TZCYX", "3 letters"):
        decode_image(file, "a.tif", reading=ImageReading("TZCYX"))
    with raises_code("settings.axes.malformed"):
        ImageReading("YY")


def test_series_of_any_shape_are_images_and_smaller_copies_are_not(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "s.tif") as file:
        for pixels in (ONE, TWO[:10], TWO):
            file.write(pixels, photometric="minisblack")
    samples = page_samples(FolderSource(tmp_path), "s.tif")
    assert [s.id for s in samples] == ["s_000", "s_001", "s_002"]
    for sample, pixels in zip(samples, (ONE, TWO[:10], TWO), strict=True):
        np.testing.assert_array_equal(sample.read_image()[..., 0], pixels)
    with tifffile.TiffWriter(tmp_path / "p.tif") as file:
        file.write(ONE, photometric="minisblack", subifds=1)
        file.write(ONE[::2, ::2], photometric="minisblack", subfiletype=1)
    assert [s.id for s in page_samples(FolderSource(tmp_path), "p.tif")] == ["p"]


def test_times_and_slices_are_images_with_channels() -> None:
    stack = RNG.integers(0, 9, (2, 3, 4, 20, 30), dtype=np.uint8)
    for file in (
        tiff(stack, imagej=True, metadata={"axes": "TZCYX"}),
        tiff(np.swapaxes(stack, 1, 2), ome=True, metadata={"axes": "TCZYX"}),
    ):
        assert image_header(file, "a.tif").pages == 6
        found = decode_image(file, "a.tif", 4)
        np.testing.assert_array_equal(found, np.moveaxis(stack[1, 1], 0, -1))


def test_values_without_data_are_not_numbers() -> None:
    floats = ONE.astype(np.float32)
    floats[3, 4] = -9999
    tag = [(42113, "s", 0, "-9999", True)]
    found = decode_image(tiff(floats, extratags=tag), "a.tif")
    assert np.argwhere(np.isnan(found[..., 0])).tolist() == [[3, 4]]
    whole = np.maximum(ONE, 1)
    whole[0] = 0
    found = decode_image(tiff(whole, extratags=[(42113, "s", 0, "0", True)]), "a.tif")
    assert np.isnan(found[0]).all()
    np.testing.assert_array_equal(found[1:, :, 0], whole[1:])
    assert decode_image(tiff(ONE, extratags=tag), "a.tif").dtype == np.uint8  # cannot hold it


def test_jpeg_2000_and_colours_of_other_kinds() -> None:
    file = io.BytesIO()
    Image.fromarray(ONE).save(file, "JPEG2000")
    np.testing.assert_array_equal(decode_image(file.getvalue(), "a.jp2")[..., 0], ONE)
    assert image_header(file.getvalue(), "a.jp2").width == 30
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[..., 0], inks[..., 3] = 255, 51  # cyan, a fifth black
    assert decode_image(tiff(inks, photometric="separated"), "a.tif")[0, 0].tolist() == [0, 204, 204]
    colours = np.zeros((3, 65536), np.uint16)
    colours[:, 300] = 65535, 257, 0
    file = tiff(np.array([[300, 0]], np.uint16), photometric="palette", colormap=colours)
    assert decode_image(file, "a.tif").tolist() == [[[255, 1, 0], [0, 0, 0]]]


def test_complex_numbers_are_refused() -> None:
    with raises_code("data.image.numbers"):
        decode_image(tiff(ONE.astype(np.complex64)), "a.tif")


def test_loaders_keep_how_they_were_told_to_read(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(np.stack([ONE, TWO]), imagej=True, metadata={"axes": "CYX"}))
    with reading_images(ImageReading(channels=("1",))):
        (sample,) = page_samples(FolderSource(tmp_path), "a.tif")
    np.testing.assert_array_equal(sample.read_image()[..., 0], TWO)


def test_a_channel_and_axes_travel_to_the_workers_of_a_cluster(tmp_path: Path) -> None:
    """A worker gets the stack, not the flags."""
    pixels = np.random.default_rng(0).integers(0, 255, (3, 30, 40), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", metadata=None)
    with reading_images(ImageReading("CYX")):
        stack = open_lazy(tmp_path / "a.tif").choose(["2"])
    there = pickle.loads(pickle.dumps(stack))
    assert there.indices == [()]
    np.testing.assert_array_equal(there.read((), np.s_[0:30], np.s_[5:40])[..., 0], pixels[2, :, 5:])


def test_streams_give_a_model_its_channels_in_its_order() -> None:
    stack = lazy_stack(np.stack([ONE, TWO]), axes="cyx", channels=["DAPI", "GFP"])
    for wanted, expected in ((("GFP", "DAPI"), [TWO, ONE]), (("GFP",), [TWO]), (("Cy5", "GFP"), [ONE, TWO])):
        found = in_order_of(wanted, stack).read((), np.s_[0:20], np.s_[0:30])
        np.testing.assert_array_equal(found, np.stack(expected, axis=-1))
    chosen = stack.choose(["DAPI"])
    assert in_order_of(("GFP",), chosen) is chosen
