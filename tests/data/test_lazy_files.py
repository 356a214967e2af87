"""Large files are read by region: TIFF by tile and strip, Zarr, OME-Zarr."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import zarr

from napari_unet.data.file_names import stem_of
from napari_unet.data.files.lazy_files import is_zarr, open_lazy
from napari_unet.data.files.lazy_stack import lazy_stack, usual_axes
from napari_unet.data.files.pixel_size import PixelSize
from napari_unet.errors import SettingsError
from support.errors import raises_code

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 60_000, (210, 333), dtype=np.uint16)
REGIONS = [
    (slice(0, 210), slice(0, 333)), (slice(17, 98), slice(200, 333)), (slice(209, 210), slice(0, 1)),
]  # fmt: skip


def write_ome_zarr(path: Path, image: np.ndarray, axes: str, sides: float = 0.5, **about: Any) -> Path:
    group = zarr.open_group(path, mode="w", zarr_format=3)
    datasets = []
    for level in range(3):
        every = (..., slice(None, None, 2**level), slice(None, None, 2**level))
        small = image[every]
        chunks = (*(1,) * (image.ndim - 2), 64, 64)
        group.create_array(str(level), shape=small.shape, dtype=small.dtype, chunks=chunks)[...] = small
        scale = [1.0] * (image.ndim - 2) + [sides * 2**level] * 2
        transformation = {"type": "scale", "scale": scale}
        datasets.append({"path": str(level), "coordinateTransformations": [transformation]})
    named = [{"name": a, "type": "space", "unit": "micrometer"} if a in "yx" else {"name": a} for a in axes]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": named, "datasets": datasets}], **about}
    return path


@pytest.mark.parametrize(
    "options",
    [
        {"tile": (64, 64), "compression": "zlib"},
        {"rowsperstrip": 7, "compression": "lzw"},
        {"rowsperstrip": 210, "compression": "zlib"},
        {"rowsperstrip": 16},
        {"byteorder": ">"},
        {"byteorder": ">", "tile": (32, 48), "compression": "zlib", "predictor": 2},
        {"bigtiff": True, "tile": (64, 64)},
    ],
)
def test_regions_of_a_tiff_are_its_pixels(tmp_path: Path, options: dict[str, Any]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY, **options)
    stack = open_lazy(tmp_path / "a.tif")
    assert (stack.shape, stack.leading, stack.name) == ((210, 333, 1), (), "a")
    for rows, columns in REGIONS:
        found = stack.read((), rows, columns)
        assert found.dtype == np.uint16
        assert found.dtype.isnative
        np.testing.assert_array_equal(found[..., 0], GREY[rows, columns])
    parts = [values.size for _, _, values in stack.parts(())]
    assert sum(parts) == GREY.size


def test_colours_planes_and_slices_of_a_tiff(tmp_path: Path) -> None:
    colour = RNG.integers(0, 255, (40, 50, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "rgb.tif", colour, photometric="rgb", tile=(16, 16))
    found = open_lazy(tmp_path / "rgb.tif")
    assert found.colour
    np.testing.assert_array_equal(found.read((), slice(3, 30), slice(7, 9)), colour[3:30, 7:9])
    stack = RNG.integers(0, 255, (2, 5, 3, 40, 50), dtype=np.uint8)
    tifffile.imwrite(
        tmp_path / "s.ome.tif", stack, tile=(16, 16), photometric="minisblack",
        metadata={"axes": "TZCYX", "PhysicalSizeX": 0.3, "PhysicalSizeY": 0.3,
                  "Channel": {"Name": ["DAPI", "GFP", "actin"]}},
    )  # fmt: skip
    found = open_lazy(tmp_path / "s.ome.tif")
    assert found.leading == (("t", 2), ("z", 5))
    assert not found.colour
    assert found.pixel_size == PixelSize(0.3, 0.3)
    chosen = found.choose(["gfp", "0"])
    np.testing.assert_array_equal(
        chosen.read((1, 3), slice(0, 40), slice(5, 20)), np.moveaxis(stack[1, 3, [1, 0], :, 5:20], 0, -1)
    )
    with pytest.raises(SettingsError, match=r"no channel 'RFP'.*0 \(DAPI\), 1 \(GFP\), 2 \(actin\)"):
        found.choose(["RFP"])


def test_strips_are_decoded_once_for_blocks_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY, rowsperstrip=10, compression="zlib")
    stack = open_lazy(tmp_path / "a.tif")
    read = []
    opened = stack.pixels._opened()  # type: ignore[attr-defined]

    class Counting:
        def __getitem__(self, key: Any) -> Any:
            read.append(key)
            return opened[key]

    monkeypatch.setattr(stack.pixels, "_array", Counting())
    for left in range(0, 330, 30):
        stack.read((), slice(20, 60), slice(left, left + 30))
    assert len(read) == 4


def test_a_tiff_travels_by_its_path(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY, tile=(64, 64), compression="zlib")
    stack = open_lazy(tmp_path / "a.tif")
    stack.read((), *REGIONS[1])
    sent = pickle.dumps(stack)
    assert len(sent) < 5000
    again = pickle.loads(sent)
    np.testing.assert_array_equal(again.read((), *REGIONS[1])[..., 0], GREY[REGIONS[1]])
    assert again.fingerprint == stack.fingerprint


def test_the_level_is_chosen_by_the_size_of_pixels(tmp_path: Path) -> None:
    path = write_ome_zarr(tmp_path / "a.ome.zarr", GREY, "yx", sides=0.5)
    assert is_zarr(path)
    assert open_lazy(path).shape[:2] == (210, 333)
    for metres, side in ((0.2e-6, 0.5), (0.5e-6, 0.5), (0.99e-6, 0.5), (1e-6, 1.0), (3e-6, 2.0)):
        found = open_lazy(path, target=metres)
        assert found.pixel_size == PixelSize(side, side)
    np.testing.assert_array_equal(
        open_lazy(path, level=1).read((), slice(0, 50), slice(3, 9))[..., 0], GREY[::2, ::2][:50, 3:9]
    )
    with raises_code("settings.level.unknown", "level 3", "0 to 2"):
        open_lazy(path, level=3)


def test_channels_of_an_ome_zarr_and_colours_that_are_one(tmp_path: Path) -> None:
    image = RNG.integers(0, 255, (3, 70, 80), dtype=np.uint8)
    red = [{"label": n, "color": c} for n, c in zip("rgb", ("FF0000", "00FF00", "0000FF"), strict=True)]
    found = open_lazy(write_ome_zarr(tmp_path / "c.zarr", image, "cyx", omero={"channels": red}))
    assert found.colour
    stains = [{"label": name, "color": "FFFFFF"} for name in ("DAPI", "GFP", "actin")]
    found = open_lazy(write_ome_zarr(tmp_path / "s.zarr", image, "cyx", omero={"channels": stains}))
    assert not found.colour
    assert found.channels == ("DAPI", "GFP", "actin")
    np.testing.assert_array_equal(
        found.choose(["actin"]).read((), slice(0, 70), slice(0, 80))[..., 0], image[2]
    )


@pytest.mark.parametrize("version", [2, 3])
def test_plain_arrays(tmp_path: Path, version: int) -> None:
    image = RNG.random((4, 30, 40)).astype(np.float32)
    zarr.create_array(tmp_path / "a.zarr", data=image, chunks=(1, 16, 16), zarr_format=version)
    found = open_lazy(tmp_path / "a.zarr")
    assert found.leading == (("z", 4),)
    np.testing.assert_array_equal(found.read((2,), slice(1, 9), slice(3, 40))[..., 0], image[2, 1:9, 3:40])


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with raises_code("data.image.format"):
        open_lazy(tmp_path / "gone.zarr")
    (tmp_path / "a.png").write_bytes(b"x")
    with raises_code("data.image.format", "file"):
        open_lazy(tmp_path / "a.png")
    (tmp_path / "b.tif").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    with raises_code("data.image.format"):
        open_lazy(tmp_path / "b.tif")
    zarr.open_group(tmp_path / "plate.zarr", mode="w").create_group("A")
    with raises_code("data.image.format", "with A"):
        open_lazy(tmp_path / "plate.zarr")
    tifffile.imwrite(tmp_path / "cut.tif", GREY, tile=(64, 64), compression="zlib")
    whole = (tmp_path / "cut.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[: len(whole) // 2])
    with raises_code("data.image.unreadable", "cut"):
        open_lazy(tmp_path / "cut.tif").read((), *REGIONS[0])
    with raises_code("data.image.numbers"):
        lazy_stack(np.zeros((3, 3), np.complex64))


def test_arrays_of_any_kind(tmp_path: Path) -> None:
    import dask.array

    array = dask.array.from_array(np.moveaxis(GREY[None, :, :, None].repeat(2, 3), -1, 1), chunks=100)
    found = lazy_stack(array, "d", "zcyx")
    assert (found.shape, found.leading) == ((210, 333, 2), (("z", 1),))
    np.testing.assert_array_equal(found.read((0,), *REGIONS[1])[..., 1], GREY[REGIONS[1]])
    other = GREY.copy()
    other[105, 166] += 1
    assert lazy_stack(GREY).fingerprint != lazy_stack(GREY[:, :-1]).fingerprint
    assert lazy_stack(GREY).fingerprint == lazy_stack(GREY.copy()).fingerprint


def test_names_and_axes() -> None:
    assert [usual_axes(s) for s in ((5, 5), (9, 9, 3), (7, 9, 9), (2, 7, 9, 9))] == [
        "yx",
        "yxs",
        "zyx",
        "tzyx",
    ]
    with raises_code("data.image.axes"):
        usual_axes((1, 2, 3, 4, 5))
    from pathlib import Path

    assert [stem_of(Path(n)) for n in ("a.ome.zarr", "b.OME.TIF", ".zarr", "c.d")] == [
        "a",
        "b",
        ".zarr",
        "c.d",
    ]
