"""`segment --stream`: the same masks as without it, of every kind of TIFF; a damaged one is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image
from scipy import ndimage

from napari_unet.cli import main
from support.errors import cli_error
from support.tiny_models import write_tiny_model

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("step_by_step")

NOISE = ndimage.gaussian_filter(
    np.random.default_rng(0).standard_normal((48, 60)), 2
)  # one tile when read whole
GREY = np.uint8((NOISE * 700 + 128).clip(1, 254))
INKS = np.stack([GREY, 255 - GREY, GREY[::-1], np.full_like(GREY, 30)], axis=2)
TABLE = np.random.default_rng(1).permutation(65536)[:256].astype(np.uint16)
KINDS: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "turned": (GREY, {"extratags": [(274, "H", 1, 6, True)], "rowsperstrip": 5}),
    "palette": (GREY, {"photometric": "palette", "colormap": np.stack([TABLE, TABLE, TABLE[::-1]])}),
    "CMYK": (INKS, {"photometric": "separated", "tile": (32, 32)}),
    "white is 0": (GREY, {"photometric": "miniswhite", "extratags": [(274, "H", 1, 3, True)]}),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_model(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_model(tmp_path_factory.mktemp("models") / "colours", 3))


def streamed(path: Path) -> np.ndarray:
    return np.asarray(zarr.open_group(path, mode="r")["0"])


@pytest.mark.parametrize("kind", KINDS)
def test_the_mask_is_that_of_the_picture(tmp_path: Path, model: str, colours: str, kind: str) -> None:
    pixels, options = KINDS[kind]
    tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
    command = [
        "segment",
        str(tmp_path / "a.tif"),
        "--model",
        colours if kind in {"palette", "CMYK"} else model,
    ]
    assert main([*command, "--out", str(tmp_path / "whole")]) == 0
    assert main([*command, "--out", str(tmp_path / "parts"), "--stream"]) == 0
    expected = np.asarray(Image.open(tmp_path / "whole" / "a.png")) > 0
    assert expected.shape == ((60, 48) if kind == "turned" else (48, 60))
    assert 0.05 < expected.mean() < 0.95
    found = streamed(tmp_path / "parts" / "a.ome.zarr") > 0
    assert found.shape == expected.shape
    assert (found == expected).mean() > 0.999  # rounding decides a pixel at the threshold


def test_every_series_has_a_mask(tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    with tifffile.TiffWriter(tmp_path / "s.tif") as writer:
        writer.write(GREY)
        writer.write(GREY[:40], photometric="miniswhite")
    command = ["segment", str(tmp_path / "s.tif"), "--model", model]
    assert main([*command, "--out", str(tmp_path / "whole")]) == 0
    assert main([*command, "--out", str(tmp_path / "parts"), "--stream"]) == 0
    assert f"2 masks in {tmp_path / 'parts'}" in capsys.readouterr().out
    for stem in ("s_000", "s_001"):
        expected = np.asarray(Image.open(tmp_path / "whole" / f"{stem}.png")) > 0
        found = streamed(tmp_path / "parts" / f"{stem}.ome.zarr") > 0
        assert found.shape == expected.shape
        assert (found == expected).mean() > 0.999
    error = cli_error(*command, "--out", tmp_path / "parts", "--stream")
    assert error.code == "output.exists"


def damaged(path: Path) -> Path:
    """A TIFF whose header is whole and whose last strips are noise."""
    tifffile.imwrite(path, GREY, rowsperstrip=8, compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        starts = tiff.pages[0].dataoffsets[-3:]
    content = bytearray(path.read_bytes())
    for start in starts:
        content[start : start + 40] = b"\xff" * 40
    path.write_bytes(content)
    return path


def test_a_damaged_image_costs_itself_only(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "d"):
        tifffile.imwrite(tmp_path / f"{name}.tif", GREY)
    damaged(tmp_path / "b.tif")
    (tmp_path / "c.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:200])
    tifffile.imwrite(tmp_path / "e.tif", INKS[..., :2], photometric="minisblack", planarconfig="contig")
    Image.fromarray(GREY).save(tmp_path / "small.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "small.png").read_bytes()[:400])
    files = [str(tmp_path / f"{name}.tif") for name in "abcde"]
    pictures = [str(tmp_path / "small.png"), str(tmp_path / "broken.png")]
    out = tmp_path / "out"
    command = ["segment", *files, *pictures, "--model", model, "--out", str(out), "--stream"]
    assert main(command) == 3
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == f"3 masks in {out}"
    assert said.err.splitlines()[-1] == "4 images left out: broken.png, b.tif, c.tif, e.tif"
    assert sorted(p.name for p in out.iterdir() if "unfinished" not in p.name) == [
        "a.ome.zarr", "d.ome.zarr", "small.png",
    ]  # fmt: skip


def test_nothing_but_damaged_images_is_an_error(tmp_path: Path, model: str) -> None:
    whole = damaged(tmp_path / "a.tif").read_bytes()
    (tmp_path / "b.tif").write_bytes(whole[:200])
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    command = ["segment", "--model", model, "--out", tmp_path / "out", "--stream"]
    assert cli_error(*command, tmp_path / "a.tif").code == "data.image.unreadable"
    assert cli_error(*command, tmp_path / "b.tif", tmp_path / "b.png").code == "data.images.unusable"


def test_large_files_in_a_folder_are_segmented_block_by_block(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", GREY)
    tifffile.imwrite(folder / "b.tif", GREY[:20, :20])
    Image.fromarray(GREY).save(folder / "c.png")  # never read by region
    for module in ("segment_files.LEAST_BYTES", "any_size.LARGE", "segment_files.LARGE"):
        monkeypatch.setattr(f"napari_unet.workflow.large_images.{module}", 2000)
    command = ["segment", str(folder), "--model", model, "--probabilities", "--over-time"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a.ome.zarr", "a_probabilities.ome.zarr", "b.tif", "b_probabilities.tif", "c.tif",
        "c_probabilities.tif", "objects-over-time.csv",
    ]  # fmt: skip
    objects = streamed(tmp_path / "out" / "a.ome.zarr")
    whole = tifffile.imread(tmp_path / "out" / "c.tif")  # the same picture, in memory
    assert ((objects > 0) == (whole > 0)).mean() > 0.999
    probabilities = tifffile.imread(tmp_path / "out" / "c_probabilities.tif")
    found = streamed(tmp_path / "out" / "a_probabilities.ome.zarr")
    np.testing.assert_allclose(found, probabilities, atol=2e-3)
    _, *rows = (tmp_path / "out" / "objects-over-time.csv").read_text().splitlines()
    series = [row.split(",")[:3] for row in rows]
    assert {(name, image, frame) for name, image, frame in series} >= {
        ("images", "c", "2"), ("large images", "a", "1"),
    }  # fmt: skip
    assert sum(image == "a" for _, image, _ in series) == objects.max()
