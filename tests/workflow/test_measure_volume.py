"""Objects of volumes as tables and meshes: what `segment --objects` and `measure` write."""

from __future__ import annotations

import csv
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from napari_unet.cli import main
from napari_unet.export.volumes.meshes import object_mesh
from support.errors import cli_error

if TYPE_CHECKING:
    from pathlib import Path


def write_mask(file: Path) -> np.ndarray:
    """A box of 2 x 3 x 4 voxels, and one voxel at the border; voxels of 0.75 x 0.25 x 0.25 µm."""
    mask = np.zeros((5, 8, 9), np.uint16)
    mask[1:3, 2:5, 3:7] = 3
    mask[4, 7, 8] = 12
    tifffile.imwrite(
        file,
        mask,
        imagej=True,
        resolution=(4.0, 4.0),
        metadata={"axes": "ZYX", "spacing": 0.75, "unit": "um"},
    )
    return mask


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open() as stream:
        return list(csv.DictReader(stream))


def enclosed(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Volume within a closed mesh whose faces are counter-clockwise from outside."""
    a, b, c = (vertices[faces[:, n]].astype(np.float64) for n in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def test_the_surface_of_a_ball_is_closed_and_looks_outward() -> None:
    z, y, x = np.mgrid[-9:10, -9:10, -9:10]
    vertices, faces = object_mesh(z**2 + y**2 + x**2 <= 64, (10, 20, 30), (2.0, 1.0, 1.0))
    assert enclosed(vertices, faces) == pytest.approx(2 * 4 / 3 * np.pi * 8**3, rel=0.03)
    np.testing.assert_allclose(vertices.mean(axis=0), [39, 29, 38], atol=0.1)  # x, y, z
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    assert set(np.unique(edges, axis=0, return_counts=True)[1]) == {2}


def test_measure_writes_a_table_and_meshes(tmp_path: Path) -> None:
    write_mask(tmp_path / "em.tif")
    assert main(["measure", str(tmp_path / "em.tif"), "--out", str(tmp_path / "out"), "--meshes", "stl"]) == 0
    first, second = rows_of(tmp_path / "out" / "em.objects.csv")
    assert (first["object"], first["volume_voxels"], first["unit"]) == ("3", "24", "µm")
    assert float(first["volume"]) == pytest.approx(24 * 0.75 * 0.25 * 0.25)
    assert [float(first[f"centroid_{axis}"]) for axis in "zyx"] == [1.125, 0.75, 1.125]
    assert second["object"] == "12"
    folder = tmp_path / "out" / "em.meshes"
    assert sorted(file.name for file in folder.iterdir()) == ["03.stl", "12.stl"]
    content = (folder / "03.stl").read_bytes()
    (count,) = struct.unpack("<I", content[80:84])
    assert len(content) == 84 + 50 * count
    assert "µm".encode() in content[:80]
    again = ["measure", tmp_path / "em.tif", "--out", tmp_path / "out"]
    assert cli_error(*again).code == "output.exists"


def test_ply_files_are_read_back(tmp_path: Path) -> None:
    mask = write_mask(tmp_path / "em.tif")
    assert main(["measure", str(tmp_path / "em.tif"), "--out", str(tmp_path), "--meshes", "ply"]) == 0
    content = (tmp_path / "em.meshes" / "03.ply").read_bytes()
    header, _, body = content.partition(b"end_header\n")
    counts = [int(line.split()[-1]) for line in header.decode().splitlines() if line.startswith("element")]
    vertices = np.frombuffer(body, "<f4", 3 * counts[0]).reshape(-1, 3)
    listed = np.dtype([("count", "u1"), ("corners", "<i4", 3)])
    faces = np.frombuffer(body, listed, counts[1], 12 * counts[0])
    assert set(faces["count"]) == {3}
    wanted, _ = object_mesh(mask[1:3, 2:5, 3:7] == 3, (1, 2, 3), (0.75, 0.25, 0.25))
    np.testing.assert_array_equal(vertices, wanted)
    assert faces["corners"].max() == counts[0] - 1


def test_a_size_that_nobody_knows_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tifffile.imwrite(tmp_path / "em.tif", np.ones((2, 3, 4), np.uint8))
    assert main(["measure", str(tmp_path / "em.tif"), "--out", str(tmp_path)]) == 0
    assert "give --voxel-size" in capsys.readouterr().out
    (row,) = rows_of(tmp_path / "em.objects.csv")
    assert (row["volume_voxels"], row["volume"], row["unit"]) == ("24", "", "")
    said = ["measure", str(tmp_path / "em.tif"), "--out", str(tmp_path), "--voxel-size", "10x10x10nm"]
    assert main([*said, "--overwrite"]) == 0
    (row,) = rows_of(tmp_path / "em.objects.csv")
    assert (row["volume"], row["unit"]) == ("24000", "nm")


def test_what_is_no_mask_of_a_volume_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "flat.tif", np.ones((3, 4), np.uint8))
    (tmp_path / "em.png").write_bytes(b"")
    for name, code in (("flat.tif", "volume.mask"), ("em.png", "volume.mask"), ("none.tif", "file.missing")):
        assert cli_error("measure", tmp_path / name, "--out", tmp_path / "out").code == f"data.{code}"
