"""What files and models hold, to compare two of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def contents(folder: Path) -> dict[str, bytes]:
    """Bytes of every file below a folder, by its path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def weights_in(model: Path) -> list[bytes]:
    """The numbers alone: files name layers by how many the process made before."""
    from napari_unet.models.model import load_model

    return [array.tobytes() for array in load_model(model).network.get_weights()]
