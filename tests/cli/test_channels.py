"""Whatever command is told of a channel reads what a file with that channel alone would give."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy import ndimage

from napari_unet.cli import main

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.fixture
def sets(tmp_path: Path) -> tuple[Path, Path]:
    """The same images twice: with three named channels, and with the second alone."""
    noise = np.random.default_rng(0)
    several, alone = tmp_path / "several", tmp_path / "alone"
    for number in range(3):
        image = ndimage.gaussian_filter(noise.standard_normal((60, 90)), 3)
        grey = ((image - image.min()) / np.ptp(image) * 250).astype(np.uint8)
        others = noise.integers(0, 255, (2, 60, 90), np.uint8)
        for root in (several, alone):
            for folder in ("images", "masks"):
                (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray((grey > 130).astype(np.uint8) * 255).save(root / f"masks/{number}.png")
        tifffile.imwrite(
            several / f"images/{number}.tif", np.stack([others[0], grey, others[1]]),
            photometric="minisblack", ome=True,
            metadata={"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP", "Cy5"]}},
        )  # fmt: skip
        tifffile.imwrite(alone / f"images/{number}.tif", grey)
    return several, alone


def masks_in(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))}


def assert_same_masks(one: Path, other: Path) -> None:
    found, expected = masks_in(one), masks_in(other)
    assert found.keys() == expected.keys() == {"0.png", "1.png", "2.png"}
    for name, mask in found.items():
        assert mask.any() and not mask.all()
        np.testing.assert_array_equal(mask, expected[name])


def scores_in(report: Path) -> list[float]:
    with (report / "iou.csv").open(encoding="utf-8-sig") as file:
        return [float(row["iou"]) for row in csv.DictReader(file) if row["iou"]]


def test_segment_and_run_give_the_masks_of_that_channel(
    sets: tuple[Path, Path], grey_model: Path, tmp_path: Path
) -> None:
    several, alone = sets
    segment = ["segment", "--model", str(grey_model), "--out"]
    recipe = ["--save-run", str(tmp_path / "run.json")]
    command = [*segment, str(tmp_path / "a"), str(several / "images")]
    assert main([*command, "--channel", "gfp", *recipe]) == 0
    assert main([*segment, str(tmp_path / "b"), str(alone / "images")]) == 0
    assert_same_masks(tmp_path / "a", tmp_path / "b")
    assert main(["run", str(tmp_path / "run.json"), "--out", str(tmp_path / "c")]) == 0
    assert_same_masks(tmp_path / "c", tmp_path / "b")


def test_evaluate_and_run_give_the_scores_of_that_channel(
    sets: tuple[Path, Path], grey_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    several, alone = sets
    evaluate = ["evaluate", "--model", str(grey_model), "--scores", "overlap", "--out"]
    assert main([*evaluate, str(tmp_path / "none"), str(several)]) in {2, 3}
    assert "0 (DAPI), 1 (GFP), 2 (Cy5); choose with --channel" in capsys.readouterr().err
    recipe = ["--save-run", str(tmp_path / "run.json")]
    assert main([*evaluate, str(tmp_path / "a"), str(several), "--channel", "1", *recipe]) == 0
    assert main([*evaluate, str(tmp_path / "b"), str(alone)]) == 0
    expected = scores_in(tmp_path / "b")
    assert len(expected) == 3
    assert scores_in(tmp_path / "a") == expected
    assert main(["run", str(tmp_path / "run.json"), "--out", str(tmp_path / "c")]) == 0
    assert scores_in(tmp_path / "c") == expected
    assert json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["channels"] == ["1"]


def test_export_writes_that_channel(sets: tuple[Path, Path], tmp_path: Path) -> None:
    several, alone = sets
    export = ["export", "--format", "npy", "--out"]
    assert main([*export, str(tmp_path / "a"), str(several), "--channel", "GFP"]) == 0
    assert main([*export, str(tmp_path / "b"), str(alone)]) == 0
    names = sorted(path.name for path in (tmp_path / "b").glob("*.npy"))
    assert sorted(path.name for path in (tmp_path / "a").glob("*.npy")) == names
    for name in names:
        np.testing.assert_array_equal(np.load(tmp_path / "a" / name), np.load(tmp_path / "b" / name))
