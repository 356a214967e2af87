"""Objects are followed over the images of a folder and the slices of a stack, by the command `segment`."""

from __future__ import annotations

import csv
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from napari_unet.cli import main
from napari_unet.inference.postprocess import connected_objects
from napari_unet.workflow.segment import segment_task as module
from napari_unet.workflow.segment.segment_samples import Segmentation
from support.file_builders import png

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FRAMES = ("1111........", ".1111..111..", "1111...111..", "1111111111..")


def frame(number: int) -> np.ndarray:
    """(4, 12) uint8: a bar that moves, and one that comes and melts into it."""
    return np.array([[c == "1" for c in FRAMES[number]]] * 4, np.uint8)


@pytest.fixture
def segment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Runs the command with a network that takes what is not 0 for foreground."""

    def made_up(samples: Any, *_: Any, **__: Any) -> Iterator[Segmentation]:
        for sample in samples:
            mask = (sample.read_image()[..., 0] > 0).astype(np.uint8)
            yield Segmentation(sample, mask, mask[..., None].astype(np.float32))

    model = SimpleNamespace(provenance={}, normalization=SimpleNamespace(), classes=("cell",))
    monkeypatch.setattr(module, "load_any", lambda *_: model)
    monkeypatch.setattr(module, "segment_samples", made_up)
    unlike = SimpleNamespace(watched=lambda samples: samples, sentence="")
    monkeypatch.setattr(module, "UnlikeImages", lambda *_: unlike)

    def run(data: Path, *flags: str) -> list[dict[str, str]]:
        out = tmp_path / "out"
        arguments = ["segment", str(data), "--model", "made-up", "--out", str(out), *flags]
        assert main(arguments) == 0
        with (out / "objects-over-time.csv").open(encoding="utf-8") as file:
            return list(csv.DictReader(file))

    return run


def read(folder: Path) -> list[np.ndarray]:
    return [tifffile.imread(path) for path in sorted(folder.glob("*.tif"))]


EVENTS = [
    ("1", "1", "first image", "", "", ""),
    ("2", "1", "", "", "", ""), ("2", "2", "appears", "", "", ""),
    ("3", "1", "", "", "", ""), ("3", "2", "", "", "merge", "1"),
    ("4", "1", "", "", "last image", ""),
]  # fmt: skip
COLUMNS = ("frame", "object", "began", "came_from", "ended", "became")


def test_images_of_a_folder_are_a_series(segment: Any, tmp_path: Path) -> None:
    folder = tmp_path / "movie"
    folder.mkdir()
    for number in range(4):
        (folder / f"t{number + 8}.png").write_bytes(png(frame(number) * 200))  # t10 comes after t9
    rows = segment(folder, "--over-time")
    assert [tuple(row[name] for name in COLUMNS) for row in rows] == EVENTS
    assert [row["image"] for row in rows] == ["t8", "t9", "t9", "t10", "t10", "t11"]
    assert rows[1] | {} == rows[1] | {
        "class": "cell",
        "area_px": "16",
        "centroid_y_px": "1.5",
        "centroid_x_px": "2.5",
    }
    found = {name: tifffile.imread(tmp_path / "out" / f"t{name}.tif") for name in (8, 9, 10, 11)}
    assert np.unique(found[9]).tolist() == [0, 1, 2]
    np.testing.assert_array_equal(found[11], frame(3))


def test_slices_of_a_stack_are_a_series(segment: Any, tmp_path: Path) -> None:
    path = tmp_path / "movie.tif"
    stack = np.stack([frame(n) * 200 for n in range(4)])
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "TYX"})
    rows = segment(path, "--over-time", "--one-file")
    assert [tuple(row[name] for name in COLUMNS) for row in rows] == EVENTS
    assert {row["series"] for row in rows} == {"movie"}
    written = tifffile.imread(tmp_path / "out" / "movie.tif")
    assert written.shape == (4, 4, 12)
    np.testing.assert_array_equal(written[1], connected_objects(frame(1)))


def test_folders_are_series_of_their_own_and_are_numbered_from_1(segment: Any, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / "all" / name).mkdir(parents=True)
        for number in range(2):
            (tmp_path / "all" / name / f"t{number}.png").write_bytes(png(frame(number) * 200))
    rows = segment(tmp_path / "all", "--over-time")
    by_series: dict[str, list[str]] = {}
    for row in rows:
        by_series.setdefault(row["series"], []).append(row["object"])
    assert len(by_series) == 2
    assert set(map(tuple, by_series.values())) == {("1", "1", "2")}


def test_a_table_that_is_there_is_not_replaced(segment: Any, tmp_path: Path) -> None:
    folder = tmp_path / "movie"
    folder.mkdir()
    (folder / "a.png").write_bytes(png(frame(0) * 200))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "objects-over-time.csv").write_text("mine")
    with pytest.raises(AssertionError):
        segment(folder, "--over-time")
    assert (tmp_path / "out" / "objects-over-time.csv").read_text() == "mine"
