"""Disks that are full or may not be written on: one sentence, and nothing left, whatever the format."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.errors import OutputError
from napari_unet.export.formats import FORMATS
from napari_unet.export.segmented import SegmentedImage
from napari_unet.inference.postprocess import connected_objects
from support.errors import raises_code

if TYPE_CHECKING:
    from collections.abc import Iterator

NOISE = np.random.default_rng(0).integers(0, 3, (160, 160)).astype(np.uint8)
ROOM = 1000  # bytes; the file of every format is longer
FOLDERS = tuple(name for name in FORMATS if name.startswith("ome-zarr"))


def image() -> SegmentedImage:
    pixels = np.random.default_rng(1).integers(0, 255, (*NOISE.shape, 1)).astype(np.uint8)
    return SegmentedImage(
        "one", NOISE, lambda: connected_objects(NOISE), ("cell", "nerve"), load_image=lambda: pixels
    )


def export(name: str, path: Path) -> None:
    entry = FORMATS[name]
    if entry.gather is not None:
        with entry.gather(path, "objects") as add:
            add(image())
    else:
        assert entry.write is not None
        entry.write(path, image(), "classes")


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let the system refuse to make any file longer, in the middle of a write."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    compiled, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # Python would leave it cut off
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        sys.dont_write_bytecode = compiled


@pytest.fixture
def older(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A file of an earlier export, where the new one shall be."""
    name = request.getfixturevalue("name")
    path = tmp_path / f"masks{FORMATS[name].suffix}"
    if name in FOLDERS:
        path.mkdir()
        (path / "mine").write_text("mine")
    else:
        path.write_text("mine")
    return path


def check_nothing_happened(error: OutputError, path: Path) -> None:
    assert error.sentence.startswith(f"{path} cannot be written: ")
    assert error.sentence.endswith("; choose another folder or make room")
    assert "\n" not in error.sentence
    assert list(path.parent.iterdir()) == [path]
    assert (path / "mine" if path.is_dir() else path).read_text() == "mine"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot limit files")
@pytest.mark.parametrize("name", FORMATS)
def test_no_room_in_the_middle_of_a_file(name: str, older: Path) -> None:
    with pytest.raises(OutputError, match=r": (File too large|no room)") as caught, files_of_at_most(ROOM):
        export(name, older)
    check_nothing_happened(caught.value, older)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("name", [name for name in FORMATS if name not in FOLDERS])
def test_a_full_disk(name: str, older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create = os.open

    def onto_a_full_disk(path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        if Path(path).parent == older.parent and flags & os.O_EXCL:
            Path(path).symlink_to("/dev/full")
            return create(os.devnull, os.O_WRONLY)
        return create(path, flags, mode, **more)

    monkeypatch.setattr("napari_unet.atomic.os.open", onto_a_full_disk)
    with raises_code("output.unwritable", "No space left on device") as caught:
        export(name, older)
    check_nothing_happened(caught.value, older)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_full_disk_in_the_middle_of_a_folder(
    name: str, older: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zarr.storage import LocalStore

    put, calls = LocalStore.set, iter(range(100))

    async def refuse(self: Any, key: str, value: Any) -> None:
        if next(calls) == 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        await put(self, key, value)

    monkeypatch.setattr(LocalStore, "set", refuse)
    with raises_code("output.unwritable", "No space left on device") as caught:
        export(name, older)
    check_nothing_happened(caught.value, older)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("name", FORMATS)
def test_a_folder_that_may_not_be_written_in(
    name: str, older: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    # Rights would not keep an administrator from writing, so the calls refuse.
    for call in ("open", "mkdir"):
        allow = getattr(os, call)

        def refuse(path: Any, *more: Any, _allow: Any = allow, **named: Any) -> Any:
            if Path(path).parent == older.parent:
                raise OSError(number, os.strerror(number), str(path))
            return _allow(path, *more, **named)

        monkeypatch.setattr(os, call, refuse)
    with raises_code("output.unwritable", os.strerror(number)) as caught:
        export(name, older)
    check_nothing_happened(caught.value, older)
