"""Where tests find files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from support.file_builders import Write


@pytest.fixture
def folder(tmp_path: Path) -> Write:
    """Writes files below a new folder."""

    def write(files: Mapping[str, bytes]) -> Path:
        root = tmp_path / f"set{len(list(tmp_path.iterdir()))}"
        root.mkdir()
        for name, data in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return root

    return write


@pytest.fixture
def real_data() -> Path:
    """The folder with the real data sets as zips; skips where there is none."""
    default = Path(__file__).parents[3] / "shared" / "data"
    path = Path(os.environ.get("NAPARI_UNET_DATA", default))
    if not path.is_dir():
        pytest.skip(f"no real images in {path} (NAPARI_UNET_DATA)")
    return path
