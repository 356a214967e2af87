"""Surfaces of the objects of a volume as meshes, which programs for 3D views and printers read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_unet import PROGRAM
from napari_unet.atomic import atomic_path

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MeshKind = Literal["stl", "ply"]
ABOUT_BYTES = 80  # of the header of an STL file
TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
FACE = np.dtype([("count", "u1"), ("corners", "<i4", 3)])


def object_mesh(
    inside: NDArray[np.bool_], origin: tuple[int, int, int], spacing: tuple[float, float, float]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """The surface of one object.

    Parameters
    ----------
    inside : numpy.ndarray
        (Z, Y, X) bool, the box around the object.
    origin : tuple of int
        (z, y, x) of that box in the volume.
    spacing : tuple of float
        Sides of a voxel, (z, y, x).

    Returns
    -------
    vertices : numpy.ndarray
        (V, 3) float32, x, y and z in the unit of the spacing, from the centre of the volume's first voxel.
    faces : numpy.ndarray
        (F, 3) int32 rows of `vertices`, counter-clockwise seen from outside. The surface is closed, also
        where the volume's border cuts the object.

    References
    ----------
    Lewiner et al. 2003 (marching cubes), doi:10.1080/10867651.2003.10487582.
    """
    from skimage.measure import marching_cubes

    padded = np.pad(inside, 1).astype(np.float32)
    vertices, faces, _, _ = marching_cubes(padded, 0.5, spacing=spacing, gradient_direction="descent")
    shift = (np.asarray(origin, np.float64) - 1) * spacing
    # Triangles that turn one way in z, y, x turn the other way in x, y, z, which is the one that is wanted.
    return np.asarray((vertices + shift)[:, ::-1], np.float32), np.asarray(faces, np.int32)


def write_mesh(
    path: Path, vertices: NDArray[np.float32], faces: NDArray[np.int32], kind: MeshKind, unit: str = ""
) -> Path:
    """Write a mesh, whole or not at all.

    Parameters
    ----------
    path : pathlib.Path
        Of the file.
    vertices, faces
        As ``object_mesh`` gives them.
    kind : str
        "stl" (binary) or "ply" (binary, little endian).
    unit : str
        Of lengths, for the header.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    content = _stl(vertices, faces, unit) if kind == "stl" else _ply(vertices, faces, unit)
    with atomic_path(path) as partial:
        partial.write_bytes(content)
    return path


def _stl(vertices: NDArray[np.float32], faces: NDArray[np.int32], unit: str) -> bytes:
    triangles: Any = np.zeros(len(faces), TRIANGLE)
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    triangles["normal"] = normals / np.where(lengths > 0, lengths, 1)
    triangles["corners"] = corners
    about = f"{PROGRAM}, lengths in {unit or 'voxels'}".encode()[:ABOUT_BYTES].ljust(ABOUT_BYTES)
    return bytes(about + np.array(len(faces), "<u4").tobytes() + triangles.tobytes())


def _ply(vertices: NDArray[np.float32], faces: NDArray[np.int32], unit: str) -> bytes:
    lines = [
        "ply", "format binary_little_endian 1.0", f"comment {PROGRAM}, lengths in {unit or 'voxels'}",
        f"element vertex {len(vertices)}", "property float x", "property float y", "property float z",
        f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header", "",
    ]  # fmt: skip
    listed: Any = np.zeros(len(faces), FACE)
    listed["count"], listed["corners"] = 3, faces
    return bytes("\n".join(lines).encode() + vertices.astype("<f4").tobytes() + listed.tobytes())


def write_meshes(
    folder: Path,
    objects: NDArray[np.integer],
    spacing: tuple[float, float, float],
    kind: MeshKind,
    unit: str = "",
) -> list[Path]:
    """Write the surface of each object of a volume to a file of its own, called by its number.

    Parameters
    ----------
    folder : pathlib.Path
        Made if need be.
    objects : numpy.ndarray
        (Z, Y, X) integers, 0 background, one number an object.
    spacing, kind, unit
        As ``object_mesh`` and ``write_mesh`` have them.

    Returns
    -------
    list of pathlib.Path
        Of the files.
    """
    from scipy.ndimage import find_objects

    folder.mkdir(parents=True, exist_ok=True)
    digits = len(str(int(objects.max(initial=0))))
    written = []
    for number, box in enumerate(find_objects(objects), start=1):
        if box is None:
            continue
        origin = (box[0].start, box[1].start, box[2].start)
        vertices, faces = object_mesh(objects[box] == number, origin, spacing)
        written.append(write_mesh(folder / f"{number:0{digits}d}.{kind}", vertices, faces, kind, unit))
    return written
