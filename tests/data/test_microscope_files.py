"""Files of microscopes: scenes, times, slices, channels; by bioio where it is, else by a stand-in."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest

from napari_unet.data.catalog import open_dataset, open_image_file, open_images
from napari_unet.data.files.decoders import microscope_files
from napari_unet.data.files.image_files import decode_image, image_header
from napari_unet.data.files.pixel_size import PixelSize, read_pixel_size
from napari_unet.data.files.reading import ImageReading
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class StandIn:
    """What of bioio.BioImage is used, over arrays (T, C, Z, Y, X) or (T, C, Z, Y, X, S) by scene."""

    scenes_of: dict[str, np.ndarray[Any, Any]]

    def __init__(self, path: Path, reader: object) -> None:
        assert path.is_file()
        if path.read_bytes() == b"broken":
            raise ValueError("not a CZI file")
        self.scenes = tuple(self.scenes_of)
        self.set_scene(self.scenes[0])

    def set_scene(self, name: str) -> None:
        self.array = self.scenes_of[name]
        order = "TCZYXS"[: self.array.ndim]
        self.dims = SimpleNamespace(order=order, shape=self.array.shape)
        self.dtype = self.array.dtype
        self.channel_names = ["DAPI", "GFP"][: self.array.shape[1]]
        self.physical_pixel_sizes = SimpleNamespace(Z=None, Y=0.5, X=0.25)

    def get_image_dask_data(self, axes: str, **at: int) -> Any:
        order = self.dims.order
        taken = self.array[tuple(at[a] if a in at else slice(None) for a in order)]
        left = [a for a in order if a not in at]
        return da.from_array(taken.transpose([left.index(a) for a in axes]))


@pytest.fixture
def bioio(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[StandIn]]:
    """Let a stand-in answer for bioio and its plug-in for CZI."""
    base, errors = ModuleType("bioio_base"), ModuleType("bioio_base.exceptions")
    errors.UnsupportedFileFormatError = type("UnsupportedFileFormatError", (Exception,), {})  # type: ignore[attr-defined]
    found = ModuleType("bioio")
    found.BioImage = StandIn  # type: ignore[attr-defined]
    plugin = ModuleType("bioio_czi")
    plugin.Reader = object  # type: ignore[attr-defined]
    for module in (base, errors, found, plugin):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(microscope_files, "find_spec", sys.modules.get)
    microscope_files.is_installed.cache_clear()
    values = np.arange(2 * 2 * 3 * 4 * 5, dtype=np.uint16).reshape(2, 2, 3, 4, 5)
    StandIn.scenes_of = {"A": values, "B": values[:1, :, :1] + 1000}
    yield StandIn
    microscope_files.is_installed.cache_clear()


def test_every_scene_time_and_slice_is_an_image_with_its_channels(
    bioio: type[StandIn], tmp_path: Path
) -> None:
    (tmp_path / "cells.czi").write_bytes(b"any")
    samples = open_images([tmp_path / "cells.czi"])
    # Scene A has 2 times of 3 slices, scene B one image.
    assert [s.id for s in samples] == [f"cells_{n:03d}" for n in range(7)]
    third = samples[4].read_image()  # time 1, slice 1 of A
    expected = StandIn.scenes_of["A"][1, :, 1].transpose(1, 2, 0)
    np.testing.assert_array_equal(third, expected)
    np.testing.assert_array_equal(samples[6].read_image(), StandIn.scenes_of["B"][0, :, 0].transpose(1, 2, 0))
    with (tmp_path / "cells.czi").open("rb") as file:
        header = image_header(file, "cells.czi", 6)
    assert (header.height, header.width, header.channels, header.pages) == (4, 5, 2, 7)
    assert header.channel_names == ("DAPI", "GFP")
    assert read_pixel_size(tmp_path / "cells.czi") == PixelSize(0.5, 0.25, "µm")


def test_a_channel_is_chosen_by_name_and_an_archive_is_read_too(bioio: type[StandIn]) -> None:
    only = decode_image(b"any", "cells.czi", 0, ImageReading("", ("GFP",)))
    np.testing.assert_array_equal(only[..., 0], StandIn.scenes_of["A"][0, 1, 0])
    assert only.shape == (4, 5, 1)


def test_colour_stays_colour(bioio: type[StandIn]) -> None:
    StandIn.scenes_of = {"A": np.arange(60, dtype=np.uint8).reshape(1, 1, 1, 4, 5, 3)}
    assert image_header(b"any", "slide.czi").colour
    np.testing.assert_array_equal(decode_image(b"any", "slide.czi"), StandIn.scenes_of["A"][0, 0, 0])


def test_a_damaged_file_is_named(bioio: type[StandIn], tmp_path: Path) -> None:
    (tmp_path / "cells.czi").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"cells\.czi cannot be read as an image: not a CZI file"):
        open_images([tmp_path / "cells.czi"])[0].read_image()


@pytest.mark.parametrize("suffix", [".czi", ".lif", ".nd2"])
def test_without_the_extra_both_ways_out_are_named(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(microscope_files, "find_spec", lambda name: None)
    microscope_files.is_installed.cache_clear()
    path = tmp_path / f"cells{suffix}"
    path.write_bytes(b"any")
    for attempt in (
        open_dataset,
        open_image_file,
        lambda p: open_images([p]),
        lambda p: open_dataset(p.parent),
    ):
        with pytest.raises(DataError) as caught:
            attempt(path)
        assert "[microscopes]" in caught.value.remedy
        assert "OME-TIFF" in caught.value.remedy
    microscope_files.is_installed.cache_clear()


def test_a_real_czi(tmp_path: Path) -> None:
    pytest.importorskip("bioio_czi", reason="the extra [microscopes] is not installed")
    from pylibCZIrw import czi

    stored = np.arange(2 * 3 * 40 * 50, dtype=np.uint16).reshape(2, 3, 40, 50)
    with czi.create_czi(str(tmp_path / "a.czi")) as file:
        for channel, times in enumerate(stored):
            for time, plane in enumerate(times):
                file.write(data=plane[..., None], plane={"C": channel, "T": time, "Z": 0})
        file.write_metadata(
            document_name="a", channel_names={0: "DAPI", 1: "GFP"}, scale_x=0.25e-6, scale_y=0.5e-6
        )
    samples = open_images([tmp_path / "a.czi"])
    assert len(samples) == 3
    for time, sample in enumerate(samples):
        np.testing.assert_array_equal(sample.read_image(), stored[:, time].transpose(1, 2, 0))
    assert read_pixel_size(tmp_path / "a.czi") == PixelSize(0.5, 0.25, "µm")
